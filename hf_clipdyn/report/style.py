"""How the figures look: one palette, one set of matplotlib settings, and the same colours for dark pages.

There are four hues, because more cannot be distinguished by everybody: any two differ by 14 or more (CIEDE2000), also
from the colours of people and of other references, and also as people with protanopia, deuteranopia and tritanopia see
them. Each has a contrast of 4.5 or more to its paper, so that a name beside a line can have the colour of its line.
`look` gives every line a hue, a stroke and a marker that no other has. Quantities with an order (a level, a layer) take
shades of viridis, on dark pages of GnBu, none of which is near the colour of people.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.colors import to_hex

from hf_clipdyn.errors import ConfigError, UnknownNameError, shorten

INK = "#1f2328"
GREY = "#697079"
PAPER = "#ffffff"
HUMAN = "#4d3300"
_GRID = "#e4e7eb"
_EDGE = "#9aa0a8"
HUES = ("#0065fb", "#dd3300", "#158658", "#7e0091")
_DARK_HUES = ("#8fc8ff", "#ef6608", "#429270", "#aa66bf")
_STEPS = 25
# Yellow is illegible on white, and gold is the colour of people on black.
SHADES, _DARK_SHADES = (
    [to_hex(mpl.colormaps[name](low + (high - low) * step / (_STEPS - 1))) for step in range(_STEPS)]
    for name, low, high in (("viridis", 0.1, 0.58), ("GnBu_r", 0.25, 0.8))
)

STROKES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1.5, 1), (6, 1.5, 1.5, 1.5))
"""Lengths of dashes and gaps, in widths of the line; none for a solid line."""
MARKERS = ("o", "s", "^", "D", "v", "P")
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")

THEME = {"paper": PAPER, "ink": INK, "grey": GREY, "grid": _GRID, "edge": _EDGE, "human": HUMAN}
"""The colours of a page by their part."""

_TWINS = {
    INK: "#e6e8eb",
    GREY: "#9aa1ab",
    PAPER: "#16191d",
    HUMAN: "#ffd166",
    _GRID: "#2b3036",
    _EDGE: "#5b626b",
    **dict(zip(HUES, _DARK_HUES, strict=True)),
    **dict(zip(SHADES, _DARK_SHADES, strict=True)),
}

TYPEFACES = ("Arial", "Helvetica", "Liberation Sans", "Arimo", "DejaVu Sans")
"""Journals ask for the first; the next three have its widths; matplotlib brings the last."""

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
    "xtick.minor.width": 0.75,
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
    "ps.fonttype": 42,  # by which matplotlib also divides the characters of a PDF between its fonts
    "path.simplify": True,
}
"""What no style changes."""
_LOOKS = (
    *("axes.", "errorbar.", "figure.edgecolor", "figure.facecolor", "font.", "grid.", "hatch.", "legend."),
    *("lines.", "mathtext.", "patch.", "savefig.edgecolor", "savefig.facecolor", "text.color", "xtick."),
    "ytick.",
)
"""The settings that are looks. All others are left out: they run LaTeX or other programs (``text.usetex``,
``text.latex.preamble``, ``ps.usedistiller``), choose a backend, or decide what size and format a file has."""
_MEANINGFUL = ("lines.linestyle", "lines.marker", "lines.markeredgecolor", "lines.markerfacecolor")
"""Looks to which the figures give a meaning of their own."""
_MISSED = (
    *("backend", "figure.figsize", "pdf.", "pgf.", "ps.", "savefig.", "svg.", "text.latex", "text.usetex"),
)
"""Of the settings that are left out, those that somebody could miss."""
_GREATEST = 200.0
"""Points, or whatever else a setting counts: a font of 10^9 points would take all memory."""
_LONGEST = 100_000
_SUFFIX = ".mplstyle"


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
        faces = {"font.sans-serif": list(typefaces())}
        for settings in (_SETTINGS, faces, _PRINTED if printed else {}, style or {}, _FIXED):
            mpl.rcParams.update(dict[Any, Any](settings))
        yield


@cache
def typefaces() -> tuple[str, ...]:
    """Those of `TYPEFACES` that this machine has: matplotlib warns of any other."""
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return tuple(name for name in TYPEFACES if name in installed)


def cycle_colour(index: int) -> str:
    """Hue ``index`` inside `figure_style`: one of the project, or of the style over it."""
    colours = mpl.rcParams["axes.prop_cycle"].by_key().get("color", HUES)
    return to_hex(colours[index % len(HUES) % len(colours)])


@dataclass(frozen=True)
class Look:
    """How a line looks, in figures and on the page.

    Attributes:
        hue: place in `HUES`.
        stroke: place in `STROKES`.
        marker: place in `MARKERS`.
    """

    hue: int
    stroke: int
    marker: int

    @property
    def colours(self) -> tuple[str, str]:
        """On white, and on a dark page."""
        return twins(HUES[self.hue])

    @property
    def dash(self) -> str:
        """The stroke in Plotly's words, for a line 2 px wide."""
        return ",".join(f"{2 * length:g}px" for length in STROKES[self.stroke]) or "solid"

    @property
    def symbol(self) -> str:
        """The marker in Plotly's words."""
        return _SYMBOLS[self.marker]


