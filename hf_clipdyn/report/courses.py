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
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.relation import SORT
from hf_clipdyn.report.lines import mean_of
from hf_clipdyn.report.panel import Floats, Ints, Line, Scale
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.results.table import Table
from hf_clipdyn.results.terms import Axis, Overview, Reference, Term, bare

N_HUES = 4
"""Hues of the palette; what everybody can distinguish."""
RAMPS = ("level", "layer", "parameter")
"""Facets that are quantities: lines that differ in one take a ramp of colours."""
FACETS = (
    *("metric", "variant", "reference", "texts", "probe"),
    *("layer", "subset", "condition", "level", "parameter"),
)
"""What can differ between the numbers of a benchmark, in the order of the selects; ``setup`` comes after them."""
SPECIAL = FACETS[3:]
"""Facets that a title names if they are not the plainest."""
CLOCKS = {"epoch": "epoch", "samples_seen": "samples seen", "step": "training step"}
_KEY = (*FACETS, "setup")
_KEY_OF = attrgetter(*_KEY)
_OF_LINES = {name: name for name in ("x", "at", "usable", "n", "n_clusters")}
_OF_LINES |= {"y": "value", "low": "ci_low", "high": "ci_high"}
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

T = TypeVar("T")


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
        """The values of `_CELL`, which a number shares with its references."""
        return self[1 : 1 + len(_CELL)]

    @property
    def benchmark(self) -> str:
        """Kind and data set, with a slash."""
        return f"{self.kind}/{self.dataset}"

    @property
    def number_key(self) -> tuple[Any, ...]:
        """What names the number within a cell."""
        return tuple(getattr(self, name) for name in NUMBER_KEY)


_CELL = Course._fields[1:10]


