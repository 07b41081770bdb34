"""Spearman's, Kendall's and Pearson's correlation of many weighted samples of the same rows at once.

A bootstrap resample is a weighted sample: each cluster of rows has a count. The rows are
sorted once, and every resample's ranks follow from cumulative weights. All three take weights of
shape (B, K) for K clusters and return B correlations, NaN where a sample is constant; they equal
SciPy's on the resampled rows written out.
"""

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.metrics._validation import Floats, Ints

__all__ = ["TiedOrder", "WeightedKendall", "WeightedPearson", "WeightedSpearman", "dense_ranks", "rank_signs"]

_CHUNK = 64  # resamples at a time: the arrays of 3,000 rows then stay in the cache


class TiedOrder:
    """A sorted column. The ranks of every resample follow from cumulative weights, without another sort.

    Args:
        values: shape (n,).

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.weighted_correlation import TiedOrder
        >>> order = TiedOrder(np.array([0.2, 0.1, 0.2]))
        >>> order.tied_pairs(np.ones((3, 1))).tolist()
        [5.0]
    """

    def __init__(self, values: Floats) -> None:
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self.starts = starts
        self.has_ties = len(starts) < len(values)
        self.block = np.cumsum(np.r_[False, ordered[1:] != ordered[:-1]])

    def midranks(self, weights: Floats) -> Floats:
        """Mid-ranks, up to a constant, shape (n, B), for weights (n, B) of the rows in sorted order."""
        if not self.has_ties:
            return np.asarray(np.cumsum(weights, axis=0) - weights / 2)
        totals = np.add.reduceat(weights, self.starts, axis=0)
        return np.asarray((np.cumsum(totals, axis=0) - totals / 2)[self.block])

    def tied_pairs(self, weights: Floats) -> Floats:
        """Sum over blocks of ties of the squared weight, (B,): ordered pairs tied with each other."""
        totals = np.add.reduceat(weights[self.order], self.starts, axis=0)
        return np.asarray(np.einsum("nb,nb->b", totals, totals))


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
        self.by_x, self.by_y = TiedOrder(x), TiedOrder(y)
        self.clusters_by_x = clusters[self.by_x.order]
        self.clusters_by_y = clusters[self.by_y.order]
        position_in_y = np.empty(len(y), dtype=np.int64)
        position_in_y[self.by_y.order] = np.arange(len(y))
        self.x_to_y = position_in_y[self.by_x.order]

    def __call__(self, weights: Floats) -> Floats:
        chunks = [self._chunk(weights[i : i + _CHUNK]) for i in range(0, len(weights), _CHUNK)]
        return np.concatenate(chunks)

    def _chunk(self, weights: Floats) -> Floats:
        columns = np.ascontiguousarray(weights.T)
        w = columns[self.clusters_by_x]
        rank_x = self.by_x.midranks(w)
        rank_y = self.by_y.midranks(columns[self.clusters_by_y])[self.x_to_y]
        mean = w.sum(axis=0) / 2  # of mid-ranks in this form, exactly
        rank_x -= mean
        rank_y -= mean
        weighted_x = w * rank_x
        covariance = np.einsum("nb,nb->b", weighted_x, rank_y)
        variance_x = np.einsum("nb,nb->b", weighted_x, rank_x)
        variance_y = np.einsum("nb,nb,nb->b", w, rank_y, rank_y)
        return np.asarray(covariance / np.sqrt(variance_x * variance_y))


class WeightedKendall:
    """Kendall's tau-b of every weighted sample, from the concordances between clusters.

    Concordant minus discordant pairs of a weighted sample are w' C w, where C[g, h] sums the signs over the rows of g
    and h. One pass over all pairs gives C, and the result is exact for every resample. A call takes weights of shape
    (B, clusters) and returns shape (B,), in [-1, 1].

    Args:
        x, y: shape (n,).
        clusters: number of each row's cluster, shape (n,).
        n_clusters: number of clusters.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.weighted_correlation import WeightedKendall
        >>> x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
        >>> samples = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1]])
        >>> WeightedKendall(x, y, np.arange(4), 4)(samples).round(4).tolist()
        [0.6667, 1.0]
    """

    def __init__(self, x: Floats, y: Floats, clusters: Ints, n_clusters: int) -> None:
        self.by_x, self.by_y, self.clusters = TiedOrder(x), TiedOrder(y), clusters
        order = np.argsort(clusters, kind="stable")
        ranks = dense_ranks(x[order]), dense_ranks(y[order])
        starts = np.searchsorted(clusters[order], np.arange(n_clusters))
        grouped = n_clusters < len(x)
        self.concordance = np.zeros((n_clusters, n_clusters), dtype=np.float32)
        for i in range(0, len(x), 256):
            rows = slice(i, i + 256)
            signs = rank_signs(ranks[0], rows)
            signs *= rank_signs(ranks[1], rows)
            if grouped:
                sums = np.add.reduceat(signs.astype(np.float32), starts, axis=1)
                np.add.at(self.concordance, clusters[order[rows]], sums)
            else:
                self.concordance[rows] = signs

    def __call__(self, weights: Floats) -> Floats:
        # Sums of at most 2^24 signs and weights are exact in single precision, which is twice as fast.
        products = weights.astype(np.float32) @ self.concordance
        concordant = np.einsum("bk,bk->b", products.astype(np.float64), weights)
        total = np.empty(len(weights))
        tied = np.empty((2, len(weights)))
        for i in range(0, len(weights), _CHUNK):
            w = np.ascontiguousarray(weights[i : i + _CHUNK].T)[self.clusters]
            total[i : i + _CHUNK] = w.sum(axis=0) ** 2
            tied[:, i : i + _CHUNK] = self.by_x.tied_pairs(w), self.by_y.tied_pairs(w)
        return np.asarray(concordant / np.sqrt((total - tied[0]) * (total - tied[1])))


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
