"""Trajectories: one metric over the revisions of one run, and what may be said of them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Point", "Trajectory", "Turn", "sibling", "stem", "turns"]


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        revision: name of the revision; ``commit`` its hash.
        epoch: position in epochs; between two whole numbers for a revision inside an epoch; None
            where neither the name nor the step tells.
        step, samples_seen: as recorded, None where unknown.
        order: rank of the revision in its run, from 0.
        value, low, high: the number and its 95 % interval over the items; NaN where undefined.
        n, n_groups: items, and clusters of items that the interval resamples (NaN where unknown).
        note: named cause of a NaN, or a caution about a number.
        interpretable: False where the metric is a ratio of decisions that were not told from chance.
    """

    revision: str
    commit: str
    epoch: float | None
    order: int
    step: float | None
    samples_seen: float | None
    value: float
    low: float
    high: float
    n: float
    n_groups: float
    note: str
    interpretable: bool = True

    @property
    def defined(self) -> bool:
        """Whether there is a number at all."""
        return math.isfinite(self.value)

    @property
    def usable(self) -> bool:
        """Whether the number is defined and means what its name says."""
        return self.defined and self.interpretable


@dataclass(frozen=True)
class Trajectory:
    """One metric over the revisions of one run, in the order of training."""

    run: str
    benchmark: str
    data_fingerprint: str
    preprocess: str
    dtype: str
    probe: str
    layer: int | None
    metric: str
    group: str
    higher_is_better: bool | None
    points: tuple[Point, ...]

    @property
    def kind(self) -> str:
        """The kind of benchmark: ``shape_bias`` of ``shape_bias/procedural``."""
        return self.benchmark.partition("/")[0]

    @property
    def dataset(self) -> str:
        """The data set of the benchmark: ``procedural`` of ``shape_bias/procedural``."""
        return self.benchmark.partition("/")[2]

    @property
    def usable(self) -> tuple[Point, ...]:
        """The points that are defined and interpretable."""
        return tuple(point for point in self.points if point.usable)


@dataclass(frozen=True)
class Turn:
    """A trajectory passes a level between two points whose intervals lie on its two sides.

    Attributes:
        before: the last point whose interval lies wholly on the first side.
        after: the next point whose interval lies wholly on the other side.
        upwards: whether the trajectory rises through the level.
    """

    before: Point
    after: Point
    upwards: bool


def stem(metric: str) -> str:
    """`shape_bias` of `shape_bias/openai_80`: the metric without protocol, prompt set or distance."""
    return metric.partition("/")[0]


def sibling(metric: str, name: str) -> str:
    """The metric ``name`` under the same protocol, prompt set or distance as ``metric``."""
    _, slash, variant = metric.partition("/")
    return f"{name}{slash}{variant}"


def turns(points: Iterable[Point], level: float = 0.5) -> list[Turn]:
    """Passages through ``level`` that the intervals bear out.

    Only usable points count, and of these only such whose interval lies wholly above or wholly
    below the level: two neighbours among them on different sides make one turn. A point without an
    interval cannot bear anything out.
    """
    sides = [
        (point, point.low > level)
        for point in points
        if point.usable and (point.low > level or point.high < level)
    ]
    return [
        Turn(before, after, upwards=is_above)
        for (before, was_above), (after, is_above) in pairwise(sides)
        if was_above != is_above
    ]
