"""Charts as plain data: which numbers share a figure and a panel, planned by the columns in which they differ."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from hf_clipdyn.report.words import json_object, json_words
from hf_clipdyn.statistics.trajectories import DETAILS, Trajectory, bare

__all__ = [
    "Chart",
    "Encoding",
    "Line",
    "Panel",
    "main_panel",
    "plan_charts",
    "plan_overview",
    "reference_lines",
]

_MOST_LINES = 8
_MOST_NAMED = 3  # lines that the name of a reference can list
_MOST_REFERENCES = 4  # lines of references whose names fit beside a panel
_LONGEST_NAME = 120  # letters of a file's name
_RAMPS = (
    "level",
    "layer",
    "parameter",
)  # columns of numbers: lines that differ in one take a ramp of colours
_BENCHMARK = ["kind", "dataset"]
_CELL = [*_BENCHMARK, "split", "preprocess", "settings", "precision", "edition"]
_PARTS = ("layer", "subset", "condition")
_NUMBER = ["metric", "variant", "levelled", *(f"by_{part}" for part in _PARTS)]


@dataclass(frozen=True)
class Line:
    """A trajectory with its name in the legend and its place in the palette.

    Attributes:
        members: of a mean over seeds, the trajectories that it is the mean of; they are drawn thin.
    """

    label: str
    trajectory: Trajectory
    colour: int = 0
    members: tuple[Trajectory, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes: the lines to compare, and the references that give them a scale.

    Attributes:
        over_levels: each line is a curve over the levels of a condition; else it runs over training.
        ramp: the lines are steps of one quantity and take a ramp of colours.
    """

    title: str
    lines: tuple[Line, ...]
    references: tuple[Line, ...] = ()
    over_levels: bool = False
    ramp: bool = False


@dataclass(frozen=True)
class Encoding:
    """Which columns of the table a chart shows as what.

    Attributes:
        x: ``training`` (epochs, steps or samples); ``revisions`` for curves over the levels of a condition, one for
            each of some revisions; if each run has one revision, ``value`` for horizontal bars, or ``level`` for such
            a curve.
        colour: columns that distinguish the lines of a panel.
        panel: columns that distinguish the panels.
        ramp: the lines are steps of one quantity (a level, a layer) and take a ramp of colours.
    """

    x: Literal["training", "revisions", "value", "level"]
    colour: tuple[str, ...]
    panel: tuple[str, ...]
    ramp: bool = False

    @property
    def over_training(self) -> bool:
        """Whether revisions of a run are compared."""
        return self.x in ("training", "revisions")


@dataclass(frozen=True)
class Chart:
    """One figure.

    Attributes:
        name: file name without its suffix; unique in a report.
    """

    name: str
    title: str
    encoding: Encoding
    panels: tuple[Panel, ...]

    @property
    def trajectories(self) -> list[Trajectory]:
        """All trajectories drawn as lines, references left out."""
        return [line.trajectory for panel in self.panels for line in panel.lines]

    @property
    def first(self) -> Trajectory:
        """One of the trajectories: all share kind, data set and settings, and in a chart of lines the metric."""
        return self.panels[0].lines[0].trajectory


def plan_charts(trajectories: Sequence[Trajectory], runs: Sequence[str]) -> list[Chart]:
    """A chart for each benchmark and metric, in the order of the vocabulary.

    Never in one chart: two preprocessings, settings or variants, two states of the data or two precisions of one run,
    and two conditions with levels. All layers of a metric share a chart, and all parts of its data (sub-sets,
    distortions). Several runs: a panel for each variant, the runs overlaid. One run: its variants overlaid if they and
    their references are few, or if they are ordered, else a panel each. If a reference has another value at each level,
    as people have, the levels are the axis. If each run has one revision, a benchmark has one chart of bars and one of
    curves over the levels, each with a panel for each metric.
    """
    values = _values(trajectories)
    bars = all(len(one.points) == 1 for one in values["one"])
    charts, names = [], Counter[str]()
    for group in _split(values, [*_CELL, "is_curve"] if bars else [*_CELL, *_NUMBER]):
        first, encoding = group["one"].iloc[0], _encoding(group, bars=bars)
        if bars:
            title, parts = first.benchmark_title, [first.kind, first.dataset]
            details = ["by level"] if encoding.x == "level" else []
        else:
            title, parts = first.metric_title, [first.kind, first.dataset, first.metric, first.variant]
            details = _number_words(group)
        details += _cell_words(group, values)
        if encoding.ramp and encoding.colour:
            column, levels = encoding.colour[0], first.level_axis
            descending = column == "level" and levels is not None and levels.descending
            group = group.sort_values(column, kind="stable", ascending=not descending)
        panels = _split(group, _NUMBER if bars else encoding.panel)
        name = re.sub(r"[^a-z0-9.]+", "-", " ".join([*parts, *details]).lower())
        name = name[:_LONGEST_NAME].strip("-.") or "chart"
        names[name] += 1
        charts.append(
            Chart(
                name if names[name] == 1 else f"{name}-{names[name]}",
                ", ".join([title, *details]),
                encoding,
                tuple(_panel(panel, encoding, runs) for panel in panels),
            )
        )
    return charts


