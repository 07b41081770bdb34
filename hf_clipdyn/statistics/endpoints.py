"""Endpoints: which number of the table a claim is about, and its values over the revisions of a run."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from hf_clipdyn.results.row import NUMBER_KEY, Role
from hf_clipdyn.statistics.trajectories import Trajectory

__all__ = ["Endpoint", "Reading", "RunValues", "arm_of"]

_POINT = ("revision", "value", "usable", "note", "defined", "n", "n_clusters", "cell")
_COLUMNS = ("kind", "dataset", "texts", *(name for name in NUMBER_KEY if name != "level"))


@dataclass(frozen=True, kw_only=True)
class Endpoint:
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
        fitting: dict[str, dict[float | None, list[Trajectory]]] = {}
        first: dict[str, Trajectory] = {}
        for one in trajectories:
            first.setdefault(one.run, one)
            held = fitting.setdefault(one.run, defaultdict(list))
            if self._names(one):
                held[one.level].append(one)
        return {run: self._values(first[run], held) for run, held in fitting.items()}

    def _names(self, one: Trajectory) -> bool:
        same = all(getattr(one, name) == getattr(self, name) for name in _COLUMNS)
        return same and (one.level in self.levels if self.levels else one.level is None)

    def _values(self, run: Trajectory, held: dict[float | None, list[Trajectory]]) -> "RunValues":
        wanted = self.levels or (None,)
        cause = ""
        if not held:
            cause = f"{self.benchmark} has no {self.metric} of this kind"
        elif missing := [level for level in wanted if level not in held]:
            cause = f"{self.benchmark} was not measured at level {missing[0]:g}"
        elif any(len(held[level]) > 1 for level in wanted):
            cause = f"{self.benchmark} was measured with several settings, splits, data or precisions: name one table"
        parts = () if cause else tuple(held[level][0] for level in wanted)
        return RunValues(
            run=run.run, scale=run.scale, seed=run.seed, arm=arm_of(run), parts=parts, cause=cause
        )


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
    def readings(self) -> "dict[str, Reading]":
        """By revision, in the order of training: those at which all parts were measured."""
        by_revision = [
            {
                revision: (float(value) if usable else math.nan, note, defined, int(n), int(n_clusters), cell)
                for revision, value, usable, note, defined, n, n_clusters, cell in zip(
                    *(one.points[name].tolist() for name in _POINT), strict=True
                )
            }
            for one in self.parts
        ]
        found: dict[str, Reading] = {}
        for revision in by_revision[0] if by_revision else ():
            if not all(revision in of_part for of_part in by_revision):
                continue
            values, notes, defined, n, n_clusters, cells = zip(
                *(of_part[revision] for of_part in by_revision), strict=True
            )
            causes = (
                note if not is_defined else "not interpretable"
                for value, note, is_defined in zip(values, notes, defined, strict=True)
                if math.isnan(value)
            )
            found[revision] = Reading(
                sum(values) / len(values), max(n), max(n_clusters), next(causes, ""), cells
            )
        return found

    @cached_property
    def null(self) -> tuple[str, float]:
        """The title and the height of its null, the mean over the parts; NaN if a part has no rows of that role."""
        found = [[one for one in part.references if one.role == "null"] for part in self.parts]
        if not all(found):
            return "null", math.nan
        heights = [float(one.points["value"].mean()) for of_part in found for one in of_part]
        return found[0][0].reference_terms.title, sum(heights) / len(heights)

    def beats_null(self, value: float) -> bool | None:
        """Whether a value of the endpoint is better than its null; None if there is no null or no better direction."""
        height, higher = self.null[1], self.parts[0].term.higher_is_better
        if math.isnan(height) or higher is None:
            return None
        return value > height if higher else value < height

    def table(self) -> pd.DataFrame:
        """The readings as a frame: by revision ``value``, ``n``, ``n_clusters`` and ``cause``."""
        columns = ("value", "n", "n_clusters", "cause")
        held = {name: [getattr(one, name) for one in self.readings.values()] for name in columns}
        return pd.DataFrame(held, index=pd.Index(list(self.readings), dtype=object))


@dataclass(frozen=True)
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


def arm_of(one: Trajectory) -> str:
    """The arm of a run; empty for the main one, and where the tables do not say."""
    return str(getattr(one, "arm", None) or "")
