"""The x axis of every figure of a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.report.trajectories import Trajectory

__all__ = ["Axis", "choose_axis"]

_MANY_INSIDE = 3


@dataclass(frozen=True)
class Axis:
    """The x axis of every figure of a report.

    Attributes:
        kind: epochs if the place of every revision among them is known; else the first of samples seen and steps
            that all revisions have; else the rank of the revision.
        log: logarithmic, since several revisions lie inside the first epoch.
    """

    kind: Literal["epoch", "samples_seen", "step", "order"]
    log: bool

    @property
    def label(self) -> str:
        """Name of the axis."""
        return {
            "epoch": "epoch",
            "samples_seen": "samples seen",
            "step": "training step",
            "order": "revision, in natural order",
        }[self.kind]

    def places(self, points: pd.DataFrame) -> NDArray[np.float64]:
        """The positions of a trajectory's points on the axis; NaN if unknown."""
        return points[self.kind].to_numpy(np.float64)


def choose_axis(trajectories: Sequence[Trajectory]) -> Axis:
    """One axis for the whole report, so that its figures compare.

    Runs of one revision without any place (a public model beside a run) do not count: they are drawn as level lines.
    """
    points = pd.concat(
        [one.points[["run", "revision", "epoch", "samples_seen", "step"]] for one in trajectories]
    ).drop_duplicates(["run", "revision"])
    in_runs = points[points.groupby("run")["revision"].transform("size") > 1]
    points = in_runs if len(in_runs) else points
    known = points[["epoch", "samples_seen", "step"]].notna().all()
    inside = points["epoch"].between(0, 1, inclusive="neither").groupby(points["run"]).sum().max()
    if known["epoch"] and inside < _MANY_INSIDE:
        return Axis("epoch", log=False)
    if known["samples_seen"]:
        return Axis("samples_seen", log=bool(inside >= _MANY_INSIDE))
    if known["epoch"]:
        return Axis("epoch", log=True)
    return Axis("step", log=False) if known["step"] else Axis("order", log=False)
