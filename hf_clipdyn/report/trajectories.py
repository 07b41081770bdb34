"""Trajectories: one number over the revisions of one run, and what its intervals say."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.results.row import NUMBER_KEY, NumberKey
from hf_clipdyn.revisions.names import epoch_of, natural_key, step_of

__all__ = ["Trajectory", "Turn", "phases", "read_trajectories", "rows_of", "turns"]


@dataclass(frozen=True, kw_only=True)
class Trajectory(NumberKey):
    """One number over the revisions of one run.

    Attributes:
        run: name of the run; the other fields are columns of its cells and of the number, constant within it.
        points: its rows in the order of training: the columns of `Row` that vary, with ``epoch`` the position in epochs
            (between two whole numbers for a revision inside an epoch; NaN if unknown), ``order`` the rank of the
            revision in its run from 0, ``defined`` whether there is a number, and ``usable`` whether it is defined and
            interpretable.
    """

    run: str
    kind: str
    dataset: str
    split: str
    data_fingerprint: str
    preprocess: str
    settings: str
    dtype: str
    texts: str
    points: pd.DataFrame = field(compare=False, repr=False)

    @property
    def benchmark(self) -> tuple[str, str]:
        """Kind and data set."""
        return self.kind, self.dataset

    @property
    def cell(self) -> tuple[str, ...]:
        """What its cells have in common."""
        return tuple(getattr(self, name) for name in _CELL)

    @cached_property
    def usable(self) -> pd.DataFrame:
        """The points that are defined and interpretable."""
        return self.points[self.points["usable"]]

    @cached_property
    def is_constant(self) -> bool:
        """Whether all its values are one number, as of a chance level."""
        values = self.points.loc[self.points["defined"], "value"]
        return int(values.round(9).nunique()) <= 1

    @property
    def is_value(self) -> bool:
        """Whether it is a number of the model, and no reference or diagnostic."""
        return self.role == "value"


_CELL = tuple(
    one.name for one in fields(Trajectory) if one.name not in (*NUMBER_KEY, "points")
)  # columns of the cell by which trajectories differ


_POINT = [
    *("run", "revision", "commit", "epoch", "step", "samples_seen", "order", "value", "ci_low", "ci_high"),
    *("n", "n_clusters", "note", "defined", "usable"),
]


@dataclass(frozen=True)
class Turn:
    """A trajectory passes a level between two points whose intervals lie on its two sides.

    Attributes:
        before: the last point (a row) whose interval lies wholly on the first side.
        after: the next point whose interval lies wholly on the other side.
        upwards: whether the trajectory rises through the level.
    """

    before: Any
    after: Any
    upwards: bool


def read_trajectories(rows: pd.DataFrame) -> list[Trajectory]:
    """Cut the rows of `read_results` into trajectories, in the order of the table."""
    names = [*_CELL, *NUMBER_KEY]
    placed = pd.concat([_placed(of_run) for _, of_run in rows.groupby("run", sort=False)])
    defined = np.isfinite(placed["value"])
    placed["defined"] = defined
    placed["usable"] = defined & ~placed["interpretable"].eq(False).fillna(False).astype(bool)
    groups = placed.groupby(names, sort=False, dropna=False)
    placed["_trajectory"] = groups.ngroup()
    placed = placed.sort_values(["_trajectory", "order"], kind="stable", ignore_index=True)
    starts = np.flatnonzero(placed["_trajectory"].diff().ne(0))
    keys = placed.loc[starts, names].astype(object)
    keys["layer"] = keys["layer"].astype("Int64").astype(object)
    ends = [*starts[1:], len(placed)]
    points = placed[_POINT]
    typed: Any = Trajectory
    return [
        typed(
            **{name: None if pd.isna(value) else value for name, value in zip(names, key, strict=True)},
            points=points.iloc[start:end],
        )
        for key, start, end in zip(keys.itertuples(index=False, name=None), starts, ends, strict=True)
    ]


def turns(one: Trajectory, level: float) -> list[Turn]:
    """Passages through ``level`` that the intervals show.

    Only usable points count, and only those whose interval lies wholly above or wholly below the level: two neighbours
    among them on different sides make one turn. A point without an interval shows nothing.
    """
    sides = [
        (point, point.ci_low > level)
        for point in rows_of(one.usable)
        if point.ci_low > level or point.ci_high < level
    ]
    return [
        Turn(before, after, upwards=is_above)
        for (before, was_above), (after, is_above) in pairwise(sides)
        if was_above != is_above
    ]


def phases(one: Trajectory, level: float) -> list[list[Any]]:
    """Stretches of usable points, neighbours in the run, whose intervals lie wholly below ``level``."""
    found: list[list[Any]] = []
    for point in rows_of(one.usable):
        if not point.ci_high < level:
            continue
        if found and point.order - found[-1][-1].order == 1:
            found[-1].append(point)
        else:
            found.append([point])
    return found


def rows_of(points: pd.DataFrame) -> list[Any]:
    """The rows as named tuples, for the few places that need them one by one."""
    return list(points.itertuples(index=False))


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one run with the position in epochs and the rank of every revision."""
    revisions = rows.drop_duplicates("revision").set_index("revision")
    clocks: dict[str, dict[Any, float]] = {
        name: revisions[name].astype(float).to_dict() for name in ("epoch", "step", "samples_seen")
    }
    # `step-00000512` may carry the number of the epoch that it lies in: its place is inside that epoch.
    whole = [name for name in revisions.index if step_of(name) is None or epoch_of(name) is not None]
    epochs = dict(clocks["epoch"])
    for name in revisions.index.difference(whole):
        by_step, by_samples = (
            _interpolate(clocks[clock][name], [(clocks[clock][mark], epochs[mark]) for mark in whole])
            for clock in ("step", "samples_seen")
        )
        epochs[name] = by_samples if math.isnan(by_step) else by_step

    def rank(name: str) -> tuple[float, float, tuple[tuple[int, int, str], ...]]:
        place, step = epochs[name], clocks["step"][name]
        return (
            math.inf if math.isnan(place) else place,
            math.inf if math.isnan(step) else step,
            natural_key(name),
        )

    order = {name: index for index, name in enumerate(sorted(revisions.index, key=rank))}
    return rows.assign(epoch=rows["revision"].map(epochs), order=rows["revision"].map(order))


def _interpolate(reading: float, marks: Iterable[tuple[float, float]]) -> float:
    """The epoch at a reading of a clock, from the readings at whole epochs; NaN if they do not tell."""
    pairs = sorted({(0.0, 0.0), *(mark for mark in marks if not math.isnan(sum(mark)))})
    if math.isnan(reading) or len(pairs) < 2:
        return math.nan
    clocks, epochs = zip(*pairs, strict=True)
    if reading > clocks[-1]:
        return float(reading * epochs[-1] / clocks[-1])
    return float(np.interp(reading, clocks, epochs))
