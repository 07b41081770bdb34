"""Means over all pairs of seeds, within an arm and between two, with an interval crossed over items and seeds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any, cast

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.influence import UnitsOf
from hf_clipdyn.benchmarks.relation import Seen
from hf_clipdyn.benchmarks.settings import Common
from hf_clipdyn.metrics.estimate import mean_over_pairs
from hf_clipdyn.results.row import Number

__all__ = ["FEWEST_SEEDS", "by_arm", "crossed"]

FEWEST_SEEDS = 3
"""Without one of two seeds there is no pair, so that the error of seeds is unknown."""

_Related = Callable[[Seen, Seen], Sequence[Number]]


@dataclass(frozen=True)
class _Pair:
    """The seeds of two runs, the numbers of their relation, and -1 if these count in a mean that is subtracted."""

    seeds: tuple[int | None, int | None]
    numbers: Sequence[Number]
    sign: int = 1


def by_arm(seen: Iterable[Seen]) -> dict[tuple[str | None, str], list[Seen]]:
    """Revisions of runs with a seed by scale and arm, each arm in the order of its seeds."""
    arms: dict[tuple[str | None, str], list[Seen]] = defaultdict(list)
    known = [one for one in seen if one.cell.seed is not None]
    for one in sorted(known, key=lambda one: (one.cell.seed, one.cell.repo_id)):
        arms[one.cell.scale, one.cell.arm].append(one)
    return arms


def crossed(
    own: Sequence[Seen],
    others: Mapping[str, Sequence[Seen]],
    related: _Related,
    units: UnitsOf,
    common: Common,
) -> Iterator[Number]:
    """The means over all pairs of seeds of one arm, over those with each other arm, and the first minus the second.

    Seeds of a pair differ: equal ones of two arms share what does not belong to the arms.

    Args:
        own: revisions of one arm at equal samples, of at least `FEWEST_SEEDS` seeds.
        others: those of other arms.
        related: the numbers of a pair.
        units: of their influences.
        common: settings of the intervals.

    Returns:
        Numbers with the reference ``pairs``, ``pairs with arm NAME`` and ``pairs minus arm NAME``.
    """

    def of(pairs: Iterable[tuple[Seen, Seen]]) -> list[_Pair]:
        unequal = ((a, b) for a, b in pairs if a.cell.seed != b.cell.seed)
        return [_Pair((a.cell.seed, b.cell.seed), related(a, b)) for a, b in unequal]

    within = of(combinations(own, 2))
    yield from _means(within, "pairs", units, common)
    for arm, runs in others.items():
        between = of(product(own, runs))
        yield from _means(between, f"pairs with arm {arm or 'main'}", units, common)
        subtracted = [replace(one, sign=-1) for one in between]
        yield from _means([*within, *subtracted], f"pairs minus arm {arm or 'main'}", units, common)


def _means(pairs: Sequence[_Pair], reference: str, units: UnitsOf, common: Common) -> Iterator[Number]:
    by_key: dict[tuple[Any, ...], list[tuple[_Pair, Number]]] = defaultdict(list)
    for pair in pairs:
        for number in pair.numbers:
            if number.role == "value" and number.influence is not None:
                by_key[number.number_key].append((pair, number))
    for known in by_key.values():
        numbers, signs = [number for _, number in known], np.array([pair.sign for pair, _ in known])
        seeds = np.array([pair.seeds for pair, _ in known])
        given = [cast("pd.Series[Any]", one.influence) for one in numbers]
        alike = all(one.index.equals(given[0].index) for one in given)
        if set(signs) != {pair.sign for pair in pairs} or not alike or len(np.unique(seeds)) < FEWEST_SEEDS:
            continue
        weights = np.array([sign / (signs == sign).sum() for sign in signs])
        influence = pd.Series(weights @ np.stack([one.to_numpy() for one in given]), index=given[0].index)
        result = mean_over_pairs(
            [one.value for one in numbers],
            seeds,
            units.influence(influence),
            signs=signs,
            confidence_level=common.confidence_level,
        )
        note = "" if len(known) == len(pairs) else f"the mean of {len(known)} of {len(pairs)} pairs"
        ends = dict(zip(("ci_low", "ci_high"), result["ci"], strict=True)) if common.n_resamples else {}
        columns = {"value": result["value"], "reference": reference, "note": note} | ends
        yield replace(numbers[0], influence=influence, **columns)
