"""Panels for matplotlib: lines with their intervals, rows, and maps. Drawn and saved inside `style.figure_style`.

Names of lines are in the right margin, each at the height where its line ends; a legend below says what marks mean.
"""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, Normalize

from hf_clipdyn.errors import shorten
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.margin import (
    MARGIN,
    Name,
    annotate,
    decimals,
    font_points,
    lay_out,
    letters_across,
    place_names,
    wrapped,
    write_names,
)
from hf_clipdyn.report.panel import (
    NOT_DEFINED,
    NOT_INTERPRETABLE,
    Bools,
    Floats,
    Level,
    Line,
    Map,
    Panel,
    Row,
    Scale,
)
from hf_clipdyn.report.style import (
    GREY,
    HUES,
    HUMAN,
    MARKERS,
    PAPER,
    SHADES,
    STROKES,
    cycle_colour,
    look,
    shade,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIGHEST = 8.0  # inches: with its caption, a figure fits on a page
_HEIGHT, _SINGLE_HEIGHT, _MAP_HEIGHT = 2.3, 2.75, 3.7  # inches with a font of 10 points
_ROW_HEIGHT, _TITLE_LINE = 0.18, 0.17
_LABEL_SHARE = 0.45  # of a panel with rows, for their labels
_MOST_BANDS, _MOST_MARKERS, _SEED_MARKERS, _MOST_NAMES, _RAMP_NAMES, _MOST_FRAMES = 4, 60, 12, 8, 5, 5
_MOST_TICKS, _LONGEST_TICK, _MOST_ROWS = 12, 16, 60
_THIN = 0.75  # points: what journals print
_DASHED, _DOTTED = (0, (4, 3)), (0, (1, 1.5))
_TICK_STEPS = [1, 2, 5, 10]  # two decimals are enough
_BLUES = ("#0a4b8c", "#3f7fbf", "#8fb4d9", "#c9d9e8", "#efefec")
_BROWNS = ("#ecd6bd", "#dba770", "#b97434", "#7d4512")
_STATES, _MISSING = ("#e9ebee", HUES[0], HUES[1]), "#c4c7cb"  # wrong, right, wrong again


def draw(panel: Panel, ax: "Axes") -> list[Name]:
    """Draw a panel without its title; its names are for `place_names`, once the axes have their size."""
    if panel.cells is not None:
        _draw_map(panel, panel.cells, ax)
        return []
    ax.set(xlabel=panel.x.label, ylabel=panel.y.unit)
    if panel.form == "rows":
        _draw_rows(panel, ax)
        return []
    names = [_draw_level(level, ax) for level in panel.levels]
    for title, start, end in panel.spans:
        ax.axvspan(start, end, color=GREY, alpha=0.13, linewidth=0, zorder=0.5)
        middle = math.sqrt(start * end) if panel.x.log and start > 0 else (start + end) / 2
        annotate(ax, title, (middle, 1), ("data", "axes fraction"), ha="center", va="bottom", color=GREY)
    lines = shown_lines(panel)
    values = [line for line in lines if line.role == "value"]
    for line in lines:
        names += _draw_line(panel, line, ax, band=len(values) <= _MOST_BANDS)
    if not any(line.usable.any() or line.hollow.any() for line in lines) and not panel.y.limits:
        # A level alone makes matplotlib take limits of about 1e-17, and no layout fits these.
        middle = panel.levels[0].height if panel.levels else 0.0
        ax.set_ylim(middle - 0.1, middle + 0.1)
    _scale_x(ax, panel.x, lines)
    _scale_y(ax, panel.y)
    return [*_merged(names), *(_end_names(panel, values) if _has_end_names(panel, values) else ())]


def shown_lines(panel: Panel) -> list[Line]:
    """Without a slider: of many frames of one run, some as a ramp; of several groups, the last one each."""
    frames = sorted({line.frame for line in panel.values if line.frame >= 0})
    chosen = {frames[at] for at in evenly(len(frames), _MOST_FRAMES)} if panel.ramp and frames else set[int]()
    last = {line.label: line.frame for line in panel.values}
    return [
        line
        for line in panel.lines
        if line.frame < 0 or line.frame in chosen or (not panel.ramp and line.frame == last[line.label])
    ]


# ------------------------------------------------------------ lines


def _look(panel: Panel, line: Line) -> dict[str, Any]:
    """Colour, marker and stroke of a line."""
    if line.role == "human":
        return {"color": HUMAN, "linewidth": 1.4}
    if line.role != "value":
        over_training = all(other.frame < 0 for other in panel.values)
        return {"color": GREY, "linestyle": _DOTTED if over_training else _DASHED, "linewidth": 1.2}
    if line.place < 0:
        return {"color": GREY}
    if panel.ramp:
        steps = sorted({other.place for other in shown_lines(panel) if other.role == "value"})
        return {"color": shade(steps.index(line.place), len(steps)), "marker": "o"}
    chosen = look(line.place)
    stroke = STROKES[chosen.stroke]
    return {
        "color": cycle_colour(chosen.hue),
        "marker": MARKERS[chosen.marker],
        "linestyle": (0, stroke) if stroke else "-",
    }


def _draw_line(panel: Panel, line: Line, ax: "Axes", *, band: bool) -> list[Name]:
    """A line with its seeds, intervals and marks; the name of a reference."""
    style = _look(panel, line)
    if not np.isfinite(panel.x.places(line.x)).any():  # a model of one revision without a place in training
        for value in line.drawn[np.isfinite(line.drawn)]:
            ax.axhline(value, color=style["color"], linestyle=(0, (6, 2)), label=line.label)
        return []
    if line.role != "value":
        ax.plot(*_stretches([line], panel.x), **style, zorder=2)
        known = line.drawn[line.usable & (line.frame < 0)]  # a curve's own mark needs no name
        return [Name(line.label, float(known[-1]), style["color"])] if len(known) else []
    thin = {"color": style["color"], "linewidth": _THIN, "alpha": 0.45, "zorder": 2.5}
    if line.seeds and not panel.ramp:
        ax.plot(*_stretches(line.seeds, panel.x), **thin)
    x, y = _stretches([line], panel.x)
    if line.shade is not None and panel.shade:
        _draw_shaded(panel.shade, line, panel.x.places(line.x), ax)
        style |= {"color": GREY, "linewidth": _THIN, "marker": ""}
    every = max(1, len(x) // (_SEED_MARKERS if line.seeds else _MOST_MARKERS))
    ax.plot(x, y, label=line.label, markevery=every, markeredgewidth=0, zorder=3, **style)
    _draw_intervals(line, panel.x.places(line.x), style["color"], ax, band=band)
    _draw_marks(line, panel, ax, style.get("marker") or "o")
    return []


def _stretches(lines: Iterable[Line], scale: Scale) -> tuple[Floats, Floats]:
    """Lines as one, with a gap between them and where nobody measured: an artist for each would take its time."""
    parts: list[tuple[Floats, Floats]] = []
    for line in lines:
        before = np.flatnonzero(line.breaks(scale))
        x, y = (np.insert(values, before, np.nan) for values in (scale.places(line.x), line.drawn))
        parts.append((np.append(x, np.nan), np.append(y, np.nan)))
    x, y = (np.concatenate(several)[:-1] for several in zip(*parts, strict=True))
    return x, y


def _draw_intervals(line: Line, x: Floats, colour: str, ax: "Axes", *, band: bool) -> None:
    """A band along neighbours; a bar for a point without usable neighbours, or if bands would pile up."""
    known = line.usable & np.isfinite(line.low) & np.isfinite(line.high) & np.isfinite(x)
    if not known.any():
        return
    low, high = (np.where(known, end, np.nan) for end in (line.low, line.high))
    neighbours = np.pad(known, 1)
    alone = known & ~(neighbours[:-2] | neighbours[2:]) if band else known & (not line.seeds)
    if band:
        ax.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2)
    if alone.any():
        ax.vlines(x[alone], low[alone], high[alone], color=colour, linewidth=1, zorder=2)


def _draw_marks(line: Line, panel: Panel, ax: "Axes", marker: str) -> None:
    """Hollow marks for points that are not interpretable, crosses at the foot for those that are not defined."""
    x = panel.x.places(line.x)
    hollow: Bools = line.hollow & np.isfinite(x) & (not panel.hide)
    if hollow.any():
        ax.vlines(x[hollow], line.low[hollow], line.high[hollow], color=GREY, linewidth=1, zorder=2)
        ax.plot(x[hollow], line.y[hollow], label=NOT_INTERPRETABLE, zorder=3, **_hollow(marker))
    if line.undefined.any():
        _add(ax, x[line.undefined], np.full(int(line.undefined.sum()), 0.05), "x", ax.get_xaxis_transform())


def _hollow(marker: str) -> dict[str, Any]:
    edge = {"markeredgecolor": GREY, "markeredgewidth": 1.2}
    return {"linestyle": "none", "marker": marker, "markerfacecolor": mpl.rcParams["axes.facecolor"], **edge}


def _add(ax: "Axes", x: Any, y: Any, marker: Any, transform: Any, **given: Any) -> None:
    """Marks without `plot`: their places in the axes must not enter the limits of the data."""
    from matplotlib.lines import Line2D

    given = {"color": GREY, "label": NOT_DEFINED, **given}
    ax.add_artist(Line2D(x, y, transform=transform, linestyle="none", marker=marker, **given))


def _draw_shaded(scale: Scale, line: Line, x: Floats, ax: "Axes") -> None:
    """Points in the colours of a third number, with the bar of the panel."""
    assert line.shade is not None
    colours, known = LinearSegmentedColormap.from_list("shades", SHADES), line.usable & np.isfinite(x)
    norm = Normalize(*(scale.limits or (float(np.nanmin(line.shade)), float(np.nanmax(line.shade)))))
    points = ax.scatter(
        x[known], line.y[known], c=line.shade[known], cmap=colours, norm=norm, s=16, linewidths=0, zorder=3.5
    )
    if not any(child.get_label() == "<colorbar>" for child in ax.figure.axes):
        _add_bar(ax, points, scale.label)


def _draw_level(level: Level, ax: "Axes", *, across: bool = True) -> Name:
    """The line of a level; its name, with its height where that says something."""
    style = _style(level)
    (ax.axhline if across else ax.axvline)(level.height, zorder=1.5 if across else 2.5, **style)
    named = level.title if level.role == "neutral" else f"{level.title}\n{decimals(level.height)}"
    return Name(named, level.height, style["color"])


def _style(level: Level) -> dict[str, Any]:
    if level.role == "human":
        return {"color": HUMAN, "linestyle": "-", "linewidth": 1.4}
    return {"color": GREY, "linestyle": "-" if level.role == "neutral" else _DASHED, "linewidth": 1.0}


# ------------------------------------------------------------ rows


def _draw_rows(panel: Panel, ax: "Axes") -> None:
    """An interval each, from above; rows with one label are side by side, in the colours of their series."""
    labels = _row_labels(panel, _width(ax))
    series = list(dict.fromkeys(row.series for row in panel.rows))
    sizes = np.array([lines for _, lines in labels.values()])
    middles = dict(zip(labels, np.cumsum(sizes) - (sizes + 1) / 2, strict=True))
    for title, start, end in panel.spans:
        ax.axvspan(start, end, color=GREY, alpha=0.2, linewidth=0, zorder=0.5, label=title)
    for row in panel.rows:
        step = 0.8 * labels[row.label][1] / len(series)
        y = middles[row.label] + (series.index(row.series) - (len(series) - 1) / 2) * step
        for level in row.beside:
            ax.vlines(level.height, y - step / 2, y + step / 2, zorder=4, label=level.title, **_style(level))
        _draw_row(row, y, panel, ax)
    for level in panel.levels:
        _draw_level(level, ax, across=False)
        ax.lines[-1].set_label(level.title)
    ax.set_yticks([*middles.values()], [text for text, _ in labels.values()])
    ax.set_ylim(sizes.sum() - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    if panel.x.limits and not panel.x.log:
        ax.set_xlim(*panel.x.limits)
    if panel.x.log:
        _use_powers(ax, "x")
    else:
        ax.locator_params(axis="x", nbins=5, steps=_TICK_STEPS)


def _row_labels(panel: Panel, width: float) -> dict[str, tuple[str, int]]:
    """The labels of rows in lines that fit beside a panel of this width (inches), and how many lines each takes."""
    letters = letters_across("ytick.labelsize", _LABEL_SHARE * width)
    texts = {row.label: textwrap.fill(row.label, letters) for row in panel.rows}
    beside = Counter(row.label for row in panel.rows)
    return {label: (text, max(text.count("\n") + 1, beside[label])) for label, text in texts.items()}


def _width(ax: "Axes") -> float:
    """Of axes with their labels, in inches: a column of the figure."""
    spec, figure = ax.get_subplotspec(), ax.get_figure(root=True)
    assert figure is not None
    return float(figure.get_figwidth() / (spec.get_gridspec().ncols if spec else 1))


def _draw_row(row: Row, y: float, panel: Panel, ax: "Axes") -> None:
    chosen = look(max(row.place, 0))
    colour = GREY if row.place < 0 else cycle_colour(chosen.hue)
    if not math.isfinite(row.value):
        _add(ax, [0.01], [y], "x", ax.get_yaxis_transform())
        return
    if not row.usable and panel.hide:
        return
    style = {"color": colour, "marker": MARKERS[chosen.marker], "label": row.series or "_"}
    ax.hlines(y, row.low, row.high, color=colour if row.usable else GREY, linewidth=1.4, zorder=3)
    mark = {**style, "linestyle": "none"} if row.usable else {**_hollow("o"), "label": NOT_INTERPRETABLE}
    ax.plot(row.value, y, zorder=3.5, **mark)


# ------------------------------------------------------------ maps


def _draw_map(panel: Panel, cells: Map, ax: "Axes") -> None:
    """The last frame of a map, with its bar of colours, or its states in a legend."""
    colours, norm = _colours(cells)
    given: dict[str, Any] = {"cmap": colours, "norm": norm, "origin": "lower" if cells.first_up else "upper"}
    image = ax.imshow(np.ma.masked_invalid(cells.values[-1]), aspect="auto", interpolation="nearest", **given)
    ax.grid(visible=False)
    width = 0.55 * _width(ax)
    across = letters_across("ytick.labelsize", width) // (2 + max(map(len, panel.x.names), default=1))
    for names, axis, most in ((panel.x.names, ax.xaxis, across), (panel.y.names, ax.yaxis, _MOST_TICKS)):
        ticks = range(len(names) - 1, -1, -max(1, -(-len(names) // max(1, most))))
        ticks = range(0) if len(names) > _MOST_ROWS else ticks  # items are too many to be named
        axis.set_ticks(ticks, [shorten(names[tick], _LONGEST_TICK) for tick in ticks])
    ax.set(xlabel=panel.x.title, ylabel=panel.y.title)
    for row in cells.rules:
        ax.axhline(row + 0.5, color=HUMAN, linewidth=1)
    if cells.states:
        _name_states(cells.states, ax)
    else:
        _add_bar(ax, image, cells.bar)
    if cells.margin is not None:
        side = ax.inset_axes((1.03, 0, 0.16, 1), sharey=ax)
        side.barh(np.arange(len(cells.margin)), np.nan_to_num(cells.margin), height=1.0, color=HUMAN)
        side.set(xlim=(0, 1), xticks=(0.5, 1), xlabel=cells.margin_title)
        side.tick_params(labelleft=False)
        side.grid(visible=False)


def _colours(cells: Map) -> tuple[Colormap, Normalize]:
    known = cells.values[np.isfinite(cells.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    colours: Colormap = mpl.colormaps["cividis"]
    norm = Normalize(low, high)
    if cells.states:
        colours, norm = ListedColormap(_STATES), Normalize(-0.5, len(_STATES) - 0.5)
    elif cells.neutral is not None:
        half = max(high - cells.neutral, cells.neutral - low) or 1.0
        colours = LinearSegmentedColormap.from_list("diverging", (*_BLUES, *_BROWNS))
        norm = Normalize(cells.neutral - half, cells.neutral + half)
    return colours.with_extremes(bad=_MISSING), norm


def _add_bar(ax: "Axes", points: Any, label: str) -> None:
    bar: Any = ax.figure.colorbar(points, ax=ax, fraction=0.05, pad=0.03, label=label)
    bar.outline.set_visible(False)


def _name_states(states: Sequence[str], ax: "Axes") -> None:
    from matplotlib.patches import Patch

    looks = zip(_STATES, (GREY, PAPER, PAPER), states, strict=False)
    handles = [Patch(facecolor=fill, edgecolor=edge, linewidth=0.5, label=name) for fill, edge, name in looks]
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.22), ncols=len(states))


# ------------------------------------------------------------ axes


def _scale_y(ax: "Axes", scale: Scale) -> None:
    from matplotlib.ticker import MaxNLocator

    if scale.log:
        _use_powers(ax, "y")
        return
    if scale.limits:
        margin = 0.02 * (scale.limits[1] - scale.limits[0])
        ax.set_ylim(scale.limits[0] - margin, scale.limits[1] + margin)
    ax.margins(y=0.12)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=_TICK_STEPS))


def _scale_x(ax: "Axes", scale: Scale, lines: Sequence[Line]) -> None:
    """Limits and ticks, undefined points included, so that figures compare."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    places = np.concatenate([scale.places(line.x) for line in lines]) if lines else np.array([])
    places = np.unique(places[np.isfinite(places)])
    if scale.names:
        ticks = range(len(scale.names) - 1, -1, -max(1, -(-len(scale.names) // 6)))  # the last one is named
        ax.set_xticks(
            ticks, [shorten(scale.names[tick], _LONGEST_TICK) for tick in ticks], rotation=30, ha="right"
        )
    elif scale.log:
        _use_powers(ax, "x")
    else:
        whole = bool(np.all(places == places.round())) if len(places) else True
        ax.xaxis.set_major_locator(MaxNLocator(7 if whole else 5, integer=whole, steps=_TICK_STEPS))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda place, _: short(place)))
    if scale.limits and not scale.log:
        ax.set_xlim(*scale.limits)
    elif len(places) > 1 and not scale.log:
        margin = 0.04 * np.ptp(places)
        ax.set_xlim(places[0] - margin, places[-1] + margin)
    if math.isfinite(scale.beyond) and scale.beyond in places:
        _break(ax, scale, places)
    if scale.descending:
        ax.xaxis.set_inverted(True)


def _use_powers(ax: "Axes", side: Literal["x", "y"]) -> None:
    """A logarithmic scale with some ticks in each power of ten, in plain numbers, and small ones between them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set(**{f"{side}scale": "log"})
    axis = ax.xaxis if side == "x" else ax.yaxis
    low, high = axis.get_view_interval()
    decades = math.log10(high / low) if low > 0 else 1.0
    axis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.5 else (1.0, 3.0) if decades < 3 else (1.0,))
    )
    axis.set_major_formatter(FuncFormatter(lambda place, _: short(place)))
    axis.set_minor_locator(LogLocator(subs=range(2, 10)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="major", size=mpl.rcParams["xtick.major.size"])


def _break(ax: "Axes", scale: Scale, places: Floats) -> None:
    """Name the place of what has no place on the axis, and interrupt the foot of the panel before it."""
    others = places[places != scale.beyond]
    if len(others) == 0:
        return
    nearest = others[np.abs(others - scale.beyond).argmin()]
    for minor in (True, False):
        ticks = [tick for tick in ax.get_xticks(minor=minor) if others[0] * 0.99 <= tick <= others[-1] * 1.01]
        ax.set_xticks(ticks, minor=minor)
    ax.set_xticks([*ticks, scale.beyond], [*map(short, ticks), scale.beyond_name])
    middle = math.sqrt(scale.beyond * nearest) if scale.log else (scale.beyond + nearest) / 2
    size = 0.8 * float(mpl.rcParams["font.size"])
    gap: Any = [(-0.3, -1), (0.1, 1), (0.3, 1), (-0.1, -1)]
    slashes: Any = [[(side - 0.2, -1), (side + 0.2, 1)] for side in (-0.2, 0.2)]
    paper, edge = mpl.rcParams["axes.facecolor"], mpl.rcParams["axes.edgecolor"]
    for marker, colour in ((gap, paper), *((slash, edge) for slash in slashes)):
        style = {"color": colour, "markersize": size, "clip_on": False, "zorder": 4, "label": "_"}
        _add(ax, [middle], [0], marker, ax.get_xaxis_transform(), **style)


# ------------------------------------------------------------ names and figures


def short(number: float) -> str:
    """1,500,000 as 1.5M: what fits under a tick."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def _merged(names: Sequence[Name]) -> list[Name]:
    """Names once each: lines of several runs may share one."""
    heights: dict[tuple[str, str], list[float]] = {}
    for name in names:
        heights.setdefault((name.text, name.colour), []).append(name.height)
    return [Name(text, float(np.mean(own)), colour) for (text, colour), own in heights.items()]


def _has_end_names(panel: Panel, lines: Sequence[Line]) -> bool:
    """Whether the names of the lines fit beside their ends, and are needed."""
    n = sum(line.place >= 0 for line in lines)
    return n > 1 and (panel.ramp or n <= _MOST_NAMES)


def _end_names(panel: Panel, lines: Sequence[Line]) -> list[Name]:
    """The name of each line at the height of its last point; of a long ramp, some."""
    named = [line for line in lines if line.place >= 0]
    if panel.ramp:
        named = [named[at] for at in evenly(len(named), _RAMP_NAMES)]
    found = []
    for line in named:
        places = np.where(line.usable, panel.x.places(line.x) * (-1 if panel.x.descending else 1), -np.inf)
        if np.isfinite(line.drawn).any():
            at = int(np.nan_to_num(places, nan=-np.inf).argmax()) if np.isfinite(places).any() else -1
            found.append(Name(line.label, float(line.y[at]), _look(panel, line)["color"]))
    return found


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
    share = 1 - _LABEL_SHARE / 2 if panel.form == "rows" else 1
    return wrapped(
        "\n".join(filter(None, [panel.title, place])), letters_across("axes.titlesize", width * share)
    )


def _height(row: Sequence[Panel], titles: Sequence[str], columns: int, width: float) -> float:
    """Height of a row of panels in inches; rows of intervals need more if their labels have several lines."""
    lines = max(title.count("\n") + 1 for title in titles)
    curves = _SINGLE_HEIGHT if columns == 1 else _HEIGHT
    of_form = {"lines": curves + _TITLE_LINE * max(0, lines - 2), "map": _MAP_HEIGHT}
    labels = [sum(lines for _, lines in _row_labels(panel, width).values()) for panel in row]
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
        if _has_end_names(panel, own)
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
        handles["each seed"] = Line2D([], [], color=GREY, linewidth=_THIN, alpha=0.6)
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
