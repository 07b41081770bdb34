"""The panels of a table: what each benchmark shows, planned once, in the order in which a reader meets it.

courses -> numbers that share a panel -> lines, rows or a map, with what gives them their scale
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from hf_clipdyn.report.courses import FACETS, RAMPS, SPECIAL, Course, Courses, course_key, split_by
from hf_clipdyn.report.lines import at_points, by_stop, row_of
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

Steps: TypeAlias = Mapping[Any, Sequence[Course]]
"""Numbers that differ in one facet only, by its value."""


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
        metrics, ranked = self.values[name], list[tuple[Any, Panel]]()
        main = self.words.kind(name.partition("/")[0]).main_metrics(list(metrics))
        for at, (metric, courses) in enumerate(metrics.items()):
            place, panels = self.term(courses[0]).overview, list(self._panels(courses, main=metric in main))
            rank = not any(panel.defined for panel in panels), place.rank if place else math.inf, at
            ranked += [((*rank, not panel.defined), panel) for panel in panels]
        planned = [panel for _, panel in sorted(ranked, key=itemgetter(0))]
        curves = [at for at, panel in enumerate(planned) if panel.main and "level" not in panel.choices]
        firsts = {(planned[at].metric, planned[at].choices["condition"]): at for at in reversed(curves)}
        for at in set(curves) - set(sorted(firsts.values())[:_MOST_CURVES]):
            planned[at] = replace(planned[at], main=False)
        return planned

    def _panels(self, courses: Sequence[Course], *, main: bool) -> Iterator[Panel]:
        """The panels of one metric: of each number, and of those that differ in one facet.

        Figures show the main number of a main metric and its curve, and of other metrics curves beside people's.
        """
        first, seen = self.main_number(courses)[0], set[Any]()
        ramps = RAMPS if len(self.groups) == 1 else ()
        for members in split_by(sorted(courses, key=lambda one: one != first), course_key).values():
            key = course_key(members[0], *ramps), *(getattr(members[0], name) is None for name in ramps)
            if key not in seen:  # the others are lines of the ramp
                yield replace(self.panel(members), main=main and first in members)
            seen.add(key)
        for facet in _COMPARED:
            for steps in self._steps(courses, facet):
                if len(self.groups) == 1 and (facet in RAMPS or len(steps) <= _MOST_LINES):
                    yield self._comparison(steps, facet)
                if facet == "level" and len(steps) >= _LEAST_LEVELS:
                    curves = self._curves(steps)
                    of_people = any(line.role == "human" for line in curves.lines)
                    shown = any(first in own for own in steps.values()) if main else of_people
                    yield replace(curves, main=shown and curves.defined)
                if facet == "layer" and self.over_training:
                    yield from self._maps(steps)

    def _steps(self, courses: Sequence[Course], facet: str) -> Iterator[Steps]:
        """Numbers that differ in one facet, of which they have several values; those of a ramp in their order."""
        for alike in split_by(courses, lambda course: course_key(course, facet)).values():
            if facet in RAMPS:
                known = [course for course in alike if getattr(course, facet) is not None]
                down = facet == "level" and self.axis_of(alike[0]).descending
                known.sort(key=lambda course: getattr(course, facet), reverse=down)
            else:  # two conditions may have two axes
                by_axis = split_by(alike, self.axis_of).values()
                known = next((own for own in by_axis if len({getattr(one, facet) for one in own}) > 1), [])
            steps = split_by(known, lambda course: getattr(course, facet))
            if len(steps) > 1:
                yield steps

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

    def _comparison(self, steps: Steps, facet: str) -> Panel:
        """A line or row for each value of a facet, of one group of runs."""
        members = [course for own in steps.values() for course in own]
        named = [(self.facet_words(own[0], facet), self.group_lines(own)[0]) for own in steps.values()]
        if not self.over_training or all(len(line.y) < 2 for _, line in named):
            return self._filled(
                members, rows=tuple(row_of(line, label) for label, line in named), facet=facet
            )
        lines = [replace(line, label=label, place=at) for at, (label, line) in enumerate(named)]
        return self._filled(members, lines=lines, ramp=facet in RAMPS, facet=facet)

    def _by_group(self, steps: Steps) -> dict[str, dict[Any, Line]]:
        """The lines of each group of runs, by the value of the facet."""
        found: dict[str, dict[Any, Line]] = defaultdict(dict)
        for step, own in steps.items():
            for line in self.group_lines(own):
                found[line.group][step] = line
        return found

    def _curves(self, steps: Steps) -> Panel:
        """A curve over the levels for each group and stop of the slider; each shows one."""
        members = [course for own in steps.values() for course in own]
        ramp, lines = self.over_training and len(self.groups) == 1, list[Line]()
        for of_level in self._by_group(steps).values():
            stops, points = by_stop(list(of_level.values()))
            for place, (stop, column) in enumerate(zip(stops.tolist(), points.T.tolist(), strict=True)):
                known = zip(of_level.items(), column, strict=True)
                across = _across({level: (line, at) for (level, line), at in known if at >= 0})
                named: Any = {"label": self.stop_names[stop], "place": place} if ramp else {}
                frame = stop if self.over_training else -1
                lines.append(replace(next(iter(of_level.values())), frame=frame, **named, **across))
        over = _over(self.axis_of(members[0]), list(steps))
        lines += self._people(members)
        return self._filled(members, lines=lines, ramp=ramp, facet="level", over=over)

    def _maps(self, steps: Steps) -> Iterator[Panel]:
        """Layers by revisions, a map for each group."""
        members = [course for own in steps.values() for course in own]
        term, by_group = self.term(members[0]), self._by_group(steps)
        for group, of_layer in by_group.items():
            lines = list(of_layer.values())
            stops, points = by_stop(lines)
            if len(stops) < 2:
                continue
            rows = [at_points(line.drawn, own) for line, own in zip(lines, points, strict=True)]
            causes = {
                (row, column): line.words(at)
                for row, (line, own) in enumerate(zip(lines, points.tolist(), strict=True))
                for column, at in enumerate(own)
                if at >= 0 and not line.usable[at]
            }
            bar = f"{term.neutral:g}: {term.neutral_title}" if term.neutral_title else term.title
            x = Scale(title="revision", names=tuple(self.stop_names[stop] for stop in stops))
            panel = self._filled(members, facet="layer", over=x)
            which = {"run": group} if len(by_group) > 1 else {}
            yield replace(
                panel,
                form="map",
                cells=Map(
                    values=np.stack(rows)[None], bar=bar, neutral=term.neutral, first_up=True, causes=causes
                ),
                y=Scale(title="layer", names=tuple(map(str, of_layer))),
                place=", ".join([panel.place, *which.values()]),
                levels=(),
                lines=(),
                choices={**panel.choices, "over": "layers", **which},
            )

    def of_run(self, course: Course, run: str, note: str = "", **given: Any) -> Panel:
        """A panel of another form about a number of one run, with its words, and a note at the end of its place."""
        terms = self.words.kind(course.kind)
        way = ", ".join(filter(None, [self.variant_words(course), self.detail(course, SPECIAL)]))
        several = {"run": run} if len(self.groups) > 1 else {}
        return Panel(
            title=", ".join(filter(None, [terms.title, way])),
            place=", ".join(filter(None, [self.place_words(course), *several.values(), note])),
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
        rows: tuple[Row, ...] = (),
        ramp: bool = False,
        facet: str = "",
        over: Scale | None = None,
    ) -> Panel:
        """A panel with its words, and with what gives it its scale; ``facet`` is what its lines differ in."""
        first = members[0]
        term = self.term(first)
        limits = None if term.limits is None else (term.limits[0], term.limits[1])
        y = Scale(title=term.title, unit=term.unit, log=term.log, limits=limits)
        levels, references = self._references(members, curves=over is not None)
        way = _MODELS if not self.over_training else "the whole run" if rows else _TRAINING
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
            rows=rows,
            levels=tuple(levels),
            ramp=ramp,
            hide=term.hide_not_interpretable,
            benchmark=first.benchmark,
            metric=first.metric,
            choices=choices,
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

    def _references(self, members: Sequence[Course], *, curves: bool) -> tuple[list[Level], list[Line]]:
        """What gives the members their scale: constants as levels, others as lines, named after what they scale."""
        first, term = members[0], self.term(members[0])
        scaled: dict[tuple[Any, ...], list[tuple[Course, Reference, Course]]] = defaultdict(list)
        for member in members:
            for declared, other in self.references_of(member):
                if not (curves and "level" in declared.joins):
                    height = self.constant(other)
                    key = declared.title, _role(other), course_key(other) if height is None else height
                    scaled[key].append((member, declared, other))
        varying = {name for name in FACETS if len({getattr(member, name) for member in members}) > 1}
        whole, partial = list[Sequence[Level | Line]](), list[Sequence[Level | Line]]()
        for (title, role, height), found in scaled.items():
            facets = varying.intersection(("texts", *found[0][1].joins))
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
        every = [part for drawn in whole for part in drawn]
        levels = (
            []
            if term.neutral is None
            else [Level(title=term.neutral_title, height=term.neutral, role="neutral")]
        )
        people = self.people(first)
        levels += [] if people is None else [Level(title="human observers", height=people, role="human")]
        levels += [part for part in every if isinstance(part, Level)]
        return list(dict.fromkeys(levels)), [part for part in every if isinstance(part, Line)]

    def _beside(self, members: Sequence[Course]) -> dict[str, tuple[Level, ...]]:
        """The constant references of each group's row that differ between the rows."""
        found: dict[str, list[Level]] = defaultdict(list)
        for member in members:
            for declared, other in self.references_of(member):
                height = self.constant(other)
                if height is not None:
                    level = Level(title=declared.title, height=height, role=_role(other))
                    found[self.group_of[member.run].title].append(level)
        shared = set.intersection(*map(set, found.values())) if found else set()
        return {
            name: tuple(level for level in levels if level not in shared) for name, levels in found.items()
        }

    def _people(self, members: Sequence[Course]) -> Iterator[Line]:
        """References that have a value at each level, as curves, with that of their last revision."""
        curves: dict[tuple[str, float | None], dict[float, Course]] = defaultdict(dict)
        for member in members:
            for declared, other in self.references_of(member):
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
    roles: dict[str, Role] = {"human": "human", "chance": "chance", "null": "chance"}
    return roles.get(course.role, "baseline")


