"""The panels of a paper: of each benchmark its main metrics, over training and over levels, with means over seeds."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from hf_clipdyn.report.charts import Chart, Encoding, Line, Panel, main_panel, reference_lines
from hf_clipdyn.results.terms import KindTerms
from hf_clipdyn.statistics.trajectories import Trajectory, bare

__all__ = ["Seeds", "average_seeds", "groups_of_seeds", "level_panels", "main_metrics", "plan_benchmarks"]

_REVISIONS = 5  # of one run, as curves over a level
_MOST_CURVES = 2  # panels of curves in the figure of a benchmark


def main_metrics(terms: KindTerms, measured: Sequence[str]) -> list[str]:
    """The metrics of a kind that answer a question of the overview, and those that they rest on.

    Args:
        terms: of the kind.
        measured: metrics that have numbers, in the order of the vocabulary.

    Returns:
        Some of them; the first one if the kind puts none into the overview.
    """
    placed = [name for name in measured if name in terms.terms and terms.terms[name].overview is not None]
    wanted = {*placed, *(terms.terms[name].rests_on for name in placed)}
    return [name for name in measured if name in wanted] or list(measured[:1])


def plan_benchmarks(charts: Sequence[Chart], runs: Sequence[str]) -> dict[str, list[Panel]]:
    """The panels of each benchmark, by its name ``kind/dataset``.

    A main metric has a panel over training, on the number that the overview would choose (see `plan_overview`). A
    metric with levels also has a panel over its levels, and so has any metric for which people have a value at each.
    """
    by_benchmark: dict[str, list[Chart]] = defaultdict(list)
    for chart in charts:
        by_benchmark["/".join(chart.first.benchmark)].append(chart)
    return {name: _benchmark_panels(of_one, runs) for name, of_one in by_benchmark.items()}


def _benchmark_panels(charts: Sequence[Chart], runs: Sequence[str]) -> list[Panel]:
    values = [one for chart in charts for one in chart.trajectories]
    chosen = main_metrics(values[0].terms, list(dict.fromkeys(one.metric for one in values)))
    panels = [main_panel([one for one in values if one.metric == metric], runs) for metric in chosen]
    curves = [found for panel in panels if (found := _curve(panel, values, runs)) is not None]
    curves += [
        _titled(level_panels(chart.panels[:1], chart.encoding)[0])
        for chart in charts
        if chart.encoding.x == "revisions" and chart.first.layer is None and chart.first.metric not in chosen
    ]
    return panels + curves[:_MOST_CURVES]


def _curve(panel: Panel, values: Sequence[Trajectory], runs: Sequence[str]) -> Panel | None:
    """The numbers of a panel at all their levels, as curves; None if there is one level only."""
    drawn = {one.run: one for one in (line.trajectory for line in panel.lines)}
    alike = [
        one
        for one in values
        if one.run in drawn
        and (one.metric, one.variant, one.condition) == _question(drawn[one.run])
        and replace(one, level=drawn[one.run].level) == drawn[one.run]
    ]
    if len({one.level for one in alike} - {None}) < 2:
        return None
    several = len(drawn) > 1
    over_training = any(len(one.points) > 1 for one in alike)
    encoding = Encoding(
        x="revisions" if over_training else "level",
        colour=("run",) if several else (),
        panel=(),
        ramp=over_training and not several,
    )
    lines = tuple(Line(one.run, one, runs.index(one.run)) for one in alike)
    (found,) = level_panels([Panel("", lines, reference_lines(alike))], encoding)
    return _titled(found)


def _question(one: Trajectory) -> tuple[str, str, str]:
    return one.metric, one.variant, one.condition


def _titled(panel: Panel) -> Panel:
    """Curves with the title that a main panel would have; of several runs, each shows its last revision."""
    first = panel.lines[0].trajectory
    details = [first.dataset_title, first.special_detail, "" if panel.ramp else "last revision"]
    return replace(panel, title=f"{first.metric_title}\n{', '.join(filter(None, details))}")


def level_panels(panels: Sequence[Panel], encoding: Encoding) -> list[Panel]:
    """Panels with the numbers of one revision joined to lines over their level, references too.

    Args:
        panels: of a chart.
        encoding: of that chart, with ``x`` of ``revisions`` or ``level``.
    """
    found, colours = [], dict[str, int]()
    for panel in panels:
        curves, scales = defaultdict(list), defaultdict(list)
        levels = panel.lines[0].trajectory.level_axis
        descending = levels is not None and levels.descending
        for line in sorted(panel.lines, key=_level_of, reverse=descending):
            for label, one in _by_revision(line, encoding):
                index = colours.setdefault(label, line.colour if _by_run(encoding) else len(colours))
                curves[label, index].append(one)
        for line in sorted(panel.references, key=_level_of, reverse=descending):
            scales[_curve_of(line, panel)].append(line.trajectory)
        lines = tuple(_joined(label, colour, curve) for (label, colour), curve in curves.items())
        references = tuple(_joined(label, 0, curve) for label, curve in scales.items())
        found.append(replace(panel, lines=lines, references=references, over_levels=True, ramp=encoding.ramp))
    return found


def _curve_of(line: Line, panel: Panel) -> str:
    """The name of the curve that a reference belongs to; of one without a level, its own."""
    one = line.trajectory
    if one.level is None or "level" not in one.reference_terms.joins:
        return line.label
    several = len({other.trajectory.parameter for other in panel.references}) > 1
    return ", ".join(filter(None, [one.reference_terms.title, one.detail(["parameter"]) if several else ""]))


def _level_of(line: Line) -> float:
    return line.trajectory.level or 0.0


def _by_run(encoding: Encoding) -> bool:
    return encoding.colour in ((), ("run",)) and not encoding.ramp


def _by_revision(line: Line, encoding: Encoding) -> list[tuple[str, Trajectory]]:
    """The parts of a trajectory that belong to different curves, with their names: one for each of some revisions."""
    one = line.trajectory
    if encoding.x == "revisions":
        if not encoding.ramp:
            return [(one.run, one.with_points(one.points.iloc[-1:]))]
        last = len(one.points) - 1
        chosen = sorted({round(last * part / (_REVISIONS - 1)) for part in range(_REVISIONS)})
        parts = [one.points.iloc[at : at + 1] for at in chosen]
        return [(str(part["revision"].iloc[0]), one.with_points(part)) for part in parts]
    run = one.run if "run" in encoding.colour else ""
    return [(", ".join(filter(None, [run, one.detail(encoding.colour)])) or one.run, one)]


def _joined(label: str, colour: int, curve: Sequence[Trajectory]) -> Line:
    """Numbers at several levels as one line, each with its level; one without a level stays as it is."""
    if curve[0].level is None:
        return Line(label, curve[0], colour)
    points = pd.concat([one.points.iloc[-1:].assign(level=one.level) for one in curve])
    return Line(label, curve[0].with_points(points, level=None), colour)


@dataclass(frozen=True)
class Seeds:
    """Runs that differ in their seed only, as far as the table tells.

    Attributes:
        title: scale, and arm if the study has several; the name of a single run.
        runs: one for each seed.
    """

    title: str
    runs: tuple[str, ...]

    @property
    def label(self) -> str:
        """For legends of means: the title and the number of seeds, or the name of a single run."""
        if len(self.runs) == 1:
            return self.title
        return ", ".join(filter(None, [self.title, f"mean of {len(self.runs)} seeds"]))


def groups_of_seeds(trajectories: Sequence[Trajectory]) -> list[Seeds]:
    """The runs by their scale and arm, in the order of the table.

    A run without both is alone. If two runs of a group share a seed, they differ in something else, and all runs of
    that group are alone.
    """
    found: dict[tuple[str, ...], list[Trajectory]] = defaultdict(list)
    for one in {one.run: one for one in trajectories}.values():
        found[(one.scale or "", one.arm) if one.scale or one.arm else ("", "", one.run)].append(one)
    several_arms = len({arm for _, arm, *_ in found}) > 1
    return [seeds for members in found.values() for seeds in _seeds(members, several_arms=several_arms)]


def _seeds(members: Sequence[Trajectory], *, several_arms: bool) -> list[Seeds]:
    seeds = {one.seed for one in members}
    if len(members) == 1 or len(seeds) < len(members) or None in seeds:
        return [Seeds(one.run, (one.run,)) for one in members]
    arm = (bare(members[0].arm) or "main") if several_arms else ""
    title = ", ".join(filter(None, [members[0].scale, arm]))
    return [Seeds(title, tuple(one.run for one in members))]


def average_seeds(panel: Panel, groups: Sequence[Seeds]) -> Panel:
    """A panel whose lines are means over seeds, each with the lines of its seeds as members; references are means too.

    A mean is taken only where every seed has a usable number: one that the next seed enters would jump. It has no
    interval, since the items' intervals say nothing about the variation between seeds.
    """
    if panel.ramp or all(len(group.runs) == 1 for group in groups):
        return panel
    place = "level" if panel.over_levels else "revision"
    lines = [line for parts in _grouped(panel.lines, groups) for line in _averaged(*parts, place)]
    references = list[Line]()
    for label in dict.fromkeys(line.label for line in panel.references):
        alike = [line for line in panel.references if line.label == label]
        for parts in _grouped(alike, groups):
            references += (replace(line, label=label, members=()) for line in _averaged(*parts, place))
    return replace(panel, lines=tuple(lines), references=tuple(references))


def _grouped(lines: Sequence[Line], groups: Sequence[Seeds]) -> list[tuple[list[Line], Seeds, int]]:
    """The lines of each group that has any, with the group and its place in the palette."""
    found = [
        ([line for line in lines if line.trajectory.run in group.runs], group, index)
        for index, group in enumerate(groups)
    ]
    return [parts for parts in found if parts[0]]


def _averaged(lines: Sequence[Line], group: Seeds, colour: int, place: str) -> list[Line]:
    members = tuple(line.trajectory for line in lines)
    one_each = len({one.run for one in members}) == len(members) > 1
    if not one_each or not all(
        place in one.points for one in members
    ):  # or a number without levels among curves
        return [replace(line, colour=colour) for line in lines]
    points = pd.concat([one.points for one in members])
    points["value"] = points["value"].where(points["usable"])
    by_place = points.groupby(place, sort=False)
    complete = by_place["usable"].transform("sum") == len(members)
    means = by_place["value"].transform("mean").where(complete)
    points = points.assign(value=means, ci_low=math.nan, ci_high=math.nan, usable=complete, defined=complete)
    points = points.drop_duplicates(place)
    points = points.sort_values("order" if place == "revision" else "level", kind="stable")
    mean = members[0].with_points(points, run=group.label, references=())
    return [Line(group.label, mean, colour, members)]
