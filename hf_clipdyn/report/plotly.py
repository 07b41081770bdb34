"""Back end 2: a panel as traces and layout of Plotly, for the page.

Colours are names, ``@hue 1`` or ``@grey .15`` (with an opacity), which the page turns into those of its theme; every
text of a table passes through `safe`, since Plotly reads a few tags and fills in what follows a per cent sign.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.errors import shorten
from hf_clipdyn.report.panel import Level, Line, Map, Panel, Row, Scale, interval_words
from hf_clipdyn.report.style import HUES, SHADES, THEME, look, twins

Trace = dict[str, Any]

_DIVERGING = (
    *(("#0a4b8c", "#9cc8f2"), ("#3f7fbf", "#5c98d0"), ("#8fb4d9", "#356a9c"), ("#c9d9e8", "#264660")),
    *(("#efefec", "#2e2f31"), ("#ecd6bd", "#5e4630"), ("#dba770", "#96683a"), ("#b97434", "#cf955a")),
    ("#7d4512", "#f5c593"),
)
_SEQUENTIAL = (
    *("#00204d", "#123570", "#3b496c", "#575d6d", "#707173"),
    *("#8a8678", "#a69d75", "#c4b56c", "#e4cf5b", "#ffea46"),
)
COLOURS: dict[str, list[tuple[str, str]]] = {
    **{name: [twins(colour)] for name, colour in THEME.items()},
    "hue": [twins(colour) for colour in HUES],
    "shade": [twins(colour) for colour in SHADES],
    "diverging": list(_DIVERGING),
    "sequential": [(colour, colour) for colour in _SEQUENTIAL],
    "state": [("#e9ebee", "#30353b"), twins(HUES[0]), twins(HUES[1])],
}
"""By name, the colours on white and on a dark page."""

_MANY = 60  # points of a line without markers
_FOOT = 0.035  # height of a cross, as a share
_LONGEST_NAME = 42
_MOST_TICKS = 12


def safe(text: object) -> str:
    """A text for Plotly, and for the names of colours beside it, which begin with ``@``."""
    return "".join(f"&#{ord(sign)};" if sign in "&<>\"'%@" else sign for sign in str(text))


def figure(panel: Panel) -> dict[str, Any]:
    """A panel in Plotly's words, ready for `json.dumps`.

    Returns:
        ``data`` and ``layout``; ``names``: of what is beside the axes, (height, text, colour); of a map ``frames``:
        (stop of the slider, values) if it has several, and ``places``: the names along x and y.

    A trace has ``meta``: ``kind`` (line, band, hollow, missing, reference), ``run`` or ``group``, ``of`` (``mean``, the
    ``seed`` of one, or nothing), ``at`` (stops of the slider), ``frame`` (the only stop with it). Of a line over
    training the page exchanges x by run and stop.
    """
    return {"lines": _lines, "rows": _rows, "map": _map}[panel.form](panel)


def short(numbers: NDArray[np.float64]) -> list[float | None]:
    """Five significant digits; None for what JSON does not have."""
    return [float(f"{number:.5g}") if math.isfinite(number) else None for number in numbers.tolist()]


# ---------------------------------------------------------------- lines


def _lines(panel: Panel) -> dict[str, Any]:
    steps = max((line.place for line in panel.lines), default=0)
    data: list[Trace] = []
    for line in panel.lines:
        colour = _colour(panel, line, steps)
        if line.role != "value":
            data.append(_reference(panel, line, colour))
            continue
        of = "mean" if line.seeds else ""
        data += [trace for seed in line.seeds for trace in _drawn(panel, seed, colour, "seed")]
        data += _drawn(panel, line, colour, of)
    low, high = _range(panel.y, panel.lines, panel.levels)
    places = [panel.x.places(line.x) for line in panel.lines] or [np.array([])]
    named = [panel.x.places(line.x) for line in panel.values] or places
    layout = {
        "xaxis": _axis(panel.x, *_across(panel.x, np.concatenate(places)), np.concatenate(named)),
        "yaxis": _axis(panel.y, low, high),
        "yaxis2": {"overlaying": "y", "range": [0, 1], "fixedrange": True, "visible": False},
        "shapes": [_level(level) for level in panel.levels],
    }
    spans = [[safe(span.title), *short(np.array(span[1:]))] for span in panel.spans]
    names = [[level.height, safe(_named(level)), _tone(level.role)] for level in panel.levels]
    references = [line for line in panel.lines if line.role != "value" and line.frame < 0]
    names += [_beside(line) for line in references if np.isfinite(line.y).any()]
    return {"data": data, "layout": layout, "names": names, "spans": spans}


def _colour(panel: Panel, line: Line, steps: int) -> str:
    if line.role != "value" or line.place < 0:
        return _tone(line.role)
    if panel.ramp:
        return f"@shade {round(line.place * (len(SHADES) - 1) / max(steps, 1))}"
    return f"@hue {look(line.place).hue}"


def _tone(role: str) -> str:
    return "@human" if role == "human" else "@grey"


def _drawn(panel: Panel, line: Line, colour: str, of: str) -> Iterator[Trace]:
    """A line of values with its interval, hollow marks, and crosses at the foot."""
    if of != "seed" and np.isfinite(line.low).any():
        yield _band(panel, line, colour, of)
    yield _course(panel, line, colour, of)
    hollow = np.flatnonzero(line.hollow & (not panel.hide))
    missing = np.flatnonzero(line.undefined)
    ring = {"size": 7, "line": {"color": "@grey", "width": 1.4}}
    if len(hollow):
        marker = {"color": "@paper", **ring}
        yield _marks(panel, line, hollow, of, "hollow") | {"y": short(line.y[hollow]), "marker": marker}
    if len(missing):
        marker = {"color": "@grey", "symbol": "x-thin", **ring}
        foot = {"y": [_FOOT] * len(missing), "yaxis": "y2", "marker": marker}
        yield _marks(panel, line, missing, of, "missing") | foot


def _course(panel: Panel, line: Line, colour: str, of: str) -> Trace:
    order = _with_gaps(panel, line)
    kept = [at for at in order if at >= 0]
    dash, symbol = (
        (look(line.place).dash, look(line.place).symbol) if line.place >= 0 else ("solid", "circle")
    )
    trace = _placed(panel, line, order, of, "line") | {
        "mode": "lines" if len(kept) > _MANY else "lines+markers" if len(kept) > 1 else "markers",
        "y": _picked(short(line.drawn), order),
        "legendgroup": safe(line.label),
        "line": {"color": colour, "width": 2, "dash": "solid" if panel.ramp else dash},
        "marker": {"color": colour, "size": 6, "symbol": "circle" if panel.ramp else symbol},
    }
    if line.shade is not None and panel.shade is not None:
        trace["marker"] |= _shaded(panel.shade, _picked(short(line.shade), order))
    return trace | _hover(line, kept, order)


def _with_gaps(panel: Panel, line: Line) -> list[int]:
    """Places of the points that are drawn, -1 for a gap: a line across it would show what nobody measured."""
    hidden = line.hollow if panel.hide else np.zeros(len(line.y), bool)
    breaks = line.breaks(panel.x)
    return [
        place for at in range(len(line.y)) if not hidden[at] for place in ([-1, at] if breaks[at] else [at])
    ]


def _picked(values: Sequence[Any], order: Sequence[int]) -> list[Any]:
    return [None if at < 0 else values[at] for at in order]


def _placed(panel: Panel, line: Line, order: Sequence[int], of: str, kind: str) -> Trace:
    """What all traces of a line share: its name, its places and whose it is."""
    meta = {"kind": kind, "run": line.run, "group": line.group, "of": of, "frame": int(line.frame)}
    following = [next((at for at in order[index:] if at >= 0), 0) for index in range(len(order))]
    stops = [int(line.at[at]) for at in following]
    x = short(panel.x.places(line.x))
    return {
        "type": "scatter",
        "name": safe(line.label),
        "x": [x[at] for at in following],
        "text": [safe(panel.x.words(line.x[at])) for at in following],
        "showlegend": False,
        "meta": {name: value for name, value in meta.items() if value not in ("", -1)} | {"at": stops},
    }


def _hover(line: Line, kept: Sequence[int], order: Sequence[int]) -> Trace:
    """The words at the pointer: of a template where points differ in their numbers only."""
    ends = list(map(list, zip(short(line.low), short(line.high), strict=True)))
    known = [None not in ends[at] for at in kept]
    counts = {(int(line.n[at]), int(line.n_clusters[at])) for at in kept}
    if len(counts) == 1 and (all(known) or not any(known)) and not any(line.note(at) for at in kept):
        number = f":.{_digits(line)}f"
        interval = f" [%{{customdata[0]{number}}}, %{{customdata[1]{number}}}]" if any(known) else ""
        said = f"%{{y{number}}}{interval}{_counted(line, kept[0])}"
        data = {"customdata": _picked(ends, order)} if any(known) else {}
    else:
        said = "%{customdata[2]}"
        data = {"customdata": _picked([[*ends[at], safe(line.words(at))] for at in range(len(ends))], order)}
    return data | {"hovertemplate": f"<b>%{{fullData.name}}</b><br>{said}<br>%{{text}}<extra></extra>"}


def _counted(line: Line, at: int) -> str:
    n, clusters = int(line.n[at]), int(line.n_clusters[at])
    if line.seeds:
        return f"<br>mean of {n} seeds, 95 &#37; interval over the seeds" if n > 1 else "<br>one seed"
    many = f" in {clusters:,} clusters" if clusters not in (0, n) else ""
    return f"<br>n = {n:,}{many}" if n else ""


def _digits(line: Line) -> int:
    numbers = np.abs(np.concatenate([line.y, line.low, line.high]))
    size = float(numbers[np.isfinite(numbers)].max(initial=0.0))
    if size >= 100:
        return 1
    return 3 if size >= 0.01 or size == 0 else min(2 + math.ceil(-math.log10(size)), 12)


def _marks(panel: Panel, line: Line, points: NDArray[np.int64], of: str, kind: str) -> Trace:
    title = "not interpretable" if kind == "hollow" else "not defined"
    return _placed(panel, line, points.tolist(), of, kind) | {
        "mode": "markers",
        "name": title,
        "customdata": [safe(line.words(at)) for at in points.tolist()],
        "hovertemplate": f"<b>{safe(line.label)}</b><br>%{{customdata}}<br>%{{text}}<extra></extra>",
    }


def _band(panel: Panel, line: Line, colour: str, of: str) -> Trace:
    """The interval along neighbours that are usable, a polygon each; a lonely point becomes a bar."""
    whole = line.usable & np.isfinite(line.low) & np.isfinite(line.high)
    low, high = short(line.low), short(line.high)
    order: list[int] = []
    ends: list[float | None] = []
    stretch: list[int] = []
    for at in [*_with_gaps(panel, line), -1]:
        if at >= 0 and whole[at]:
            stretch.append(at)
        elif stretch:
            order += [*stretch, *reversed(stretch), -1]
            ends += [*(high[place] for place in stretch), *(low[place] for place in reversed(stretch)), None]
            stretch = []
    return _placed(panel, line, order[:-1], of, "band") | {
        "mode": "lines",
        "y": ends[:-1],
        "fill": "toself",
        "fillcolor": f"{colour} .14",
        "hoverinfo": "skip",
        "line": {"color": f"{colour} .3", "width": 0.8},
    }


def _reference(panel: Panel, line: Line, colour: str) -> Trace:
    order = list(range(len(line.y)))
    human = line.role == "human"
    return _placed(panel, line, order, "", "reference") | {
        "mode": "lines",
        "y": short(line.drawn),
        "line": {"color": colour, "width": 3 if human else 1.2, "dash": "solid" if human else "dot"},
        **_hover(line, order, order),
    }


def _shaded(scale: Scale, numbers: Sequence[float | None]) -> Trace:
    return {
        "color": list(numbers),
        "size": 8,
        "colorscale": _spread("shade", len(SHADES)),
        "colorbar": _bar(scale.label),
    }


def _spread(name: str, n: int) -> list[list[Any]]:
    return [[round(at / (n - 1), 4), f"@{name} {at}"] for at in range(n)]


def _bar(title: str) -> Trace:
    font = {"color": "@grey", "size": 11}
    heading = {"text": safe(title), "side": "right", "font": font}
    return {
        "thickness": 12,
        "outlinewidth": 0,
        "len": 1,
        "ypad": 0,
        "nticks": 6,
        "tickfont": font,
        "title": heading,
    }


# ---------------------------------------------------------------- axes


def _axis(scale: Scale, low: float, high: float, places: NDArray[np.float64] | None = None) -> dict[str, Any]:
    """An axis between two places, which are logarithms if it is logarithmic."""
    found: dict[str, Any] = {"title": {"text": safe(scale.label)}, "type": "log" if scale.log else "linear"}
    found["range"] = short(np.array([high, low] if scale.descending else [low, high]))
    if scale.names:
        return found | {
            "tickvals": list(range(len(scale.names))),
            "ticktext": [safe(shorten(name, _LONGEST_NAME)) for name in scale.names],
        }
    known = np.unique(places[np.isfinite(places)]) if places is not None else np.array([])
    if (scale.log or math.isfinite(scale.beyond)) and 0 < len(known) <= _MOST_TICKS:
        ticks = known.tolist()
    elif scale.log:
        ticks = _ticks(low, high)
    else:
        return found
    names = [scale.beyond_name if tick == scale.beyond else f"{tick:.4g}" for tick in ticks]
    return found | {"tickvals": short(np.array(ticks)), "ticktext": names}


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 between two powers of ten; only 1 if there are many."""
    steps = (1, 2, 5) if high - low <= 2.5 else (1,)
    ticks = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]


