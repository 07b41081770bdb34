"""What the page's program draws: the panels of a study in Plotly's words, with the axes that a reader can choose.

Of a line over training the page needs no x: it looks them up by run and stop, on the axis that its reader chooses.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.errors import shorten
from hf_clipdyn.report.courses import FACETS, RAMPS, Group
from hf_clipdyn.report.panel import Panel, Scale
from hf_clipdyn.report.planning import Planner
from hf_clipdyn.report.plotly import axis, figure, safe, short
from hf_clipdyn.report.style import COLOURS, HUES, look

_LOOK = Path(__file__).with_name("look.json")
"""In Plotly's words, what all charts share (``template``), and the marks of points that are not on a line."""
_CLOCKS = {
    "epoch": ("epoch", "epoch"),
    "step": ("training steps", "step"),
    "samples": ("samples seen", "samples_seen"),
    "logsamples": ("samples seen, logarithmic", "samples_seen"),
    "logsteps": ("training steps, logarithmic", "step"),
    "accuracy": ("zero-shot accuracy", "accuracy"),
    "order": ("revisions in order", "order"),
}
"""The x axes of training: title, and column of `Courses.clocks`."""
_USUAL = {
    "epoch": ("epoch", "", "epoch"),
    "samples_seen": ("samples", "logsamples", "samples seen:"),
    "step": ("step", "logsteps", "step"),
    "order": ("order", "", "revision"),
}
"""By clock of the study, its axis, that with a logarithm, and what a stop of the slider is called."""
_MOST_TICKS, _LONGEST_TICK = 6, 14
_FIRST = ("zero_shot", "classification", "shape_bias", "noise", "similarity", "saliency", "quality")
"""Kinds at the beginning of the first screen."""
_LOSS = ("training/log", "loss")
_CLEAN = ("", "none")
_SAME = ("texts", "probe", "layer", "subset", "parameter", "setup")
_SELECTS = ("metric", "over", *FACETS[1:], "setup", "run")
"""The selects of a benchmark in their order; those of plug-ins come after them."""
_TAKEN = ("title", "form", "metric", "benchmark", "choices", "alt", "ramp", "hide")
"""What the program needs of a panel as it is."""


def payload(
    planner: Planner,
    charts: Mapping[str, Sequence[Panel]],
    first_screen: Sequence[Panel],
) -> dict[str, Any]:
    """What the program draws: ``meta``, ``runs``, ``groups``, ``benchmarks``, ``charts``, ``metrics``, ``overview``.

    A benchmark has ``views``, each a figure whose ``selects`` choose one of its ``panels``; charts of no benchmark are
    views of ``charts``. ``metrics`` are the numbers that can be drawn against each other, or be an x axis.

    Args:
        planner: of the table.
        charts: by title, panels beside those of the planner; those of a benchmark are views of it.
        first_screen: see `story`.

    Returns:
        Built-in types only, without NaN, ready for `json.dumps`.
    """
    usual, logarithmic, stop = _USUAL[planner.clock]
    places, axes = planner.stops.tolist(), _axes(planner)
    preferred = [logarithmic if planner.log else usual, usual, *axes]
    views = _views(planner, charts)
    others = [name for name in views if name not in planner.benchmarks]

    def drawn(name: str) -> list[dict[str, Any]]:
        return [_view(name, *of, panels, planner) for of, panels in views[name].items() if panels]

    return {
        "meta": {
            "stops": [f"{stop} {place:,.6g}" for place in places],
            "untrained": places[:1] == [0],
            "axes": axes,
            "axis": next((name for name in preferred if name in axes), "order"),
            "colours": COLOURS,
            **json.loads(_LOOK.read_text(encoding="utf-8")),
        },
        "runs": [_run(run, planner) for run in planner.group_of],
        "groups": [_group(group, planner.groups) for group in planner.groups],
        "benchmarks": [{**_benchmark(name, planner), "views": drawn(name)} for name in planner.benchmarks],
        "charts": [{"anchor": anchor(name), "title": name, "views": drawn(name)} for name in others],
        "metrics": list(_metrics(planner)),
        "overview": [_panel(panel, planner) for panel in first_screen],
    }


