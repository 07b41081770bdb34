"""What each item contributes to the error of a number, and so to the error of a sum of numbers.

An **estimate** is a value, its interval, the number of items and of their clusters, the cause if it is undefined, and
its **influence**: what each unit of the data contributes to it. A unit is an item, or a cluster of items. In the first
order, the error of a number is the sum of these contributions u: if the data had other units, each would have added its
own. `hf_clipdyn.results.row.Number` is this estimate with the columns that name it in a table.

The same items are shown to all revisions of all runs, so influences on the same units can be added. The influence of a
weighted sum of numbers is the weighted sum of their influences: of the difference of two revisions, of a contrast
over windows of training, of the mean over seeds. What makes an item hard for all of them cancels.

**Source.** A smooth function of means has its influence in closed form (the delta method; Hampel 1974, doi
10.1080/01621459.1974.10482962). Any other number has that of the delete-a-group jackknife, with at most `MOST_GROUPS`
groups of clusters: u = (1 - 1/G) (mean of the values without each group - the value without this group); the sum
of its squares with the factor G / (G - 1) below is the jackknife's variance. Both are computed once, when trials are
scored, and kept beside them (`hf_clipdyn.results.influences`).

**Variance.** Two units depend on each other if they share a cluster. The variance is the sum of u[i] u[j] over all
pairs of units that share one (`SharedImages`): for one way of clustering, the sum over clusters of the squared sums,
with the factor G / (G - 1); for crossed ways V_first + V_second - V_both (Cameron, Gelbach and Miller 2011).

**Coverage.** Student's t has G - 1 degrees of freedom, for the smallest number of clusters G of any way. The interval
of the difference of two revisions then covers 94 to 96 % where 95 % are wanted, and 98 % over images and observers
(2,000 drawn pairs of revisions for each of eight kinds of numbers; `tests/metrics/test_coverage_of_differences.py`).
Those of single values are made by `hf_clipdyn.metrics.scores`; docs/explanation/intervals.md has their coverage.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, Ints, columns, of_one_length
from hf_clipdyn.metrics.shared_images import SharedImages

__all__ = [
    "MOST_GROUPS",
    "UNDEFINED",
    "Influence",
    "Units",
    "left_out_influence",
    "mean_influence",
    "mean_over_pairs",
    "weighted_sum",
    "without_each",
]

MOST_GROUPS = 100
"""More clusters than this are merged into groups for a jackknife."""

UNDEFINED = "the number is undefined, at least without some of its items"
"""The cause of an unknown influence on a number that is, or may be, NaN."""
_ONE_CLUSTER = "all items belong to one cluster"
_OTHER_ITEMS = "not all cells have the same items"


@dataclass(frozen=True, eq=False)
class Units:
    """What influences belong to; only those on the same units can be added.

    Attributes:
        names: SHA-256 of the names of the units and of their clusters.
        clusters: shape (n, k), the clusters of each unit, numbered from 0. Units depend on each other if they share a
            number.
        n_clusters: for the degrees of freedom.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.influence import Units
        >>> Units("names", np.array([[0], [0], [1]]), 2).n_clusters
        2
    """

    names: str
    clusters: Ints
    n_clusters: int

    @cached_property
    def shared(self) -> SharedImages:
        """The sets of units that share clusters."""
        return SharedImages(self.clusters)


@dataclass(frozen=True, eq=False)
class Influence:
    """What each unit contributes to a number, or to a weighted sum of numbers.

    Attributes:
        units: None if the contributions are unknown.
        values: shape (n,), one for each unit; they sum to about zero.
        cause: why the error is unknown; empty if it is known.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.influence import Influence, Units, mean_influence, weighted_sum
        >>> units = Units("images", np.arange(4)[:, None], 4)
        >>> before, after = (Influence(units, mean_influence(right)) for right in ([0, 1, 0, 1], [1, 1, 0, 1]))
        >>> round(weighted_sum([after, before], [1, -1]).variance, 4)
        0.0625
    """

    units: Units | None
    values: Floats
    cause: str = ""

    @classmethod
    def unknown(cls, cause: str) -> "Influence":
        """An unknown influence, with its cause."""
        return cls(None, np.empty(0), cause)

    @classmethod
    def on(cls, units: Units, values: Floats) -> "Influence":
        """Known contributions, or the cause why they give no error."""
        if np.isnan(values).any():
            return cls.unknown(UNDEFINED)
        return cls.unknown(_ONE_CLUSTER) if units.shared.is_one else cls(units, values)

    @cached_property
    def variance(self) -> float:
        """Of the number; NaN if unknown."""
        return math.nan if self.units is None else float(self.units.shared.variance(self.values[:, None])[0])

    @property
    def n_clusters(self) -> int:
        """0 if unknown."""
        return self.units.n_clusters if self.units else 0


def weighted_sum(influences: Sequence[Influence], weights: Sequence[float]) -> Influence:
    """The influence on the weighted sum of numbers.

    Args:
        influences: on each number.
        weights: of each number.

    Returns:
        An unknown influence, with the cause, if one of them is unknown or they have different units.

    Examples:
        >>> from hf_clipdyn.metrics.influence import Influence, weighted_sum
        >>> weighted_sum([Influence.unknown("no trials")], [1]).cause
        'no trials'
    """
    for one in influences:
        if one.units is None:
            return one
    if len({one.units.names for one in influences if one.units}) != 1:
        return Influence.unknown(_OTHER_ITEMS)
    values = np.asarray(weights, np.float64) @ np.stack([one.values for one in influences])
    return Influence(influences[0].units, values)


def mean_influence(values: ArrayLike) -> Floats:
    """What each entry contributes to the mean of each column; NaN entries are left out of it.

    Args:
        values: shape (n,) or (n, M).

    Returns:
        The same shape; 0 for an entry that is left out, NaN in a column without any other.

    Examples:
        >>> from hf_clipdyn.metrics.influence import mean_influence
        >>> mean_influence([0.0, 1.0, float("nan")]).tolist()
        [-0.25, 0.25, 0.0]
    """
    rows = np.asarray(values, np.float64)
    defined = ~np.isnan(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = defined.sum(axis=0)
        mean = np.where(defined, rows, 0.0).sum(axis=0) / n
        return np.asarray(np.where(defined | (n == 0), (rows - mean) / n, 0.0))


def left_out_influence(left_out: Floats) -> Floats:
    """What each group contributes to numbers, by the delete-a-group jackknife.

    Args:
        left_out: shape (G, ...), the numbers without each of G groups.

    Returns:
        The same shape.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.influence import left_out_influence
        >>> values = np.array([0.0, 0.0, 3.0])
        >>> left_out_influence((values.sum() - values) / 2).round(3).tolist()
        [-0.333, -0.333, 0.667]
    """
    return np.asarray((left_out.mean(axis=0) - left_out) * (1 - 1 / len(left_out)))


def without_each(statistic: Callable[[Floats], Floats], n_groups: int) -> Floats:
    """`left_out_influence` of a statistic of weights.

    Args:
        statistic: from weights, shape (B, G), to values, shape (B, M).
        n_groups: G, the number of groups that it weights.

    Returns:
        Shape (G, M).

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.influence import without_each
        >>> values = np.array([0.0, 0.0, 3.0])
        >>> without_each(lambda weights: (weights @ values / weights.sum(axis=1))[:, None], 3).round(3).T.tolist()
        [[-0.333, -0.333, 0.667]]
    """
    return left_out_influence(statistic(1.0 - np.eye(n_groups)))


def mean_over_pairs(
    values: ArrayLike,
    seeds: ArrayLike,
    influences: Sequence[Influence] | Influence = (),
    *,
    signs: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> dict[str, Any]:
    """The mean of a number over pairs of runs, such as kappa between seeds, or the difference of two such means.

    Pairs that share a seed depend on each other, and so do numbers on the same items. The two errors are added:
    half-width² = t²(seeds - 1) V_seeds + t²(clusters - 1) V_items, with V_seeds of the jackknife over seeds. That is on
    the safe side, since V_seeds contains what the items add to the differences between seeds.

    Args:
        values: shape (P,), the number of each pair.
        seeds: shape (P, 2), the seeds of its two runs, which differ.
        influences: of the items on each value, or on the mean; () leaves the items out of the interval.
        signs: shape (P,), 1 for pairs whose mean counts, -1 for those whose mean is subtracted; None for 1 everywhere.
        confidence_level: in (0, 1).

    Returns:
        ``value``, ``ci`` [low, high], ``variance_seeds`` and ``variance_items`` (NaN if unknown: the interval leaves
        that part out), ``n_pairs``, ``n_seeds``, ``causes``.

    Raises:
        MetricError: other shapes, a pair of equal seeds, a value that is not finite.

    Examples:
        >>> from hf_clipdyn.metrics.influence import mean_over_pairs
        >>> result = mean_over_pairs([0.3, 0.4, 0.5], [[0, 1], [0, 2], [1, 2]])
        >>> result["value"], round(result["variance_seeds"], 6), result["causes"]
        (0.4, 0.013333, {'variance_items': 'no items were given'})
    """
    (numbers,) = columns(values=values)
    ends, sides = columns(seeds=seeds, signs=np.ones(len(numbers)) if signs is None else signs)
    of_one_length(values=numbers, seeds=ends)
    if ends.shape != (len(numbers), 2) or (ends[:, 0] == ends[:, 1]).any():
        raise MetricError("seeds must be two different seeds for each value: leave out pairs of equal seeds.")
    groups = [sides == sign for sign in np.unique(sides)]

    def weights(kept: NDArray[np.bool_]) -> Floats:
        """Of the pairs; NaN if none of a group is kept."""
        with np.errstate(invalid="ignore"):
            return np.asarray(sum(np.sign(sides) * (one & kept) / (one & kept).sum() for one in groups))

    of_pairs = weights(np.full(len(numbers), True))
    value, distinct = float(of_pairs @ numbers), np.unique(ends)
    left_out = np.array([weights((ends != seed).all(axis=1)) @ numbers for seed in distinct])
    shift = left_out_influence(left_out)
    if isinstance(influences, Influence):
        of_items = influences
    elif influences:
        of_items = weighted_sum(influences, of_pairs.tolist())
    else:
        of_items = Influence.unknown("no items were given")
    variances = {
        "variance_seeds": float(shift @ shift) * len(distinct) / (len(distinct) - 1),
        "variance_items": of_items.variance,
    }
    causes = {"variance_items": of_items.cause} if of_items.cause else {}
    if math.isnan(variances["variance_seeds"]):
        causes["variance_seeds"] = "without one of the seeds there is no pair"
    degrees = len(distinct) - 1, of_items.n_clusters - 1
    squares = [
        special.stdtrit(freedom, (1 + confidence_level) / 2) ** 2 * variance
        for freedom, variance in zip(degrees, variances.values(), strict=True)
        if not math.isnan(variance)
    ]
    half = math.sqrt(sum(squares)) if squares else math.nan
    sizes = {"n_pairs": len(numbers), "n_seeds": len(distinct)}
    return {"value": value, "ci": [value - half, value + half], **variances, **sizes, "causes": causes}
