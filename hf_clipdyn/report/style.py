"""How the figures look: one palette, one set of matplotlib settings, and the same colours for dark pages.

The hues of the runs are Okabe and Ito's, which people with the common colour blindnesses can distinguish; runs also
differ in their markers. Quantities with an order (a level, a layer) take shades of viridis, on dark pages of plasma.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_hex

__all__ = [
    "GREY",
    "HUES",
    "HUMAN",
    "INK",
    "MARKERS",
    "PAPER",
    "SHADES",
    "THEME",
    "figure_style",
    "hue",
    "shade",
    "twins",
]

INK = "#1f2328"
GREY = "#767b84"
PAPER = "#ffffff"
HUMAN = "#8a5a00"
_GRID = "#e4e7eb"
_EDGE = "#9aa0a8"
HUES = ("#0072b2", "#d55e00", "#009e73", "#c2639a", "#b07d00", "#3a9bdc")
_DARK_HUES = ("#4fb3f0", "#ff8a3d", "#35d0a0", "#eb9ccb", "#f0c24a", "#9bd4ff")
_STEPS = 25
# Yellow is illegible on white, and dark violet on black.
SHADES, _DARK_SHADES = (
    [to_hex(mpl.colormaps[name](low + (high - low) * step / (_STEPS - 1))) for step in range(_STEPS)]
    for name, low, high in (("viridis", 0.0, 0.75), ("plasma", 0.35, 1.0))
)

MARKERS = ("o", "s", "^", "D", "v", "P")

THEME = {"paper": PAPER, "ink": INK, "grey": GREY, "grid": _GRID, "edge": _EDGE, "human": HUMAN}
"""The colours of a page by their part."""

_TWINS = {
    INK: "#e6e8eb",
    GREY: "#9aa1ab",
    PAPER: "#16191d",
    HUMAN: "#e0b35c",
    _GRID: "#2b3036",
    _EDGE: "#5b626b",
    **dict(zip(HUES, _DARK_HUES, strict=True)),
    **dict(zip(SHADES, _DARK_SHADES, strict=True)),
}

_SETTINGS: dict[Any, Any] = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": _EDGE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _EDGE,
    "ytick.color": _EDGE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "ytick.major.size": 0,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.parse_math": False,  # names of runs and data sets may contain dollar signs
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    # Text stays text, so that it can be searched, read out and edited; the salt and the missing
    # date make the same table give the same file, byte for byte.
    "svg.fonttype": "none",
    "svg.hashsalt": "hf_clipdyn",
    "path.simplify": True,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """matplotlib's settings for the figures of a report, within the block only."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)  # a name may have any character
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def hue(index: int) -> str:
    """Colour of run ``index``; the colours repeat after six."""
    return HUES[index % len(HUES)]


def shade(index: int, count: int) -> str:
    """Colour of step ``index`` of ``count`` ordered steps, dark to light."""
    return SHADES[round(index * (len(SHADES) - 1) / max(count - 1, 1))]


def twins(colour: str) -> tuple[str, str]:
    """A colour on white, and the one that replaces it on a dark page."""
    return colour, _TWINS[colour]
