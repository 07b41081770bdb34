"""The figure of the claims: each endpoint over training, and beside it the intervals of its contrasts over their δ."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hf_clipdyn.report.axis import Axis, scale_axes
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.claims import claims_axis, payload, plan_claims
from hf_clipdyn.report.draw import Points, draw_level, scale_values
from hf_clipdyn.report.labels import (
    Label,
    add_letter,
    decimals,
    font_points,
    lay_out,
    place_labels,
    wrapped,
)
from hf_clipdyn.report.plan import Line, Panel, Seeds, average_seeds, groups_of_seeds
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.style import GREY, INK, PAPER, hue
from hf_clipdyn.report.words import NOT_INTERPRETABLE, part_title, part_word
from hf_clipdyn.statistics.contrasts import Estimate
from hf_clipdyn.statistics.judging import Part

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE_BY_SIDE = 5.0  # inches from which the contrasts lie beside their panel, else below it
_LINE, _LETTER = 1.45, 0.57  # of the size of small text
_NUMBERS = 24  # letters of a value with its interval
# Lines of small text: heights of a panel without its frame, and of the frame (title, names of windows, ticks).
_PANEL, _SHORT_PANEL, _LEAST_PANEL, _FRAME = 16.0, 11.5, 7.0, 4.5
_MOST_MARKED = 100  # points of a panel that have a mark each; more hide the lines, and swell the file
_HIGHEST = 8.0  # inches: panels of a higher figure shrink to the least height
_MEAN_WIDTH, _ARM_WIDTH = 1.6, 0.9  # points
_REACH = 6.0  # multiples of δ that the intervals' axis shows at most
_DOTS, _DASHES = (0, (1, 1.5)), (0, (4, 3))
_STROKES = {"neutral": "-", "human": "-", "untrained": _DOTS}


@dataclass(frozen=True)
class _Row:
    """Something in the list of contrasts, with its place from the top in lines of text."""

    top: float
    text: str = ""
    bold: bool = False
    part: Part | None = None


class ClaimsChart(Chart):
    """Figure and page part of the claims, and their specification curves."""

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        return draw_claims(study, width)

    @classmethod
    def payload(cls, study: Study) -> dict[str, Any] | None:
        return payload(study)


def draw_claims(study: Study, width: float = 7.2) -> "Figure | None":
    """The figure of the claims, laid out, this many inches wide; drawn and saved inside `figure_style`.

    A row for each endpoint that was measured: thin lines for the runs, thick ones for means over seeds, scales in
    colour, means of control arms in grey, horizontal lines for the untrained model, chance, pixels and people,
    registered windows shaded. Beside it, or below it in a narrow figure, the interval of each contrast in units of its
    δ, over the band from -δ to δ, with its verdict in words. None without any estimate.
    """
    panels = [panel for panel in plan_claims(study) if panel.contrasts]
    if not panels:
        return None
    groups = groups_of_seeds(study.trajectories)
    axis, scales = claims_axis(panels), _scales(panels, groups)
    beside = width >= _SIDE_BY_SIDE
    # Constrained layout leaves about .42 of the width to a list beside its panel; one below it has the whole width.
    breadth = width * (0.42 if beside else 0.97)
    lists = [_rows(panel, int(breadth / _letter())) for panel in panels]
    figure, cells, list_cells = _grid([_line() * _length(rows) for rows in lists], width, beside=beside)
    reach, share = _reach(panels), 1 - _letter() * (_NUMBERS + 1) / breadth
    for cell, rows in zip(list_cells, lists, strict=True):
        _draw_list(cell, rows, reach, share, in_layout=beside)
    letters = iter(ascii_lowercase if len(panels) > 1 else "")
    for cell, panel in zip(cells, panels, strict=True):
        labels = _draw_panel(cell, average_seeds(panel, groups), axis, scales)
        title, above = _title(panel, cell, width), 1.9 * _small() if panel.spans else None
        cell.set_title(title, pad=above)
        add_letter(cell, next(letters, ""), title, above)
        if cell is cells[-1]:
            cell.set_xlabel(axis.label)
        place_labels(cell, labels)
    _add_legend(figure, panels, scales)
    lay_out(figure)
    for cell, rows in zip(list_cells, lists, strict=True):
        _place_list(cell, rows, None if beside else 0.97)
    return figure


def _small() -> float:
    """Size of small text in points, as `figure_style` sets it."""
    return font_points("legend.fontsize")


def _line() -> float:
    """Inches for a line of small text."""
    return _LINE * _small() / 72


def _letter() -> float:
    """Inches for a letter of small text."""
    return _LETTER * _small() / 72


def _grid(lists: Sequence[float], width: float, *, beside: bool) -> "tuple[Figure, list[Axes], list[Axes]]":
    """Panels with their lists of contrasts, of these heights in inches, beside or below them."""
    from matplotlib.figure import Figure

    n = len(lists)
    frames = n * _FRAME * _line() + 0.5
    room = (_HIGHEST - frames - (0 if beside else sum(lists))) / n
    usual, least = (_PANEL if beside else _SHORT_PANEL) * _line(), _LEAST_PANEL * _line()
    panel = min(usual, max(least, room))
    if beside:
        heights = [max(panel, height) for height in lists]
        figure = Figure(figsize=(width, sum(heights) + frames))
        cells = figure.subplots(n, 2, squeeze=False, height_ratios=heights, width_ratios=(1, 0.95))
        return figure, list(cells[:, 0]), list(cells[:, 1])
    heights = [part for height in lists for part in (panel, height + 0.01)]
    figure = Figure(figsize=(width, sum(heights) + frames))
    cells = figure.subplots(2 * n, 1, squeeze=False, height_ratios=heights)
    return figure, list(cells[::2, 0]), list(cells[1::2, 0])


def _title(panel: Panel, cell: "Axes", width: float) -> str:
    share = cell.get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]
    return wrapped(panel.title, int(width / share * 72 / (_LETTER * font_points("axes.titlesize")) * 0.9))


def _scales(panels: Sequence[Panel], groups: Sequence[Seeds]) -> dict[str, str]:
    """Colours of the scales, in the order of the tables: those of their main arm everywhere else."""
    places = {run: group.place for group in groups for run in group.runs}
    colours: dict[str, str] = {}
    for course in (line.trajectory for panel in panels for line in panel.lines if not line.trajectory.arm):
        colours.setdefault(course.scale, hue(places[course.run]))
    return colours


def _draw_panel(cell: "Axes", panel: Panel, axis: Axis, scales: dict[str, str]) -> list[Label]:
    scale_values(cell, panel.first.term)
    _draw_spans(cell, panel, scales)
    labels = [draw_level(cell, level, _STROKES.get(level.role, _DASHES)) for level in panel.levels]
    runs = [run for line in panel.lines for run in _runs(line)]
    alone = sum(not run.trajectory.arm for run in runs) == 1
    marked = sum(len(run.trajectory.points) for run in runs) <= _MOST_MARKED
    for line in sorted(panel.lines, key=lambda line: not line.trajectory.arm):  # control arms lie below
        arm = line.trajectory.arm
        colour = GREY if arm else scales[line.trajectory.scale]
        for run in () if arm and line.members else _runs(line):
            alpha = 0.4 if line.members else 1.0
            _draw_course(cell, run, axis, colour, alone=alone, marked=marked, alpha=alpha)
        if line.members:
            points = Points.of(line.trajectory, axis)
            width = _ARM_WIDTH if arm else _MEAN_WIDTH
            cell.plot(
                points.places,
                points.drawn,
                color=colour,
                linewidth=width,
                label=line.label,
                zorder=2 if arm else 4,
            )
    scale_axes(cell, pd.concat([line.trajectory.points for line in panel.lines]), axis)
    return labels


def _runs(line: Line) -> list[Line]:
    """The lines of its seeds, or itself."""
    return [Line(member.run, member) for member in line.members] or [line]


def _draw_spans(cell: "Axes", panel: Panel, scales: dict[str, str]) -> None:
    named: set[str] = set()
    for span in panel.spans:
        colour = scales.get(span.scale, GREY) if span.scale else GREY
        cell.axvspan(span.start, span.end, color=colour, alpha=0.13, linewidth=0, zorder=0.5)
        if span.window in named:  # of another length of runs; its colour says so
            continue
        named.add(span.window)
        cell.annotate(
            span.window,
            ((span.start * max(span.end, 1e-9)) ** 0.5 if span.start else span.end, 1),
            (0, 1),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=colour,
            fontsize=_small(),
            ha="center" if span.start else "right",
            va="bottom",
        )


def _draw_course(
    cell: "Axes", line: Line, axis: Axis, colour: str, *, alone: bool, marked: bool, alpha: float
) -> None:
    course, points = line.trajectory, Points.of(line.trajectory, axis)
    if len(points.places) == 0:
        for value in course.usable["value"]:
            cell.axhline(value, color=colour, linestyle=(0, (6, 2)), linewidth=1, label=line.label)
        return
    cell.plot(
        points.places,
        points.drawn,
        color=colour,
        linewidth=_MEAN_WIDTH if alone and not course.arm else _ARM_WIDTH,
        alpha=alpha,
        marker="o" if marked else "",
        markersize=3 if alone else 1.8,
        label=line.label,
        zorder=2 if course.arm else 3,
    )
    if alone and not course.arm:
        low, high = (np.where(points.usable, end, np.nan) for end in (points.low, points.high))
        cell.fill_between(points.places, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2)
    if points.hollow.any() and not course.arm:
        cell.plot(
            points.places[points.hollow],
            points.value[points.hollow],
            linestyle="none",
            marker="o",
            markersize=3,
            markerfacecolor=PAPER,
            markeredgecolor=GREY,
            label=NOT_INTERPRETABLE,
            zorder=3,
        )


def _rows(panel: Panel, letters: int) -> list[_Row]:
    """The list of contrasts of a panel: for each claim its title and verdict, for each contrast words and interval."""
    rows: list[_Row] = []
    top = 0.0

    def add(text: str, *, bold: bool = False) -> None:
        nonlocal top
        for line in textwrap.wrap(text, int(letters * (0.9 if bold else 1))):
            rows.append(_Row(top, line, bold))
            top += 1

    for verdict, parts in panel.contrasts:
        add(f"{verdict.claim.number}  {verdict.claim.title}: {verdict.words}", bold=True)
        for part in parts:
            add(": ".join(filter(None, [part_title(part), part_word(verdict, part)])))
            rows.append(_Row(top, _interval_words(part.estimate), part=part))
            top += 1.25
        top += 0.5
    return rows


def _interval_words(estimate: Estimate) -> str:
    """Value and interval, with two decimals."""
    if not math.isfinite(estimate.ci_low):
        return decimals(estimate.value)
    return f"{decimals(estimate.value)} [{decimals(estimate.ci_low)}, {decimals(estimate.ci_high)}]"


def _length(rows: Sequence[_Row]) -> float:
    return rows[-1].top + 2.0 if rows else 0.0


def _reach(panels: Sequence[Panel]) -> float:
    """How many δ the axis of the intervals reaches to each side."""
    parts = [part for panel in panels for _, parts in panel.contrasts for part in parts]
    ends = [abs(end) for part in parts for end in _ends(part)]
    return min(max([1.6, *filter(math.isfinite, ends)]) * 1.08, _REACH)


def _ends(part: Part) -> tuple[float, float, float]:
    """Lower end, value and upper end, in units of δ."""
    estimate, delta = part.estimate, part.contrast.smallest_effect
    return estimate.ci_low / delta, estimate.value / delta, estimate.ci_high / delta


def _draw_list(cell: "Axes", rows: Sequence[_Row], reach: float, share: float, *, in_layout: bool) -> None:
    """Write a list of contrasts: texts from the left, intervals in the right ``share`` of the axes."""
    cell.set_xlim(reach - 2 * reach / share, reach)
    # Within the axes, so that the layout needs no room beyond them.
    cell.set_ylim(max(_length(rows), 1.0), -0.2)
    cell.grid(visible=False)
    cell.spines[["left", "bottom"]].set_visible(False)
    cell.set_yticks([])
    cell.set_xticks([])
    for place, mark in {-1: "−δ", 1: "δ"}.items() if rows else ():
        cell.text(*(place, rows[-1].top + 1.4, mark), fontsize=_small(), color=GREY, ha="center", va="center")
    for row in rows:
        cell.text(
            *(0, row.top + 0.5, row.text),
            transform=cell.get_yaxis_transform(),
            fontsize=_small(),
            fontweight="bold" if row.bold else "normal",
            va="center",
        )
        if row.part is not None:
            _draw_interval(cell, row.part, row.top + 0.5, reach)
    for text in cell.texts:
        text.set_in_layout(in_layout)


def _place_list(cell: "Axes", rows: Sequence[_Row], breadth: float | None) -> None:
    """Give each row its line in the final layout; `breadth` is a share of the figure, None keeps that of the axes."""
    figure = cell.get_figure(root=True)
    assert figure is not None, "axes belong to a figure"
    box = cell.get_position()
    if breadth is not None:
        cell.set_position(((1 - breadth) / 2, box.y0, breadth, box.height))
    lines = box.height * figure.get_figheight() / _line()
    cell.set_ylim(max(lines, _length(rows)) - 0.2, -0.2)


def _draw_interval(cell: "Axes", part: Part, y: float, reach: float) -> None:
    """One interval over its band; an arrow where it goes on beyond the axis."""
    low, value, high = _ends(part)
    cell.fill_between([-1, 1], y - 0.45, y + 0.45, color=GREY, alpha=0.2, linewidth=0, zorder=1)
    cell.vlines(0, y - 0.45, y + 0.45, color=GREY, linewidth=0.8, zorder=1.5)
    if math.isfinite(low) and math.isfinite(high):
        cell.hlines(y, max(low, -reach), min(high, reach), color=INK, linewidth=1.4, zorder=3)
        for beyond, edge, marker in ((low < -reach, -reach, "<"), (high > reach, reach, ">")):
            if beyond:
                cell.plot(edge, y, marker, color=INK, markersize=4, clip_on=False, zorder=4)
    if abs(value) <= reach:
        cell.plot(value, y, "o", color=INK, markersize=4, zorder=4)


def _add_legend(figure: "Figure", panels: Sequence[Panel], scales: dict[str, str]) -> None:
    handles = list(_handles(panels, scales))
    width, height = figure.get_size_inches()
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(len(handles), int(width / (_letter() * (longest + 7)))))
    figure.set_size_inches(width, min(height + 1.2 * _line() * -(-len(handles) // columns), _HIGHEST))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def _handles(panels: Sequence[Panel], scales: dict[str, str]) -> "Iterable[Artist]":
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    courses = [line.trajectory for panel in panels for line in panel.lines]
    if len(scales) > 1 or any(scales):
        for name, colour in scales.items():
            yield Line2D([], [], color=colour, label=f"scale {name}" if name else "no named scale")
    if arms := sorted({course.arm for course in courses if course.arm}):
        label = "control arms" if len(arms) > 1 else f"arm {arms[0]}"
        yield Line2D([], [], color=GREY, linewidth=0.9, label=label)
    main = [course.points for course in courses if not course.arm]
    if any((points["defined"] & ~points["usable"]).any() for points in main):
        look = {"marker": "o", "markersize": 3, "markerfacecolor": PAPER, "markeredgecolor": GREY}
        yield Line2D([], [], linestyle="none", label=NOT_INTERPRETABLE, **look)  # type: ignore[arg-type]
    if any(panel.spans for panel in panels):
        yield Patch(color=GREY, alpha=0.13, label="registered windows")
    estimates = [part.estimate for panel in panels for _, parts in panel.contrasts for part in parts]
    levels = sorted({estimate.confidence_level for estimate in estimates if math.isfinite(estimate.ci_low)})
    if levels:
        ends = " to ".join(dict.fromkeys(f"{100 * level:.4g}" for level in (levels[0], levels[-1])))
        yield Line2D([], [], color=INK, linewidth=1.4, marker="o", markersize=4, label=f"{ends} % interval")
    yield Patch(color=GREY, alpha=0.2, label="smaller than δ, the smallest effect of interest")
