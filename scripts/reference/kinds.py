"""What the kinds of benchmarks and the relations declare, below their explanations; and the page of the suites."""

import inspect
import re
from collections.abc import Iterable, Sequence
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
from hf_clipdyn.results.terms import Axis, KindTerms

from .commands import option_list
from .explained import RELATIONS, functions, kind_path
from .page import Page, bullets, line, section, summary_of, table


def kind_pages() -> list[Page]:
    """The ends of the pages of the benchmarks: what their kinds declare."""
    return _by_page((kind_path(one.name), _kind_parts(one)) for one in measured())


def relation_pages() -> list[Page]:
    """The end of the page of the relations: what these declare."""
    return _by_page((RELATIONS, _relation_parts(name, one)) for name, one in relations().items())


def measured() -> list[type[Kind[Any]]]:
    """The kinds in the order of the report."""
    return sorted(kinds().values(), key=lambda one: (one.terms.rank, one.name))


def _by_page(written: Iterable[tuple[str, list[str]]]) -> list[Page]:
    found: dict[str, list[str]] = {}
    for path, parts in written:
        found.setdefault(path, []).extend(parts)
    return [
        Page(path, "", "", [*parts, f"Functions: {functions(path)}."], is_begun=True)
        for path, parts in found.items()
    ]


def _kind_parts(kind: type[Kind[Any]]) -> list[str]:
    terms = kind.terms
    # What is above it is explained by hand.
    trials = inspect.cleandoc(kind.__doc__ or "").replace("``", "`").partition("Trials: ")[2]
    return [
        f"## Reference of `{kind.name}`",
        summary_of(kind),
        " ".join(_kind_facts(kind)),
        "Metrics:",
        _metrics(terms),
        *section("Values of columns:", _names(terms, "conditions" in kind.settings.model_fields)),
        _references(terms),
        *section("Options:", option_list(kind.settings, f"{kind.name}_")),
        f"Columns of the trials: {trials}",
    ]


def _relation_parts(name: str, relation: type[Relation]) -> list[str]:
    known = ", ".join(f"[`{one}`](../../{kind_path(one)})" for one in kinds_read(relation))
    pairs = _listed(relation.pairs) or "the whole run"
    return [
        f"## Reference of `{name}`",
        summary_of(relation),
        f"Reads: {known or 'the safetensors of the repository'}. Pairs: {pairs}.",
        "Metrics:",
        _metrics(relation.terms),
        _references(relation.terms),
    ]


def _kind_facts(kind: type[Kind[Any]]) -> list[str]:
    fits = ", ".join(f"[`{name}`](../../reference/data-sets.md#{name})" for name in fitting(kind))
    text = "needed" if kind.needs_text else "not needed"
    if kind.needs_text and kind.classes.__func__ is not Kind.classes.__func__:
        text = "needed, or the head of a classifier that has the classes"
    clusters = " and ".join(f"`{one}`" for one in kind.clusters)
    return [
        f"Data sets: {fits or f'none is needed, it shows {kind.terms.draws}'}.",
        f"Text encoder: {text}.",
        f"Intervals: over {clusters}.",
        *_axis("level", kind.terms.level),
        *_axis("parameter", kind.terms.parameter),
        *_perception(kind.terms),
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
    if axis is None or axis.title == column:
        return []
    unit = f" ({axis.unit})" if axis.unit else ""
    return [f"`{column}`: {axis.title}{unit}."]


def _perception(terms: KindTerms) -> list[str]:
    levels = dict.fromkeys(one.perception for one in terms.terms.values() if one.perception)
    return [f"Level of perception: {', '.join(levels)}."] if levels else []


def _metrics(terms: KindTerms) -> str:
    """One entry for each meaning: metrics of images and of texts share theirs."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for name, one in terms.terms.items():
        alike.setdefault((one.meaning or name, one.unit, one.limits, one.better), []).append(name)
    return bullets(_metric(names, terms) for names in alike.values())


def _metric(names: Sequence[str], terms: KindTerms) -> str:
    term = terms.terms[names[0]]
    title = term.title if len(names) == 1 else term.title.rpartition(", ")[0]
    meaning = line(f"{title}. {term.meaning}" if term.meaning else f"{title}.")
    is_share = term.meaning.startswith("Share of") and term.limits == (0, 1)
    limits = "" if term.limits is None or is_share else f"{term.limits[0]:g} to {term.limits[1]:g}"
    facts = ", ".join(filter(None, (term.unit, limits, term.better and f"{term.better} is better")))
    return f"{_listed(names)}: {meaning[:1].upper()}{meaning[1:]}{facts and f' ({facts})'}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{one}`" for one in names)


def _names(terms: KindTerms, has_option: bool) -> str:
    """What the columns of names may have, if it is declared and no option lists the conditions."""
    conditions = {name: one.title for name, one in terms.conditions.items()}
    columns = {
        "condition": {} if has_option else conditions,
        "variant": terms.variants,
        "subset": terms.subsets,
        "probe": terms.probes,
    }
    return bullets(
        f"`{column}`: {', '.join(_value(*one) for one in titles.items())}."
        for column, titles in columns.items()
        if titles
    )


def _value(name: str, title: str) -> str:
    """A value and what it means, unless its name says that."""
    shown = f"`{name}`" if name else "empty"
    alike = [re.sub(r"[^a-z0-9]", "", one.lower()) for one in (name, title)]
    return shown if alike[0] == alike[1] else f"{shown} ({title})"


def _references(terms: KindTerms) -> str:
    """What else the table has, by role and name."""
    by_role: dict[str, list[str]] = {}
    for one in terms.references:
        by_role.setdefault(one.role, []).append(_value(one.name, one.title) if one.name else one.title)
    rows = [
        f"`{role}`" if found == [role] else f"`{role}`: {', '.join(found)}" for role, found in by_role.items()
    ]
    return f"Reference values, by `role`: {'; '.join(rows)}." if rows else ""


def suites_page() -> Page:
    """The benchmarks and relations of each suite."""
    rows = [
        (
            f"`{name}`",
            ", ".join([*map(_benchmark_link, suite(name)), *map(_relation_link, suite_relations(name))]),
        )
        for name in suite_names()
    ]
    return Page(
        "reference/suites.md",
        "Suites of benchmarks",
        "What each `--suite` of `clipdyn evaluate` runs, and why.",
        [table(("suite", "benchmarks and relations"), rows)],
        is_begun=True,
    )


def _benchmark_link(benchmark: str) -> str:
    return f"[`{benchmark}`](../{kind_path(benchmark.partition('/')[0])})"


def _relation_link(relation: str) -> str:
    return f"[`{relation}`](../{RELATIONS})"
