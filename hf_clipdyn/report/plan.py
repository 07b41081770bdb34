"""What a chart shows, before anybody draws: which numbers share a panel, planned by the columns in which they differ.

    trajectories -> charts (panels of one metric) -> overview, main panels of a benchmark, curves over levels, seeds

Figures, the page's images, tables and sentences all take these panels.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.statistics.trajectories import DETAILS, Trajectory, bare, points_of

N_HUES = 4
"""Hues of the palette; what everybody can distinguish."""
_MOST_LINES = 8
_MOST_NAMED = 3  # lines that the name of a reference can list
_MOST_REFERENCES = 4  # lines of references whose names fit beside a panel
RAMPS = ("level", "layer", "parameter")
"""Columns of numbers: lines that differ in one take a ramp of colours."""
_REVISIONS = 5  # of one run, as curves over a level
_MOST_CURVES = 2  # panels of curves in the figure of a benchmark
_BENCHMARK = ["kind", "dataset"]
_CELL = [*_BENCHMARK, "split", "preprocess", "settings", "precision", "edition"]
_PARTS = ("layer", "subset", "condition")
_NUMBER = ["metric", "variant", "reference", "levelled", *(f"by_{part}" for part in _PARTS)]


@dataclass(frozen=True)
class Line:
    """A trajectory with its name and its place in the palette.

    Attributes:
        colour: place in the palette, see `style.look`; negative for a line behind the others, in grey.
        members: of a mean over seeds, the trajectories that it is the mean of; they are drawn thin.
    """

    label: str
    trajectory: Trajectory
    colour: int = 0
    members: tuple[Trajectory, ...] = ()


@dataclass(frozen=True)
class Level:
    """A horizontal line that gives a panel its scale: chance, pixels, people, the untrained model."""

    title: str
    height: float
    role: str


@dataclass(frozen=True)
class Span:
    """Where a registered window lies on the axis, for runs of one length.

    Attributes:
        scale: of the runs; empty if all runs of the panel are of one length.
    """

    window: str
    start: float
    end: float
    scale: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes: the lines to compare, and what gives them a scale.

    Attributes:
        references: trajectories beside the lines.
        levels: horizontal lines.
        x: ``training`` (epochs, steps or samples); ``revisions`` for curves over the levels of a condition, one for
            each of some revisions; if each run has one revision, ``value`` for horizontal bars, or ``level`` for such
            a curve.
        colour: columns of the table that distinguish the lines.
        ramp: the lines are steps of one quantity (a level, a layer) and take a ramp of colours.
        over_levels: each line is a curve over the levels of a condition already (`level_panels`).
        spans: of registered windows.
    """

    title: str
    lines: tuple[Line, ...]
    references: tuple[Line, ...] = ()
    levels: tuple[Level, ...] = ()
    x: Literal["training", "revisions", "value", "level"] = "training"
    colour: tuple[str, ...] = ("run",)
    ramp: bool = False
    over_levels: bool = False
    spans: tuple[Span, ...] = ()

    @property
    def first(self) -> Trajectory:
        """One of the trajectories: all share kind, data set and settings."""
        return self.lines[0].trajectory


_LINES = Panel("", ())


def plan_charts(trajectories: Sequence[Trajectory], runs: Sequence[str]) -> list[list[Panel]]:
    """The panels of each benchmark and metric, in the order of the vocabulary.

    Never in one chart: two preprocessings, settings or variants, two states of the data or two precisions of one run,
    and two conditions with levels. All layers of a metric share a chart, and all parts of its data (subsets,
    distortions). Several runs: a panel for each variant, the runs overlaid. One run: its variants overlaid if they and
    their references are few, or if they are ordered, else a panel each. If a reference has another value at each level,
    as people have, the levels are the axis. If each run has one revision, a benchmark has one chart of bars and one of
    curves over the levels, each with a panel for each metric.
    """
    values = _values(trajectories)
    bars = all(len(trajectory.column("order")) == 1 for trajectory in values["trajectory"])
    charts = []
    for group in _split(values, [*_CELL, "is_curve"] if bars else [*_CELL, *_NUMBER]):
        form, columns = _encoding(group, bars=bars)
        if form.ramp and form.colour:
            (column,) = form.colour
            levels = group["trajectory"].iloc[0].level_axis
            descending = column == "level" and levels is not None and levels.descending
            group = group.sort_values(column, kind="stable", ascending=not descending)
        charts.append([_filled(form, panel, runs) for panel in _split(group, columns)])
    return charts