def anchor(benchmark: str) -> str:
    """The id of a benchmark's section."""
    return re.sub(r"[^a-z0-9]+", "-", benchmark.lower()).strip("-") or "benchmark"


# ---------------------------------------------------------------- the first screen


def story(planner: Planner) -> list[Panel]:
    """The first screen, in the order of a training: did it learn, what decides, what disturbs, what people see."""

    def rank(panel: Panel) -> tuple[bool, int]:
        kind = panel.benchmark.split("/")[0]
        return planner.words.kind(kind).proxy, [*_FIRST, kind].index(kind)

    story: list[Panel] = []
    for panel in sorted(planner.glance, key=rank):
        story.append(_clean_and_disturbed(planner, panel) or panel)
        if len(story) == 1 and panel.benchmark.startswith("zero_shot/"):
            losses = (loss for loss in planner.benchmarks.get(_LOSS[0], ()) if loss.metric == _LOSS[1])
            story += [loss for loss in losses if loss.defined and loss.form == "lines"][:1]
    return story


def _clean_and_disturbed(planner: Planner, shown: Panel) -> Panel | None:
    """Accuracy without and with a disturbance in one panel; None where the metric does not measure lost accuracy."""
    if shown.metric == "accuracy" or shown.form != "lines":
        return None
    metrics = planner.values[shown.benchmark]
    lost = metrics[shown.metric][0]
    alike = [
        course
        for course in metrics.get("accuracy", ())
        if all(getattr(course, name) == getattr(lost, name) for name in _SAME)
    ]
    clean = [course for course in alike if course.condition in _CLEAN]
    noisy = [course for course in alike if (course.condition, course.level) == (lost.condition, lost.level)]
    if lost.condition in _CLEAN or not clean or not noisy:
        return None
    without, panel = planner.panel(clean), planner.panel(noisy)
    several = len(panel.values) > 1
    lines = [
        replace(line, label=f"{line.label}, {way}" if several else way, place=line.place + first)
        for one, way, first in ((without, "clean", 0), (panel, "under noise", len(HUES)))
        for line in one.values
    ]
    noise = f"{shown.choices['condition']}, {shown.choices['level']}"
    return replace(panel, title=f"accuracy, clean and with {noise}", lines=tuple(lines))


# ---------------------------------------------------------------- runs and x axes


def _run(name: str, planner: Planner) -> dict[str, Any]:
    own = planner.clocks.loc[[name]].droplevel(0).sort_values("order")
    return {
        "name": name,
        "group": planner.group_of[name].title,
        "revisions": own["revision"].tolist(),
        "stops": own.index.tolist(),
        "steps": short(own["step"]),
    }


def _group(group: Group, groups: Sequence[Group]) -> dict[str, Any]:
    """A group of runs, with the one that is drawn in grey behind it: the main arm of its size, else the first."""
    main = next((other for other in groups if other.scale == group.scale and not other.arm), group)
    behind = main if main is not group else groups[0]
    known = behind is not group and not behind.arm
    own = {"title": group.title, "hue": look(group.place).hue, "runs": list(group.runs), "arm": group.arm}
    return own | {"behind": behind.title if known else ""}


