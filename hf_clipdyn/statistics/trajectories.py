"""Trajectories: one number over the revisions of one run, and what it is called."""

import math
from collections import defaultdict, namedtuple
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.results.row import NUMBER_KEY, NumberKey
from hf_clipdyn.results.table import Table
from hf_clipdyn.results.terms import Axis, DatasetTerms, KindTerms, Reference, Term, Vocabulary, bare
from hf_clipdyn.revisions.names import epoch_of, step_of

__all__ = [
    "DETAILS",
    "Numbers",
    "Trajectory",
    "bare",
    "by_run",
    "crossings",
    "points_of",
    "read_trajectories",
    "rows_of",
]

DETAILS = ("texts", "probe", "layer", "subset", "condition", "level", "parameter")
"""Columns that distinguish numbers of one metric, in the order in which they are named."""

_DEFAULT_PROBE = {one.name: one.default for one in fields(NumberKey)}["probe"]
_TEXTS = {"own": "text of each revision", "last": "text of the last revision"}
_CONDITIONS = {"": "all conditions", "none": "untouched images"}


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers of a table of results, and their words.

    Attributes:
        columns: the rows of `Table`, in the columns that vary within a course; ``epoch`` is the position in epochs
            (between two whole numbers for a revision inside an epoch; NaN if unknown), ``defined`` whether there is a
            number, and ``note`` says something of each that is not defined.
        vocabulary: the words of the table.
    """

    columns: Mapping[str, NDArray[Any] | pd.Categorical]
    vocabulary: Vocabulary

    @classmethod
    def of(cls, points: pd.DataFrame, vocabulary: Vocabulary) -> "Numbers":
        """From a frame with these columns."""
        return cls({str(name): values.to_numpy() for name, values in points.items()}, vocabulary)

    def points(self, places: NDArray[np.integer[Any]]) -> pd.DataFrame:
        """The rows at these places, which are its index."""
        columns = {name: np.asarray(column[places]) for name, column in self.columns.items()}
        # Without a type, pandas would convert each text.
        texts = {
            name: pd.Series(one, places, dtype=object) for name, one in columns.items() if one.dtype == object
        }
        return pd.DataFrame(columns | texts, places, copy=False)


@dataclass(frozen=True, kw_only=True)
class Trajectory(NumberKey):
    """One number over the revisions of one run: a key into `Numbers`.

    Attributes:
        run: name of the run, of one scale and one seed; the other fields are columns of its cells and of the number,
            constant within it.
        numbers: where its points are, in the rows from ``start`` to ``end``.
        references: of a value, the trajectories that give it a scale: of the same cells, and equal in the columns
            that the reference joins.
    """

    run: str
    scale: str
    seed: int | None
    arm: str
    kind: str
    dataset: str
    split: str
    data_fingerprint: str
    preprocess: str
    settings: str
    dtype: str
    texts: str
    numbers: Numbers = field(compare=False, repr=False)
    start: int = field(default=0, compare=False, repr=False)
    end: int = field(default=0, compare=False, repr=False)
    references: "tuple[Trajectory, ...]" = field(default=(), compare=False, repr=False)

    @cached_property
    def points(self) -> pd.DataFrame:
        """Its rows of `Numbers`."""
        return self.numbers.points(np.arange(self.start, self.end))

    def column(self, name: str) -> NDArray[Any]:
        """A column of its points, for what reads many trajectories."""
        return np.asarray(self.numbers.columns[name][self.start : self.end])

    def point(self, place: int) -> Any:
        """One of its points, as `rows_of` has them; -1 is the last."""
        at = (self.start if place >= 0 else self.end) + place
        row = _row(tuple(self.numbers.columns))
        return row(*(column[at : at + 1].tolist()[0] for column in self.numbers.columns.values()))

    def at(self, place: int) -> "Trajectory":
        """The number at one of its points alone; -1 is the last."""
        start = (self.start if place >= 0 else self.end) + place
        return replace(self, start=start, end=start + 1)

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of its table."""
        return self.numbers.vocabulary

    def with_points(self, points: pd.DataFrame, **columns: Any) -> "Trajectory":
        """The number at other points, perhaps with other columns."""
        numbers = Numbers.of(points, self.vocabulary)
        return replace(self, numbers=numbers, start=0, end=len(points), **columns)

    @property
    def benchmark(self) -> tuple[str, str]:
        """Kind and data set."""
        return self.kind, self.dataset

    @property
    def cell(self) -> tuple[str, ...]:
        """What its cells have in common."""
        return tuple(getattr(self, name) for name in _CELL)

    @cached_property
    def usable(self) -> pd.DataFrame:
        """The points that are defined and interpretable."""
        return self.points[self.points["usable"]]

    @cached_property
    def is_constant(self) -> bool:
        """Whether all its values are one number, as of a chance level."""
        return len(np.unique(self.column("value")[self.column("defined")].round(9))) <= 1

    @property
    def is_value(self) -> bool:
        """Whether it is a number of the model, and no reference or diagnostic."""
        return self.role == "value"

    @property
    def terms(self) -> KindTerms:
        """What its kind declares."""
        return self.vocabulary.kind(self.kind)

    @property
    def term(self) -> Term:
        """Its metric in words."""
        return self.vocabulary.term(self.kind, self.metric)

    @property
    def dataset_terms(self) -> DatasetTerms:
        """Its data set in words; of drawn stimuli, only what they are."""
        if self.terms.draws:
            return DatasetTerms(title=self.terms.draws)
        return self.vocabulary.dataset(self.dataset)

    @property
    def human(self) -> float | None:
        """The value of people on the same images, from the literature."""
        return self.dataset_terms.human_reference.get(self.metric)

    @property
    def dataset_title(self) -> str:
        """The data set; every chart of synthetic images says so: ``embedded world (synthetic)``."""
        title = self.dataset_terms.title
        return f"{title[:1].lower()}{title[1:]} (synthetic)" if self.dataset_terms.synthetic else title

    @property
    def benchmark_title(self) -> str:
        """Kind and data set, as a heading."""
        return f"{self.terms.title}: {self.dataset_title}"

    @property
    def metric_title(self) -> str:
        """Title of the metric with its variant, and of a relation with what it relates the revision to.

        For example ``shape bias, 80 ImageNet templates`` or ``kappa, last revision``.
        """
        variant = self.terms.variants.get(self.variant, bare(self.variant))
        related = self.reference_terms.title if self.is_value and self.reference else ""
        return ", ".join(filter(None, [self.term.title, variant, related]))

    @cached_property
    def reference_terms(self) -> Reference:
        """The declaration of a reference; without one it joins values with the same key, whatever the probe."""
        columns = ("metric", "variant", "subset", "condition", "level", "parameter")
        title = bare(self.reference or self.role)
        undeclared = Reference(role=self.role, name=self.reference, title=title, joins=columns)
        return self.terms.reference(self.role, self.reference) or undeclared

    def detail(self, columns: Iterable[str]) -> str:
        """The values of these columns of `DETAILS`, in words.

        What is empty is left out; so are the revision's own texts if there is something else to say, since some numbers
        involve no text. Nothing is said twice.
        """
        wanted = set(columns)
        parts = [self._value_words(name) for name in DETAILS if name in wanted]
        said = [part for part in parts if part and part != _TEXTS["own"]]
        return ", ".join(dict.fromkeys(said or filter(None, parts)))

    @property
    def special_detail(self) -> str:
        """In words, how it differs from the projection's number over all untouched images."""
        special = {
            "probe": self.probe != _DEFAULT_PROBE or self.layer is not None,
            "condition": self.condition not in ("", "none"),
            "subset": bool(self.subset),
        }
        special["layer"] = special["probe"]
        return self.detail(name for name in DETAILS if special.get(name, name != "texts"))

    @property
    def level_axis(self) -> Axis | None:
        """The axis of its levels: that of the condition, else that of the kind."""
        condition = self.terms.conditions.get(self.condition)
        return (condition and condition.level) or self.terms.level

    def _value_words(self, column: str) -> str:
        terms, value = self.terms, getattr(self, column)
        titles: dict[str, Mapping[str, str]] = {
            "texts": _TEXTS,
            "probe": terms.probes,
            "subset": terms.subsets,
            "condition": _CONDITIONS | {name: one.title for name, one in terms.conditions.items()},
        }
        if column in titles:
            return titles[column].get(value, bare(value))
        if value is None:
            return ""
        axis = {"level": self.level_axis, "parameter": terms.parameter}.get(column) or Axis(title=column)
        return f"{axis.title} {value:g} {axis.unit}".rstrip()