def _values(course: Course, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(course, name) for name in names)


def _across(points: Mapping[float, tuple[Line, int]]) -> dict[str, Any]:
    """One point of each of several lines, by its level, as the points of one line over the levels."""
    names = ("y", "low", "high", "usable", "at", "n", "n_clusters")
    columns = {name: np.array([getattr(line, name)[at] for line, at in points.values()]) for name in names}
    notes = tuple(line.note(at) for line, at in points.values())
    return columns | {
        "x": np.array(list(points), np.float64),
        "notes": notes if any(notes) else (),
        "seeds": (),
    }


def _over(axis: Axis, levels: Sequence[float]) -> Scale:
    """The x axis of curves; 0 and infinity lie one step beyond the weakest other level."""
    known = np.array([level for level in levels if math.isfinite(level) and (level > 0 or not axis.log)])
    beyond, log = math.nan, axis.log and len(known) > 0
    if 0 < len(known) < len(levels):
        step = (known.max() - known.min()) / 6 or 1.0
        beyond = (2 * known.max() if axis.descending else known.min() / 2) if log else known.max() + step
    name = "∞" if any(map(math.isinf, levels)) else "0"
    given: dict[str, Any] = {"title": axis.title, "unit": axis.unit, "descending": axis.descending}
    return Scale(**given, log=log, beyond=float(beyond), beyond_name=name)
