"""Draw panels with matplotlib: metrics over the revisions or over levels, or bars, with intervals and references.

Names of horizontal lines stand in the right margin, moved apart where they would overlap.
"""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

from hf_clipdyn.report.axis import Axis, scale_axes
from hf_clipdyn.report.plan import Level, Line, Panel
from hf_clipdyn.report.style import GREY, HUMAN, MARKERS, STROKES, cycle_colour, look, shade
from hf_clipdyn.report.words import NOT_INTERPRETABLE
from hf_clipdyn.results.terms import Term
from hf_clipdyn.statistics.trajectories import Trajectory, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

__all__ = [
    "NO_LAYOUT",
    "Points",
    "draw_level",
    "draw_panel",
    "draw_panels",
    "font_points",
    "lay_out",
    "place_labels",
    "scale_values",
    "spread",
    "wrapped",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Inches with a font of 10 points; other fonts scale them.
_WIDTH = 4.5  # one column, and legible on a phone
_HEIGHT, _SINGLE_HEIGHT = 2.3, 2.75
_BAR_HEIGHT = 0.18
_TITLE_LINE = 0.17
_NARROW = 3.4  # a panel whose names of lines need short lines
_LETTER = 0.66  # mean width of a letter with some room, in the size of the font
_LABEL_SHARE = 0.45  # of a panel with bars, for their labels
_DRAWN_BANDS = 4
_DRAWN_MARKERS = 12  # of a mean over seeds
_NOT_DEFINED = "not defined"
NO_LAYOUT: dict[Any, Any] = {"figure.constrained_layout.use": False}
"""Without this setting, matplotlib gives a figure that it saves an engine again."""
_THIN = 0.75  # points: what journals print
_DASHES: tuple[Any, ...] = ((0, (4, 3)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (2, 2)), (0, (8, 2)))
_MARGIN, _NARROW_MARGIN = 22, 12  # letters of a line of text in the margin
_CROWDED = 2  # labels that may have several lines each
_SPACING = 1.2  # from line to line, in the size of the font


def draw_panels(
    blocks: Sequence[Sequence[Panel]],
    axis: Axis,
    columns: int,
    *,
    bars: bool = False,
    width: float | None = None,
    highest: float = float("inf"),
    lettered: bool = False,
) -> "Figure":
    """Panels in a grid, each block of them from a new row on; drawn and saved inside `figure_style`.

    Points that are not interpretable are hollow and grey and no line runs through them; an undefined one leaves a cross
    at the foot.

    Args:
        blocks: of `plan_overview` or `plan_benchmarks`.
        axis: of trajectories.
        columns: at most.
        bars: draw bars instead of lines, except over levels.
        width: inches; default: by the columns.
        highest: inches that the panels may take together.
        lettered: whether several panels are named a, b, c.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    columns = min(columns, max(len(block) for block in blocks))
    slots: list[Panel | None] = []
    for block in blocks:
        slots += [*block, *[None] * (-len(block) % columns)]
    scale = font_points("font.size") / 10
    width = width or {1: _WIDTH, 2: _WIDTH * (1.8 if bars else 1.3)}.get(columns, 3.3 * columns)
    titles = ["" if panel is None else _title(panel, width / columns, columns, bars=bars) for panel in slots]
    rows = [slice(start, start + columns) for start in range(0, len(slots), columns)]
    letters_of_label = _letters("ytick.labelsize", _LABEL_SHARE * width / columns)
    heights = [
        scale * _row_height(slots[row], titles[row], columns, letters_of_label if bars else None)
        for row in rows
    ]
    figure = Figure(figsize=(width, min(sum(heights), highest)))
    cells = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    labels, letters = {}, iter(ascii_lowercase if lettered and len(slots) > 1 else "")
    for cell, panel, title in zip(cells.flat, slots, titles, strict=True):
        if panel is None:
            cell.set_visible(False)
            continue
        if bars and not panel.over_levels:
            _draw_bars(cell, panel, letters_of_label)
        else:
            labels[cell] = _draw_panel(cell, panel, axis)
        cell.set_title(title, y=1.0)
        if letter := next(letters, ""):
            _add_letter(cell, letter, title)
    narrow = width / columns < _NARROW * scale
    texts = {cell: _add_labels(cell, of_cell, narrow=narrow) for cell, of_cell in labels.items()}
    _add_legend(figure)
    lay_out(figure)
    for cell, of_cell in texts.items():
        _space_labels(cell, labels[cell], of_cell)
    return figure


def draw_panel(cell: "Axes", panel: Panel, axis: Axis) -> None:
    """One panel of trajectories on its own; drawn inside `figure_style`."""
    place_labels(cell, _draw_panel(cell, panel, axis))


def _add_letter(cell: "Axes", letter: str, title: str) -> None:
    """Name a panel left of its title."""
    size = font_points("axes.titlesize")
    above = mpl.rcParams["axes.titlepad"] + title.count("\n") * 1.2 * size
    cell.annotate(
        letter,
        (0, 1),
        (-4, above),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=size,
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


def font_points(name: Literal["font.size", "axes.titlesize", "legend.fontsize", "ytick.labelsize"]) -> float:
    """The size of a font in matplotlib's settings, which may be a word, in points."""
    return float(FontProperties(size=mpl.rcParams[name]).get_size_in_points())


def _letters(name: Literal["axes.titlesize", "legend.fontsize", "ytick.labelsize"], inches: float) -> int:
    """How many letters of a font fit into a width."""
    return max(8, int(inches * 72 / (_LETTER * font_points(name))))


def _row_height(
    row: Sequence[Panel | None], titles: Sequence[str], columns: int, letters_of_label: int | None
) -> float:
    """Height in inches with a font of 10 points; bars need more if their labels have several lines."""
    lines_of_title = max(title.count("\n") + 1 for title in titles)
    curves = _SINGLE_HEIGHT if columns == 1 else _HEIGHT
    heights = [
        curves + _TITLE_LINE * max(0, lines_of_title - 2)
        if letters_of_label is None or panel.over_levels
        else 0.75 + _TITLE_LINE * lines_of_title + _BAR_HEIGHT * _lines_of_labels(panel, letters_of_label)
        for panel in row
        if panel
    ]
    return max(heights)


def _lines_of_labels(panel: Panel, letters: int) -> int:
    return sum(textwrap.fill(line.label, letters).count("\n") + 1 for line in panel.lines)


def _title(panel: Panel, width: float, columns: int, *, bars: bool) -> str:
    """The title of a panel, in lines that fit above it."""
    labelled = any(line.label != line.trajectory.run for line in panel.lines)
    beside_labels = bars and labelled and not panel.over_levels and columns > 1
    letters = _letters("axes.titlesize", width * (1 - _LABEL_SHARE if beside_labels else 1))
    return wrapped(panel.title, letters)


def wrapped(text: str, letters: int) -> str:
    """Each line of a text in lines of this length."""
    return "\n".join(textwrap.fill(line, letters) for line in text.split("\n"))


def _add_legend(figure: "Figure") -> None:
    from matplotlib.container import Container

    handles: dict[str, Any] = {}
    for cell in figure.axes:
        for handle, label in zip(*cell.get_legend_handles_labels(), strict=True):
            handles.setdefault(str(label), handle)
    runs = {label: handle for label, handle in handles.items() if isinstance(handle, Container)}
    handles = runs | handles
    marks = {label: handles.pop(label) for label in (NOT_INTERPRETABLE, _NOT_DEFINED) if label in handles}
    if len(handles) < 2 and not marks:
        return
    handles.update(marks)
    width, height = figure.get_size_inches()
    across = _letters("legend.fontsize", width)
    labels = [textwrap.fill(label, max(8, across - 6)) for label in handles]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    ncols = min(len(handles), max(1, across // (longest + 6)), 6)
    rows = -(-len(handles) // ncols) + sum(label.count("\n") for label in labels)
    figure.set_size_inches(width, height + rows * 1.6 * font_points("legend.fontsize") / 72)
    figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=ncols)


def _draw_panel(cell: "Axes", panel: Panel, axis: Axis) -> list[Level]:
    """Draw all lines of a panel and name its axis; the names that belong in its margin."""
    term, levels = panel.first.term, panel.first.level_axis
    label = axis.label
    if panel.over_levels:
        axis, label = Axis("level"), Axis("level").label
    if panel.over_levels and levels is not None:
        drawn = [line.trajectory.points for line in (*panel.lines, *panel.references)]
        axis = axis.over(levels, pd.concat([points for points in drawn if "level" in points]))
        label = f"{levels.title} ({levels.unit})" if levels.unit else levels.title
    cell.set_xlabel(label)
    bounded, lines = scale_values(cell, term), [*panel.lines, *panel.references]
    if not bounded and not any(line.trajectory.points["defined"].any() for line in lines):
        # A level line alone makes matplotlib take limits of about 1e-17, and no layout fits these.
        cell.set_ylim((term.neutral or 0.0) - 0.1, (term.neutral or 0.0) + 0.1)
    labels = [draw_level(cell, level, named=level.role != "neutral") for level in panel.levels]
    named = [label for line in _drawn_references(panel) for label in _draw_reference(cell, line, axis)]
    labels += _merged(named)
    for index, line in enumerate(panel.lines):
        pen = _Pen(shade(index, len(panel.lines))) if panel.ramp else _pen(line)
        _draw_line(cell, line, axis, pen, band=len(panel.lines) <= _DRAWN_BANDS)
    scale_axes(cell, pd.concat([line.trajectory.points for line in panel.lines]), axis)
    return labels


def scale_values(cell: "Axes", term: Term) -> bool:
    """Give the values of a metric their axis; whether it has a scale or limits of its own."""
    if term.log:
        cell.set_yscale("log")
    elif term.limits is not None:
        cell.set_ylim(term.limits[0] - 0.02, term.limits[1] + 0.02)
    cell.margins(y=0.12)
    return term.log or term.limits is not None


@dataclass(frozen=True)
class _Pen:
    """How matplotlib draws a line."""

    colour: str
    marker: str = "o"
    stroke: Any = "-"


def _pen(line: Line) -> _Pen:
    chosen = look(line.colour)
    stroke = STROKES[chosen.stroke]
    return _Pen(cycle_colour(chosen.hue), MARKERS[chosen.marker], (0, stroke) if stroke else "-")


def _merged(labels: Sequence[Level]) -> list[Level]:
    """Names once each: lines of several runs may share one."""
    known: dict[tuple[str, str], list[Level]] = {}
    for label in labels:
        known.setdefault((label.title, _scale_colour(label.role)), []).append(label)
    return [
        replace(alike[0], height=float(np.mean([label.height for label in alike])))
        for alike in known.values()
    ]


def _drawn_references(panel: Panel) -> list[Line]:
    return [line for line in panel.references if line.trajectory.reference_terms.drawn]


def draw_level(cell: "Axes", level: Level, style: Any = "-", *, named: bool = True) -> Level:
    """A horizontal line; its name, with its height if ``named``, is for the right margin, clear of the data."""
    cell.axhline(level.height, color=_scale_colour(level.role), linewidth=1, linestyle=style, zorder=1.5)
    return replace(level, title=f"{level.title}\n{level.height:.3g}") if named else level


def _draw_reference(cell: "Axes", line: Line, axis: Axis) -> list[Level]:
    points = line.trajectory.usable
    if points.empty:
        return []
    last = float(points["value"].iloc[-1])
    over_levels = axis.kind == "level" and "level" in points
    if line.trajectory.is_constant and not over_levels:
        return [draw_level(cell, Level(line.label, last, line.trajectory.role), _DASHES[0])]
    places = axis.places(points)
    if np.isnan(places).all():
        return []
    dashes = _DASHES[0] if over_levels else _DASHES[1]
    look: dict[str, Any] = {
        "color": _scale_colour(line.trajectory.role),
        "linewidth": 1.6 if over_levels else 1.2,
    }
    cell.plot(places, points["value"], linestyle=dashes, **look)
    return [Level(line.label, last, line.trajectory.role)]


@dataclass(frozen=True)
class Points:
    """Points of one line that have a place on the axis, as arrays."""

    places: Floats
    value: Floats
    low: Floats
    high: Floats
    usable: Bools
    hollow: Bools
    missing: Bools

    @classmethod
    def of(cls, number: Trajectory, axis: Axis) -> "Points":
        places = axis.places(number.points)
        known = ~np.isnan(places)
        value, low, high = (
            number.points[name].to_numpy(float)[known] for name in ("value", "ci_low", "ci_high")
        )
        usable, defined = (number.points[name].to_numpy(bool)[known] for name in ("usable", "defined"))
        hollow = defined & ~usable & (not number.term.hide_not_interpretable)
        return cls(places[known], value, low, high, usable, hollow, ~defined)

    @classmethod
    def joined(cls, parts: "Sequence[Points]") -> "Points":
        """Several lines as one with gaps between them: an artist for each seed would take its time."""
        gap = cls(*(np.array([np.nan]) for _ in range(4)), *(np.array([False]) for _ in range(3)))
        pieces = [piece for part in parts for piece in (part, gap)]
        return cls(
            *(np.concatenate([getattr(piece, column.name) for piece in pieces]) for column in fields(cls))
        )

    @property
    def drawn(self) -> Floats:
        """The values; NaN, matplotlib's sign for a gap, where a point says nothing."""
        return np.where(self.usable, self.value, np.nan)


def _draw_line(cell: "Axes", line: Line, axis: Axis, pen: _Pen, *, band: bool) -> None:
    points = Points.of(line.trajectory, axis)
    if len(points.places) == 0:  # a model of one revision without a place in training
        for value in line.trajectory.usable["value"]:
            cell.axhline(value, color=pen.colour, linestyle=(0, (6, 2)), label=line.label)
    elif line.members:
        seeds = Points.joined([Points.of(member, axis) for member in line.members])
        _plot(cell, seeds, replace(pen, marker=""), linewidth=_THIN, alpha=0.45, zorder=2.5)
        _draw_marks(cell, seeds, ".")
        every = max(1, len(points.places) // _DRAWN_MARKERS)
        _plot(cell, points, pen, label=line.label, markevery=(line.colour % every, every), zorder=3.5)
    else:
        _plot(cell, points, pen, label=line.label, zorder=3)
        _draw_intervals(cell, points, pen.colour, band=band)
        _draw_marks(cell, points, pen.marker)


def _plot(cell: "Axes", points: Points, pen: _Pen, **more: Any) -> None:
    cell.plot(
        points.places,
        points.drawn,
        color=pen.colour,
        marker=pen.marker,
        linestyle=pen.stroke,
        markeredgecolor=mpl.rcParams["axes.facecolor"],
        markeredgewidth=_THIN,
        **more,
    )


def _draw_intervals(cell: "Axes", points: Points, colour: str, *, band: bool) -> None:
    """A band along neighbours; a bar for a point without usable neighbours, or if bands would pile up."""
    low, high = (np.where(points.usable, end, np.nan) for end in (points.low, points.high))
    if band:
        cell.fill_between(points.places, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2)
    usable = np.pad(points.usable, 1)
    bars = points.usable & ~(usable[:-2] | usable[2:]) if band else np.ones(len(low), bool)
    if bars.any():
        cell.vlines(points.places[bars], low[bars], high[bars], color=colour, linewidth=1, zorder=2)


def _draw_marks(cell: "Axes", points: Points, marker: str) -> None:
    """Hollow marks for points that are not interpretable, crosses at the foot for those that are not defined."""
    if points.hollow.any():
        _draw_hollow(cell, points, marker)
    if points.missing.any():
        _draw_missing(cell, points.places[points.missing])


def _draw_missing(cell: "Axes", places: Floats) -> None:
    from matplotlib.lines import Line2D

    foot = Line2D(
        places,
        [0.03] * len(places),
        transform=cell.get_xaxis_transform(),
        linestyle="none",
        marker="x",
        color=GREY,
        label=_NOT_DEFINED,
    )
    cell.add_artist(foot)  # not plot: its height in the axes must not enter the limits of the data


def _draw_hollow(cell: "Axes", points: Points, marker: str) -> None:
    places, value, low, high = (
        part[points.hollow] for part in (points.places, points.value, points.low, points.high)
    )
    cell.vlines(places, low, high, color=GREY, linewidth=1, zorder=2)
    cell.plot(
        places,
        value,
        linestyle="none",
        marker=marker,
        markerfacecolor=mpl.rcParams["axes.facecolor"],
        markeredgecolor=GREY,
        markeredgewidth=1.2,
        zorder=3,
        label=NOT_INTERPRETABLE,
    )


def _draw_bars(cell: "Axes", panel: Panel, letters: int) -> None:
    """Horizontal bars, one for each run side by side; references are vertical lines, named in the legend.

    A reference that scales some of the bars is drawn across these alone. Labels are wrapped at this number of letters.
    """
    term = panel.first.term
    if term.limits is not None:
        cell.set_xlim(*term.limits)
    names = list(dict.fromkeys(line.label for line in panel.lines))
    runs = list(dict.fromkeys(line.trajectory.run for line in panel.lines))
    thickness = 0.8 / len(runs)
    shared = [
        line for line in _drawn_references(panel) if line.label == line.trajectory.reference_terms.title
    ]
    looks = {line.label: index for index, line in enumerate(shared)}
    shared_titles = set(looks)
    for line in panel.lines:
        (point,) = rows_of(line.trajectory.points)
        place = names.index(line.label) + (runs.index(line.trajectory.run) - (len(runs) - 1) / 2) * thickness
        for other in line.trajectory.references:
            title = other.reference_terms.title
            if other.reference_terms.drawn and title not in shared_titles:
                style = _DASHES[looks.setdefault(title, len(looks)) % len(_DASHES)]
                ends = place - thickness / 2, place + thickness / 2
                _draw_scale(cell.vlines, other, style, title, *ends)
        colour = cycle_colour(line.colour)
        if not point.defined:
            cell.plot(0.01, place, "x", color=GREY, transform=cell.get_yaxis_transform(), label=_NOT_DEFINED)
            continue
        if not point.usable and term.hide_not_interpretable:
            continue
        look: dict[str, Any] = {"facecolor": colour, "label": line.trajectory.run}
        if not point.usable:
            paper = mpl.rcParams["axes.facecolor"]
            look = {"facecolor": paper, "edgecolor": GREY, "label": NOT_INTERPRETABLE}
        cell.barh(place, point.value, thickness * 0.9, zorder=2, **look)
        cell.hlines(
            place, point.ci_low, point.ci_high, color=mpl.rcParams["text.color"], linewidth=1, zorder=3
        )
    for level in panel.levels:
        stroke = (
            {"linewidth": 1.2, "label": "humans"}
            if level.role == "human"
            else {"linewidth": 1, "zorder": 1.5}
        )
        cell.axvline(level.height, color=_scale_colour(level.role), **stroke)
    for index, line in enumerate(shared):
        _draw_scale(cell.axvline, line.trajectory, _DASHES[index % len(_DASHES)], line.label)
    ticks = ["" if names == runs else textwrap.fill(name, letters) for name in names]
    cell.set_yticks(range(len(names)), ticks)
    cell.set_ylim(len(names) - 0.4, -0.6)
    cell.grid(visible=False, axis="y")
    cell.grid(visible=True, axis="x")


def _draw_scale(
    draw: Callable[..., Any], reference: Trajectory, style: Any, label: str, *ends: float
) -> None:
    """A vertical line at each value of a reference, with its colour."""
    colour = _scale_colour(reference.role)
    style = "-" if reference.role == "human" else style
    for value in reference.usable["value"]:
        draw(value, *ends, color=colour, linewidth=1.2, linestyle=style, label=label, zorder=4)


def _scale_colour(role: str) -> str:
    return HUMAN if role == "human" else GREY


def _add_labels(cell: "Axes", labels: Sequence[Level], *, narrow: bool = False) -> "list[Annotation]":
    """Write the names right of the axes, for the layout to make room for them; `_space_labels` gives their heights."""
    letters = _NARROW_MARGIN if narrow else _MARGIN
    crowded = len(labels) > _CROWDED
    return [
        cell.annotate(
            label.title.replace("\n", " ") if crowded else wrapped(label.title, letters),
            (1, 0.5),
            (4, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=_scale_colour(label.role),
            fontsize=mpl.rcParams["legend.fontsize"],
            linespacing=_SPACING,
            va="center",
        )
        for label in labels
    ]


def _space_labels(cell: "Axes", labels: Sequence[Level], texts: "Sequence[Annotation]") -> None:
    """Move each name to the height of its line, once the axes have their limits and their size."""
    scaled = cell.yaxis.get_transform().transform([*cell.get_ylim(), *(label.height for label in labels)])
    low, high, *heights = np.asarray(scaled, np.float64)
    places = [float((height - low) / (high - low)) for height in heights]
    figure = cell.get_figure(root=True)
    assert figure is not None, "axes belong to a figure"
    points = cell.get_window_extent().height * 72 / figure.dpi
    sizes = [
        _SPACING * float(text.get_fontsize()) * len(text.get_text().split("\n")) / max(points, 1.0)
        for text in texts
    ]
    for text, place in zip(texts, spread(places, sizes), strict=True):
        text.xy = (1, place)


def place_labels(cell: "Axes", labels: Sequence[Level]) -> None:
    """Write the names beside axes that have their limits and their size already."""
    _space_labels(cell, labels, _add_labels(cell, labels))


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