_CELL = [one.name for one in fields(Trajectory) if one.compare and one.name not in NUMBER_KEY]
_NO_CAUSE = "no cause was recorded"


def read_trajectories(table: Table) -> list[Trajectory]:
    """The courses of a table as trajectories, in its order."""
    courses = table.courses
    keys = zip(*(_plain(courses[name]) for name in (*_CELL, *NUMBER_KEY)), strict=True)
    return _with_references(list(keys), [0, *(span.stop for span in table.spans)], _numbers_of(table))


_OF_ROWS = (
    *("revision", "cell", "run", "step", "samples_seen", "order", "value", "ci_low", "ci_high"),
    *("n", "n_clusters", "usable"),
)


def _numbers_of(table: Table) -> Numbers:
    columns: dict[str, Any] = {name: table.rows[name].array for name in _OF_ROWS}
    columns = {
        name: one if isinstance(one, pd.Categorical) else one.to_numpy() for name, one in columns.items()
    }
    defined, notes = np.isfinite(columns["value"]), table.rows["note"].array
    has_no_cause = ~defined & (notes == "")
    if has_no_cause.any():
        notes = notes.add_categories([_NO_CAUSE])
        notes[has_no_cause] = _NO_CAUSE
    return Numbers(columns | {"epoch": _epochs(table), "defined": defined, "note": notes}, table.words)


