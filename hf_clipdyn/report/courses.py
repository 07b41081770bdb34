"""The numbers of a table over training: courses, groups of runs that differ in their seed, lines, and their words.

A course is one number of one run over its revisions, as `hf_clipdyn.results.table.Table.courses` lists them. All that
the report draws, prints and says of a number is read here.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.relation import SORT
from hf_clipdyn.report.lines import mean_of
from hf_clipdyn.report.panel import Floats, Ints, Line, Scale
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.results.table import Table
from hf_clipdyn.results.terms import Axis, KindTerms, Reference, Term, Vocabulary, bare

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
SPECIAL = FACETS[4:]
"""Facets that a title names if they are not the plainest."""
CLOCKS = {"epoch": "epoch", "samples_seen": "samples seen", "step": "training step"}
CELL = ("run", "kind", "dataset", "texts", "split", "preprocess", "dtype", "settings", "data_fingerprint")
"""Columns that the values of a cell and their references share."""
_KEY = (*FACETS, "setup")
_KEY_OF = attrgetter(*_KEY)
_CONFIDENCE = 0.95
_MANY_INSIDE = 3  # revisions inside the first epoch
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


class Point(NamedTuple):
    """One row of a course; ``note`` is the cause of a value that is undefined (NaN), or a caution."""

    revision: str
    cell: str
    step: float
    order: int
    value: float
    ci_low: float
    ci_high: float
    n: int
    n_clusters: int
    usable: bool
    note: str

    @property
    def defined(self) -> bool:
        """Whether there is a number."""
        return math.isfinite(self.value)

    @property
    def cause(self) -> str:
        """Why there is none."""
        return self.note or "no cause was recorded"


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

    @property
    def benchmark(self) -> str:
        """Kind and data set, with a slash."""
        return f"{self.kind}/{self.dataset}"

    @property
    def number_key(self) -> tuple[Any, ...]:
        """What names the number within a cell."""
        return tuple(getattr(self, name) for name in NUMBER_KEY)


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


class Courses:
    """The courses of a table, as lines and in words.

    Attributes:
        clock: the column along the x axis: epochs if every revision has one of its own; else samples or steps; else
            the rank of the revision in its run.
        log: whether the axis is logarithmic, since much of the training lies in its first part.
        stops: the places of the slider: each place of a revision of a run that has several, once.
        groups: the runs by scale and arm.
        over_training: whether any run has several revisions; else panels are rows, one for each model.
    """

    def __init__(self, table: Table) -> None:
        self.words = table.words
        self._rows, self._courses, self._spans = table.rows, table.courses, table.spans
        self._revisions = table.cells.drop_duplicates(["run", "revision"])
        several = self._revisions[self._revisions.groupby("run")["order"].transform("size") > 1]
        self.over_training = len(several) > 0
        known = several if self.over_training else self._revisions
        self.clock, self.log = _clock(known)
        self.stops: Floats = np.unique(known[self.clock].dropna().to_numpy(np.float64))
        self.groups = groups_of(self._courses.drop_duplicates("run"))
        self.group_of = {run: group for group in self.groups for run in group.runs}

    @cached_property
    def confidence_level(self) -> float:
        """Of the intervals of single numbers."""
        levels = self._rows["confidence_level"].dropna()
        return float(levels.iloc[0]) if len(levels) else _CONFIDENCE

    @cached_property
    def _x(self) -> Floats:
        return self._rows[self.clock].to_numpy(np.float64)

    @cached_property
    def _at(self) -> Ints:
        return _stops_of(self._x, self.stops)

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        """The columns of points; texts stay categories."""
        columns = {name: self._rows[name].array for name in Point._fields}
        return {name: one.to_numpy() if one.dtype != "category" else one for name, one in columns.items()}

    def column(self, course: Course, name: str) -> NDArray[Any]:
        """A column of the rows of a course."""
        return np.asarray(self._arrays[name][self._spans[course.at]])

    def points(self, course: Course, last: int | None = None) -> list[Point]:
        """The rows of a course in the order of training, or this number of the last ones."""
        columns = (self.column(course, name)[-last if last else None :].tolist() for name in Point._fields)
        return list(map(Point._make, zip(*columns, strict=True)))

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
            asked = [course for course in courses if course.metric == next(iter(terms.terms), "")]
            if asked and terms.task == "zero-shot-image-classification":
                return [self.line(course) for course in self.main_number(asked)]
        return []

    def stop_of(self, run: str, revision: str) -> int:
        """The stop of the slider of a revision; -1 without one."""
        return self._stop_of.get((run, revision), -1)

    @cached_property
    def _stop_of(self) -> dict[tuple[str, str], int]:
        places = self._revisions
        stops = _stops_of(places[self.clock], self.stops).tolist()
        return {
            (run, name): at for run, name, at in zip(places["run"], places["revision"], stops, strict=True)
        }

    @cached_property
    def stop_names(self) -> dict[int, str]:
        """The revision at each stop of the slider: of the first run that has one there."""
        return {stop: revision for (_, revision), stop in reversed(self._stop_of.items())}

    # ------------------------------------------------------------ the numbers

    @cached_property
    def courses(self) -> list[Course]:
        """All courses, in the order of the table."""
        cells = self._courses[list(CELL)].drop_duplicates()
        setups = cells.assign(setup=_setups(cells))
        frame = self._courses.reset_index(drop=True).merge(setups, how="left", on=list(CELL))
        columns = {name: _plain(frame[name]) for name in ("role", "setup", *CELL, *FACETS)}
        same = dict[tuple[Any, ...], tuple[Any, ...]]()
        keys = (same.setdefault(key, key) for key in zip(*(columns[name] for name in CELL), strict=True))
        first = (columns[name] for name in ("run", "kind", "dataset"))
        rest = (columns[name] for name in ("settings", "role", "setup", *FACETS))
        return list(map(Course._make, zip(range(len(frame)), *first, keys, *rest, strict=True)))

    @cached_property
    def values(self) -> dict[str, list[Course]]:
        """The values of each benchmark: kinds by rank, real images first, then metrics as their kind declares them."""
        shown = [c for c in self.courses if c.role == "value" and not self.term(c).mirrors]
        found = split_by(shown, lambda course: course.benchmark)
        kinds = list(dict.fromkeys(courses[0].kind for courses in found.values()))

        def rank(item: tuple[str, list[Course]]) -> tuple[Any, ...]:
            kind, dataset = item[1][0].kind, item[1][0].dataset
            return self.words.kind(kind).rank, kinds.index(kind), self.is_synthetic(kind, dataset)

        return {name: self._by_metric(own) for name, own in sorted(found.items(), key=rank)}

    def _by_metric(self, courses: Sequence[Course]) -> list[Course]:
        of_metric = split_by(courses, lambda course: course.metric)
        metrics = sorted(of_metric, key=[*self.words.kind(courses[0].kind).terms, *of_metric].index)
        return [course for metric in metrics for course in of_metric[metric]]

    def numbers(self, kind: str, metric: str) -> list[list[Course]]:
        """The values of a metric, a list for each data set, the nearest to the question of the overview first."""
        shown = ("value", "diagnostic")
        found = [c for c in self.courses if (c.kind, c.metric) == (kind, metric) and c.role in shown]
        return [self.preferred(own) for own in split_by(found, lambda course: course.dataset).values()]

    def preferred(self, courses: Sequence[Course]) -> list[Course]:
        """The nearest to what the overview asks first: of the first with a value, its variant, and then its place."""
        first = next(filter(self.defined, courses), courses[0])
        return sorted(courses, key=_remoteness(self.term(first), first))

    def main_number(self, offered: Sequence[Course]) -> list[Course]:
        """The number that stands for a question, of every run.

        Args:
            offered: at least one value, in the order of preference: the first with a value gives benchmark and metric.
        """
        first = next(filter(self.defined, offered), offered[0])
        asked = [
            course
            for course in offered
            if (course.benchmark, course.metric) == (first.benchmark, first.metric)
        ]
        nearest = course_key(self.preferred(asked)[0], "setup")
        alike = [course for course in asked if course_key(course, "setup") == nearest]
        return [own[0] for own in split_by(alike, lambda course: course.run).values()]

    def main_numbers(self, benchmark: str) -> list[list[Course]]:
        """A number for each main metric of a benchmark; none of one without values of its own."""
        of_metric = split_by(self.values.get(benchmark, ()), lambda course: course.metric)
        main = self.words.kind(benchmark.split("/", 1)[0]).main_metrics(list(of_metric))
        return [self.main_number(of_metric[metric]) for metric in main]

    def overview_numbers(self, benchmark: str | None = None) -> list[list[Course]]:
        """The study, or a benchmark, at a glance: a number for each rank of the overview, first on real images."""
        by_rank: dict[tuple[bool, float], list[Course]] = defaultdict(list)
        for name, courses in self.values.items():
            for course in courses if benchmark in (None, name) else ():
                if place := self.term(course).overview:
                    by_rank[self.is_synthetic(course.kind, course.dataset), place.rank].append(course)
        return [self.main_number(by_rank[key]) for key in sorted(by_rank)]

    def is_synthetic(self, kind: str, dataset: str) -> bool:
        # Gratings are drawn as the images of the embedded world are: neither belongs beside photographs.
        return self.words.dataset(dataset).synthetic or bool(self.words.kind(kind).draws)

    def term(self, course: Course) -> Term:
        return self.words.term(course.kind, course.metric)

    def defined(self, course: Course) -> bool:
        return bool(np.isfinite(self.column(course, "value")).any())

    def constant(self, course: Course) -> float | None:
        """The only value of a course, as a chance level has; None if there are several or none."""
        values = self.column(course, "value")
        known = np.unique(values[np.isfinite(values)].round(9))
        return float(known[0]) if len(known) == 1 else None

    def line(self, course: Course) -> Line:
        """The points of one run."""
        span, group = self._spans[course.at], self.group_of[course.run]
        seen = self._arrays
        notes = tuple(self.column(course, "note").tolist())
        return Line(
            label=group.title if len(group.runs) > 1 else course.run,
            run=course.run,
            group=group.title,
            x=self._x[span],
            y=seen["value"][span],
            low=seen["ci_low"][span],
            high=seen["ci_high"][span],
            usable=seen["usable"][span],
            at=self._at[span],
            n=seen["n"][span],
            n_clusters=seen["n_clusters"][span],
            notes=notes if any(notes) else (),
            place=group.place,
        )

    def group_lines(self, courses: Sequence[Course]) -> list[Line]:
        """A line for each group: of several runs, their mean."""
        by_run = {course.run: course for course in reversed(courses)}
        found = []
        for group in self.groups:
            seeds = [self.line(by_run[run]) for run in group.runs if run in by_run]
            if seeds:
                found.append(seeds[0] if len(group.runs) == 1 else mean_of(seeds, group.title))
        return found

    # ------------------------------------------------------------ words

    def axis_of(self, course: Course) -> Axis:
        terms = self.words.kind(course.kind)
        condition = terms.conditions.get(course.condition)
        return (condition and condition.level) or terms.level or Axis(title="level")

    def facet_words(self, course: Course, name: str) -> str:
        """The value of a facet, as a select offers it."""
        value, terms = getattr(course, name), self.words.kind(course.kind)
        if name == "reference" and value:
            return self.declared(course).title
        if name not in RAMPS:
            known = _known_words(terms, name)
            return known.get(value) or _WORDS[name].get(value) or bare(value)
        axis = self._step_axis(course, name)
        return f"no {axis.title}" if value is None else step_words(axis, value)

    def _step_axis(self, course: Course, name: str) -> Axis:
        if name == "level":
            return self.axis_of(course)
        parameter = self.words.kind(course.kind).parameter
        return parameter if name == "parameter" and parameter else Axis(title=name)

    def place_words(self, course: Course) -> str:
        """Its data set, see `place_words`."""
        return place_words(self.words, course.kind, course.dataset)

    def benchmark_words(self, course: Course) -> str:
        """Kind and data set, as a heading."""
        return f"{self.words.kind(course.kind).title}: {self.place_words(course)}"

    def title(self, course: Course) -> str:
        """The metric with its variant, and of a relation with what it relates the revision to.

        For example ``shape bias, 80 ImageNet templates`` or ``kappa, last revision``.
        """
        variant = self.words.kind(course.kind).variants.get(course.variant, bare(course.variant))
        related = self.declared(course).title if course.role == "value" and course.reference else ""
        return ", ".join(filter(None, [self.term(course).title, variant, related]))

    def people(self, course: Course) -> float | None:
        """The value of people on the same images, from the literature."""
        if self.words.kind(course.kind).draws:
            return None
        return self.words.dataset(course.dataset).human_reference.get(course.metric)

    def special(self, course: Course) -> str:
        """In words, how it differs from the projection's number over all untouched images."""
        return self.detail(course, SPECIAL)

    def detail(self, course: Course, names: Iterable[str]) -> str:
        """In words, how a number differs from the plainest one in these facets."""
        parts = [
            f"text {self.facet_words(course, name)}" if name == "texts" else self.facet_words(course, name)
            for name in (*FACETS, "setup")
            if name in names and getattr(course, name) not in (None, "", _PLAIN.get(name))
        ]
        return ", ".join(dict.fromkeys(parts))

    def declared(self, course: Course) -> Reference:
        title = bare(course.reference or course.role)
        joins = ("metric", "variant", "subset", "condition", "level", "parameter")
        undeclared = Reference(role=course.role, name=course.reference, title=title, joins=joins)
        return self.words.kind(course.kind).reference(course.role, course.reference) or undeclared


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


def course_key(course: Course, *left_out: str) -> tuple[Any, ...]:
    """What a number is, without the run; None for what is left out."""
    key: tuple[Any, ...] = _KEY_OF(course)
    if not left_out:
        return key
    return tuple(None if name in left_out else value for name, value in zip(_KEY, key, strict=True))


def split_by(courses: Iterable[Course], key: Callable[[Course], Any]) -> dict[Any, list[Course]]:
    """Courses by a key, in the order of the first of each."""
    groups: dict[Any, list[Course]] = defaultdict(list)
    for course in courses:
        groups[key(course)].append(course)
    return groups


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


def _plain(values: "pd.Series[Any]") -> list[Any]:
    """Built-in types, and None for what is missing."""
    if values.name == "layer":
        values = values.astype("Int64")
    return values.astype(object).where(values.notna(), None).tolist()


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


def _setups(courses: pd.DataFrame) -> "pd.Series[str]":
    """What distinguishes the cells of a course from others of its benchmark, in words; mostly nothing."""
    known = courses.astype(str)
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
            joined = [", ".join(filter(None, row)) for row in zip(*parts, strict=True)]
            words.loc[own.index] = pd.Series(joined, own.index)
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
