"""Contrasts over runs: the mean over the seeds of each scale, then over the scales, with its interval.

Over the n seeds of a scale the standard error of the mean is

    SE² = s² / n + V_shared

with s² the variance between the seeds. All seeds are shown the same items, so the part of the items' variance that
is common to all seeds does not show between them. Let the contrast of seed i be μ + e_i + d_i, with e_i from
the seed, of variance σ², and d_i from the items, of variance v_i and covariance c_ij with that of seed j. Then

- the expectation of s² is σ² + v - c, with v the mean of the variances v_i and c the mean of the covariances;
- the variance of the items in the mean over seeds is V = v / n + c (n - 1) / n, known from the items' contributions;
- the variance of the mean is σ² / n + V, which is the expectation of s² / n + V - (v - c) / n = s² / n + c.

Hence V_shared = c = (n V - v) / (n - 1), at least 0: what is not shared is in s² / n already. With K scales, each with
n_k seeds and the weight 1 / K, s² and v - c are pooled within scales by the degrees of freedom n_k - 1, and the same
holds with the sum of 1 / (K² n_k) in place of 1 / n.

Each error has a quantile of Student's t of its own: half-width² = t²(seeds) s² / n + t²(clusters - 1) V_shared, with
the sum of the n_k - 1 as the degrees of freedom of the seeds. At a nominal 98.3 %, with three or five seeds, this
covers 98.5 to 99.6 % (200,000 simulated studies each). With ``one_t`` both have that of the seeds, which is right where
seeds dominate and too wide where items do.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hf_clipdyn.metrics.influence import Influence, weighted_sum
from hf_clipdyn.statistics.errors import Errors

ONE_SEQUENCE = "one seed: the interval concerns this sequence of checkpoints only"
"""A note of estimates without a second seed."""
_POWER = 0.8
_NODES = 200

Floats = NDArray[np.float64]


class Error(NamedTuple):
    """One source of the error of an estimate: its variance, and the degrees of freedom of its quantile of t."""

    variance: float
    degrees_of_freedom: float


@dataclass(frozen=True, kw_only=True)
class RunValue:
    """A contrast in one run.

    Attributes:
        run: its name; of several arms, the sum of their names.
        value: NaN if undefined, with the ``cause``.
        influence: what each item contributes to the value; unknown with its cause.
        n, n_clusters: items, and clusters of items, of the rows that were read.
    """

    run: str
    scale: str = ""
    seed: int | None = None
    value: float = math.nan
    influence: Influence = field(
        default=Influence.unknown("no influences were read"), compare=False, repr=False
    )
    n: int = 0
    n_clusters: int = 0
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A contrast over the seeds of one or several scales.

    Attributes:
        value: NaN if undefined, with the ``cause``.
        ci_low, ci_high: ends of the interval at ``confidence``; NaN if there is none.
        errors: that of the seeds, and that of the items which all seeds share; with one seed, that of its items.
        n_seeds: runs that count, or pairs of runs.
        notes: what the interval leaves out.
        runs: the contrast of each.
    """

    value: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    confidence: float = 0.95
    errors: tuple[Error, ...] = ()
    n: int = 0
    n_clusters: int = 0
    cause: str = ""
    notes: tuple[str, ...] = ()
    runs: tuple[RunValue, ...] = ()

    @property
    def n_seeds(self) -> int:
        """Runs that count, or pairs of runs."""
        return len(self.runs)

    @property
    def scales(self) -> tuple[str, ...]:
        """Scales of the runs, in their order."""
        return tuple(dict.fromkeys(run.scale for run in self.runs))

    @property
    def has_one_seed(self) -> bool:
        """Whether the interval is over the items alone."""
        return 0 < self.n_seeds == len(_blocks(self.runs))

    @property
    def standard_error(self) -> float:
        """Of all sources; NaN if it cannot be estimated."""
        return math.sqrt(sum(one.variance for one in self.errors)) if self.errors else math.nan

    @property
    def sign(self) -> int | None:
        """1 if the interval lies above 0, -1 if it lies below, 0 if it includes 0; None without an interval."""
        return None if math.isnan(self.ci_low) else int(self.ci_low > 0) - int(self.ci_high < 0)

    @property
    def detectable(self) -> float:
        """See `detectable_effect`; NaN without an interval."""
        return detectable_effect(self.errors, self.confidence) if self.errors else math.nan


