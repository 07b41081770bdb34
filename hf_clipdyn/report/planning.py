"""The panels of a table: what each benchmark shows, planned once, in the order in which a reader meets it.

courses -> numbers that share a panel -> lines, rows or a map, with what gives them their scale
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from hf_clipdyn.report.courses import CELL, FACETS, RAMPS, SPECIAL, Course, Courses, course_key, split_by
from hf_clipdyn.report.lines import row_of
from hf_clipdyn.report.panel import Level, Line, Map, Panel, Role, Row, Scale
from hf_clipdyn.results.terms import Axis, Reference, bare

_JOINED = (*RAMPS, "subset", "condition", "probe")
_MOST_LINES = 8  # of what has no order
_MOST_REFERENCES = 4  # whose names fit beside a panel; more are drawn only if they scale all its lines
_MOST_NAMED = 3  # lines that the name of a reference can list
_LEAST_LEVELS = 3  # of a curve
_MOST_CURVES = 2  # in the figure of a benchmark
_ROLES: dict[str, Role] = {"human": "human", "chance": "chance", "null": "chance"}
_ALL = "all, a line each"


class Planner(Courses):
    """The panels of a table; see `Courses` for its attributes."""

    @cached_property
    def benchmarks(self) -> dict[str, list[Panel]]:
        """The panels of each benchmark, ``kind/dataset``: main metrics first, what is undefined last."""
        return {name: self._benchmark(courses) for name, courses in self.values.items()}

    @cached_property
    def overview(self) -> list[tuple[str, int]]:
        """The study at a glance: benchmark and place of one panel for each rank, first on real images."""
        found: dict[tuple[bool, int], tuple[bool, str, int]] = {}
        for name, panels in self.benchmarks.items():
            kind, dataset = name.split("/", 1)
            for at, panel in enumerate(panels):
                place = self.words.term(kind, panel.metric).overview
                if place and panel.main and panel.choices["over"] in ("training", "models"):
                    key = self.is_synthetic(kind, dataset), place.rank
                    candidate = not panel.defined, name, at
                    if key not in found or (found[key][0] and panel.defined):
                        found[key] = candidate
        return [found[key][1:] for key in sorted(found, key=lambda key: (found[key][0], key))]

    @cached_property
    def glance(self) -> list[Panel]:
        """The panels of the overview."""
        return [self.benchmarks[name][at] for name, at in self.overview]

    def _benchmark(self, courses: Sequence[Course]) -> list[Panel]:
        of_metric = split_by(courses, lambda course: course.metric)
        metrics = list(of_metric)
        main = self.words.kind(courses[0].kind).main_metrics(metrics)
        panels = {metric: list(self._panels(self.preferred(own))) for metric, own in of_metric.items()}
        shown = [_first_defined(panels[metric]) for metric in main]
        curves = [_curve(panels[panel.metric], panel) for panel in shown]
        curves += [
            curve for metric in metrics if metric not in main for curve in _people_curves(panels[metric])
        ]
        chosen = {id(panel) for panel in [*shown, *list(filter(None, curves))[:_MOST_CURVES]]}

        def rank(panel: Panel) -> tuple[Any, ...]:
            place = self.words.term(courses[0].kind, panel.metric).overview
            undefined = not any(other.defined for other in panels[panel.metric])
            by_rank = place.rank if place else math.inf
            return undefined, by_rank, metrics.index(panel.metric), not panel.defined

        every = sorted((panel for of_one in panels.values() for panel in of_one), key=rank)
        return [replace(panel, main=id(panel) in chosen) for panel in every]

    def _panels(self, courses: Sequence[Course]) -> Iterator[Panel]:
        """The panels of one metric, the nearest to the question of the overview first."""
        single, shown = len(self.groups) == 1, set[tuple[Any, ...]]()
        alike = {facet: split_by(courses, _without(facet)) for facet in _JOINED}
        for members in split_by(courses, course_key).values():
            first = members[0]
            steps = {name: self._steps(alike[name][course_key(first, name)], first, name) for name in _JOINED}
            steps = {name: values for name, values in steps.items() if len(values) > 1}
            ramps = [name for name in RAMPS if single and name in steps]
            if (course_key(first, *ramps), *ramps) not in shown:  # the others are lines of the ramp
                yield self.panel(members)
            shown.add((course_key(first, *ramps), *ramps))
            for name, values in steps.items():
                place = (course_key(first, name), name, "steps")
                if place in shown:
                    continue
                shown.add(place)
                if single and (name in RAMPS or len(values) <= _MOST_LINES):
                    yield self._comparison(values, name)
                if name == "level" and len(values) >= _LEAST_LEVELS:
                    yield self._curves(values)
                if name == "layer" and self.over_training:
                    yield from self._maps(values)

    def _steps(self, courses: Sequence[Course], first: Course, facet: str) -> dict[Any, list[Course]]:
        """Numbers that differ in one facet, by its value; those of a ramp in their order."""
        if facet not in RAMPS:  # two conditions may have two axes
            same = [course for course in courses if self.axis_of(course) == self.axis_of(first)]
            return split_by(same, lambda course: getattr(course, facet))
        steps = split_by(courses, lambda course: getattr(course, facet))
        down = facet == "level" and self.axis_of(first).descending
        return (
            {step: steps[step] for step in sorted(steps.keys() - {None}, reverse=down)}
            if getattr(first, facet) is not None
            else {}
        )

    # ------------------------------------------------------------ what a panel shows

    def panel(self, members: Sequence[Course]) -> Panel:
        """One number of every run; of several numbers, the first."""
        members = [course for course in members if course_key(course) == course_key(members[0])]
        lines = self.group_lines(members)
        if self.over_training and any(len(line.y) > 1 for line in lines):
            return self._filled(members, lines=lines)
        beside = self._beside(members)
        rows = tuple(row_of(line, line.label, beside=beside.get(line.group, ())) for line in lines)
        return self._filled(members, rows=rows)

    def _comparison(self, steps: Mapping[Any, Sequence[Course]], facet: str) -> Panel:
        """The numbers that differ in one facet, a line or row each."""
        ramp, members = facet in RAMPS, [course for own in steps.values() for course in own]
        named = [
            (self.facet_words(own[0], facet), line)
            for own in steps.values()
            for line in self.group_lines(own)
        ]
        if not self.over_training or all(len(line.y) < 2 for _, line in named):
            rows = tuple(row_of(line, label) for label, line in named)
            return self._filled(members, rows=rows, facet=facet)
        lines = [replace(line, label=label, place=at) for at, (label, line) in enumerate(named)]
        return self._filled(members, lines=lines, ramp=ramp, facet=facet)

    def _curves(self, steps: Mapping[Any, Sequence[Course]]) -> Panel:
        """A curve over the levels for each group and stop of the slider; each shows one."""
        members = [course for own in steps.values() for course in own]
        ramp = self.over_training and len(self.groups) == 1
        by_group: dict[str, dict[float, Line]] = defaultdict(dict)
        for level, own in steps.items():
            for line in self.group_lines(own):
                by_group[line.group][level] = line
        lines = [line for of_level in by_group.values() for line in self._frames(of_level, named=ramp)]
        axis = self.axis_of(members[0])
        panel = self._filled(members, lines=lines, ramp=ramp, facet="level", over=_over(axis, list(steps)))
        return replace(panel, lines=(*panel.lines, *self._people(members)))

    def _frames(self, of_level: Mapping[float, Line], *, named: bool) -> Iterator[Line]:
        """A curve for each stop at which any of the levels was measured."""
        example = next(iter(of_level.values()))
        places = {
            level: {stop: at for at, stop in enumerate(line.at.tolist())} for level, line in of_level.items()
        }
        for place, stop in enumerate(sorted(set().union(*places.values()))):
            here = {level: at[stop] for level, at in places.items() if stop in at}
            yield replace(
                example,
                label=self.stop_names[stop] if named else example.label,
                place=place if named else example.place,
                frame=stop if self.over_training else -1,
                **_across({level: (of_level[level], at) for level, at in here.items()}),
            )

    def _maps(self, steps: Mapping[Any, Sequence[Course]]) -> Iterator[Panel]:
        """Layers by revisions, a map for each group."""
        members = [course for own in steps.values() for course in own]
        term, by_group = self.term(members[0]), defaultdict[str, dict[int, Line]](dict)
        for row, own in enumerate(steps.values()):
            for line in self.group_lines(own):
                by_group[line.group][row] = line
        for group, lines in by_group.items():
            stops = np.unique(np.concatenate([line.at for line in lines.values()]))
            if len(stops) < 2:
                continue
            values = np.full((1, len(steps), len(stops)), np.nan)
            causes: dict[tuple[int, int], str] = {}
            for row, line in lines.items():
                columns = np.searchsorted(stops, line.at)
                values[0, row, columns] = line.drawn
                causes |= {
                    (row, int(columns[at])): line.words(at) for at in np.flatnonzero(~line.usable).tolist()
                }
            bar = f"{term.neutral:g}: {term.neutral_title}" if term.neutral_title else term.title
            cells = Map(values=values, bar=bar, neutral=term.neutral, first_up=True, causes=causes)
            x = Scale(title="revision", names=tuple(self.stop_names[stop] for stop in stops))
            y = Scale(title="layer", names=tuple(map(str, steps)))
            panel = self._filled(members, facet="layer", over=x)
            which = {"run": group} if len(by_group) > 1 else {}
            place = ", ".join([panel.place, *which.values()])
            choices = {**panel.choices, "over": "layers", **which}
            yield replace(
                panel, form="map", cells=cells, x=x, y=y, place=place, levels=(), lines=(), choices=choices
            )

    def of_run(self, course: Course, run: str, **given: Any) -> Panel:
        """A panel of another form about a number of one run, with its words."""
        terms = self.words.kind(course.kind)
        variant = terms.variants.get(course.variant, bare(course.variant))
        way = ", ".join(filter(None, [variant, self.detail(course, SPECIAL)]))
        several = {"run": run} if len(self.groups) > 1 else {}
        return Panel(
            title=", ".join(filter(None, [terms.title, way])),
            place=", ".join([self.place_words(course), *several.values()]),
            benchmark=course.benchmark,
            metric=course.metric,
            choices={"which": way or "all items", **several},
            **given,
        )

    def _filled(
        self,
        members: Sequence[Course],
        *,
        lines: Sequence[Line] = (),
        rows: Sequence[Row] = (),
        ramp: bool = False,
        facet: str = "",
        over: Scale | None = None,
    ) -> Panel:
        """A panel with its words, and with what gives it its scale; ``facet`` is what its lines differ in."""
        first = members[0]
        term = self.term(first)
        y = Scale(title=term.title, unit=term.unit, log=term.log, limits=_pair(term.limits))
        levels, references = self._references(members, curves=over is not None)
        way = "models" if not self.over_training else "the whole run" if rows else "training"
        choices = {"metric": term.title, "over": over.title if over else way}
        choices |= {name: self.facet_words(first, name) for name in (*FACETS[1:], "setup") if name != facet}
        if facet and not over:
            choices[facet] = _ALL
        detail = self.detail(first, [name for name in (*FACETS[3:], "setup") if name != facet])
        return Panel(
            title=", ".join(filter(None, [self.title(first), detail])),
            place=self.place_words(first),
            x=y if rows else over or self.x,
            y=Scale() if rows else y,
            form="rows" if rows else "lines",
            lines=(*lines, *references),
            rows=tuple(rows),
            levels=tuple(levels),
            ramp=ramp,
            hide=term.hide_not_interpretable,
            benchmark=first.benchmark,
            metric=first.metric,
            choices=choices,
        )

    # ------------------------------------------------------------ references

    @cached_property
    def _scales(self) -> dict[tuple[Any, ...], list[tuple[Reference, Course]]]:
        """The references by cell, the columns that they join, and the values of these."""
        found: dict[tuple[Any, ...], list[tuple[Reference, Course]]] = defaultdict(list)
        for course in self.courses:
            declared = self.declared(course) if course.role not in ("value", "diagnostic") else None
            if declared and declared.drawn:
                key = tuple(getattr(course, name) for name in declared.joins)
                found[(course.cell, declared.joins, *key)].append((declared, course))
        return found

    @cached_property
    def _joins(self) -> dict[str, list[tuple[str, ...]]]:
        """The ways in which the references of a kind join its values."""
        found: dict[str, dict[tuple[str, ...], None]] = defaultdict(dict)
        for cell, joins, *_ in self._scales:
            found[cell[CELL.index("kind")]][tuple(joins)] = None
        return {kind: list(joins) for kind, joins in found.items()}

    def references_of(self, member: Course) -> Iterator[tuple[Reference, Course]]:
        """What gives a number its scale: of the same cells, and equal in the columns that it joins."""
        for joins in self._joins.get(member.kind, ()):
            yield from self._scales.get((member.cell, joins, *(getattr(member, name) for name in joins)), ())

    def _references(self, members: Sequence[Course], *, curves: bool) -> tuple[list[Level], list[Line]]:
        """What gives the members their scale: constants as levels, others as lines, named after what they scale."""
        first, term = members[0], self.term(members[0])
        levels = (
            []
            if term.neutral is None
            else [Level(title=term.neutral_title, height=term.neutral, role="neutral")]
        )
        people = self.people(first)
        levels += [] if people is None else [Level(title="people", height=people, role="human")]
        scaled: dict[tuple[Any, ...], tuple[Reference, dict[int, Course], list[Course]]] = {}
        for member in members:
            for declared, other in self.references_of(member):
                if curves and "level" in declared.joins:
                    continue
                height = self.constant(other)
                key = (declared.title, declared.role, height if height is not None else course_key(other))
                _, others, own = scaled.setdefault(key, (declared, {}, []))
                others[other.at] = other
                own.append(member)
        varying = {name for name in FACETS if len({getattr(member, name) for member in members}) > 1}
        lines: list[Line] = []
        partial: list[tuple[Level | None, list[Line]]] = []
        for (title, role, height), (declared, others, own) in scaled.items():
            joined = varying.intersection(("texts", *declared.joins))
            names = list(dict.fromkeys(self.detail(member, joined) for member in own))
            which = ""
            if len(names) < len({self.detail(member, joined) for member in members}):
                which = f"{len(names)} of the lines" if len(names) > _MOST_NAMED else " and ".join(names)
            label, role = ", ".join(filter(None, [title, which])), _ROLES.get(role, "baseline")
            level = Level(title=label, height=height, role=role) if isinstance(height, float) else None
            drawn = [] if level or curves else self.group_lines(list(others.values()))
            drawn = [replace(line, label=label, role=role, place=-1, seeds=()) for line in drawn]
            if which:
                partial.append((level, drawn))
            else:
                levels += [level] if level else []
                lines += drawn
        if len(partial) <= _MOST_REFERENCES:
            levels += [level for level, _ in partial if level]
            lines += [line for _, drawn in partial for line in drawn]
        return list(dict.fromkeys(levels)), lines

    def _beside(self, members: Sequence[Course]) -> dict[str, tuple[Level, ...]]:
        """The references of each group's row that differ between the rows."""
        found: dict[str, list[Level]] = defaultdict(list)
        for member in members:
            for declared, other in self.references_of(member):
                height = self.constant(other)
                if height is not None:
                    level = Level(
                        title=declared.title, height=height, role=_ROLES.get(other.role, "baseline")
                    )
                    found[self.group_of[member.run].title].append(level)
        shared = set.intersection(*(set(levels) for levels in found.values())) if found else set()
        return {
            group: tuple(level for level in levels if level not in shared) for group, levels in found.items()
        }

    def _people(self, members: Sequence[Course]) -> Iterator[Line]:
        """References that have a value at each level, as curves, with that of their last revision."""
        curves: dict[tuple[str, float | None], dict[float, tuple[Course, Line]]] = defaultdict(dict)
        for member in members:
            for declared, other in self.references_of(member):
                if "level" in declared.joins and other.level is not None:
                    curves[declared.title, other.parameter].setdefault(other.level, (other, self.line(other)))
        several = len({parameter for _, parameter in curves}) > 1
        for (title, _), points in curves.items():
            course, line = next(iter(points.values()))
            label = ", ".join(filter(None, [title, self.detail(course, ["parameter"]) if several else ""]))
            role = _ROLES.get(course.role, "baseline")
            last = {level: (one, -1) for level, (_, one) in points.items()}
            yield replace(line, label=label, role=role, place=-1, **_across(last))


