"""The main numbers of a run's last revision: what a model index and a leaderboard can take."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import UnknownNameError
from hf_clipdyn.report.charts import plan_overview
from hf_clipdyn.report.study import Study
from hf_clipdyn.statistics.trajectories import Trajectory, rows_of

__all__ = ["FinalResult", "final_results", "hub_dataset", "revision_names"]


@dataclass(frozen=True)
class FinalResult:
    """A main metric at the last revision.

    Attributes:
        one: its trajectory.
        revision, commit: of the model.
        value: the number.
        interval: its ends; None if there is none.
        confidence: level of the interval; None if there is none.
        n: items.
    """

    one: Trajectory
    revision: str
    commit: str
    value: float
    interval: tuple[float, float] | None
    confidence: float | None
    n: int

    @property
    def title(self) -> str:
        """The metric in words, with what was done to the images."""
        return ", ".join(filter(None, [self.one.metric_title, self.one.special_detail]))


def revision_names(own: Study) -> list[str]:
    """The revisions of one run, in the order of training."""
    placed = pd.concat([one.points[["order", "revision"]] for one in own.trajectories])
    return [str(name) for name in placed.sort_values("order", kind="stable")["revision"].unique()]


def final_results(own: Study) -> list[list[FinalResult]]:
    """The main metrics of each benchmark at the last revision of a run.

    Main metrics are those with a place in the overview. A number that is undefined or not interpretable is left out,
    and so is a benchmark that was not measured on the last revision.

    Args:
        own: the study of one run.

    Returns:
        A list for each benchmark with such numbers, in the order of the charts.
    """
    final = revision_names(own)[-1]
    found = []
    for benchmark in dict.fromkeys(chart.first.benchmark for chart in own.charts):
        charts = [chart for chart in own.charts if chart.first.benchmark == benchmark]
        lines = [
            line for panels in plan_overview(charts, own.runs) for panel in panels for line in panel.lines
        ]
        results = [
            _result(own, line.trajectory, point)
            for line in lines
            for point in rows_of(line.trajectory.usable)
            if point.revision == final
        ]
        if results:
            found.append(results)
    return found


def _result(own: Study, one: Trajectory, point: Any) -> FinalResult:
    rows = own.results.rows
    cell = rows[rows["cell"] == point.cell]
    measured = math.isfinite(point.ci_low) and math.isfinite(point.ci_high)
    levels = cell["confidence_level"].dropna()
    return FinalResult(
        one=one,
        revision=str(point.revision),
        commit=str(cell["commit"].iloc[0]),
        value=float(point.value),
        interval=(float(point.ci_low), float(point.ci_high)) if measured else None,
        confidence=float(levels.iloc[0]) if measured and len(levels) else None,
        n=int(point.n),
    )


def hub_dataset(one: Trajectory) -> str | None:
    """The data set on the Hub that a trajectory was measured on; None if there is none, as of drawn stimuli."""
    try:
        metadata = dataset_metadata(one.dataset)
    except UnknownNameError:
        return None  # of a plugin that is not loaded
    return None if one.terms.draws or metadata.synthetic else metadata.mirror