def look(place: int) -> Look:
    """The look at a place of the palette: hues change first, then strokes; the first 96 looks all differ.

    The place of runs is `Seeds.place` (`groups_of_seeds`), the same in all figures and on the page; that of other lines
    is their position in the panel.
    """
    rest, hue = divmod(place, len(HUES))
    cycle, stroke = divmod(rest, len(STROKES))
    return Look(hue, stroke, (place + cycle) % len(MARKERS))


def hue(index: int) -> str:
    """Colour ``index`` on white; the colours repeat after four."""
    return HUES[index % len(HUES)]


def shade(index: int, count: int) -> str:
    """Colour of step ``index`` of ``count`` ordered steps, dark to light."""
    return SHADES[round(index * (len(SHADES) - 1) / max(count - 1, 1))]


def twins(colour: str) -> tuple[str, str]:
    """A colour on white, and the one that replaces it on a dark page."""
    return colour, _TWINS[colour]


class StyleWarning(UserWarning):
    """Settings of a style were left out."""


def read_style(style: str | Path) -> dict[str, Any]:
    """Read a style: a name that ``matplotlib.style.available`` lists, or a file in the format of matplotlibrc.

    Settings that are not looks are left out; a `StyleWarning` names those that may be missed.
    """
    from matplotlib import style as styles

    if style == "default":
        return {}
    if style in styles.library:
        settings = dict[Any, Any](styles.library[str(style)])
    elif Path(style).is_file():
        settings = _read_file(Path(style))
    elif Path(style).suffix == _SUFFIX:
        raise ConfigError(f"The style file {shorten(str(style))} does not exist.")
    else:
        raise UnknownNameError("matplotlib style or file", str(style), [*styles.available, "default"])
    kept = {name: settings[name] for name in settings if _is_look(name)}
    for name, value in kept.items():
        _check_size(name, value, style)
    missed = [name for name in settings if name not in kept and name.startswith(_MISSED)]
    usual: dict[str, Any] = mpl.rcParamsDefault  # type: ignore[assignment]  # matplotlib lists every name
    if changed := [name for name in missed if settings[name] != usual[name]]:
        text = (
            f"These settings of the style {shorten(str(style))} do not affect looks and are ignored: "
            f"{', '.join(changed)}."
        )
        warnings.warn(text, StyleWarning, stacklevel=2)
    return kept


def _is_look(name: str) -> bool:
    return name.startswith(_LOOKS) and name not in _MEANINGFUL and not name.startswith("axes.formatter.")


def _read_file(path: Path) -> dict[str, Any]:
    """The settings of a file; matplotlib logs what it does not understand, which is an error here."""
    if path.stat().st_size > _LONGEST:
        raise ConfigError(f"{path} has over {_LONGEST:,} bytes: no matplotlib style is that long.")
    heard = _Heard()
    log = logging.getLogger("matplotlib")
    log.addHandler(heard)
    propagated, log.propagate = log.propagate, False
    try:
        # A path, never a text: matplotlib would fetch a text that is an address.
        settings = mpl.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
    except Exception as error:
        raise ConfigError(f"{path} is not a matplotlib style ({_first_line(error)}).") from error
    finally:
        log.removeHandler(heard)
        log.propagate = propagated
    if heard.said:
        raise ConfigError(f"{path} is not a matplotlib style ({_first_line(heard.said[0])}).")
    return dict[Any, Any](settings)


class _Heard(logging.Handler):
    """Keeps what matplotlib says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def _first_line(said: object) -> str:
    return shorten(str(said).strip().partition("\n")[0].rstrip("."))


def _check_size(name: str, value: object, style: str | Path) -> None:
    for number in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(number, (int, float)) and not (math.isfinite(number) and abs(number) <= _GREATEST):
            raise ConfigError(
                f"The style {shorten(str(style))} sets {name} to {number:g}: give a number of at most {_GREATEST:g}."
            )
