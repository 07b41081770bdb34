"""The values of a metric, what each row of the data contributes to them, and the interval that both give.

A metric returns `Scores`: by name a value, its **influence** and its scale. The influence says how much each row, or
each group of rows, contributes to the value, in the first order (`hf_clipdyn.metrics.influence`). From it follow the
error of the value, and that of its difference from another value on the same data. Smooth metrics have it in closed
form (`mean`, `ratio`), others by leaving out rows or groups of rows (`left_out`).

`interval` makes the interval of any number, with Student's t and G - 1 degrees of freedom for G clusters:

=============== ===================================================================================
scale           interval
=============== ===================================================================================
``share``       symmetric after logit; Wilson's with G trials for a value of 0 or 1
``count``       the same for a share of right and wrong answers, also Wilson's if the variance is 0
``correlation`` symmetric after arctanh (Fisher's z)
``linear``      symmetric
``none``        none: the influence serves differences alone
a function      that it gives: of a number whose interval cannot be any of these
=============== ===================================================================================
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, stdtrit

from hf_clipdyn.metrics.checks import Floats, Ints, names, of_one_length
from hf_clipdyn.metrics.influence import MOST_GROUPS, Influence, Units, left_out_influence
from hf_clipdyn.metrics.shared_images import image_clusters

Ends = Callable[[float, Influence, float], tuple[float, float]]
"""From a value, its influence and the confidence level to the ends of an interval of its own."""
Scale = Literal["share", "count", "correlation", "linear", "none"] | Ends
"""On which scale the error of a value is symmetric."""
NO_INTERVAL = (math.nan, math.nan)
"""The ends of the interval of a number that has none."""
_MOST_ALONE = 1000  # rows that are left out one by one
_FEW = 25  # clusters in effect
_DEPENDENT = 1 / 6  # of all pairs of rows: 48 objects in triplets, or six clusters
_NOTHING = 1e-12  # standard errors, and distances of a share from 0 and 1, that are rounding


@dataclass(frozen=True)
class Score:
    """One value of a metric.

    Attributes:
        value: NaN if it is undefined.
        influence: what each row contributes to it or, for a metric that leaves out groups, each sorted group; None for
            a value without an error, such as a count. The contributions sum to about zero.
        scale: of the value's interval.
        n: number of rows that it comes from.
        cause: why it is undefined, or a caution.
    """

    value: float
    influence: Floats | None = None
    scale: Scale = "linear"
    n: int = 0
    cause: str = ""


class Scores(dict[str, Score]):
    """What a metric returns: scores by name.

    Attributes:
        facts: further counts and flags.

    Examples:
        >>> from hf_clipdyn.metrics.scores import Scores, mean
        >>> found = Scores({"accuracy": mean([1, 0, 1, 1], "count")}, n=4)
        >>> found["accuracy"].value, found.facts
        (0.75, {'n': 4})
        >>> [round(end, 3) for end in found.report()["accuracy_ci"]]
        [0.041, 0.995]
    """

    def __init__(self, scores: Mapping[str, Score], **facts: Any) -> None:
        super().__init__(scores)
        self.facts = facts

    def report(
        self, groups: ArrayLike | None = None, level: float = 0.95, *, images: ArrayLike | None = None
    ) -> dict[str, Any]:
        """The values as plain numbers with their intervals, as an `evaluate` module returns them.

        Args:
            groups, images: what rows have in common, as in `over`.
            level: confidence level of the intervals, in (0, 1).

        Returns:
            Each value by its name, its interval as ``<name>_ci`` [low, high], the facts, and the ``causes`` of
            undefined values.
        """
        found: dict[str, Any] = {name: score.value for name, score in self.items()}
        for name, score in self.items():
            if score.influence is not None:
                influence = over(score.influence, groups, images=images)
                found[f"{name}_ci"] = list(interval(score.value, influence, score.scale, level))
        causes = {name: score.cause for name, score in self.items() if score.cause}
        return found | self.facts | {"causes": causes}


def over(influence: Floats, groups: ArrayLike | None = None, *, images: ArrayLike | None = None) -> Influence:
    """The influence of rows whose errors depend on each other.

    Args:
        influence: shape (n,), what each row contributes, or each sorted group.
        groups: the group of each row, shape (n,), or its groups in several crossed ways, shape (n, k). None, and the
            groups of a metric that left these out: each contribution is independent.
        images: names of the images that each row shows, shape (n, k), in place of ``groups``: rows with a common image
            depend on each other, whatever its column.

    Raises:
        MetricError: another number of names, or missing names.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.scores import over
        >>> over(np.array([0.1, 0.1, -0.2]), ["a", "a", "b"]).n_clusters
        2
    """
    n = len(influence)
    if images is not None:
        (shown,) = names(images=images)
        of_one_length(images=shown, rows=influence)
        codes = np.unique(shown, return_inverse=True)[1].reshape(n, -1)
        clusters, n_clusters = image_clusters(codes)
        units = Units("rows", codes if clusters is None else clusters[:, None], n_clusters)
        return Influence.on(units, influence)
    (given,) = names(groups=np.arange(n) if groups is None else groups)
    if given.ndim == 1 and len(given) != n == len(np.unique(given)):
        given = np.arange(n)
    of_one_length(groups=given, rows=influence)
    ways = [np.unique(column, return_inverse=True)[1] for column in given.reshape(n, -1).T]
    sizes = [int(codes.max()) + 1 for codes in ways]
    starts = np.cumsum([0, *sizes[:-1]])
    return Influence.on(Units("rows", np.stack(ways, axis=1) + starts, min(sizes)), influence)


def interval(
    value: float, influence: Influence, scale: Scale = "linear", level: float = 0.95
) -> tuple[float, float]:
    """The interval of a value: Student's, with G - 1 degrees of freedom, on the scale of the value.

    Args:
        value: the estimate.
        influence: on it; its number of clusters is G.
        scale: see above.
        level: confidence level, in (0, 1).

    Returns:
        Low and high; NaN where the value or its error is unknown, and for the scale ``none``.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.scores import interval, mean, over
        >>> answers = mean([1, 1, 0, 1, 1, 0, 1, 1, 1, 1], "count")
        >>> [round(end, 3) for end in interval(answers.value, over(answers.influence), answers.scale)]
        [0.378, 0.963]
        >>> [round(end, 3) for end in interval(1.0, over(np.zeros(10)), "share")]
        [0.661, 1.0]
    """
    if callable(scale):
        return scale(value, influence, level)
    n_clusters, variance = influence.n_clusters, influence.variance
    if scale == "none" or n_clusters < 2 or not math.isfinite(value) or not math.isfinite(variance):
        return NO_INTERVAL
    t = float(stdtrit(n_clusters - 1, (1 + level) / 2))
    half = t * math.sqrt(variance)
    is_share = scale in ("share", "count")
    if (is_share and min(value, 1 - value) < _NOTHING) or (scale == "count" and half < _NOTHING):
        return _wilson(value, n_clusters, t)
    if is_share:
        half /= value * (1 - value)
        return float(expit(logit(value) - half)), float(expit(logit(value) + half))
    if scale == "correlation" and abs(value) < 1 - _NOTHING:
        half /= 1 - value**2
        return math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
    return value - half, value + half


def few_clusters(influence: Influence) -> str:
    """A note for an interval that may contain the true value less often than its level; empty if not.

    Student's t counts on many clusters of which none decides alone. In effect there are 3 (Σ u²)² / Σ u⁴ of them, for
    the contributions u of the clusters: all G if these vary as normal ones do, few if some clusters are much larger
    than others, or if a few rare answers decide. With 25 or less, or if more than a sixth of all pairs of rows share a
    cluster, 95 % intervals contain the truth in 80 to 99 % of simulated samples (docs/explanation/intervals.md).

    Args:
        influence: on the value.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.scores import few_clusters, mean, over
        >>> few_clusters(over(mean(np.arange(100) % 2 == 0, "count").influence))
        ''
        >>> few_clusters(over(mean(np.arange(100) < 3, "count").influence))
        'few clusters (100, about 10 in effect): the interval may be too narrow'
    """
    if influence.units is None:
        return ""
    clusters, n_clusters = influence.units.clusters, influence.n_clusters
    totals = np.bincount(clusters.ravel(), np.repeat(influence.values, clusters.shape[1]))
    squares = np.square(totals)
    fourth = float(squares @ squares)
    effective = min(3 * float(squares.sum()) ** 2 / fourth, n_clusters) if fourth else n_clusters
    if effective > _FEW and influence.units.shared.share <= _DEPENDENT:
        return ""
    return f"few clusters ({n_clusters}, about {effective:.0f} in effect): the interval may be too narrow"


def root_interval(value: float, without: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The interval of a root mean square, which cannot fall below 0 and is too large by chance near 0.

    It is the interval of the square, without the bias that the jackknife finds in it. On its own scale an interval
    contains a true value near 0 in 12 to 77 % of the samples instead of 95 %, and this one in 94 to 99 %.

    Args:
        value: the root mean square, >= 0.
        without: the value without each of G clusters, shape (G,).
        level: confidence level, in (0, 1).

    Returns:
        Low and high, >= 0; NaN for fewer than two clusters, or where a value is unknown.

    Examples:
        >>> from hf_clipdyn.metrics.scores import root_interval
        >>> [round(end, 3) for end in root_interval(0.2, [0.19, 0.21, 0.2, 0.22])]
        [0.091, 0.243]
    """
    squares, n = np.square(np.asarray(without, np.float64)), np.size(without)
    if n < 2 or not np.isfinite([value, *squares]).all():
        return NO_INTERVAL
    unbiased = value**2 - (n - 1) * (float(squares.mean()) - value**2)
    error = math.sqrt((n - 1) / n * float(np.square(squares - squares.mean()).sum()))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * error
    low, high = (math.sqrt(max(end, 0.0)) for end in (unbiased - half, unbiased + half))
    return min(low, value), max(
        high, value
    )  # the value is inside, though its bias may be larger than its error


