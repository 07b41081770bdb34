"""Endpoints: which number of the table a claim is about, and its values over the revisions of a run."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hf_clipdyn.results.row import NUMBER_KEY, Role
from hf_clipdyn.statistics.trajectories import Trajectory

__all__ = ["Endpoint", "RunValues", "arm_of"]

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

    def table(self) -> pd.DataFrame:
        """By revision: the mean value (NaN if undefined), n, n_clusters, the cause of a NaN, and each part's cell."""
        frames = [one.points.set_index("revision") for one in self.parts]
        revisions = frames[0].index
        for frame in frames[1:]:
            revisions = revisions.intersection(frame.index, sort=False)
        frames = [frame.loc[revisions] for frame in frames]
        values = sum(frame["value"].where(frame["usable"]) for frame in frames) / len(frames)
        cause = pd.Series("", revisions)
        for frame in frames:
            note = frame["note"].mask(frame["defined"], "not interpretable")
            cause = cause.mask(~frame["usable"] & (cause == ""), note)
        found: dict[str, Any] = {
            "value": values,
            "n": pd.concat([frame["n"] for frame in frames], axis=1).max(axis=1),
            "n_clusters": pd.concat([frame["n_clusters"] for frame in frames], axis=1).max(axis=1),
            "cause": cause,
        }
        cells = {f"cell_{at}": frame["cell"] for at, frame in enumerate(frames)}
        return pd.DataFrame(found | cells, revisions)

    def at(self, revision: str) -> float:
        """The value of one revision; NaN if it has none."""
        table = self.table()
        return float(table["value"].get(revision, math.nan))


def arm_of(one: Trajectory) -> str:
    """The arm of a run; empty for the main one, and where the tables do not say."""
    return str(getattr(one, "arm", None) or "")
