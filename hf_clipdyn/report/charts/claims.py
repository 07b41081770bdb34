"""The claims: the interval of each contrast in units of its δ, and each endpoint with its windows."""

from collections.abc import Sequence

from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.claims import claims_panel, endpoint_panels
from hf_clipdyn.report.panel import Panel
from hf_clipdyn.report.study import Study


class ClaimsChart(Chart):
    """The figure has the contrasts; the endpoints are in the figures of their benchmarks."""

    title = "Contrasts of the claims"
    across = 1

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """One with a row for each contrast with an estimate, and one over training for each endpoint."""
        panel = claims_panel(study)
        return [] if panel is None else [panel, *endpoint_panels(study)]
