"""Back end 2: a panel as traces and layout of Plotly, for the page.

Colours are names, ``@hue 1`` or ``@grey .15`` (with an opacity), which the page turns into those of its theme; every
text of a table passes through `safe`, since Plotly reads a few tags and fills in what follows a per cent sign.
"""

import math
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hf_clipdyn.errors import shorten
from hf_clipdyn.report.lines import line_of
from hf_clipdyn.report.panel import (
    NOT_INTERPRETABLE,
    Floats,
    Level,
    Line,
    Map,
    Panel,
    Row,
    Scale,
    brief,
    interval_words,
    log_ticks,
)
from hf_clipdyn.report.style import COLOURS, SHADES, look

Trace = dict[str, Any]

_SMALL = {"color": "@grey", "size": 11}
_MANY = 60  # points of a line without markers
_LONGEST_NAME, _LONGEST_TICK = 42, 16
_MOST_TICKS = 12
_WORDS = ("label", "run", "group", "role", "frame", "notes")
_COLUMNS = ("y", "low", "high", "usable", "at", "n", "n_clusters")
"""Of a line, what the page takes as it is, and as numbers."""


def safe(text: object) -> str:
    """A text for Plotly, and for the names of colours beside it, which begin with ``@``."""
    return "".join(f"&#{ord(sign)};" if sign in "&<>\"'%@" else sign for sign in str(text))


def figure(panel: Panel) -> dict[str, Any]:
    """A panel in Plotly's words, ready for `json.dumps`.

    Returns:
        - ``lines``: numbers and look of each, see `_numbers`; the page makes traces of those that it shows. Of ``rows``
          a line for each series.
        - ``data``: further traces, with their ``kind`` (reference, map, margin) in ``meta``.
        - ``layout``; ``names``: of what is beside the axes, (height, text, colour).
        - of a map ``places``, the names along x and y; ``frames``, (stop of the slider, values) if it has several; and
          ``causes``, (row, column, words) of what is not defined.
    """
    drawn = {"lines": _lines, "rows": _rows, "map": _map}[panel.form](panel)
    return {"lines": [], "data": [], "names": [], **drawn}


def short(numbers: Any) -> list[float | None]:
    """Whole numbers, and five significant digits of others; None for what JSON does not have."""
    if numbers.dtype.kind != "f":
        return list((numbers * 1).tolist())
    return [
        None if not math.isfinite(number) else number if number % 1 == 0 else float(f"{number:.5g}")
        for number in numbers.tolist()
    ]


# ---------------------------------------------------------------- lines


def _lines(panel: Panel) -> dict[str, Any]:
    steps = max((line.place for line in panel.lines), default=0)
    lines = [
        _numbers(panel.x, part, of) | {"look": _look(panel, part, _colour(panel, line, steps))}
        for line in panel.lines
        for part, of in [*((seed, "seed") for seed in line.seeds), (line, "mean" if line.seeds else "")]
    ]
    places = np.concatenate([panel.x.places(line.x) for line in panel.lines] or [np.array([])])
    named = np.concatenate([panel.x.places(line.x) for line in panel.values] or [places])
    layout = {
        "xaxis": axis(panel.x, *_across(panel.x, places), named),
        "yaxis": axis(panel.y, *_range(panel.y, panel.lines, panel.levels)),
        "yaxis2": {"overlaying": "y", "range": [0, 1], "fixedrange": True, "visible": False},
        "shapes": [_level(level) for level in panel.levels],
    }
    names = [[level.height, level_words(level), _tone(level.role)] for level in panel.levels]
    references = [line for line in panel.lines if line.role != "value" and np.isfinite(line.y).any()]
    names += [[short(line.y[np.isfinite(line.y)])[-1], line.label, _tone(line.role)] for line in references]
    return {"lines": lines, "layout": layout, "names": names}


def _numbers(scale: Scale, line: Line, of: str = "") -> dict[str, Any]:
    """The points of a line: what the page says of them, at the pointer, beside the chart, in tables and in CSV.

    ``of``: ``mean``, the ``seed`` of one, or nothing; ``where``: the places in words; ``at``: stops of the slider;
    ``path``: the points in order, see `Line.path`.
    """
    words = {name: getattr(line, name) for name in _WORDS}
    numbers = {name: short(getattr(line, name)) for name in _COLUMNS}
    return words | {"of": of} | numbers | _along(scale, tuple(line.x.tolist()), min(line.frame, 0))


