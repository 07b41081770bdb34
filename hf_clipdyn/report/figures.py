"""Draw charts: one metric over the revisions, with its interval, its chance line and its caveats."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hf_clipdyn.report.axis import Axis
from hf_clipdyn.report.margin import MarginLabel, place_labels
from hf_clipdyn.report.plan import Chart, Line, Panel, is_constant
from hf_clipdyn.report.scales import scale_axes
from hf_clipdyn.report.style import GREY, HUMAN, MARKERS, PAPER, hue, shade
from hf_clipdyn.report.trajectories import Point, Trajectory, stem
from hf_clipdyn.report.vocabulary import HUMAN_SHAPE_BIAS, term

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_chart", "draw_overview"]

_WIDTH = 4.5  # inches: one column of a paper, and legible on a phone
_HEIGHT = 2.75
_TITLE, _WIDE_TITLE = 50, 62  # letters that fit above one panel and above two
_DRAWN_BANDS = 4
_TWO_COLUMNS = 6  # panels up to which two columns do
_NOT_INTERPRETABLE = "not interpretable near chance"
_NOT_DEFINED = "not defined"


def draw_chart(chart: Chart, axis: Axis) -> "Figure":
    """One chart as a figure; drawn and saved inside `figure_style`.

    Several panels share their axes. Points that are not interpretable are hollow and grey and no
    line runs through them; an undefined one leaves a cross at the foot.
    """
    columns = min(2 if len(chart.panels) <= _TWO_COLUMNS else 3, len(chart.panels))
    figure = _draw([list(chart.panels)], axis, columns, ordered=chart.ordered, shared=True)
    if columns == 1:
        figure.axes[0].set_title(textwrap.fill(chart.title, _TITLE))
    else:
        figure.suptitle(textwrap.fill(chart.title, _WIDE_TITLE), x=0.01, ha="left", fontsize=11)
    return figure


def draw_overview(worlds: Sequence[Sequence[Panel]], axis: Axis, columns: int) -> "Figure":
    """The study at a glance: the panels of `overview_panels`, each world from a new row on."""
    return _draw(worlds, axis, columns, ordered=False, shared=False)


def _draw(
    blocks: Sequence[Sequence[Panel]], axis: Axis, columns: int, *, ordered: bool, shared: bool
) -> "Figure":
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    columns = min(columns, max(len(block) for block in blocks))
    slots: list[Panel | None] = []
    for block in blocks:
        slots += [*block, *[None] * (-len(block) % columns)]
    rows = len(slots) // columns
    width = {1: _WIDTH, 2: _WIDTH * 1.3}.get(columns, 3.3 * columns)
    figure = Figure(figsize=(width, (_HEIGHT if columns == 1 else 2.3) * rows))
    cells = list(figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).flat)
    labels: dict[int, list[MarginLabel]] = {}
    for index, (cell, panel) in enumerate(zip(cells, slots, strict=True)):
        if panel is None:
            cell.set_visible(False)
            continue
        labels[index] = _draw_panel(cell, panel, axis, ordered=ordered)
        cell.set_title("\n".join(textwrap.fill(part, 36) for part in panel.title.split("\n")))
        is_lowest = index + columns >= len(slots) or slots[index + columns] is None
        if is_lowest or not shared:
            cell.set_xlabel(axis.label)
        cell.tick_params(labelbottom=is_lowest or not shared)
    for index, of_cell in labels.items():  # shared axes have their limits now
        place_labels(cells[index], of_cell)
    _add_legend(figure, columns, ordered=ordered)
    return figure


def _add_legend(figure: "Figure", columns: int, *, ordered: bool) -> None:
    handles: dict[str, Artist] = {}
    for cell in figure.axes:
        for handle, label in zip(*cell.get_legend_handles_labels(), strict=True):
            handles.setdefault(str(label), handle)
    marks = {label: handles.pop(label) for label in (_NOT_INTERPRETABLE, _NOT_DEFINED) if label in handles}
    if len(handles) == 1 and not marks:
        return
    handles.update(marks)
    ncols = _legend_columns(list(handles), columns, ordered=ordered)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * -(-len(handles) // ncols))
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=ncols)


def _legend_columns(names: Sequence[str], columns: int, *, ordered: bool) -> int:
    longest = max((len(name) for name in names), default=1)
    fitting = max(1, int(52 * max(1, columns * 0.8) / (longest + 6)))
    return min(len(names) or 1, fitting, 4 if ordered else 3)


def _draw_panel(cell: "Axes", panel: Panel, axis: Axis, *, ordered: bool) -> list[MarginLabel]:
    """Draw all lines of a panel; the names that belong into its margin."""
    words = term(panel.lines[0].trajectory.metric)
    if words.limits is not None:
        cell.set_ylim(words.limits[0] - 0.02, words.limits[1] + 0.02)
    elif not any(line.trajectory.usable for line in panel.lines):
        # A level line alone makes matplotlib take limits of about 1e-17, where no layout fits.
        cell.set_ylim((words.level or 0.0) - 0.1, (words.level or 0.0) + 0.1)
    cell.margins(y=0.12)
    labels = []
    if words.level is not None:
        labels.append(_level(cell, words.level, words.level_words))
    if any(_has_human_reference(line.trajectory) for line in panel.lines):
        labels.append(_level(cell, HUMAN_SHAPE_BIAS, "humans\n.959", HUMAN))
    for line in panel.references:
        labels += _draw_reference(cell, line, axis)
    for index, line in enumerate(panel.lines):
        colour = shade(index, len(panel.lines)) if ordered else hue(line.colour)
        marker = "o" if ordered else MARKERS[line.colour % len(MARKERS)]
        _draw_line(cell, line, axis, colour, marker, band=len(panel.lines) <= _DRAWN_BANDS)
    scale_axes(cell, [point for line in panel.lines for point in line.trajectory.points], axis)
    return labels


def _has_human_reference(one: Trajectory) -> bool:
    return stem(one.metric) == "shape_bias" and one.benchmark == "shape_bias/cue_conflict"


def _level(cell: "Axes", height: float, label: str, colour: str = GREY, style: Any = "-") -> MarginLabel:
    """A horizontal line, whose name stands in the right margin, clear of the data."""
    cell.axhline(height, color=colour, linewidth=1, linestyle=style, zorder=1.5)
    return MarginLabel(height, label, colour)


def _draw_reference(cell: "Axes", line: Line, axis: Axis) -> list[MarginLabel]:
    points = line.trajectory.usable
    if not points:
        return []
    last = points[-1].value
    if is_constant(line.trajectory):
        return [_level(cell, last, f"{line.label}\n{last:.3g}", GREY, (0, (4, 3)))]
    placed = [(place, point.value) for point in points if (place := axis.place(point)) is not None]
    if not placed:
        return []
    cell.plot(*zip(*placed, strict=True), color=GREY, linewidth=1.2, linestyle=(0, (1, 1.5)))
    return [MarginLabel(last, line.label, GREY)]


def _draw_line(cell: "Axes", line: Line, axis: Axis, colour: str, marker: str, *, band: bool) -> None:
    points = line.trajectory.points
    placed = [(place, point) for point in points if (place := axis.place(point)) is not None]
    if not placed:  # a model of one revision without a place in training
        for point in line.trajectory.usable:
            cell.axhline(point.value, color=colour, linestyle=(0, (6, 2)), label=line.label)
        return
    places = [place for place, _ in placed]
    # A point that says nothing breaks the line: NaN is how matplotlib is told so.
    told = [
        point if point.usable else replace(point, value=math.nan, low=math.nan, high=math.nan)
        for _, point in placed
    ]
    cell.plot(
        places,
        [point.value for point in told],
        color=colour,
        marker=marker,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        label=line.label,
        zorder=3,
    )
    _draw_intervals(cell, places, told, colour, band=band)
    _draw_hollow(
        cell, [(place, point) for place, point in placed if point.defined and not point.usable], marker
    )
    _draw_missing(cell, [place for place, point in placed if not point.defined])


def _draw_intervals(
    cell: "Axes", places: Sequence[float], told: Sequence[Point], colour: str, *, band: bool
) -> None:
    """A band along neighbours; a bar for a point without usable neighbours, or where bands would pile up."""
    lows, highs = [point.low for point in told], [point.high for point in told]
    if band:
        cell.fill_between(places, lows, highs, color=colour, alpha=0.16, linewidth=0, zorder=2)
    bars = [
        (place, point.low, point.high)
        for index, (place, point) in enumerate(zip(places, told, strict=True))
        if not band or sum(other.defined for other in told[max(index - 1, 0) : index + 2]) < 2
    ]
    if bars:
        cell.vlines(*zip(*bars, strict=True), color=colour, linewidth=1, zorder=2)


def _draw_missing(cell: "Axes", places: Sequence[float]) -> None:
    from matplotlib.lines import Line2D

    if places:
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


def _untold(point: Point) -> Point:
    return replace(point, value=math.nan, low=math.nan, high=math.nan)


def _draw_hollow(cell: "Axes", placed: Sequence[tuple[float, Point]], marker: str) -> None:
    if not placed:
        return
    places = [place for place, _ in placed]
    cell.vlines(
        places,
        [point.low for _, point in placed],
        [point.high for _, point in placed],
        color=GREY,
        linewidth=1,
        zorder=2,
    )
    cell.plot(
        places,
        [point.value for _, point in placed],
        linestyle="none",
        marker=marker,
        markerfacecolor=PAPER,
        markeredgecolor=GREY,
        markeredgewidth=1.2,
        zorder=3,
        label=_NOT_INTERPRETABLE,
    )
