"""The numbers of a table over training: courses, groups of runs that differ in their seed, lines, and their words.

A course is one number of one run over its revisions, as `hf_clipdyn.results.table.Table.courses` lists them. All that
the report draws, prints and says of a number is read here.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.relation import SORT
from hf_clipdyn.report.lines import mean_of
from hf_clipdyn.report.panel import Floats, Ints, Line, Scale
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.results.table import Table
from hf_clipdyn.results.terms import Axis, Overview, Reference, Term, Vocabulary, bare

N_HUES = 4
"""Hues of the palette; what everybody can distinguish."""
RAMPS = ("level", "layer", "parameter")
"""Facets that are quantities: lines that differ in one take a ramp of colours."""
FACETS = (
    *("metric", "variant", "reference", "texts", "probe"),
    *("layer", "subset", "condition", "level", "parameter"),
)
"""What can differ between the numbers of a benchmark, in the order of the selects; ``setup`` comes after them."""
SPECIAL = FACETS[4:]
"""Facets that a title names if they are not the plainest."""
CLOCKS = {"epoch": "epoch", "samples_seen": "samples seen", "step": "training step"}
CELL = ("run", "kind", "dataset", "texts", "split", "preprocess", "dtype", "settings", "data_fingerprint")
"""Columns that the values of a cell and their references share."""
_KEY = (*FACETS, "setup")
_KEY_OF = attrgetter(*_KEY)
_OF_LINES = {name: name for name in ("x", "at", "usable", "n", "n_clusters")}
_OF_LINES |= {"y": "value", "low": "ci_low", "high": "ci_high"}
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
    """One number over the revisions of one run: its place among the courses, its cell, and what it is."""

    at: int
    run: str
    kind: str
    dataset: str
    texts: str
    split: str
    preprocess: str
    dtype: str
    settings: str
    data_fingerprint: str
    role: str
    setup: str
    metric: str
    variant: str
    reference: str
    probe: str
    layer: int | None
    subset: str
    condition: str
    level: float | None
    parameter: float | None

    @property
    def cell(self) -> tuple[Any, ...]:
        """The values of `CELL`."""
        return self[1 : 1 + len(CELL)]

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
        names = tuple(str(member.run) for member in members)
        seeds = {member.seed for member in members if not pd.isna(member.seed)}
        title = ", ".join(filter(None, [scale, (bare(arm) or "main") if several_arms else ""]))
        alike = len(names) > 1 and len(seeds) == len(names)
        found += (
            [Group(title, names, scale, arm)] if alike else [Group(one, (one,), scale, arm) for one in names]
        )
    n_main = sum(not group.arm for group in found)
    main, others = count(), count(-(-n_main // N_HUES) * N_HUES)
    return [replace(group, place=next(others if group.arm else main)) for group in found]


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
        several = self._revisions[self._revisions.duplicated("run", keep=False)]
        self.over_training = len(several) > 0
        placed = several if self.over_training else self._revisions
        self.clock, self.log = _clock(placed)
        self.stops: Floats = np.unique(placed[self.clock].dropna().to_numpy(np.float64))
        self.groups = groups_of(self._courses.drop_duplicates("run"))
        self.group_of = {run: group for group in self.groups for run in group.runs}

    # ------------------------------------------------------------ the axis of training

    def _stops_of(self, rows: pd.DataFrame) -> Ints:
        """The stop of each revision; -1 without one."""
        return pd.Index(self.stops).get_indexer(pd.Index(rows[self.clock], dtype=np.float64)).astype(np.int64)

    @cached_property
    def x(self) -> Scale:
        """The axis of training."""
        if self.clock == "order":
            longest = self._revisions.groupby("run", sort=False)["revision"].agg(list).map(tuple)
            return Scale(title="revision", names=max(longest, key=len))
        trained = self.stops[self.stops > 0]
        if not self.log or len(trained) == 0:
            return Scale(title=CLOCKS[self.clock])
        step = 10 ** max(0.12 * math.log10(trained[-1] / trained[0]), 0.1)
        return Scale(title=CLOCKS[self.clock], log=True, beyond=float(trained[0] / step))

    @cached_property
    def clocks(self) -> pd.DataFrame:
        """What other x axes show, by run or title of a group, and stop; of groups, the means over their runs.

        Returns:
            Columns ``revision`` (empty for groups of several runs), ``epoch``, ``step``, ``samples_seen``, ``order``,
            and ``accuracy``, that of the first zero-shot benchmark; NaN where unknown.
        """
        numbers = ["epoch", "step", "samples_seen", "order"]
        places = self._revisions.assign(name=self._revisions["run"], stop=self._stops_of(self._revisions))
        places = places.drop_duplicates(["name", "stop"], keep="last").set_index(["name", "stop"])
        places = places[["revision", *numbers]].astype(dict.fromkeys(numbers, float))
        known = {
            (line.run, stop): value
            for line in self._accuracies()
            for stop, value in zip(line.at.tolist(), line.drawn.tolist(), strict=True)
        }
        places["accuracy"] = [known.get(place, math.nan) for place in places.index]
        titles = {run: group.title for group in self.groups if len(group.runs) > 1 for run in group.runs}
        shared = places[places.index.isin(titles, level=0)].rename(index=titles, level=0)
        means = shared.groupby(level=[0, 1])[[*numbers, "accuracy"]].mean()
        return pd.concat([places, means.assign(revision="")])

    def _accuracies(self) -> list[Line]:
        """The zero-shot accuracy of each run."""
        for name, metrics in self.values.items():
            terms = self.words.kind(name.partition("/")[0])
            metric = next(iter(terms.terms), "")
            if metric in metrics and terms.task == "zero-shot-image-classification":
                return [self.line(course) for course in self.main_number(metrics[metric])]
        return []

    def stop_of(self, run: str, revision: str) -> int:
        """The stop of the slider of a revision; -1 without one."""
        return self._stop_of.get((run, revision), -1)

    @cached_property
    def _stop_of(self) -> dict[tuple[str, str], int]:
        places = self._revisions
        names = zip(places["run"], places["revision"], strict=True)
        return dict(zip(names, self._stops_of(places).tolist(), strict=True))

    @cached_property
    def stop_names(self) -> dict[int, str]:
        """The revision at each stop of the slider: of the first run that has one there."""
        return {stop: revision for (_, revision), stop in reversed(self._stop_of.items())}

    # ------------------------------------------------------------ the points of a course

    @cached_property
    def confidence_level(self) -> float:
        """Of the intervals of single numbers."""
        levels = self._rows["confidence_level"].dropna()
        return float(levels.iloc[0]) if len(levels) else _CONFIDENCE

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        """The columns of points, with ``x`` and ``at`` of lines; texts stay categories."""
        columns = {name: self._rows[name].array for name in Point._fields}
        known = {name: one.to_numpy() if one.dtype != "category" else one for name, one in columns.items()}
        return known | {"x": self._rows[self.clock].to_numpy(np.float64), "at": self._stops_of(self._rows)}

    def column(self, course: Course, name: str) -> NDArray[Any]:
        """A column of the rows of a course."""
        return np.asarray(self._arrays[name][self._spans[course.at]])

    def points(self, course: Course, last: int | None = None) -> list[Point]:
        """The rows of a course in the order of training, or this number of the last ones."""
        columns = (self.column(course, name)[-last if last else None :].tolist() for name in Point._fields)
        return list(map(Point._make, zip(*columns, strict=True)))

    def defined(self, course: Course) -> bool:
        return bool(np.isfinite(self.column(course, "value")).any())

    def constant(self, course: Course) -> float | None:
        """The only value of a course, as a chance level has; None if there are several or none."""
        values = self.column(course, "value")
        known = np.unique(values[np.isfinite(values)].round(9))
        return float(known[0]) if len(known) == 1 else None

    def line(self, course: Course) -> Line:
        """The points of one run."""
        group, notes = self.group_of[course.run], tuple(self.column(course, "note").tolist())
        columns: Any = {name: self.column(course, column) for name, column in _OF_LINES.items()}
        return Line(
            label=group.title if len(group.runs) > 1 else course.run,
            run=course.run,
            group=group.title,
            notes=notes if any(notes) else (),
            place=group.place,
            **columns,
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

    # ------------------------------------------------------------ the numbers

    @cached_property
    def courses(self) -> list[Course]:
        """All courses, in the order of the table."""
        cells = self._courses[list(CELL)].drop_duplicates()
        setups = cells.assign(setup=_setups(cells))
        frame = self._courses.reset_index(drop=True).merge(setups, how="left", on=list(CELL))
        columns = (_plain(frame[name]) for name in Course._fields[1:])
        return list(map(Course._make, zip(range(len(frame)), *columns, strict=True)))

    @cached_property
    def values(self) -> dict[str, dict[str, list[Course]]]:
        """The values by benchmark and metric, each as `preferred`.

        Kinds by rank, real images first; metrics as their kind declares them, without those that mirror another.
        """
        shown = [c for c in self.courses if c.role == "value" and not self.term(c).mirrors]
        found = split_by(shown, lambda course: course.benchmark)
        kinds = list(dict.fromkeys(course.kind for course in shown))

        def rank(name: str) -> tuple[Any, ...]:
            kind, dataset = found[name][0].kind, found[name][0].dataset
            return self.words.kind(kind).rank, kinds.index(kind), self.is_synthetic(kind, dataset)

        values = {}
        for name in sorted(found, key=rank):
            metrics = split_by(found[name], lambda course: course.metric)
            order = [*self.words.kind(found[name][0].kind).terms, *metrics].index
            values[name] = {metric: self.preferred(metrics[metric]) for metric in sorted(metrics, key=order)}
        return values

    def numbers(self, kind: str, metric: str) -> list[list[Course]]:
        """The values of a metric, a list for each data set, each as `preferred`."""
        shown = ("value", "diagnostic")
        found = [c for c in self.courses if (c.kind, c.metric) == (kind, metric) and c.role in shown]
        return [self.preferred(own) for own in split_by(found, lambda course: course.dataset).values()]

    def preferred(self, courses: Sequence[Course]) -> list[Course]:
        """The values of a metric, the nearest to what the overview asks first."""
        first = next(filter(self.defined, courses), courses[0])
        place = self.term(first).overview or Overview(rank=0)

        def distance(course: Course) -> tuple[Any, ...]:
            return (
                course.variant != first.variant,
                course.texts != "own",
                course.condition not in ([place.condition] if place.condition else ["", "none"]),
                bool(course.subset),
                0.0 if place.level is None or course.level is None else abs(course.level - place.level),
                course.layer is not None,
            )

        return sorted(courses, key=distance)

    def main_number(self, preferred: Sequence[Course]) -> list[Course]:
        """Of the values of a metric, the first number with a value, of every run."""
        first = course_key(next(filter(self.defined, preferred), preferred[0]), "setup")
        alike = [course for course in preferred if course_key(course, "setup") == first]
        return sorted({course.run: course for course in reversed(alike)}.values())

    def main_numbers(self, benchmark: str) -> list[list[Course]]:
        """A number for each main metric of a benchmark; none of one without values of its own."""
        metrics = self.values.get(benchmark, {})
        main = self.words.kind(benchmark.partition("/")[0]).main_metrics(list(metrics))
        return [self.main_number(metrics[metric]) for metric in main]

    def overview_numbers(self, benchmark: str | None = None) -> list[list[Course]]:
        """The study, or a benchmark, at a glance: a number for each rank of the overview, first on real images."""
        by_rank: dict[tuple[bool, float], list[list[Course]]] = defaultdict(list)
        for name, metrics in self.values.items():
            for own in metrics.values() if benchmark in (None, name) else ():
                if place := self.term(own[0]).overview:
                    by_rank[self.is_synthetic(own[0].kind, own[0].dataset), place.rank].append(own)
        chosen = []
        for _, offered in sorted(by_rank.items(), key=itemgetter(0)):
            known = [own for own in offered if any(map(self.defined, own))]
            chosen.append(self.main_number((known or offered)[0]))
        return chosen

    def is_synthetic(self, kind: str, dataset: str) -> bool:
        # Gratings are drawn as the images of the embedded world are: neither belongs beside photographs.
        return self.words.dataset(dataset).synthetic or bool(self.words.kind(kind).draws)

    # ------------------------------------------------------------ words

    def term(self, course: Course) -> Term:
        return self.words.term(course.kind, course.metric)

    def axis_of(self, course: Course, facet: str = "level") -> Axis:
        """What a facet of `RAMPS` counts."""
        terms = self.words.kind(course.kind)
        condition = terms.conditions.get(course.condition)
        level = (condition and condition.level) or terms.level
        return {"level": level, "parameter": terms.parameter}.get(facet) or Axis(title=facet)

    def facet_words(self, course: Course, name: str) -> str:
        """The value of a facet, as a select offers it."""
        value, terms = getattr(course, name), self.words.kind(course.kind)
        if name in RAMPS:
            axis = self.axis_of(course, name)
            return f"no {axis.title}" if value is None else step_words(axis, value)
        if name == "reference" and value:
            return self.declared(course).title
        if name == "condition" and value in terms.conditions:
            return terms.conditions[value].title
        known = {"variant": terms.variants, "subset": terms.subsets, "probe": terms.probes}.get(name, {})
        return known.get(value) or _WORDS[name].get(value) or bare(value)

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
        related = self.declared(course).title if course.role == "value" and course.reference else ""
        return ", ".join(filter(None, [self.term(course).title, self.variant_words(course), related]))

    def variant_words(self, course: Course) -> str:
        """Its variant; empty for a default without a name."""
        return self.words.kind(course.kind).variants.get(course.variant, bare(course.variant))

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
            for name in _KEY
            if name in names and getattr(course, name) not in (None, "", _PLAIN.get(name))
        ]
        return ", ".join(dict.fromkeys(parts))

    def declared(self, course: Course) -> Reference:
        """What its kind says of it as a reference."""
        title = bare(course.reference or course.role)
        joins = ("metric", "variant", "subset", "condition", "level", "parameter")
        undeclared = Reference(role=course.role, name=course.reference, title=title, joins=joins)
        return self.words.kind(course.kind).reference(course.role, course.reference) or undeclared


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


def _clock(placed: pd.DataFrame) -> tuple[str, bool]:
    """The clock of all revisions, and whether its axis is logarithmic."""
    different = placed.drop_duplicates(["run", "samples_seen", "step", "epoch"])
    complete = [name for name in CLOCKS if placed[name].notna().all()]
    if different.duplicated(
        ["run", "epoch"]
    ).any():  # revisions that carry the number of the epoch around them
        complete = [name for name in complete if name != "epoch"]
    clock = next(iter(complete), "order")
    if clock in ("epoch", "order"):
        return clock, False
    trained = placed[placed[clock] > 0]
    first_epoch = trained.loc[trained["epoch"] == 1, clock].min()
    inside = (trained[clock] < first_epoch).groupby(trained["run"]).sum().max()
    early = (trained[clock] < trained[clock].max() / 10).mean()
    return clock, bool(inside >= _MANY_INSIDE or early > 0.5)


def _plain(values: "pd.Series[Any]") -> list[Any]:
    """Built-in types, and None for what is missing."""
    if values.name == "layer":
        values = values.astype("Int64")
    return values.astype(object).where(values.notna(), None).tolist()


def _setups(cells: pd.DataFrame) -> "pd.Series[str]":
    """What distinguishes the cells of a course from others of its benchmark, in words; mostly nothing."""
    words = pd.Series("", index=cells.index)
    for _, own in cells.astype(str).groupby(["kind", "dataset"], sort=False):
        texts = [json.loads(text or "{}") for text in own["settings"]]
        settings = pd.DataFrame(texts, own.index, dtype=object).drop(columns=SORT, errors="ignore")
        columns = [own["split"], own["preprocess"], own["dtype"]]
        columns += [
            (f"{bare(name)} " + settings[name].astype(str)).where(settings[name].notna(), "")
            for name in map(str, settings)
        ]
        parts = [column for column in columns if column.nunique() > 1]
        # The fingerprint contains the pixels at the model's resolution: only two within one run are two states of the
        # data.
        if own.groupby(["run", "texts"])["data_fingerprint"].nunique().max() > 1:
            parts.append("data " + own["data_fingerprint"].str[:12])
        joined = [", ".join(filter(None, row)) for row in zip(*parts, strict=True)]
        words.loc[own.index] = pd.Series(joined or "", own.index)
    return words
