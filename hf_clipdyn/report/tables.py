"""The numbers behind the figures as tables: for the page and for the terminal."""

import math
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.sentences import NOT_INTERPRETABLE, number_words
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.trajectories import Trajectory, rows_of
from hf_clipdyn.report.words import DETAILS, Words, bare, json_words

__all__ = [
    "Table",
    "chart_table",
    "diagnostics_table",
    "overview_tables",
    "provenance_table",
    "terminal_tables",
    "undefined_table",
]


@dataclass(frozen=True)
class Table:
    """A table of texts with a caption and one heading for each column."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def chart_table(chart: Chart, words: Words) -> Table:
    """Every number of a chart, chance and null included: by revision, or line by line for a chart of bars."""
    if chart.encoding.x == "value":
        return _bar_table(chart)
    several_runs = len({one.run for one in chart.trajectories}) > 1
    headings, columns = [], []
    for panel in chart.panels:
        for line in (*panel.lines, *panel.references):
            one = line.trajectory
            if not one.is_value:
                parts = [line.label, panel.title, one.run if several_runs else ""]
            elif several_runs:
                parts = [line.label, panel.title]
            else:
                parts = [words.detail(one, _told(one)) or line.label]
            headings.append("\n".join([*filter(None, parts), _count_words(one.points)]))
            columns.append({point.revision: _cell(point) for point in rows_of(one.points)})
    rows = tuple(
        (name, *(column.get(name, "") for column in columns)) for name in _in_order(chart.trajectories)
    )
    return Table(chart.title, ("revision", *headings), rows)


def _bar_table(chart: Chart) -> Table:
    rows = []
    for panel in chart.panels:
        for line in (*panel.lines, *panel.references):
            one = line.trajectory
            label = "" if line.label == one.run else line.label
            rows += [
                (panel.title, label, one.run, _cell(point), f"{point.n:,.0f}")
                for point in rows_of(one.points)
            ]
    return Table(chart.title, ("metric", "detail", "model", "value", "n"), tuple(rows))


def _told(one: Trajectory) -> list[str]:
    """The columns that a heading names: not what is so by default."""
    silent = {"texts": one.texts == "own", "condition": one.condition in ("", "none")}
    return [name for name in DETAILS if not silent.get(name)]


def undefined_table(study: Study) -> Table:
    """Every number that is not defined, with the cause that the metric named."""
    found: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    words = study.words
    for one in study.trajectories:
        if one.points["defined"].all():
            continue
        metric = words.metric(one)
        if not one.is_value:
            metric = f"{metric} ({words.reference(one).title})"
        for point in rows_of(one.points[~one.points["defined"]]):
            cause = point.note or "no cause was recorded"
            key = (one.run, words.benchmark(one), metric, cause)
            found.setdefault(key, []).append((point.revision, words.detail(one, _told(one))))
    rows = []
    for (run, benchmark, metric, cause), places in found.items():
        revisions = ", ".join(dict.fromkeys(revision for revision, _ in places))
        details = "; ".join(dict.fromkeys(detail for _, detail in places if detail))
        rows.append((run, benchmark, metric, details, revisions, cause))
    headings = ("run", "benchmark", "metric", "detail", "revisions", "cause")
    return Table("Numbers that are not defined", headings, tuple(rows))


def diagnostics_table(study: Study) -> Table:
    """What was recorded about the measurement itself, by condition and level; no row if nothing was."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for one in study.trajectories:
        if one.role == "diagnostic":
            columns = [name for name in DETAILS if name not in ("probe", "texts")]
            key = (study.words.benchmark(one), study.words.metric(one), study.words.detail(one, columns))
            found[key] += one.usable["value"].tolist()
    rows = tuple((*key, _span(values, ".3g")) for key, values in found.items() if values)
    return Table("Diagnostics", ("benchmark", "quantity", "condition", "value"), rows)


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
    rows = study.results.rows
    for key, members in rows.groupby(columns, sort=False):
        run, kind, dataset, split, data, preprocess, settings, dtype, versions = map(str, key)
        found.append(
            (
                run,
                f"{kind}/{dataset}",
                split,
                f"{members['revision'].nunique():,}",
                _span(members.loc[members["role"] == "value", "n"], ",.0f"),
                data[:12],
                preprocess,
                bare(json_words(settings)),
                dtype,
                json_words(versions),
            )
        )
    headings = (
        *("run", "benchmark", "split", "revisions", "n", "data fingerprint", "preprocess", "settings"),
        *("dtype", "versions"),
    )
    return Table("How it was measured", headings, tuple(found))


def overview_tables(study: Study) -> list[Table]:
    """A table for each run: its revisions by the questions of the overview."""
    columns = [
        (panel.title, line.trajectory)
        for panels in study.overview
        for panel in panels
        for line in panel.lines
    ]
    tables = []
    for run in sorted({one.run for _, one in columns}):
        own = [(title, one) for title, one in columns if one.run == run]
        cells = [{point.revision: _short_cell(point) for point in rows_of(one.points)} for _, one in own]
        rows = tuple(
            (name, *(cell.get(name, "") for cell in cells)) for name in _in_order([one for _, one in own])
        )
        tables.append(Table(run, ("revision", *(title for title, _ in own)), rows))
    return tables


def terminal_tables(study: Study) -> list[str]:
    """`overview_tables` as plain text."""
    return [
        _aligned(
            table.caption,
            [
                [line for part in title.split("\n") for line in textwrap.wrap(part, 18)]
                for title in table.headings
            ],
            table.rows,
        )
        for table in overview_tables(study)
    ]


def _aligned(title: str, heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> str:
    height = max(len(head) for head in heads)
    top = [[head[i] if i < len(head) else "" for head in heads] for i in range(height)]
    widths = [max(len(line[i]) for line in (*top, *rows)) for i in range(len(heads))]
    body = [top, [["-" * width for width in widths]], rows]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for part in body
        for line in part
    ]
    return "\n".join([title, *lines])


def _in_order(trajectories: Iterable[Trajectory]) -> list[str]:
    """Names of the revisions of all trajectories in the order of training."""
    points = pd.concat([one.points[["revision", "epoch", "order"]] for one in trajectories])
    return list(points.sort_values(["epoch", "order"]).drop_duplicates("revision")["revision"])


def _count_words(points: pd.DataFrame) -> str:
    n, clusters = (_span(points.loc[points[name] > 0, name], ",.0f") for name in ("n", "n_clusters"))
    return ", ".join(
        part for part in (f"n = {n}" if n else "", f"{clusters} clusters" if clusters else "") if part
    )


def _span(values: Iterable[float], form: str) -> str:
    """Least and greatest of some numbers."""
    known = sorted({value for value in values if math.isfinite(value)})
    if not known:
        return ""
    low, high = format(known[0], form), format(known[-1], form)
    return low if low == high else f"{low} to {high}"


def _cell(point: Any) -> str:
    if not point.defined:
        return f"not defined: {point.note or 'no cause was recorded'}"
    caution = f" ({point.note})" if point.note else ""
    return number_words(point, count=False) + (caution if point.usable else f", {NOT_INTERPRETABLE}{caution}")


def _short_cell(point: Any) -> str:
    if not point.usable:
        return NOT_INTERPRETABLE if point.defined else "not defined"
    interval = "" if math.isnan(point.ci_low) else f" [{point.ci_low:.2f}, {point.ci_high:.2f}]"
    return f"{point.value:.2f}{interval}"
