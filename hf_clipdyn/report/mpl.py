"""Back end 1: a panel for matplotlib. Lines with their intervals, rows, and maps, inside `style.figure_style`.

Names of lines are in the right margin, each at the height where its line ends.
"""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, Normalize

from hf_clipdyn.errors import shorten
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.lines import at_points
from hf_clipdyn.report.margin import (
    Name,
    annotate,
    decimals,
    letters_across,
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
    Role,
    Row,
    Scale,
    brief,
)
from hf_clipdyn.report.style import (
    COLOURS,
    GREY,
    HUMAN,
    MARKERS,
    PAPER,
    STROKES,
    cycle_colour,
    look,
    shade,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_SHARE = 0.45  # of a panel with rows, for their labels
_MOST_BANDS, _MOST_MARKERS, _SEED_MARKERS, _MOST_NAMES, _RAMP_NAMES, _MOST_FRAMES = 4, 60, 12, 8, 5, 5
_MOST_TICKS, _LONGEST_TICK, _MOST_ROWS = 12, 16, 60
THIN = 0.75  # points: what journals print
_DASHED, _DOTTED = (0, (4, 3)), (0, (1, 1.5))
_TICK_STEPS = [1, 2, 5, 10]  # two decimals are enough
_MISSING = "#c4c7cb"
_CROSS: Any = {"color": GREY, "label": NOT_DEFINED, "linestyle": "none", "marker": "x"}


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
    return [*_merged(names), *(_end_names(panel, values) if has_end_names(panel, values) else ())]


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
    if line.role != "value":
        over_training = all(other.frame < 0 for other in panel.values)
        return _reference(line.role, _DOTTED if over_training else _DASHED, 1.2)
    if line.place < 0:
        return {"color": GREY}
    if panel.ramp:
        steps = sorted({other.place for other in shown_lines(panel) if other.role == "value"})
        return {"color": shade(steps.index(line.place), len(steps)), "marker": "o"}
    chosen = look(line.place)
    stroke: Any = (0, STROKES[chosen.stroke]) if chosen.stroke else "-"
    return {"color": cycle_colour(chosen.hue), "marker": MARKERS[chosen.marker], "linestyle": stroke}


def _draw_line(panel: Panel, line: Line, ax: "Axes", *, band: bool) -> list[Name]:
    """A line with its seeds, intervals and marks; the name of a reference."""
    style = _look(panel, line)
    if not np.isfinite(panel.x.places(line.x)).any():  # a model of one revision without a place in training
        for value in line.drawn[np.isfinite(line.drawn)]:
            ax.axhline(value, color=style["color"], linestyle=(0, (6, 2)), label=line.label)
        return []
    if line.role != "value":
        ax.plot(*_stretches([line], panel.x), **style, zorder=2)
        known = line.drawn[line.usable]
        return [Name(line.label, float(known[-1]), style["color"])] if len(known) else []
    thin = {"color": style["color"], "linewidth": THIN, "alpha": 0.45, "zorder": 2.5}
    if line.seeds and not panel.ramp:
        ax.plot(*_stretches(line.seeds, panel.x), **thin)
    x, y = _stretches([line], panel.x)
    every = max(1, len(x) // (_SEED_MARKERS if line.seeds else _MOST_MARKERS))
    ax.plot(x, y, label=line.label, markevery=every, markeredgewidth=0, zorder=3, **style)
    _draw_intervals(line, panel.x.places(line.x), style["color"], ax, band=band)
    _draw_marks(line, panel, ax, style.get("marker") or "o")
    return []


def _stretches(lines: Iterable[Line], scale: Scale) -> tuple[Floats, Floats]:
    """Lines as one, with a gap between them and where nobody measured: an artist for each would take its time."""
    paths = [(line, np.append(line.path(scale), -1)) for line in lines]
    x = np.concatenate([at_points(scale.places(line.x), path) for line, path in paths])
    y = np.concatenate([at_points(line.drawn, path) for line, path in paths])
    return x[:-1], y[:-1]


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
        foot = np.full(int(line.undefined.sum()), 0.05)
        ax.plot(x[line.undefined], foot, transform=ax.get_xaxis_transform(), **_CROSS)


def _hollow(marker: str) -> dict[str, Any]:
    edge = {"markeredgecolor": GREY, "markeredgewidth": 1.2}
    return {"linestyle": "none", "marker": marker, "markerfacecolor": mpl.rcParams["axes.facecolor"], **edge}


def _draw_level(level: Level, ax: "Axes", *, across: bool = True) -> Name:
    """The line of a level; its name, with its height where that says something."""
    style = _reference(level.role)
    (ax.axhline if across else ax.axvline)(level.height, zorder=1.5 if across else 2.5, **style)
    named = level.title if level.role == "neutral" else f"{level.title}\n{decimals(level.height)}"
    return Name(named, level.height, style["color"])


def _reference(role: Role, dashes: Any = _DASHED, width: float = 1.0) -> dict[str, Any]:
    """How a line looks that gives a panel its scale."""
    if role == "human":
        return {"color": HUMAN, "linestyle": "-", "linewidth": 1.4}
    return {"color": GREY, "linestyle": "-" if role == "neutral" else dashes, "linewidth": width}


# ------------------------------------------------------------ rows


def _draw_rows(panel: Panel, ax: "Axes") -> None:
    """An interval each, from above; rows with one label are side by side, in the colours of their series."""
    labels = row_labels(panel, _width(ax))
    series = list(dict.fromkeys(row.series for row in panel.rows))
    sizes = np.array([lines for _, lines in labels.values()])
    middles = dict(zip(labels, np.cumsum(sizes) - (sizes + 1) / 2, strict=True))
    for title, start, end in panel.spans:
        ax.axvspan(start, end, color=GREY, alpha=0.2, linewidth=0, zorder=0.5, label=title)
    for row in panel.rows:
        step = 0.8 * labels[row.label][1] / len(series)
        y = middles[row.label] + (series.index(row.series) - (len(series) - 1) / 2) * step
        for level in row.beside:
            ax.vlines(
                level.height,
                y - step / 2,
                y + step / 2,
                zorder=4,
                label=level.title,
                **_reference(level.role),
            )
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


def row_labels(panel: Panel, width: float) -> dict[str, tuple[str, int]]:
    """The labels of rows in lines that fit beside a panel of this width (inches), and how many lines each takes."""
    letters = letters_across("ytick.labelsize", LABEL_SHARE * width)
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
        ax.plot(0.01, y, transform=ax.get_yaxis_transform(), **_CROSS)
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
        axis.set_ticks(*_named(() if len(names) > _MOST_ROWS else names, most))  # items are too many
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
    name = "state" if cells.states else "sequential" if cells.neutral is None else "diverging"
    steps, low_high = [light for light, _ in COLOURS[name]], Normalize(*cells.ends)
    colours = ListedColormap(steps) if cells.states else LinearSegmentedColormap.from_list(name, steps)
    return colours.with_extremes(bad=_MISSING), low_high


def _add_bar(ax: "Axes", points: Any, label: str) -> None:
    bar: Any = ax.figure.colorbar(points, ax=ax, fraction=0.05, pad=0.03, label=label)
    bar.outline.set_visible(False)


def _name_states(states: Sequence[str], ax: "Axes") -> None:
    from matplotlib.patches import Patch

    looks = zip(COLOURS["state"], (GREY, PAPER, PAPER), states, strict=False)
    handles = [
        Patch(facecolor=fill, edgecolor=edge, linewidth=0.5, label=name) for (fill, _), edge, name in looks
    ]
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
        ax.set_xticks(*_named(scale.names, 6), rotation=30, ha="right")
    elif scale.log:
        _use_powers(ax, "x")
    else:
        whole = bool(np.all(places == places.round())) if len(places) else True
        ax.xaxis.set_major_locator(MaxNLocator(7 if whole else 5, integer=whole, steps=_TICK_STEPS))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda place, _: brief(place)))
    if scale.limits and not scale.log:
        ax.set_xlim(*scale.limits)
    elif len(places) > 1 and not scale.log:
        margin = 0.04 * np.ptp(places)
        ax.set_xlim(places[0] - margin, places[-1] + margin)
    if math.isfinite(scale.beyond) and scale.beyond in places:
        _break(ax, scale, places)
    if scale.descending:
        ax.xaxis.set_inverted(True)


