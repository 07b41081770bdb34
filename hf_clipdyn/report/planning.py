"""The panels of a table: what each benchmark shows, planned once, in the order in which a reader meets it.

courses -> numbers that share a panel -> lines, rows or a map, with what gives them their scale
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

import numpy as np

from hf_clipdyn.report.courses import FACETS, RAMPS, SPECIAL, Course, Courses, course_key, split_by
from hf_clipdyn.report.lines import at_points, by_stop
from hf_clipdyn.report.panel import Level, Line, Map, Panel, Role, Row, Scale
from hf_clipdyn.results.terms import Axis, Reference

_COMPARED = (*RAMPS, "subset", "condition", "probe")
_MOST_LINES = 8  # of what has no order
_MOST_REFERENCES = 4  # whose names fit beside a panel; more are drawn only if they scale all its lines
_MOST_NAMED = 3  # lines that the name of a reference can list
_LEAST_LEVELS = 3  # of a curve
_MOST_CURVES = 2  # in the figure of a benchmark
_ALL = "all, a line each"
_TRAINING, _MODELS = "training", "models"
_Key: TypeAlias = tuple[str, Role, Any]
"""Title and role of a reference; its height if it is constant, else what it is."""


class Planner(Courses):
    """The panels of a table; see `Courses` for its attributes."""

    @cached_property
    def benchmarks(self) -> dict[str, list[Panel]]:
        """The panels of each benchmark, ``kind/dataset``: main metrics first, what is undefined last."""
        return {name: self._benchmark(name) for name in self.values}

    @cached_property
    def glance(self) -> list[Panel]:
        """The study at a glance: a panel of one number for each rank, first on real images, what is undefined last."""
        panels = [replace(self.panel(number), main=True) for number in self.overview_numbers()]
        shown = [panel for panel in panels if panel.choices["over"] in (_TRAINING, _MODELS)]
        return sorted(shown, key=lambda panel: not panel.defined)

    def _benchmark(self, name: str) -> list[Panel]:
        main = [courses[0].metric for courses in self.main_numbers(name)]
        ranked = list[tuple[bool, float, list[Panel]]]()
        for metric, courses in self.values[name].items():
            place, of_metric = self.term(courses[0]).overview, self._panels(courses, main=metric in main)
            panels = sorted(of_metric, key=lambda panel: not panel.defined)
            ranked.append((not panels[0].defined, place.rank if place else math.inf, panels))
        planned = [panel for *_, panels in sorted(ranked, key=itemgetter(0, 1)) for panel in panels]
        curves = [panel for panel in planned if panel.main and "level" not in panel.choices]
        firsts = split_by(curves, lambda panel: (panel.metric, panel.choices["condition"])).values()
        hidden = set(curves) - {first for first, *_ in list(firsts)[:_MOST_CURVES]}
        return [replace(panel, main=False) if panel in hidden else panel for panel in planned]

    def _panels(self, courses: Sequence[Course], *, main: bool) -> Iterator[Panel]:
        """The panels of one metric: of each number, and of those that differ in one facet.

        Figures show the main number of a main metric and its curve, and of other metrics curves beside people's.
        """
        first, alone = self.main_number(courses)[0], len(self.groups) == 1
        lines = RAMPS if alone else ()  # of the panel of a ramp
        in_order = sorted(courses, key=lambda course: course != first)
        for alike in split_by(in_order, lambda course: course_key(course, *lines)).values():
            yield replace(self.panel(alike), main=main and first in alike)
        for facet in _COMPARED:
            for members in self._differing(courses, facet):
                n = len({getattr(course, facet) for course in members})
                if alone and (facet in RAMPS or n <= _MOST_LINES):
                    yield self.panel(members, facet)
                if facet == "level" and n >= _LEAST_LEVELS:
                    curves = self._curves(members)
                    of_people = any(line.role == "human" for line in curves.lines)
                    yield replace(curves, main=curves.defined and (first in members if main else of_people))
                if facet == "layer" and self.over_training:
                    yield from self._maps(members)

    def _differing(self, courses: Sequence[Course], facet: str) -> Iterator[list[Course]]:
        """Numbers that differ in one facet, of which they have several values; those of a ramp in their order."""
        for alike in split_by(courses, lambda course: course_key(course, facet)).values():
            by_axis = split_by(alike, self.axis_of).values()  # two conditions may have two axes
            steps = (split_by(own, attrgetter(facet)) for own in by_axis)
            several = next((own for own in steps if len(own) > 1), {})
            if facet in RAMPS:
                down = facet == "level" and self.axis_of(alike[0]).descending
                several = dict(sorted(several.items(), reverse=down))
            if several:
                yield list(chain.from_iterable(several.values()))

    # ------------------------------------------------------------ what a panel shows

    def panel(self, members: Sequence[Course], facet: str = "") -> Panel:
        """One number of every run, the first of several; or a line for each value of a facet, of one group of runs."""
        if facet:
            steps = split_by(members, attrgetter(facet)).values()
            named = ((self.facet_words(own[0], facet), self.group_lines(own)[0]) for own in steps)
            lines = [replace(line, label=label) for label, line in named]
        else:
            members = [course for course in members if course_key(course) == course_key(members[0])]
            lines = self.group_lines(members)
        if self.over_training and any(len(line.y) > 1 for line in lines):
            lines = [replace(line, place=at) for at, line in enumerate(lines)] if facet else lines
            return self._filled(members, facet, lines=lines, ramp=facet in RAMPS)
        beside = self._beside(members)
        rows = tuple(_row(line, beside.get(line.group, ())) for line in lines)
        return self._filled(members, facet, form="rows", rows=rows)

    def _by_group(self, members: Sequence[Course], facet: str) -> dict[str, dict[Any, Line]]:
        """The lines of each group of runs, by the value of the facet."""
        found: dict[str, dict[Any, Line]] = defaultdict(dict)
        for step, own in split_by(members, attrgetter(facet)).items():
            for line in self.group_lines(own):
                found[line.group][step] = line
        return found

    def _curves(self, members: Sequence[Course]) -> Panel:
        """A curve over the levels for each group and stop of the slider; each shows one."""
        ramp, lines = self.over_training and len(self.groups) == 1, list[Line]()
        for of_level in self._by_group(members, "level").values():
            stops, points = by_stop(list(of_level.values()))
            for place, (stop, column) in enumerate(zip(stops.tolist(), points.T.tolist(), strict=True)):
                known = zip(of_level.items(), column, strict=True)
                across = _across({level: (line, at) for (level, line), at in known if at >= 0})
                named: Any = {"label": self.stop_names[stop], "place": place} if ramp else {}
                frame = stop if self.over_training else -1
                lines.append(replace(next(iter(of_level.values())), frame=frame, **named, **across))
        lines += self._people(members)
        x = _over(self.axis_of(members[0]), {course.level for course in members if course.level is not None})
        return self._filled(members, "level", x, lines=lines, ramp=ramp)

    def _maps(self, members: Sequence[Course]) -> Iterator[Panel]:
        """Layers by revisions, a map for each group."""
        term, by_group = self.term(members[0]), self._by_group(members, "layer")
        bar = f"{term.neutral:g}: {term.neutral_title}" if term.neutral_title else term.title
        for group, of_layer in by_group.items():
            lines = list(of_layer.values())
            stops, points = by_stop(lines)
            if len(stops) < 2:
                continue
            causes = {
                (row, column): line.words(at)
                for row, (line, own) in enumerate(zip(lines, points.tolist(), strict=True))
                for column, at in enumerate(own)
                if at >= 0 and not line.usable[at]
            }
            drawn = np.stack([at_points(line.drawn, own) for line, own in zip(lines, points, strict=True)])
            cells = Map(values=drawn[None], bar=bar, neutral=term.neutral, first_up=True, causes=causes)
            x = Scale(title="revision", names=tuple(self.stop_names[stop] for stop in stops))
            panel = self._filled(members, "layer", x, form="map", cells=cells)
            which = {"run": group} if len(by_group) > 1 else {}
            yield replace(
                panel,
                y=Scale(title="layer", names=tuple(map(str, of_layer))),
                place=", ".join([panel.place, *which.values()]),
                levels=(),
                choices={**panel.choices, "over": "layers", **which},
            )

    def of_run(self, course: Course, run: str, note: str = "", **given: Any) -> Panel:
        """A panel of another form about a number of one run, with its words, and a note at the end of its place."""
        way, place = self.detail(course, ("variant", *SPECIAL)), self.place_words(course.kind, course.dataset)
        several = {"run": run} if len(self.groups) > 1 else {}
        return Panel(
            title=", ".join(filter(None, [self.words.kind(course.kind).title, way])),
            place=", ".join(filter(None, [place, *several.values(), note])),
            benchmark=course.benchmark,
            metric=course.metric,
            choices={"which": way or "all items", **several},
            **given,
        )

    def _filled(
        self,
        members: Sequence[Course],
        facet: str,
        over: Scale | None = None,
        lines: Sequence[Line] = (),
        **given: Any,
    ) -> Panel:
        """A panel with its words, and with what gives it its scale; ``facet`` is what its lines differ in."""
        first, term = members[0], self.term(members[0])
        limits: Any = term.limits  # two, as the class checks
        y = Scale(title=term.title, unit=term.unit, log=term.log, limits=limits)
        levels, references = self._references(members, curves=over is not None)
        rows = given.get("form") == "rows"
        way = _MODELS if not self.over_training else "the whole run" if rows else _TRAINING
        facets = [name for name in (*FACETS[1:], "setup") if name != facet]
        choices = {"metric": term.title, "over": over.title if over else way}
        choices |= {name: self.facet_words(first, name) for name in facets}
        if facet and not over:
            choices[facet] = _ALL
        return Panel(
            title=self.detail(first, ["metric", *facets]),
            place=self.place_words(first.kind, first.dataset),
            x=y if rows else over or self.x,
            y=Scale() if rows else y,
            lines=(*lines, *references),
            levels=tuple(levels),
            hide=term.hide_not_interpretable,
            benchmark=first.benchmark,
            metric=first.metric,
            choices=choices,
            **given,
        )

    # ------------------------------------------------------------ references

    @cached_property
    def _scales(self) -> dict[Any, dict[tuple[str, ...], dict[Any, list[tuple[Reference, Course]]]]]:
        """The references by cell, the columns that they join, and the values of these."""
        found: Any = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for course in self.courses:
            declared = self.declared(course) if course.role not in ("value", "diagnostic") else None
            if declared and declared.drawn:
                found[course.cell][declared.joins][_values(course, declared.joins)].append((declared, course))
        return dict(found)

    def references_of(self, member: Course) -> Iterator[tuple[Reference, Course]]:
        """What gives a number its scale: of the same cells, and equal in the columns that it joins."""
        for joins, known in self._scales.get(member.cell, {}).items():
            yield from known.get(_values(member, joins), ())

    def _scaled(self, members: Sequence[Course]) -> dict[_Key, list[tuple[Course, Reference, Course]]]:
        """What gives the members their scale, each with the members that it scales: constants by their height."""
        found: dict[_Key, list[tuple[Course, Reference, Course]]] = defaultdict(list)
        for member in members:
            for declared, other in self.references_of(member):
                height = self.constant(other)
                key = declared.title, _role(other), course_key(other) if height is None else height
                found[key].append((member, declared, other))
        return found

    def _references(self, members: Sequence[Course], *, curves: bool) -> tuple[list[Level], list[Line]]:
        """What gives the members their scale: constants as levels, others as lines, named after what they scale."""
        varying = {name for name in FACETS if len({getattr(member, name) for member in members}) > 1}
        whole, partial = list[Sequence[Level | Line]](), list[Sequence[Level | Line]]()
        for (title, role, height), found in self._scaled(members).items():
            joins = found[0][1].joins
            if curves and "level" in joins:
                continue
            facets = varying.intersection(("texts", *joins))
            names = list(dict.fromkeys(self.detail(member, facets) for member, *_ in found))
            which = ""
            if len(names) < len({self.detail(member, facets) for member in members}):
                which = f"{len(names)} of the lines" if len(names) > _MOST_NAMED else " and ".join(names)
            label = ", ".join(filter(None, [title, which]))
            drawn: Sequence[Level | Line] = [Level(title=label, height=height, role=role)]
            if not isinstance(height, float):
                others = () if curves else list({other.at: other for *_, other in found}.values())
                lines = self.group_lines(others)
                drawn = [replace(line, label=label, role=role, place=-1, seeds=()) for line in lines]
            (partial if which else whole).append(drawn)
        whole += partial if len(partial) <= _MOST_REFERENCES else ()
        every = list(chain.from_iterable(whole))
        term, people = self.term(members[0]), self.people(members[0])
        levels = list[Level]()
        if term.neutral is not None:
            levels.append(Level(title=term.neutral_title, height=term.neutral, role="neutral"))
        if people is not None:
            levels.append(Level(title="human observers", height=people, role="human"))
        levels += [part for part in every if isinstance(part, Level)]
        return list(dict.fromkeys(levels)), [part for part in every if isinstance(part, Line)]

    def _beside(self, members: Sequence[Course]) -> dict[str, tuple[Level, ...]]:
        """The levels of each group's row that do not hold for all rows."""
        found = defaultdict[str, dict[Level, None]](dict)
        for (title, role, height), scaled in self._scaled(members).items():
            for member, *_ in scaled if isinstance(height, float) else ():
                found[self.group_of[member.run].title][Level(title=title, height=height, role=role)] = None
        shared = set.intersection(*map(set, found.values())) if found else set()
        return {group: tuple(level for level in own if level not in shared) for group, own in found.items()}

    def _people(self, members: Sequence[Course]) -> Iterator[Line]:
        """References that have a value at each level, as curves, with that of their last revision."""
        curves: dict[tuple[str, float | None], dict[float, Course]] = defaultdict(dict)
        for declared, other in chain.from_iterable(map(self.references_of, members)):
            if "level" in declared.joins and other.level is not None:
                curves[declared.title, other.parameter].setdefault(other.level, other)
        several = len({parameter for _, parameter in curves}) > 1
        for (title, _), points in curves.items():
            lines = {level: (self.line(course), -1) for level, course in points.items()}
            course = next(iter(points.values()))
            label = ", ".join(filter(None, [title, self.detail(course, ["parameter"]) if several else ""]))
            yield replace(self.line(course), label=label, role=_role(course), place=-1, **_across(lines))