def _across(scale: Scale, places: NDArray[np.float64]) -> tuple[float, float]:
    if scale.limits:
        return scale.limits
    known = places[np.isfinite(places) & ((places > 0) | (not scale.log))]
    known = np.log10(known) if scale.log else known
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    margin = 0.04 * (high - low or 1.0)
    return low - margin, high + margin


def _range(scale: Scale, lines: Sequence[Line], levels: Sequence[Level]) -> tuple[float, float]:
    """The limits of the y axis, else what is drawn with a margin.

    A wide interval, as over two seeds, adds at most half the span of the values; numbers that say nothing add nothing.
    """
    if scale.limits and not scale.log:
        margin = 0.03 * (scale.limits[1] - scale.limits[0])
        return scale.limits[0] - margin, scale.limits[1] + margin
    every = [part for line in lines for part in (line, *line.seeds)]
    usable = [part.y[part.usable] for part in every]
    values = usable if any(len(part) for part in usable) else [part.y for part in every]
    known = _scaled(scale, [*values, np.array([level.height for level in levels])])
    if not len(known):
        return (-1.0, 1.0) if scale.log else (0.0, 1.0)
    low, high = float(known.min()), float(known.max())
    reach = (high - low or abs(high) or 1.0) / 2
    ends = _scaled(scale, [end[line.usable] for line in lines for end in (line.low, line.high)])
    ends = np.clip(ends, low - reach, high + reach)
    low, high = float(min([low, *ends])), float(max([high, *ends]))
    margin = 0.08 * (high - low or abs(high) or 1.0)
    return low - margin, high + margin