def _plain(values: "pd.Series[Any]") -> list[Any]:
    """Built-in types, and None for what is missing."""
    if values.name in ("seed", "layer"):
        values = values.astype("Int64")
    return values.astype(object).where(values.notna(), None).tolist()


def _with_references(
    keys: Sequence[tuple[Any, ...]], ends: Sequence[int], points: Numbers
) -> list[Trajectory]:
    """The trajectories with these keys, which end where the next begins; values with their references."""
    names, n_cell = (*_CELL, *NUMBER_KEY), len(_CELL)
    role = names.index("role")
    trajectories: dict[int, Trajectory] = {}
    joined: dict[tuple[Any, ...], set[tuple[str, ...]]] = defaultdict(set)  # by cell
    by_values: dict[tuple[Any, ...], list[int]] = defaultdict(
        list
    )  # by cell, joined columns, and their values
    for at in sorted(range(len(keys)), key=lambda at: keys[at][role] == "value"):
        key, cell, scales = dict(zip(names, keys[at], strict=True)), keys[at][:n_cell], list[int]()
        if key["role"] == "value":
            for joins in joined[cell]:
                scales += by_values.get((cell, joins, *(key[name] for name in joins)), ())
        others = tuple(trajectories[scale] for scale in sorted(scales))
        number = Trajectory(**key, numbers=points, start=ends[at], end=ends[at + 1], references=others)
        if key["role"] not in ("value", "diagnostic"):
            joins = tuple(number.reference_terms.joins)
            joined[cell].add(joins)
            by_values[cell, joins, *(key[name] for name in joins)].append(at)
        trajectories[at] = number
    return [trajectories[at] for at in range(len(keys))]


def by_run(trajectories: Iterable[Trajectory]) -> dict[str, list[Trajectory]]:
    """The trajectories of each run."""
    runs: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        runs[trajectory.run].append(trajectory)
    return dict(runs)


