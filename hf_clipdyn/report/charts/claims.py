"""The figure of the claims: the interval of each contrast in units of its δ."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.claims import claims_panel
from hf_clipdyn.report.mpl import grid
from hf_clipdyn.report.panel import Panel
from hf_clipdyn.report.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ClaimsChart(Chart):
    """None without an estimate."""

    title = "Contrasts of the claims"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """One with a row for each contrast."""
        panel = claims_panel(study)
        return [] if panel is None else [panel]

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        """The figure, this many inches wide."""
        panels = cls.panels(study)
        return grid(panels, width, 1) if panels else None