def combine(runs: Sequence[RunValue], confidence: float = 0.95, *, one_t: bool = False) -> Estimate:
    """A contrast over seeds; a scale is a fixed block.

    Args:
        runs: one for each seed of each scale; those of an unknown seed are not seeds of one training, and are a block
            each.
        confidence: of the interval.
        one_t: whether all errors share the quantile of the seeds.

    Returns:
        The estimate. It is undefined if one run is.

    Examples:
        >>> from hf_clipdyn.statistics.contrasts import RunValue, combine
        >>> found = combine([RunValue(run=f"{seed}", seed=seed, value=seed / 10) for seed in (1, 2, 3)])
        >>> round(found.value, 3), round(found.ci_low, 3), round(found.ci_high, 3)
        (0.2, -0.048, 0.448)
    """
    n, n_clusters = (
        max((run.n for run in runs), default=0),
        min((run.n_clusters for run in runs), default=0),
    )
    result = Estimate(confidence=confidence, runs=tuple(runs), n=n, n_clusters=n_clusters)
    undefined = [f"{run.run}: {run.cause}" for run in runs if math.isnan(run.value)]
    if undefined or not runs:
        return replace(result, cause=undefined[0] if undefined else "there is no run")

    blocks = _blocks(runs)
    values, weights = np.array([run.value for run in runs]), np.empty(len(runs))
    squares = not_shared = share = 0.0
    for block in blocks:
        n = len(block)
        weights[block] = 1 / (n * len(blocks))
        share += 1 / (n * len(blocks) ** 2)
        squares += float(np.square(values[block] - values[block].mean()).sum())
        not_shared += _not_shared([runs[at].influence for at in block])
    items = weighted_sum([run.influence for run in runs], weights.tolist())
    freedom = len(runs) - len(blocks)
    errors, notes = [], []
    if freedom:
        errors = [Error(squares / freedom * share, freedom)]
        shared = 0.0 if items.cause else max(0.0, items.variance - share * not_shared / freedom)
        errors += [Error(shared, items.n_clusters - 1)] if shared else []
        left_out = "the interval does not include the error over items that all seeds share"
        notes = [f"{left_out}: {items.cause}"] if items.cause else []
    else:
        errors = [] if items.cause else [Error(items.variance, items.n_clusters - 1)]
        notes = [ONE_SEQUENCE]
    if one_t and errors:
        errors = [Error(sum(one.variance for one in errors), errors[0].degrees_of_freedom)]
    cause = "" if freedom else items.cause
    if errors and not any(one.variance for one in errors):
        errors, cause = [], "the error cannot be estimated: no seed and no item changes the value"
    half = half_width(errors, confidence) if errors else math.nan
    value = float(weights @ values)
    return replace(
        result,
        value=value,
        ci_low=value - half,
        ci_high=value + half,
        errors=tuple(errors),
        n_clusters=items.n_clusters or result.n_clusters,
        cause=cause,
        notes=tuple(notes),
    )


def _blocks(runs: Sequence[RunValue]) -> list[list[int]]:
    """The places of the runs of each scale; a run of unknown seed is alone."""
    blocks: dict[tuple[bool, str], list[int]] = defaultdict(list)
    for at, run in enumerate(runs):
        blocks[run.seed is None, run.run if run.seed is None else run.scale].append(at)
    return list(blocks.values())


def _not_shared(influences: Sequence[Influence]) -> float:
    """Of one scale (n - 1) (v - c): what the items add to the squares between the seeds."""
    n = len(influences)
    if n < 2:
        return 0.0
    of_mean = weighted_sum(influences, [1 / n] * n).variance
    # Since V = v / n + c (n - 1) / n.
    return n * (float(np.mean([one.variance for one in influences])) - of_mean)


def weighted(sides: Sequence[tuple[float, Sequence[RunValue]]]) -> list[RunValue]:
    """A weighted sum of arms, run by run: what runs of one scale and seed share cancels.

    Args:
        sides: the weight and the runs of each arm.

    Returns:
        One for each scale and seed that all sides have. A run of unknown seed has no partner.
    """
    factors, tables = [weight for weight, _ in sides], [_by_seed(side) for _, side in sides]
    keys = [key for key in tables[0] if all(key in table for table in tables)]
    return [_sum([table[key] for table in tables], factors) for key in keys]