def plan_overview(charts: Sequence[Sequence[Panel]], runs: Sequence[str]) -> list[list[Panel]]:
    """The study at a glance: one panel for each rank of the overview that the charts answer, first on real images.

    A metric that was measured on several data sets, layers or conditions is shown on one of them: the first data set,
    all items, no layer, the level and the condition that its term names. Without any answer on synthetic, or on real
    images, there is one list of panels only.
    """
    values = _values([line.trajectory for panels in charts for panel in panels for line in panel.lines])
    overviews = [trajectory.term.overview for trajectory in values["trajectory"]]
    ranks = np.array([place.rank if place else np.nan for place in overviews], float)
    offered = values.assign(rank=ranks).dropna(subset="rank")
    offered = offered.sort_values(["synthetic", "rank", "kind_order", "metric_order"])
    return [
        [main_panel(of_rank["trajectory"].tolist(), runs) for of_rank in _split(world, ["rank"])]
        for world in _split(offered, ["synthetic"])
    ]


def main_panel(offered: Sequence[Trajectory], runs: Sequence[str]) -> Panel:
    """All runs on the most telling number of one question: its first metric, the probe, layer, condition and level.

    ``offered`` are trajectories of values in the order of preference; ``runs`` is in the order of the palette.
    """
    best = main_number(offered)
    same = [
        number
        for number in offered
        if (number.benchmark, number.texts, *number.number_key)
        == (best.benchmark, best.texts, *best.number_key)
    ]
    drawn = {number.run: number for number in reversed(same)}
    title = f"{best.metric_title}\n{', '.join(filter(None, [best.dataset_title, best.special_detail]))}"
    return _panel(
        title, [Line(run, drawn[run], at) for at, run in enumerate(runs) if run in drawn], drawn.values()
    )


def main_number(offered: Sequence[Trajectory]) -> Trajectory:
    """The number that stands for a question: of its first metric and variant that has a value, the nearest one."""
    first = next((number for number in offered if number.column("defined").any()), offered[0])
    question = (first.benchmark, *_question(first)[:2])
    alike = [number for number in offered if (number.benchmark, *_question(number)[:2]) == question]
    return min(alike, key=_remoteness)


def _remoteness(number: Trajectory) -> tuple[bool, bool, bool, float, bool]:
    """How far a number is from the one that its term puts into the overview."""
    place = number.term.overview
    condition, level = (place.condition, place.level) if place else ("", None)
    return (
        number.texts != "own",
        number.condition != condition if condition else number.condition not in ("", "none"),
        bool(number.subset),
        0.0 if level is None or number.level is None else abs(number.level - level),
        number.layer is not None,
    )


