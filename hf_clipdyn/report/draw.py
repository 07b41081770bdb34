"""Draw panels with matplotlib: metrics over the revisions or over levels, or bars, with intervals and references.

Names of lines are in the right margin, each at the height where its line ends; a legend below says what marks mean.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.report.axis import TICK_STEPS, Axis, scale_axes
from hf_clipdyn.report.labels import (
    Label,
    add_labels,
    add_letter,
    decimals,
    font_points,
    lay_out,
    letters_across,
    place_labels,
    space_labels,
    wrapped,
)
from hf_clipdyn.report.plan import Level, Line, Panel, evenly
from hf_clipdyn.report.style import GREY, HUMAN, MARKERS, STROKES, cycle_colour, look, shade
from hf_clipdyn.report.words import NOT_INTERPRETABLE
from hf_clipdyn.results.terms import Term
from hf_clipdyn.statistics.trajectories import Trajectory, rows_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Inches with a font of 10 points; other fonts scale them.
_WIDTH = 4.5  # one column, and legible on a phone
_HEIGHT, _SINGLE_HEIGHT = 2.3, 2.75
_BAR_HEIGHT = 0.18
_HATCHES = ("", "////", "....", "xxxx")  # of bars, where lines have strokes
_BAR_ALPHA = 0.5  # intervals and references lie over the bars
_TITLE_LINE = 0.17
_NARROW = 3.4  # a panel whose names of lines need short lines
_LABEL_SHARE = 0.45  # of a panel with bars, for their labels
_DRAWN_BANDS = 4
_DRAWN_MARKERS = 12  # of a mean over seeds
_NOT_DEFINED = "not defined"
_THIN = 0.75  # points: what journals print
_DASHES: tuple[Any, ...] = ((0, (4, 3)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (2, 2)), (0, (8, 2)))
_HUMAN_LINE = 1.4  # points, wherever people are drawn
_MOST_LABELS = 8  # names at the ends of lines; more are in the legend
_RAMP_LABELS = 5  # of the steps of a ramp
_HIGHEST = 8.0  # inches: with its caption, a figure fits on a page


def draw_panels(
    blocks: Sequence[Sequence[Panel]],
    axis: Axis,
    columns: int,
    *,
    bars: bool = False,
    width: float | None = None,
    lettered: bool = False,
    alike: bool = False,
    intervals: str = "",
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
        lettered: whether several panels are named a, b, c.
        alike: the panels of a block show one number: they share limits, letter and names.
        intervals: the confidence level in words, for the legend.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    columns = min(columns, max(len(block) for block in blocks))
    slots: list[Panel | None] = []
    for block in blocks:
        slots += [*block, *[None] * (-len(block) % columns)]
    scale = font_points("font.size") / 10
    width = width or {1: _WIDTH, 2: _WIDTH * (1.8 if bars else 1.3)}.get(columns, 3.3 * columns)
    titles = [_title(panel, width / columns, columns, bars=bars) if panel else "" for panel in slots]
    if alike:  # the first of a block has a heading over the whole row
        titles = [panel.title if panel else "" for panel in slots]
    rows = [slice(start, start + columns) for start in range(0, len(slots), columns)]
    letters_of_label = letters_across("ytick.labelsize", _LABEL_SHARE * width / columns)
    heights = [
        scale * _row_height(slots[row], titles[row], columns, letters_of_label if bars else None)
        for row in rows
    ]
    figure = Figure(figsize=(width, min(sum(heights), _HIGHEST)))
    cells = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    labels: dict[Axes, list[Label]] = {}
    ends: dict[Axes, list[Label]] = {}
    dashes: dict[str, int] = {}
    firsts = {id(block[0]) for block in blocks}
    letters = iter(ascii_lowercase if lettered and len(slots) > 1 else "")
    for cell, panel, title in zip(cells.flat, slots, titles, strict=True):
        if panel is None:
            cell.set_visible(False)
            continue
        if bars and not panel.over_levels:
            _draw_bars(cell, panel, letters_of_label, dashes)
        else:
            labels[cell], ends[cell] = _draw_panel(cell, panel, axis)
        cell.set_title(title, y=1.0)
        if not alike or id(panel) in firsts:
            add_letter(cell, next(letters, ""), title)
    if alike:
        start = 0
        for block in blocks:
            _share_limits(list(cells.flat)[start : start + len(block)], columns)
            start += len(block) + -len(block) % columns
        for cell in cells[:-1].flat:
            cell.set_xlabel("")
    for row_of_cells in cells:
        _name_once(row_of_cells, labels, ends, shared_levels=alike)
    narrow = width / columns < _NARROW * scale
    texts = {cell: add_labels(cell, of_cell, narrow=narrow) for cell, of_cell in labels.items()}
    panels = [panel for panel in slots if panel]
    _add_legend(figure, panels, list(_marks(panels, intervals, bars=bars)))
    lay_out(figure)
    for cell, of_cell in texts.items():
        space_labels(cell, labels[cell], of_cell)
    return figure


def _share_limits(cells: "Sequence[Axes]", columns: int) -> None:
    """Give cells the same limits, and numbers beside the first of each row only."""
    low, high = zip(*(cell.get_ylim() for cell in cells), strict=True)
    for at, cell in enumerate(cells):
        cell.set_ylim(min(low), max(high))
        if at % columns:
            cell.tick_params(labelleft=False)


def _name_once(
    cells: "Iterable[Axes]",
    labels: "dict[Axes, list[Label]]",
    ends: "dict[Axes, list[Label]]",
    *,
    shared_levels: bool,
) -> None:
    """Add the names at the ends of lines in the last cell of the row that has the line; all its cells share a look."""
    known, levels = set[tuple[str, str]](), set[str]()
    for cell in reversed([cell for cell in cells if cell in labels]):
        named = {label: (label.text, label.colour) for label in ends[cell]}
        if shared_levels:
            labels[cell] = [label for label in labels[cell] if label.text not in levels]
            levels |= {label.text for label in labels[cell]}
        labels[cell] += [label for label, name in named.items() if name not in known]
        known |= set(named.values())


def draw_panel(cell: "Axes", panel: Panel, axis: Axis) -> None:
    """One panel of trajectories on its own; drawn inside `figure_style`."""
    labels, ends = _draw_panel(cell, panel, axis)
    place_labels(cell, [*labels, *ends])


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
    letters = letters_across("axes.titlesize", width * (1 - _LABEL_SHARE if beside_labels else 1))
    return wrapped(panel.title, letters)


def _marks(panels: Sequence[Panel], intervals: str, *, bars: bool) -> "Iterator[Artist]":
    """What the legend says of intervals and of seeds."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    lines = [line for panel in panels for line in panel.lines]
    if seeds := sorted({len(line.members) for line in lines if line.members}):
        n = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        yield Line2D([], [], color=GREY, marker="o", label=f"mean of {n} seeds")
        yield Line2D([], [], color=GREY, linewidth=_THIN, alpha=0.6, label="each seed")
    if intervals and any(np.isfinite(line.trajectory.points["ci_low"]).any() for line in lines):
        label = f"{intervals} interval"
        in_bands = any(len(panel.lines) <= _DRAWN_BANDS for panel in panels if not bars or panel.over_levels)
        if in_bands:
            yield Patch(color=GREY, alpha=0.3, linewidth=0, label=label)
        else:
            colour = mpl.rcParams["text.color"] if bars else GREY
            yield Line2D([], [], color=colour, linewidth=1, label=label)


