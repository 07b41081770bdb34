"""Where a trajectory crosses a level: a description of one run, not a test."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hf_clipdyn.statistics.trajectories import Trajectory, rows_of

__all__ = ["Crossing", "crossings"]


@dataclass(frozen=True)
class Crossing:
    """A trajectory crosses a level, confirmed by two revisions in a row on each side.

    Attributes:
        before: the last point (a row) on the first side that has a neighbour there.
        after: the first of two neighbouring points on the other side.
        upwards: whether the trajectory rises through the level.
    """

    before: Any
    after: Any
    upwards: bool


def crossings(one: Trajectory, level: float) -> list[Crossing]:
    """Where a trajectory crosses ``level``, such as one half.

    A point is on a side if its interval is wholly there. One point alone may be the noise of a checkpoint, so it takes
    two revisions in a row on a side, among those at which the number was measured; one that is undefined or not
    interpretable comes between them. A value without an interval is on no side.
    """
    sides = [(point, _side(point, level)) for point in rows_of(one.points)]
    confirmed = [
        (first, second, side) for (first, side), (second, other) in pairwise(sides) if side and side == other
    ]
    return [
        Crossing(before, after, upwards=side > 0)
        for (_, before, was), (after, _, side) in pairwise(confirmed)
        if was != side
    ]


def _side(point: Any, level: float) -> int:
    """1 above, -1 below, 0 for neither."""
    if not point.usable:
        return 0
    return int(point.ci_low > level) - int(point.ci_high < level)
