"""The numbers behind the figures as tables: for the page and for the terminal."""

import json
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hf_clipdyn.report.plan import Chart, Panel
from hf_clipdyn.report.results import Measurement
from hf_clipdyn.report.sentences import number_words
from hf_clipdyn.report.trajectories import Point, Trajectory
from hf_clipdyn.report.vocabulary import benchmark_words, group_words

__all__ = [
    "Table",
    "chart_table",
    "noise_table",
    "overview_tables",
    "provenance_table",
    "terminal_tables",
    "undefined_table",
]

_NEAR_CHANCE = "not interpretable near chance"


@dataclass(frozen=True)
class Table:
    """A table of texts with a caption and one heading for each column."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def chart_table(chart: Chart) -> Table:
    """Every number of a chart: a row for each revision, a column for each line, chance and null included."""
    several_runs = len({one.run for one in chart.trajectories}) > 1
    headings, columns = [], []
    for panel in chart.panels:
        for line in (*panel.lines, *panel.references):
            one = line.trajectory
            if line in panel.references:
                words = [line.label, one.run] if several_runs else [line.label]
            else:
                words = [line.label, panel.title] if several_runs else [group_words(one)]
            headings.append("\n".join([*filter(None, words), _count_words(one)]))
            columns.append({point.revision: _cell(point) for point in one.points})
    revisions = _in_order(chart.trajectories)
    rows = tuple((name, *(column.get(name, "") for column in columns)) for name in revisions)
    return Table(chart.title, ("revision", *headings), rows)


def undefined_table(trajectories: Sequence[Trajectory]) -> Table:
    """Every number that is not defined, with the cause that the metric named."""
    found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for one in trajectories:
        for point in one.points:
            if not point.defined:
                cause = point.note or "no cause was recorded"
                found.setdefault((one.run, f"{one.benchmark} {one.metric}", cause), []).append(
                    (point.revision, group_words(one))
                )
    rows = []
    for (run, metric, cause), places in found.items():
        revisions = ", ".join(dict.fromkeys(revision for revision, _ in places))
        groups = "; ".join(dict.fromkeys(group for _, group in places if group))
        rows.append((run, metric, groups, revisions, cause))
    return Table("Numbers that are not defined", ("run", "metric", "of", "revisions", "cause"), tuple(rows))


def noise_table(trajectories: Sequence[Trajectory]) -> Table:
    """The measured RMS of each noise beside its nominal level; no row where no table has it."""
    rows = dict.fromkeys(
        (benchmark_words(one.benchmark), group_words(replace(one, probe="")), f"{one.usable[0].value:.3f}")
        for one in trajectories
        if one.metric == "noise_rms" and one.usable
    )
    headings = ("benchmark", "nominal", "effective RMS, pixels in [0, 1]")
    return Table("Noise as it was shown", headings, tuple(rows))


def provenance_table(rows: Sequence[Measurement]) -> Table:
    """What each benchmark was measured with: data, preprocessing, precision, versions, time."""
    groups: dict[tuple[str, ...], list[Measurement]] = {}
    for row in rows:
        key = (row.run, row.benchmark, row.data_fingerprint, row.preprocess, row.dtype, row.versions)
        groups.setdefault(key, []).append(row)
    found = []
    for (run, benchmark, data, preprocess, dtype, versions), members in groups.items():
        revisions = {row.revision for row in members}
        items = sorted({row.n for row in members if math.isfinite(row.n)})
        n = (
            ""
            if not items
            else f"{items[0]:,.0f}"
            if len(items) == 1
            else f"{items[0]:,.0f} to {items[-1]:,.0f}"
        )
        found.append(
            (run, benchmark, str(len(revisions)), n, data[:12], preprocess, dtype, _version_words(versions))
        )
    headings = ("run", "benchmark", "revisions", "n", "data fingerprint", "preprocess", "dtype", "versions")
    return Table("What was measured with what", headings, tuple(found))


def _version_words(versions: str) -> str:
    """``torch 2.6, transformers 5.0``; a text that is no JSON object stays as it is."""
    try:
        known = json.loads(versions)
    except (ValueError, RecursionError):
        return versions
    if not isinstance(known, dict):
        return versions
    return ", ".join(f"{name} {version}" for name, version in known.items())


def overview_tables(worlds: Sequence[Sequence[Panel]]) -> list[Table]:
    """A table for each run: its revisions by the questions of the overview."""
    columns = [
        (panel.title, line.trajectory) for panels in worlds for panel in panels for line in panel.lines
    ]
    tables = []
    for run in sorted({one.run for _, one in columns}):
        own = [(title, one) for title, one in columns if one.run == run]
        cells = [{point.revision: _short_cell(point) for point in one.points} for _, one in own]
        rows = tuple(
            (name, *(cell.get(name, "") for cell in cells)) for name in _in_order([one for _, one in own])
        )
        tables.append(Table(run, ("revision", *(title for title, _ in own)), rows))
    return tables


def terminal_tables(worlds: Sequence[Sequence[Panel]]) -> list[str]:
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
        for table in overview_tables(worlds)
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
    points = {
        point.revision: (point.epoch if point.epoch is not None else math.inf, point.order)
        for one in trajectories
        for point in one.points
    }
    return sorted(points, key=lambda name: points[name])


def _count_words(one: Trajectory) -> str:
    def span(values: Iterable[float]) -> str:
        known = sorted({value for value in values if math.isfinite(value)})
        if not known:
            return ""
        return f"{known[0]:,.0f}" if len(known) == 1 else f"{known[0]:,.0f} to {known[-1]:,.0f}"

    n, groups = span(point.n for point in one.points), span(point.n_groups for point in one.points)
    return ", ".join(part for part in (f"n = {n}" if n else "", f"{groups} groups" if groups else "") if part)


def _cell(point: Point) -> str:
    if not point.defined:
        return f"not defined: {point.note or 'no cause was recorded'}"
    caution = f" ({point.note})" if point.note else ""
    return number_words(point, count=False) + (caution if point.interpretable else f" {_NEAR_CHANCE}")


def _short_cell(point: Point) -> str:
    if not point.usable:
        return "near chance" if point.defined else "not defined"
    half = "" if math.isnan(point.low) else f" [{point.low:.2f}, {point.high:.2f}]"
    return f"{point.value:.2f}{half}"