def _named(names: Sequence[str], most: int) -> tuple[Sequence[int], list[str]]:
    """At most this number of ticks with their names, the last one among them."""
    ticks = range(len(names) - 1, -1, -max(1, -(-len(names) // max(1, most))))
    return ticks, [shorten(names[tick], _LONGEST_TICK) for tick in ticks]


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
    axis.set_major_formatter(FuncFormatter(lambda place, _: brief(place)))
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
    ax.set_xticks([*ticks, scale.beyond], [*map(brief, ticks), scale.beyond_name])
    middle = math.sqrt(scale.beyond * nearest) if scale.log else (scale.beyond + nearest) / 2
    size = 0.8 * float(mpl.rcParams["font.size"])
    gap: Any = [(-0.3, -1), (0.1, 1), (0.3, 1), (-0.1, -1)]
    slashes: Any = [[(side - 0.2, -1), (side + 0.2, 1)] for side in (-0.2, 0.2)]
    paper, edge = mpl.rcParams["axes.facecolor"], mpl.rcParams["axes.edgecolor"]
    for marker, colour in ((gap, paper), *((slash, edge) for slash in slashes)):
        style: Any = {"color": colour, "marker": marker, "markersize": size, "zorder": 4}
        ax.plot(middle, 0, transform=ax.get_xaxis_transform(), clip_on=False, **style)


# ------------------------------------------------------------ names and figures


def _merged(names: Sequence[Name]) -> list[Name]:
    """Names once each: lines of several runs may share one."""
    heights: dict[tuple[str, str], list[float]] = {}
    for name in names:
        heights.setdefault((name.text, name.colour), []).append(name.height)
    return [Name(text, float(np.mean(own)), colour) for (text, colour), own in heights.items()]


def has_end_names(panel: Panel, lines: Sequence[Line]) -> bool:
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
