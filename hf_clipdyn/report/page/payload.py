"""The numbers and words of a study as one object for the page's program.

Every chart stands in it as `plotly.figure` writes it. What many of them share, the places and values of a line, stands
once in a list of lists. Of a line over training the page needs no x: it looks them up by run and stop, on the axis that
its reader chooses.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.errors import shorten
from hf_clipdyn.report.courses import RAMPS, Group
from hf_clipdyn.report.panel import Panel, brief, log_ticks
from hf_clipdyn.report.planning import Planner
from hf_clipdyn.report.plotly import TEMPLATE, figure, safe
from hf_clipdyn.report.style import COLOURS, HUES, look

_SHORT = 10  # letters of a text that is not worth a place of its own
_NUMBERS = (int, float, type(None), bool)
_CLOCKS = {
    "epoch": ("epoch", "epoch"),
    "step": ("training steps", "step"),
    "samples": ("samples seen", "samples_seen"),
    "logsamples": ("samples seen, logarithmic", "samples_seen"),
    "logsteps": ("training steps, logarithmic", "step"),
    "accuracy": ("zero-shot accuracy", "accuracy"),
    "order": ("revisions in order", "order"),
}
_BY_CLOCK = {"epoch": "epoch", "samples_seen": "samples", "step": "step", "order": "order"}
_STOPS = {"epoch": "epoch", "samples_seen": "samples seen:", "step": "step", "order": "revision"}
_MOST_TICKS = 6
_LONGEST_TICK = 14
_FIRST = ("zero_shot", "classification", "shape_bias", "noise", "similarity", "saliency", "quality")
"""Kinds at the beginning of the first screen."""
_LOSS = ("training/log", "loss")
_CLEAN = ("", "none")
_SAME = ("texts", "probe", "layer", "subset", "parameter", "setup")
_SELECTS = {
    **{"metric": "Metric", "over": "Over", "variant": "Variant", "reference": "With", "texts": "Texts"},
    **{"probe": "Probe", "layer": "Layer", "subset": "Subset", "condition": "Condition", "level": "Level"},
    **{"parameter": "Parameter", "setup": "Setup", "run": "Run"},
}
"""The selects of a benchmark by what they choose, in their order; those of plug-ins come after them."""


def payload(
    planner: Planner,
    seeds: Mapping[str, float | None],
    charts: Mapping[str, Sequence[Panel]],
    first_screen: Sequence[Panel],
) -> dict[str, Any]:
    """Everything that the page draws: ``meta``, ``runs``, ``groups``, ``benchmarks``, ``metrics``, ``overview``.

    A benchmark has ``views``, each a figure whose ``selects`` choose one of its ``panels``; charts of no benchmark are
    views of ``charts``. ``metrics`` are the numbers that can be drawn against each other. What many charts share stands
    in ``values`` and ``names``, see `_Shared`.

    Args:
        planner: of the table.
        seeds: of each run, in the order of the table; NaN or None for none.
        charts: by title, panels beside those of the planner; those of a benchmark are views of it.
        first_screen: see `story`.

    Returns:
        Built-in types only, without NaN, ready for `json.dumps`.
    """
    shared = _Shared()
    clocks = planner.clocks
    axes = _axes(planner, clocks)
    stops = [f"{_STOPS[planner.clock]} {place:,.6g}" for place in planner.stops.tolist()]
    views = _views(planner, charts)
    alone = {name: own for name, own in views.items() if name not in planner.benchmarks}
    return {
        "meta": {
            "overTraining": planner.over_training,
            "stops": stops,
            "untrained": 0 in planner.stops.tolist()[:1],
            "axes": axes,
            "axis": _default(planner, axes),
            "colours": COLOURS,
            "template": TEMPLATE,
        },
        "runs": [_run(name, seed, planner, clocks) for name, seed in seeds.items()],
        "groups": [_group(group, planner.groups) for group in planner.groups],
        "benchmarks": [_benchmark(name, planner, views[name], shared) for name in planner.benchmarks],
        "charts": [
            {"anchor": anchor(name), "title": name, "views": _drawn_views(name, own, planner, shared)}
            for name, own in alone.items()
        ],
        "metrics": list(_metrics(planner, shared)),
        "overview": [packed(panel, planner, shared) for panel in first_screen],
        "values": shared.values,
        "names": shared.names,
    }


def anchor(benchmark: str) -> str:
    """The id of a benchmark's section."""
    return re.sub(r"[^a-z0-9]+", "-", benchmark.lower()).strip("-") or "benchmark"


