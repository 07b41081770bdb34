"""Draw charts: one metric over the revisions, with its interval, its chance line and its caveats."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_clipdyn.report.axis import Axis
from hf_clipdyn.report.plan import Chart, Line, Panel, is_constant
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
_DRAWN_BANDS = 4


def draw_chart(chart: Chart, axis: Axis) -> "Figure":
    """One chart as a figure; the caller saves it inside `figure_style`.

    Several panels share their axes. Points that are not interpretable are hollow and grey and no
    line runs through them.
    """
    return _draw(
        chart.panels, axis, columns=1 if len(chart.panels) == 1 else 2, ordered=chart.ordered, shared=True
    )


def draw_overview(panels: Sequence[Panel], axis: Axis, columns: int) -> "Figure":
    """The study at a glance: the panels of `overview_panels` in so many columns."""
    return _draw(panels, axis, columns=min(columns, len(panels)), ordered=False, shared=False)


def _draw(panels: Sequence[Panel], axis: Axis, columns: int, *, ordered: bool, shared: bool) -> "Figure":
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    rows = -(-len(panels) // columns)
    names = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    legend_columns = _legend_columns(names, columns, ordered=ordered)
    legend_rows = -(-len(names) // legend_columns) if len(names) > 1 else 0
    width = _WIDTH if columns == 1 else (_WIDTH * 1.3 if shared else 3.3 * columns)
    height = (_HEIGHT if columns == 1 else 2.35) * rows + 0.22 * legend_rows
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared)
    cells = list(grid.flat)
    for cell, panel in zip(cells, panels, strict=False):
        _draw_panel(cell, panel, axis, ordered=ordered)
        cell.set_title(panel.title)
    for cell in cells[len(panels) :]:
        cell.set_visible(False)
    for index, cell in enumerate(cells[: len(panels)]):
        is_lowest = index + columns >= len(panels)
        if is_lowest or not shared:
            cell.set_xlabel(axis.label)
        cell.tick_params(labelbottom=is_lowest or not shared)
        if shared and index % columns == 0:
            cell.set_ylabel(term(stem(panels[0].lines[0].trajectory.metric)).title)
    if legend_rows:
        handles: dict[str, Artist] = {}
        for cell in cells[: len(panels)]:
            for handle, label in zip(*cell.get_legend_handles_labels(), strict=True):
                handles.setdefault(str(label), handle)
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=legend_columns)
    return figure


def _legend_columns(names: Sequence[str], columns: int, *, ordered: bool) -> int:
    longest = max((len(name) for name in names), default=1)
    fitting = max(1, int(52 * max(1, columns * 0.8) / (longest + 6)))
    return min(len(names) or 1, fitting, 4 if ordered else 3)


def _draw_panel(cell: "Axes", panel: Panel, axis: Axis, *, ordered: bool) -> None:
    words = term(panel.lines[0].trajectory.metric)
    if words.limits is not None:
        cell.set_ylim(words.limits[0] - 0.02, words.limits[1] + 0.02)
    if words.level is not None:
        _level(cell, words.level, words.level_words, GREY, "-")
    if any(_has_human_reference(line.trajectory) for line in panel.lines):
        _level(cell, HUMAN_SHAPE_BIAS, "human observers .959", HUMAN, "-")
    for line in panel.references:
        _draw_reference(cell, line, axis)
    for index, line in enumerate(panel.lines):
        colour = shade(index, len(panel.lines)) if ordered else hue(line.colour)
        _draw_line(cell, line, axis, colour, band=len(panel.lines) <= _DRAWN_BANDS)
    _scale(cell, panel, axis)


def _has_human_reference(one: Trajectory) -> bool:
    return stem(one.metric) == "shape_bias" and one.benchmark == "shape_bias/cue_conflict"


def _level(cell: "Axes", height: float, label: str, colour: str, style: Any) -> None:
    from matplotlib.transforms import blended_transform_factory

    cell.axhline(height, color=colour, linewidth=1, linestyle=style, zorder=1.5)
    cell.text(
        0.995,
        height,
        label,
        transform=blended_transform_factory(cell.transAxes, cell.transData),
        color=colour,
        fontsize=8,
        ha="right",
        va="bottom",
        zorder=4,
    )


def _draw_reference(cell: "Axes", line: Line, axis: Axis) -> None:
    points = line.trajectory.usable
    if not points:
        return
    if is_constant(line.trajectory):
        _level(cell, points[0].value, f"{line.label} {points[0].value:.3g}", GREY, (0, (4, 3)))
        return
    placed = [(place, point) for point in points if (place := axis.place(point)) is not None]
    if placed:
        cell.plot(
            [place for place, _ in placed],
            [point.value for _, point in placed],
            color=GREY,
            linewidth=1,
            linestyle=(0, (1, 2)),
        )
        place, point = placed[-1]
        cell.annotate(
            line.label,
            (place, point.value),
            (0, 3),
            textcoords="offset points",
            color=GREY,
            fontsize=8,
            ha="right",
        )


def _draw_line(cell: "Axes", line: Line, axis: Axis, colour: str, *, band: bool) -> None:
    points = line.trajectory.points
    marker = MARKERS[line.colour % len(MARKERS)]
    placed = [(place, point) for point in points if (place := axis.place(point)) is not None]
    if not placed:  # a model of one revision without a place in training
        for point in line.trajectory.usable:
            cell.axhline(point.value, color=colour, linestyle=(0, (6, 2)), label=line.label)
        return
    places = [place for place, _ in placed]
    # A point that says nothing breaks the line: NaN is how matplotlib is told so.
    cell.plot(
        places,
        [point.value if point.usable else float("nan") for _, point in placed],
        color=colour,
        marker=marker,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        label=line.label,
        zorder=3,
    )
    spans = [_span(point) if point.usable else (float("nan"), float("nan")) for _, point in placed]
    if band and len(placed) > 1:
        cell.fill_between(
            places,
            [low for low, _ in spans],
            [high for _, high in spans],
            color=colour,
            alpha=0.16,
            linewidth=0,
            zorder=2,
        )
    else:
        cell.vlines(
            places,
            [low for low, _ in spans],
            [high for _, high in spans],
            color=colour,
            linewidth=1,
            zorder=2,
        )
    hollow = [(place, point) for place, point in placed if point.defined and not point.interpretable]
    if hollow:
        lows, highs = zip(*(_span(point) for _, point in hollow), strict=True)
        cell.vlines([place for place, _ in hollow], lows, highs, color=GREY, linewidth=1, zorder=2)
        cell.plot(
            [place for place, _ in hollow],
            [point.value for _, point in hollow],
            linestyle="none",
            marker=marker,
            markerfacecolor=PAPER,
            markeredgecolor=GREY,
            markeredgewidth=1.2,
            zorder=3,
        )


def _span(point: Point) -> tuple[float, float]:
    return point.low, point.high


def _scale(cell: "Axes", panel: Panel, axis: Axis) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    trajectories = [line.trajectory for line in panel.lines]
    places = [
        place for one in trajectories for point in one.points if (place := axis.place(point)) is not None
    ]
    if axis.log and any(place > 0 for place in places):
        first = min(place for place in places if place > 0)
        # The untrained model stands at zero: linear up to the first trained revision, then logarithmic.
        cell.set_xscale("symlog", linthresh=first, linscale=0.6)
        cell.set_xlim(-first * 0.35, max(places) * 1.25)
        cell.xaxis.set_major_formatter(FuncFormatter(lambda place, _: _short(place)))
        cell.minorticks_off()
    elif axis.kind == "order":
        names = {point.order: point.revision for one in trajectories for point in one.points}
        cell.set_xticks(list(names), list(names.values()), rotation=30, ha="right")
    else:
        cell.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        if axis.kind != "epoch":
            cell.xaxis.set_major_formatter(FuncFormatter(lambda place, _: _short(place)))
    cell.yaxis.set_major_locator(MaxNLocator(nbins=5))


def _short(number: float) -> str:
    """1,500,000 as 1.5M: what fits under a tick."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