def _role(course: Course) -> Role:
    """What a reference is in a panel."""
    roles: Mapping[str, Role] = {"human": "human", "chance": "chance", "null": "chance"}
    return roles.get(course.role, "baseline")


def _values(course: Course, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(course, name) for name in names)


def _row(line: Line, beside: tuple[Level, ...]) -> Row:
    """The last point of a line as a row."""
    ends: Any = {name: getattr(line, name)[-1].item() for name in ("low", "high", "usable", "n")}
    ends |= {"value": line.y[-1].item(), "words": line.words(len(line.y) - 1)}
    series = "" if line.label == line.group else line.group
    return Row(label=line.label, series=series, beside=beside, place=line.place, **ends)


def _across(points: Mapping[float, tuple[Line, int]]) -> dict[str, Any]:
    """One point of each of several lines, by its level, as the points of one line over the levels."""
    names = ("y", "low", "high", "usable", "at", "n", "n_clusters")
    columns = {name: np.array([getattr(line, name)[at] for line, at in points.values()]) for name in names}
    notes = tuple(line.note(at) for line, at in points.values())
    x = np.array(list(points), np.float64)
    return {**columns, "x": x, "notes": notes if any(notes) else (), "seeds": ()}


def _over(axis: Axis, levels: Collection[float]) -> Scale:
    """The x axis of curves; 0 and infinity lie one step beyond the weakest other level."""
    known = np.array([level for level in levels if math.isfinite(level) and (level > 0 or not axis.log)])
    beyond, log = math.nan, axis.log and len(known) > 0
    if 0 < len(known) < len(levels):
        step = (known.max() - known.min()) / 6 or 1.0
        beyond = (2 * known.max() if axis.descending else known.min() / 2) if log else known.max() + step
    name = "∞" if any(map(math.isinf, levels)) else "0"
    given: dict[str, Any] = {"title": axis.title, "unit": axis.unit, "descending": axis.descending}
    return Scale(**given, log=log, beyond=float(beyond), beyond_name=name)
