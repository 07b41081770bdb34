"""Confidence intervals that respect how the rows of a data set depend on each other.

Three constructions, and when each is used:

- **percentile bootstrap** over clusters (rows, reference images, photographs), from 50 clusters on;
- **Student's t on the jackknife** over clusters, with G - 1 degrees of freedom, below that: with 25
  references a percentile bootstrap covers 88 % instead of 95 %;
- **two-way clustered standard error** (Cameron, Gelbach and Miller 2011) for shares of items that
  cross two sets of exemplars, put into Wilson's interval through the effective number of items.

A statistic is a function of *weights*: how often each cluster (or each distinct outcome of a row)
occurs. The bootstrap hands it resampled weights, the jackknife weights with one left out, all of
them in one call, so that a statistic is vectorised once and serves both.

An item interval contains neither the noise of another training seed nor that of another checkpoint.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import special

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints

__all__ = [
    "FEW_CLUSTERS",
    "Resampling",
    "Scale",
    "Statistic",
    "bootstrap_weights",
    "clustered_correlation_interval",
    "clustered_share_interval",
    "goodman_intervals",
    "influence_interval",
    "mean_intervals",
    "resampled_intervals",
    "student_interval",
    "wilson_interval",
]

FEW_CLUSTERS = 50
"""Below this number of clusters the percentile bootstrap is too narrow and the jackknife is used."""

_DRAWS_AT_ONCE = 2**20
_COUNTED_AT_ONCE = 2**16  # draws that stay in the cache while they are counted

Statistic: TypeAlias = Callable[[Floats], Floats]
"""Weights of shape (B, K) -> values of shape (B, M): M numbers on each of B weighted samples."""

Scale: TypeAlias = Literal["linear", "fisher", "share"]
"""How a jackknife's spread becomes an interval: symmetric; symmetric after arctanh, for correlations;
Wilson's with the effective number of trials, for shares."""


@dataclass(frozen=True)
class Resampling:
    """Settings of an interval, named as in SciPy.

    Args:
        n_resamples: bootstrap resamples; 0 skips the interval.
        confidence_level: in (0, 1).
        seed: seed of the random numbers; the same seed gives the same interval.

    Examples:
        >>> from hf_clipdyn.metrics.bootstrap import Resampling
        >>> [round(one, 3) for one in Resampling(n_resamples=200, confidence_level=0.9).quantiles]
        [0.05, 0.95]
    """

    n_resamples: int = 1000
    confidence_level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_resamples < 0:
            raise MetricError(f"n_resamples must be 0 (no interval) or more, but is {self.n_resamples}.")
        if not 0 < self.confidence_level < 1:
            raise MetricError(f"confidence_level must be between 0 and 1, but is {self.confidence_level}.")

    def __bool__(self) -> bool:
        return self.n_resamples > 0

    @property
    def quantiles(self) -> tuple[float, float]:
        """Lower and upper tail of the interval."""
        return (1 - self.confidence_level) / 2, (1 + self.confidence_level) / 2