def evenly(length: int, most: int) -> NDArray[np.int64]:
    """At most this number of places in a sequence, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(np.int64))


def groups_of(runs: pd.DataFrame) -> list[Group]:
    """The runs by scale and arm.

    The main arm has the first places of the palette and so solid lines; other arms begin with the next stroke. A run
    without both is alone, and so are all runs of a group in which two share a seed: they differ in something else.

    Args:
        runs: a row a run, with ``run``, ``scale``, ``seed`` and ``arm``.
    """
    known = runs.astype({"run": str, "scale": object, "arm": object}).fillna({"scale": "", "arm": ""})
    several_arms = known["arm"].nunique() > 1
    found: list[Group] = []
    for key, members in known.groupby(["scale", "arm"], sort=False):
        (scale, arm), names = map(str, key), tuple(members["run"])
        title = ", ".join(filter(None, [scale, (bare(arm) or "main") if several_arms else ""]))
        alike = (scale or arm) and 1 < len(names) == members["seed"].nunique()
        parts = {title: names} if alike else {name: (name,) for name in names}
        found += [Group(name, part, scale, arm) for name, part in parts.items()]
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
        by, numbers = ["run", "stop"], ["epoch", "step", "samples_seen", "order", "accuracy"]
        points = ((course.run, point) for course in self._zero_shot() for point in self.points(course))
        known = {(run, point.revision): point.value for run, point in points if point.usable}
        places = self._revisions.assign(stop=self._stops_of(self._revisions))
        names = zip(places["run"], places["revision"], strict=True)
        places["accuracy"] = [known.get(name, math.nan) for name in names]
        places = places.drop_duplicates(by, keep="last").astype(dict.fromkeys(numbers, float))
        titles = {run: group.title for group in self.groups if len(group.runs) > 1 for run in group.runs}
        means = places.assign(run=places["run"].map(titles)).groupby(by)[numbers].mean()
        return pd.concat([places.set_index(by)[["revision", *numbers]], means.assign(revision="")])

    def _zero_shot(self) -> list[Course]:
        """The first zero-shot accuracy that was measured, of every run."""
        for name, metrics in self.values.items():
            terms = self.words.kind(name.partition("/")[0])
            first = metrics.get(next(iter(terms.terms), ""))
            if first and terms.task == "zero-shot-image-classification":
                return self.main_number(first)
        return []

    def stop_of(self, run: str, revision: str) -> int:
        """The stop of the slider of a revision; -1 without one."""
        return self._stop_of.get((run, revision), -1)

    @cached_property
    def _stop_of(self) -> dict[tuple[str, str], int]:
        names = self._revisions[["run", "revision"]].itertuples(index=False, name=None)
        return dict(zip(names, self._stops_of(self._revisions).tolist(), strict=True))

    @cached_property
    def stop_names(self) -> dict[int, str]:
        """The revision at each stop of the slider: of the first run that has one there."""
        return {stop: revision for (_, revision), stop in reversed(self._stop_of.items())}

    # ------------------------------------------------------------ the points of a course

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        """The columns of points, with ``x`` and ``at`` of lines; texts stay categories."""
        columns = {name: self._rows[name].array for name in Point._fields}
        known = {name: one.to_numpy() if one.dtype != "category" else one for name, one in columns.items()}
        return known | {"x": self._rows[self.clock].to_numpy(np.float64), "at": self._stops_of(self._rows)}

    def column(self, course: Course, name: str) -> NDArray[Any]:
        """A column of the rows of a course."""
        return np.asarray(self._arrays[name][self._spans[course.at]])

    def points(self, course: Course) -> list[Point]:
        """The rows of a course in the order of training."""
        columns = (self.column(course, name).tolist() for name in Point._fields)
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
        columns |= {"label": group.title, "group": group.title, "place": group.place}
        return Line(run=course.run, notes=notes if any(notes) else (), **columns)

    def group_lines(self, courses: Sequence[Course]) -> list[Line]:
        """A line for each group: of several runs, their mean."""
        by_run = {course.run: course for course in reversed(courses)}
        every = ([self.line(by_run[run]) for run in group.runs if run in by_run] for group in self.groups)
        known = zip(self.groups, every, strict=True)
        return [seeds[0] if len(group.runs) == 1 else mean_of(seeds) for group, seeds in known if seeds]

    # ------------------------------------------------------------ the numbers

    @cached_property
    def courses(self) -> list[Course]:
        """All courses, in the order of the table."""
        cells = self._courses[list(_CELL)].drop_duplicates()
        setups = cells.assign(setup=_setups(cells))
        frame = self._courses.astype({"layer": "Int64"}).reset_index(drop=True)
        plain = frame.merge(setups, how="left", on=list(_CELL))[list(Course._fields[1:])].astype(object)
        return list(map(Course._make, plain.where(plain.notna(), None).itertuples(name=None)))

    @cached_property
    def values(self) -> dict[str, dict[str, list[Course]]]:
        """The values by benchmark and metric, each as `preferred`.

        Kinds by rank, real images first; metrics as their kind declares them, without those that mirror another.
        """
        shown = [c for c in self.courses if c.role == "value" and not self.term(c).mirrors]
        kinds = list(dict.fromkeys(course.kind for course in shown))

        def rank(course: Course) -> tuple[Any, ...]:
            synthetic = self.is_synthetic(course.kind, course.dataset)
            return self.words.kind(course.kind).rank, kinds.index(course.kind), synthetic

        values = {}
        for name, own in split_by(sorted(shown, key=rank), attrgetter("benchmark")).items():
            metrics = split_by(own, attrgetter("metric"))
            order = [*self.words.kind(own[0].kind).terms, *metrics].index
            values[name] = {metric: self.preferred(metrics[metric]) for metric in sorted(metrics, key=order)}
        return values

    def numbers(self, kind: str, metric: str) -> list[list[Course]]:
        """The values of a metric, a list for each data set, each as `preferred`."""
        shown = ("value", "diagnostic")
        found = [c for c in self.courses if (c.kind, c.metric) == (kind, metric) and c.role in shown]
        return [self.preferred(own) for own in split_by(found, attrgetter("dataset")).values()]

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
        ranked = (offered for _, offered in sorted(by_rank.items(), key=itemgetter(0)))
        known = (next((own for own in every if any(map(self.defined, own))), every[0]) for every in ranked)
        return list(map(self.main_number, known))

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
        if name == "metric":
            return self.term(course).title
        if name == "reference" and value:
            return self.declared(course).title
        if name == "condition" and value in terms.conditions:
            return terms.conditions[value].title
        known = {"variant": terms.variants, "subset": terms.subsets, "probe": terms.probes}.get(name, {})
        return known.get(value) or _WORDS[name].get(value) or bare(value)

    def detail(self, course: Course, names: Iterable[str]) -> str:
        """In words, how a number differs from the plainest one in these facets."""
        unusual = [name for name in _KEY if getattr(course, name) not in (None, "", _PLAIN.get(name))]
        unusual += ["variant"] if "" in self.words.kind(course.kind).variants else []  # a default with a name
        shown = set(names).intersection(unusual) - (set() if course.role == "value" else {"reference"})
        words = {name: self.facet_words(course, name) for name in _KEY if name in shown}
        words |= {"texts": f"text {words['texts']}"} if "texts" in words else {}
        return ", ".join(dict.fromkeys(words.values()))

    def title(self, course: Course) -> str:
        """The metric with its variant, and of a relation with what it relates the revision to.

        For example ``shape bias, 80 ImageNet templates`` or ``kappa, last revision``.
        """
        return self.detail(course, FACETS[:3])

    def special(self, course: Course) -> str:
        """In words, how it differs from the projection's number over all untouched images, with its own texts."""
        return self.detail(course, SPECIAL)

    def name(self, course: Course) -> str:
        """All words of a number: its title and what is special, such as ``accuracy, linear probe``."""
        return self.detail(course, FACETS)

    def place_words(self, kind: str, dataset: str) -> str:
        """The data set; every chart of synthetic images says so: ``embedded world (synthetic)``."""
        terms, draws = self.words.dataset(dataset), self.words.kind(kind).draws
        if draws or not terms.synthetic:
            return draws or terms.title
        return f"{terms.title[:1].lower()}{terms.title[1:]} (synthetic)"

    def benchmark_words(self, course: Course) -> str:
        """Kind and data set, as a heading."""
        return f"{self.words.kind(course.kind).title}: {self.place_words(course.kind, course.dataset)}"

    def people(self, course: Course) -> float | None:
        """The value of people on the same images, from the literature."""
        if self.words.kind(course.kind).draws:
            return None
        return self.words.dataset(course.dataset).human_reference.get(course.metric)

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
    """What a number is, without the run; of what is left out, only whether there is any."""
    key: tuple[Any, ...] = _KEY_OF(course)
    if not left_out:
        return key
    return tuple(value is None if name in left_out else value for name, value in zip(_KEY, key, strict=True))


def split_by(given: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Courses or others by a key, in the order of the first of each."""
    groups: dict[Any, list[T]] = defaultdict(list)
    for member in given:
        groups[key(member)].append(member)
    return groups


def _clock(placed: pd.DataFrame) -> tuple[str, bool]:
    """The clock of all revisions, and whether its axis is logarithmic."""
    different = placed.drop_duplicates(["run", *CLOCKS])
    # Revisions may carry the number of the epoch around them.
    shared = {"epoch"} if different.duplicated(["run", "epoch"]).any() else set()
    clock = next((name for name in CLOCKS if name not in shared and placed[name].notna().all()), "order")
    if clock in ("epoch", "order"):
        return clock, False
    trained = placed[placed[clock] > 0]
    first_epoch = trained.loc[trained["epoch"] == 1, clock].min()
    inside = (trained[clock] < first_epoch).groupby(trained["run"]).sum().max()
    early = (trained[clock] < trained[clock].max() / 10).mean()
    return clock, bool(inside >= _MANY_INSIDE or early > 0.5)


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