def plan_overview(charts: Sequence[Chart], runs: Sequence[str]) -> list[list[Panel]]:
    """The study at a glance: one panel for each rank of the overview that the charts answer, first on real images.

    A metric that was measured on several data sets, layers or conditions is shown on one of them: the first data set,
    all items, no layer, the level and the condition that its term names. Without any answer on synthetic, or on real
    images, there is one list of panels only.
    """
    values = _values([one for chart in charts for one in chart.trajectories])
    ranks = [one.term.overview.rank if one.term.overview else np.nan for one in values["one"]]
    offered = values.assign(rank=np.array(ranks, float)).dropna(subset="rank")
    offered = offered.sort_values(["synthetic", "rank", "kind_order", "metric_order"])
    return [
        [main_panel(of_rank["one"].tolist(), runs) for of_rank in _split(world, ["rank"])]
        for world in _split(offered, ["synthetic"])
    ]


def main_panel(offered: Sequence[Trajectory], runs: Sequence[str]) -> Panel:
    """All runs on the most telling number of one question: its first metric, the probe, layer, condition and level.

    Args:
        offered: trajectories of values, in the order of preference.
        runs: names, in the order of the palette.
    """
    first = next((one for one in offered if one.points["defined"].any()), offered[0])
    question = (first.benchmark, first.metric, first.variant)
    alike = [one for one in offered if (one.benchmark, one.metric, one.variant) == question]
    best = min(alike, key=_remoteness)
    same = [one for one in alike if (one.texts, *one.number_key) == (best.texts, *best.number_key)]
    drawn = {one.run: one for one in reversed(same)}
    return Panel(
        f"{best.metric_title}\n{', '.join(filter(None, [best.dataset_title, best.special_detail]))}",
        tuple(Line(run, drawn[run], index) for index, run in enumerate(runs) if run in drawn),
        reference_lines(list(drawn.values())),
    )


def _remoteness(one: Trajectory) -> tuple[bool, bool, bool, float, bool]:
    """How far a number is from the one that its term puts into the overview."""
    place = one.term.overview
    condition, level = (place.condition, place.level) if place else ("", None)
    return (
        one.texts != "own",
        one.condition != condition if condition else one.condition not in ("", "none"),
        bool(one.subset),
        0.0 if level is None or one.level is None else abs(one.level - level),
        one.layer is not None,
    )


def _values(trajectories: Sequence[Trajectory]) -> pd.DataFrame:
    """A row for each value that is drawn, in the order of the vocabulary, the trajectory as ``one``.

    The columns of `_CELL` and `_NUMBER` are what must not share a chart.
    """
    values = [one for one in trajectories if one.is_value]
    columns = ("run", *_BENCHMARK, "split", "data_fingerprint", "preprocess", "settings", "dtype")
    columns += ("metric", "variant", *DETAILS)
    table = pd.DataFrame({name: [getattr(one, name) for one in values] for name in columns})
    table["layer"] = table["layer"].astype("Int64")
    table["one"] = pd.Series(values, dtype=object)
    table["kind_rank"] = [one.terms.rank for one in values]
    table["kind_order"] = pd.factorize(table["kind"])[0]
    # Gratings are drawn as the images of a synthetic world are: neither belongs beside photographs.
    table["synthetic"] = [one.dataset_terms.synthetic or bool(one.terms.draws) for one in values]
    table["dataset_order"] = pd.factorize(table["dataset"])[0]
    table["metric_order"] = [[*one.terms.terms, one.metric].index(one.metric) for one in values]
    # The fingerprint contains the pixels at the model's resolution, so that two scales may differ in it and still
    # belong in one chart. Two fingerprints within one run do not.
    of_texts = table.groupby(["run", *_BENCHMARK, "texts"])["data_fingerprint"]
    table["edition"] = of_texts.transform(lambda known: pd.factorize(known)[0])
    table["n_dtypes"] = table.groupby(["run", *_BENCHMARK])["dtype"].transform("nunique")
    several = table.groupby(_BENCHMARK)["n_dtypes"].transform("max") > 1
    table["precision"] = table["dtype"].where(several, "")
    place = ["run", *_BENCHMARK, "metric", "variant", "subset", "condition", "probe"]
    n_layers = table.assign(layer=table["layer"].fillna(-1)).groupby(place)["layer"].transform("nunique")
    table["by_layer"] = table["layer"].notna() & (n_layers > 1)
    table["by_subset"] = table["subset"] != ""
    table["by_condition"] = ~table["condition"].isin(["", "none"]) & table["level"].isna()
    is_level = np.array([one.term.is_level for one in values], bool)
    table["levelled"] = table["condition"].where(table["level"].notna() | is_level, "")
    curve = {"run", *_CELL, *_NUMBER, *DETAILS} - {"level"}
    n_levels = table.groupby(sorted(curve), dropna=False)["level"].transform("nunique")
    table["is_curve"] = n_levels > 1
    table = table[np.array([not one.term.mirrors for one in values], bool)]
    return table.sort_values(["kind_rank", "kind_order", "synthetic", "dataset_order", "metric_order"])


