"""Endpoints and windows: which number of the table is read, where revisions lie in training, and windows of it."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ConfigDict

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.results.row import NUMBER_KEY, Role
from hf_clipdyn.statistics.trajectories import Trajectory, by_run, points_of

_POINT = ("revision", "value", "usable", "note", "defined", "n", "n_clusters", "cell")
_COLUMNS = ("kind", "dataset", "texts", *(name for name in NUMBER_KEY if name != "level"))


class Form:
    """A part of a file of claims: an unknown key is an error, and all numbers are finite."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Endpoint(Form):
    """Which number of the table: the columns of a trajectory.

    Attributes:
        levels: the mean over these levels is taken, per revision; () for a number without a level.
    """

    kind: str
    dataset: str
    metric: str
    variant: str = ""
    probe: str = "projection"
    layer: int | None = None
    subset: str = ""
    condition: str = "none"
    levels: tuple[float, ...] = ()
    parameter: float | None = None
    texts: str = "own"
    role: Role = "value"
    reference: str = ""

    @property
    def benchmark(self) -> str:
        """``kind/dataset``."""
        return f"{self.kind}/{self.dataset}"

    def of(self, trajectories: Iterable[Trajectory]) -> "dict[str, RunValues]":
        """Its values in each run, by the name of the run; also of runs that lack it, with the cause."""
        return {run: self._values(members) for run, members in by_run(trajectories).items()}

    def names(self, trajectory: Trajectory, *, but: Collection[str] = ()) -> bool:
        """Whether a trajectory has its columns, at any level.

        Args:
            trajectory: of a table.
            but: columns that may differ.
        """
        return all(getattr(trajectory, name) == getattr(self, name) for name in _COLUMNS if name not in but)

    def has_level(self, level: float | None) -> bool:
        """Whether it is the mean over this level and perhaps others; None for a number without a level."""
        return level in self.levels if self.levels else level is None

    def _values(self, run: Sequence[Trajectory]) -> "RunValues":
        by_level: dict[float | None, list[Trajectory]] = defaultdict(list)
        for trajectory in run:
            if self.has_level(trajectory.level) and self.names(trajectory):
                by_level[trajectory.level].append(trajectory)
        levels, cause, first = self.levels or (None,), "", run[0]
        if not by_level:
            cause = f"{self.benchmark} has no {self.metric} of this kind"
        elif missing := [level for level in levels if level not in by_level]:
            cause = f"{self.benchmark} was not measured at level {missing[0]:g}"
        elif any(len(by_level[level]) > 1 for level in levels):
            cause = f"{self.benchmark} was measured with several settings, splits, data or precisions: name one table"
        parts = () if cause else tuple(by_level[level][0] for level in levels)
        return RunValues(
            run=first.run, scale=first.scale, seed=first.seed, arm=first.arm, parts=parts, cause=cause
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """An endpoint at one revision.

    Attributes:
        value: the mean of the parts; NaN if one is undefined or not interpretable.
        n: items.
        n_clusters: clusters of items.
        cause: of a NaN.
        cells: the cell of each part.
    """

    value: float
    n: int
    n_clusters: int
    cause: str
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunValues:
    """An endpoint in one run.

    Attributes:
        run: name of the run, of one scale, seed and arm.
        parts: the trajectories whose mean is the endpoint: one for each level.
        cause: why there are none.
    """

    run: str
    scale: str
    seed: int | None
    arm: str
    parts: tuple[Trajectory, ...]
    cause: str = ""

    @cached_property
    def readings(self) -> dict[str, Reading]:
        """By revision, in the order of training: those at which all parts were measured."""
        by_part = [dict(_readings(part)) for part in self.parts]
        return {
            revision: _mean([readings[revision] for readings in by_part])
            for revision in (by_part[0] if by_part else ())
            if all(revision in readings for readings in by_part)
        }

    @property
    def values(self) -> "pd.Series[float]":
        """The values of the readings by revision."""
        values = {revision: reading.value for revision, reading in self.readings.items()}
        return pd.Series(values, dtype=np.float64)

    @cached_property
    def null(self) -> tuple[str, float]:
        """The title and the height of its null, the mean over the parts; NaN if a part has no rows of that role."""
        nulls = [[one for one in part.references if one.role == "null"] for part in self.parts]
        if not all(nulls):
            return "null", math.nan
        heights = [float(null.points["value"].mean()) for of_part in nulls for null in of_part]
        return nulls[0][0].reference_terms.title, sum(heights) / len(heights)

    def beats_null(self, value: float) -> bool | None:
        """Whether a value of the endpoint is better than its null; None if there is no null or no better direction."""
        height, higher = self.null[1], self.parts[0].term.higher_is_better
        if math.isnan(height) or higher is None:
            return None
        return value > height if higher else value < height


def _readings(part: Trajectory) -> Iterable[tuple[str, Reading]]:
    columns = (part.column(name).tolist() for name in _POINT)
    for revision, value, usable, note, defined, n, n_clusters, cell in zip(*columns, strict=True):
        cause = "" if usable else "not interpretable" if defined else note
        yield revision, Reading(value if usable else math.nan, n, n_clusters, cause, (cell,))


def _mean(readings: Sequence[Reading]) -> Reading:
    return Reading(
        sum(reading.value for reading in readings) / len(readings),
        max(reading.n for reading in readings),
        max(reading.n_clusters for reading in readings),
        next((reading.cause for reading in readings if reading.cause), ""),
        tuple(cell for reading in readings for cell in reading.cells),
    )


_CLOCKS = ("samples_seen", "step", "epoch")
_NEAR = 1e-6  # shares are quotients


@dataclass(frozen=True, kw_only=True)
class Window(Form):
    """A part of training; exactly one of its ways to choose revisions is given.

    Attributes:
        name: as weights of a contrast name it.
        start, end: shares of the samples of training, 0 to 1, both ends included.
        untrained: the revision before the first step.
        epochs: the revisions of these whole epochs.
        accuracy: where the run reaches this accuracy: between two revisions, by interpolation.
        reached: the first revisions from where the run has this accuracy at two revisions in a row.
        revisions: how many revisions a window at ``reached`` has.
        shift: by how many revisions the window is moved, to later ones if positive.
    """

    name: str
    start: float | None = None
    end: float | None = None
    untrained: bool = False
    epochs: tuple[int, ...] = ()
    accuracy: float | None = None
    reached: float | None = None
    revisions: int = 4
    shift: int = 0

    def __post_init__(self) -> None:
        shares = self.start is not None or self.end is not None
        accuracies = [one for one in (self.accuracy, self.reached) if one is not None]
        ways = sum([shares, self.untrained, bool(self.epochs), len(accuracies)])
        where = f"The window {self.name!r}"
        if ways != 1:
            raise ConfigError(
                f"{where} needs exactly one of start and end, untrained, epochs, accuracy or reached; it has "
                f"{ways}."
            )
        if shares and not (
            self.start is not None and self.end is not None and 0 <= self.start <= self.end <= 1
        ):
            raise ConfigError(
                f"{where} goes from {self.start} to {self.end}: give shares, 0 <= start <= end <= 1."
            )
        if any(epoch < 0 for epoch in self.epochs):
            raise ConfigError(f"{where} has an epoch below 0.")
        if not all(0 <= one <= 1 for one in accuracies):
            raise ConfigError(f"{where} is at an accuracy of {accuracies[0]}: give a number from 0 to 1.")
        if self.revisions < 1:
            raise ConfigError(f"{where} has {self.revisions} revisions: give at least 1.")


def align(trajectories: Iterable[Trajectory], *, accuracy: Endpoint | None = None) -> dict[str, pd.DataFrame]:
    """The revisions of each run on all axes.

    Args:
        trajectories: of one or several runs.
        accuracy: the number that `Window.accuracy` and the axis ``accuracy`` mean, such as zero-shot accuracy.

    Returns:
        By the name of the run a frame, with a row per revision in the order of training, indexed by its name:

        - ``epoch``, ``step``, ``samples_seen``, and ``log_samples`` (log10; NaN before the first step); NaN if unknown.
        - ``share``: of training, 0 to 1, in samples, or in steps or epochs if a run lacks samples at a revision.
          The whole is the longest run of the same scale and arm, so a run that was cut short does not reach 1; a run of
          no named scale is compared with itself. NaN if no clock is known.
        - ``accuracy``: as measured; ``monotone_accuracy``: its isotonic regression over training (NaN without the
          endpoint). A single lucky revision then does not decide where a run reaches an accuracy.
    """
    runs = by_run(trajectories)
    places = {run: _revisions(members) for run, members in runs.items()}
    clocks = {
        run: next((name for name in _CLOCKS if table[name].notna().all()), None)
        for run, table in places.items()
    }
    groups = {
        run: ((members[0].scale, members[0].arm) if members[0].scale else run, clocks[run])
        for run, members in runs.items()
    }
    lengths: dict[object, float] = defaultdict(float)
    for run, table in places.items():
        if name := clocks[run]:
            lengths[groups[run]] = max(lengths[groups[run]], float(table[name].max()))
    for run, table in places.items():
        name, length = clocks[run], lengths[groups[run]]
        table["share"] = table[name] / length if name and length else math.nan
        _add_accuracy(table, accuracy.of(runs[run])[run] if accuracy else None)
    return places


def _revisions(trajectories: Iterable[Trajectory]) -> pd.DataFrame:
    # Most trajectories have the same revisions.
    distinct = {one.column("order").tobytes(): one for one in trajectories}
    columns = ["revision", "order", "epoch", "step", "samples_seen"]
    points = points_of(distinct.values())[columns].drop_duplicates("revision")
    table = points.set_index("revision").sort_values("order").astype(float)
    seen = table["samples_seen"]
    table["log_samples"] = np.log10(seen.where(seen > 0))
    return table


def _add_accuracy(table: pd.DataFrame, measured: RunValues | None) -> None:
    table["accuracy"] = table["monotone_accuracy"] = math.nan
    if measured is None or not measured.parts:
        return
    table["accuracy"] = measured.values.reindex(table.index)
    known = table["accuracy"].dropna()
    if len(known):
        from scipy.optimize import isotonic_regression

        table.loc[known.index, "monotone_accuracy"] = isotonic_regression(known.to_numpy()).x


def place(window: Window, revisions: pd.DataFrame) -> tuple[Mapping[str, float], str]:
    """The revisions of a window in one run, from a frame of `align`.

    At an accuracy they are the two revisions between which the isotonic regression of the accuracy reaches it, weighted
    by its distance to both; where it is flat at that accuracy, all of these revisions weigh the same. The accuracy is
    taken as exact: its own error is not in the item variance.

    Returns:
        The weight of each revision in the mean over the window, and a caution; without revisions, the cause.
    """
    start, end = window.start or 0, window.end or 0
    if window.accuracy is not None:
        return _at_accuracy(window, window.accuracy, revisions)
    if window.reached is not None:
        return _from_accuracy(window, window.reached, revisions)
    if window.untrained:
        inside = np.any([revisions[name] == 0 for name in _CLOCKS], axis=0)
        expected = "has no untrained revision"
    elif window.epochs:
        inside = revisions["epoch"].isin(window.epochs).to_numpy()
        missing = sorted(set(window.epochs) - set(revisions["epoch"]))
        if missing:
            return {}, f"the run has no revision of epoch {missing[0]} (window {window.name})"
        expected = "has none of the epochs"
    else:
        shares = revisions["share"].to_numpy()
        if np.isnan(shares).all():
            return {}, "not all revisions have a known number of samples, steps or epochs"
        inside = (shares >= start - _NEAR) & (shares <= end + _NEAR)
        expected = f"has no revision from {100 * start:g} to {100 * end:g} % of the samples"
    if not inside.any():
        return {}, f"the run {expected} (window {window.name})"
    return _at_places(window, np.flatnonzero(inside), revisions)


def _at_places(
    window: Window, places: NDArray[np.int64], revisions: pd.DataFrame
) -> tuple[Mapping[str, float], str]:
    """The revisions at these places of a run, moved by the shift of the window; all weigh the same."""
    places = places + window.shift
    if places.min() < 0 or places.max() >= len(revisions):
        return {}, f"the run has too few revisions (window {window.name})"
    return dict.fromkeys(revisions.index[places], 1 / len(places)), ""


def _from_accuracy(
    window: Window, accuracy: float, revisions: pd.DataFrame
) -> tuple[Mapping[str, float], str]:
    is_reached = revisions["accuracy"].to_numpy() >= accuracy
    twice = np.flatnonzero(is_reached[:-1] & is_reached[1:])
    if not len(twice):
        return {}, f"the run never has an accuracy of {accuracy:g} twice in a row (window {window.name})"
    return _at_places(window, twice[0] + np.arange(window.revisions), revisions)


def _at_accuracy(window: Window, accuracy: float, revisions: pd.DataFrame) -> tuple[Mapping[str, float], str]:
    smooth = revisions["monotone_accuracy"].to_numpy()
    known = ~np.isnan(smooth)
    if not known.any():
        return {}, "the run has no accuracy"
    smooth, names = smooth[known], revisions.index[known]
    low, high = float(smooth[0]), float(smooth[-1])
    if not low <= accuracy <= high:
        side = "ends at" if accuracy > high else "begins at"
        reached = high if accuracy > high else low
        return {}, f"the run {side} an accuracy of {reached:.3f}, not {accuracy:g} (window {window.name})"
    falls = bool((np.diff(revisions["accuracy"].to_numpy()[known]) < 0).any())
    note = "the accuracy is not monotone; its isotonic regression is used" if falls else ""
    flat = names[np.abs(smooth - accuracy) <= 1e-12]
    if len(flat):
        return dict.fromkeys(flat, 1 / len(flat)), note
    after = int(np.searchsorted(smooth, accuracy))
    first, second = smooth[after - 1], smooth[after]
    part = float((accuracy - first) / (second - first))
    return {names[after - 1]: 1 - part, names[after]: part}, note


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
    trajectories = list(tuning)
    measured = endpoint.of(trajectories)
    curves = []
    for run, table in align(trajectories).items():
        if measured[run].parts:
            curve = measured[run].values
            curves.append(curve.groupby(table["share"].reindex(curve.index).round(6)).mean())
    mean = pd.concat(curves or [pd.Series(dtype=float)], axis=1).mean(axis=1, skipna=False).sort_index()
    inside = mean[(mean.index > 0) & (mean.index >= start) & (mean.index <= end + _NEAR)].dropna()
    if inside.empty or len(curves) < len(measured):
        raise EvaluationError(
            f"The extreme of {endpoint.benchmark} {endpoint.metric} cannot be located: the tuning seeds have no common "
            f"revision with a value from {100 * start:g} to {100 * end:g} % of the samples."
        )
    grid, heights = np.asarray(mean.index, np.float64), inside.to_numpy()
    extreme = float(inside.index[int(heights.argmax() if highest else heights.argmin())])
    at = int(np.searchsorted(grid, extreme))
    before, after = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    return Window(name=name, start=float((before + extreme) / 2), end=float(min((extreme + after) / 2, 1)))
