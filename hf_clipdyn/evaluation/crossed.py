"""Means over pairs: of one run with several others, and of all seeds, with an interval crossed over items and seeds."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any, cast

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.relation import Seen
from hf_clipdyn.benchmarks.units import UnitsOf
from hf_clipdyn.metrics.influence import mean_over_pairs
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Term

FEWEST_SEEDS = 3
"""Without one of two seeds there is no pair, so that the error of seeds is unknown."""

_Related = Callable[[Seen, Seen], Sequence[Number]]


@dataclass(frozen=True)
class _Pair:
    """The seeds of two runs, the numbers of their relation, and -1 if these count in a mean that is subtracted."""

    seeds: tuple[int | None, int | None]
    numbers: Sequence[Number]
    sign: int = 1


def by_arm(seen: Iterable[Seen]) -> dict[str | None, dict[str, list[Seen]]]:
    """Revisions of runs with a seed by scale, then by arm, each arm in the order of its seeds."""
    arms: dict[str | None, dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    known = [one for one in seen if one.cell.seed is not None]
    for one in sorted(known, key=lambda one: (one.cell.seed, one.cell.repo_id)):
        arms[one.cell.scale][one.cell.arm].append(one)
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
        alike = all(_are_alike(one, given[0]) for one in given)
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


def _mean(influences: Sequence["pd.Series[Any] | None"]) -> "pd.Series[Any] | None":
    known = [one for one in influences if one is not None]
    if len(known) < len(influences):
        return None
    if not all(_are_alike(one, known[0]) for one in known):
        return sum(known[1:], known[0]) / len(known)
    return pd.Series(np.mean([one.to_numpy() for one in known], axis=0), index=known[0].index)


def _are_alike(first: "pd.Series[Any]", second: "pd.Series[Any]") -> bool:
    """Whether two influences have the same units in the same order."""
    return first.index is second.index or bool(first.index.equals(second.index))


def named(numbers: Iterable[Number], reference: str) -> list[Number]:
    """The numbers with the name of the other revision."""
    return [replace(one, reference=one.reference or reference) for one in numbers]


def brief(numbers: Iterable[Number], reference: str, terms: Mapping[str, Term]) -> list[Number]:
    """Only the values with an error, named, without their influence: the mean over the others has it.

    What mirrors another metric is left out: of a single pair it follows from that one.
    """
    values = (one for one in numbers if one.role == "value" and one.influence is not None)
    told = (one for one in values if not terms[one.metric].mirrors)
    return [replace(one, reference=reference, influence=None) for one in told]


def mean_of_others(each: Sequence[Sequence[Number]], reference: str) -> list[Number]:
    """The mean of each number over several others, where it is defined, with their name."""
    by_key: dict[tuple[Any, ...], list[Number]] = defaultdict(list)
    for numbers in each:
        for one in numbers:
            by_key[one.number_key].append(one)
    means = []
    made: dict[tuple[int, ...], Any] = {}  # two forms of kappa share their influences
    for alike in by_key.values():
        defined = [one for one in alike if not math.isnan(one.value)]
        name = alike[0].reference or reference
        if not defined:
            means.append(replace(alike[0], reference=name))
            continue
        given = tuple(id(one.influence) for one in defined)
        if given not in made:
            made[given] = _mean([one.influence for one in defined])
        value = float(np.mean([one.value for one in defined]))
        note = "" if len(defined) == len(each) else f"the mean of {len(defined)} of {len(each)}"
        means.append(replace(defined[0], value=value, influence=made[given], note=note, reference=name))
    return means
