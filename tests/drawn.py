"""`draw(study, panels)`: the panels of a chart as one figure, to look things up in."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.draw import draw_panels
from hf_clipdyn.report.plan import Panel, level_panels
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.style import figure_style


def draw(study: Study, panels: Sequence[Panel]) -> Figure:
    """Bars, curves over levels, or lines over training."""
    x = panels[0].x
    if x in ("level", "revisions"):
        panels = level_panels(panels)
    with figure_style():
        axis = choose_axis(study.trajectories)
        columns = min(3, len(panels))
        return draw_panels([panels], axis, columns, bars=x == "value", intervals=study.confidence)