def _scaled(scale: Scale, numbers: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    joined = np.concatenate([np.array([]), *numbers])
    known = joined[np.isfinite(joined) & ((joined > 0) | (not scale.log))]
    return np.asarray(np.log10(known) if scale.log else known, np.float64)


def _level(level: Level, way: str = "y") -> Trace:
    other = "x" if way == "y" else "y"
    place = {f"{other}ref": "paper", f"{other}0": 0, f"{other}1": 1}
    dash = "solid" if level.role in ("human", "neutral") else "dash"
    line = {"color": _tone(level.role), "width": 1.2, "dash": dash}
    return place | {
        "type": "line",
        f"{way}0": level.height,
        f"{way}1": level.height,
        "layer": "below",
        "line": line,
    }


def _named(level: Level) -> str:
    return f"{level.title} {level.height:.3g}"


def _beside(line: Line) -> list[Any]:
    last = np.flatnonzero(np.isfinite(line.y))[-1]
    return [float(f"{line.y[last]:.5g}"), safe(line.label), _tone(line.role)]


# ---------------------------------------------------------------- rows


def _rows(panel: Panel) -> dict[str, Any]:
    labels = list(dict.fromkeys(row.label for row in panel.rows))
    series = list(dict.fromkeys(row.series for row in panel.rows))
    gap = 0.8 / len(series) if series else 0.0

    def height(row: Row) -> float:
        return labels.index(row.label) + gap * (series.index(row.series) - (len(series) - 1) / 2)

    data = [
        _interval_trace([row for row in panel.rows if row.series == name], name, height) for name in series
    ]
    beside = [(level, height(row)) for row in panel.rows for level in row.beside]
    if beside:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [level.height for level, _ in beside],
                "y": [place for _, place in beside],
                "name": "",
                "text": [safe(_named(level)) for level, _ in beside],
                "hovertemplate": "%{text}<extra></extra>",
                "showlegend": False,
                "meta": {"kind": "reference"},
                "marker": {
                    "symbol": "line-ns-open",
                    "size": 12,
                    "color": [_tone(level.role) for level, _ in beside],
                },
            }
        )
    ends = [
        np.array([row.value, row.low, row.high, *(level.height for level in row.beside)])
        for row in panel.rows
    ]
    places = np.concatenate([*ends, np.array([level.height for level in panel.levels])])
    layout = {
        "xaxis": _axis(panel.x, *_across(panel.x, places)),
        "yaxis": _axis(Scale(names=tuple(labels)), len(labels) - 0.4, -0.6) | {"showgrid": False},
        "shapes": [_level(level, "x") for level in panel.levels],
        "annotations": [
            {
                "x": math.log10(level.height) if panel.x.log else level.height,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "text": safe(_named(level)),
                "showarrow": False,
                "font": {"size": 11, "color": _tone(level.role)},
            }
            for level in panel.levels
        ],
        "height": 90 + 26 * len(labels) * max(1, len(series) // 2),
    }
    rows = [
        {
            "label": row.label,
            "v": _one(row.value),
            "lo": _one(row.low),
            "hi": _one(row.high),
            "ok": row.usable,
            "colour": _row_colour(row),
            "words": _plain_words(row),
            "beside": list(map(_named, row.beside)),
        }
        for row in panel.rows
    ]
    beside_all = list(map(_named, panel.levels))
    return {"data": data, "layout": layout, "names": [], "spans": [], "rows": rows, "beside": beside_all}


def _interval_trace(rows: Sequence[Row], name: str, height: Any) -> Trace:
    values, low, high = (
        np.array([getattr(row, end) for row in rows], float) for end in ("value", "low", "high")
    )
    colours = list(map(_row_colour, rows))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": safe(name),
        "x": short(values),
        "y": [round(height(row), 3) for row in rows],
        "showlegend": False,
        "legendgroup": safe(name),
        "meta": {"kind": "line", "run": name},
        "customdata": [safe(_row_words(row)) for row in rows],
        "hovertemplate": "%{customdata}<extra></extra>",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": short(high - values),
            "arrayminus": short(values - low),
            "color": colours[0] if colours else "@grey",
            "thickness": 1.6,
            "width": 0,
        },
        "marker": {
            "size": 9,
            "color": [colour if row.usable else "@paper" for row, colour in zip(rows, colours, strict=True)],
            "line": {"color": colours, "width": 1.6},
        },
    }


