"""What stands on the x axis of every figure of a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hf_clipdyn.report.trajectories import Point, Trajectory

__all__ = ["Axis", "choose_axis"]

_MANY_INSIDE = 3


@dataclass(frozen=True)
class Axis:
    """What stands on the x axis of every figure of a report.

    Attributes:
        kind: epochs where every revision's place among them is known; else the first of samples
            seen and steps that all have; else the rank of the revision.
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

    def place(self, point: Point) -> float | None:
        """Where a point stands on the axis; None where that is unknown."""
        place: float | None = getattr(point, self.kind)
        return place


def choose_axis(trajectories: Sequence[Trajectory]) -> Axis:
    """One axis for the whole report, so that its figures compare.

    Runs of one revision without any place (a public model beside a run) do not count: they are
    drawn as level lines.
    """
    runs: dict[str, dict[str, Point]] = {}
    for one in trajectories:
        runs.setdefault(one.run, {}).update({point.revision: point for point in one.points})
    points = [list(run.values()) for run in runs.values() if len(run) > 1] or [
        list(run.values()) for run in runs.values()
    ]

    def known(kind: str) -> bool:
        return all(getattr(point, kind) is not None for run in points for point in run)

    inside = max(sum(0 < (point.epoch or 0) < 1 for point in run) for run in points)
    if known("epoch") and inside < _MANY_INSIDE:
        return Axis("epoch", log=False)
    if known("samples_seen"):
        return Axis("samples_seen", log=inside >= _MANY_INSIDE)
    if known("epoch"):
        return Axis("epoch", log=True)
    return Axis("step", log=False) if known("step") else Axis("order", log=False)
