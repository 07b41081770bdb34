"""The claims: the interval of each contrast in units of its δ, and each endpoint with its windows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.claims import claims_panel, endpoint_panels
from hf_clipdyn.report.grid import grid
from hf_clipdyn.report.panel import Panel
from hf_clipdyn.report.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ClaimsChart(Chart):
    """None without an estimate."""

    title = "Contrasts of the claims"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """One with a row for each contrast, and one over training for each endpoint."""
        panel = claims_panel(study)
        return [] if panel is None else [panel, *endpoint_panels(study)]

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        """The contrasts, this many inches wide; the endpoints are in the figures of their benchmarks."""
        panel = claims_panel(study)
        return None if panel is None else grid([panel], width, 1)