def _add_legend(figure: "Figure", panels: Sequence[Panel], marks: "Sequence[Artist]") -> None:
    """Below the panels: what their marks mean, and names that have no place beside their lines."""
    from matplotlib.container import Container

    at_ends = {line.label for panel in panels if _has_ends(panel) for line in panel.lines if line.colour >= 0}
    shown = ([line.label for line in panel.lines if line.colour >= 0] for panel in panels)
    alone = {label for labels in shown if len(labels) == 1 for label in labels}
    handles: dict[str, Any] = {}
    for cell in figure.axes:
        for handle, label in zip(*cell.get_legend_handles_labels(), strict=True):
            if isinstance(handle, Container) or label not in at_ends | alone:
                handles.setdefault(str(label), handle)
    runs = {label: handle for label, handle in handles.items() if isinstance(handle, Container)}
    runs.pop(NOT_INTERPRETABLE, None)
    others = {label: handle for label, handle in handles.items() if label not in runs}
    handles = others if len(runs) == 1 else runs | others  # one run needs no name
    handles |= {str(mark.get_label()): mark for mark in marks}
    handles |= {label: handles.pop(label) for label in (NOT_INTERPRETABLE, _NOT_DEFINED) if label in handles}
    if not handles:
        return
    width, height = figure.get_size_inches()
    across = letters_across("legend.fontsize", width)
    labels = [textwrap.fill(label, max(8, across - 6)) for label in handles]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    ncols = min(len(handles), max(1, across // (longest + 6)), 6)
    rows = -(-len(handles) // ncols) + sum(label.count("\n") for label in labels)
    legend = rows * 1.6 * font_points("legend.fontsize") / 72
    figure.set_size_inches(width, min(height + legend, _HIGHEST))
    figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=ncols)


def _draw_panel(cell: "Axes", panel: Panel, axis: Axis) -> tuple[list[Label], list[Label]]:
    """Draw all lines of a panel and name its axis; the names of its horizontal lines, and those of the others."""
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
    return labels, _ends(panel, axis) if _has_ends(panel) else []


def _has_ends(panel: Panel) -> bool:
    """Whether the names of the lines fit beside their ends, and are needed."""
    n = sum(line.colour >= 0 for line in panel.lines)
    return n > 1 and (panel.ramp or n <= _MOST_LABELS)


def _ends(panel: Panel, axis: Axis) -> list[Label]:
    """The name of each line at the height of its last point; of a long ramp, some."""
    lines = [
        (line, shade(index, len(panel.lines)) if panel.ramp else _pen(line).colour)
        for index, line in enumerate(panel.lines)
        if line.colour >= 0
    ]
    if panel.ramp:
        lines = [lines[at] for at in evenly(len(lines), _RAMP_LABELS)]
    labels = []
    for line, colour in lines:
        points = Points.of(line.trajectory, axis)
        places = np.where(points.usable, points.places * (-1 if axis.descending else 1), -np.inf)
        height = (
            points.value[places.argmax()] if points.usable.any() else line.trajectory.usable["value"].max()
        )
        if np.isfinite(height):
            name = line.label.partition(", mean of ")[0] if line.members else line.label
            labels.append(Label(name, float(height), colour))
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
    if line.colour < 0:
        return _Pen(GREY, "")
    chosen = look(line.colour)
    stroke = STROKES[chosen.stroke]
    return _Pen(cycle_colour(chosen.hue), MARKERS[chosen.marker], (0, stroke) if stroke else "-")


def _merged(labels: Sequence[Label]) -> list[Label]:
    """Names once each: lines of several runs may share one."""
    known: dict[tuple[str, str], list[Label]] = {}
    for label in labels:
        known.setdefault((label.text, label.colour), []).append(label)
    return [
        replace(alike[0], height=float(np.mean([label.height for label in alike])))
        for alike in known.values()
    ]


def _drawn_references(panel: Panel) -> list[Line]:
    return [line for line in panel.references if line.trajectory.reference_terms.drawn]


def draw_level(cell: "Axes", level: Level, style: Any = "-", *, named: bool = True) -> Label:
    """A horizontal line; its name, with its height if ``named``, is for the right margin, clear of the data."""
    cell.axhline(level.height, zorder=1.5, **_scale_look(level.role, style))
    text = f"{level.title}\n{decimals(level.height)}" if named else level.title
    return Label(text, level.height, _scale_look(level.role)["color"])


def _scale_look(role: str, style: Any = "-", linewidth: float = 1.0) -> dict[str, Any]:
    """How the line of a reference looks: that of people is the same everywhere, others have this style."""
    if role == "human":
        return {"color": HUMAN, "linestyle": "-", "linewidth": _HUMAN_LINE}
    return {"color": GREY, "linestyle": style, "linewidth": linewidth}


def _draw_reference(cell: "Axes", line: Line, axis: Axis) -> list[Label]:
    points, role = line.trajectory.usable, line.trajectory.role
    if points.empty:
        return []
    last = float(points["value"].iloc[-1])
    over_levels = axis.kind == "level" and "level" in points
    if line.trajectory.is_constant and not over_levels:
        return [draw_level(cell, Level(line.label, last, role), _DASHES[0])]
    places = axis.places(points)
    if np.isnan(places).all():
        return []
    look = _scale_look(role, _DASHES[0] if over_levels else _DASHES[1], 1.6 if over_levels else 1.2)
    cell.plot(places, points["value"], **look)
    return [Label(line.label, last, look["color"])]


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
        points = cls(places[known], value, low, high, usable, hollow, ~defined)
        start = int(axis.leaves_out(points.places))
        return cls.joined([points.part(slice(start)), points.part(slice(start, None))]) if start else points

    def part(self, which: slice) -> "Points":
        """Some of them, in their order."""
        return Points(*(getattr(self, column.name)[which] for column in fields(self)))

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
        _draw_marks(cell, seeds, ".", intervals=False)
        every = max(1, len(points.places) // _DRAWN_MARKERS)
        _plot(cell, points, pen, label=line.label, markevery=(line.colour % every, every), zorder=3.5)
    elif line.colour < 0:
        _plot(cell, points, pen, label=line.label, zorder=2)
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
        markeredgewidth=0,  # no halo, which would cut the intervals
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


def _draw_marks(cell: "Axes", points: Points, marker: str, *, intervals: bool = True) -> None:
    """Hollow marks for points that are not interpretable, crosses at the foot for those that are not defined."""
    if points.hollow.any():
        _draw_hollow(cell, points, marker, intervals=intervals)
    if points.missing.any():
        _draw_missing(cell, points.places[points.missing])


def _draw_missing(cell: "Axes", places: Floats) -> None:
    from matplotlib.lines import Line2D

    foot = Line2D(
        places,
        [0.05] * len(places),
        transform=cell.get_xaxis_transform(),
        linestyle="none",
        marker="x",
        color=GREY,
        label=_NOT_DEFINED,
    )
    cell.add_artist(foot)  # not plot: its height in the axes must not enter the limits of the data


def _draw_hollow(cell: "Axes", points: Points, marker: str, *, intervals: bool) -> None:
    places, value, low, high = (
        part[points.hollow] for part in (points.places, points.value, points.low, points.high)
    )
    if intervals:
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


def _draw_bars(cell: "Axes", panel: Panel, letters: int, dashes: dict[str, int]) -> None:
    """Horizontal bars, one for each run side by side; references are vertical lines, named in the legend.

    A reference that scales some of the bars is drawn across these alone. Labels are wrapped at this number of letters;
    ``dashes`` is the place of each reference's dashes, which grows from panel to panel.
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
    shared_titles = {line.label for line in shared}
    for line in panel.lines:
        (point,) = rows_of(line.trajectory.points)
        place = names.index(line.label) + (runs.index(line.trajectory.run) - (len(runs) - 1) / 2) * thickness
        for other in line.trajectory.references:
            title = other.reference_terms.title
            if other.reference_terms.drawn and title not in shared_titles:
                style = _DASHES[dashes.setdefault(title, len(dashes)) % len(_DASHES)]
                ends = place - thickness / 2, place + thickness / 2
                _draw_scale(cell.vlines, other, style, title, *ends)
        chosen = look(line.colour)
        if not point.defined:
            cell.plot(0.01, place, "x", color=GREY, transform=cell.get_yaxis_transform(), label=_NOT_DEFINED)
            continue
        if not point.usable and term.hide_not_interpretable:
            continue
        fill: dict[str, Any] = {
            "facecolor": (cycle_colour(chosen.hue), _BAR_ALPHA),
            "label": line.trajectory.run,
        }
        fill["hatch"] = _HATCHES[chosen.stroke]
        if not point.usable:
            paper = mpl.rcParams["axes.facecolor"]
            fill = {"facecolor": paper, "edgecolor": GREY, "label": NOT_INTERPRETABLE}
        cell.barh(place, point.value, thickness * 0.9, zorder=2, **fill)
        cell.hlines(
            place, point.ci_low, point.ci_high, color=mpl.rcParams["text.color"], linewidth=1, zorder=3
        )
    for level in panel.levels:
        label = level.title if level.role == "human" else None
        cell.axvline(level.height, zorder=2.5, label=label, **_scale_look(level.role))
    for line in shared:
        style = _DASHES[dashes.setdefault(line.label, len(dashes)) % len(_DASHES)]
        _draw_scale(cell.axvline, line.trajectory, style, line.label)
    ticks = ["" if names == runs else textwrap.fill(name, letters) for name in names]
    cell.set_yticks(range(len(names)), ticks)
    cell.set_ylim(len(names) - 0.4, -0.6)
    cell.locator_params(axis="x", nbins=5, steps=TICK_STEPS)
    cell.grid(visible=False, axis="y")
    cell.grid(visible=True, axis="x")


def _draw_scale(
    draw: Callable[..., Any], reference: Trajectory, style: Any, label: str, *ends: float
) -> None:
    """A vertical line at each value of a reference, with its colour."""
    look = _scale_look(reference.role, style, 1.2)
    for value in reference.usable["value"]:
        draw(value, *ends, label=label, zorder=4, **look)
