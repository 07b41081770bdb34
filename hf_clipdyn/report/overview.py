"""The study at a glance: which panels answer its questions."""

from collections.abc import Sequence

from hf_clipdyn.report.plan import Chart, Line, Panel, ordered_value
from hf_clipdyn.report.trajectories import Trajectory, stem
from hf_clipdyn.report.vocabulary import group_words, is_synthetic, metric_words

__all__ = ["overview_panels"]

_QUESTIONS = (
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


def overview_panels(charts: Sequence[Chart]) -> list[list[Panel]]:
    """One panel for each question of the study that the charts answer: first on real images, then synthetic.

    A world without any answer is left out.
    """
    runs = list(dict.fromkeys(one.run for chart in charts for one in chart.trajectories))
    worlds = []
    for synthetic in (False, True):
        here = [chart for chart in charts if is_synthetic(chart.benchmark) == synthetic]
        panels = [_digest(chart, runs) for question in _QUESTIONS if (chart := _answer(here, *question))]
        worlds += [panels] if panels else []
    return worlds


def _answer(charts: Sequence[Chart], kind: str, metrics: Sequence[str]) -> Chart | None:
    """The first chart of the kind on the first of the metrics that was measured."""
    return next(
        (
            chart
            for metric in metrics
            for chart in charts
            if chart.benchmark.partition("/")[0] == kind and stem(chart.metric) == metric
        ),
        None,
    )


def _digest(chart: Chart, runs: Sequence[str]) -> Panel:
    """The runs of a chart on its most telling probe, layer and group."""

    def fitness(one: Trajectory) -> tuple[bool, float, bool]:
        value = ordered_value(one)
        sigma = abs(value - _MIDDLE_SIGMA) if value is not None and "sigma" in one.group else 0.0
        return (bool(one.group) and "sigma" not in one.group, sigma, one.layer is not None)

    best = min(chart.trajectories, key=fitness)
    words = group_words(best)
    lines = tuple(
        Line(one.run, one, runs.index(one.run)) for one in chart.trajectories if group_words(one) == words
    )
    references = next(
        panel.references for panel in chart.panels if any(line.trajectory is best for line in panel.lines)
    )
    place = "synthetic world" if is_synthetic(chart.benchmark) else chart.benchmark.partition("/")[2]
    detail = [best.group] if "sigma" in best.group else []
    title = f"{metric_words(chart.metric)}\n{', '.join([place, *detail]).replace('_', ' ').replace('=', ' ')}"
    return Panel(title, lines, references)
