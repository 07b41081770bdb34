"""The panels of a table: what each benchmark shows, planned once, in the order in which a reader meets it.

    courses -> numbers that share a panel -> lines, rows or a map, with what gives them their scale

Runs that differ in their seed only are a `Group`: their mean is a line, with Student's interval over the seeds.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from hf_clipdyn.benchmarks.relation import SORT
from hf_clipdyn.report.panel import Floats, Ints, Level, Line, Map, Panel, Role, Row, Scale
from hf_clipdyn.results.terms import Axis, KindTerms, Reference, Term, Vocabulary, bare

if TYPE_CHECKING:
    from hf_clipdyn.results.table import Table

N_HUES = 4
"""Hues of the palette; what everybody can distinguish."""
RAMPS = ("level", "layer", "parameter")
"""Facets that are quantities: lines that differ in one take a ramp of colours."""
FACETS = (
    "metric",
    "variant",
    "reference",
    "texts",
    "probe",
    "layer",
    "subset",
    "condition",
    "level",
    "parameter",
)
"""What can differ between the numbers of a benchmark, in the order of the selects; ``setup`` comes after them."""
CLOCKS = {"epoch": "epoch", "samples_seen": "samples seen", "step": "training step"}
CONFIDENCE = 0.95
"""Of the intervals over seeds."""
_SETUP = ("split", "preprocess", "dtype", "settings", "data_fingerprint")
_CELL = ("run", "kind", "dataset", "texts", *_SETUP)
_JOINED = (*RAMPS, "subset", "condition", "probe")
_MOST_LINES = 8  # of what has no order
_MOST_REFERENCES = 4  # whose names fit beside a panel; more are drawn only if they scale all its lines
_MOST_NAMED = 3  # lines that the name of a reference can list
_LEAST_LEVELS = 3  # of a curve
_MOST_CURVES = 2  # in the figure of a benchmark
_MANY_INSIDE = 3  # revisions inside the first epoch
_ROLES: dict[str, Role] = {"human": "human", "chance": "chance", "null": "chance"}
_ALL = "all, a line each"
_PLAIN = {"texts": "own", "probe": "projection", "condition": "none"}
_WORDS = {
    "texts": {"own": "of each revision", "last": "of the last revision"},
    "condition": {"": "all conditions", "none": "untouched images"},
    "variant": {"": "default"},
    "reference": {"": "none"},
    "subset": {"": "all items"},
    "probe": {"": "none"},
    "setup": {"": "usual"},
}


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only, as far as the table tells.

    Attributes:
        title: scale, and arm if the study has several; the name of a single run.
        runs: one for each seed.
        scale, arm: of the runs; an empty arm is the main one.
        place: in the palette.
    """

    title: str
    runs: tuple[str, ...]
    scale: str = ""
    arm: str = ""
    place: int = 0


class Course(NamedTuple):
    """One number over the revisions of one run: its place among the courses, and what it is."""

    at: int
    run: str
    kind: str
    dataset: str
    cell: tuple[Any, ...]
    settings: str
    role: str
    setup: str
    metric: str
    variant: str
    reference: str
    texts: str
    probe: str
    layer: int | None
    subset: str
    condition: str
    level: float | None
    parameter: float | None


