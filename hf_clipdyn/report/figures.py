"""Draw charts: one metric over the revisions, or bars for single revisions, with intervals and references."""

import textwrap
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hf_clipdyn.report.axis import Axis, scale_axes
from hf_clipdyn.report.charts import Chart, Line, Panel
from hf_clipdyn.report.margin import MarginLabel, place_labels
from hf_clipdyn.report.sentences import NOT_INTERPRETABLE
from hf_clipdyn.report.style import GREY, HUMAN, INK, MARKERS, PAPER, hue, shade
from hf_clipdyn.statistics.trajectories import Trajectory, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_chart", "draw_panel", "draw_panels"]

_WIDTH = 4.5  # inches: one column of a paper, and legible on a phone
_HEIGHT = 2.75
_BAR_HEIGHT = 0.18
_LONG_LABEL = 28  # letters of a bar's label that leave room for two columns
_NARROW_LABEL = 19  # and for three
_TITLE, _WIDE_TITLE = 50, 62  # letters that fit above one panel and above two
_DRAWN_BANDS = 4
_TWO_COLUMNS = 6  # panels up to which two columns do
_NOT_DEFINED = "not defined"
_REVISIONS = 5  # of one run, as curves over a level
_DASHES: tuple[Any, ...] = ((0, (4, 3)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (2, 2)), (0, (8, 2)))


def draw_chart(chart: Chart, axis: Axis) -> "Figure":
    """One chart as a figure; drawn and saved inside `figure_style`.

    Panels of trajectories share their axes. Points that are not interpretable are hollow and grey and no line runs
    through them; an undefined one leaves a cross at the foot.
    """
    n, x = len(chart.panels), chart.encoding.x
    columns = min(2 if n <= _TWO_COLUMNS else 3, n)
    if x in ("level", "revisions"):
        figure = draw_panels([_curves(chart)], Axis("level"), columns, ramp=chart.encoding.ramp)
    elif x == "value":
        longest = max(len(line.label) for panel in chart.panels for line in panel.lines)
        columns = 1 if n <= _TWO_COLUMNS and longest > _LONG_LABEL else columns
        width = _WIDTH * 2 if columns == 1 else None  # room for the labels
        figure = draw_panels([chart.panels], axis, columns, bars=True, width=width)
    else:
        figure = draw_panels([chart.panels], axis, columns, ramp=chart.encoding.ramp, shared=True)
    if columns == 1 and not chart.panels[0].title:
        figure.axes[0].set_title(textwrap.fill(chart.title, _TITLE))
    else:
        figure.suptitle(textwrap.fill(chart.title, _WIDE_TITLE), x=0.01, ha="left", fontsize=11)
    return figure


def _curves(chart: Chart) -> list[Panel]:
    """The panels of a chart with the numbers of one revision joined to lines over their level, references too."""
    panels, colours = [], dict[str, int]()
    for panel in chart.panels:
        curves, scales = defaultdict(list), defaultdict(list)
        levels = panel.lines[0].trajectory.level_axis
        descending = levels is not None and levels.descending
        for line in sorted(panel.lines, key=_level_of, reverse=descending):
            for label, one in _by_revision(line, chart):
                index = colours.setdefault(label, line.colour if _by_run(chart) else len(colours))
                curves[label, index].append(one)
        for line in sorted(panel.references, key=_level_of, reverse=descending):
            scales[_curve_of(line, panel)].append(line.trajectory)
        lines = tuple(_joined(label, colour, curve) for (label, colour), curve in curves.items())
        references = tuple(_joined(label, 0, curve) for label, curve in scales.items())
        panels.append(replace(panel, lines=lines, references=references))
    return panels


def _curve_of(line: Line, panel: Panel) -> str:
    """The name of the curve that a reference belongs to; of one without a level, its own."""
    one = line.trajectory
    if one.level is None or "level" not in one.reference_terms.joins:
        return line.label
    several = len({other.trajectory.parameter for other in panel.references}) > 1
    return ", ".join(filter(None, [one.reference_terms.title, one.detail(["parameter"]) if several else ""]))


def _level_of(line: Line) -> float:
    return line.trajectory.level or 0.0


def _by_run(chart: Chart) -> bool:
    return chart.encoding.colour in ((), ("run",)) and not chart.encoding.ramp


