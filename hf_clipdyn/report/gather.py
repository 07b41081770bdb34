"""Gather measurements into trajectories: place the revisions, and judge which ratios mean something."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from hf_clipdyn.report.results import Measurement
from hf_clipdyn.report.trajectories import Point, Trajectory, sibling, stem
from hf_clipdyn.revisions.names import epoch_of, natural_key, step_of

__all__ = ["UNJUDGED", "read_trajectories"]

UNJUDGED = "no row tells whether this ratio is interpretable"
"""Note of a shape or texture bias without its sibling row."""

_GATED = {"shape_bias", "texture_bias"}


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
