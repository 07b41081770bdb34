"""The path of the answers between shape, texture and anything else."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.labels import lay_out
from hf_clipdyn.report.paths import RunPath, draw_paths, in_common, mark
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.style import GREY, INK
from hf_clipdyn.statistics.trajectories import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KIND, _SHARES = "cue_learning-shape_bias", ("shape_share", "texture_share", "other_share")
_MARKED = {"human": "people", "chance": "random order"}
_HEIGHT = math.sqrt(3) / 2
_CORNERS = {"texture": (0.0, 0.0), "shape": (1.0, 0.0), "another class": (0.5, _HEIGHT)}


class Cues(Chart):
    """A triangle whose corners are answers for the shape, the texture and another class, with a path for each run; its
    script draws it on the page.
    """

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        """With the usual prompts, on the first data set; None without the three shares of two revisions."""
        numbers: dict[tuple[str, str], dict[str, Trajectory]] = {}
        first = next((number.dataset for number in study.trajectories if number.kind == _KIND), None)
        for number in study.trajectories:
            if (number.kind, number.dataset, number.variant) == (
                _KIND,
                first,
                "",
            ) and number.metric in _SHARES:
                numbers.setdefault((number.run, number.role), {}).setdefault(number.metric, number)
        places = {key: _places(shares) for key, shares in numbers.items() if len(shares) == len(_SHARES)}
        paths = [
            RunPath(run=run, x=x, y=y, shade=order)
            for (run, role), (x, y, order) in places.items()
            if role == "value" and len(x) > 1
        ]
        if not paths:
            return None
        figure, cell = draw_paths(paths, width, bar="revision, in the order of training")
        _triangle(cell)
        for (run, role), (x, y, _) in places.items():
            if run == paths[0].run and role in _MARKED and len(x):
                mark(cell, x[-1], y[-1], _MARKED[role], human=role == "human")
        cell.set_title(next(iter(numbers[paths[0].run, "value"].values())).dataset_title, pad=12)
        lay_out(figure)
        return figure


def _places(
    shares: dict[str, Trajectory],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Places in the triangle, and the orders of the revisions."""
    shape, _, other, order = in_common([shares[metric] for metric in _SHARES])
    return shape + other / 2, _HEIGHT * other, order


def _triangle(cell: "Axes") -> None:
    corners = {name: np.array(place) for name, place in _CORNERS.items()}
    outline = [*corners.values(), corners["texture"]]
    cell.plot(*np.transpose(outline), color=GREY, linewidth=0.8, zorder=1)
    for share in (0.25, 0.5, 0.75):
        for name, corner in corners.items():
            ends = [share * corner + (1 - share) * other for key, other in corners.items() if key != name]
            cell.plot(*np.transpose(ends), color=GREY, linewidth=0.3, alpha=0.6, zorder=0)
    for name, (x, y) in _CORNERS.items():
        place: dict[str, Any] = {
            "xytext": (0, 4 if y else -4),
            "textcoords": "offset points",
            "va": "bottom" if y else "top",
        }
        cell.annotate(name, (x, y), ha="center", color=INK, **place)
    cell.set_aspect("equal")
    cell.set_axis_off()
    cell.set(xlim=(-0.15, 1.15), ylim=(-0.08, _HEIGHT + 0.08))
