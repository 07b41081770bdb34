"""Write docs/reference.md from what the code declares: options, kinds, metrics, trials, columns, suites.

python scripts/write_reference.py       # `make docs`; a test says whether the file is current
"""

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.registry import kinds, suite, suite_names
from hf_clipdyn.evaluation.options import Flag, flags
from hf_clipdyn.results.row import column_table
from hf_clipdyn.results.terms import Axis, KindTerms, Term
from hf_clipdyn.statistics.verdicts import verdict_columns

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"

_INTRODUCTION = """# Reference

`make docs` writes this page from the declarations in the code. [benchmarks.md](benchmarks.md) explains how things are
measured, [extending.md](extending.md) how a kind is added.

## Options of `clipdyn evaluate`

Several values are separated by commas, or the option is repeated. A YAML file that `--config` names has the same keys,
with underscores: `batch_size`. The arguments of `evaluate_revisions` have the same names, except `data_dirs` (a
mapping) and `plugins`. The settings of a kind are arguments of its `on`: `Noise.on("cifar10", stage="input")`.
`--quiet`, which other commands have too, prints the result, warnings and errors only. `--submit`, `--shards`,
`--submit-setting` and `--print-command` spread the work over processes or machines, and `--dry-run` says what it
would cost ([scaling.md](scaling.md)).
"""


def reference() -> str:
    """The page."""
    general = [one for one in flags() if not one.kind]
    parts = [_INTRODUCTION, _flag_table(general), "## Kinds"]
    for kind in sorted(kinds().values(), key=lambda one: (one.terms.rank, one.name)):
        parts += _kind(kind)
    rows = [(f"`{name}`", kind, meaning) for name, kind, meaning in column_table()]
    parts += ["## The columns of the table", _table(("column", "type", "meaning"), rows)]
    verdict_rows = [(f"`{name}`", kind, meaning) for name, kind, meaning in verdict_columns()]
    parts += ["## The columns of the table of verdicts", _table(("column", "type", "meaning"), verdict_rows)]
    suites = [(f"`{name}`", ", ".join(f"`{one}`" for one in suite(name))) for name in suite_names()]
    parts += ["## Suites", _table(("suite", "benchmarks"), suites)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _kind(kind: type[Kind[Any]]) -> list[str]:
    terms = kind.terms
    fits = "Data sets of the kind " + " or ".join(f"`{one}`" for one in kind.schemas)
    if not kind.schemas:
        fits = f"No data are needed: it shows {terms.draws}"
    text = "needed" if kind.needs_text else "not needed"
    clusters = " and ".join(f"`{one}`" for one in kind.clusters)
    facts = [
        f"{fits}. A text encoder is {text}.",
        f"Intervals are over {clusters}.",
        *_axis("level", terms.level),
        *_axis("parameter", terms.parameter),
        f"Versions: observation {kind.observe_version}, scoring {kind.score_version}.",
    ]
    metrics = [_metric(name, one) for name, one in terms.terms.items()]
    parts = [
        f"### `{kind.name}`: {terms.title}",
        (inspect.getdoc(kind) or "").replace("``", "`"),
        " ".join(facts),
        _table(("metric", "meaning", "unit", "range", "better", "level of the question"), metrics),
        *_names(terms),
    ]
    if terms.references:
        rows = [
            (f"`{one.role}`", f"`{one.name}`" if one.name else "", one.title, ", ".join(one.joins))
            for one in terms.references
        ]
        parts.append(_table(("role", "reference", "what it is", "joins the values on"), rows))
    own = [one for one in flags() if one.kind == kind.name]
    if own:
        parts.append(_flag_table(own))
    trials = ", ".join(f"`{name}` ({dtype})" for name, dtype in kind.trial_columns.items())
    return [*parts, f"Columns of the trials: {trials}."]


def _axis(column: str, axis: Axis | None) -> list[str]:
    if axis is None:
        return []
    unit = f" ({axis.unit})" if axis.unit else ""
    return [f"`{column}` is the {axis.title}{unit}."]


def _metric(name: str, term: Term) -> tuple[str, ...]:
    limits = "" if term.limits is None else f"{term.limits[0]:g} to {term.limits[1]:g}"
    meaning = f"{term.title}. {term.meaning}" if term.meaning else f"{term.title}."
    return f"`{name}`", meaning[:1].upper() + meaning[1:], term.unit, limits, term.better, term.perception


def _names(terms: KindTerms) -> Iterable[str]:
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
    return [_table(("column", "value", "meaning"), rows)] if rows else []


def _flag_table(listed: Sequence[Flag]) -> str:
    rows = [
        (f"`{one.spelling}`" if one.is_option else f"`{one.key}`", one.help, one.default_text)
        for one in listed
    ]
    return _table(("option", "meaning", "default"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_escaped(one) for one in row)} |" for row in cells)


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