def _wilson(share: float, n: int, t: float) -> tuple[float, float]:
    """The score interval of a share of n trials (Wilson 1927), with Student's quantile; the share is inside it."""
    centre = share + t**2 / (2 * n)
    half = t * math.sqrt(max(share * (1 - share), 0.0) / n + (t / (2 * n)) ** 2)
    low, high = ((centre + sign * half) / (1 + t**2 / n) for sign in (-1, 1))
    return min(max(low, 0.0), share), max(min(high, 1.0), share)


def mean(values: ArrayLike, scale: Scale = "linear", cause: str = "no row has this value") -> Score:
    """The mean of rows.

    Args:
        values: shape (n,); NaN leaves a row out.
        scale: of the mean.
        cause: why it is undefined where all rows are NaN.

    Returns:
        The mean; a row that is left out contributes 0.

    Examples:
        >>> from hf_clipdyn.metrics.scores import mean
        >>> found = mean([1, 0, float("nan")])
        >>> found.value, found.influence.tolist()
        (0.5, [0.25, -0.25, 0.0])
    """
    rows = np.asarray(values, np.float64)
    known = ~np.isnan(rows)
    n = int(known.sum())
    if n == 0:
        return Score(math.nan, np.full(len(rows), np.nan), scale, 0, cause)
    value = float(rows[known].mean())
    return Score(value, np.where(known, rows - value, 0.0) / n, scale, n)