def _split(table: pd.DataFrame, columns: Sequence[str]) -> list[pd.DataFrame]:
    """The rows that are equal in the columns, in the order of the table."""
    if not columns:
        return [table]
    return [group for _, group in table.groupby(list(columns), sort=False, dropna=False)]


def _varying(group: pd.DataFrame) -> tuple[str, ...]:
    """The columns in which trajectories differ, beside their run."""
    return tuple(name for name in DETAILS if group[name].nunique(dropna=False) > 1)


def _cell_words(group: pd.DataFrame, values: pd.DataFrame) -> list[str]:
    """What distinguishes the cells of a chart from others of the benchmark."""
    one = group.iloc[0]
    others = values[(values["kind"] == one["kind"]) & (values["dataset"] == one["dataset"])]
    found = [one[name] for name in ("split", "preprocess") if others[name].nunique() > 1]
    if others["settings"].nunique() > 1:
        held = [json_object(text) or {} for text in others["settings"].unique()]
        first = held[0]
        shared = [name for name in first if all(other.get(name) == first[name] for other in held)]
        found.append(bare(json_words(one["settings"], shared)))
    return [part for part in (*found, one["precision"]) if part]


def _number_words(group: pd.DataFrame) -> list[str]:
    """What a title adds to the metric: the condition of the levels, and the parts of the data that are compared."""
    first = group.iloc[0]
    found = [first["one"].detail(["condition"])] if first["levelled"] else []
    for part in _PARTS:
        if first[f"by_{part}"]:
            single = group[part].nunique(dropna=False) == 1
            found.append(first["one"].detail([part]) if single else f"by {part}")
    return list(dict.fromkeys(found))


def _encoding(group: pd.DataFrame, *, bars: bool) -> Encoding:
    """How one chart is drawn: over training, or single revisions as bars or curves."""
    varying, several = _varying(group), group["run"].nunique() > 1
    if bars:
        if not group["is_curve"].iloc[0]:
            return Encoding("value", ("run",), ("metric", "variant"))
        colour = (*(["run"] if several else []), *(name for name in varying if name != "level"))
        return Encoding("level", colour, ("metric", "variant"))
    if group["is_curve"].iloc[0] and any(_has_levels(one) for one in group["one"]):
        rest = tuple(name for name in varying if name != "level")
        return Encoding("revisions", ("run",) if several else (), rest, ramp=not several)
    if several:
        return Encoding("training", ("run",), varying)
    ramp = next((name for name in _RAMPS if name in varying and group[name].notna().all()), None)
    if ramp is not None:
        return Encoding("training", (ramp,), tuple(name for name in varying if name != ramp), ramp=True)
    members = group["one"].tolist()
    few = len({one.detail(varying) for one in members}) <= _MOST_LINES
    if few and len(reference_lines(members)) <= _MOST_REFERENCES:
        return Encoding("training", varying, ())
    return Encoding("training", (), varying)


def _has_levels(one: Trajectory) -> bool:
    """Whether a reference of it has another value at each level."""
    return any("level" in other.reference_terms.joins and other.level is not None for other in one.references)


def _panel(group: pd.DataFrame, encoding: Encoding, runs: Sequence[str]) -> Panel:
    members = group["one"].tolist()
    colours = [runs.index(one.run) for one in members]
    title = members[0].detail(encoding.panel)
    if not encoding.over_training:
        title = ", ".join([members[0].metric_title, *_number_words(group)])
        varying = _varying(group)
        labels = [one.detail(varying) or one.run for one in members]
    elif encoding.colour in ((), ("run",)):
        several = group["dtype"].nunique() > 1
        labels = [f"{one.run}, {one.dtype}" if several else one.run for one in members]
    else:
        labels = [one.detail(encoding.colour) for one in members]
        colours = list(range(len(members)))
    lines = tuple(map(Line, labels, members, colours))
    return Panel(title, lines, reference_lines(members), ramp=encoding.ramp)


def reference_lines(members: Sequence[Trajectory]) -> tuple[Line, ...]:
    """The references of a panel, constants once; one that scales only some of the lines names these."""
    found: dict[tuple[object, ...], tuple[Trajectory, list[Trajectory]]] = {}
    for one in members:
        for other in one.references:
            usable = other.usable["value"]
            alike = round(usable.iloc[0], 9) if other.is_constant and len(usable) else other
            # A curve may have the same height at two levels.
            place = (other.level, other.parameter) if "level" in other.reference_terms.joins else ()
            found.setdefault((other.reference_terms.title, alike, place), (other, []))[1].append(one)
    varying = {name for name in DETAILS if len({getattr(one, name) for one in members}) > 1}
    lines = []
    for other, scaled in found.values():
        joined = varying.intersection(("texts", *other.reference_terms.joins))
        names = list(dict.fromkeys(one.detail(joined) for one in scaled))
        if len(names) == len({one.detail(joined) for one in members}):
            which = ""
        else:
            which = f"{len(names)} of the lines" if len(names) > _MOST_NAMED else " and ".join(names)
        lines.append(Line(", ".join(filter(None, [other.reference_terms.title, which])), other))
    return tuple(lines)
