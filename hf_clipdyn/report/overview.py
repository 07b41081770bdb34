"""The study at a glance: which panels answer its questions."""

from collections.abc import Sequence

from hf_clipdyn.report.plan import Chart, Line, Panel, ordered_value
from hf_clipdyn.report.trajectories import Trajectory, stem
from hf_clipdyn.report.vocabulary import FINAL_TEXT, group_words, is_synthetic, metric_words

__all__ = ["overview_panels"]

_QUESTIONS = (
    ("shape_bias", ("shape_bias",)),
    ("shape_bias", ("shape_preference",)),
    ("zero_shot", ("top1",)),
    ("retrieval", ("image_to_text_recall_at_10",)),
    ("noise", ("chance_corrected_drop",)),
    ("quality", ("alignment",)),
    ("distortion", ("alignment_ssim",)),
    ("similarity", ("two_afc",)),
    ("saliency", ("nss", "cc")),
)
_MIDDLE_SIGMA = 0.2


def overview_panels(charts: Sequence[Chart]) -> list[list[Panel]]:
    """One panel for each question of the study that the charts answer: first on real images, then synthetic.

    A question asked of several data sets, layers or noises is answered by one of them: the first data
    set, all items, the projection, a sigma in the middle. A world without any answer is left out.
    """
    runs = list(dict.fromkeys(one.run for chart in charts for one in chart.trajectories))
    worlds = []
    for synthetic in (False, True):
        here = [chart for chart in charts if is_synthetic(chart.benchmark) == synthetic]
        answers = [_answers(here, *question) for question in _QUESTIONS]
        panels = [_panel(found, runs) for found in answers if found]
        worlds += [panels] if panels else []
    return worlds


def _answers(charts: Sequence[Chart], kind: str, metrics: Sequence[str]) -> list[Chart]:
    """All charts of one benchmark of the kind, on the first of the metrics that has a number, if one has."""
    found = [
        chart
        for metric in metrics
        for chart in charts
        if chart.benchmark.partition("/")[0] == kind and stem(chart.metric) == metric
    ]
    if not found:
        return []
    first = next((chart for chart in found if chart.defined), found[0])
    return [chart for chart in found if (chart.benchmark, chart.metric) == (first.benchmark, first.metric)]


def _panel(charts: Sequence[Chart], runs: Sequence[str]) -> Panel:
    """All runs on the most telling probe, layer and group of the charts."""
    lines = [(panel, line.trajectory) for chart in charts for panel in chart.panels for line in panel.lines]
    home, best = min(lines, key=lambda found: _remoteness(found[1]))
    words = group_words(best)
    place = "synthetic world" if is_synthetic(best.benchmark) else best.dataset
    detail = [best.group] if "sigma" in best.group else []
    if best.probe not in ("", "projection"):
        detail.append(best.probe if best.layer is None else f"{best.probe}, layer {best.layer}")
    title = f"{metric_words(best.metric)}\n{', '.join([place, *detail]).replace('_', ' ').replace('=', ' ')}"
    drawn = {one.run: one for _, one in reversed(lines) if group_words(one) == words}
    return Panel(
        title,
        tuple(Line(run, drawn[run], index) for index, run in enumerate(runs) if run in drawn),
        home.references,
    )


def _remoteness(one: Trajectory) -> tuple[bool, bool, float, bool]:
    value = ordered_value(one)
    sigma = abs(value - _MIDDLE_SIGMA) if value is not None and "sigma" in one.group else 0.0
    other_items = bool(one.group) and "sigma" not in one.group
    return (one.metric.endswith(FINAL_TEXT), other_items, sigma, one.layer is not None)