@lru_cache
def _along(scale: Scale, numbers: tuple[float, ...], frame: int) -> dict[str, Any]:
    """Where numbers lie, in words too, and their path; the lines of a benchmark share them."""
    x = np.array(numbers)
    path = Line.plain(x, x, label="", frame=frame).path(scale)
    return {"x": short(scale.places(x)), "where": list(map(scale.words, numbers)), "path": path.tolist()}


def _colour(panel: Panel, line: Line, steps: int) -> str:
    if line.role != "value" or line.place < 0:
        return _tone(line.role)
    if panel.ramp:
        return f"@shade {round(line.place * (len(SHADES) - 1) / max(steps, 1))}"
    return f"@hue {look(line.place).hue}"


def _tone(role: str) -> str:
    return "@human" if role == "human" else "@grey"


def _look(panel: Panel, line: Line, colour: str) -> Trace:
    """How a line is drawn, as a part of its trace."""
    if line.role != "value":
        stroke = {"width": 3, "dash": "solid"} if line.role == "human" else {"width": 1.2, "dash": "dot"}
        return {"mode": "lines", "line": {"color": colour, **stroke}}
    drawn, n = look(max(line.place, 0)), len(line.y)
    dash, symbol = ("solid", "circle") if panel.ramp or line.place < 0 else (drawn.dash, drawn.symbol)
    marker = {"color": colour, "size": 6, "symbol": symbol}
    mode = "lines" if n > _MANY else "lines+markers" if n > 1 else "markers"
    return {"mode": mode, "line": {"color": colour, "width": 2, "dash": dash}, "marker": marker}


def _spread(name: str) -> list[list[Any]]:
    n = len(COLOURS[name])
    return [[round(at / (n - 1), 4), f"@{name} {at}"] for at in range(n)]


def _bar(title: str, **given: Any) -> Trace:
    heading = {"text": safe(title), "side": "right", "font": _SMALL}
    flat = {"thickness": 12, "outlinewidth": 0, "len": 1, "ypad": 0, "nticks": 6}
    return {**flat, "tickfont": _SMALL, "title": heading, **given}


# ---------------------------------------------------------------- axes


def axis(scale: Scale, low: float, high: float, places: Floats | None = None) -> dict[str, Any]:
    """An axis between two places, which are logarithms if it is logarithmic; few ``places`` are named each."""
    found: dict[str, Any] = {"title": {"text": safe(scale.label)}, "type": "log" if scale.log else "linear"}
    found["range"] = short(np.array([high, low] if scale.descending else [low, high]))
    if scale.names:
        return found | _named_ticks(scale.names, _LONGEST_NAME)
    ticks: Any = np.unique(places[np.isfinite(places)]) if places is not None else np.array([])
    if 0 < len(ticks) <= _MOST_TICKS and (scale.log or math.isfinite(scale.beyond)):
        names = [f"{tick:.4g}" for tick in ticks]
    elif scale.log:
        ticks = np.array(log_ticks(10.0**low, 10.0**high))
        if math.isfinite(scale.beyond):
            ticks = np.union1d(ticks, scale.beyond)
        names = list(map(brief, ticks))
    else:
        return found
    shown = np.where(ticks == scale.beyond, scale.beyond_name, names)
    return found | {"tickvals": short(ticks), "ticktext": shown.tolist()}


def _named_ticks(names: Sequence[str], longest: int) -> dict[str, Any]:
    shown = [safe(shorten(name, longest)) for name in names]
    return {"tickvals": list(range(len(names))), "ticktext": shown}


def _across(scale: Scale, places: Floats) -> tuple[float, float]:
    return scale.limits or _with_margin(_scaled(scale, [places]), 0.04)


def _range(scale: Scale, lines: Sequence[Line], levels: Sequence[Level]) -> tuple[float, float]:
    """The limits of the y axis, else what is drawn with a margin.

    A wide interval, as over two seeds, adds at most half the span of the values; numbers that say nothing add nothing.
    """
    if scale.limits and not scale.log:
        return _with_margin(np.array(scale.limits), 0.03)
    every = [part for line in lines for part in (line, *line.seeds)]
    usable = [part.y[part.usable] for part in every]
    values = usable if any(len(part) for part in usable) else [part.y for part in every]
    known = _scaled(scale, [*values, np.array([level.height for level in levels])])
    if not len(known):
        return (-1.0, 1.0) if scale.log else (0.0, 1.0)
    reach = (np.ptp(known) or abs(known.max()) or 1.0) / 2
    ends = _scaled(scale, [end[line.usable] for line in lines for end in (line.low, line.high)])
    return _with_margin(np.append(known, np.clip(ends, known.min() - reach, known.max() + reach)), 0.08)