def points_of(trajectories: Iterable[Trajectory]) -> pd.DataFrame:
    """The points of trajectories, at least one, one after the other."""
    several = list(trajectories)
    if all(one.numbers is several[0].numbers for one in several):  # a frame for each takes most of the time
        places = [np.arange(one.start, one.end) for one in several]
        return several[0].numbers.points(np.concatenate(places))
    return pd.concat([one.points for one in several])


def rows_of(points: pd.DataFrame) -> list[Any]:
    """The rows as named tuples, for the few places that need them one by one."""
    row = _row(tuple(points.columns))
    return list(map(row, *(points[name] for name in points)))


@cache
def _row(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)


def crossings(trajectory: Trajectory, level: float) -> list[tuple[Any, Any]]:
    """Where a trajectory crosses ``level``, such as one half: a description of one run, not a test.

    A point is on a side if its interval is wholly there. One point alone may be the noise of a checkpoint, so it takes
    two revisions in a row on a side, among those at which the number was measured; one that is undefined or not
    interpretable comes between them. A value without an interval is on no side.

    Returns:
        Pairs of points (rows): the last on the first side that has a neighbour there, and the first of two neighbours
        on the other side.
    """
    sides = [(point, _side(point, level)) for point in rows_of(trajectory.points)]
    confirmed = [
        (first, second, side) for (first, side), (second, other) in pairwise(sides) if side and side == other
    ]
    return [
        (before, after)
        for (_, before, earlier_side), (after, _, side) in pairwise(confirmed)
        if earlier_side != side
    ]


def _side(point: Any, level: float) -> int:
    """1 above, -1 below, 0 for neither."""
    if not point.usable:
        return 0
    return int(point.ci_low > level) - int(point.ci_high < level)


def _epochs(table: Table) -> NDArray[Any]:
    """The position in epochs of each row."""
    epochs = table.rows["epoch"].to_numpy()
    revisions = table.cells[["run", "revision", "epoch", "step", "samples_seen"]].drop_duplicates(
        ["run", "revision"]
    )
    # `step-00000512` may carry the number of the epoch that it lies in: its place is inside that epoch.
    names = revisions["revision"]
    inside = names.map(lambda name: step_of(name) is not None and epoch_of(name) is None).to_numpy(bool)
    if not inside.any():
        return epochs
    placed = []
    for _, steps in revisions[inside].groupby("run", sort=False):
        whole = revisions[~inside & (revisions["run"] == steps["run"].iloc[0])]
        by_step, by_samples = (
            _epochs_at(steps[clock].astype(float), whole.astype({clock: float, "epoch": float}), clock)
            for clock in ("step", "samples_seen")
        )
        placed.append(steps[["run", "revision"]].assign(place=by_step.fillna(by_samples)))
    places = pd.concat(placed).set_index(["run", "revision"])["place"]
    runs, states = table.rows["run"].cat, table.rows["revision"].cat
    found = np.full((len(runs.categories), len(states.categories)), np.nan)
    is_inside = np.zeros(found.shape, bool)
    at = (
        runs.categories.get_indexer(places.index.get_level_values(0)),
        states.categories.get_indexer(places.index.get_level_values(1)),
    )
    found[at], is_inside[at] = places, True
    rows = runs.codes.to_numpy(), states.codes.to_numpy()
    return np.where(is_inside[rows], found[rows], epochs)


def _epochs_at(readings: "pd.Series[float]", whole: pd.DataFrame, clock: str) -> "pd.Series[float]":
    """The epochs at readings of a clock, from the readings at whole epochs; NaN if they do not tell."""
    start = pd.DataFrame({clock: [0.0], "epoch": [0.0]})
    marks = (
        pd.concat([start, whole[[clock, "epoch"]].dropna()]).drop_duplicates().sort_values([clock, "epoch"])
    )
    if len(marks) < 2:
        return readings * math.nan
    last = marks.iloc[-1]
    inside = pd.Series(np.interp(readings, marks[clock], marks["epoch"]), readings.index)
    return inside.where(~(readings > last[clock]), readings * last["epoch"] / last[clock])
