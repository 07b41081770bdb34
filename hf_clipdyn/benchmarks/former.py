"""Scores of kinds of the interface of 0.3, whose numbers have their own intervals; it goes with `earlier`.

A value without an influence gets that of the delete-a-group jackknife: `score` runs again without each group.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.kind import Common, Kind
from hf_clipdyn.metrics.influence import UNDEFINED, Influence, left_out_influence
from hf_clipdyn.progress import draws_bars
from hf_clipdyn.results.row import Number

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.units import Key, UnitsOf


def scored(kind: type[Kind[Any]], trials: pd.DataFrame, common: Common) -> list[Number]:
    """The numbers with their intervals."""
    score: Any = kind.score
    return list(score(trials, common))


def are_given(numbers: Iterable[Number]) -> bool:
    """Whether `score` gave the influences on all values, so that no jackknife is needed."""
    return not any(map(_lacks_influence, numbers))


def influences(
    kind: type[Kind[Any]], trials: pd.DataFrame, numbers: Sequence[Number], units: "UnitsOf"
) -> "dict[Key, Influence]":
    """The influences on the numbers of one cell and on those of people, by their keys."""
    given = (*numbers, *kind.numbers_of_people(trials))
    known = {one.number_key: units.influence(one.influence) for one in given if one.influence is not None}
    rest = [one.number_key for one in numbers if _lacks_influence(one)]
    known |= {one.number_key: Influence.unknown(UNDEFINED) for one in numbers if math.isnan(one.value)}
    return known | (_left_out(kind, trials, rest, units) if rest else {})


def _lacks_influence(one: Number) -> bool:
    return one.role == "value" and one.influence is None and not math.isnan(one.value)


def _left_out(
    kind: type[Kind[Any]], trials: pd.DataFrame, keys: "Sequence[Key]", units: "UnitsOf"
) -> "dict[Key, Influence]":
    """By leaving out each group of clusters and scoring the rest; of crossed clusters each pair of them that occurs."""
    from hf_clipdyn.benchmarks.units import grouped

    table = trials[list(map(str, kind.clusters))]
    if kind.clusters_alike:  # left out wherever it occurs
        names = pd.Index(pd.unique(table.to_numpy().reshape(-1)), name="cluster")
        codes, groups = grouped(names)
        of_rows = codes[names.get_indexer(pd.Index(table.to_numpy().reshape(-1)))].reshape(table.shape)
    elif table.shape[1] > 1:
        combined = pd.MultiIndex.from_frame(table)
        groups = combined.unique()
        of_rows = groups.get_indexer(combined)[:, None]
    else:
        codes, groups = grouped(table.iloc[:, 0])
        of_rows = codes[:, None]
    if len(groups) < 2:
        return dict.fromkeys(keys, units.influence(pd.Series(0.0, index=groups)))
    bar = tqdm(
        range(len(groups)),
        desc=f"leaving out items of {kind.name}",
        unit="group",
        delay=2,
        leave=False,
        disable=not draws_bars(),
    )
    common, rows = Common(n_resamples=0), []
    earlier: Any = kind.score
    for group in bar:
        kept = trials[(of_rows != group).all(axis=1)]
        values = {one.number_key: one.value for one in earlier(kept, common)}
        rows.append([values.get(key, math.nan) for key in keys])
    contributions = left_out_influence(np.array(rows, np.float64))
    return {
        key: units.influence(pd.Series(column, index=groups))
        for key, column in zip(keys, contributions.T, strict=True)
    }
