"""The control arms of a study of many runs: each over the main arm of its scale."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.draw import draw_panels
from hf_clipdyn.report.figures import COLUMN
from hf_clipdyn.report.plan import N_HUES, Line, Panel, average_seeds, groups_of_seeds
from hf_clipdyn.report.study import Study
from hf_clipdyn.statistics.trajectories import bare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROWS = 6  # of panels
_ACROSS = 5


class Arms(Chart):
    """The arms over the main arm, which is grey; the first screen of the page has them."""

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        """None where the other figures show the arms."""
        groups = groups_of_seeds(study.trajectories)
        if len(groups) <= N_HUES or not study.over_training:
            return None
        overview = [panel for panels in study.overview for panel in panels]
        columns = _ACROSS if width > COLUMN.width else 2
        rows = -(-sum(bool(group.arm) for group in groups) // columns)
        n_metrics = max(1, _ROWS // max(rows, 1))
        blocks = [_arm_panels(average_seeds(panel, groups)) for panel in overview[:n_metrics]]
        blocks = [block for block in blocks if block]
        if not blocks:
            return None
        look: dict[str, Any] = {"width": width, "lettered": True, "intervals": study.confidence}
        return draw_panels(blocks, choose_axis(study.trajectories), columns, alike=True, **look)


def _arm_panels(panel: Panel) -> list[Panel]:
    """A panel for each arm; the first one also has the title of the metric."""
    main = {line.trajectory.scale: line for line in panel.lines if not line.trajectory.arm}
    arms = [line for line in panel.lines if line.trajectory.arm]
    several = len({line.trajectory.scale for line in arms}) > 1
    panels = []
    for line in arms:
        number = line.trajectory
        title = ", ".join(filter(None, [bare(number.arm), number.scale if several else ""]))
        behind = [main[number.scale]] if number.scale in main else []
        lines = [replace(other, label=_behind(other), colour=-1, members=()) for other in behind]
        panels.append(replace(panel, title=title, lines=(*lines, line)))
    return [replace(first, title=f"{panel.title}\n{first.title}") for first in panels[:1]] + panels[1:]


def _behind(main: Line) -> str:
    n = len(main.members)
    return f"main arm, mean of {n} seeds" if n else "main arm"