def _across(points: Mapping[float, tuple[Line, int]]) -> dict[str, Any]:
    """One point of each of several lines, by its level, as the points of one line over the levels."""
    names = ("y", "low", "high", "usable", "at", "n", "n_clusters")
    columns = {name: np.array([getattr(line, name)[at] for line, at in points.values()]) for name in names}
    notes = tuple(line.note(at) for line, at in points.values())
    return {
        "x": np.array(list(points), np.float64),
        **columns,
        "notes": notes if any(notes) else (),
        "seeds": (),
    }


def _without(facet: str) -> Callable[[Course], tuple[Any, ...]]:
    return lambda course: course_key(course, facet)


def _over(axis: Axis, levels: Sequence[float]) -> Scale:
    """The x axis of curves; 0 and infinity lie one step beyond the weakest other level."""
    known = np.array([level for level in levels if math.isfinite(level) and (level > 0 or not axis.log)])
    left_out = [level for level in levels if math.isinf(level) or (axis.log and level <= 0)]
    beyond, log = math.nan, axis.log and len(known) > 0
    if left_out and len(known):
        step = (known.max() - known.min()) / 6 or 1.0
        beyond = (2 * known.max() if axis.descending else known.min() / 2) if log else known.max() + step
    name = "∞" if any(map(math.isinf, left_out)) else "0"
    given: dict[str, Any] = {"title": axis.title, "unit": axis.unit, "descending": axis.descending}
    return Scale(**given, log=log, beyond=float(beyond), beyond_name=name)


def _pair(limits: Sequence[float] | None) -> tuple[float, float] | None:
    return None if limits is None else (limits[0], limits[1])


def _first_defined(panels: Sequence[Panel]) -> Panel:
    """The panel that stands for a metric: of one number of each run."""
    plain = [panel for panel in panels if _ALL not in panel.choices.values() and panel.cells is None]
    return next((panel for panel in plain if panel.defined), plain[0])


def _curve(panels: Sequence[Panel], main: Panel) -> Panel | None:
    """The same numbers over their levels."""
    same = {name: words for name, words in main.choices.items() if name not in ("over", "level")}
    return next(
        (
            panel
            for panel in panels
            if "level" not in panel.choices and panel.defined and {**panel.choices, **same} == panel.choices
        ),
        None,
    )


def _people_curves(panels: Sequence[Panel]) -> list[Panel]:
    """Numbers over their levels for which people have a value at each, one for each condition."""
    curves = [panel for panel in panels if "level" not in panel.choices and panel.defined]
    human = [panel for panel in curves if any(line.role == "human" for line in panel.lines)]
    return list({panel.choices["condition"]: panel for panel in reversed(human)}.values())[::-1]