def evenly(length: int, most: int) -> NDArray[np.int64]:
    """At most this number of places in a sequence, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(np.int64))


def place_words(words: Vocabulary, kind: str, dataset: str) -> str:
    """The data set; every chart of synthetic images says so: ``embedded world (synthetic)``."""
    terms = words.dataset(dataset)
    if words.kind(kind).draws:
        return words.kind(kind).draws
    return f"{terms.title[:1].lower()}{terms.title[1:]} (synthetic)" if terms.synthetic else terms.title


def groups_of(runs: pd.DataFrame) -> list[Group]:
    """The runs by scale and arm.

    The main arm has the first places of the palette and so solid lines; other arms begin with the next stroke. A run
    without both is alone, and so are all runs of a group in which two share a seed: they differ in something else.

    Args:
        runs: a row a run, with ``run``, ``scale``, ``seed`` and ``arm``.
    """
    by_key: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for run in runs.itertuples(index=False):
        scale, arm = (value if isinstance(value, str) else "" for value in (run.scale, run.arm))
        by_key[(scale, arm) if scale or arm else ("", "", str(run.run))].append(run)
    several_arms = len({arm for _, arm, *_ in by_key}) > 1
    found: list[Group] = []
    for (scale, arm, *_), members in by_key.items():
        seeds = {member.seed for member in members if not pd.isna(member.seed)}
        title = ", ".join(filter(None, [scale, (bare(arm) or "main") if several_arms else ""]))
        if len(members) > 1 and len(seeds) == len(members):
            found.append(Group(title, tuple(str(member.run) for member in members), scale, arm))
        else:
            found += [Group(str(member.run), (str(member.run),), scale, arm) for member in members]
    main = [group for group in found if not group.arm]
    others = [group for group in found if group.arm]
    first = -(-len(main) // N_HUES) * N_HUES
    places = {group: place for place, group in enumerate(main)}
    places |= {group: first + place for place, group in enumerate(others)}
    return [replace(group, place=places[group]) for group in found]


class Planner:
    """The panels of a table.

    Attributes:
        clock: the column along the x axis: epochs if every revision has one of its own; else samples or steps; else
            the rank of the revision in its run.
        log: whether the axis is logarithmic, since much of the training lies in its first part.
        stops: the places of the slider: each place of a revision of a run that has several, once.
        groups: the runs by scale and arm.
        over_training: whether any run has several revisions; else panels are rows, one for each model.
        confidence_level: of the intervals of single numbers.
    """

    def __init__(self, table: "Table") -> None:
        self.words = table.words
        self._rows, self._courses, self._spans = table.rows, table.courses, table.spans
        columns = ["run", "revision", "order", *CLOCKS, "scale", "seed", "arm"]
        places = self._rows[columns].drop_duplicates(["run", "revision"])
        runs = {str(run): at for at, run in enumerate(dict.fromkeys(self._courses["run"]))}
        self._revisions = (
            places.assign(run=places["run"].astype(str), revision=places["revision"].astype(str))
            .sort_values("order", kind="stable")
            .sort_values("run", kind="stable", key=lambda column: column.map(runs))
        )
        several = self._revisions[self._revisions.groupby("run")["order"].transform("size") > 1]
        self.over_training = len(several) > 0
        known = several if self.over_training else self._revisions
        self.clock, self.log = _clock(known)
        self.stops: Floats = np.unique(known[self.clock].dropna().to_numpy(np.float64))
        self.groups = groups_of(self._revisions.drop_duplicates("run"))
        self.group_of = {run: group for group in self.groups for run in group.runs}
        self._seen = {name: self._rows[name].to_numpy() for name in ("value", "ci_low", "ci_high", "usable")}
        self._x = self._rows[self.clock].to_numpy(np.float64)
        self._at = _stops_of(self._x, self.stops)
        self._counts = {name: self._rows[name].to_numpy(np.int64) for name in ("n", "n_clusters")}
        levels = self._rows["confidence_level"].dropna()
        self.confidence_level = float(levels.iloc[0]) if len(levels) else CONFIDENCE
        notes = self._rows["note"].astype("category").cat
        self._notes, self._note_codes = np.append(notes.categories.astype(str), ""), notes.codes.to_numpy()

    @cached_property
    def x(self) -> Scale:
        """The axis of training."""
        if self.clock == "order":
            longest = self._revisions.groupby("run", sort=False)["revision"].agg(list).map(tuple)
            return Scale(title="revision", names=max(longest, key=len))
        trained = self.stops[self.stops > 0]
        if not self.log or len(trained) == 0:
            return Scale(title=CLOCKS[self.clock])
        decades = math.log10(trained[-1] / trained[0])
        return Scale(
            title=CLOCKS[self.clock], log=True, beyond=float(trained[0] / 10 ** max(0.12 * decades, 0.1))
        )

    @cached_property
    def clocks(self) -> pd.DataFrame:
        """What other x axes show, by run or title of a group, and stop; of groups, the means over their runs.

        Returns:
            Columns ``revision`` (empty for groups of several runs), ``epoch``, ``step``, ``samples_seen``, ``order``,
            and ``accuracy``, that of the first zero-shot benchmark; NaN where unknown.
        """
        places = self._revisions.assign(
            stop=_stops_of(self._revisions[self.clock], self.stops), accuracy=np.nan
        )
        numbers = ["epoch", "step", "samples_seen", "order", "accuracy"]
        places = places[["run", "stop", "revision", *numbers]].rename(columns={"run": "name"})
        by_name = places.drop_duplicates(["name", "stop"], keep="last").set_index(["name", "stop"])
        by_name[numbers] = by_name[numbers].astype(float)
        for line in self._accuracies():
            for at, value in zip(line.at[line.usable], line.y[line.usable], strict=True):
                by_name.loc[(line.run, at), "accuracy"] = value
        groups = [group for group in self.groups if len(group.runs) > 1]
        titles = {run: group.title for group in groups for run in group.runs}
        own = by_name.reset_index()
        own = own[own["name"].isin(titles)]
        means = own.assign(name=own["name"].map(titles)).groupby(["name", "stop"])[numbers].mean()
        return pd.concat([by_name, means.assign(revision="")])

    def _accuracies(self) -> list[Line]:
        """The zero-shot accuracy of each run."""
        for courses in self.values.values():
            terms = self.words.kind(courses[0].kind)
            if terms.task == "zero-shot-image-classification":
                metric = next(iter(terms.terms), "")
                plain = [c for c in courses if c.metric == metric and c.texts == "own" and c.layer is None]
                first = {c.run: c for c in reversed(plain) if not c.subset}
                if first:
                    return [self.line(course) for course in first.values()]
        return []

    # ------------------------------------------------------------ the numbers

    @cached_property
    def courses(self) -> list[Course]:
        """All courses, in the order of the table."""
        frame = self._courses.assign(setup=_setups(self._courses))
        columns = {name: _plain(frame[name]) for name in ("role", "setup", *_CELL, *FACETS)}
        cells = list(zip(*(columns[name] for name in _CELL), strict=True))
        keys = zip(range(len(cells)), *(columns[name] for name in ("run", "kind", "dataset")), strict=True)
        numbers = zip(*(columns[name] for name in ("settings", "role", "setup", *FACETS)), strict=True)
        return [Course(*key, cell, *number) for key, cell, number in zip(keys, cells, numbers, strict=True)]

    @cached_property
    def values(self) -> dict[str, list[Course]]:
        """The values of each benchmark: kinds by rank, real images first, then as in the table."""
        found: dict[str, list[Course]] = defaultdict(list)
        for course in self.courses:
            if course.role == "value" and not self._term(course).mirrors:
                found[f"{course.kind}/{course.dataset}"].append(course)
        kinds = list(dict.fromkeys(courses[0].kind for courses in found.values()))

        def rank(item: tuple[str, list[Course]]) -> tuple[Any, ...]:
            kind, dataset = item[1][0].kind, item[1][0].dataset
            return self.words.kind(kind).rank, kinds.index(kind), self._synthetic(kind, dataset)

        return dict(sorted(found.items(), key=rank))

    def numbers(self, kind: str, metric: str) -> list[list[Course]]:
        """The values of a metric, a list for each data set, the nearest to the question of the overview first."""
        shown = ("value", "diagnostic")
        found = [c for c in self.courses if (c.kind, c.metric) == (kind, metric) and c.role in shown]
        return [self._preferred(own) for own in _split(found, lambda course: course.dataset).values()]

    def main_number(self, benchmark: str, metric: str) -> list[Course]:
        """The first number of a metric, of every run."""
        courses = self._preferred([course for course in self.values[benchmark] if course.metric == metric])
        return [course for course in courses if _key(course) == _key(courses[0])]

    def _preferred(self, courses: Sequence[Course]) -> list[Course]:
        first = next(filter(self._defined, courses), courses[0])
        return sorted(courses, key=_remoteness(self._term(first), first))

    def _synthetic(self, kind: str, dataset: str) -> bool:
        # Gratings are drawn as the images of the embedded world are: neither belongs beside photographs.
        return self.words.dataset(dataset).synthetic or bool(self.words.kind(kind).draws)

    def _term(self, course: Course) -> Term:
        return self.words.term(course.kind, course.metric)

    def _defined(self, course: Course) -> bool:
        return bool(np.isfinite(self._seen["value"][self._spans[course.at]]).any())

    # ------------------------------------------------------------ which share a panel

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
                    key = self._synthetic(kind, dataset), place.rank
                    candidate = not panel.defined, name, at
                    if key not in found or (found[key][0] and panel.defined):
                        found[key] = candidate
        return [found[key][1:] for key in sorted(found, key=lambda key: (found[key][0], key))]

    def _benchmark(self, courses: Sequence[Course]) -> list[Panel]:
        terms, of_metric = self.words.kind(courses[0].kind), _split(courses, lambda course: course.metric)
        metrics = sorted(of_metric, key=[*terms.terms, *of_metric].index)
        main = terms.main_metrics(metrics)
        panels: dict[str, list[Panel]] = {}
        for metric in metrics:
            panels[metric] = list(self._panels(self._preferred(of_metric[metric])))
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
        alike = {facet: _split(courses, lambda course, facet=facet: _key(course, facet)) for facet in _JOINED}
        for members in _split(courses, _key).values():
            first = members[0]
            steps = {name: self._steps(alike[name][_key(first, name)], first, name) for name in _JOINED}
            steps = {name: values for name, values in steps.items() if len(values) > 1}
            ramps = [name for name in RAMPS if single and name in steps]
            if (_key(first, *ramps), *ramps) not in shown:  # the others are lines of the ramp
                yield self.panel(members)
            shown.add((_key(first, *ramps), *ramps))
            for name, values in steps.items():
                place = (_key(first, name), name, "steps")
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
            same = [course for course in courses if self._axis(course) == self._axis(first)]
            return _split(same, lambda course: getattr(course, facet))
        steps = _split(courses, lambda course: getattr(course, facet))
        down = facet == "level" and self._axis(first).descending
        return (
            {step: steps[step] for step in sorted(steps.keys() - {None}, reverse=down)}
            if getattr(first, facet) is not None
            else {}
        )

    # ------------------------------------------------------------ what a panel shows

    def panel(self, members: Sequence[Course]) -> Panel:
        """One number of every run; of several numbers, the first."""
        members = [course for course in members if _key(course) == _key(members[0])]
        lines = self._group_lines(members)
        if self.over_training and any(len(line.y) > 1 for line in lines):
            return self._filled(members, lines=lines)
        beside = self._beside(members)
        rows = tuple(_row(line, line.label, beside=beside.get(line.group, ())) for line in lines)
        return self._filled(members, rows=rows)

    def _comparison(self, steps: Mapping[Any, Sequence[Course]], facet: str) -> Panel:
        """The numbers that differ in one facet, a line or row each."""
        ramp, members = facet in RAMPS, [course for own in steps.values() for course in own]
        named = [
            (self.facet_words(own[0], facet), line)
            for own in steps.values()
            for line in self._group_lines(own)
        ]
        if not self.over_training or all(len(line.y) < 2 for _, line in named):
            rows = tuple(_row(line, label) for label, line in named)
            return self._filled(members, rows=rows, facet=facet)
        lines = [replace(line, label=label, place=at) for at, (label, line) in enumerate(named)]
        return self._filled(members, lines=lines, ramp=ramp, facet=facet)

    def _curves(self, steps: Mapping[Any, Sequence[Course]]) -> Panel:
        """A curve over the levels for each group and stop of the slider; each shows one."""
        members = [course for own in steps.values() for course in own]
        ramp = self.over_training and len(self.groups) == 1
        by_group: dict[str, dict[float, Line]] = defaultdict(dict)
        for level, own in steps.items():
            for line in self._group_lines(own):
                by_group[line.group][level] = line
        lines = [line for of_level in by_group.values() for line in self._frames(of_level, named=ramp)]
        axis = self._axis(members[0])
        panel = self._filled(members, lines=lines, ramp=ramp, facet="level", over=_over(axis, list(steps)))
        return replace(panel, lines=(*panel.lines, *self._people(members)))

    def _frames(self, of_level: Mapping[float, Line], *, named: bool) -> Iterator[Line]:
        """A curve for each stop at which any of the levels was measured."""
        levels, example = np.array(list(of_level), np.float64), next(iter(of_level.values()))
        stops = np.unique(np.concatenate([line.at for line in of_level.values()]))
        size = len(levels), len(stops)
        known = np.zeros(size, bool)
        columns: dict[str, NDArray[Any]] = {name: np.full(size, np.nan) for name in ("y", "low", "high")}
        columns |= {
            "usable": known.copy(),
            "n": np.zeros(size, np.int64),
            "n_clusters": np.zeros(size, np.int64),
        }
        notes = np.full(size, "", dtype=object)
        for row, line in enumerate(of_level.values()):
            places = np.searchsorted(stops, line.at)
            known[row, places] = True
            for name, column in columns.items():
                column[row, places] = getattr(line, name)
            if line.notes:
                notes[row, places] = line.notes
        for place, stop in enumerate(stops.tolist()):
            own = known[:, place]
            yield replace(
                example,
                label=self.stop_names[stop] if named else example.label,
                x=levels[own],
                **{name: column[own, place] for name, column in columns.items()},
                at=np.full(int(own.sum()), stop),
                notes=tuple(notes[own, place]) if any(notes[own, place]) else (),
                place=place if named else example.place,
                frame=stop if self.over_training else -1,
                seeds=(),
            )

    def _maps(self, steps: Mapping[Any, Sequence[Course]]) -> Iterator[Panel]:
        """Layers by revisions, a map for each group."""
        members = [course for own in steps.values() for course in own]
        term, by_group = self._term(members[0]), defaultdict[str, dict[int, Line]](dict)
        for row, own in enumerate(steps.values()):
            for line in self._group_lines(own):
                by_group[line.group][row] = line
        for group, lines in by_group.items():
            stops = np.unique(np.concatenate([line.at for line in lines.values()]))
            if len(stops) < 2:
                continue
            values = np.full((1, len(steps), len(stops)), np.nan)
            for row, line in lines.items():
                values[0, row, np.searchsorted(stops, line.at)] = line.drawn
            bar = f"{term.neutral:g}: {term.neutral_title}" if term.neutral_title else term.title
            cells = Map(values=values, bar=bar, neutral=term.neutral, first_up=True)
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
        way = ", ".join(filter(None, [variant, self.detail(course, FACETS[4:])]))
        several = {"run": run} if len(self.groups) > 1 else {}
        return Panel(
            title=", ".join(filter(None, [terms.title, way])),
            place=", ".join([place_words(self.words, course.kind, course.dataset), *several.values()]),
            benchmark=f"{course.kind}/{course.dataset}",
            metric=course.metric,
            choices={"which": way or "all items", **several},
            **given,
        )

    def stop_of(self, run: str, revision: str) -> int:
        """The stop of the slider of a revision; -1 without one."""
        return self._stop_of.get((run, revision), -1)

    @cached_property
    def _stop_of(self) -> dict[tuple[str, str], int]:
        stops = _stops_of(self._revisions[self.clock], self.stops).tolist()
        return dict(
            zip(zip(self._revisions["run"], self._revisions["revision"], strict=True), stops, strict=True)
        )

    @cached_property
    def stop_names(self) -> dict[int, str]:
        """The revision at each stop of the slider: of the first run that has one there."""
        return {stop: revision for (_, revision), stop in reversed(self._stop_of.items())}

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
        term, terms = self._term(first), self.words.kind(first.kind)
        y = Scale(title=term.title, unit=term.unit, log=term.log, limits=_pair(term.limits))
        levels, references = self._references(members, curves=over is not None)
        way = "models" if not self.over_training else "the whole run" if rows else "training"
        choices = {"metric": term.title, "over": over.title if over else way}
        choices |= {name: self.facet_words(first, name) for name in (*FACETS[1:], "setup") if name != facet}
        if facet and not over:
            choices[facet] = _ALL
        variant = terms.variants.get(first.variant, bare(first.variant))
        related = self._declared(first).title if first.reference else ""
        detail = self.detail(first, [name for name in (*FACETS[3:], "setup") if name != facet])
        return Panel(
            title=", ".join(filter(None, [term.title, variant, related, detail])),
            place=place_words(self.words, first.kind, first.dataset),
            x=y if rows else over or self.x,
            y=Scale() if rows else y,
            form="rows" if rows else "lines",
            lines=(*lines, *references),
            rows=tuple(rows),
            levels=tuple(levels),
            ramp=ramp,
            hide=term.hide_not_interpretable,
            benchmark=f"{first.kind}/{first.dataset}",
            metric=first.metric,
            choices=choices,
        )

    # ------------------------------------------------------------ lines

    def line(self, course: Course) -> Line:
        """The points of one run."""
        span, group = self._spans[course.at], self.group_of[course.run]
        codes = self._note_codes[span]
        value, low, high, usable = (
            self._seen[name][span] for name in ("value", "ci_low", "ci_high", "usable")
        )
        return Line(
            label=group.title if len(group.runs) > 1 else course.run,
            run=course.run,
            group=group.title,
            x=self._x[span],
            y=value,
            low=low,
            high=high,
            usable=usable,
            at=self._at[span],
            n=self._counts["n"][span],
            n_clusters=self._counts["n_clusters"][span],
            notes=tuple(self._notes[codes]) if any(self._notes[code] for code in set(codes.tolist())) else (),
            place=group.place,
        )

    def _group_lines(self, courses: Sequence[Course]) -> list[Line]:
        """A line for each group: of several runs, their mean."""
        by_run = {course.run: course for course in reversed(courses)}
        found = []
        for group in self.groups:
            seeds = [self.line(by_run[run]) for run in group.runs if run in by_run]
            if seeds:
                found.append(seeds[0] if len(group.runs) == 1 else mean_of(seeds, group.title))
        return found

    # ------------------------------------------------------------ references

    @cached_property
    def _scales(self) -> dict[tuple[Any, ...], list[tuple[Reference, Course]]]:
        """The references by cell, the columns that they join, and the values of these."""
        found: dict[tuple[Any, ...], list[tuple[Reference, Course]]] = defaultdict(list)
        for course in self.courses:
            declared = self._declared(course) if course.role not in ("value", "diagnostic") else None
            if declared and declared.drawn:
                key = tuple(getattr(course, name) for name in declared.joins)
                found[(course.cell, declared.joins, *key)].append((declared, course))
        return found

    @cached_property
    def _joins(self) -> dict[str, list[tuple[str, ...]]]:
        """The ways in which the references of a kind join its values."""
        found: dict[str, dict[tuple[str, ...], None]] = defaultdict(dict)
        for cell, joins, *_ in self._scales:
            found[cell[_CELL.index("kind")]][tuple(joins)] = None
        return {kind: list(joins) for kind, joins in found.items()}

    def _declared(self, course: Course) -> Reference:
        title = bare(course.reference or course.role)
        joins = ("metric", "variant", "subset", "condition", "level", "parameter")
        undeclared = Reference(role=course.role, name=course.reference, title=title, joins=joins)
        return self.words.kind(course.kind).reference(course.role, course.reference) or undeclared

    def _references_of(self, member: Course) -> Iterator[tuple[Reference, Course]]:
        for joins in self._joins.get(member.kind, ()):
            yield from self._scales.get((member.cell, joins, *(getattr(member, name) for name in joins)), ())

    def _references(self, members: Sequence[Course], *, curves: bool) -> tuple[list[Level], list[Line]]:
        """What gives the members their scale: constants as levels, others as lines, named after what they scale."""
        first, term = members[0], self._term(members[0])
        levels = (
            []
            if term.neutral is None
            else [Level(title=term.neutral_title, height=term.neutral, role="neutral")]
        )
        people = self._people_value(first)
        levels += [] if people is None else [Level(title="people", height=people, role="human")]
        scaled: dict[tuple[Any, ...], tuple[Reference, dict[int, Course], list[Course]]] = {}
        for member in members:
            for declared, other in self._references_of(member):
                if curves and "level" in declared.joins:
                    continue
                height = self._constant(other)
                key = (declared.title, declared.role, height if height is not None else _key(other))
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
            drawn = [] if level or curves else self._group_lines(list(others.values()))
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
            for declared, other in self._references_of(member):
                height = self._constant(other)
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
            for declared, other in self._references_of(member):
                if "level" in declared.joins and other.level is not None:
                    curves[declared.title, other.parameter].setdefault(other.level, (other, self.line(other)))
        several = len({parameter for _, parameter in curves}) > 1
        for (title, _), points in curves.items():
            (course, line), lines = next(iter(points.values())), [line for _, line in points.values()]
            columns = {
                name: np.array([getattr(one, name)[-1] for one in lines])
                for name in ("y", "low", "high", "usable", "n", "n_clusters", "at")
            }
            label = ", ".join(filter(None, [title, self.detail(course, ["parameter"]) if several else ""]))
            role = _ROLES.get(course.role, "baseline")
            given: dict[str, Any] = {
                "label": label,
                "role": role,
                "place": -1,
                "x": np.array(list(points)),
                "notes": (),
            }
            yield replace(line, **given, **columns)

    def _constant(self, course: Course) -> float | None:
        """The only value of a course, as a chance level has; None if there are several or none."""
        values = self._seen["value"][self._spans[course.at]]
        known = np.unique(values[np.isfinite(values)].round(9))
        return float(known[0]) if len(known) == 1 else None

    def _people_value(self, course: Course) -> float | None:
        if self.words.kind(course.kind).draws:
            return None
        return self.words.dataset(course.dataset).human_reference.get(course.metric)

    # ------------------------------------------------------------ words

    def _axis(self, course: Course) -> Axis:
        terms = self.words.kind(course.kind)
        condition = terms.conditions.get(course.condition)
        return (condition and condition.level) or terms.level or Axis(title="level")

    def facet_words(self, course: Course, name: str) -> str:
        """The value of a facet, as a select offers it."""
        value, terms = getattr(course, name), self.words.kind(course.kind)
        if name == "reference" and value:
            return self._declared(course).title
        if name not in RAMPS:
            known = _known_words(terms, name)
            return known.get(value) or _WORDS[name].get(value) or bare(value)
        axis = self._step_axis(course, name)
        return f"no {axis.title}" if value is None else step_words(axis, value)

    def _step_axis(self, course: Course, name: str) -> Axis:
        if name == "level":
            return self._axis(course)
        parameter = self.words.kind(course.kind).parameter
        return parameter if name == "parameter" and parameter else Axis(title=name)

    def detail(self, course: Course, names: Iterable[str]) -> str:
        """In words, how a number differs from the plainest one in these facets."""
        parts = [
            f"text {self.facet_words(course, name)}" if name == "texts" else self.facet_words(course, name)
            for name in (*FACETS, "setup")
            if name in names and getattr(course, name) not in (None, "", _PLAIN.get(name))
        ]
        return ", ".join(dict.fromkeys(parts))


def _known_words(terms: KindTerms, name: str) -> Mapping[str, str]:
    named: dict[str, Mapping[str, str]] = {
        "variant": terms.variants,
        "subset": terms.subsets,
        "probe": terms.probes,
        "condition": {condition: term.title for condition, term in terms.conditions.items()},
    }
    return named.get(name, {})


def step_words(axis: Axis, value: float) -> str:
    """One step of a quantity, with no more than the four digits that it needs."""
    number = "∞" if math.isinf(value) else f"{float(f'{value:.4g}'):.12g}"
    return f"{axis.title} {number} {axis.unit}".rstrip()


def mean_of(seeds: Sequence[Line], title: str) -> Line:
    """The mean over seeds at each stop, with Student's interval over them.

    Where a seed has no usable number, the mean of the others is not interpretable and has no interval: it would jump
    with the seeds that enter it, and those are a selection.
    """
    alone = [replace(line, at=np.arange(len(line.at))) if (line.at < 0).any() else line for line in seeds]
    stops = np.unique(np.concatenate([line.at for line in alone]))
    every, usable = (np.full((len(seeds), len(stops)), np.nan) for _ in range(2))
    x = np.full(len(stops), np.nan)
    for row, line in enumerate(alone):
        places = np.searchsorted(stops, line.at)
        x[places], every[row, places], usable[row, places] = line.x, line.y, line.drawn
    n = np.isfinite(usable).sum(axis=0)
    whole = n == len(seeds)
    means, rest = _column_mean(usable), _column_mean(every)
    squares = np.where(np.isfinite(usable), (usable - means) ** 2, 0.0).sum(axis=0)
    n_more = np.maximum(n - 1, 1)
    half = stdtrit(n_more, (1 + CONFIDENCE) / 2) * np.sqrt(squares / n_more / np.maximum(n, 1))
    half = np.where(whole & (n > 1), half, np.nan)
    notes = tuple(
        "" if all_of else f"{some} of {len(seeds)} seeds are interpretable"
        for all_of, some in zip(whole, n, strict=True)
    )
    return replace(
        seeds[0],
        label=title,
        run="",
        x=x,
        y=np.where(n > 0, means, rest),
        low=means - half,
        high=means + half,
        usable=whole,
        at=stops if alone[0] is seeds[0] else np.full(len(stops), -1),
        n=n,
        n_clusters=np.zeros(len(stops), np.int64),
        notes=() if whole.all() else notes,
        seeds=tuple(seeds),
    )


def _column_mean(values: Floats) -> Floats:
    """The mean of each column over its known numbers; NaN without any."""
    n = np.isfinite(values).sum(axis=0)
    sums = np.nansum(values, axis=0)
    return np.divide(sums, n, out=np.full(len(sums), np.nan), where=n > 0)


def against(panel: Panel, other: Panel) -> Panel:
    """A metric against another: the points of a panel at the values of ``other`` for the same run and stop.

    Both are panels over training, or both have a row for each model.
    """
    if panel.form == "rows":
        places = {row.label: row.value for row in other.rows}
        lines = tuple(
            _point(row, places[row.label])
            for row in panel.rows
            if math.isfinite(places.get(row.label, math.nan))
        )
        return _other_x(panel, other.x, lines)
    known = {
        (line.run or line.group): dict(zip(line.at.tolist(), line.drawn, strict=True))
        for one in other.values
        for line in (one, *one.seeds)
    }
    return _other_x(panel, other.y, tuple(_moved(line, known) for line in panel.values))


def over_clock(panel: Panel, clocks: pd.DataFrame, name: str, title: str) -> Panel:
    """A panel over training on another axis: a column of `Planner.clocks`."""
    known: dict[str, dict[int, float]] = defaultdict(dict)
    for (run, stop), value in clocks[name].items():
        known[run][stop] = float(value)
    lines = tuple(_moved(line, known) for line in panel.lines)
    return replace(panel, x=Scale(title=title), lines=lines, spans=())


def _moved(line: Line, known: Mapping[str, Mapping[int, float]]) -> Line:
    own = known.get(line.run or line.group, {})
    x = np.array([own.get(stop, math.nan) for stop in line.at.tolist()], np.float64)
    return replace(line, x=x, seeds=tuple(_moved(seed, known) for seed in line.seeds))


def _other_x(panel: Panel, x: Scale, lines: tuple[Line, ...]) -> Panel:
    y = panel.x if panel.form == "rows" else panel.y
    title = f"{panel.title} against {x.title}"
    return replace(panel, title=title, form="lines", x=x, y=y, lines=lines, rows=(), spans=())


def _point(row: Row, x: float) -> Line:
    one: dict[str, Any] = {"y": row.value, "low": row.low, "high": row.high, "x": x}
    columns = {name: np.array([value], np.float64) for name, value in one.items()}
    given: dict[str, Any] = {"n": np.array([row.n]), "n_clusters": np.array([0]), "at": np.array([-1])}
    return Line(
        label=row.label, run=row.label, usable=np.array([row.usable]), place=row.place, **columns, **given
    )


def _row(line: Line, label: str, beside: tuple[Level, ...] = ()) -> Row:
    """The last point of a line as a row."""
    return Row(
        label=label,
        series="" if label == line.label else line.label,
        value=float(line.y[-1]),
        low=float(line.low[-1]),
        high=float(line.high[-1]),
        usable=bool(line.usable[-1]),
        n=int(line.n[-1]),
        beside=beside,
        place=line.place,
        words=line.words(len(line.y) - 1),
    )


def _clock(known: pd.DataFrame) -> tuple[str, bool]:
    """The clock of all revisions, and whether its axis is logarithmic."""
    other = known.drop_duplicates(["run", "samples_seen", "step", "epoch"])
    inside_epochs = other.duplicated(
        ["run", "epoch"]
    ).any()  # revisions that carry the number of the epoch around them
    usable = {name: known[name].notna().all() and not (name == "epoch" and inside_epochs) for name in CLOCKS}
    clock = next((name for name in CLOCKS if usable[name]), "order")
    if clock in ("epoch", "order"):
        return clock, False
    trained = known[known[clock] > 0]
    first_epoch = trained.loc[trained["epoch"] == 1, clock].min()
    inside = (trained[clock] < first_epoch).groupby(trained["run"]).sum().max()
    early = (trained[clock] < trained[clock].max() / 10).mean()
    return clock, bool(inside >= _MANY_INSIDE or early > 0.5)


def _stops_of(places: Any, stops: Floats) -> Ints:
    """The stop of each place; -1 without one."""
    known = np.asarray(places, np.float64)
    if len(stops) == 0:
        return np.full(len(known), -1)
    at = np.minimum(np.searchsorted(stops, known), len(stops) - 1)
    return np.where(stops[at] == known, at, -1).astype(np.int64)


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


def _plain(values: "pd.Series[Any]") -> list[Any]:
    """Built-in types, and None for what is missing."""
    if values.name == "layer":
        values = values.astype("Int64")
    return values.astype(object).where(values.notna(), None).tolist()


def _pair(limits: Sequence[float] | None) -> tuple[float, float] | None:
    return None if limits is None else (limits[0], limits[1])


def _key(course: Course, *left_out: str) -> tuple[Any, ...]:
    return tuple(None if name in left_out else getattr(course, name) for name in (*FACETS, "setup"))


def _split(courses: Iterable[Course], key: Callable[[Course], Any]) -> dict[Any, list[Course]]:
    """Courses by a key, in the order of the first of each."""
    groups: dict[Any, list[Course]] = defaultdict(list)
    for course in courses:
        groups[key(course)].append(course)
    return groups


def _remoteness(term: Term, first: Course) -> Callable[[Course], tuple[Any, ...]]:
    """How far a number is from the one that its term puts into the overview; ``first`` is one with values."""
    condition, level = (term.overview.condition, term.overview.level) if term.overview else ("", None)

    def distance(course: Course) -> tuple[Any, ...]:
        return (
            course.variant != first.variant,
            course.texts != "own",
            course.condition != condition if condition else course.condition not in ("", "none"),
            bool(course.subset),
            0.0 if level is None or course.level is None else abs(course.level - level),
            course.layer is not None,
        )

    return distance


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


def _setups(courses: pd.DataFrame) -> "pd.Series[str]":
    """What distinguishes the cells of a course from others of its benchmark, in words; mostly nothing."""
    known = courses[list(_CELL)].astype(str)
    # The fingerprint contains the pixels at the model's resolution: only two within one run are two states of the data.
    of_run = known.groupby(["run", "kind", "dataset", "texts"], sort=False)["data_fingerprint"]
    edition = of_run.transform(lambda prints: pd.factorize(prints)[0])
    words = pd.Series("", index=known.index)
    for _, own in known.groupby(["kind", "dataset"], sort=False):
        parts = [own[name] for name in ("split", "preprocess", "dtype") if own[name].nunique() > 1]
        if own["settings"].nunique() > 1:
            parts.append(own["settings"].map(_differing(own["settings"].unique())))
        if edition[own.index].nunique() > 1:
            parts.append("data " + own["data_fingerprint"].str[:12])
        if parts:
            words[own.index] = [", ".join(filter(None, row)) for row in zip(*parts, strict=True)]
    return words


def _differing(texts: Iterable[str]) -> dict[str, str]:
    """What the JSON of the settings says that is not the same in all of them, in words."""
    known = {text: json.loads(text or "{}") for text in texts}
    first = next(iter(known.values()))
    shared = {name for name in first if all(own.get(name) == first[name] for own in known.values())} | {SORT}
    return {
        text: ", ".join(f"{bare(name)} {value}" for name, value in own.items() if name not in shared)
        for text, own in known.items()
    }
