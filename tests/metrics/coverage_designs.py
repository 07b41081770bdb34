"""Data with a known truth, drawn again and again: how often does the interval of each metric contain it?

A design draws data that depend as real ones do, and says what each number is in truth. `scripts/coverage.py` measures
the committed table and draws that of docs/explanation/intervals.md from it; test_coverage.py holds both.
"""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.metrics.scores import Scale, Score, few_clusters, interval, mean, over

Floats = np.ndarray
Data = tuple[Any, ...]


@dataclass(frozen=True)
class Known:
    """A number with what its clusters contribute to it, its own interval if it brings one, and the metric's caution."""

    value: float
    influence: Influence
    scale: Scale
    ends: tuple[float, float] | None = None
    caution: str = ""


@dataclass(frozen=True)
class Design:
    """Draws of G clusters, the numbers of one draw, and their true values; a number without a truth is not shown."""

    draw: Callable[[np.random.Generator, int], Data]
    numbers: Callable[[Data], Mapping[str, Known]]
    truth: Callable[[int], Mapping[str, float]]
    clusters: Sequence[int] = (8, 20, 50)
    metric: str = ""


DESIGNS: dict[str, Design] = {}


@dataclass
class Covered:
    """Of one number: its intervals, how many contain the truth, their mean width, and how many carry a note."""

    intervals: int = 0
    hits: int = 0
    width: float = 0.0
    noted: int = 0
    noted_misses: int = 0


def covered(design: Design, n_clusters: int, draws: int) -> dict[str, Covered]:
    """How often the intervals of a design contain the truth."""
    truth = design.truth(n_clusters)
    found = {name: Covered() for name in truth}
    for seed in range(draws):
        numbers = design.numbers(design.draw(np.random.default_rng(seed), n_clusters))
        for name in truth.keys() & numbers.keys():
            one, counts = numbers[name], found[name]
            low, high = one.ends or interval(one.value, one.influence, one.scale)
            if math.isnan(low):
                continue
            is_hit, has_note = low <= truth[name] <= high, bool(one.caution or few_clusters(one.influence))
            counts.intervals += 1
            counts.hits += is_hit
            counts.width += high - low
            counts.noted += has_note
            counts.noted_misses += has_note and not is_hit
    for counts in found.values():
        counts.width /= max(counts.intervals, 1)
    return found


def known(score: Score, groups: Floats | None = None, *, images: Floats | None = None) -> Known:
    return Known(score.value, over(score.influence, groups, images=images), score.scale, caution=score.cause)


def rows_of_means(data: Data, scales: Mapping[str, Scale]) -> dict[str, Known]:
    """Means of columns of rows, with the clusters of the rows."""
    rows, groups = data
    return {name: known(mean(rows[name], scale), groups) for name, scale in scales.items()}


def always(truth: Mapping[str, float]) -> Callable[[int], Mapping[str, float]]:
    return lambda _: truth


# --- the table ---------------------------------------------------------------------------------------------------

COVERAGE = Path(__file__).parents[1] / "goldens" / "coverage.tsv"
SHARES = {
    "zero_shot_accuracy",
    "observer_agreement",
    "two_afc",
    "jnd_map",
    "recall_at_k",
    "shape_bias",
    "odd_one_out",
}


def all_designs() -> dict[str, Design]:
    for name in ("coverage_choices", "coverage_observers", "coverage_embeddings"):
        importlib.import_module(name)
    return DESIGNS


def read_coverage() -> pd.DataFrame:
    return pd.read_csv(COVERAGE, sep="\t", comment="#")


def wanted(row: Any) -> float:
    """93 % from 20 clusters on and, of shares, between .05 and .95; 90 % elsewhere."""
    inside = row.metric not in SHARES or 0.05 <= row.truth <= 0.95
    return 0.93 if row.clusters >= 20 and inside else 0.9


def fault(row: Any) -> str:
    """What is wrong with the intervals of a row; excused if most of them, or of those that miss, carry a note.

    Rows of fewer than 2,000 intervals, of data that take long, may be two standard errors lower.
    """
    if (
        row.noted > row.intervals / 2
        or row.noted_misses > (row.intervals - row.hits) / 2
        or not row.intervals
    ):
        return ""
    now, before = row.hits / row.intervals, row.hits_before / row.intervals
    chance = 2 * math.sqrt(0.95 * 0.05 * max(1 / row.intervals - 1 / 2000, 0))
    least = wanted(row) - chance
    if now < least:
        return f"they contain the truth in {now:.1%} of the draws, which is below {least:.1%}"
    if now < min(before, 0.95) - 0.01 - chance:
        return f"they contain it in {now:.1%}, and those of 0.3 in {before:.1%}"
    if now > 0.97 and before >= least and row.width > 1.3 * row.width_before:
        return f"they are {row.width / row.width_before:.2f} times as wide as those of 0.3, which cover"
    return ""
