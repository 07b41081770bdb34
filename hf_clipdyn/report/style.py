"""How the figures look: one palette, one set of matplotlib settings, and the same colours for dark pages.

There are four hues, because more cannot be distinguished by everybody: any two differ by 14 or more (CIEDE2000), also
from the colours of people and of other references, and also as people with protanopia, deuteranopia and tritanopia see
them. Each has a contrast of 4.5 or more to its paper, so that a name beside a line can have the colour of its line.
`look` gives every line a hue, a stroke and a marker that no other has. Quantities with an order (a level, a layer) take
shades of viridis, on dark pages of GnBu, none of which is near the colour of people.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_hex

from hf_clipdyn.errors import ConfigError, UnknownNameError, naming

_HUES = (("#0065fb", "#8fc8ff"), ("#dd3300", "#ef6608"), ("#158658", "#429270"), ("#7e0091", "#aa66bf"))
_STEPS = 25
# Yellow is illegible on white, and gold is the colour of people on black.
SHADES, _DARK_SHADES = (
    [to_hex(mpl.colormaps[name](low + (high - low) * step / (_STEPS - 1))) for step in range(_STEPS)]
    for name, low, high in (("viridis", 0.1, 0.58), ("GnBu_r", 0.25, 0.8))
)
COLOURS: dict[str, list[tuple[str, str]]] = {
    "paper": [("#ffffff", "#16191d")],
    "ink": [("#1f2328", "#e6e8eb")],
    "grey": [("#697079", "#9aa1ab")],
    "grid": [("#e4e7eb", "#2b3036")],
    "edge": [("#9aa0a8", "#5b626b")],
    "human": [("#4d3300", "#ffd166")],
    "hue": list(_HUES),
    "shade": list(zip(SHADES, _DARK_SHADES, strict=True)),
    "diverging": [
        *(("#0a4b8c", "#9cc8f2"), ("#3f7fbf", "#5c98d0"), ("#8fb4d9", "#356a9c"), ("#c9d9e8", "#264660")),
        *(("#efefec", "#2e2f31"), ("#ecd6bd", "#5e4630"), ("#dba770", "#96683a"), ("#b97434", "#cf955a")),
        ("#7d4512", "#f5c593"),
    ],
    "sequential": [
        (shade, shade) for shade in (to_hex(mpl.colormaps["cividis"](at / 9)) for at in range(10))
    ],
    "state": [("#e9ebee", "#30353b"), *_HUES[:2]],
}
"""By name, the colours on white and on a dark page: of the parts of a page, of lines, and of the states and numbers of
maps."""

PAPER, GREY, HUMAN = (COLOURS[name][0][0] for name in ("paper", "grey", "human"))
HUES = tuple(light for light, _ in _HUES)
_STROKES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1.5, 1), (6, 1.5, 1.5, 1.5))
_MARKERS = (
    *(("o", "circle"), ("s", "square"), ("^", "triangle-up")),
    *(("D", "diamond"), ("v", "triangle-down"), ("P", "cross")),
)

TYPEFACES = ("Arial", "Helvetica", "Liberation Sans", "Arimo", "DejaVu Sans")
"""Journals ask for the first; the next three have its widths; matplotlib brings the last."""

_SHEETS = [Path(__file__).with_name(f"{name}.mplstyle") for name in ("clipdyn", "clipdyn-print")]
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


@contextmanager
def figure_style(style: Mapping[str, Any] | None = None, *, printed: bool = False) -> Iterator[None]:
    """matplotlib's settings for the figures of a report, within the block only.

    Args:
        style: of `read_style`, applied over the project's.
        printed: fonts and lines for the width of a column or a page.
    """
    from matplotlib import style as styles

    faces = {"font.sans-serif": list(typefaces())}
    sheets: list[Any] = [_SHEETS[0], faces, *_SHEETS[1 : 1 + printed], dict(style or {}), _FIXED]
    with warnings.catch_warnings(), styles.context(sheets, after_reset=True):
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)  # a name may have any character
        yield


@cache
def typefaces() -> tuple[str, ...]:
    """Those of `TYPEFACES` that this machine has: matplotlib warns of any other."""
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return tuple(name for name in TYPEFACES if name in installed)


@dataclass(frozen=True)
class Look:
    """How a line looks, in figures and on the page.

    Attributes:
        hue: place in `HUES`.
        stroke: lengths of dashes and gaps, in widths of the line; none for a solid line.
        marker: of matplotlib.
        symbol: the marker in Plotly's words.
    """

    hue: int
    stroke: tuple[float, ...]
    marker: str
    symbol: str

    @property
    def colour(self) -> str:
        """The hue inside `figure_style`: one of the project, or of the style over it."""
        colours = mpl.rcParams["axes.prop_cycle"].by_key().get("color", HUES)
        return to_hex(colours[self.hue % len(colours)])

    @property
    def dash(self) -> str:
        """The stroke in Plotly's words, for a line 2 px wide."""
        return ",".join(f"{2 * length:g}px" for length in self.stroke) or "solid"


def look(place: int) -> Look:
    """The look at a place of the palette: hues change first, then strokes; the first 96 looks all differ.

    The place of runs is `hf_clipdyn.report.courses.Group.place`, the same in all figures and on the page; that of other
    lines is their position in the panel.
    """
    rest, hue = divmod(place, len(HUES))
    cycle, stroke = divmod(rest, len(_STROKES))
    return Look(hue, _STROKES[stroke], *_MARKERS[(place + cycle) % len(_MARKERS)])


def shade(index: int, count: int) -> str:
    """Colour of step ``index`` of ``count`` ordered steps, dark to light."""
    return SHADES[round(index * (len(SHADES) - 1) / max(count - 1, 1))]


def read_style(style: str | Path) -> dict[str, Any]:
    """The settings of a style: a name that ``matplotlib.style.available`` lists, or a file as matplotlib reads it."""
    from matplotlib import style as styles

    if style == "default":
        return {}
    if style in styles.library:
        return dict[Any, Any](styles.library[str(style)])
    if not Path(style).is_file():  # nor an address, which matplotlib would fetch
        raise UnknownNameError("matplotlib style or file", str(style), [*styles.available, "default"])
    with naming(style, ConfigError):
        lines = Path(style).read_text(encoding="utf-8").splitlines()
        if not any(line.partition(":")[0].strip() in mpl.rcParams for line in lines):
            raise ConfigError("it sets none of matplotlib's parameters.")  # which would warn of every line
        settings = mpl.rc_params_from_file(Path(style), fail_on_error=True, use_default_template=False)
    return dict[Any, Any](settings)
