"""Spearman's and Pearson's correlation of many weighted samples of the same rows at once.

A bootstrap resample is a weighted sample: each cluster of rows has a count. The rows are
sorted once, and every resample's ranks follow from cumulative weights. Both take weights of
shape (B, K) for K clusters and return B correlations, NaN where a sample is constant; they equal
SciPy's on the resampled rows written out. Those of ranks need whole weights.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.metrics._validation import Floats, Ints

__all__ = ["TiedOrder", "WeightedPearson", "WeightedSpearman", "dense_ranks", "rank_signs"]

_AT_ONCE = 2**16  # numbers of a chunk of resamples: its arrays then stay in the cache


class TiedOrder:
    """A sorted column. The ranks of every resample follow from cumulative weights, without another sort.

    Args:
        values: shape (n,).

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.weighted_correlation import TiedOrder
        >>> order = TiedOrder(np.array([0.2, 0.1, 0.2]))
        >>> totals = order.totals(np.ones((1, 3)))
        >>> totals.tolist(), order.midranks(totals).tolist()
        ([[1.0, 2.0]], [[0.5, 2.0, 2.0]])
    """

    def __init__(self, values: Floats) -> None:
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        is_new = np.r_[True, ordered[1:] != ordered[:-1]]
        self._starts = np.flatnonzero(is_new)
        self._has_ties = len(self._starts) < len(values)
        self._tie = np.cumsum(is_new) - 1

    def totals(self, weights: Floats) -> Floats:
        """Weight of each distinct value, (B, distinct values), for weights (B, n) of the rows in sorted order."""
        return np.add.reduceat(weights, self._starts, axis=1) if self._has_ties else weights

    def midranks(self, totals: Floats) -> Floats:
        """Mid-ranks minus 1/2 of the rows in sorted order, (B, n), from `totals`."""
        ranks = np.cumsum(totals, axis=1)
        ranks -= totals / 2
        return ranks[:, self._tie] if self._has_ties else ranks


class WeightedSpearman:
    """Spearman's correlation of every weighted sample: Pearson's correlation of the weighted mid-ranks.

    A call takes weights of shape (B, clusters) and returns correlations of shape (B,), in [-1, 1]; NaN if a sample is
    constant.

    Args:
        x, y: shape (n,).
        clusters: number of each row's cluster, shape (n,).

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.weighted_correlation import WeightedSpearman
        >>> x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
        >>> samples = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1]])
        >>> WeightedSpearman(x, y, np.arange(4))(samples).round(4).tolist()
        [0.8, 1.0]
    """

    def __init__(self, x: Floats, y: Floats, clusters: Ints) -> None:
        self._by_x, self._by_y = TiedOrder(x), TiedOrder(y)
        self._clusters_by_x = clusters[self._by_x.order]
        self._clusters_by_y = clusters[self._by_y.order]
        position_in_y = np.empty(len(y), dtype=np.int64)
        position_in_y[self._by_y.order] = np.arange(len(y))
        self._x_to_y = position_in_y[self._by_x.order]

    def __call__(self, weights: Floats) -> Floats:
        return np.concatenate([self._chunk(one) for one in _chunks(weights, len(self._x_to_y))])

    def _chunk(self, weights: Floats) -> Floats:
        w = np.take(weights, self._clusters_by_x, axis=1)
        totals_x = self._by_x.totals(w)
        totals_y = self._by_y.totals(np.take(weights, self._clusters_by_y, axis=1))
        n = totals_y.sum(axis=1)
        weighted_x = self._by_x.midranks(totals_x)
        weighted_x -= n[:, None] / 2  # the mean
        weighted_x *= w
        rank_y = np.take(self._by_y.midranks(totals_y), self._x_to_y, axis=1)
        covariance = np.einsum("bn,bn->b", weighted_x, rank_y)
        # 12 times the variance of mid-ranks is n^3 less the cubes of what ties together (Kendall 1948).
        cubes = [np.einsum("bd,bd->b", totals * totals, totals) for totals in (totals_x, totals_y)]
        variance_x, variance_y = ((n**3 - one) / 12 for one in cubes)
        return np.asarray(covariance / np.sqrt(variance_x * variance_y))


def _chunks(weights: Floats, width: int) -> Iterator[Floats]:
    """The samples in chunks of about `_AT_ONCE` numbers, ``width`` of each."""
    step = max(_AT_ONCE // width, 1)
    return (weights[start : start + step] for start in range(0, len(weights), step))


def dense_ranks(values: Floats) -> NDArray[np.signedinteger]:
    """Dense ranks from 0, in the smallest integer type: comparing two-byte integers is fast.

    Args:
        values: shape (n,).

    Returns:
        Shape (n,); equal values have equal ranks.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.weighted_correlation import dense_ranks
        >>> ranks = dense_ranks(np.array([0.3, 0.1, 0.3]))
        >>> ranks.tolist(), ranks.dtype
        ([1, 0, 1], dtype('int16'))
    """
    ranks = np.unique(values, return_inverse=True)[1].reshape(-1)
    return ranks.astype(np.int16 if len(values) <= np.iinfo(np.int16).max else np.int32)


def rank_signs(ranks: NDArray[np.signedinteger], rows: slice | Ints) -> NDArray[np.int8]:
    """Sign of rank i - rank j, for the rows i and all j.

    Args:
        ranks: shape (n,).
        rows: the rows i, m of them.

    Returns:
        Shape (m, n), each -1, 0 or 1.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.weighted_correlation import dense_ranks, rank_signs
        >>> rank_signs(dense_ranks(np.array([0.3, 0.1, 0.3])), slice(0, 2)).tolist()
        [[0, 1, 0], [-1, 0, -1]]
    """
    some = ranks[rows, None]
    return np.asarray((some > ranks).view(np.int8) - (some < ranks).view(np.int8))


class WeightedPearson:
    """Pearson's correlation and the root mean square difference of every weighted sample, from sums over clusters.

    A call takes weights of shape (B, clusters) and returns correlations of shape (B,), in [-1, 1]. A sample counts as
    constant if its variance is below the rounding error of these sums; its correlation is NaN.

    Args:
        x, y: shape (n,).
        clusters: number of each row's cluster, shape (n,).
        n_clusters: number of clusters.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.weighted_correlation import WeightedPearson
        >>> x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
        >>> samples = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1]])
        >>> WeightedPearson(x, y, np.arange(4), 4)(samples).round(4).tolist()
        [0.8, 0.9428]
    """

    def __init__(self, x: Floats, y: Floats, clusters: Ints, n_clusters: int) -> None:
        dx, dy = x - x.mean(), y - y.mean()  # centred, so that the sums of squares do not cancel
        self.rounding = 4 * len(x) * np.finfo(np.float64).eps
        columns = (np.ones(len(x)), dx, dy, dx * dx, dy * dy, dx * dy, (x - y) ** 2)
        self.sums = np.stack(
            [np.bincount(clusters, weights=column, minlength=n_clusters) for column in columns], axis=1
        )

    def __call__(self, weights: Floats) -> Floats:
        n, x, y, xx, yy, xy, _ = (weights @ self.sums).T
        variance_x, variance_y = xx - x * x / n, yy - y * y / n
        constant = (variance_x <= self.rounding * xx) | (variance_y <= self.rounding * yy)
        return np.where(constant, np.nan, (xy - x * y / n) / np.sqrt(variance_x * variance_y))

    def rmse(self, weights: Floats) -> Floats:
        """Root mean square of x - y in every weighted sample, shape (B,), for weights (B, clusters)."""
        totals = weights @ self.sums
        return np.asarray(np.sqrt(totals[:, 6] / totals[:, 0]))
