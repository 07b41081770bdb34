"""The numbers behind the figures as tables: for the page and for the terminal."""

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from hf_clipdyn.report.sentences import NOT_INTERPRETABLE
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.words import json_words
from hf_clipdyn.statistics.trajectories import DETAILS, Trajectory, bare, rows_of

__all__ = [
    "Table",
    "diagnostics_table",
    "overview_tables",
    "provenance_table",
    "result_tables",
    "undefined_table",
]


@dataclass(frozen=True)
class Table:
    """A table of texts with a caption and one heading for each column."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def undefined_table(study: Study) -> Table:
    """Every number that is not defined, with the cause that the metric named."""
    headings = ("run", "benchmark", "metric", "detail", "revisions", "cause")
    found = [
        (
            one.run,
            one.benchmark_title,
            one.metric_title + ("" if one.is_value else f" ({one.reference_terms.title})"),
            _full_detail(one),
            point.revision,
            point.note,
        )
        for one in study.trajectories
        if not one.points["defined"].to_numpy(bool).all()
        for point in rows_of(one.points[~one.points["defined"]])
    ]
    grouped = pd.DataFrame(found, columns=headings).groupby(
        ["run", "benchmark", "metric", "cause"], sort=False
    )
    merged = grouped.agg({"detail": _joined("; "), "revisions": _joined(", ")}).reset_index()
    return Table("Numbers that are not defined", headings, _tuples(merged[list(headings)]))


def diagnostics_table(study: Study) -> Table:
    """What was recorded about the measurement itself, by condition and level; may have no rows."""
    headings = ["benchmark", "quantity", "condition", "value"]
    columns = [name for name in DETAILS if name not in ("probe", "texts", "parameter")]
    found = [
        (one.benchmark_title, one.metric_title, one.detail(columns), value)
        for one in study.trajectories
        if one.role == "diagnostic"
        for value in one.usable["value"]
    ]
    grouped = pd.DataFrame(found, columns=headings).groupby(headings[:3], sort=False)
    merged = grouped["value"].agg(lambda values: _span(values, ".3g")).reset_index()
    return Table("Diagnostics", tuple(headings), _tuples(merged))


def provenance_table(study: Study) -> Table:
    """How each benchmark was measured: data, settings, preprocessing, precision, versions."""
    columns = [
        "run",
        "kind",
        "dataset",
        "split",
        "data_fingerprint",
        "preprocess",
        "settings",
        "dtype",
        "versions",
    ]
    found = []
    for key, members in study.results.rows.groupby(columns, sort=False):
        run, kind, dataset, split, data, preprocess, settings, dtype, versions = map(str, key)
        revisions = f"{members['revision'].nunique():,}"
        n = _span(members.loc[members["role"] == "value", "n"], ",.0f")
        words = bare(json_words(settings)), dtype, json_words(versions)
        found.append((run, f"{kind}/{dataset}", split, revisions, n, data[:12], preprocess, *words))
    headings = (
        *("run", "benchmark", "split", "revisions", "n", "data fingerprint", "preprocess", "settings"),
        *("dtype", "versions"),
    )
    return Table("How it was measured", headings, tuple(found))


def overview_tables(study: Study) -> list[Table]:
    """A table for each run: its revisions by the questions of the overview."""
    panels = [panel for world in study.overview for panel in world]
    columns = [(panel.title, line.trajectory) for panel in panels for line in panel.lines]
    tables = []
    for run in sorted({one.run for _, one in columns}):
        own = [(title, one) for title, one in columns if one.run == run]
        tables.append(_revision_table(run, own, _short_cell, [one for _, one in own]))
    return tables


def result_tables(results: Path | Sequence[Path] | Study) -> list[str]:
    """`overview_tables` as plain text."""
    return [_plain_text(table) for table in overview_tables(read_study(results))]


def _plain_text(table: Table) -> str:
    heads = [
        [line for part in title.split("\n") for line in textwrap.wrap(part, 18)] for title in table.headings
    ]
    top = list(zip_longest(*heads, fillvalue=""))
    widths = [max(map(len, column)) for column in zip(*top, *table.rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (*top, ["-" * width for width in widths], *table.rows)
    ]
    return "\n".join([table.caption, *lines])


def _revision_table(
    caption: str,
    columns: Sequence[tuple[str, Trajectory]],
    words: Callable[[Any], str],
    ordering: Iterable[Trajectory],
) -> Table:
    """A row for each revision of the trajectories in ``ordering``, a column for each heading and trajectory."""
    points = pd.concat([one.points[["revision", "epoch", "order"]] for one in ordering])
    revisions = points.sort_values(["epoch", "order"])["revision"].unique()
    cells = [{point.revision: words(point) for point in rows_of(one.points)} for _, one in columns]
    rows = tuple((name, *(cell.get(name, "") for cell in cells)) for name in revisions)
    return Table(caption, ("revision", *(heading for heading, _ in columns)), rows)


def _full_detail(one: Trajectory) -> str:
    """The columns that a heading names, without the defaults."""
    silent = {"texts": one.texts == "own", "condition": one.condition in ("", "none")}
    return one.detail(name for name in DETAILS if not silent.get(name))


def _joined(separator: str) -> Callable[["pd.Series[str]"], str]:
    return lambda texts: separator.join(text for text in texts.unique() if text)


def _tuples(frame: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    return tuple(frame.itertuples(index=False, name=None))


def _span(values: Iterable[float], form: str) -> str:
    """Least and greatest of some numbers."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    low, high = format(min(known), form), format(max(known), form)
    return low if low == high else f"{low} to {high}"


def _short_cell(point: Any) -> str:
    if not point.usable:
        return NOT_INTERPRETABLE if point.defined else "not defined"
    interval = "" if math.isnan(point.ci_low) else f" [{point.ci_low:.2f}, {point.ci_high:.2f}]"
    return f"{point.value:.2f}{interval}"