class _Shared:
    """Values that many charts have, each written once.

    A text ``$12`` names the value at that place of ``values``; a list that begins with ``#3`` is an object with the
    names at that place of ``names``. A text that looks like either, or is long, is a value itself.
    """

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.names: list[list[str]] = []
        self._places: dict[Any, str] = {}
        self._objects: dict[tuple[str, ...], str] = {}

    def __call__(self, given: Any) -> Any:
        if isinstance(given, str):
            return self._named(given, given) if len(given) >= _SHORT or given[:1] in ("$", "#") else given
        if isinstance(given, dict):
            key = tuple(given)
            if key not in self._objects:
                self._objects[key] = f"#{len(self.names)}"
                self.names.append(list(key))
            packed = [self._objects[key], *map(self, given.values())]
        elif isinstance(given, list | tuple):
            packed = [value if value.__class__ in _NUMBERS else self(value) for value in given]
        else:
            return given
        if len(packed) < 2:
            return packed
        return self._named((*map(type, packed), *map(str, packed)), packed)

    def _named(self, key: Any, value: Any) -> str:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = f"${len(self.values)}"
            self.values.append(value)
        return place


# ---------------------------------------------------------------- the first screen


def story(planner: Planner) -> list[Panel]:
    """The first screen, in the order of a training: did it learn, what decides, what disturbs, what people see."""

    def rank(panel: Panel) -> tuple[bool, int]:
        kind = panel.benchmark.split("/")[0]
        known = [at for at, name in enumerate(_FIRST) if name == kind]
        return planner.words.kind(kind).proxy, known[0] if known else len(_FIRST)

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
    if lost.condition in _CLEAN:
        return None
    alike = [
        course
        for course in metrics.get("accuracy", ())
        if all(getattr(course, name) == getattr(lost, name) for name in _SAME)
    ]
    ways = [
        [course for course in alike if course.condition in _CLEAN],
        [course for course in alike if (course.condition, course.level) == (lost.condition, lost.level)],
    ]
    if not all(ways):
        return None
    panels = [planner.panel(courses) for courses in ways]
    several = len(panels[1].values) > 1
    lines = [
        replace(line, label=f"{line.label}, {label}" if several else label, place=line.place + place)
        for panel, label, place in zip(panels, ("clean", "under noise"), (0, len(HUES)), strict=True)
        for line in panel.values
    ]
    way = f"{shown.choices['condition']}, {shown.choices['level']}"
    return replace(panels[1], title=f"accuracy, clean and with {way}", lines=tuple(lines))


def _metrics(planner: Planner, shared: _Shared) -> Iterator[dict[str, Any]]:
    """Every metric that has one number for each run and revision, or model: its lines, see `plotly.figure`."""
    main = {(panel.benchmark, panel.metric) for panel in planner.glance}
    for name in planner.benchmarks:
        for metric in dict.fromkeys(panel.metric for panel in planner.benchmarks[name]):
            panel = planner.panel(planner.main_number(planner.values[name][metric]))
            form = "lines" if planner.over_training else "rows"
            values = [part.y for line in panel.values for part in (line, *line.seeds)]
            known = np.concatenate([*values, np.array([row.value for row in panel.rows], float)])
            known = known[np.isfinite(known)]
            if panel.form == form and len(known):
                reach = 0.05 * (np.ptp(known) or 1.0)
                yield {
                    "key": f"{name}.{metric}",
                    "title": f"{panel.title}, {panel.place}",
                    "main": (name, metric) in main,
                    "range": [float(known.min() - reach), float(known.max() + reach)],
                    "lines": shared([line for line in figure(panel)["lines"] if line.get("role") != "human"]),
                }