def _axes(planner: Planner) -> dict[str, Any]:
    """The clocks as axes: ``title``, ``layout`` in Plotly's words, and ``of`` each run or group the place by stop."""
    usual, logarithmic, _ = _USUAL[planner.clock]
    found = {}
    for name, (title, column) in _CLOCKS.items():
        known = planner.clocks[column].dropna()
        moves = name != "order" and known.groupby(level=0).nunique().max() > 1
        wanted = planner.log and logarithmic == name if name == "logsteps" else moves
        if len(known) and (name == usual or wanted):
            found[name] = _axis(title, known, len(planner.stops), log=name.startswith("log"))
    if "order" in found:
        longest = max(planner.groups, key=lambda group: len(planner.clocks.loc[group.runs[0]])).runs[0]
        own = planner.clocks.loc[[longest]].sort_values("order")[::-1]
        own = own[:: math.ceil(len(own) / _MOST_TICKS)]
        names = [safe(shorten(name, _LONGEST_TICK)) for name in own["revision"]]
        found["order"]["layout"] |= {"tickvals": own["order"].tolist(), "ticktext": names}
    return found


def _axis(title: str, known: "pd.Series[float]", n_stops: int, *, log: bool) -> dict[str, Any]:
    first, last = float(known[known > 0].min() if log else known.min()), float(known.max())
    scale = Scale(title=title, log=log, beyond=first / 3 if log and (known == 0).any() else math.nan)
    if log:
        ends = {"range": [math.log10(first / 3.9), math.log10(last * 1.3)]}
        layout = axis(scale, math.log10(first * 0.97), math.log10(last * 1.1)) | ends
    else:
        margin = 0.035 * (last - first or 1.0)
        layout = axis(scale, first - margin, last + margin)
    places = pd.Series(scale.places(np.asarray(known, np.float64)), known.index)
    by_stop = places.unstack().reindex(columns=range(n_stops))
    return {"title": title, "of": {name: short(own) for name, own in by_stop.iterrows()}, "layout": layout}


def _metrics(planner: Planner) -> Iterator[dict[str, Any]]:
    """Every metric that has one number for each run and revision, or model, as an axis: with ``low`` and ``high``."""
    main = {(panel.benchmark, panel.metric) for panel in planner.glance}
    for name, panels in planner.benchmarks.items():
        for metric in dict.fromkeys(panel.metric for panel in panels):
            panel = planner.panel(planner.main_number(planner.values[name][metric]))
            ends = _at_stops(panel, len(planner.stops))
            known = [value for own in ends["of"].values() for value in own if value is not None]
            if known and panel.form == ("lines" if planner.over_training else "rows"):
                reach = 0.05 * (max(known) - min(known) or 1.0)
                title = f"{panel.title}, {panel.place}"
                layout = {"title": {"text": safe(title)}, "range": [min(known) - reach, max(known) + reach]}
                axis = {"title": title, "layout": layout, "main": (name, metric) in main, "metric": True}
                yield {"key": f"{name}.{metric}", **axis, **ends}


def _at_stops(panel: Panel, n_stops: int) -> dict[str, dict[str, list[Any]]]:
    """What is usable of the values and the ends of their intervals, at each stop; models have one stop."""
    found: dict[str, dict[str, list[Any]]] = {"of": {}, "low": {}, "high": {}}
    for part in (part for line in panel.values for part in (line, *line.seeds)):
        kept = part.usable & (part.at >= 0)
        for end, values in zip(found.values(), (part.y, part.low, part.high), strict=True):
            places = np.full(n_stops, np.nan)
            places[part.at[kept]] = values[kept]
            end[part.run or part.group] = short(places)
    for row in panel.rows:
        for end, value in zip(found.values(), (row.value, row.low, row.high), strict=True):
            end[row.label] = short(np.array([value if row.usable else math.nan]))
    return found


# ---------------------------------------------------------------- benchmarks