def _by_revision(line: Line, chart: Chart) -> list[tuple[str, Trajectory]]:
    """The parts of a trajectory that belong to different curves, with their names: one for each of some revisions."""
    one = line.trajectory
    if chart.encoding.x == "revisions":
        if not chart.encoding.ramp:
            return [(one.run, replace(one, points=one.points.iloc[-1:]))]
        last = len(one.points) - 1
        chosen = sorted({round(last * part / (_REVISIONS - 1)) for part in range(_REVISIONS)})
        parts = [one.points.iloc[at : at + 1] for at in chosen]
        return [(str(part["revision"].iloc[0]), replace(one, points=part)) for part in parts]
    run = one.run if "run" in chart.encoding.colour else ""
    return [(", ".join(filter(None, [run, one.detail(chart.encoding.colour)])) or one.run, one)]


def _joined(label: str, colour: int, curve: Sequence[Trajectory]) -> Line:
    """Numbers at several levels as one line, each with its level; one without a level stays as it is."""
    if curve[0].level is None:
        return Line(label, curve[0], colour)
    points = pd.concat([one.points.iloc[-1:].assign(level=one.level) for one in curve])
    return Line(label, replace(curve[0], level=None, points=points), colour)


def draw_panels(
    blocks: Sequence[Sequence[Panel]],
    axis: Axis,
    columns: int,
    *,
    bars: bool = False,
    ramp: bool = False,
    shared: bool = False,
    width: float | None = None,
) -> "Figure":
    """Panels in a grid, each block of them from a new row on; drawn and saved inside `figure_style`.

    Args:
        blocks: of `plan_overview`, or the panels of one chart.
        axis: of trajectories.
        columns: at most.
        bars: draw bars instead of lines.
        ramp: the lines are steps of one quantity.
        shared: all panels have the same axes.
        width: inches; default: by the columns.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    columns = min(columns, max(len(block) for block in blocks))
    slots: list[Panel | None] = []
    for block in blocks:
        slots += [*block, *[None] * (-len(block) % columns)]
    rows = [slots[start : start + columns] for start in range(0, len(slots), columns)]
    heights = [_row_height(row, columns, bars=bars) for row in rows]
    width = width or {1: _WIDTH, 2: _WIDTH * (1.8 if bars else 1.3)}.get(columns, 3.3 * columns)
    figure = Figure(figsize=(width, sum(heights)))
    cells = figure.subplots(
        len(rows), columns, squeeze=False, sharex=shared, sharey=shared, height_ratios=heights
    )
    labels = {}
    for index, (cell, panel) in enumerate(zip(cells.flat, slots, strict=True)):
        if panel is None:
            cell.set_visible(False)
            continue
        is_lowest = index + columns >= len(slots) or slots[index + columns] is None
        if bars:
            _draw_bars(cell, panel, columns)
        else:
            labels[cell] = _draw_panel(cell, panel, axis, ramp=ramp)
            if is_lowest or not shared:
                cell.set_xlabel(_x_label(panel, axis))
        cell.set_title(_wrapped(panel, columns, bars=bars))
        cell.tick_params(labelbottom=is_lowest or not shared)
    for cell, of_cell in labels.items():  # shared axes have their limits now
        place_labels(cell, of_cell)
    _add_legend(figure, columns, ramp=ramp)
    return figure


def draw_panel(cell: "Axes", panel: Panel, axis: Axis) -> None:
    """One panel of trajectories on its own; drawn inside `figure_style`."""
    labels = _draw_panel(cell, panel, axis, ramp=False)
    cell.set_xlabel(_x_label(panel, axis))
    place_labels(cell, labels)


def _x_label(panel: Panel, axis: Axis) -> str:
    levels = panel.lines[0].trajectory.level_axis if axis.kind == "level" else None
    if levels is None:
        return axis.label
    return f"{levels.title} ({levels.unit})" if levels.unit else levels.title


def _row_height(row: Sequence[Panel | None], columns: int, *, bars: bool) -> float:
    if not bars:
        return _HEIGHT if columns == 1 else 2.3

    def height(panel: Panel) -> float:
        lines = sum(len(_label(line.label, columns).split("\n")) for line in panel.lines)
        return 0.75 + 0.17 * len(_wrapped(panel, columns, bars=True).split("\n")) + _BAR_HEIGHT * lines

    return max(height(panel) for panel in row if panel)


def _label(text: str, columns: int) -> str:
    """The label of a bar, in lines that fit beside it."""
    return textwrap.fill(text, _NARROW_LABEL if columns > 2 else 70)


def _wrapped(panel: Panel, columns: int, *, bars: bool) -> str:
    """The title of a panel, in lines that fit above it."""
    labelled = any(line.label != line.trajectory.run for line in panel.lines)
    letters = (24 if labelled and columns > 2 else 30) if bars else 36
    return "\n".join(textwrap.fill(part, letters) for part in panel.title.split("\n"))


def _add_legend(figure: "Figure", columns: int, *, ramp: bool) -> None:
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
    longest = max(map(len, handles))
    fitting = max(1, int(52 * max(1, columns * 0.8) / (longest + 6)))
    ncols = min(len(handles), fitting, 4 if ramp else 3)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * -(-len(handles) // ncols))
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=ncols)


def _draw_panel(cell: "Axes", panel: Panel, axis: Axis, *, ramp: bool) -> list[MarginLabel]:
    """Draw all lines of a panel; the names that belong in its margin."""
    term, levels = panel.lines[0].trajectory.term, panel.lines[0].trajectory.level_axis
    if axis.kind == "level" and levels is not None:
        drawn = [line.trajectory.points for line in (*panel.lines, *panel.references)]
        axis = axis.over(levels, pd.concat([points for points in drawn if "level" in points]))
    if term.log:
        cell.set_yscale("log")
    elif term.limits is not None:
        cell.set_ylim(term.limits[0] - 0.02, term.limits[1] + 0.02)
    elif not any(line.trajectory.points["defined"].any() for line in (*panel.lines, *panel.references)):
        # A level line alone makes matplotlib take limits of about 1e-17, and no layout fits these.
        cell.set_ylim((term.neutral or 0.0) - 0.1, (term.neutral or 0.0) + 0.1)
    cell.margins(y=0.12)
    labels = [] if term.neutral is None else [_level(cell, term.neutral, term.neutral_title)]
    labels += [_level(cell, human, f"humans\n{human:.3g}", HUMAN) for human in _humans(panel)]
    for line in _drawn_references(panel):
        labels += _draw_reference(cell, line, axis)
    for index, line in enumerate(panel.lines):
        colour = shade(index, len(panel.lines)) if ramp else hue(line.colour)
        marker = "o" if ramp else MARKERS[line.colour % len(MARKERS)]
        _draw_line(cell, line, axis, colour, marker, band=len(panel.lines) <= _DRAWN_BANDS)
    scale_axes(cell, pd.concat([line.trajectory.points for line in panel.lines]), axis)
    return labels


def _drawn_references(panel: Panel) -> list[Line]:
    return [line for line in panel.references if line.trajectory.reference_terms.drawn]


def _humans(panel: Panel) -> list[float]:
    return sorted({line.trajectory.human for line in panel.lines if line.trajectory.human is not None})


def _level(cell: "Axes", height: float, label: str, colour: str = GREY, style: Any = "-") -> MarginLabel:
    """A horizontal line, with its name in the right margin, clear of the data."""
    cell.axhline(height, color=colour, linewidth=1, linestyle=style, zorder=1.5)
    return MarginLabel(height, label, colour)


def _draw_reference(cell: "Axes", line: Line, axis: Axis) -> list[MarginLabel]:
    points = line.trajectory.usable
    if points.empty:
        return []
    last = float(points["value"].iloc[-1])
    colour = _scale_colour(line.trajectory)
    over_levels = axis.kind == "level" and "level" in points
    if line.trajectory.is_constant and not over_levels:
        return [_level(cell, last, f"{line.label}\n{last:.3g}", colour, _DASHES[0])]
    places = axis.places(points)
    if np.isnan(places).all():
        return []
    dashes = _DASHES[0] if over_levels else _DASHES[1]
    cell.plot(places, points["value"], color=colour, linewidth=1.6 if over_levels else 1.2, linestyle=dashes)
    return [MarginLabel(last, line.label, colour)]


def _draw_line(cell: "Axes", line: Line, axis: Axis, colour: str, marker: str, *, band: bool) -> None:
    points = line.trajectory.points[~np.isnan(axis.places(line.trajectory.points))]
    if points.empty:  # a model of one revision without a place in training
        for value in line.trajectory.usable["value"]:
            cell.axhline(value, color=colour, linestyle=(0, (6, 2)), label=line.label)
        return
    places = axis.places(points)
    # A point that says nothing breaks the line: NaN is matplotlib's sign for it.
    shown = points[["value", "ci_low", "ci_high"]].where(points["usable"])
    cell.plot(
        places,
        shown["value"],
        color=colour,
        marker=marker,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        label=line.label,
        zorder=3,
    )
    _draw_intervals(cell, places, shown, colour, band=band)
    hollow = (points["defined"] & ~points["usable"] & ~line.trajectory.term.hide_not_interpretable).to_numpy()
    _draw_hollow(cell, places[hollow], points[hollow], marker)
    _draw_missing(cell, places[~points["defined"].to_numpy()])


def _draw_intervals(cell: "Axes", places: Any, shown: pd.DataFrame, colour: str, *, band: bool) -> None:
    """A band along neighbours; a bar for a point without usable neighbours, or if bands would pile up."""
    if band:
        cell.fill_between(
            places, shown["ci_low"], shown["ci_high"], color=colour, alpha=0.16, linewidth=0, zorder=2
        )
    usable = np.pad(shown["value"].notna().to_numpy(), 1)
    lonely = usable[1:-1] & ~(usable[:-2] | usable[2:]) if band else np.ones(len(shown), bool)
    bars = shown[lonely]
    if len(bars):
        cell.vlines(places[lonely], bars["ci_low"], bars["ci_high"], color=colour, linewidth=1, zorder=2)


def _draw_missing(cell: "Axes", places: Any) -> None:
    from matplotlib.lines import Line2D

    if len(places):
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


def _draw_hollow(cell: "Axes", places: Any, points: pd.DataFrame, marker: str) -> None:
    if points.empty:
        return
    cell.vlines(places, points["ci_low"], points["ci_high"], color=GREY, linewidth=1, zorder=2)
    cell.plot(
        places,
        points["value"],
        linestyle="none",
        marker=marker,
        markerfacecolor=PAPER,
        markeredgecolor=GREY,
        markeredgewidth=1.2,
        zorder=3,
        label=NOT_INTERPRETABLE,
    )


def _draw_bars(cell: "Axes", panel: Panel, columns: int) -> None:
    """Horizontal bars, one for each run side by side; references are vertical lines, named in the legend.

    A reference that scales some of the bars is drawn across these alone.
    """
    term = panel.lines[0].trajectory.term
    if term.limits is not None:
        cell.set_xlim(*term.limits)
    names = list(dict.fromkeys(line.label for line in panel.lines))
    runs = list(dict.fromkeys(line.trajectory.run for line in panel.lines))
    thickness = 0.8 / len(runs)
    of_all = [
        line for line in _drawn_references(panel) if line.label == line.trajectory.reference_terms.title
    ]
    looks = {one.label: index for index, one in enumerate(of_all)}
    for line in panel.lines:
        (point,) = rows_of(line.trajectory.points)
        place = names.index(line.label) + (runs.index(line.trajectory.run) - (len(runs) - 1) / 2) * thickness
        for other in line.trajectory.references:
            title = other.reference_terms.title
            if other.reference_terms.drawn and title not in {one.label for one in of_all}:
                style = _DASHES[looks.setdefault(title, len(looks)) % len(_DASHES)]
                ends = place - thickness / 2, place + thickness / 2
                _draw_scale(cell.vlines, other, style, title, *ends)
        colour = hue(line.colour)
        if not point.defined:
            cell.plot(0.01, place, "x", color=GREY, transform=cell.get_yaxis_transform(), label=_NOT_DEFINED)
            continue
        if not point.usable and term.hide_not_interpretable:
            continue
        hollow: dict[str, Any] = {"facecolor": PAPER, "edgecolor": GREY, "label": NOT_INTERPRETABLE}
        look = {"facecolor": colour, "label": line.trajectory.run} if point.usable else hollow
        cell.barh(place, point.value, thickness * 0.9, zorder=2, **look)
        cell.hlines(place, point.ci_low, point.ci_high, color=INK, linewidth=1, zorder=3)
    if term.neutral is not None:
        cell.axvline(term.neutral, color=GREY, linewidth=1, zorder=1.5)
    for human in _humans(panel):
        cell.axvline(human, color=HUMAN, linewidth=1.2, label="humans")
    for index, line in enumerate(of_all):
        _draw_scale(cell.axvline, line.trajectory, _DASHES[index % len(_DASHES)], line.label)
    ticks = ["" if names == runs else _label(name, columns) for name in names]
    cell.set_yticks(range(len(names)), ticks)
    cell.set_ylim(len(names) - 0.4, -0.6)
    cell.grid(visible=False, axis="y")
    cell.grid(visible=True, axis="x")


def _draw_scale(
    draw: Callable[..., Any], reference: Trajectory, style: Any, label: str, *ends: float
) -> None:
    """A vertical line at each value of a reference, with its colour."""
    colour = _scale_colour(reference)
    style = "-" if reference.role == "human" else style
    for value in reference.usable["value"]:
        draw(value, *ends, color=colour, linewidth=1.2, linestyle=style, label=label, zorder=4)


def _scale_colour(reference: Trajectory) -> str:
    return HUMAN if reference.role == "human" else GREY
