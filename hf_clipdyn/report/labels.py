"""Text around the panels of a figure: names beside lines, moved apart where they would overlap, letters, the layout."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.font_manager import FontProperties

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

NO_LAYOUT: dict[Any, Any] = {"figure.constrained_layout.use": False}
"""Without this setting, matplotlib gives a figure that it saves an engine again."""
_LETTER = 0.66  # mean width of a letter with some room, in the size of the font
_MARGIN, _NARROW_MARGIN = 22, 12  # letters of a line of text in the margin
_CROWDED = 2  # labels that may have several lines each
_SPACING = 1.2  # from line to line, in the size of the font


@dataclass(frozen=True)
class Label:
    """The name of a line, beside the axes at the line's height."""

    text: str
    height: float
    colour: str


def decimals(value: float) -> str:
    """Two decimals, or one significant digit of what they would round to 0; none for large numbers."""
    if 0 < abs(value) < 0.005:
        return f"{value:.1g}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def font_points(name: Literal["font.size", "axes.titlesize", "legend.fontsize", "ytick.labelsize"]) -> float:
    """The size of a font in matplotlib's settings, which may be a word, in points."""
    return float(FontProperties(size=mpl.rcParams[name]).get_size_in_points())


def letters_across(
    name: Literal["axes.titlesize", "legend.fontsize", "ytick.labelsize"], inches: float
) -> int:
    """How many letters of a font fit into a width."""
    return max(8, int(inches * 72 / (_LETTER * font_points(name))))


def wrapped(text: str, letters: int) -> str:
    """Each line of a text in lines of this length."""
    return "\n".join(textwrap.fill(line, letters) for line in text.split("\n"))


def add_letter(cell: "Axes", letter: str, title: str, pad: float | None = None) -> None:
    """Name a panel left of its title, which is this number of points above the axes; nothing without a letter."""
    if not letter:
        return
    size = font_points("axes.titlesize")
    above = (mpl.rcParams["axes.titlepad"] if pad is None else pad) + title.count("\n") * 1.2 * size
    cell.annotate(
        letter,
        (0, 1),
        (-4, above),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=size,
        fontweight="bold",
        ha="right",
        va="baseline",
    )


def lay_out(figure: "Figure") -> None:
    """Give all parts their places, once: each format that is saved later would do so again, with the same result."""
    engine = figure.get_layout_engine()
    assert engine is not None, "figures are drawn inside `figure_style`"
    engine.execute(figure)
    with mpl.rc_context(NO_LAYOUT):
        # Unlike "none", which leaves an engine, for which every format is drawn twice.
        figure.set_layout_engine(None)
    for cell in figure.axes:
        label = cell.xaxis.label
        if cell.get_visible() and label.get_text():
            cell.xaxis.get_tightbbox()  # moves the label below the ticks
            _, height = label.get_transform().transform(label.get_position())
            cell.xaxis.set_label_coords(0.5, cell.transAxes.inverted().transform((0, height))[1])


def add_labels(cell: "Axes", labels: Sequence[Label], *, narrow: bool = False) -> "list[Annotation]":
    """Write the names right of the axes, for the layout to make room for them; `space_labels` gives their heights."""
    letters = _NARROW_MARGIN if narrow else _MARGIN
    crowded = len(labels) > _CROWDED
    return [
        cell.annotate(
            wrapped(label.text.replace("\n", " ") if crowded else label.text, letters),
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


def space_labels(cell: "Axes", labels: Sequence[Label], texts: "Sequence[Annotation]") -> None:
    """Move each name to the height of its line, once the axes have their limits and their size."""
    scaled = cell.yaxis.get_transform().transform([*cell.get_ylim(), *(label.height for label in labels)])
    low, high, *heights = np.asarray(scaled, np.float64)
    places = [float(np.clip((height - low) / (high - low), 0, 1)) for height in heights]
    figure = cell.get_figure(root=True)
    assert figure is not None, "axes belong to a figure"
    points = cell.get_window_extent().height * 72 / figure.dpi
    sizes = [
        _SPACING * float(text.get_fontsize()) * len(text.get_text().split("\n")) / max(points, 1.0)
        for text in texts
    ]
    for text, place in zip(texts, spread(places, sizes), strict=True):
        text.xy = (1, place)


def place_labels(cell: "Axes", labels: Sequence[Label]) -> None:
    """Write the names beside axes that have their limits and their size already."""
    space_labels(cell, labels, add_labels(cell, labels))


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
    moved = np.empty(len(order))
    moved[order] = isotonic_regression(np.asarray(places)[order] - stacked, weights=heights).x + stacked
    return moved.tolist()
