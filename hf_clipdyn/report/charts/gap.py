"""The modality gap against the uniformity of the images, as a path coloured by the logit scale."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import Course
from hf_clipdyn.report.lines import against
from hf_clipdyn.report.panel import Panel, Scale
from hf_clipdyn.report.study import Study

_METRICS = ("gap", "uniformity_image", "logit_scale")


class Gap(Chart):
    """A path for each run, on the first data set whose geometry was measured."""

    title = "Gap, uniformity and logit scale"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """None without the three numbers, or for models of one revision each."""
        planner = study.planner
        known = [next(iter(planner.numbers("geometry", metric)), list[Course]()) for metric in _METRICS]
        if not all(known) or not planner.over_training:
            return []
        gap, uniformity, scale = (planner.panel(courses) for courses in known)
        x = replace(uniformity.y, title=f"{uniformity.y.title} (0: all alike)", limits=None)
        path = against(gap, replace(uniformity, y=x))
        shades = {line.label: line for line in scale.values}
        lines = tuple(
            replace(line, shade=shades[line.label].drawn, low=line.y * np.nan, high=line.y * np.nan, seeds=())
            for line in path.lines
            if line.label in shades and np.array_equal(shades[line.label].at, line.at)
        )
        y, shade = replace(path.y, limits=None), Scale(title=scale.y.title)
        return [replace(path, y=y, lines=lines, levels=(), shade=shade, main=True)] if lines else []
