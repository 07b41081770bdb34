"""Names of horizontal lines in the right margin of a panel, moved apart where they would overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MarginLabel", "place_labels", "spread"]

_LINE = 0.072  # height of a line of text in a panel's axes; these are alike in all figures
_FONT = 8


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


def place_labels(cell: "Axes", labels: Sequence[MarginLabel]) -> None:
    """Write the names right of the axes, once all that decides their limits is drawn."""
    scaled = cell.yaxis.get_transform().transform([*cell.get_ylim(), *(label.height for label in labels)])
    low, high, *heights = np.asarray(scaled, np.float64)
    places = [float((height - low) / (high - low)) for height in heights]
    crowded = len(labels) > 2
    texts = [label.words.replace("\n", " ") if crowded else label.words for label in labels]
    sizes = [_LINE * len(text.split("\n")) for text in texts]
    for label, text, place in zip(labels, texts, spread(places, sizes), strict=True):
        cell.annotate(
            text,
            (1, place),
            (4, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=label.colour,
            fontsize=_FONT,
            va="center",
        )


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