def bootstrap_weights(counts: Ints, n_resamples: int, rng: np.random.Generator) -> Floats:
    """How often each kind of unit is drawn, if as many units as the sample has are drawn with replacement.

    Args:
        counts: shape (K,), number of units of each kind: ones for clusters, or the frequencies of
            the distinct outcomes of the rows, which gives the distribution of resampled rows at
            a fraction of the work.
        n_resamples: B, the number of resamples.
        rng: generator of the random numbers.

    Returns:
        Weights of shape (B, K); each row sums to ``counts.sum()``.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.bootstrap import bootstrap_weights
        >>> weights = bootstrap_weights(np.array([1, 1, 1, 1]), 3, np.random.default_rng(0))
        >>> weights.shape, weights.sum(axis=1).tolist()
        ((3, 4), [4.0, 4.0, 4.0])
    """
    n_kinds, n_units = len(counts), int(counts.sum())
    if (counts != 1).any():
        return rng.multinomial(n_units, counts / n_units, size=n_resamples).astype(np.float64)
    # One unit of each kind: drawing and counting is ten times as fast as the multinomial.
    weights = np.empty((n_resamples, n_kinds))
    step = max(_COUNTED_AT_ONCE // max(n_kinds, 1), 1)
    for start in range(0, n_resamples, step):
        part = weights[start : start + step]
        draws = rng.integers(0, n_kinds, size=part.shape)
        draws += (np.arange(len(part)) * n_kinds)[:, None]
        part[:] = np.bincount(draws.ravel(), minlength=part.size).reshape(part.shape)
    return weights


def resampled_intervals(
    statistic: Statistic,
    counts: Ints,
    scales: Sequence[Scale],
    resampling: Resampling,
    trials: Sequence[float] | None = None,
) -> Floats:
    """Intervals of M numbers from the same resamples of clusters (or rows).

    Args:
        statistic: weights (B, K) -> values (B, M), NaN where a sample leaves a value undefined.
        counts: shape (K,), units of each kind in the sample; see `bootstrap_weights`.
        scales: for each of the M numbers its scale. A "share" that is exactly 0 or 1 has no spread
            to resample: its interval is then Wilson's.
        resampling: number of resamples, level and seed.
        trials: for each of the M numbers how many trials a share of exactly 0 or 1 rests on;
            None for all units.

    Returns:
        Low and high, shape (M, 2). NaN where the value itself is, and for fewer than two units. The whole range
        [-1, 1] for a correlation of fewer than `FEW_CLUSTERS` units that is undefined without one of them.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.bootstrap import Resampling, resampled_intervals
        >>> values = np.linspace(0, 1, 100)
        >>> def mean(weights):
        ...     return (weights @ values / weights.sum(axis=1))[:, None]
        ...
        >>> interval = resampled_intervals(mean, np.ones(100, dtype=int), ["linear"], Resampling())
        >>> interval.round(2).tolist()
        [[0.44, 0.56]]
    """
    n_units = int(counts.sum())
    estimate = statistic(counts[None].astype(np.float64))[0]
    if n_units < 2:
        return np.full((len(estimate), 2), np.nan)
    if n_units < FEW_CLUSTERS:
        result = _jackknife(statistic, counts, estimate, scales, resampling)
    else:
        rng, wanted = np.random.default_rng(resampling.seed), resampling.n_resamples
        # In parts, so that memory does not grow with the units; the draws are those of one call.
        step = max(_DRAWS_AT_ONCE // len(counts), 1)
        sizes = [min(step, wanted - start) for start in range(0, wanted, step)]
        values = np.concatenate([statistic(bootstrap_weights(counts, size, rng)) for size in sizes])
        result = _nan_quantiles(values, resampling.quantiles)
    for m, (value, scale) in enumerate(zip(estimate, scales, strict=True)):
        if np.isnan(value):
            result[m] = np.nan
        elif scale == "share" and value in (0, 1):
            n = n_units if trials is None else trials[m]
            result[m] = wilson_interval(value, n, resampling.confidence_level, n_units - 1)
    return result


def mean_intervals(
    values: Floats, clusters: Ints | None, scales: Sequence[Scale], resampling: Resampling
) -> Floats:
    """Intervals of the means of M columns; NaN entries are left out of their column's mean.

    A cluster (or row) with nothing but NaN in a column is not a unit of that column: it is neither drawn nor counted.

    Args:
        values: shape (n, M).
        clusters: code of each row's cluster, shape (n,); None resamples rows.
        scales: for each column its scale; see `resampled_intervals`.
        resampling: number of resamples, level and seed.

    Returns:
        Low and high, shape (M, 2).

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.bootstrap import Resampling, mean_intervals
        >>> values = np.linspace(0, 1, 100)[:, None]
        >>> mean_intervals(values, None, ["linear"], Resampling()).round(2).tolist()
        [[0.44, 0.56]]
        >>> mean_intervals(values, np.arange(100) // 10, ["linear"], Resampling()).round(2).tolist()
        [[0.28, 0.72]]
    """
    if clusters is None:
        distinct, counts = np.unique(values, axis=0, return_counts=True)
        defined = ~np.isnan(distinct)
        sums, sizes = np.where(defined, distinct, 0.0), defined.astype(np.float64)
    else:
        defined = ~np.isnan(values)
        n_clusters = int(clusters.max()) + 1
        sums, sizes = np.zeros((2, n_clusters, values.shape[1]))
        np.add.at(sums, clusters, np.where(defined, values, 0.0))
        np.add.at(sizes, clusters, defined)
        counts = np.ones(n_clusters, dtype=np.int64)

    result = np.empty((values.shape[1], 2))
    patterns, pattern_of = np.unique(sizes > 0, axis=1, return_inverse=True)
    for number, units in enumerate(patterns.T):
        columns = np.flatnonzero(pattern_of.reshape(-1) == number)
        cells = np.ix_(units, columns)
        means = _means(sums[cells], sizes[cells])
        result[columns] = resampled_intervals(
            means, counts[units], [scales[m] for m in columns.tolist()], resampling
        )
    return result


def _means(sums: Floats, sizes: Floats) -> Statistic:
    """Weights of the units (B, K) -> means (B, M), from the sums and the numbers of entries (K, M) of each unit."""

    def means(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray((weights @ sums) / (weights @ sizes))

    return means


def wilson_interval(
    share: float, n: float, confidence_level: float = 0.95, degrees_of_freedom: float = np.inf
) -> list[float]:
    """Wilson's score interval of a share (Wilson 1927), with the normal quantile or with Student's.

    Args:
        share: in [0, 1].
        n: number of trials; the effective number where they are clustered (Dean and Pagano 2015).
        confidence_level: in (0, 1).
        degrees_of_freedom: of Student's quantile; infinite for the normal quantile.

    Returns:
        Low and high, inside [0, 1] and never of zero width.

    Examples:
        >>> from hf_clipdyn.metrics.bootstrap import wilson_interval
        >>> [round(one, 3) for one in wilson_interval(0.9, 50)]
        [0.786, 0.957]
        >>> [round(one, 3) for one in wilson_interval(1.0, 50)]
        [0.929, 1.0]
    """
    q = special.stdtrit(degrees_of_freedom, (1 + confidence_level) / 2)
    centre = (share + q**2 / (2 * n)) / (1 + q**2 / n)
    half = q / (1 + q**2 / n) * np.sqrt(share * (1 - share) / n + (q / (2 * n)) ** 2)
    # Rounding must not put a share of exactly 0 or 1 outside its own interval.
    low, high = min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)
    return [float(low), float(high)]


def goodman_intervals(
    counts: Sequence[float], *, design_effect: float = 1.0, confidence_level: float = 0.95
) -> list[list[float]]:
    """Simultaneous intervals of all shares of a whole, such as of shape, texture and other answers (Goodman 1965).

    Args:
        counts: of each of k answers.
        design_effect: how many times clusters of items enlarge the variance: the counts are divided by it.
        confidence_level: that all k intervals together cover, in (0, 1).

    Returns:
        [low, high] of each share; NaN where nothing was counted.

    Raises:
        MetricError: fewer than two counts, one below 0, or a design effect that is not above 0.

    Examples:
        >>> from hf_clipdyn.metrics.bootstrap import goodman_intervals
        >>> [[round(end, 3) for end in ends] for ends in goodman_intervals([30, 10, 40])]
        [[0.258, 0.509], [0.061, 0.239], [0.371, 0.629]]
    """
    sizes = np.asarray(counts, np.float64)
    if sizes.ndim != 1 or len(sizes) < 2 or not (sizes >= 0).all():
        raise MetricError("counts must be two or more numbers, each 0 or more.")
    if not design_effect > 0:
        raise MetricError(f"design_effect must be above 0, but is {design_effect}.")
    n = sizes.sum() / design_effect
    if n == 0:
        return [[float("nan")] * 2 for _ in counts]
    quantile = special.chdtri(1, (1 - confidence_level) / len(sizes))
    shares = sizes / sizes.sum()
    half = np.sqrt(quantile * (quantile + 4 * n * shares * (1 - shares)))
    ends = (quantile + 2 * n * shares + np.array([-half, half])) / (2 * (n + quantile))
    intervals: list[list[float]] = np.clip(ends, 0, 1).T.tolist()
    return intervals


def student_interval(
    value: float, variance: float, scale: Scale, confidence_level: float, degrees_of_freedom: float
) -> list[float]:
    """Student's interval of a value with an estimated variance; for a share Wilson's, with Student's quantile.

    Wilson's interval gets the effective number of trials, share (1 - share) / variance.

    Args:
        value: the estimate. For "fisher" value, variance and result are those of its arctanh.
        variance: of the error of ``value``.
        scale: of the value.
        confidence_level: in (0, 1).
        degrees_of_freedom: of the variance.

    Returns:
        Low and high; no width where the variance is 0.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.bootstrap import student_interval
        >>> np.round(student_interval(0.7, 0.01, "linear", 0.95, degrees_of_freedom=9), 3).tolist()
        [0.474, 0.926]
        >>> np.round(student_interval(0.7, 0.01, "share", 0.95, degrees_of_freedom=9), 3).tolist()
        [0.454, 0.867]
    """
    if scale == "share" and variance > 0:
        effective = max(value * (1 - value) / variance, 1.0)
        return wilson_interval(value, effective, confidence_level, degrees_of_freedom)
    half = special.stdtrit(degrees_of_freedom, (1 + confidence_level) / 2) * np.sqrt(variance)
    return [value - half, value + half]


def clustered_share_interval(
    numerators: Floats,
    denominators: Floats,
    clusters: Sequence[Ints],
    confidence_level: float = 0.95,
    effects: Floats | None = None,
) -> list[float]:
    """Interval of sum(numerators) / sum(denominators) for items clustered in one or two ways.

    The variance is that of the linearised ratio, summed within clusters; with two ways it is
    V_first + V_second - V_both (Cameron, Gelbach and Miller 2011), each with the correction
    G / (G - 1). Share times (1 - share) over that variance is the effective number of items, at
    most the real one, and goes into Wilson's interval with Student's t of min(G) - 1 degrees.

    Args:
        numerators: shape (n,), between 0 and the denominators.
        denominators: shape (n,), >= 0.
        clusters: one or two arrays of shape (n,), the codes of each item's clusters.
        confidence_level: in (0, 1).
        effects: shape (n,), what each item does to the numerators of others (as a mate of theirs); sums to zero.

    Returns:
        Low and high in [0, 1]; NaN where nothing is in the denominators or a way has one cluster.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.bootstrap import clustered_share_interval
        >>> right = np.array([1.0, 1, 1, 0, 1, 0, 0, 0])
        >>> images = np.array([0, 0, 1, 1, 2, 2, 3, 3])
        >>> [round(one, 3) for one in clustered_share_interval(right, np.ones(8), [images])]
        [0.104, 0.896]
    """
    total = float(denominators.sum())
    sizes = [len(np.unique(codes)) for codes in clusters]
    if total == 0 or min(sizes) < 2:
        return [float("nan"), float("nan")]
    share = float(numerators.sum()) / total
    influence = numerators - share * denominators + (0.0 if effects is None else effects)
    variance = _clustered_variance(influence / total, clusters)
    effective = share * (1 - share) / variance if variance > 0 else total
    return wilson_interval(share, min(max(effective, 1.0), total), confidence_level, min(sizes) - 1)


def clustered_correlation_interval(
    value: float, influence: Floats, clusters: Sequence[Ints], confidence_level: float = 0.95
) -> list[float]:
    """Interval of a value in [-1, 1] for items clustered in one or two ways, symmetric after arctanh.

    Args:
        value: the estimate.
        influence: shape (n,), what each item contributes to its error (the linearised statistic); sums to zero.
        clusters: one or two arrays of shape (n,), the codes of each item's clusters.
        confidence_level: in (0, 1).

    Returns:
        Low and high in [-1, 1], with Student's t of min(G) - 1 degrees; NaN where a way has one cluster.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.bootstrap import clustered_correlation_interval
        >>> influence = np.array([0.03, -0.02, 0.01, -0.04, 0.02, 0.01, -0.03, 0.02])
        >>> images = np.array([0, 1, 2, 3, 4, 5, 6, 6])
        >>> np.round(clustered_correlation_interval(0.6, influence, [images]), 3).tolist()
        [0.418, 0.736]
    """
    sizes = [len(np.unique(codes)) for codes in clusters]
    if min(sizes) < 2:
        return [float("nan"), float("nan")]
    centre = float(_inside(np.asarray(value)))
    error = np.sqrt(_clustered_variance(influence, clusters)) / (1 - centre**2)
    half = special.stdtrit(min(sizes) - 1, (1 + confidence_level) / 2) * error
    return _around(value, np.tanh(np.arctanh(centre) + np.array([-half, half])))


def influence_interval(
    value: float,
    influence: Floats,
    clusters: Sequence[Ints],
    scale: Scale,
    confidence_level: float = 0.95,
) -> list[float]:
    """Interval of a smooth function of means over items that are clustered in one or two ways.

    Args:
        value: the estimate.
        influence: shape (n,), what each item contributes to its error in the first order; sums to zero.
        clusters: one or two arrays of shape (n,), the codes of each item's clusters.
        scale: of the value. A "share" has Wilson's interval with the effective number of items, at most n.
        confidence_level: in (0, 1).

    Returns:
        Low and high, with Student's t of min(G) - 1 degrees; NaN where a way has one cluster, or without a value.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.bootstrap import influence_interval
        >>> values = np.array([0.3, 0.2, 0.6, 0.5, 0.9, 0.8, 0.4, 0.3])
        >>> influence = (values - values.mean()) / len(values)
        >>> images = np.array([0, 0, 1, 1, 2, 2, 3, 3])
        >>> np.round(influence_interval(values.mean(), influence, [images], "linear"), 3).tolist()
        [0.079, 0.921]
    """
    if scale == "fisher":
        return clustered_correlation_interval(value, influence, clusters, confidence_level)
    degrees = min(len(np.unique(codes)) for codes in clusters) - 1
    if degrees < 1 or np.isnan(value):
        return [float("nan"), float("nan")]
    variance = _clustered_variance(influence, clusters)
    if scale == "share":
        n = len(influence)
        effective = min(max(value * (1 - value) / variance, 1.0), n) if variance > 0 else n
        return wilson_interval(value, effective, confidence_level, degrees)
    return student_interval(value, variance, scale, confidence_level, degrees)


def _clustered_variance(influence: Floats, clusters: Sequence[Ints]) -> float:
    """Variance of the sum of the influences, clustered in one way or in two that cross."""
    parts = [_cluster_variance(influence, codes) for codes in clusters]
    if len(clusters) == 1:
        return parts[0]
    both = _cluster_variance(influence, clusters[0] * (int(clusters[1].max()) + 1) + clusters[1])
    variance = parts[0] + parts[1] - both
    # A small sample may make that negative; the larger way alone is then the safe side.
    return variance if variance > 0 else max(*parts, both)


def _cluster_variance(influence: Floats, codes: Ints) -> float:
    """Sum over clusters of the squared total influence, with the small-sample factor G / (G - 1)."""
    distinct, codes = np.unique(codes, return_inverse=True)
    totals = np.bincount(codes.reshape(-1), weights=influence)
    return float(totals @ totals) * len(distinct) / (len(distinct) - 1)


def _jackknife(
    statistic: Statistic, counts: Ints, estimate: Floats, scales: Sequence[Scale], resampling: Resampling
) -> Floats:
    """Student's t with G - 1 degrees of freedom on the delete-one jackknife, each value on its scale."""
    n_units = counts.sum()
    present = counts > 0
    left_out = statistic((counts - np.eye(len(counts)))[present])
    multiplicity = counts[present]
    result = np.empty((len(estimate), 2))
    for m, (value, scale) in enumerate(zip(estimate, scales, strict=True)):
        values, centre = left_out[:, m], value
        if scale == "fisher":
            values, centre = np.arctanh(_inside(values)), np.arctanh(_inside(value))
            if np.isnan(values).any():
                result[m] = -1, 1
                continue
        deviations = values - np.average(values, weights=multiplicity)
        variance = (n_units - 1) / n_units * (multiplicity @ deviations**2)
        ends = student_interval(centre, variance, scale, resampling.confidence_level, n_units - 1)
        result[m] = _around(value, np.tanh(ends)) if scale == "fisher" else ends
    return result


def _inside(correlation: Floats) -> Floats:
    """Keep a correlation of exactly one finite under arctanh."""
    return np.clip(correlation, 1e-12 - 1, 1 - 1e-12)


def _around(value: float, interval: Floats) -> list[float]:
    """The interval, widened to a correlation of exactly one that `_inside` has moved; NaN stays."""
    low, high = interval
    return [float(np.minimum(low, value)), float(np.maximum(high, value))]


def _nan_quantiles(values: Floats, quantiles: tuple[float, float]) -> Floats:
    """Quantiles of each column over its defined resamples, shape (M, 2); NaN where none is defined."""
    result = np.full((values.shape[1], 2), np.nan)
    for m, column in enumerate(values.T):
        defined = column[~np.isnan(column)]
        if len(defined):
            result[m] = np.quantile(defined, quantiles)
    return result