def _values(trajectories: Sequence[Trajectory]) -> pd.DataFrame:
    """A row for each value that is drawn, in the order of the vocabulary, with its ``trajectory``.

    The columns of `_CELL` and `_NUMBER` are what must not share a chart.
    """
    values = [trajectory for trajectory in trajectories if trajectory.is_value]
    columns = ("run", *_BENCHMARK, "split", "data_fingerprint", "preprocess", "settings", "dtype")
    columns += ("metric", "variant", "reference", *DETAILS)
    table = pd.DataFrame({name: [getattr(value, name) for value in values] for name in columns})
    table["layer"] = table["layer"].astype("Int64")
    table["trajectory"] = pd.Series(values, dtype=object)
    table["kind_rank"] = [value.terms.rank for value in values]
    table["kind_order"] = pd.factorize(table["kind"])[0]
    # Gratings are drawn as the images of the embedded world are: neither belongs beside photographs.
    table["synthetic"] = [value.dataset_terms.synthetic or bool(value.terms.draws) for value in values]
    table["dataset_order"] = pd.factorize(table["dataset"])[0]
    table["metric_order"] = [[*value.terms.terms, value.metric].index(value.metric) for value in values]
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
    is_level = np.array([value.term.is_level for value in values], bool)
    table["levelled"] = table["condition"].where(table["level"].notna() | is_level, "")
    curve = {"run", *_CELL, *_NUMBER, *DETAILS} - {"level"}
    table["is_curve"] = table.groupby(sorted(curve), dropna=False)["level"].transform("nunique") > 1
    table = table[np.array([not value.term.mirrors for value in values], bool)]
    return table.sort_values(["kind_rank", "kind_order", "synthetic", "dataset_order", "metric_order"])


def _split(table: pd.DataFrame, columns: Sequence[str]) -> list[pd.DataFrame]:
    """The rows that are equal in the columns, in the order of the table."""
    if not columns:
        return [table]
    return [group for _, group in table.groupby(list(columns), sort=False, dropna=False)]


def _encoding(group: pd.DataFrame, *, bars: bool) -> tuple[Panel, Sequence[str]]:
    """How one chart is drawn, as a panel without lines, and the columns that distinguish its panels."""
    several = group["run"].nunique() > 1
    varying = tuple(name for name in DETAILS if group[name].nunique(dropna=False) > 1)
    beside_level = tuple(name for name in varying if name != "level")
    if bars:
        if not group["is_curve"].iloc[0]:
            return Panel("", (), x="value"), _NUMBER
        return Panel("", (), x="level", colour=(*(["run"] if several else []), *beside_level)), _NUMBER
    members = group["trajectory"].tolist()
    if group["is_curve"].iloc[0] and any(map(_has_levels, members)):
        return Panel(
            "", (), x="revisions", colour=("run",) if several else (), ramp=not several
        ), beside_level
    if several:
        return _LINES, varying
    ramp = next((name for name in RAMPS if name in varying and group[name].notna().all()), None)
    if ramp is not None:
        return Panel("", (), colour=(ramp,), ramp=True), tuple(name for name in varying if name != ramp)
    few = len({member.detail(varying) for member in members}) <= _MOST_LINES
    if few and len(reference_lines(members)) <= _MOST_REFERENCES:
        return Panel("", (), colour=varying), ()
    return Panel("", (), colour=()), varying


def _has_levels(number: Trajectory) -> bool:
    """Whether a reference of it has another value at each level."""
    return any(
        "level" in other.reference_terms.joins and other.level is not None for other in number.references
    )


def _filled(form: Panel, group: pd.DataFrame, runs: Sequence[str]) -> Panel:
    """A panel of a chart with its lines."""
    members = group["trajectory"].tolist()
    colours = [runs.index(member.run) for member in members]
    if form.x in ("value", "level"):
        varying = [name for name in DETAILS if group[name].nunique(dropna=False) > 1]
        labels = [member.detail(varying) or member.run for member in members]
    elif form.colour in ((), ("run",)):
        several = group["dtype"].nunique() > 1
        labels = [f"{member.run}, {member.dtype}" if several else member.run for member in members]
    else:
        labels, colours = [member.detail(form.colour) for member in members], list(range(len(members)))
    return _panel("", list(map(Line, labels, members, colours)), members, form)


