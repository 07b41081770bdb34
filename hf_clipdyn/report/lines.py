"""Lines that are made from lines: means over seeds, other x axes, and points as rows."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from hf_clipdyn.report.panel import Floats, Level, Line, Panel, Row, Scale

CONFIDENCE = 0.95
"""Of the intervals over seeds."""


def mean_of(seeds: Sequence[Line], title: str) -> Line:
    """The mean over seeds at each stop, with Student's interval over them.

    Where a seed has no usable number, the mean of the others is not interpretable and has no interval: it would jump
    with the seeds that enter it, and those are a selection.
    """
    alone = [replace(line, at=np.arange(len(line.at))) if (line.at < 0).any() else line for line in seeds]
    stops = np.unique(np.concatenate([line.at for line in alone]))
    every, usable = (np.full((len(seeds), len(stops)), np.nan) for _ in range(2))
    x = np.full(len(stops), np.nan)
    for row, line in enumerate(alone):
        places = np.searchsorted(stops, line.at)
        x[places], every[row, places], usable[row, places] = line.x, line.y, line.drawn
    n = np.isfinite(usable).sum(axis=0)
    whole = n == len(seeds)
    means, rest = _column_mean(usable), _column_mean(every)
    squares = np.where(np.isfinite(usable), (usable - means) ** 2, 0.0).sum(axis=0)
    n_more = np.maximum(n - 1, 1)
    half = stdtrit(n_more, (1 + CONFIDENCE) / 2) * np.sqrt(squares / n_more / np.maximum(n, 1))
    half = np.where(whole & (n > 1), half, np.nan)
    notes = tuple(
        "" if all_of else f"{some} of {len(seeds)} seeds are interpretable"
        for all_of, some in zip(whole, n, strict=True)
    )
    return replace(
        seeds[0],
        label=title,
        run="",
        x=x,
        y=np.where(n > 0, means, rest),
        low=means - half,
        high=means + half,
        usable=whole,
        at=stops if alone[0] is seeds[0] else np.full(len(stops), -1),
        n=n,
        n_clusters=np.zeros(len(stops), np.int64),
        notes=() if whole.all() else notes,
        seeds=tuple(seeds),
    )


def _column_mean(values: Floats) -> Floats:
    """The mean of each column over its known numbers; NaN without any."""
    n = np.isfinite(values).sum(axis=0)
    sums = np.nansum(values, axis=0)
    means: Floats = np.divide(sums, n, out=np.full(len(sums), np.nan), where=n > 0)
    return means


def against(panel: Panel, other: Panel) -> Panel:
    """A metric against another: the points of a panel at the values of ``other`` for the same run and stop.

    Both are panels over training, or both have a row for each model.
    """
    if panel.form == "rows":
        places = {row.label: row.value for row in other.rows}
        lines = tuple(
            _point(row, places[row.label])
            for row in panel.rows
            if math.isfinite(places.get(row.label, math.nan))
        )
        return _other_x(panel, other.x, lines)
    known = {
        (line.run or line.group): dict(zip(line.at.tolist(), line.drawn, strict=True))
        for one in other.values
        for line in (one, *one.seeds)
    }
    return _other_x(panel, other.y, tuple(_moved(line, known) for line in panel.values))


def over_clock(panel: Panel, clocks: pd.DataFrame, name: str, title: str) -> Panel:
    """A panel over training on another axis: a column of `Planner.clocks`."""
    known: dict[str, dict[int, float]] = defaultdict(dict)
    for (run, stop), value in zip(clocks.index.tolist(), clocks[name], strict=True):
        known[run][stop] = float(value)
    lines = tuple(_moved(line, known) for line in panel.lines)
    return replace(panel, x=Scale(title=title), lines=lines, spans=())


def _moved(line: Line, known: Mapping[str, Mapping[int, float]]) -> Line:
    own = known.get(line.run or line.group, {})
    x = np.array([own.get(stop, math.nan) for stop in line.at.tolist()], np.float64)
    return replace(line, x=x, seeds=tuple(_moved(seed, known) for seed in line.seeds))


def _other_x(panel: Panel, x: Scale, lines: tuple[Line, ...]) -> Panel:
    y = panel.x if panel.form == "rows" else panel.y
    title = f"{panel.title} against {x.title}"
    return replace(panel, title=title, form="lines", x=x, y=y, lines=lines, rows=(), spans=())


def _point(row: Row, x: float) -> Line:
    one: dict[str, Any] = {"y": row.value, "low": row.low, "high": row.high, "x": x}
    columns: dict[str, Any] = {name: np.array([value], np.float64) for name, value in one.items()}
    given: dict[str, Any] = {"n": np.array([row.n]), "n_clusters": np.array([0]), "at": np.array([-1])}
    return Line(
        label=row.label, run=row.label, usable=np.array([row.usable]), place=row.place, **columns, **given
    )


def row_of(line: Line, label: str, beside: tuple[Level, ...] = ()) -> Row:
    """The last point of a line as a row."""
    return Row(
        label=label,
        series="" if label == line.label else line.label,
        value=float(line.y[-1]),
        low=float(line.low[-1]),
        high=float(line.high[-1]),
        usable=bool(line.usable[-1]),
        n=int(line.n[-1]),
        beside=beside,
        place=line.place,
        words=line.words(len(line.y) - 1),
    )