def _run(name: str, seed: Any, planner: Planner, clocks: pd.DataFrame) -> dict[str, Any]:
    own = clocks.loc[[name]].droplevel(0).sort_values("order")
    return {
        "name": name,
        "group": planner.group_of[name].title,
        "seed": None if pd.isna(seed) else int(seed),
        "revisions": own["revision"].tolist(),
        "stops": [int(stop) for stop in own.index],
        "steps": [_plain(step) for step in own["step"]],
    }


def _group(group: Group, groups: Sequence[Group]) -> dict[str, Any]:
    """A group of runs, with the one that is drawn in grey behind it: the main arm of its size, else the first."""
    main = next((other for other in groups if other.scale == group.scale and not other.arm), group)
    behind = main if main is not group else groups[0]
    known = behind is not group and not behind.arm
    return {
        "title": group.title,
        "hue": look(group.place).hue,
        "runs": list(group.runs),
        "arm": group.arm,
        "behind": behind.title if known else "",
    }


# ---------------------------------------------------------------- x axes


def _axes(planner: Planner, clocks: pd.DataFrame) -> dict[str, Any]:
    """The clocks as axes: ``title``, ``layout`` in Plotly's words, and ``of`` each run or group the place by stop."""
    found = {}
    for name, (title, column) in _CLOCKS.items():
        known = clocks[column].dropna()
        several = known.groupby(level=0).nunique().max() if len(known) else 0
        wanted = name == _BY_CLOCK[planner.clock] or (several > 1 and name not in ("order", "logsteps"))
        if name == "logsteps":
            wanted = planner.clock == "step" and planner.log
        if wanted and len(known):
            found[name] = _axis(title, known, len(planner.stops), log=name.startswith("log"))
    if "order" in found:
        longest = max(planner.groups, key=lambda group: len(clocks.loc[group.runs[0]])).runs[0]
        own = clocks.loc[[longest]].droplevel(0).sort_values("order")[::-1]
        own = own[:: math.ceil(len(own) / _MOST_TICKS)]
        names = [safe(shorten(name, _LONGEST_TICK)) for name in own["revision"]]
        found["order"]["layout"] |= {"tickvals": own["order"].astype(float).tolist(), "ticktext": names}
    return found


def _axis(title: str, known: "pd.Series[float]", n_stops: int, *, log: bool) -> dict[str, Any]:
    first, last = float(known[known > 0].min()) if log else float(known.min()), float(known.max())
    untrained = first / 3  # where 0 stands on a logarithmic axis
    of: dict[str, list[Any]] = {}
    for name, stop, place in known.reset_index().itertuples(index=False, name=None):
        if 0 <= stop < n_stops:
            shown = untrained if log and place <= 0 else place
            of.setdefault(str(name), [None] * n_stops)[int(stop)] = _plain(shown)
    layout: dict[str, Any] = {"title": {"text": safe(title)}, "type": "log" if log else "linear"}
    margin = 0.035 * (last - first or 1.0)
    layout["range"] = [first - margin, last + margin]
    if log:
        ticks = log_ticks(first * 0.97, last * 1.1)
        zero = [untrained] if (known == 0).any() else []
        layout["range"] = [math.log10(untrained / 1.3), math.log10(last * 1.3)]
        layout |= {"tickvals": [*zero, *ticks], "ticktext": [*("0" for _ in zero), *map(brief, ticks)]}
    return {"title": title, "of": of, "layout": layout}


def _default(planner: Planner, axes: Mapping[str, Any]) -> str:
    logarithm = {"samples_seen": "logsamples", "step": "logsteps"}.get(planner.clock, "")
    if planner.log and logarithm in axes:
        return logarithm
    return _BY_CLOCK[planner.clock] if _BY_CLOCK[planner.clock] in axes else next(iter(axes), "order")


