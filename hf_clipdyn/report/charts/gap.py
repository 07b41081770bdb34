"""The modality gap against the uniformity of the images, as a path coloured by the logit scale."""

from typing import TYPE_CHECKING

from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.labels import lay_out
from hf_clipdyn.report.paths import RunPath, draw_paths, in_common
from hf_clipdyn.report.study import Study
from hf_clipdyn.statistics.trajectories import Trajectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METRICS = ("gap", "uniformity_image", "logit_scale")


class Gap(Chart):
    """A path for each run, on the first data set whose geometry was measured; its script draws it on the page."""

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        """None without the three numbers, or for models of one revision each."""
        numbers: dict[str, dict[tuple[str, str], Trajectory]] = {}
        for number in study.trajectories:
            if number.kind == "geometry" and number.metric in _METRICS:
                numbers.setdefault(number.dataset, {}).setdefault((number.run, number.metric), number)
        known = next(iter(numbers.values()), {})
        paths, example = [], None
        for run in study.runs:
            own = [known[run, metric] for metric in _METRICS if (run, metric) in known]
            if len(own) == len(_METRICS):
                gap, uniformity, scale, _ = in_common(own)
                if len(gap) > 1:
                    example = own
                    paths.append(RunPath(run=run, x=uniformity, y=gap, shade=scale))
        if example is None:
            return None
        figure, cell = draw_paths(paths, width, bar=example[2].metric_title)
        cell.set_title(example[0].dataset_title)
        cell.set(xlabel=f"{example[1].metric_title} (0: all images alike)", ylabel=example[0].metric_title)
        lay_out(figure)
        return figure
