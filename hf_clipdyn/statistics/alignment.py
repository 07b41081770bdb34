"""Where revisions lie in training, and windows of it: runs of different lengths and paces side by side."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.statistics.endpoints import Endpoint, RunValues, arm_of
from hf_clipdyn.statistics.trajectories import Trajectory

__all__ = ["AXES", "Clock", "Placement", "Window", "align", "common_accuracy", "locate", "place"]

Clock: TypeAlias = Literal["samples_seen", "step", "epoch"]
"""What shares of training are counted in."""

AXES = ("epoch", "step", "samples_seen", "log_samples", "accuracy")
"""Columns of `align` on which runs can be drawn side by side."""

_CLOCKS: tuple[Clock, ...] = ("samples_seen", "step", "epoch")
_NEAR = 1e-6  # shares are quotients


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of training; exactly one of its ways to choose revisions is given.

    Attributes:
        name: as weights of a contrast name it.
        start, end: shares of the samples of training, 0 to 1, both ends included.
        untrained: the revision before the first step.
        epochs: the revisions of these whole epochs.
        accuracy: where the run reaches this accuracy: between two revisions, by interpolation.
    """

    name: str
    start: float | None = None
    end: float | None = None
    untrained: bool = False
    epochs: tuple[int, ...] = ()
    accuracy: float | None = None

    def __post_init__(self) -> None:
        shares = self.start is not None or self.end is not None
        ways = sum([shares, self.untrained, bool(self.epochs), self.accuracy is not None])
        where = f"The window {self.name!r}"
        if ways != 1:
            raise ConfigError(
                f"{where} needs exactly one of start and end, untrained, epochs or accuracy; it has {ways}."
            )
        if shares and not (
            self.start is not None and self.end is not None and 0 <= self.start <= self.end <= 1
        ):
            raise ConfigError(
                f"{where} goes from {self.start} to {self.end}: give shares, 0 <= start <= end <= 1."
            )
        if any(epoch < 0 for epoch in self.epochs):
            raise ConfigError(f"{where} has an epoch below 0.")
        if self.accuracy is not None and not 0 <= self.accuracy <= 1:
            raise ConfigError(f"{where} is at an accuracy of {self.accuracy}: give a number from 0 to 1.")


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The revisions of a window in one run.

    Attributes:
        weights: of each revision in the mean over the window; they sum to 1.
        cause: why there is none.
        note: a caution.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    cause: str = ""
    note: str = ""


def align(
    trajectories: Iterable[Trajectory], *, accuracy: Endpoint | None = None, clock: Clock = "samples_seen"
) -> dict[str, pd.DataFrame]:
    """The revisions of each run on all axes.

    Args:
        trajectories: of one or several runs.
        accuracy: the number that `Window.accuracy` and the axis ``accuracy`` mean, such as zero-shot accuracy.
        clock: what shares are counted in; where a run does not know it for all its revisions, steps or epochs count.

    Returns:
        By the name of the run a frame, with a row per revision in the order of training, indexed by its name:

        - ``epoch``, ``step``, ``samples_seen``, and ``log_samples`` (log10; NaN before the first step); NaN if unknown.
        - ``share``: of training, 0 to 1. The whole is the longest run of the same scale and arm, so a run that was cut
          short does not reach 1; a run of no named scale is compared with itself. NaN if no clock is known.
        - ``accuracy``: as measured; ``monotone_accuracy``: its isotonic regression over training (NaN without the
          endpoint). A single lucky revision then does not decide where a run reaches an accuracy.
    """
    listed = list(trajectories)
    of_run: dict[str, list[Trajectory]] = defaultdict(list)
    for one in listed:
        of_run[one.run].append(one)
    accuracies = accuracy.of(listed) if accuracy else {}
    places = {run: _revisions(held) for run, held in of_run.items()}
    groups = {run: (held[0].scale, arm_of(held[0])) if held[0].scale else run for run, held in of_run.items()}
    clocks = {run: _known_clock(table, clock) for run, table in places.items()}
    wholes: dict[object, float] = defaultdict(float)
    for run, table in places.items():
        if name := clocks[run]:
            key = groups[run], name
            wholes[key] = max(wholes[key], float(table[name].max()))
    for run, table in places.items():
        name = clocks[run]
        whole = wholes[groups[run], name] if name else 0.0
        table["share"] = table[name] / whole if name and whole else math.nan
        _add_accuracy(table, accuracies.get(run))
    return places


def _revisions(held: Iterable[Trajectory]) -> pd.DataFrame:
    # Most trajectories have the same revisions.
    distinct = {one.points["order"].to_numpy().tobytes(): one.points for one in held}
    columns = ["revision", "order", "epoch", "step", "samples_seen"]
    points = pd.concat([one[columns] for one in distinct.values()]).drop_duplicates("revision")
    table = points.set_index("revision").sort_values("order").astype(float)
    seen = table["samples_seen"]
    table["log_samples"] = np.log10(seen.where(seen > 0))
    return table


def _known_clock(table: pd.DataFrame, wanted: Clock) -> Clock | None:
    for name in (wanted, *_CLOCKS):
        if table[name].notna().all():
            return name
    return None


