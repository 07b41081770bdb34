"""How the figures look: one palette, one set of matplotlib settings, and the same colours for dark pages.

The hues of the runs start from Okabe and Ito's and were moved apart: any two differ by 12 or more (CIEDE2000), also as
people with protanopia, deuteranopia and tritanopia see them, and each has a contrast of 3 or more to its paper. Runs
also differ in their markers. Quantities with an order (a level, a layer) take shades of viridis, on dark pages of
plasma.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from cycler import cycler
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
    "cycle_colour",
    "figure_style",
    "hue",
    "shade",
    "twins",
]

INK = "#1f2328"
GREY = "#767b84"
PAPER = "#ffffff"
HUMAN = "#4d3300"
_GRID = "#e4e7eb"
_EDGE = "#9aa0a8"
HUES = ("#0072b2", "#a74800", "#0faa6e", "#d576a0", "#9e8c14", "#648bff")
_DARK_HUES = ("#4fb3f0", "#f45e00", "#06fcc9", "#bf88a4", "#fde44d", "#d3e8ff")
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
    "savefig.facecolor": "auto",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": _EDGE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.prop_cycle": cycler(color=HUES),
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
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "savefig.dpi": 200,
}

_PRINTED: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titlepad": 4,
    "axes.labelsize": 7,
    "axes.labelpad": 2,
    "axes.linewidth": 0.75,
    "grid.linewidth": 0.75,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.75,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "legend.fontsize": 7,
    "lines.linewidth": 1.25,
    "lines.markersize": 3.2,
    "figure.constrained_layout.w_pad": 0.02,
    "figure.constrained_layout.h_pad": 0.03,
    "savefig.dpi": 300,
}
"""For figures of the width of a column or a page, in points as they are printed."""

_FIXED: dict[Any, Any] = {
    "text.usetex": False,
    "text.parse_math": False,  # names of runs and data sets may contain dollar signs
    "figure.constrained_layout.use": True,
    # Text stays text, so that it can be searched, read out and edited; journals refuse Type 3 fonts. The salt and the
    # missing date make the same table give the same file, byte for byte.
    "svg.fonttype": "none",
    "svg.hashsalt": "hf_clipdyn",
    "pdf.fonttype": 42,
    "path.simplify": True,
}
"""What no style changes."""


@contextmanager
def figure_style(style: Mapping[str, Any] | None = None, *, printed: bool = False) -> Iterator[None]:
    """matplotlib's settings for the figures of a report, within the block only.

    Args:
        style: of `read_style`, applied over the project's.
        printed: fonts and lines for the width of a column or a page.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)  # a name may have any character
        mpl.rcdefaults()
        for settings in (_SETTINGS, _PRINTED if printed else {}, style or {}, _FIXED):
            mpl.rcParams.update(dict[Any, Any](settings))
        yield


def cycle_colour(index: int) -> str:
    """Colour of run ``index`` inside `figure_style`: a hue of the project, or of the style over it."""
    colours = mpl.rcParams["axes.prop_cycle"].by_key().get("color", HUES)
    return to_hex(colours[index % len(colours)])


def hue(index: int) -> str:
    """Colour of run ``index``; the colours repeat after six."""
    return HUES[index % len(HUES)]


def shade(index: int, count: int) -> str:
    """Colour of step ``index`` of ``count`` ordered steps, dark to light."""
    return SHADES[round(index * (len(SHADES) - 1) / max(count - 1, 1))]


def twins(colour: str) -> tuple[str, str]:
    """A colour on white, and the one that replaces it on a dark page."""
    return colour, _TWINS[colour]
