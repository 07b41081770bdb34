"""Names of horizontal lines in the right margin of a panel, moved apart where they would overlap."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

__all__ = ["MarginLabel", "add_labels", "place_labels", "space_labels", "spread"]

_LETTERS, _FEW_LETTERS = 22, 12  # of a line of text
_CROWDED = 2  # labels that may have several lines each
_SPACING = 1.2  # from line to line, in the size of the font


@dataclass(frozen=True)
class MarginLabel:
    """A line's name.

    Attributes:
        height: of the line, in the data's unit.
        words: may have several lines of text.
        colour: of the line.
    """

    height: float
    words: str
    colour: str


def add_labels(cell: "Axes", labels: Sequence[MarginLabel], *, narrow: bool = False) -> "list[Annotation]":
    """Write the names right of the axes, for the layout to make room for them; `space_labels` gives their heights."""
    import matplotlib as mpl

    letters = _FEW_LETTERS if narrow else _LETTERS
    crowded = len(labels) > _CROWDED
    return [
        cell.annotate(
            label.words.replace("\n", " ") if crowded else _wrapped(label.words, letters),
            (1, 0.5),
            (4, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=label.colour,
            fontsize=mpl.rcParams["legend.fontsize"],
            linespacing=_SPACING,
            va="center",
        )
        for label in labels
    ]


def space_labels(cell: "Axes", labels: Sequence[MarginLabel], texts: "Sequence[Annotation]") -> None:
    """Move each name to the height of its line, once the axes have their limits and their size."""
    scaled = cell.yaxis.get_transform().transform([*cell.get_ylim(), *(label.height for label in labels)])
    low, high, *heights = np.asarray(scaled, np.float64)
    places = [float((height - low) / (high - low)) for height in heights]
    figure = cell.get_figure(root=True)
    assert figure is not None, "axes belong to a figure"
    points = cell.get_window_extent().height * 72 / figure.dpi
    sizes = [
        _SPACING * float(text.get_fontsize()) * len(text.get_text().split("\n")) / max(points, 1.0)
        for text in texts
    ]
    for text, place in zip(texts, spread(places, sizes), strict=True):
        text.xy = (1, place)


def place_labels(cell: "Axes", labels: Sequence[MarginLabel]) -> None:
    """Write the names beside axes that have their limits and their size already."""
    space_labels(cell, labels, add_labels(cell, labels))


def _wrapped(words: str, letters: int) -> str:
    return "\n".join(textwrap.fill(line, letters) for line in words.split("\n"))


def spread(places: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Heights that keep the order and do not overlap, and move the texts as little as possible (least squares).

    Args:
        places: wanted centres.
        sizes: heights of the texts.
    """
    from scipy.optimize import isotonic_regression

    if not places:
        return []
    order = np.argsort(places, kind="stable")
    heights = np.asarray(sizes)[order]
    stacked = np.cumsum(heights) - heights / 2  # centres of a stack without gaps
    found = np.empty(len(order))
    found[order] = isotonic_regression(np.asarray(places)[order] - stacked, weights=heights).x + stacked
    return found.tolist()