def _add_accuracy(table: pd.DataFrame, held: RunValues | None) -> None:
    table["accuracy"] = table["monotone_accuracy"] = math.nan
    if held is None or not held.parts:
        return
    measured = held.table()["value"].reindex(table.index)
    table["accuracy"] = measured
    known = measured.dropna()
    if len(known):
        table.loc[known.index, "monotone_accuracy"] = isotonic_regression(known.to_numpy()).x


def place(window: Window, revisions: pd.DataFrame) -> Placement:
    """The revisions of a window in one run, from a frame of `align`.

    At an accuracy they are the two revisions between which the isotonic regression of the accuracy reaches it, weighted
    by its distance to both; where it is flat at that accuracy, all of these revisions weigh the same. The accuracy is
    taken as exact: its own error is not in the item variance.
    """
    if window.accuracy is not None:
        return _at_accuracy(window, window.accuracy, revisions)
    if window.untrained:
        clocks = revisions[["epoch", "step", "samples_seen"]]
        inside = (clocks == 0).any(axis=1)
        expected = "has no untrained revision"
    elif window.epochs:
        inside = revisions["epoch"].isin(window.epochs)
        missing = sorted(set(window.epochs) - set(revisions["epoch"]))
        if missing:
            return Placement(cause=f"the run has no revision of epoch {missing[0]} (window {window.name})")
        expected = "has none of the epochs"
    else:
        if revisions["share"].isna().all():
            return Placement(cause="not all revisions have a known number of samples, steps or epochs")
        inside = revisions["share"].between((window.start or 0) - _NEAR, (window.end or 0) + _NEAR)
        expected = f"has no revision from {100 * (window.start or 0):g} to {100 * (window.end or 0):g} % of the samples"
    names = revisions.index[inside]
    if not len(names):
        return Placement(cause=f"the run {expected} (window {window.name})")
    return Placement(weights=dict.fromkeys(names, 1 / len(names)))


def _at_accuracy(window: Window, accuracy: float, revisions: pd.DataFrame) -> Placement:
    known = revisions.dropna(subset="monotone_accuracy")
    if known.empty:
        return Placement(cause="the run has no accuracy")
    smooth = known["monotone_accuracy"]
    low, high = float(smooth.iloc[0]), float(smooth.iloc[-1])
    if not low <= accuracy <= high:
        side = "ends at" if accuracy > high else "begins at"
        reached = high if accuracy > high else low
        return Placement(
            cause=f"the run {side} an accuracy of {reached:.3f}, not {accuracy:g} (window {window.name})"
        )
    falls = bool((known["accuracy"].diff() < 0).any())
    note = "the accuracy is not monotone; its isotonic regression is used" if falls else ""
    flat = smooth.index[np.isclose(smooth, accuracy, rtol=0, atol=1e-12)]
    if len(flat):
        return Placement(weights=dict.fromkeys(flat, 1 / len(flat)), note=note)
    after = int(np.searchsorted(smooth.to_numpy(), accuracy))
    first, second = smooth.iloc[after - 1], smooth.iloc[after]
    part = float((accuracy - first) / (second - first))
    return Placement(weights={smooth.index[after - 1]: 1 - part, smooth.index[after]: part}, note=note)


def common_accuracy(places: Iterable[pd.DataFrame]) -> float:
    """The highest accuracy that all runs reach, for a `Window` at equal accuracy; NaN if a run has no accuracy."""
    ends = [float(table["monotone_accuracy"].max()) for table in places]
    return float(np.min(ends)) if ends else math.nan


def locate(
    name: str,
    endpoint: Endpoint,
    tuning: Iterable[Trajectory],
    *,
    highest: bool = True,
    start: float = 0.0,
    end: float = 0.3,
) -> Window:
    """The window around the revision where the mean over the tuning seeds has its extreme.

    It reaches half the way to the neighbouring revisions. Other seeds must be tested in it: in the tuning seeds an
    extreme was searched. The untrained revision is not a candidate, since an early peak is one above it.

    Args:
        name: of the window.
        endpoint: the number.
        tuning: trajectories of the tuning seeds.
        highest: whether the extreme is a maximum.
        start, end: shares of the samples within which it is searched.

    Raises:
        EvaluationError: the tuning seeds have no revision there at which the number is defined in all of them.
    """
    listed = list(tuning)
    values = endpoint.of(listed)
    curves = []
    for run, table in align(listed).items():
        if values[run].parts:
            curve = values[run].table()["value"]
            shares = table["share"].reindex(curve.index).round(6)
            curves.append(curve.groupby(shares).mean())
    mean = (
        pd.concat(curves, axis=1).mean(axis=1, skipna=False).sort_index()
        if curves
        else pd.Series(dtype=float)
    )
    inside = mean[(mean.index > 0) & (mean.index >= start) & (mean.index <= end + _NEAR)].dropna()
    if inside.empty or len(curves) < len(values):
        raise EvaluationError(
            f"The extreme of {endpoint.benchmark} {endpoint.metric} cannot be located: the tuning seeds have no common "
            f"revision with a value from {100 * start:g} to {100 * end:g} % of the samples."
        )
    grid, heights = np.asarray(mean.index, np.float64), inside.to_numpy()
    at = float(inside.index[int(heights.argmax() if highest else heights.argmin())])
    position = int(np.searchsorted(grid, at))
    before = (grid[position - 1] + at) / 2 if position else at
    after = (grid[position + 1] + at) / 2 if position + 1 < len(grid) else at
    return Window(name=name, start=float(before), end=float(min(after, 1)))