def _by_seed(runs: Sequence[RunValue]) -> dict[Any, RunValue]:
    return {(run.scale, run.seed, "" if run.seed is not None else run.run): run for run in runs}


def _sum(runs: Sequence[RunValue], weights: Sequence[float]) -> RunValue:
    influence = weighted_sum([run.influence for run in runs], weights)
    return replace(
        runs[0],
        run=_sum_words([run.run for run in runs], weights),
        value=sum(weight * run.value for weight, run in zip(weights, runs, strict=True)),
        influence=influence,
        n=max(run.n for run in runs),
        n_clusters=influence.n_clusters or min(run.n_clusters for run in runs),
        cause=next((f"{run.run}: {run.cause}" for run in runs if run.cause), ""),
    )


def _sum_words(names: Sequence[str], weights: Sequence[float]) -> str:
    """``a - b`` for weights of 1 and -1, else with the weights: ``0.5 a + 0.5 b - c``."""
    terms = []
    for name, weight in zip(names, weights, strict=True):
        size = "" if abs(weight) == 1 else f"{abs(weight):g} "
        terms += ["-" if weight < 0 else "+", f"{size}{name}"]
    return " ".join(terms[1:] if terms[0] == "+" else terms)


def half_width(errors: Sequence[Error], confidence: float) -> float:
    """Half the width of an interval in which each error has a quantile of its own.

    Examples:
        >>> from hf_clipdyn.statistics.contrasts import Error, half_width
        >>> round(half_width([Error(0.04**2, 4), Error(0.03**2, 35)], 0.95), 4)
        0.1267
    """
    return math.sqrt(sum(_quantile(one.degrees_of_freedom, confidence) ** 2 * one.variance for one in errors))


@cache
def _quantile(degrees: float, confidence: float) -> float:
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


def detectable_effect(errors: Sequence[Error], confidence: float) -> float:
    """The smallest true effect whose interval lies above 0 with a power of 80 %.

    L > 0 shows the direction; to reach L >= δ ("holds") with that power, the true effect must be δ larger. The first
    error is estimated, so that the width varies: the power is E[Φ((effect - half-width) / SE)] over the χ² of its
    variance, by 200 Gauss-Legendre points. The variances of the others are known. For one error this is the
    noncentral t.

    Args:
        errors: at least one, that of the seeds first.
        confidence: of the two-sided interval.

    Returns:
        In units of the contrast.

    Examples:
        >>> from hf_clipdyn.statistics.contrasts import Error, detectable_effect
        >>> round(detectable_effect([Error(0.02**2 / 5, 4)], 0.95), 4)
        0.0336
    """
    from scipy.optimize import brentq

    (variance, degrees), *others = errors
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    drawn = variance * 2 * special.gammaincinv(degrees / 2, (points + 1) / 2) / degrees
    halves = np.sqrt(_quantile(degrees, confidence) ** 2 * drawn + half_width(others, confidence) ** 2)
    error = math.sqrt(sum(one.variance for one in errors))

    def lacking(effect: float) -> float:
        return float(weights / 2 @ special.ndtr((effect - halves) / error)) - _POWER

    return float(brentq(lacking, 0.0, float(halves.max()) + 9 * error, xtol=1e-12))


def paired_change(number: Any, first: Any, last: Any, errors: Errors, confidence: float = 0.95) -> Estimate:
    """The value at ``last`` minus that at ``first``; what makes an item easy for both revisions cancels.

    Args:
        number: of one run: ``run``, ``kind`` and ``number_key``.
        first, last: two of its rows.
        errors: without influences there is no interval.
        confidence: of the interval, over the items.
    """
    both = [errors.of(number.kind, point.cell, number.number_key) for point in (last, first)]
    change = RunValue(
        run=number.run,
        value=last.value - first.value,
        influence=weighted_sum(both, [1, -1]),
        n=max(first.n, last.n),
        n_clusters=max(first.n_clusters, last.n_clusters),
    )
    return combine([change], confidence)
