"""Lines that are made from lines: means over seeds, other x axes, and points as rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from hf_clipdyn.report.panel import Floats, Ints, Level, Line, Panel, Row, Scale

CONFIDENCE = 0.95
"""Of the intervals over seeds."""
Places: TypeAlias = Mapping[str, Mapping[int, float]]
"""Where points lie on another axis, by run or title of a group, and stop of the slider."""


def by_stop(lines: Sequence[Line]) -> tuple[Ints, Ints]:
    """All stops of some lines, and of each line its point at each of them, (lines, stops); -1 without one."""
    stops = np.unique(np.concatenate([line.at for line in lines]))
    points = np.full((len(lines), len(stops)), -1)
    for row, line in zip(points, lines, strict=True):
        row[np.searchsorted(stops, line.at)] = np.arange(len(line.at))
    return stops, points


def at_points(numbers: NDArray[np.float64], points: Ints) -> Floats:
    """The numbers of these points; NaN for -1."""
    return np.where(points < 0, np.nan, numbers[points])


def mean_and_half(values: Floats, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """The mean of each column over what is known, and half of Student's interval; NaN where there is none."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    unknown = np.full(n.shape, np.nan)
    mean = np.divide(np.where(known, values, 0).sum(axis=0), n, out=unknown.copy(), where=n > 0)
    squares = np.where(known, values - mean, 0) ** 2
    variance = np.divide(squares.sum(axis=0), n * (n - 1), out=unknown, where=n > 1)
    return mean, stdtrit(np.maximum(n - 1, 1), (1 + confidence) / 2) * np.sqrt(variance)


def mean_of(seeds: Sequence[Line], title: str) -> Line:
    """The mean over seeds at each stop, with Student's interval over them.

    Where a seed has no usable number, the mean of the others is not interpretable and has no interval: it would jump
    with the seeds that enter it, and those are a selection.
    """
    placed = all((line.at >= 0).all() for line in seeds)
    stops, points = by_stop(
        seeds if placed else [replace(line, at=np.arange(len(line.at))) for line in seeds]
    )
    x, every, usable = (
        np.stack([at_points(getattr(line, name), own) for line, own in zip(seeds, points, strict=True)])
        for name in ("x", "y", "drawn")
    )
    n = np.isfinite(usable).sum(axis=0)
    whole = n == len(seeds)
    mean, half = mean_and_half(usable)
    half = np.where(whole, half, np.nan)
    some = tuple(
        "" if k == len(seeds) else f"{k} of {len(seeds)} seeds are interpretable" for k in n.tolist()
    )
    return replace(
        seeds[0],
        label=title,
        run="",
        x=np.fmax.reduce(x, axis=0),
        y=np.where(n > 0, mean, mean_and_half(every)[0]),
        low=mean - half,
        high=mean + half,
        usable=whole,
        at=stops if placed else np.full(len(stops), -1),
        n=n,
        n_clusters=np.zeros(len(stops), np.int64),
        notes=() if whole.all() else some,
        seeds=tuple(seeds),
    )


def over_clock(panel: Panel, clocks: pd.DataFrame, name: str, title: str) -> Panel:
    """A panel over training on another axis: a column of `Courses.clocks`."""
    known: Any = {run: own.droplevel(0).to_dict() for run, own in clocks[name].groupby(level=0)}
    return replace(panel, x=Scale(title=title), lines=moved(panel.lines, known))


def against(panel: Panel, other: Panel) -> Panel:
    """A metric against another: the points of a panel at the values of ``other`` for the same run and stop.

    Both are panels over training, or both have a row for each model.
    """
    x = other.x if panel.form == "rows" else other.y
    found = replace(panel, title=f"{panel.title} against {x.title}", form="lines", x=x, rows=())
    if panel.form == "rows":
        places = {row.label: row.value for row in other.rows if math.isfinite(row.value)}
        known = [(row, places[row.label]) for row in panel.rows if row.label in places]
        lines = [line_of([row], [at], label=row.label, run=row.label, place=row.place) for row, at in known]
        return replace(found, y=panel.x, lines=tuple(lines))
    every = [line for one in other.values for line in (one, *one.seeds)]
    values = {line.run or line.group: dict(zip(line.at.tolist(), line.drawn, strict=True)) for line in every}
    return replace(found, lines=moved(panel.values, values))


def moved(lines: Sequence[Line], known: Places) -> tuple[Line, ...]:
    """Lines, with their seeds, at other places."""
    found = []
    for line in lines:
        own = known.get(line.run or line.group, {})
        x = np.array([own.get(stop, math.nan) for stop in line.at.tolist()], np.float64)
        found.append(replace(line, x=x, seeds=moved(line.seeds, known)))
    return tuple(found)


def line_of(rows: Sequence[Row], places: Sequence[float], **given: Any) -> Line:
    """Rows as the points of one line, at these places."""
    columns = {
        name: np.array([getattr(row, name) for row in rows]) for name in ("low", "high", "usable", "n")
    }
    return Line.plain(np.array(places), np.array([row.value for row in rows], float), **columns, **given)


def row_of(line: Line, label: str, beside: tuple[Level, ...] = ()) -> Row:
    """The last point of a line as a row."""
    value, low, high = (float(numbers[-1]) for numbers in (line.y, line.low, line.high))
    return Row(
        label=label,
        series="" if label == line.label else line.label,
        value=value,
        low=low,
        high=high,
        usable=bool(line.usable[-1]),
        n=int(line.n[-1]),
        beside=beside,
        place=line.place,
        words=line.words(len(line.y) - 1),
    )