def _panel(title: str, lines: Sequence[Line], members: Iterable[Trajectory], form: Panel = _LINES) -> Panel:
    """A panel of lines, with the references of ``members`` and the horizontal lines of its term."""
    term = lines[0].trajectory.term
    heights = {human for line in lines if (human := line.trajectory.human) is not None}
    levels = [] if term.neutral is None else [Level(term.neutral_title, term.neutral, "neutral")]
    levels += [Level("people", height, "human") for height in sorted(heights)]
    references = reference_lines(list(members))
    return replace(form, title=title, lines=tuple(lines), references=references, levels=tuple(levels))


def reference_lines(members: Sequence[Trajectory]) -> tuple[Line, ...]:
    """The references of a panel, constants once; one that scales only some of the lines names these."""
    scaled_by: dict[tuple[object, ...], tuple[Trajectory, list[Trajectory]]] = {}
    for member in members:
        for other in member.references:
            usable = other.column("value")[other.column("usable")]
            alike = round(float(usable[0]), 9) if other.is_constant and len(usable) else other
            # A curve may have the same height at two levels.
            place = (other.level, other.parameter) if "level" in other.reference_terms.joins else ()
            key = (other.reference_terms.title, alike, place)
            scaled_by.setdefault(key, (other, []))[1].append(member)
    varying = {name for name in DETAILS if len({getattr(member, name) for member in members}) > 1}
    lines = []
    for other, scaled in scaled_by.values():
        joined = varying.intersection(("texts", *other.reference_terms.joins))
        names = list(dict.fromkeys(member.detail(joined) for member in scaled))
        if len(names) == len({member.detail(joined) for member in members}):
            which = ""
        else:
            which = f"{len(names)} of the lines" if len(names) > _MOST_NAMED else " and ".join(names)
        lines.append(Line(", ".join(filter(None, [other.reference_terms.title, which])), other))
    return tuple(lines)


def plan_benchmarks(charts: Sequence[Sequence[Panel]], runs: Sequence[str]) -> dict[str, list[Panel]]:
    """The panels of each benchmark, by its name ``kind/dataset``.

    A main metric has a panel over training, on the number that the overview would choose (see `plan_overview`). A
    metric with levels also has a panel over its levels, and so has any metric for which people have a value at each.
    """
    by_benchmark: dict[str, list[Sequence[Panel]]] = defaultdict(list)
    for panels in charts:
        by_benchmark["/".join(panels[0].first.benchmark)].append(panels)
    return {name: _benchmark_panels(own, runs) for name, own in by_benchmark.items()}


def _benchmark_panels(charts: Sequence[Sequence[Panel]], runs: Sequence[str]) -> list[Panel]:
    values = [line.trajectory for panels in charts for panel in panels for line in panel.lines]
    chosen = values[0].terms.main_metrics(list(dict.fromkeys(value.metric for value in values)))
    main = [main_panel([value for value in values if value.metric == metric], runs) for metric in chosen]
    curves = [curve for panel in main if (curve := _curve(panel, values, runs)) is not None]
    curves += [
        _titled(level_panels([panel])[0])
        for panel, *_ in charts
        if panel.x == "revisions" and panel.first.layer is None and panel.first.metric not in chosen
    ]
    return main + curves[:_MOST_CURVES]


def _curve(panel: Panel, values: Sequence[Trajectory], runs: Sequence[str]) -> Panel | None:
    """The numbers of a panel at all their levels, as curves; None if there is one level only."""
    drawn = {line.trajectory.run: line.trajectory for line in panel.lines}
    alike = [
        value
        for value in values
        if value.run in drawn
        and _question(value) == _question(drawn[value.run])
        and replace(value, level=drawn[value.run].level) == drawn[value.run]
    ]
    if len({value.level for value in alike} - {None}) < 2:
        return None
    several, over_training = len(drawn) > 1, any(len(value.column("order")) > 1 for value in alike)
    x: Literal["revisions", "level"] = "revisions" if over_training else "level"
    form = Panel("", (), x=x, colour=("run",) if several else (), ramp=over_training and not several)
    lines = [Line(value.run, value, runs.index(value.run)) for value in alike]
    return _titled(level_panels([_panel("", lines, alike, form)])[0])