def _row_words(row: Row) -> str:
    return ", ".join(filter(None, [row.label, row.series])) + f": {_plain_words(row)}"


def _plain_words(row: Row) -> str:
    silent = "" if row.usable or not math.isfinite(row.value) else ", not interpretable"
    return row.words or f"{interval_words(row.value, row.low, row.high)}{silent}"


def _row_colour(row: Row) -> str:
    return f"@hue {look(row.place).hue}" if row.place >= 0 else "@grey"


def _one(number: float) -> float | None:
    return short(np.array([number], float))[0]


# ---------------------------------------------------------------- maps


def _map(panel: Panel) -> dict[str, Any]:
    assert panel.cells is not None, "a panel of the form map has cells"
    cells = panel.cells
    frames = [[short(row) for row in values] for values in cells.values]
    rows, columns = cells.values.shape[1:]
    data: list[Trace] = [
        {
            "type": "heatmap",
            "name": safe(panel.title),
            "z": frames[-1],
            "xgap": 1 if columns <= _MANY else 0,
            "ygap": 1 if rows <= _MANY else 0,
            "meta": {"kind": "map"},
            "hoverongaps": True,
            **_coloured(cells),
        }
    ]
    up = [-0.5, rows - 0.5] if cells.first_up else [rows - 0.5, -0.5]
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": safe(panel.x.label)}, "range": [-0.5, columns - 0.5], "showgrid": False},
        "yaxis": {"title": {"text": safe(panel.y.label)}, "range": up, "showgrid": False},
        "plot_bgcolor": "@grey .25",
        "height": int(min(620, 150 + rows * 34)),
        "shapes": [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": rule + 0.5,
                "y1": rule + 0.5,
                "line": {"color": "@human", "width": 2},
            }
            for rule in cells.rules
        ],
    }
    if cells.margin is not None:
        layout["xaxis"]["domain"] = [0, 0.86]
        layout["xaxis2"] = {"domain": [0.88, 1], "range": [0, 1], "tickvals": [0.5, 1], "showgrid": False}
        layout["xaxis2"]["title"] = {"text": safe(cells.margin_title)}
        data.append(_margin(cells.margin))
    places = {"x": [safe(name) for name in panel.x.names], "y": [safe(name) for name in panel.y.names]}
    several = {"frames": list(map(list, zip(cells.frames, frames, strict=True)))} if cells.frames else {}
    return {"data": data, "layout": layout, "names": [], "spans": [], "places": places, **several}


