"""What the kinds of benchmarks and the relations declare, below their explanations; and the page of the suites."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.registry import (
    kinds,
    kinds_read,
    relations,
    suite,
    suite_names,
    suite_relations,
)
from hf_clipdyn.benchmarks.relation import Relation
from hf_clipdyn.data.registry import builder_class, dataset_names
from hf_clipdyn.results.terms import Axis, KindTerms, Term

from .commands import option_table
from .explained import functions
from .page import Page, bullets, section, summary_of, table
from .places import SHARED_PAGES, kind_path, relation_path


def kind_pages() -> list[Page]:
    """The ends of the pages of the benchmarks: what their kinds declare."""
    return _by_page((kind_path(one.name), _kind_parts(one)) for one in measured())


def relation_pages() -> list[Page]:
    """The ends of the pages of the relations: what these declare."""
    ordered = sorted(relations().items(), key=lambda one: one[0] in SHARED_PAGES)
    return _by_page((relation_path(name), _relation_parts(name, one)) for name, one in ordered)


def measured() -> list[type[Kind[Any]]]:
    """The kinds in the order of the report."""
    return sorted(kinds().values(), key=lambda one: (one.terms.rank, one.name))


def _by_page(written: Iterable[tuple[str, list[str]]]) -> list[Page]:
    found: dict[str, list[str]] = {}
    for path, parts in written:
        found.setdefault(path, []).extend(parts)
    return [
        Page(path, "", "", [*parts, *section("## Functions", functions(path))], is_begun=True)
        for path, parts in found.items()
    ]


def _kind_parts(kind: type[Kind[Any]]) -> list[str]:
    terms = kind.terms
    details = inspect.cleandoc(kind.__doc__ or "").replace("``", "`").partition("\n\n")[2]
    return [
        f"## Reference of `{kind.name}`",
        summary_of(kind),
        bullets(_kind_facts(kind)),
        _metrics(terms),
        *section(f"### Values of the columns of `{kind.name}`", _names(terms)),
        *section(f"### Reference values of `{kind.name}`", _references(terms)),
        *section(f"### Options of `{kind.name}`", option_table(kind.settings, f"{kind.name}_")),
        f"### Trials of `{kind.name}`",
        *_trials(details),
    ]


def _relation_parts(name: str, relation: type[Relation]) -> list[str]:
    known = [f"[`{one}`](../../{kind_path(one)})" for one in kinds_read(relation)]
    pairs = ", ".join(f"`{one}`" for one in relation.pairs) or "the whole run"
    details = inspect.cleandoc(relation.__doc__ or "").replace("``", "`").partition("\n\n")[2]
    facts = [
        f"Reads: {', '.join(known) or 'the safetensors of the repository'}.",
        f"Pairs: {pairs}.",
        f"Version: scoring {relation.score_version}.",
    ]
    return [
        f"## Reference of `{name}`",
        summary_of(relation),
        details,
        bullets(facts),
        _metrics(relation.terms),
        _references(relation.terms),
    ]


def _trials(details: str) -> list[str]:
    """The paragraphs of a kind's docstring after the first; the last one lists the columns."""
    return [re.sub("^Trials: ", "Columns: ", one) for one in details.split("\n\n")]


def _kind_facts(kind: type[Kind[Any]]) -> list[str]:
    fits = [f"[`{name}`](../../reference/data-sets.md#{name})" for name in fitting(kind)]
    text = "needed" if kind.needs_text else "not needed"
    if kind.needs_text and kind.classes.__func__ is not Kind.classes.__func__:
        text = "needed, or the head of a classifier that has the classes"
    clusters = " and ".join(f"`{one}`" for one in kind.clusters)
    return [
        f"Data sets: {', '.join(fits)}."
        if fits
        else f"Data sets: none is needed, it shows {kind.terms.draws}.",
        f"Text encoder: {text}.",
        f"Intervals: over {clusters}.",
        *_axis("level", kind.terms.level),
        *_axis("parameter", kind.terms.parameter),
        f"Versions: observation {kind.observe_version}, scoring {kind.score_version}.",
    ]


def fitting(kind: type[Kind[Any]]) -> list[str]:
    """Names of the data sets whose rows a kind can show."""
    found = []
    for name in dataset_names():
        metadata = builder_class(name).metadata
        if {metadata.kind, *metadata.config_kinds.values()} & set(kind.schemas):
            found.append(name)
    return found


def _axis(column: str, axis: Axis | None) -> list[str]:
    if axis is None:
        return []
    unit = f" ({axis.unit})" if axis.unit else ""
    return [f"`{column}`: {axis.title}{unit}."]


def _metrics(terms: KindTerms) -> str:
    head = ("metric", "meaning", "unit", "range", "better", "level of perception")
    return table(head, [_metric(name, one) for name, one in terms.terms.items()])


def _metric(name: str, term: Term) -> tuple[str, ...]:
    limits = "" if term.limits is None else f"{term.limits[0]:g} to {term.limits[1]:g}"
    meaning = f"{term.title}. {term.meaning}" if term.meaning else f"{term.title}."
    return f"`{name}`", meaning[:1].upper() + meaning[1:], term.unit, limits, term.better, term.perception


def _names(terms: KindTerms) -> str:
    """What the columns of names may have, if it is declared."""
    conditions = {name: one.title for name, one in terms.conditions.items()}
    columns = {
        "condition": conditions,
        "variant": terms.variants,
        "subset": terms.subsets,
        "probe": terms.probes,
    }
    rows = [
        (f"`{column}`", f"`{name}`" if name else "(empty)", title)
        for column, titles in columns.items()
        for name, title in titles.items()
    ]
    return table(("column", "value", "meaning"), rows) if rows else ""


def _references(terms: KindTerms) -> str:
    rows = [
        (f"`{one.role}`", f"`{one.name}`" if one.name else "", one.title, ", ".join(one.joins))
        for one in terms.references
    ]
    return table(("role", "reference", "what it is", "joins the values on"), rows) if rows else ""


_WHY = {
    "embedded": "Needs no download: a first look, and a check that everything works.",
    "dynamics": "How learning proceeds: embeddings, probes of the layers, and all relations.",
    "paper": "The data sets of arXiv 2508.09814, whose claims this package tests.",
    "full": "Several data sets for each question, to see whether a result depends on one of them.",
    "human": "Data sets with human answers of many kinds, to compare with observers in breadth.",
}
"""Why a suite has these benchmarks."""


def suites_page() -> Page:
    """The benchmarks and relations of each suite, and why."""
    rows = [
        (
            f"`{name}`",
            _WHY[name],
            ", ".join([*map(_benchmark_link, suite(name)), *map(_relation_link, suite_relations(name))]),
        )
        for name in suite_names()
    ]
    summary = "What each `--suite` of `clipdyn evaluate` runs, and why."
    return Page(
        "reference/suites.md",
        "Suites of benchmarks",
        summary,
        [summary, table(("suite", "why", "benchmarks and relations"), rows)],
    )


def _benchmark_link(benchmark: str) -> str:
    return f"[`{benchmark}`](../{kind_path(benchmark.partition('/')[0])})"


def _relation_link(relation: str) -> str:
    return f"[`{relation}`](../{relation_path(relation)})"
