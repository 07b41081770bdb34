"""Maps of values in rows and columns as figures: revisions by revisions, items or layers by revisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, Normalize
from numpy.typing import NDArray

from hf_clipdyn.errors import shorten
from hf_clipdyn.report.labels import add_letter, lay_out, letters_across, wrapped
from hf_clipdyn.report.style import GREY, HUES, HUMAN, PAPER

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DIVERGING = (
    "#0a4b8c",
    "#3f7fbf",
    "#8fb4d9",
    "#c9d9e8",
    "#efefec",
    "#ecd6bd",
    "#dba770",
    "#b97434",
    "#7d4512",
)
_MISSING = "#c4c7cb"
_MOST_TICKS = 12  # of rows
_ROW_HEIGHT = 2.1  # inches
_HIGHEST = 8.0
_LONGEST_NAME = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Map:
    """One map.

    Attributes:
        title: what is mapped; its second line is where.
        values: (rows, columns); NaN is grey.
        rows, columns: their names; some are written. Without names of rows, they are too many to be named.
        across, up, bar: titles of the axes, and of the bar of colours.
        neutral: value in the middle of the colours; None for colours from the smallest to the largest value.
        states: titles of the values 0, 1, ... if the values are states and no quantity.
        lines: after which row a line is drawn.
        margin: a share for each row, drawn beside it as people's; None for none.
        first_up: whether the first row is the lowest one.
    """

    title: str
    values: NDArray[np.float64]
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    across: str = ""
    up: str = ""
    bar: str = ""
    neutral: float | None = None
    states: Sequence[str] = ()
    lines: Sequence[int] = ()
    margin: NDArray[np.float64] | None = None
    first_up: bool = False


def draw_maps(maps: Sequence[Map], width: float, *, across: int = 2) -> "Figure | None":
    """The maps in a grid of this many inches, laid out; None without any. Inside `figure_style`."""
    from matplotlib.figure import Figure

    if not maps:
        return None
    across = min(across if width > 4 else 1, len(maps))
    n_rows = -(-len(maps) // across)
    figure = Figure(figsize=(width, min(_HIGHEST, (_ROW_HEIGHT + 0.6) * n_rows)))
    cells = figure.subplots(n_rows, across, squeeze=False)
    for at, cell in enumerate(cells.flat):
        if at >= len(maps):
            cell.set_visible(False)
            continue
        _draw(figure, cell, maps[at], width / across)
        if len(maps) > 1:
            add_letter(cell, ascii_lowercase[at], cell.get_title(loc="left"))
    lay_out(figure)
    return figure


def _draw(figure: "Figure", cell: "Axes", shown: Map, width: float) -> None:
    colours, norm = _scale(shown)
    image = cell.imshow(
        np.ma.masked_invalid(shown.values),
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        norm=norm,
        origin="lower" if shown.first_up else "upper",
    )
    cell.grid(visible=False)
    across = letters_across("ytick.labelsize", 0.7 * width) // (2 + max(map(len, shown.columns), default=1))
    for names, axis, most in ((shown.columns, cell.xaxis, across), (shown.rows, cell.yaxis, _MOST_TICKS)):
        every = max(1, -(-len(names) // max(1, int(most))))
        ticks = list(range(len(names) - 1, -1, -every))
        axis.set_ticks(ticks, [shorten(names[tick], _LONGEST_NAME) for tick in ticks])
    cell.set_xlabel(shown.across)
    cell.set_ylabel(shown.up)
    cell.set_title(wrapped(shown.title, letters_across("axes.titlesize", width)))
    for line in shown.lines:
        cell.axhline(line + 0.5, color=HUMAN, linewidth=1)
    if shown.states:
        cell.legend(
            handles=_patches(shown.states),
            loc="upper left",
            bbox_to_anchor=(0, -0.22),
            ncols=len(shown.states),
        )
    else:
        bar = figure.colorbar(image, ax=cell, fraction=0.05, pad=0.03, label=shown.bar)
        bar.outline.set_visible(False)
    if shown.margin is not None:
        side = cell.inset_axes((1.03, 0, 0.16, 1), sharey=cell)
        side.barh(np.arange(len(shown.margin)), np.nan_to_num(shown.margin), height=1.0, color=HUMAN)
        side.set(xlim=(0, 1), xticks=(0.5, 1), xlabel="people right")
        side.tick_params(labelleft=False)
        side.grid(visible=False)


def _scale(shown: Map) -> tuple[Colormap, Normalize]:
    known = shown.values[~np.isnan(shown.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if shown.states:
        colours: Colormap = ListedColormap(_state_colours())
        norm = Normalize(-0.5, len(_state_colours()) - 0.5)
    elif shown.neutral is None:
        colours, norm = LinearSegmentedColormap.from_list("cividis", _cividis()), Normalize(low, high)
    else:
        half = max(high - shown.neutral, shown.neutral - low) or 1.0
        colours = LinearSegmentedColormap.from_list("diverging", _DIVERGING)
        norm = Normalize(shown.neutral - half, shown.neutral + half)
    return colours.with_extremes(bad=_MISSING), norm


def _cividis() -> list[tuple[float, ...]]:
    from matplotlib import colormaps

    return [tuple(colour) for colour in colormaps["cividis"](np.linspace(0, 1, 16))]


def _state_colours() -> tuple[str, ...]:
    """Of wrong, right, and wrong again."""
    return "#e9ebee", HUES[0], HUES[1]


def _patches(titles: Sequence[str]) -> "list[Artist]":
    from matplotlib.patches import Patch

    colours = _state_colours()
    return [
        Patch(facecolor=colour, edgecolor=GREY if colour == colours[0] else PAPER, linewidth=0.5, label=title)
        for colour, title in zip(colours, titles, strict=False)
    ]
