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

import pandas as pd

from hf_clipdyn.report.panel import Panel
from hf_clipdyn.report.planning import Planner
from hf_clipdyn.report.plotly import COLOURS, figure
from hf_clipdyn.report.style import HUES, look

_SHORT = 10  # letters of a text that is not worth a place of its own
_NUMBERS = (int, float, type(None), bool)
_AXES = {
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
_FIRST = ("zero_shot", "classification", "shape_bias", "noise", "similarity", "saliency", "quality")
"""Kinds at the beginning of the first screen."""
_LOSS = ("training/log", "loss")
_STIMULI = "stimuli"


def payload(
    planner: Planner, seeds: Mapping[str, float | None], charts: Mapping[str, Sequence[Panel]]
) -> dict[str, Any]:
    """Everything that the page draws: ``meta``, ``runs``, ``groups``, ``benchmarks``, ``overview``, ``charts``.

    What many charts share stands in ``values`` and ``names``, see `_Shared`.

    Args:
        planner: of the table.
        seeds: of each run, in the order of the table; NaN or None for none.
        charts: by title, panels beside those of the planner; those of a benchmark are views of it.

    Returns:
        Built-in types only, without NaN, ready for `json.dumps`.
    """
    shared = _Shared()
    names = list(planner.benchmarks)
    axes = _axes(planner)
    clocks = planner.clocks
    benchmarks = [_benchmark(name, panels, planner, shared) for name, panels in planner.benchmarks.items()]
    sections = []
    for title, panels in charts.items():
        alone = []
        for panel in panels:
            section = _STIMULI if panel.form == "map" and panel.y.names and panel.x.title == "answer" else ""
            drawn = packed(panel, planner, shared, view=_view(title, panel), section=section)
            if panel.benchmark in names:
                benchmarks[names.index(panel.benchmark)]["panels"].append(drawn)
            else:
                alone.append(drawn)
        if alone:
            sections.append({"name": anchor(title), "title": title, "panels": alone})
    return {
        "meta": {
            "overTraining": planner.over_training,
            "stops": [
                {"at": place, "label": f"{_STOPS[planner.clock]} {place:,.6g}"}
                for place in planner.stops.tolist()
            ],
            "axes": axes,
            "axis": _default(planner, axes),
            "colours": COLOURS,
        },
        "runs": [_run(name, seed, planner, clocks) for name, seed in seeds.items()],
        "groups": [_group(group, planner.groups) for group in planner.groups],
        "benchmarks": benchmarks,
        "charts": sections,
        "overview": [
            {"benchmark": names.index(name), "panel": packed(panel, planner, shared)}
            for name, panel in _story(planner)
        ],
        "values": shared.values,
        "names": shared.names,
    }


def anchor(benchmark: str) -> str:
    """The id of a benchmark's section."""
    return re.sub(r"[^a-z0-9]+", "-", benchmark.lower()).strip("-") or "benchmark"


def _story(planner: Planner) -> list[tuple[str, Panel]]:
    """The first screen, in the order of a training: did it learn, what decides, what disturbs, what people see."""

    def rank(place: tuple[str, int]) -> tuple[bool, int]:
        kind = place[0].split("/")[0]
        known = [at for at, name in enumerate(_FIRST) if name == kind]
        return planner.words.kind(kind).proxy, known[0] if known else len(_FIRST)

    story: list[tuple[str, Panel]] = []
    for name, at in sorted(planner.overview, key=rank):
        panel = planner.benchmarks[name][at]
        untouched = planner.words.kind(name.split("/")[0]).conditions.get("none")
        clean = untouched.title if untouched else "untouched images"
        story.append((name, (_clean_and_disturbed(planner.benchmarks[name], panel, clean) or panel)))
        if name.startswith("zero_shot/"):
            story += list(_losses(planner))[: len(story) == 1]
    return story


def _losses(planner: Planner) -> Iterator[tuple[str, Panel]]:
    for panel in planner.benchmarks.get(_LOSS[0], ()):
        if panel.metric == _LOSS[1] and panel.defined and panel.form == "lines":
            yield _LOSS[0], panel


def _clean_and_disturbed(panels: Sequence[Panel], shown: Panel, untouched: str) -> Panel | None:
    """Accuracy without and with a disturbance in one panel; None where the metric does not measure lost accuracy."""
    wanted = {name: shown.choices.get(name) for name in ("over", "condition", "level", "texts")}
    accuracies = [panel for panel in panels if panel.metric == "accuracy" and panel.form == shown.form]
    alike = [panel for panel in accuracies if {name: panel.choices.get(name) for name in wanted} == wanted]
    clean = [
        panel
        for panel in accuracies
        if panel.choices.get("condition") == untouched and panel.choices.get("over") == wanted["over"]
    ]
    if shown.metric == "accuracy" or not alike or not clean or shown.form != "lines":
        return None
    way = f"{wanted['condition']}, {wanted['level']}"
    several = len(alike[0].values) > 1
    lines = [
        replace(line, label=f"{line.label}, {label}" if several else label, place=line.place + place)
        for panel, label, place in ((clean[0], "clean", 0), (alike[0], "disturbed", len(HUES)))
        for line in panel.values
    ]
    return replace(
        alike[0], title=f"accuracy, clean and with {way}", lines=tuple(lines), levels=alike[0].levels
    )


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
            packed = [one if one.__class__ in _NUMBERS else self(one) for one in given]
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


def _run(name: str, seed: Any, planner: Planner, clocks: pd.DataFrame) -> dict[str, Any]:
    own = clocks.loc[[name]].droplevel(0).sort_values("order")
    group = next(group for group in planner.groups if name in group.runs)
    return {
        "name": name,
        "group": group.title,
        "seed": None if pd.isna(seed) else int(seed),
        "revisions": own["revision"].tolist(),
        "stops": [int(stop) for stop in own.index],
    }


def _group(group: Any, groups: Sequence[Any]) -> dict[str, Any]:
    """A group of runs, with the one that is drawn in grey behind it: the main arm of its size, else the first."""
    main = next((other for other in groups if other.scale == group.scale and not other.arm), group)
    behind = main if main is not group else groups[0]
    known = behind is not group and not behind.arm
    return {
        "title": group.title,
        "colour": f"@hue {look(group.place).hue}",
        "runs": list(group.runs),
        "arm": group.arm,
        "behind": behind.title if known else "",
    }


# ---------------------------------------------------------------- x axes


def _axes(planner: Planner) -> dict[str, Any]:
    clocks = planner.clocks
    found = {}
    for name, (title, column) in _AXES.items():
        known = clocks[column].dropna()
        several = known.groupby(level=0).nunique().max() if len(known) else 0
        is_log = name.startswith("log")
        wanted = name == _BY_CLOCK[planner.clock] or (several > 1 and name != "order" and name != "logsteps")
        if name == "logsteps":
            wanted = planner.clock == "step" and planner.log
        if wanted and len(known):
            found[name] = _axis(title, known, len(planner.stops), log=is_log)
    if "order" in found:
        longest = max(planner.groups, key=lambda group: len(clocks.loc[group.runs[0]])).runs[0]
        own = clocks.loc[[longest]].droplevel(0).sort_values("order")
        every = math.ceil(len(own) / _MOST_TICKS)
        ticks = [[float(at), name] for at, name in zip(own["order"], own["revision"], strict=True)]
        found["order"]["ticks"] = ticks[::-1][::every]
    for name, at in planner.overview:
        panel = planner.benchmarks[name][at]
        found[f"{name}.{panel.metric}"] = _metric_axis(panel, len(planner.stops))
    return found


def _axis(title: str, known: "pd.Series[float]", n_stops: int, *, log: bool) -> dict[str, Any]:
    of: dict[str, list[Any]] = {}
    places = known.reset_index()
    for name, stop, place in zip(places["name"], places["stop"], known, strict=True):
        if 0 <= stop < n_stops:
            of.setdefault(str(name), [None] * n_stops)[int(stop)] = _plain(place)
    axis: dict[str, Any] = {"title": title, "log": log, "of": of}
    if not log:
        low, high = float(known.min()), float(known.max())
        margin = 0.035 * (high - low or 1.0)
        return axis | {"range": [low - margin, high + margin]}
    first, last = float(known[known > 0].min()), float(known.max())
    untrained = first / 3
    powers = [10.0**at for at in range(math.floor(math.log10(first)), math.floor(math.log10(last)) + 1)]
    steps = (1,) if len(powers) > 3 else (1, 2, 5)
    ticks = [step * power for power in powers for step in steps]
    named = [[tick, _short(tick)] for tick in ticks if first * 0.97 <= tick <= last * 1.1]
    zero = [[untrained, "0"]] if (known == 0).any() else []
    ends = [math.log10(untrained / 1.3), math.log10(last * 1.3)]
    return axis | {"untrained": untrained, "range": ends, "ticks": [*zero, *named]}


def _metric_axis(panel: Panel, n_stops: int) -> dict[str, Any]:
    """A main metric as an axis, with the ends of its intervals."""
    of: dict[str, list[Any]] = {}
    ends: dict[str, list[Any]] = {}
    lines = [(part.run or part.group, part) for line in panel.values for part in (line, *line.seeds)]
    for name, line in lines:
        for i, stop in enumerate(line.at.tolist()):
            if stop >= 0 and line.usable[i]:
                of.setdefault(name, [None] * n_stops)[stop] = _plain(line.y[i])
                ends.setdefault(name, [None] * n_stops)[stop] = [_plain(line.low[i]), _plain(line.high[i])]
    for row in panel.rows:
        of[row.label], ends[row.label] = [_plain(row.value)], [[_plain(row.low), _plain(row.high)]]
    known = [place for places in of.values() for place in places if place is not None] or [0.0, 1.0]
    margin = 0.05 * (max(known) - min(known) or 1.0)
    reach = [min(known) - margin, max(known) + margin]
    title = f"{panel.title}, {panel.place}"
    return {"title": title, "log": False, "metric": True, "range": reach, "of": of, "ends": ends}


def _default(planner: Planner, axes: Mapping[str, Any]) -> str:
    logarithm = {"samples_seen": "logsamples", "step": "logsteps"}.get(planner.clock, "")
    if planner.log and logarithm in axes:
        return logarithm
    return _BY_CLOCK[planner.clock] if _BY_CLOCK[planner.clock] in axes else next(iter(axes), "order")


def _short(number: float) -> str:
    """1,500,000 as 1.5M."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def _plain(number: float) -> float | int | None:
    if not math.isfinite(number):
        return None
    return int(number) if float(number).is_integer() else float(f"{number:.6g}")


# ---------------------------------------------------------------- benchmarks


def _benchmark(name: str, panels: Sequence[Panel], planner: Planner, shared: _Shared) -> dict[str, Any]:
    kind, dataset = name.split("/", 1)
    terms, data = planner.words.kind(kind), planner.words.dataset(dataset)
    said = ["Synthetic images."] if data.synthetic else []
    said += ["Proxy: no human judged these images."] if terms.proxy else []
    metrics = dict.fromkeys(panel.metric for panel in panels)
    return {
        "name": name,
        "anchor": anchor(name),
        "title": f"{terms.title}: {data.title}",
        "question": terms.question,
        "of": f"{terms.of or terms.title}: {data.title}",
        "words": {metric: [*_meaning(planner.words.term(kind, metric)), *said] for metric in metrics},
        "panels": [packed(panel, planner, shared) for panel in panels],
    }


def _meaning(term: Any) -> Iterator[str]:
    if term.meaning:
        yield term.meaning
    if term.poles:
        yield f"Below {term.neutral:.4g}: {term.poles[0]}; above: {term.poles[1]}."
    if term.better:
        yield "Higher is better." if term.better == "high" else "Lower is better."


def _view(title: str, panel: Panel) -> str:
    """The heading of a chart's panels in a benchmark: panels of two forms have one each."""
    return {"map": title, "rows": f"{title}: class by class"}.get(panel.form, title) if title else title


def packed(
    panel: Panel, planner: Planner, shared: _Shared, *, view: str | None = None, section: str = ""
) -> Any:
    """A panel as the page takes it, under the heading ``view`` of its benchmark or in another section."""
    drawn = figure(panel)
    training = panel.form == "lines" and panel.x is planner.x and planner.over_training
    if training:
        for trace in drawn["data"]:
            del trace["x"], trace["text"]
    moving = any(line.frame >= 0 for line in panel.lines) or "frames" in drawn
    if view is None:
        view = "Layer by layer" if panel.form == "map" else ""
    whole = {
        **drawn,
        "title": panel.title,
        "place": panel.place,
        "form": panel.form,
        "metric": panel.metric,
        "choices": dict(panel.choices),
        "alt": panel.alt,
        "view": view,
        "section": section,
        "training": training,
        "moving": moving,
        "ramp": panel.ramp,
        "notes": [],
    }
    return shared(whole)