def _with_margin(known: Floats, share: float) -> tuple[float, float]:
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    margin = share * (high - low or abs(high) or 1.0)
    return low - margin, high + margin


def _scaled(scale: Scale, numbers: Sequence[Floats]) -> Floats:
    joined = np.concatenate([np.array([]), *numbers])
    known = joined[np.isfinite(joined) & ((joined > 0) | (not scale.log))]
    return np.asarray(np.log10(known) if scale.log else known, np.float64)


def _level(level: Level, way: str = "y") -> Trace:
    other = "x" if way == "y" else "y"
    dash = "solid" if level.role in ("human", "neutral") else "dash"
    ends = {f"{way}0": level.height, f"{way}1": level.height, f"{other}0": 0, f"{other}1": 1}
    line = {"color": _tone(level.role), "width": 1.2, "dash": dash}
    return {"type": "line", f"{other}ref": "paper", **ends, "layer": "below", "line": line}


def level_words(level: Level) -> str:
    """A level with its height."""
    return f"{level.title} {level.height:.3g}"


# ---------------------------------------------------------------- rows


def _rows(panel: Panel) -> dict[str, Any]:
    labels = list(dict.fromkeys(row.label for row in panel.rows))
    series = list(dict.fromkeys(row.series for row in panel.rows))
    gap = 0.8 / len(series) if series else 0.0
    texts = [textwrap.wrap(label, _LONGEST_NAME) or [""] for label in labels]
    tall = max(map(len, texts), default=1)

    def height(row: Row) -> float:
        return labels.index(row.label) + gap * (series.index(row.series) - (len(series) - 1) / 2)

    beside = [(level, height(row)) for row in panel.rows for level in row.beside]
    levels = [level.height for level in (*panel.levels, *(level for level, _ in beside))]
    places = np.array([end for row in panel.rows for end in (row.value, row.low, row.high)] + levels, float)
    layout = {
        "xaxis": axis(panel.x, *_across(panel.x, places)),
        "yaxis": axis(Scale(), len(labels) - 0.4, -0.6)
        | {"showgrid": False, "tickvals": list(range(len(labels)))}
        | {"ticktext": ["<br>".join(map(safe, text)) for text in texts]},
        "shapes": [_level(level, "x") for level in panel.levels],
        "annotations": [_note(panel.x, level) for level in panel.levels],
        "margin": {"t": 26 if panel.levels else 10},  # above the axes, for the names of levels
        "height": 90 + max(26, 10 + 15 * tall) * len(labels) * max(1, len(series) // 2),
    }
    by_series = {name: [row for row in panel.rows if row.series == name] for name in series}
    lines = [_series(name, rows, list(map(height, rows))) for name, rows in by_series.items()]
    return {"lines": lines, "data": [_ticks_beside(beside)] if beside else [], "layout": layout}


def _series(name: str, rows: Sequence[Row], heights: Sequence[float]) -> dict[str, Any]:
    """Rows as points of one line; ``said``: the words of a row in place of its numbers, where they differ."""
    line = line_of(rows, heights, label=name, run=name or rows[0].label)
    numbers, colours = _numbers(Scale(), line), [f"@{row_hue(row).replace('-', ' ')}" for row in rows]
    bars = {"type": "data", "symmetric": False, "color": colours[0], "thickness": 1.6, "width": 0}
    arms = {"array": short(line.high - line.y), "arrayminus": short(line.y - line.low)}
    fills = [colour if row.usable else "@paper" for row, colour in zip(rows, colours, strict=True)]
    return numbers | {
        "x": numbers["y"],
        "where": [row.label for row in rows],
        "said": [row.words for row in rows],
        "heights": [round(height, 3) for height in heights],
        "look": {
            "mode": "markers",
            "cliponaxis": False,  # what lies beyond the axis stands whole at its end
            "error_x": bars | arms,
            "marker": {"size": 9, "color": fills, "line": {"color": colours, "width": 1.6}},
        },
    }


def _ticks_beside(beside: Sequence[tuple[Level, float]]) -> Trace:
    colours = [_tone(level.role) for level, _ in beside]
    return {
        "meta": {"kind": "reference"},
        "mode": "markers",
        "x": [level.height for level, _ in beside],
        "y": [place for _, place in beside],
        "text": [safe(level_words(level)) for level, _ in beside],
        "marker": {"symbol": "line-ns-open", "size": 12, "color": colours},
    }


def _note(scale: Scale, level: Level) -> Trace:
    x = math.log10(level.height) if scale.log else level.height
    top = {"y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return {"x": x, **top, "text": safe(level_words(level)), "font": {"size": 11, "color": _tone(level.role)}}


def row_hue(row: Row) -> str:
    """A row's colour as a property of the page's style: ``hue-1``."""
    return f"hue-{look(row.place).hue}" if row.place >= 0 else "grey"


def row_words(row: Row) -> str:
    """What a row says: value and interval, and whether they can be interpreted."""
    silent = "" if row.usable or not math.isfinite(row.value) else f", {NOT_INTERPRETABLE}"
    return row.words or f"{interval_words(row.value, row.low, row.high)}{silent}"


# ---------------------------------------------------------------- maps


def _map(panel: Panel) -> dict[str, Any]:
    assert panel.cells is not None, "a panel of the form map has cells"
    cells = panel.cells
    frames = [[short(row) for row in values] for values in cells.values]
    rows, columns = cells.values.shape[1:]
    heat = {
        "type": "heatmap",
        "z": frames[-1],
        "xgap": 1 if columns <= _MANY else 0,
        "ygap": 1 if rows <= _MANY else 0,
        "meta": {"kind": "map"},
        "hoverongaps": True,
        "hovertemplate": "%{text}<extra></extra>",
        **_coloured(cells),
    }
    up = [-0.5, rows - 0.5] if cells.first_up else [rows - 0.5, -0.5]
    x = {"title": {"text": safe(panel.x.label)}, "range": [-0.5, columns - 0.5]}
    y = {"title": {"text": safe(panel.y.label)}, "range": up, "showgrid": False}
    layout: dict[str, Any] = {
        "xaxis": x | _named_ticks(panel.x.names, _LONGEST_TICK),
        "yaxis": y | _named_ticks(panel.y.names, _LONGEST_TICK),
        "plot_bgcolor": "@grey .25",
        "height": int(min(620, 150 + rows * 34)),
        "shapes": list(map(_rule, cells.rules)),
    }
    data = [heat]
    if cells.margin is not None:
        right = {"domain": [0.88, 1], "range": [0, 1], "tickvals": [0.5, 1], "showgrid": False}
        layout["xaxis"]["domain"] = [0, 0.86]
        layout["xaxis2"] = right | {"title": {"text": safe(cells.margin_title)}}
        data.append(_margin(cells.margin))
    places = {"x": list(panel.x.names), "y": list(panel.y.names), "states": list(cells.states)}
    several = {"frames": list(map(list, zip(cells.frames, frames, strict=True)))} if cells.frames else {}
    causes = [[row, column, words] for (row, column), words in cells.causes.items()]
    return {"data": data, "layout": layout, "places": places, "causes": causes, **several}


def _rule(row: int) -> Trace:
    ends = {"x0": 0, "x1": 1, "y0": row + 0.5, "y1": row + 0.5}
    return {"type": "line", "xref": "paper", **ends, "line": {"color": "@human", "width": 2}}


def _margin(shares: Floats) -> Trace:
    places = {"xaxis": "x2", "x": short(shares), "y": list(range(len(shares)))}
    bar = {"type": "bar", "orientation": "h", "name": "human observers", "marker": {"color": "@human"}}
    return {**bar, **places, "hoverinfo": "x", "meta": {"kind": "margin"}}


def _coloured(cells: Map) -> Trace:
    """The colours of a map with their range."""
    ends = dict(zip(("zmin", "zmax"), cells.ends, strict=True))
    if cells.states:
        n = len(cells.states)
        steps = [[edge / n, f"@state {at % 3}"] for at in range(n) for edge in (at, at + 1)]
        bar = _bar(cells.bar, tickvals=list(range(n)), ticktext=list(map(safe, cells.states)))
        return {"colorscale": steps, "colorbar": bar, **ends}
    spread = _spread("sequential" if cells.neutral is None else "diverging")
    return {"colorscale": spread, "colorbar": _bar(cells.bar), **ends}
