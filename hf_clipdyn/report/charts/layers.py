"""Layer by layer over training: the numbers whose usual chart this is.

The page draws every number that has layers itself.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from hf_clipdyn.report.answers import place_words
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.maps import Map, draw_maps
from hf_clipdyn.report.study import Study
from hf_clipdyn.statistics.trajectories import Trajectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_FIGURES = 6


class Layers(Chart):
    """Maps of layers by revisions, of the first run."""

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        """A map for each metric and data set that has two layers or more."""
        groups: dict[tuple[str, ...], list[Trajectory]] = defaultdict(list)
        for number in study.trajectories:
            layered = number.term.by_layer and number.layer is not None
            if layered and number.is_value and number.run == study.runs[0]:
                groups[(*number.benchmark, number.metric, number.variant, number.reference)].append(number)
        maps = [
            _map(members, place_words(study, members[0])) for members in groups.values() if len(members) > 1
        ]
        return draw_maps(maps[:_MOST_FIGURES], width)


def _map(members: list[Trajectory], place: str) -> Map:
    members = sorted(members, key=lambda number: number.layer or 0)
    named = {
        int(order): str(revision)
        for number in members
        for order, revision in zip(number.column("order"), number.column("revision"), strict=True)
    }
    orders = sorted(named)
    values = np.full((len(members), len(orders)), np.nan)
    for row, number in zip(values, members, strict=True):
        usable = number.usable
        row[np.searchsorted(orders, usable["order"])] = usable["value"]
    example = members[0]
    return Map(
        title=f"{example.metric_title}\n{example.terms.title}, {place}",
        values=values,
        rows=[str(number.layer) for number in members],
        columns=[named[order] for order in orders],
        across="revision",
        up="layer",
        bar=example.term.neutral_title and f"{example.term.neutral:g}: {example.term.neutral_title}",
        neutral=example.term.neutral,
        first_up=True,
    )