def _question(number: Trajectory) -> tuple[str, str, str]:
    return number.metric, number.variant, number.condition


def _titled(panel: Panel) -> Panel:
    """Curves with the title that a main panel would have; of several runs, each shows its last revision."""
    first = panel.first
    details = [first.dataset_title, first.special_detail, "" if panel.ramp else "last revision"]
    return replace(panel, title=f"{first.metric_title}\n{', '.join(filter(None, details))}")


def level_panels(panels: Sequence[Panel]) -> list[Panel]:
    """Panels of a chart with the numbers of one revision joined to lines over their level, references too."""
    joined, colours = [], dict[str, int]()
    for panel in panels:
        curves, scales = defaultdict(list), defaultdict(list)
        levels = panel.first.level_axis
        descending = levels is not None and levels.descending
        by_run = panel.colour in ((), ("run",)) and not panel.ramp
        for line in sorted(panel.lines, key=_level_of, reverse=descending):
            for label, part in _by_revision(line.trajectory, panel):
                index = colours.setdefault(label, line.colour if by_run else len(colours))
                curves[label, index].append(part)
        for line in sorted(panel.references, key=_level_of, reverse=descending):
            scales[_curve_of(line, panel)].append(line.trajectory)
        lines = tuple(_joined(label, colour, curve) for (label, colour), curve in curves.items())
        references = tuple(_joined(label, 0, curve) for label, curve in scales.items())
        joined.append(replace(panel, lines=lines, references=references, over_levels=True))
    return joined


def _curve_of(line: Line, panel: Panel) -> str:
    """The name of the curve that a reference belongs to; of one without a level, its own."""
    scale = line.trajectory
    if scale.level is None or "level" not in scale.reference_terms.joins:
        return line.label
    several = len({other.trajectory.parameter for other in panel.references}) > 1
    return ", ".join(
        filter(None, [scale.reference_terms.title, scale.detail(["parameter"]) if several else ""])
    )


def _level_of(line: Line) -> float:
    return line.trajectory.level or 0.0


def _by_revision(number: Trajectory, panel: Panel) -> list[tuple[str, Trajectory]]:
    """The parts of a trajectory that belong to different curves, with their names: one for each of some revisions."""
    if panel.x == "revisions":
        if not panel.ramp:
            return [(number.run, number.at(-1))]
        last = len(number.column("order")) - 1
        chosen = sorted({round(last * part / (_REVISIONS - 1)) for part in range(_REVISIONS)})
        return [(str(number.column("revision")[at]), number.at(at)) for at in chosen]
    run = number.run if "run" in panel.colour else ""
    return [(", ".join(filter(None, [run, number.detail(panel.colour)])) or number.run, number)]


def _joined(label: str, colour: int, curve: Sequence[Trajectory]) -> Line:
    """Numbers at several levels as one line, each with its level; one without a level stays as it is."""
    if curve[0].level is None:
        return Line(label, curve[0], colour)
    points = points_of([number.at(-1) for number in curve])
    points["level"] = np.array([number.level for number in curve], np.float64)
    return Line(label, curve[0].with_points(points, level=None), colour)


@dataclass(frozen=True)
class Seeds:
    """Runs that differ in their seed only, as far as the table tells.

    Attributes:
        title: scale, and arm if the study has several; the name of a single run.
        runs: one for each seed.
        arm: empty for the main arm.
        place: in the palette, see `style.look`.
    """

    title: str
    runs: tuple[str, ...]
    arm: str = ""
    place: int = 0

    @property
    def label(self) -> str:
        """For legends of means: the title and the number of seeds, or the name of a single run."""
        if len(self.runs) == 1:
            return self.title
        return ", ".join(filter(None, [self.title, f"mean of {len(self.runs)} seeds"]))


