"""From what a kind says of its numbers to influences on named units (`hf_clipdyn.metrics.influence`), and intervals.

`Kind.score` gives a number's influence as a Series. Its index names the units: ``item`` alone for items, whose
clusters are those of the trials (`Kind.clusters`); any other index names the clusters themselves, crossed ones by
several levels. Units with the same names are the same in all cells, so that numbers of two revisions can be subtracted.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.kind import Common, Kind
from hf_clipdyn.metrics.influence import MOST_GROUPS, UNDEFINED, Influence, Units
from hf_clipdyn.metrics.scores import Scale, few_clusters, interval
from hf_clipdyn.metrics.shared_images import image_clusters
from hf_clipdyn.results.row import Number

Key: TypeAlias = tuple[Any, ...]
"""The values of `NUMBER_KEY`."""


def scored(kind: type[Kind[Any]], trials: pd.DataFrame, common: Common) -> list[Number]:
    """All numbers of the trials, with the intervals that follow from their influences and scales.

    A number that has ends already keeps them. The influences are then on named units, and a note says where there are
    few clusters.

    Args:
        kind: of the cell.
        trials: of the cell.
        common: the level of the intervals, and the seed.

    Raises:
        MetricError, ValueError, TypeError, LookupError, ArithmeticError: the trials are not those of this kind.
    """
    units = UnitsOf(kind, trials)
    return [
        with_interval(number, scale, units.of(number), common.confidence_level)
        for number, scale in kind.score(trials, common.seed)
    ]


def with_interval(number: Number, scale: Scale, influence: Influence | None, level: float) -> Number:
    """A number with this influence and the interval that follows from it; one that has ends keeps them."""
    if influence is None:
        return replace(number, influence=None)
    low, high, notes = number.ci_low, number.ci_high, [number.note]
    if math.isnan(low):
        low, high = interval(number.value, influence, scale, level)
        notes += [] if math.isnan(low) else [few_clusters(influence)]
    n_clusters = number.n_clusters or influence.n_clusters
    note = "; ".join(filter(None, notes))
    return replace(number, influence=influence, ci_low=low, ci_high=high, n_clusters=n_clusters, note=note)


def influences(
    kind: type[Kind[Any]], trials: pd.DataFrame, numbers: Iterable[Number]
) -> dict[Key, Influence]:
    """The influences on the numbers of one cell, by their keys; those of undefined values have a cause.

    Args:
        kind: of the cell.
        trials: of the cell.
        numbers: that `scored` gives for these trials.
    """
    units, listed = UnitsOf(kind, trials), list(numbers)
    if trials.empty:
        return {number.number_key: Influence.unknown("the benchmark shows no items") for number in listed}
    known = {
        number.number_key: units.influence(number.influence)
        for number in listed
        if number.influence is not None
    }
    undefined = [number.number_key for number in listed if math.isnan(number.value)]
    return known | dict.fromkeys(undefined, Influence.unknown(UNDEFINED))


def grouped(names: "pd.Series[Any] | pd.Index[Any]") -> tuple[NDArray[np.int64], pd.Index]:
    """The group of each row for a jackknife, and the groups' names: the clusters, or at most `MOST_GROUPS` of them.

    The names of the clusters alone decide which group a cluster is in, so all cells of a benchmark have the same.

    Args:
        names: of each row's cluster.

    Examples:
        >>> import pandas as pd
        >>> from hf_clipdyn.benchmarks.units import grouped
        >>> groups, named = grouped(pd.Series(["b", "a", "b"], name="photograph"))
        >>> groups.tolist(), named.tolist(), named.name
        ([1, 0, 1], ['a', 'b'], 'photograph')
    """
    clusters = pd.Index(names).unique().sort_values()
    codes = clusters.get_indexer(pd.Index(names)).astype(np.int64)
    if len(clusters) <= MOST_GROUPS:
        return codes, clusters
    group = np.random.default_rng(0).permutation(len(clusters)) % MOST_GROUPS
    digest = _digest([clusters])[:16]
    return group[codes], pd.Index([f"{digest} {at}" for at in range(MOST_GROUPS)], name="group")


class UnitsOf:
    """The units of one cell: numbers of the same units share them.

    Args:
        kind: of the cell.
        trials: their columns ``item`` and `Kind.clusters` are read.
    """

    def __init__(self, kind: type[Kind[Any]], trials: pd.DataFrame) -> None:
        self._kind, self._trials = kind, trials
        self._known: dict[Any, Units] = {}
        self._last: tuple[pd.Index, Units] | None = None  # most numbers have the index of the one before

    def of(self, number: Number) -> Influence | None:
        """The influence on a number; None if it has none."""
        known = number.influence
        return None if known is None or known.empty else self.influence(known)

    def influence(self, contributions: "pd.Series[Any] | Influence") -> Influence:
        """Contributions of items or clusters as an influence on these units; an influence stays what it is."""
        if isinstance(contributions, Influence):
            return contributions
        if self._last is not None and contributions.index is self._last[0]:
            return Influence.on(self._last[1], contributions.to_numpy(np.float64))
        is_ordered = contributions.index.is_monotonic_increasing
        ordered = contributions if is_ordered else contributions.sort_index(kind="stable")
        index = ordered.index
        key = (*index.names, np.asarray(index).tobytes() if index.dtype.kind == "i" else tuple(index))
        if key not in self._known:
            self._known[key] = self._of(index)
        self._last = index, self._known[key]
        return Influence.on(self._known[key], ordered.to_numpy(np.float64))

    def _of(self, index: pd.Index) -> Units:
        ways = ways_of(self._kind)
        if index.names != ["item"] or ways == [["item"]]:
            return _units([[column] for _, column in index.to_frame(index=False).items()])
        of_items = self._trials.drop_duplicates("item").set_index("item", drop=False).loc[index]
        return _units([[of_items[name] for name in way] for way in ways], names=index)


def ways_of(kind: type[Kind[Any]]) -> list[list[str]]:
    """The columns that name clusters, in each of the ways that are crossed."""
    return [[way] if isinstance(way, str) else list(way) for way in kind.clusters]


def _units(ways: Sequence[Sequence["pd.Series[Any]"]], *, names: pd.Index | None = None) -> Units:
    """Units whose clusters are named in several ways, each of one column or of several that share their names."""
    columns = [column for way in ways for column in way]
    digest = _digest(columns if names is None else [names, *columns])
    tables = [np.stack([column.to_numpy() for column in way], axis=1) for way in ways]
    codes_by_way = [pd.factorize(table.reshape(-1))[0].reshape(table.shape) for table in tables]
    if len(ways) == 1 and len(columns) > 1:
        whole, n_clusters = image_clusters(codes_by_way[0])
        return Units(digest, codes_by_way[0] if whole is None else whole[:, None], n_clusters)
    sizes = [int(codes.max()) + 1 for codes in codes_by_way]
    starts = np.cumsum([0, *sizes[:-1]])
    clusters = np.concatenate([codes + at for codes, at in zip(codes_by_way, starts, strict=True)], axis=1)
    return Units(digest, clusters, min(sizes))


def _digest(columns: Iterable["pd.Index | pd.Series[Any]"]) -> str:
    """SHA-256 of columns of names, whatever their type."""
    sha256 = hashlib.sha256()
    for column in columns:
        sha256.update("\0".join(map(str, column.tolist())).encode() + b"\1")
    return sha256.hexdigest()
