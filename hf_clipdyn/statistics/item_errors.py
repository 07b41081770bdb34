"""What the items of a benchmark contribute to the error of a number, and so to that of any sum of numbers.

The same items are shown to all revisions of all runs. If other items had been drawn, all numbers would move together;
hence the variance of a weighted sum of numbers, over revisions and runs, comes from the weighted sum of what each item
(or cluster of items) contributes to each number. That needs one vector a number, however many sums are asked for.

A number whose error is a sum over stimuli (`Kind.influences`) has the variance over all pairs of stimuli that share a
cluster (`SharedImages`). Any other number is scored again without each group of clusters: the delete-a-group jackknife.
The names of the clusters alone decide which group a cluster is in, so all cells of a benchmark have the same groups.
Crossed clusters (shape and texture exemplars) have the variance V_first + V_second - V_both (Cameron, Gelbach and
Miller 2011); clusters that share one set of names (an image may be a reference here and a candidate there) are left
out wherever they occur.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.base import Common, Kind
from hf_clipdyn.metrics.shared_images import SharedImages, image_clusters
from hf_clipdyn.progress import draws_bars
from hf_clipdyn.results.row import NUMBER_KEY, NumberKey

__all__ = ["Design", "ItemError", "Key", "item_errors", "left_out_errors", "weighted_error"]

Key: TypeAlias = tuple[Any, ...]
"""The values of `NUMBER_KEY`."""
Score: TypeAlias = Callable[[Sequence[pd.DataFrame]], Mapping[Key, float]]
"""Tables of trials to numbers."""

_MOST_GROUPS = 100
_UNDEFINED = "the number is undefined, at least without some of its items"
_ONE_CLUSTER = "all items belong to one cluster"
_OTHER_ITEMS = "not all cells have the same items"


@dataclass(frozen=True)
class Design:
    """Which units contribute to an error; only contributions of one design can be added.

    Attributes:
        names: SHA-256 of the names of the units.
        signs: of each part of the contributions: the variance is the signed sum of the parts' sums of squares.
        sizes: number of contributions in each part.
        fallback: the part that counts alone if a small sample makes that sum negative.
        n_clusters: for the degrees of freedom.
    """

    names: str
    signs: tuple[int, ...]
    sizes: tuple[int, ...]
    fallback: int
    n_clusters: int


@dataclass(frozen=True, eq=False)
class ItemError:
    """The contributions to the error of a number, or of a weighted sum of numbers.

    Attributes:
        design: None if not even the units are known.
        values: shape (sum of the design's sizes,).
        cause: why the error is unknown; empty if it is known.
    """

    design: Design | None
    values: NDArray[np.float64]
    cause: str = ""

    @classmethod
    def unknown(cls, cause: str) -> "ItemError":
        """An unknown error, with its cause."""
        return cls(None, np.empty(0), cause)

    @property
    def variance(self) -> float:
        """NaN if unknown."""
        if self.design is None or self.cause:
            return math.nan
        starts = np.cumsum((0, *self.design.sizes[:-1]))
        parts = np.add.reduceat(np.square(self.values), starts)
        total = float(parts @ self.design.signs)
        return total if total > 0 else float(parts[self.design.fallback])

    @property
    def n_clusters(self) -> int:
        """0 if unknown."""
        return self.design.n_clusters if self.design else 0


def weighted_error(errors: Sequence[ItemError], weights: Sequence[float]) -> ItemError:
    """The error of the weighted sum of numbers.

    Returns:
        An unknown error, with the cause, if one of them is unknown or they have different items.
    """
    for one in errors:
        if one.cause:
            return one
    designs = {one.design for one in errors}
    if len(designs) != 1:
        return ItemError.unknown(_OTHER_ITEMS)
    return ItemError(
        designs.pop(), np.asarray(weights, np.float64) @ np.stack([one.values for one in errors])
    )


def item_errors(
    kind: type[Kind[Any]],
    trials: pd.DataFrame,
    keys: Iterable[Key] | None = None,
    *,
    seed: int = 0,
    show_progress: bool = False,
) -> dict[Key, ItemError]:
    """The errors of the numbers of one cell.

    Args:
        kind: of the cell.
        trials: of the cell.
        keys: numbers; None for all but diagnostics.
        seed: for merging more than 100 clusters into groups.
        show_progress: draw a progress bar if a jackknife takes longer than two seconds.
    """
    if trials.empty:
        return dict.fromkeys(keys or (), ItemError.unknown("the benchmark shows no items"))
    found: dict[Key, ItemError] = {}
    for part, wanted in _parts(kind, trials, keys):
        found |= (known := _from_influences(kind, part, wanted))
        if rest := [key for key in wanted if key not in known]:
            score = _own_numbers(kind)
            found |= left_out_errors(kind, [part], score, rest, seed=seed, show_progress=show_progress)
    return found


def left_out_errors(
    kind: type[Kind[Any]],
    tables: Sequence[pd.DataFrame],
    score: Score,
    keys: Sequence[Key],
    *,
    seed: int = 0,
    show_progress: bool = False,
) -> dict[Key, ItemError]:
    """The errors of numbers by the delete-a-group jackknife: leave out each group in turn and score the rest.

    Args:
        kind: of the tables.
        tables: trials; a group is left out of all of them.
        score: gives the numbers of such tables.
        keys: the numbers.
        seed: for merging more than 100 clusters into groups.
        show_progress: draw a progress bar if that takes longer than two seconds.
    """
    ways = list(_ways(kind, tables, seed))
    n_groups = [way.n for way in ways]
    if min(n_groups) < 2:
        return dict.fromkeys(keys, ItemError.unknown(_ONE_CLUSTER))
    names = _digest(way.names for way in ways)
    design = Design(names, tuple(way.sign for way in ways), tuple(n_groups), len(ways) - 1, min(n_groups))
    left_out: list[list[float]] = []
    with _bar(kind, sum(n_groups), show_progress) as bar:
        for way in ways:
            rows = []
            for group in range(way.n):
                found = score(way.without(group))
                rows.append([found.get(key, math.nan) for key in keys])
                bar.update()
            table = np.array(rows, np.float64).reshape(way.n, len(keys))
            left_out += (math.sqrt((way.n - 1) / way.n) * (table.mean(axis=0) - table)).tolist()
    columns = np.array(left_out).T
    return {
        key: ItemError(design, column, _UNDEFINED if np.isnan(column).any() else "")
        for key, column in zip(keys, columns, strict=True)
    }


def _own_numbers(kind: type[Kind[Any]]) -> Score:
    common = Common(n_resamples=0)
    return lambda tables: {one.number_key: one.value for one in kind.score(tables[0], common)}


def _parts(
    kind: type[Kind[Any]], trials: pd.DataFrame, keys: Iterable[Key] | None
) -> Iterator[tuple[pd.DataFrame, list[Key]]]:
    """Trials, and the numbers that rest on them."""
    if keys is None:
        numbers = kind.score(trials, Common(n_resamples=0))
        yield trials, [one.number_key for one in numbers if one.role != "diagnostic"]
        return
    found: dict[int, tuple[pd.DataFrame, list[Key]]] = {}
    for key in keys:
        part = kind.rows_behind(trials, NumberKey(**dict(zip(NUMBER_KEY, key, strict=True))))
        found.setdefault(id(part), (part, []))[1].append(key)
    yield from found.values()


def _from_influences(
    kind: type[Kind[Any]], trials: pd.DataFrame, wanted: Sequence[Key]
) -> dict[Key, ItemError]:
    """The errors that are sums over stimuli."""
    # Numbers of the same stimuli share the work; those of a subset have fewer stimuli.
    alike: dict[bytes, dict[Key, pd.Series]] = {}
    asked = set(wanted)
    for one in kind.influences(trials):
        if one.number_key in asked:
            values = one.values.sort_index()
            alike.setdefault(np.asarray(values.index).tobytes(), {})[one.number_key] = values
    found: dict[Key, ItemError] = {}
    if not alike:
        return found
    units = trials.drop_duplicates("item").set_index("item", drop=False)[list(kind.clusters)]
    for of_items in alike.values():
        items = next(iter(of_items.values())).index
        influences = np.stack([one.to_numpy(np.float64) for one in of_items.values()], axis=1)
        errors = _shared_errors(units.loc[items], kind.clusters_alike, influences)
        found |= dict(zip(of_items, errors, strict=True))
    return found


def _shared_errors(units: pd.DataFrame, alike: bool, influences: NDArray[np.float64]) -> Iterator[ItemError]:
    """The error of each column of influences, by the clusters of each stimulus."""
    codes, n_clusters = _units(units, alike)
    parts = SharedImages(codes).sums(influences)
    names = _digest([units.index, *(units[name] for name in units)])
    design = Design(
        names,
        tuple(sign for sign, _ in parts),
        tuple(len(sums) for _, sums in parts),
        0,
        n_clusters,
    )
    for column, influence in zip(np.concatenate([sums for _, sums in parts]).T, influences.T, strict=True):
        cause = _UNDEFINED if np.isnan(influence).any() else _ONE_CLUSTER
        yield ItemError(design, column, cause if np.isnan(column).any() else "")


def _units(table: pd.DataFrame, alike: bool) -> tuple[NDArray[np.int64], int]:
    """The clusters of each stimulus, numbered, (n, k), and the number of clusters for Student's t."""
    if alike:
        codes = pd.factorize(table.to_numpy().reshape(-1))[0].reshape(table.shape)
        clusters, n_clusters = image_clusters(codes)
        return (codes if clusters is None else clusters[:, None]), n_clusters
    columns = [pd.factorize(table[name])[0] for name in table]
    sizes = [int(codes.max()) + 1 for codes in columns]
    starts = np.cumsum([0, *sizes[:-1]])
    return np.stack([codes + start for codes, start in zip(columns, starts, strict=True)], axis=1), min(sizes)


@dataclass(frozen=True, eq=False)
class _Way:
    """One way to cut the items into groups.

    Attributes:
        sign: of its part of the variance.
        names: of its clusters, sorted.
        n: number of groups.
        tables: trials.
        groups: of each row of each table, (rows, columns): those that the row is left out with.
    """

    sign: int
    names: pd.Index
    n: int
    tables: Sequence[pd.DataFrame]
    groups: Sequence[NDArray[np.int64]]

    def without(self, group: int) -> list[pd.DataFrame]:
        """The tables without one group."""
        kept = [(groups != group).all(axis=1) for groups in self.groups]
        return [table[rows] for table, rows in zip(self.tables, kept, strict=True)]


def _ways(kind: type[Kind[Any]], tables: Sequence[pd.DataFrame], seed: int) -> Iterator[_Way]:
    """Crossed clusters are left out in each way and in all combinations of ways, with alternating signs."""
    clusters = list(kind.clusters)
    if kind.clusters_alike:
        yield _way(1, tables, [[pd.Index(table[name]) for name in clusters] for table in tables], seed)
        return
    for size in range(1, len(clusters) + 1):
        for chosen in map(list, combinations(clusters, size)):
            columns = [[pd.MultiIndex.from_frame(table[chosen])] for table in tables]
            yield _way((-1) ** (size + 1), tables, columns, seed)


def _way(sign: int, tables: Sequence[pd.DataFrame], columns: Sequence[Sequence[pd.Index]], seed: int) -> _Way:
    first, *others = [one for of_table in columns for one in of_table]
    names = first.append(others).unique().sort_values()
    n = min(len(names), _MOST_GROUPS)
    number = np.random.default_rng(seed).permutation(len(names)) % n
    groups = [np.stack([number[names.get_indexer(one)] for one in of_table], axis=1) for of_table in columns]
    return _Way(sign, names, n, tables, groups)


def _digest(columns: Iterable["pd.Index | pd.Series[Any]"]) -> str:
    """SHA-256 of columns of names."""
    found = hashlib.sha256()
    for column in columns:
        # Plain Python values: a tuple of NumPy's would be written otherwise.
        parts = column.to_frame() if isinstance(column, pd.MultiIndex) else column.to_frame(name="name")
        for name in parts:
            found.update("\0".join(map(str, parts[name].tolist())).encode() + b"\1")
    return found.hexdigest()


def _bar(kind: type[Kind[Any]], total: int, show_progress: bool) -> "tqdm[Any]":
    return tqdm(
        total=total,
        desc=f"leaving out items of {kind.name}",
        unit="group",
        delay=2,
        leave=False,
        disable=not (show_progress and draws_bars()),
    )