def groups_of_seeds(trajectories: Sequence[Trajectory]) -> list[Seeds]:
    """The runs by their scale and arm, in the order of the table.

    The main arm has the first places of the palette and so solid lines; other arms begin with the next stroke.
    A run without both is alone. If two runs of a group share a seed, they differ in something else, and all runs of
    that group are alone.
    """
    groups: dict[tuple[str, ...], list[Trajectory]] = defaultdict(list)
    for run in {trajectory.run: trajectory for trajectory in trajectories}.values():
        groups[(run.scale or "", run.arm) if run.scale or run.arm else ("", "", run.run)].append(run)
    several_arms = len({arm for _, arm, *_ in groups}) > 1
    found = [seeds for members in groups.values() for seeds in _seeds(members, several_arms=several_arms)]
    main = [seeds for seeds in found if not seeds.arm]
    first = -(-len(main) // N_HUES) * N_HUES
    places = {seeds.runs: place for place, seeds in enumerate(main)}
    places |= {seeds.runs: first + at for at, seeds in enumerate(seeds for seeds in found if seeds.arm)}
    return [replace(seeds, place=places[seeds.runs]) for seeds in found]


def _seeds(members: Sequence[Trajectory], *, several_arms: bool) -> list[Seeds]:
    seeds = {member.seed for member in members}
    if len(members) == 1 or len(seeds) < len(members) or None in seeds:
        return [Seeds(member.run, (member.run,), member.arm) for member in members]
    arm = (bare(members[0].arm) or "main") if several_arms else ""
    title = ", ".join(filter(None, [members[0].scale, arm]))
    return [Seeds(title, tuple(member.run for member in members), members[0].arm)]


def average_seeds(panel: Panel, groups: Sequence[Seeds]) -> Panel:
    """A panel whose lines are means over seeds, each with the lines of its seeds as members; references are means too.

    Where a seed has no usable number, the mean of the others is not interpretable and interrupts the line: it would
    jump with the seeds that enter it, and those are a selection. Its note says how many they are. A mean has no
    interval, since the items' intervals say nothing about the variation between seeds.
    """
    if panel.ramp or panel.colour != ("run",):
        return panel
    place = "level" if panel.over_levels else "revision"
    lines = _averaged(panel.lines, groups, place)
    references = [
        replace(line, label=label, members=())
        for label in dict.fromkeys(line.label for line in panel.references)
        for line in _averaged([line for line in panel.references if line.label == label], groups, place)
    ]
    return replace(panel, lines=tuple(lines), references=tuple(references))


def _averaged(lines: Sequence[Line], groups: Sequence[Seeds], place: str) -> list[Line]:
    """The mean of each group that has any of the lines, at the group's place in the palette."""
    means = []
    for group in groups:
        own = [line for line in lines if line.trajectory.run in group.runs]
        members = tuple(line.trajectory for line in own)
        one_each = len({member.run for member in members}) == len(members) > 1
        if one_each and all(place in member.points for member in members):
            means.append(Line(group.label, _mean(members, group.label, place), group.place, members))
        else:  # or a number without levels among curves
            means += (replace(line, colour=group.place) for line in own)
    return means


def _mean(members: Sequence[Trajectory], label: str, place: str) -> Trajectory:
    points = points_of(members)
    by_place = points.assign(known=points["value"].where(points["usable"])).groupby(place, sort=False)
    means = by_place["known"].transform("mean").fillna(by_place["value"].transform("mean"))
    n_usable = by_place["usable"].transform("sum")
    complete = n_usable == len(members)
    note = (n_usable.astype(str) + f" of {len(members)} seeds are interpretable").mask(complete, "")
    points = points.assign(value=means, ci_low=math.nan, ci_high=math.nan, note=note)
    points = points.assign(usable=complete, defined=means.notna()).drop_duplicates(place)
    points = points.sort_values("order" if place == "revision" else "level", kind="stable")
    return members[0].with_points(points, run=label, references=())


def evenly(length: int, most: int) -> NDArray[np.int64]:
    """At most this number of places in a sequence, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(np.int64))
