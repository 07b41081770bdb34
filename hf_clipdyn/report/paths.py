"""Paths of runs through a plane as a figure, with the revisions coloured by a third number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap, Normalize
from numpy.typing import NDArray

from hf_clipdyn.report.style import GREY, HUMAN, PAPER, SHADES
from hf_clipdyn.statistics.trajectories import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMED = 8  # runs whose names stand at the ends of their paths
_WIDEST = 5.0  # inches


@dataclass(frozen=True, kw_only=True, eq=False)
class RunPath:
    """One run: places in the order of training, and the number that colours each."""

    run: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    shade: NDArray[np.float64]


def in_common(numbers: Sequence[Trajectory]) -> NDArray[np.float64]:
    """The values of numbers of one run at the revisions where all are defined and interpretable.

    Returns:
        (numbers + 1, revisions); the last row is the order of the revision in its run.
    """
    columns = [number.usable.set_index("order")["value"] for number in numbers]
    shared = pd.concat(columns, axis=1, join="inner").sort_index()
    return np.vstack([shared.to_numpy(np.float64).T, shared.index.to_numpy(np.float64)])


def draw_paths(paths: Sequence[RunPath], width: float, *, bar: str) -> "tuple[Figure, Axes]":
    """The paths in one panel, not laid out yet. Inside `figure_style`.

    Args:
        paths: at least one.
        width: inches; the panel is not wider than five.
        bar: what the colours are.
    """
    from matplotlib.figure import Figure

    width = min(width, _WIDEST)
    figure = Figure(figsize=(width, 0.8 * width))
    cell = figure.subplots()
    shades = np.concatenate([path.shade for path in paths])
    given: dict[str, Any] = {
        "cmap": LinearSegmentedColormap.from_list("shades", SHADES),
        "norm": Normalize(shades.min(), shades.max()),
    }
    for path in paths:
        cell.plot(path.x, path.y, color=GREY, linewidth=0.8, zorder=2)
        points = cell.scatter(path.x, path.y, c=path.shade, s=16, linewidths=0, zorder=3, **given)
        if 1 < len(paths) <= _MOST_NAMED:
            end = (path.x[-1], path.y[-1])
            cell.annotate(path.run, end, (4, 3), textcoords="offset points", color=GREY)
    outline: Any = figure.colorbar(points, ax=cell, fraction=0.05, pad=0.03, label=bar).outline
    outline.set_visible(False)
    return figure, cell


def mark(cell: "Axes", x: float, y: float, text: str, *, human: bool = False) -> None:
    """A reference at one place, with its name: a diamond for people, else a cross."""
    colour = HUMAN if human else GREY
    cell.scatter([x], [y], marker="D" if human else "x", s=24, color=colour, zorder=4)
    behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}
    cell.annotate(text, (x, y), (6, 0), textcoords="offset points", va="center", color=colour, bbox=behind)
