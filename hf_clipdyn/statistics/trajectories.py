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
from hf_clipdyn.results.table import Coded, Results
from hf_clipdyn.results.terms import Axis, DatasetTerms, KindTerms, Reference, Term, Vocabulary, bare
from hf_clipdyn.revisions.names import epoch_of, natural_key, step_of

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
    """The numbers of tables of results, and their words.

    Attributes:
        columns: the rows of one trajectory after the other, each in the order of training: the columns of `Row` that
            vary, and ``cell``, with ``epoch`` the position in epochs (between two whole numbers for a revision inside
            an epoch; NaN if unknown), ``order`` the rank of the revision in its run from 0, ``defined`` whether there
            is a number, and ``usable`` whether it is defined and interpretable.
        vocabulary: the words of the tables.
    """

    columns: Mapping[str, NDArray[Any] | Coded]
    vocabulary: Vocabulary

    @classmethod
    def of(cls, points: pd.DataFrame, vocabulary: Vocabulary) -> "Numbers":
        """From a frame with these columns."""
        return cls({str(name): values.to_numpy() for name, values in points.items()}, vocabulary)

    def points(self, places: NDArray[np.integer[Any]]) -> pd.DataFrame:
        """The rows at these places, which are its index."""
        columns = {name: column[places] for name, column in self.columns.items()}
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
        return self.numbers.columns[name][self.start : self.end]

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


def read_trajectories(results: Results) -> list[Trajectory]:
    """Cut the rows of `read_results` into trajectories, in the order of the table."""
    cells, values = results.cells, results.values
    at_cell, at_key = values["at_cell"].to_numpy(), values["at_key"].to_numpy()
    runs = cells.groupby("run", sort=False).ngroup().to_numpy()
    placed = _placed_cells(cells.iloc[np.argsort(runs, kind="stable")]).sort_index()

    # A trajectory is a number of what its cells have in common. Those of one run follow one another.
    common = placed.groupby(_CELL, sort=False, dropna=False).ngroup().to_numpy()
    of_row, different = pd.factorize(common[at_cell] * len(results.keys) + at_key)
    first = np.full(len(different), len(of_row))
    np.minimum.at(first, of_row, np.arange(len(of_row)))
    by_run = np.argsort(runs[at_cell[first]], kind="stable")
    first, of_row = first[by_run], np.argsort(by_run)[of_row]
    order = np.lexsort((placed["order"].to_numpy()[at_cell], of_row)).astype(np.int32)
    ends = np.cumsum(np.bincount(of_row)).tolist()

    of_cells = [_plain(placed[name].iloc[at_cell[first]]) for name in _CELL]
    keys = [
        (*cell, *results.number_keys[key])
        for *cell, key in zip(*of_cells, at_key[first].tolist(), strict=True)
    ]
    columns = {name: Coded(at_cell[order], placed[name].to_numpy()) for name in _OF_CELL}
    columns |= {name: Coded(order, one) for name, one in _of_values(values).items()}
    return _with_references(keys, [0, *ends], Numbers(columns, results.vocabulary))


_OF_CELL = ("revision", "cell", "epoch", "step", "samples_seen", "order", "run")


def _of_values(values: pd.DataFrame) -> dict[str, NDArray[Any] | Coded]:
    """The columns of points that differ within a cell."""
    columns: dict[str, NDArray[Any] | Coded] = {
        name: values[name].to_numpy() for name in ("value", "ci_low", "ci_high", "n", "n_clusters")
    }
    defined = np.isfinite(values["value"].to_numpy())
    notes = values["note"].cat
    causes = np.append(notes.categories.to_numpy(object), _NO_CAUSE)
    has_none = ~defined & (values["note"] == "").to_numpy()
    columns["note"] = Coded(np.where(has_none, len(causes) - 1, notes.codes), causes)
    interpretable = values["interpretable"].fillna(True).to_numpy(bool)
    return columns | {"defined": defined, "usable": defined & interpretable}


def _plain(values: "pd.Series[Any]") -> list[Any]:
    """Built-in types, and None for what is missing."""
    if values.name == "seed":
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


def _placed_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells, run by run, with what holds for their run, and with ``epoch`` and ``order`` of their revision."""
    runs = cells.groupby("run", sort=False).ngroup().to_numpy()
    revisions = cells.groupby(["run", "revision"], sort=False).ngroup().to_numpy()
    columns = {name: of_run.to_numpy()[runs] for name, of_run in _of_runs(cells).items()}
    columns |= {name: place.to_numpy()[revisions] for name, place in _places(cells).items()}
    return cells.assign(**{str(name): column for name, column in columns.items()})


def _of_runs(cells: pd.DataFrame) -> pd.DataFrame:
    """Scale, seed and arm of each run, in the order of the cells; some tables of a run may lack them."""
    known = cells[["run", "scale", "seed", "arm"]].drop_duplicates()
    by_run = known.assign(arm=known["arm"].fillna("")).groupby("run", sort=False)
    return by_run.agg({"scale": "first", "seed": "first", "arm": "max"})


def _places(cells: pd.DataFrame) -> pd.DataFrame:
    """The position in epochs, and the rank in its run, of every revision of every run, in the order of the cells."""
    revisions = cells.drop_duplicates(["run", "revision"]).set_index("revision")
    of_runs = revisions.groupby("run", sort=False)[["epoch", "step", "samples_seen"]]
    return pd.concat([_placed(clocks.astype(float)) for _, clocks in of_runs])


def _placed(revisions: pd.DataFrame) -> pd.DataFrame:
    """The position in epochs, and the rank, of the revisions of one run, in their order."""
    clocks, names = ["epoch", "step", "samples_seen"], revisions.index
    revisions = revisions.loc[sorted(names, key=natural_key)]
    # `step-00000512` may carry the number of the epoch that it lies in: its place is inside that epoch.
    inside = [step_of(name) is not None and epoch_of(name) is None for name in revisions.index]
    if any(inside):
        whole = revisions[~np.array(inside)]
        by_step, by_samples = (_epochs_at(revisions.loc[inside, clock], whole, clock) for clock in clocks[1:])
        revisions.loc[inside, "epoch"] = by_step.fillna(by_samples)
    revisions = revisions.sort_values(["epoch", "step"])
    return revisions.assign(order=np.arange(len(revisions))).loc[names, ["epoch", "order"]]


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