def _plain(number: float) -> float | int | None:
    if not math.isfinite(number):
        return None
    return int(number) if float(number).is_integer() else float(f"{number:.6g}")


# ---------------------------------------------------------------- benchmarks


def _views(
    planner: Planner, charts: Mapping[str, Sequence[Panel]]
) -> dict[str, dict[tuple[str, str], list[Panel]]]:
    """By benchmark, or title of a chart of none: the panels of each view, by its section and title."""
    found: dict[str, dict[tuple[str, str], list[Panel]]] = {}
    for name, planned in planner.benchmarks.items():
        found[name] = {("", ""): [panel for panel in planned if panel.form != "map"]}
        layers = [panel for panel in planned if panel.form == "map"]
        found[name] |= {("", "Layer by layer"): layers} if layers else {}
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


def _benchmark(name: str, planner: Planner, views: Mapping[Any, Any], shared: _Shared) -> dict[str, Any]:
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
        "views": _drawn_views(name, views, planner, shared),
    }


def _meaning(term: Any) -> Iterator[str]:
    if term.meaning:
        yield term.meaning
    if term.poles:
        yield f"Below {term.neutral:.4g}: {term.poles[0]}; above: {term.poles[1]}."
    if term.better:
        yield "Higher is better." if term.better == "high" else "Lower is better."


def _drawn_views(
    name: str, views: Mapping[Any, Any], planner: Planner, shared: _Shared
) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{anchor(name)}-{anchor(title) if title else 'explorer'}",
            "key": f"{name}.{title}" if title else name,
            "title": title,
            "section": section,
            "selects": list(_selects(panels)),
            "height": figure(panels[0])["layout"].get("height", 420),
            "panels": [packed(panel, planner, shared) for panel in panels],
        }
        for (section, title), panels in views.items()
        if panels
    ]


def _selects(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    """What the panels of a view differ in: each select offers what those before it leave."""
    for name in dict.fromkeys([*_SELECTS, *(name for panel in panels for name in panel.choices)]):
        options = list(dict.fromkeys(panel.choices.get(name, "") for panel in panels))
        if len(options) > 1:
            ordered = sorted(options, key=_step) if name in RAMPS else options
            yield {"name": name, "label": _SELECTS.get(name, name.capitalize()), "options": ordered}


def _step(words: str) -> tuple[bool, float]:
    known = re.search(r"\d[\d.]*(?:e[-+]?\d+)?", words)
    return not words.startswith("all"), math.inf if "∞" in words else float(known[0]) if known else -math.inf


def packed(panel: Panel, planner: Planner, shared: _Shared) -> Any:
    """A panel as the page takes it."""
    drawn = figure(panel)
    training = panel.form == "lines" and panel.x is planner.x and planner.over_training
    if training:
        for line in drawn["lines"]:
            del line["x"], line["where"]
    whole = {
        **drawn,
        "title": panel.title,
        "place": panel.place,
        "form": panel.form,
        "metric": panel.metric,
        "benchmark": panel.benchmark,
        "choices": dict(panel.choices),
        "alt": panel.alt,
        "training": training,
        "moving": any(line.frame >= 0 for line in panel.lines) or "frames" in drawn,
        "ramp": panel.ramp,
        **_threshold(panel, planner),
    }
    return shared(whole)


def _threshold(panel: Panel, planner: Planner) -> dict[str, Any]:
    """Of curves of accuracy over levels, the level at which each revision has lost half of it."""
    if panel.metric != "accuracy" or not any(line.frame >= 0 for line in panel.lines):
        return {}
    same = {name: panel.choices[name] for name in ("condition", "texts", "probe", "subset", "setup")}
    for other in planner.benchmarks.get(panel.benchmark, ()):
        if other.metric == "threshold" and other.x is planner.x and same.items() <= other.choices.items():
            return {"thresholds": figure(other)["lines"]}
    return {}