def _margin(shares: NDArray[np.float64]) -> Trace:
    return {
        "type": "bar",
        "orientation": "h",
        "name": "people",
        "xaxis": "x2",
        "x": short(shares),
        "y": list(range(len(shares))),
        "marker": {"color": "@human"},
        "showlegend": False,
        "hoverinfo": "x",
        "meta": {"kind": "margin"},
    }


def _coloured(cells: Map) -> Trace:
    """The colours of a map with their range: around the neutral value, else as wide as the values of all frames."""
    known = cells.values[np.isfinite(cells.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if cells.states:
        n = len(cells.states)
        steps = [[edge / n, f"@state {at % 3}"] for at in range(n) for edge in (at, at + 1)]
        bar = _bar(cells.bar) | {
            "tickvals": list(range(n)),
            "ticktext": [safe(state) for state in cells.states],
        }
        return {"colorscale": steps, "zmin": -0.5, "zmax": n - 0.5, "colorbar": bar}
    if cells.neutral is not None:
        half = max(abs(high - cells.neutral), abs(low - cells.neutral)) or 1.0
        low, high = cells.neutral - half, cells.neutral + half
    name = "sequential" if cells.neutral is None else "diverging"
    ends = {"zmin": low, "zmax": high if high > low else low + 1.0}
    return {"colorscale": _spread(name, len(COLOURS[name])), **ends, "colorbar": _bar(cells.bar)}