def _views(
    planner: Planner, charts: Mapping[str, Sequence[Panel]]
) -> dict[str, dict[tuple[str, str], list[Panel]]]:
    """By benchmark, or title of a chart of none: the panels of each view, by its section and title."""
    found: dict[str, dict[tuple[str, str], list[Panel]]] = {}
    for name, planned in planner.benchmarks.items():
        found[name] = {("", ""): [], ("", "Layer by layer"): []}
        for panel in planned:
            found[name]["", "Layer by layer" if panel.form == "map" else ""].append(panel)
    for title, panels in charts.items():
        forms, called = {panel.form for panel in panels}, dict[str, str]()
        if "map" in forms:
            called["rows"] = f"{title}: class by class"
        if "rows" in forms:
            called["lines"] = f"{title}: over training"
        for panel in panels:
            view = called.get(panel.form, title)
            confused = panel.form == "map" and panel.y.names and panel.x.title == "answer"
            views = found.setdefault(panel.benchmark if panel.benchmark in planner.benchmarks else title, {})
            views.setdefault(("stimuli" if confused else "", view), []).append(panel)
    return found


def _benchmark(name: str, planner: Planner) -> dict[str, Any]:
    kind, dataset = name.split("/", 1)
    terms, data = planner.words.kind(kind), planner.words.dataset(dataset)
    said = ["Synthetic images."] if data.synthetic else []
    said += ["Proxy: no human judged these images."] if terms.proxy else []
    metrics = dict.fromkeys(panel.metric for panel in planner.benchmarks[name])
    return {
        "name": name,
        "anchor": anchor(name),
        "title": f"{terms.title}: {data.title}",
        "question": terms.question,
        "of": f"{terms.of or terms.title}: {data.title}",
        "words": {metric: [*_meaning(planner.words.term(kind, metric)), *said] for metric in metrics},
    }


def _meaning(term: Any) -> Iterator[str]:
    if term.meaning:
        yield term.meaning
    if term.poles:
        yield f"Below {term.neutral:.4g}: {term.poles[0]}; above: {term.poles[1]}."
    if term.better:
        yield "Higher is better." if term.better == "high" else "Lower is better."


def _view(name: str, section: str, title: str, panels: Sequence[Panel], planner: Planner) -> dict[str, Any]:
    drawn = [_panel(panel, planner) for panel in panels]
    return {
        "id": f"{anchor(name)}-{anchor(title) if title else 'explorer'}",
        "key": f"{name}.{title}" if title else name,
        "title": title,
        "section": section,
        "selects": dict(_selects(panels)),
        "height": drawn[0]["layout"].get("height", 420),
        "panels": drawn,
    }


def _selects(panels: Sequence[Panel]) -> Iterator[tuple[str, list[str]]]:
    """What the panels of a view differ in, with its options: each select offers what those before it leave."""
    for name in dict.fromkeys([*_SELECTS, *(name for panel in panels for name in panel.choices)]):
        options = list(dict.fromkeys(panel.choices.get(name, "") for panel in panels))
        if len(options) > 1:
            yield name, sorted(options, key=_step) if name in RAMPS else options


def _step(words: str) -> tuple[bool, float]:
    known = re.search(r"\d[\d.]*(?:e[-+]?\d+)?", words)
    return not words.startswith("all"), math.inf if "∞" in words else float(known[0]) if known else -math.inf


def _panel(panel: Panel, planner: Planner) -> dict[str, Any]:
    """A panel as the program takes it."""
    drawn = figure(panel)
    training = panel.form == "lines" and panel.x is planner.x and planner.over_training
    for line in drawn["lines"] if training else ():
        del line["x"], line["where"]
    return {
        **drawn,
        **{name: getattr(panel, name) for name in _TAKEN},
        "training": training,
        "moving": any(line.frame >= 0 for line in panel.lines) or "frames" in drawn,
        "thresholds": _thresholds(panel, planner),
    }


def _thresholds(panel: Panel, planner: Planner) -> list[Any]:
    """Of curves of accuracy over levels, the level at which each revision has lost half of it."""
    if panel.metric != "accuracy" or not any(line.frame >= 0 for line in panel.lines):
        return []
    same = {name: panel.choices[name] for name in ("condition", "texts", "probe", "subset", "setup")}
    for other in planner.benchmarks.get(panel.benchmark, ()):
        if other.metric == "threshold" and other.x is planner.x and same.items() <= other.choices.items():
            return list(figure(other)["lines"])
    return []