def ratio(numerators: ArrayLike, denominators: ArrayLike, scale: Scale = "share", cause: str = "") -> Score:
    """sum(numerators) / sum(denominators), with the influence of the linearised ratio.

    Args:
        numerators, denominators: of each row, shape (n,).
        scale: of the ratio.
        cause: why it is undefined where the denominators sum to 0.

    Examples:
        >>> from hf_clipdyn.metrics.scores import ratio
        >>> found = ratio([1, 0, 1], [1, 1, 2])
        >>> found.value, found.influence.tolist()
        (0.5, [0.125, -0.125, 0.0])
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    total = float(below.sum())
    if total == 0:
        return Score(math.nan, np.full(len(below), np.nan), scale, len(below), cause)
    value = float(above.sum()) / total
    return Score(value, (above - value * below) / total, scale, len(below))


def left_out(
    statistic: Callable[..., ArrayLike], columns: Sequence[Floats], groups: ArrayLike | None = None
) -> Floats:
    """What each group contributes to a statistic, by the delete-a-group jackknife.

    Args:
        statistic: of columns of rows; a number or an array.
        columns: arrays of n rows each.
        groups: of each row, shape (n,); `groups_of_rows` by default. The statistic is computed once a group: merge
            clusters into at most a hundred groups where that takes long.

    Returns:
        Shape (G, ...), in the order of the sorted groups; NaN if there is only one.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.scores import left_out
        >>> left_out(np.mean, [np.array([0.0, 0.0, 3.0])]).round(3).tolist()
        [-0.333, -0.333, 0.667]
    """
    n = len(columns[0])
    codes = np.unique(groups_of_rows(n) if groups is None else np.asarray(groups), return_inverse=True)[1]
    if n == 0 or codes.max() < 1:
        return np.full((1, *np.shape(statistic(*columns))), np.nan)
    without = np.array(
        [statistic(*(column[codes != group] for column in columns)) for group in range(codes.max() + 1)]
    )
    return left_out_influence(without)


def groups_of_rows(n: int) -> Ints:
    """Groups for rows that are independent: each alone, or `MOST_GROUPS` of about equal size if there are too many."""
    return np.arange(n) % (MOST_GROUPS if n > _MOST_ALONE else max(n, 1))
