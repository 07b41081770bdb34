"""`draw(study, chart)`: the panels of a chart as one figure, to look things up in."""

from matplotlib.figure import Figure

from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.figures import draw_panels
from hf_clipdyn.report.panels import level_panels
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.style import figure_style

__all__ = ["draw"]


def draw(study: Study, chart: Chart) -> Figure:
    """Bars, curves over levels, or lines over training, as the chart's encoding says."""
    panels, x = chart.panels, chart.encoding.x
    if x in ("level", "revisions"):
        panels = tuple(level_panels(panels, chart.encoding))
    with figure_style():
        axis = choose_axis(study.trajectories)
        return draw_panels([panels], axis, min(3, len(panels)), bars=x == "value")
