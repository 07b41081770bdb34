"""Panels as one figure: letters, titles, names in the margins and a legend below, laid out.

Drawn and saved inside `style.figure_style`.
"""

import math
import textwrap
from collections.abc import Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from hf_clipdyn.report.margin import (
    MARGIN,
    Name,
    annotate,
    font_points,
    lay_out,
    letters_across,
    place_names,
    wrapped,
    write_names,
)
from hf_clipdyn.report.mpl import LABEL_SHARE, THIN, draw, has_end_names, row_labels, shown_lines
from hf_clipdyn.report.panel import NOT_DEFINED, NOT_INTERPRETABLE, Panel
from hf_clipdyn.report.style import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIGHEST = 8.0  # inches: with its caption, a figure fits on a page
_HEIGHT, _SINGLE_HEIGHT, _MAP_HEIGHT = 2.3, 2.75, 3.7  # inches with a font of 10 points
_ROW_HEIGHT, _TITLE_LINE = 0.18, 0.17


def grid(panels: Sequence[Panel], width: float, columns: int, *, intervals: str = "") -> "Figure":
    """Panels as a figure, laid out.

    Args:
        panels: at least one.
        width: inches.
        columns: at most.
        intervals: the confidence level in words, for the legend.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    columns = min(columns, len(panels))
    titles = [_title(panel, width / columns) for panel in panels]
    rows = [slice(start, start + columns) for start in range(0, len(panels), columns)]
    heights = [_height(panels[row], titles[row], columns, width / columns) for row in rows]
    figure = Figure(figsize=(width, min(sum(heights), HIGHEST)))
    cells = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for cell in cells.flat[len(panels) :]:
        cell.set_visible(False)
    named: dict[Axes, list[Name]] = {}
    letters = [*ascii_lowercase, *[""] * len(panels)] if len(panels) > 1 else [""]
    for cell, panel, title, letter in zip(cells.flat, panels, titles, letters, strict=False):
        named[cell] = draw(panel, cell)
        cell.set_title(title, y=1.0)
        size = font_points("axes.titlesize")
        above = (-4, mpl.rcParams["axes.titlepad"] + title.count("\n") * 1.2 * size)
        given = {"ha": "right", "va": "baseline", "fontsize": size, "fontweight": "bold", "xytext": above}
        if letter:
            annotate(cell, letter, (0, 1), "axes fraction", **given)
    _name_once(cells, named)
    narrow = width / columns < 3.4 * font_points("font.size") / 10
    texts = {cell: write_names(cell, names, 12 if narrow else MARGIN) for cell, names in named.items()}
    _add_legend(figure, panels, intervals)
    lay_out(figure)
    for cell, names in named.items():
        place_names(cell, names, texts[cell])
    return figure


def _title(panel: Panel, width: float) -> str:
    """Title and place of a panel, in lines that fit above it."""
    frames = {line.frame for line in panel.values} - {-1}
    place = ", ".join([panel.place, *(["last revision"] if frames and not panel.ramp else [])])
    share = 1 - LABEL_SHARE / 2 if panel.form == "rows" else 1
    return wrapped(
        "\n".join(filter(None, [panel.title, place])), letters_across("axes.titlesize", width * share)
    )


def _height(row: Sequence[Panel], titles: Sequence[str], columns: int, width: float) -> float:
    """Height of a row of panels in inches; rows of intervals need more if their labels have several lines."""
    lines = max(title.count("\n") + 1 for title in titles)
    curves = _SINGLE_HEIGHT if columns == 1 else _HEIGHT
    of_form = {"lines": curves + _TITLE_LINE * max(0, lines - 2), "map": _MAP_HEIGHT}
    labels = [sum(lines for _, lines in row_labels(panel, width).values()) for panel in row]
    heights = [
        of_form.get(panel.form, 0.75 + _TITLE_LINE * lines + _ROW_HEIGHT * n)
        for panel, n in zip(row, labels, strict=True)
    ]
    return max(heights) * font_points("font.size") / 10


def _name_once(cells: Any, named: "dict[Axes, list[Name]]") -> None:
    """Keep the names of runs in the last cell of a row of cells that has them; all its cells share a look."""
    for row in cells:
        known = set[tuple[str, str]]()
        for cell in reversed([cell for cell in row if cell in named]):
            labels = set(cell.get_legend_handles_labels()[1])
            names = [
                name
                for name in named[cell]
                if (name.text, name.colour) not in known or name.text not in labels
            ]
            known |= {(name.text, name.colour) for name in names if name.text in labels}
            named[cell] = names


def _add_legend(figure: "Figure", panels: Sequence[Panel], intervals: str) -> None:
    """Below the panels: what their marks mean, and names that have no place beside their lines."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    drawn = [[line for line in shown_lines(panel) if line.role == "value"] for panel in panels]
    named = {
        line.label
        for panel, own in zip(panels, drawn, strict=True)
        if has_end_names(panel, own)
        for line in own
    }
    named |= {own[0].label for own in drawn if len(own) == 1}
    handles: dict[str, Any] = {}
    for cell in figure.axes:
        for handle, label in zip(*cell.get_legend_handles_labels(), strict=True):
            if label not in named:
                handles.setdefault(str(label), handle)
    lines, rows = [line for own in drawn for line in own], [row for panel in panels for row in panel.rows]
    if seeds := sorted({len(line.seeds) for line in lines if line.seeds}):
        n = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        handles[f"mean of {n} seeds"] = Line2D([], [], color=GREY, marker="o")
        handles["each seed"] = Line2D([], [], color=GREY, linewidth=THIN, alpha=0.6)
    if intervals and any(np.isfinite(line.low).any() for line in lines):
        handles[f"{intervals} interval"] = Patch(color=GREY, alpha=0.3, linewidth=0)
    elif intervals and any(math.isfinite(row.low) for row in rows):
        handles[f"{intervals} interval"] = Line2D([], [], color=GREY, linewidth=1.4)
    handles |= {label: handles.pop(label) for label in (NOT_INTERPRETABLE, NOT_DEFINED) if label in handles}
    if not handles:
        return
    width, height = figure.get_size_inches()
    across = letters_across("legend.fontsize", width)
    labels = [textwrap.fill(label, max(8, across - 6)) for label in handles]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    columns = min(len(handles), max(1, across // (longest + 6)), 6)
    n_lines = -(-len(handles) // columns) + sum(label.count("\n") for label in labels)
    figure.set_size_inches(width, min(height + n_lines * 1.6 * font_points("legend.fontsize") / 72, HIGHEST))
    figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=columns)
