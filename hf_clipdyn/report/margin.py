"""Names of horizontal lines in the right margin of a panel, moved apart where they would lie on each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    low, high = cell.get_ylim()
    places = [(label.height - low) / (high - low) for label in labels]
    crowded = len(labels) > 2
    texts = [" ".join(label.words.split("\n")) if crowded else label.words for label in labels]
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
    """Heights that keep the order and do not overlap, each group centred on where it wants to be.

    Args:
        places: wanted centres.
        sizes: heights of the texts.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    groups: list[list[int]] = []
    for index in order:
        groups.append([index])
        while len(groups) > 1 and _top(groups[-2], places, sizes) > _foot(groups[-1], places, sizes):
            groups[-2:] = [groups[-2] + groups[-1]]
    found = list(places)
    for group in groups:
        foot = _foot(group, places, sizes)
        for index in group:
            found[index] = foot + sizes[index] / 2
            foot += sizes[index]
    return found


def _foot(group: Sequence[int], places: Sequence[float], sizes: Sequence[float]) -> float:
    centre = sum(places[index] for index in group) / len(group)
    return centre - sum(sizes[index] for index in group) / 2


def _top(group: Sequence[int], places: Sequence[float], sizes: Sequence[float]) -> float:
    return _foot(group, places, sizes) + sum(sizes[index] for index in group)
