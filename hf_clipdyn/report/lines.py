"""Lines that are made from lines: means over seeds, other x axes, and rows as points."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from hf_clipdyn.report.panel import Floats, Ints, Line, Panel, Row, Scale

CONFIDENCE = 0.95
"""Of the intervals over seeds."""


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


def mean_of(seeds: Sequence[Line]) -> Line:
    """The mean over seeds at each stop, with Student's interval over them.

    Where a seed has no usable number, the mean of the others is not interpretable and has no interval: it would jump
    with the seeds that enter it, and those are a selection.
    """
    stops, points = by_stop(seeds)
    x, every, usable = (
        np.stack([at_points(getattr(line, name), own) for line, own in zip(seeds, points, strict=True)])
        for name in ("x", "y", "drawn")
    )
    n = np.isfinite(usable).sum(axis=0)
    whole = n == len(seeds)
    mean, half = mean_and_half(usable)
    half = np.where(whole, half, np.nan)
    some = [f"{k} of {len(seeds)} seeds are interpretable" for k in n.tolist()]
    return replace(
        seeds[0],
        run="",
        x=np.fmax.reduce(x, axis=0),
        y=np.where(n > 0, mean, mean_and_half(every)[0]),
        low=mean - half,
        high=mean + half,
        usable=whole,
        at=stops,
        n=n,
        n_clusters=np.zeros(len(stops), np.int64),
        notes=() if whole.all() else tuple(np.where(whole, "", some).tolist()),
        seeds=tuple(seeds),
    )


def over_clock(panel: Panel, clocks: pd.DataFrame, name: str, title: str) -> Panel:
    """A panel over training on another axis: a column of `Courses.clocks`."""
    known = {run: own.droplevel(0).to_dict() for run, own in clocks[name].groupby(level=0)}
    return replace(panel, x=Scale(title=title), lines=_moved(panel.lines, known))


def against(panel: Panel, other: Panel) -> Panel:
    """A metric against another: the points of a panel at the values of ``other`` for the same run and stop.

    Both are panels over training, or both have a row for each model.
    """
    y, x = (one.x if one.form == "rows" else one.y for one in (panel, other))
    every = [part for line in _lines(other) for part in (line, *line.seeds)]
    known = {part.run or part.group: dict(zip(part.at.tolist(), part.drawn, strict=True)) for part in every}
    title, lines = f"{panel.title} against {x.title}", _moved(_lines(panel), known)
    return replace(panel, title=title, form="lines", x=x, y=y, lines=lines, rows=())


def _lines(panel: Panel) -> Sequence[Line]:
    """The lines of the model; of a panel of rows, each as a line of one point."""
    if panel.form != "rows":
        return panel.values
    return [line_of([row], [0.0], label=row.label, run=row.label, place=row.place) for row in panel.rows]


def _moved(lines: Sequence[Line], known: Mapping[Any, Mapping[Any, float]]) -> tuple[Line, ...]:
    """Lines, with their seeds, at other places, by run or title of a group, and stop of the slider."""
    found = []
    for line in lines:
        own = known.get(line.run or line.group, {})
        x = np.array([own.get(stop, math.nan) for stop in line.at.tolist()], np.float64)
        found.append(replace(line, x=x, seeds=_moved(line.seeds, known)))
    return tuple(found)


def line_of(rows: Sequence[Row], places: Sequence[float], **given: Any) -> Line:
    """Rows as the points of one line, at these places."""
    names = {"y": "value", "low": "low", "high": "high", "usable": "usable", "n": "n"}
    columns = {name: np.array([getattr(row, own) for row in rows]) for name, own in names.items()}
    return Line.plain(np.array(places), **(columns | given))
