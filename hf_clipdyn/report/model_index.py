"""The main numbers of a run's last revision as the model index of its card, which the Hub reads."""

import math
from collections import defaultdict
from typing import Any
from urllib.parse import quote

from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import UnknownNameError
from hf_clipdyn.report.card_text import TOOL
from hf_clipdyn.report.plan import Panel, plan_overview
from hf_clipdyn.report.study import Study
from hf_clipdyn.statistics.trajectories import Trajectory, points_of, rows_of

TASK = "image-feature-extraction"
"""The Hub's name of what is measured on images alone."""


def revision_names(own: Study) -> list[str]:
    """The revisions of one run, in the order of training."""
    placed = points_of(own.trajectories)
    return [str(name) for name in placed.sort_values("order", kind="stable")["revision"].unique()]


def hub_dataset(number: Trajectory) -> str | None:
    """The data set on the Hub that a trajectory was measured on; None if there is none, as of drawn stimuli."""
    try:
        metadata = dataset_metadata(number.dataset)
    except UnknownNameError:
        return None  # of a plugin that is not loaded
    return None if number.terms.draws or metadata.synthetic else metadata.mirror


def dataset_address(repo_id: str) -> str:
    """The page of a data set on the Hub."""
    return f"https://huggingface.co/datasets/{quote(repo_id)}"


def index_results(own: Study, results_dataset: str | None = None) -> list[dict[str, Any]]:
    """The main metrics at the last revision of a run, an item for each benchmark, in the order of the charts.

    Main metrics are those with a place in the overview. A number that is undefined or not interpretable is left out,
    and so is a benchmark that was not measured on the last revision. Their source is the data set with the table.
    """
    final = revision_names(own)[-1]
    benchmarks: dict[tuple[str, str], list[list[Panel]]] = defaultdict(list)
    for panels in own.charts:
        benchmarks[panels[0].first.benchmark].append(panels)
    items = []
    for charts in benchmarks.values():
        panels = [panel for planned in plan_overview(charts, own.runs) for panel in planned]
        numbers = [line.trajectory for panel in panels for line in panel.lines]
        found = [
            (number, point)
            for number in numbers
            for point in rows_of(number.usable)
            if point.revision == final
        ]
        if found:
            metrics = [_metric(own, number, point) for number, point in found]
            items.append(_item(found[0][0], metrics, results_dataset))
    return items


def _item(number: Trajectory, metrics: list[dict[str, Any]], results_dataset: str | None) -> dict[str, Any]:
    title, synthetic = number.dataset_terms.title, number.dataset_terms.synthetic
    source = {"name": "Results of every revision", "url": dataset_address(results_dataset or "")}
    return {
        "task": {"type": number.terms.task or TASK, "name": number.terms.title},
        "dataset": {
            "name": f"{title} (synthetic)" if synthetic else title,
            "type": hub_dataset(number) or number.dataset,
            "split": number.split,
            "args": {"fingerprint": number.data_fingerprint[:12]},
        },
        "metrics": metrics,
        **({"source": source} if results_dataset else {}),
    }


def _metric(own: Study, number: Trajectory, point: Any) -> dict[str, Any]:
    title = ", ".join(filter(None, [number.metric_title, number.special_detail]))
    arguments: dict[str, Any] = {"measured_by": TOOL, "revision": str(point.revision), "n": int(point.n)}
    if math.isfinite(point.ci_low) and math.isfinite(point.ci_high):
        arguments["interval"] = [round(float(point.ci_low), 4), round(float(point.ci_high), 4)]
        level = float(own.confidence_of_cell[point.cell])
        if not math.isnan(level):
            arguments["confidence_level"] = level
    return {
        "type": number.metric,
        "value": round(float(point.value), 4),
        "name": f"{title}, {point.revision}",
        "args": arguments,
        "verified": False,
    }
