"""Trajectories: one metric over the revisions of one run, and what may be said of them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hf_clipdyn.report.results import Measurement
from hf_clipdyn.revisions.names import epoch_of, natural_key, step_of

__all__ = ["UNJUDGED", "Point", "Trajectory", "Turn", "read_trajectories", "sibling", "stem", "turns"]

UNJUDGED = "no row tells whether this ratio is interpretable"
"""Note of a shape or texture bias without its sibling row."""

_GATED = {"shape_bias", "texture_bias"}


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
        note: named cause of a NaN.
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


def read_trajectories(rows: Sequence[Measurement]) -> list[Trajectory]:
    """Cut measurements (`read_results`) into trajectories, in the order of the table.

    The shape and texture bias take their interpretability from the sibling row ``interpretable`` of
    the same revision and protocol; without such a row they count as not interpretable.
    """
    runs: dict[str, list[Measurement]] = defaultdict(list)
    members: dict[tuple[object, ...], list[Measurement]] = defaultdict(list)
    for row in rows:
        runs[row.run].append(row)
        members[row.run, *row.identity].append(row)
    places = {run: _places(of_run) for run, of_run in runs.items()}
    return _gate([_trajectory(of_one, places[of_one[0].run]) for of_one in members.values()])


def _trajectory(rows: Sequence[Measurement], places: dict[str, tuple[float | None, int]]) -> Trajectory:
    first = rows[0]
    points = [
        Point(
            row.revision,
            row.commit,
            *places[row.revision],
            row.step,
            row.samples_seen,
            row.value,
            row.ci_low,
            row.ci_high,
            row.n,
            row.n_groups,
            row.note,
        )
        for row in rows
    ]
    return Trajectory(
        first.run,
        first.benchmark,
        first.data_fingerprint,
        first.preprocess,
        first.dtype,
        first.probe,
        first.layer,
        first.metric,
        first.group,
        first.higher_is_better,
        tuple(sorted(points, key=lambda point: point.order)),
    )


def _places(rows: Sequence[Measurement]) -> dict[str, tuple[float | None, int]]:
    """Position in epochs and rank of every revision of one run."""
    revisions = {row.revision: row for row in reversed(rows)}
    # `step-00000512` may carry the number of the epoch that it lies in: its place is inside that epoch.
    whole = [row for name, row in revisions.items() if epoch_of(name) is not None or step_of(name) is None]
    epochs: dict[str, float | None] = {row.revision: row.epoch for row in whole}
    for name in revisions.keys() - epochs.keys():
        row = revisions[name]
        by_step = _interpolate(row.step, [(mark.step, mark.epoch) for mark in whole])
        by_samples = _interpolate(row.samples_seen, [(mark.samples_seen, mark.epoch) for mark in whole])
        epochs[name] = by_samples if by_step is None else by_step

    def rank(name: str) -> tuple[float, float, tuple[tuple[int, int, str], ...]]:
        place, step = epochs[name], revisions[name].step
        return (math.inf if place is None else place, math.inf if step is None else step, natural_key(name))

    return {name: (epochs[name], order) for order, name in enumerate(sorted(epochs, key=rank))}


def _interpolate(reading: float | None, marks: Iterable[tuple[float | None, float | None]]) -> float | None:
    """The epoch at a reading of a clock, from the readings at whole epochs; None if they do not tell."""
    pairs = sorted(
        {(0.0, 0.0), *((clock, epoch) for clock, epoch in marks if clock is not None and epoch is not None)}
    )
    if reading is None or len(pairs) < 2:
        return None
    clocks, epochs = zip(*pairs, strict=True)
    if reading > clocks[-1]:
        return float(reading * epochs[-1] / clocks[-1])
    return float(np.interp(reading, clocks, epochs))


def _gate(found: Sequence[Trajectory]) -> list[Trajectory]:
    verdicts: dict[tuple[object, ...], dict[str, bool]] = defaultdict(dict)
    for one in found:
        if stem(one.metric) == "interpretable":
            verdicts[_family(one, one.metric)].update(
                {point.revision: point.value == 1.0 for point in one.points}
            )
    return [_judged(one, verdicts) if stem(one.metric) in _GATED else one for one in found]


def _judged(one: Trajectory, verdicts: dict[tuple[object, ...], dict[str, bool]]) -> Trajectory:
    verdict = verdicts.get(_family(one, sibling(one.metric, "interpretable")), {})
    points = [
        replace(point, interpretable=verdict[point.revision])
        if point.revision in verdict
        else replace(point, interpretable=False, note=point.note or UNJUDGED)
        for point in one.points
    ]
    return replace(one, points=tuple(points))


def _family(one: Trajectory, metric: str) -> tuple[object, ...]:
    identity = (one.run, one.benchmark, one.data_fingerprint, one.preprocess, one.dtype, one.probe, one.layer)
    return (*identity, metric, one.group)
