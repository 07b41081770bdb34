"""Pages of the kinds of benchmarks, and of the suites."""

import inspect
import re
from typing import Any

from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.registry import (
    kinds,
    kinds_read,
    relations,
    suite,
    suite_names,
    suite_relations,
)
from hf_clipdyn.data.registry import builder_class, dataset_names
from hf_clipdyn.evaluation.options import flags
from hf_clipdyn.results.terms import Axis, KindTerms, Term

from .commands import flag_table
from .page import Page, bullets, line, section, table

_EXPLANATIONS = {"distortion": "quality"}  # kinds that another kind's explanation covers


def kind_pages() -> list[Page]:
    """A page for each kind."""
    measured = sorted(kinds().values(), key=lambda one: (one.terms.rank, one.name))
    return [_kind_page(kind) for kind in measured]


def _kind_page(kind: type[Kind[Any]]) -> Page:
    terms = kind.terms
    explanation = _EXPLANATIONS.get(kind.name, kind.name).replace("_", "-")
    summary, _, details = inspect.cleandoc(kind.__doc__ or "").replace("``", "`").partition("\n\n")
    own = [one for one in flags() if one.kind == kind.name]
    return Page(
        kind_path(kind.name),
        f"{kind.name}: {terms.title}",
        line(summary),
        [
            summary,
            f"[The explanation](../../explanation/benchmarks/{explanation}.md) says how it is measured.",
            bullets(_kind_facts(kind)),
            "## Metrics",
            table(
                ("metric", "meaning", "unit", "range", "better", "level of perception"),
                [_metric(name, one) for name, one in terms.terms.items()],
            ),
            *section("## Values of the columns", _names(terms)),
            *section("## Reference values", _references(terms)),
            *section("## Options", flag_table(own) if own else ""),
            "## Trials",
            *_trials(details),
            table(("column", "type"), [(f"`{name}`", dtype) for name, dtype in kind.trial_columns.items()]),
        ],
    )


def _trials(details: str) -> list[str]:
    """The paragraphs of a kind's docstring after the first; the list of columns is a table of its own."""
    return [re.sub("^Trials: ", "Columns: ", one) for one in details.split("\n\n")]


def _kind_facts(kind: type[Kind[Any]]) -> list[str]:
    fits = [f"[`{name}`](../data-sets.md#{name})" for name in fitting(kind)]
    text = "needed" if kind.needs_text else "not needed"
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


def relations_page() -> Page:
    """The numbers of every relation."""
    summary = (
        "The relations between revisions, which `clipdyn evaluate --relations` computes from saved trials."
    )
    parts = [
        "[Relate revisions](../how-to/relate-revisions.md) says how to use them and where their numbers are."
    ]
    for name, relation in relations().items():
        known = kinds_read(relation)
        reads = (
            ", ".join(f"[`{one}`]({kind_path(one)})" for one in known) or "the safetensors of the repository"
        )
        pairs = ", ".join(f"`{one}`" for one in relation.pairs) or "the whole run"
        terms = relation.terms
        heading, _, details = inspect.cleandoc(relation.__doc__ or "").replace("``", "`").partition("\n\n")
        parts += [
            f"## {name}",
            *filter(None, (heading, details)),
            bullets([f"Reads: {reads}.", f"Pairs: {pairs}.", f"Version: scoring {relation.score_version}."]),
            table(
                ("metric", "meaning", "unit", "range", "better", "level of perception"),
                [_metric(metric, one) for metric, one in terms.terms.items()],
            ),
            _references(terms),
        ]
    return Page("relations.md", "Relations between revisions", summary, [summary, *filter(None, parts)])


def suites_page() -> Page:
    """The benchmarks and relations of each suite."""
    rows = [
        (
            f"`{name}`",
            ", ".join([*map(_benchmark_link, suite(name)), *map(_relation_link, suite_relations(name))]),
        )
        for name in suite_names()
    ]
    text = (
        "`--suite` of `clipdyn evaluate` selects these benchmarks. A benchmark is a kind and a data set. A relation "
        "reads the trials of all benchmarks that are in the table."
    )
    return Page(
        "suites.md",
        "Suites of benchmarks",
        "The benchmarks that each suite runs.",
        [text, table(("suite", "benchmarks"), rows)],
    )


def _benchmark_link(benchmark: str) -> str:
    return f"[`{benchmark}`]({kind_path(benchmark.partition('/')[0])})"


def _relation_link(relation: str) -> str:
    return f"[`{relation}`](relations.md#{relation})"


def kind_path(kind: str) -> str:
    """The page of a kind, below docs/reference."""
    return f"kinds/{kind.replace('_', '-')}.md"
