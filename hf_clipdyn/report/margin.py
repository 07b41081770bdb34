"""Text around the panels of a figure: names beside lines, moved apart where they would overlap, and the layout."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.font_manager import FontProperties

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_LAYOUT: dict[Any, Any] = {"figure.constrained_layout.use": False}
"""Without this setting, matplotlib gives a figure that it saves an engine again."""
MARGIN = 22
"""Letters of a line of text in the margin."""
_LETTER, _SPACING = 0.66, 1.2  # mean width of a letter and height of a line, in the size of the font


class Name(NamedTuple):
    """A name in the right margin, at the height of what it names."""

    text: str
    height: float
    colour: str


def decimals(value: float) -> str:
    """Two decimals, or one significant digit of what they would round to 0; none for large numbers."""
    if 0 < abs(value) < 0.005:
        return f"{value:.1g}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def font_points(name: Any) -> float:
    """The size of a font in matplotlib's settings, which may be a word, in points."""
    return float(FontProperties(size=mpl.rcParams[name]).get_size_in_points())


def letters_across(name: Any, inches: float) -> int:
    """How many letters of a font fit into a width."""
    return max(8, int(inches * 72 / (_LETTER * font_points(name))))


def wrapped(text: str, letters: int) -> str:
    """Each line of a text in lines of this length."""
    return "\n".join(textwrap.fill(line, letters) for line in text.split("\n"))


def annotate(ax: "Axes", text: str, place: tuple[float, float], within: Any, **given: Any) -> Any:
    given = {"fontsize": mpl.rcParams["legend.fontsize"], "xytext": (0, 1), **given}
    return ax.annotate(text, place, xycoords=within, textcoords="offset points", **given)


def write_names(ax: "Axes", names: Sequence[Name], letters: int = MARGIN) -> list[Any]:
    """Write names right of the axes, for the layout to make room for them; `place_names` gives their heights."""
    crowded = len(names) > 2
    style: dict[str, Any] = {"xytext": (4, 0), "linespacing": _SPACING, "va": "center"}
    texts = [wrapped(name.text.replace("\n", " ") if crowded else name.text, letters) for name in names]
    return [
        annotate(ax, text, (1, 0.5), "axes fraction", color=name.colour, **style)
        for text, name in zip(texts, names, strict=True)
    ]


def place_names(ax: "Axes", names: Sequence[Name], texts: "Sequence[Any] | None" = None) -> None:
    """Write names right of axes that have their limits and their size, moved apart where they would overlap."""
    texts = texts or write_names(ax, names)
    scaled = ax.yaxis.get_transform().transform([*ax.get_ylim(), *(name.height for name in names)])
    low, high, *heights = np.asarray(scaled, np.float64)
    places = [float(np.clip((height - low) / (high - low), 0, 1)) for height in heights]
    points = max(ax.get_window_extent().height * 72 / ax.figure.dpi, 1.0)
    sizes = [
        _SPACING * float(text.get_fontsize()) * len(text.get_text().split("\n")) / points for text in texts
    ]
    for text, place in zip(texts, spread(places, sizes), strict=True):
        text.xy = (1, place)


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


def lay_out(figure: "Figure") -> None:
    """Give all parts their places, once: each format that is saved later would do so again, with the same result."""
    engine = figure.get_layout_engine()
    assert engine is not None, "figures are drawn inside `figure_style`"
    engine.execute(figure)
    with mpl.rc_context(NO_LAYOUT):
        # Unlike "none", which leaves an engine, for which every format is drawn twice.
        figure.set_layout_engine(None)
