"""The study at a glance: which panels answer its questions."""

from collections.abc import Sequence

from hf_clipdyn.report.plan import Chart, Line, Panel, ordered_value
from hf_clipdyn.report.trajectories import Trajectory, stem
from hf_clipdyn.report.vocabulary import group_words, is_synthetic

__all__ = ["overview_panels"]

_OVERVIEW = (
    ("shape_bias", ("shape_bias",)),
    ("shape_bias", ("shape_preference",)),
    ("zero_shot", ("top1",)),
    ("retrieval", ("image_to_text_recall_at_10",)),
    ("noise", ("chance_corrected_drop", "relative_drop")),
    ("quality", ("alignment",)),
    ("distortion", ("alignment_ssim",)),
    ("similarity", ("score", "two_afc")),
    ("saliency", ("nss", "cc")),
)
_MIDDLE_SIGMA = 0.2


def overview_panels(charts: Sequence[Chart]) -> list[Panel]:
    """One panel for each question of the study that the charts answer, real images before synthetic ones."""
    panels = []
    for synthetic in (False, True):
        for kind, metrics in _OVERVIEW:
            chart = next(
                (
                    chart
                    for metric in metrics
                    for chart in charts
                    if chart.benchmark.partition("/")[0] == kind
                    and stem(chart.metric) == metric
                    and is_synthetic(chart.benchmark) == synthetic
                ),
                None,
            )
            if chart is not None:
                panels.append(_digest(chart))
    return panels


def _digest(chart: Chart) -> Panel:
    """The runs of a chart on its most telling probe, layer and group."""

    def fitness(one: Trajectory) -> tuple[bool, float, bool]:
        value = ordered_value(one)
        sigma = abs(value - _MIDDLE_SIGMA) if value is not None and "sigma" in one.group else 0.0
        return (bool(one.group) and "sigma" not in one.group, sigma, one.layer is not None)

    best = min(chart.trajectories, key=fitness)
    words = group_words(best)
    runs = list(dict.fromkeys(one.run for one in chart.trajectories))
    lines = tuple(
        Line(run, one, index)
        for index, run in enumerate(runs)
        for one in chart.trajectories
        if one.run == run and group_words(one) == words
    )
    references = next(
        panel.references for panel in chart.panels if any(line.trajectory is best for line in panel.lines)
    )
    place = (
        "synthetic world"
        if is_synthetic(chart.benchmark)
        else chart.benchmark.partition("/")[2].replace("_", " ")
    )
    detail = best.group.replace("=", " ") if "sigma" in best.group else ""
    title = f"{chart.title}\n{', '.join(part for part in (place, detail) if part)}"
    return Panel(title, lines, references)
