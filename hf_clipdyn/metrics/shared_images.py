"""Rows that depend on each other wherever they show a common image.

In most sets of triplets an image occurs once, or a reference occurs in several rows, which are then one
cluster. In others any image may be the reference of one row and a candidate of another (material similarity: 100 images
in 3,000 triplets). Two rows then depend on each other if they share any image, and no partition of the rows
into clusters is independent. The variance of a sum is therefore that over all pairs of rows with a common
image (Fafchamps and Gubert 2007, doi 10.1016/j.jdeveco.2006.05.005, for pairs; Aronow, Samii and Assenova 2015,
doi 10.1093/pan/mpv018). Inclusion and exclusion over the sets of images that a row shows gives it from sums over rows
that share a set, in time and memory proportional to the number of rows.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np
from scipy import sparse

from hf_clipdyn.metrics._validation import Floats, Ints
from hf_clipdyn.metrics.bootstrap import (
    Resampling,
    Scale,
    mean_intervals,
    student_interval,
    wilson_interval,
)

__all__ = ["SharedImages", "connected_rows", "image_clusters", "shared_mean_intervals"]


def image_clusters(images: Ints) -> tuple[Ints | None, int]:
    """Clusters of rows that share an image, if the rows fall into such clusters.

    Args:
        images: shape (n, k), the images that each row shows, numbered from 0.

    Returns:
        The cluster of each row, shape (n,), and the number of clusters. If some row shares images with two rows that
        share none, there are no such clusters: None and the number of images. Use `SharedImages` then.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.shared_images import image_clusters
        >>> clusters, n = image_clusters(np.array([[0, 1], [0, 2], [3, 4]]))
        >>> clusters.tolist(), n
        ([0, 0, 1], 2)
        >>> image_clusters(np.array([[0, 1], [1, 2], [2, 3]]))
        (None, 4)
    """
    distinct = _distinct_in_row(images)
    _, codes = np.unique(distinct, return_inverse=True)
    codes = codes.reshape(images.shape)
    repeated = np.bincount(codes.reshape(-1))[codes] > 1
    if (repeated.sum(axis=1) <= 1).all():  # the usual case, and a fast one: each row is known by one image
        clusters, components = np.unique(
            codes[np.arange(len(codes)), repeated.argmax(axis=1)], return_inverse=True
        )
        return components.astype(np.int64).reshape(-1), len(clusters)
    components = connected_rows(images)
    sizes = np.bincount(components)
    # Within clusters every two rows share an image.
    if _n_pairs(_sets(distinct)) < np.square(sizes).sum():
        return None, len(np.unique(images))
    return components, len(sizes)


def connected_rows(images: Ints) -> Ints:
    """The connected set of each row: rows that share an image belong to one set, also through other rows.

    Args:
        images: shape (n, k), the images that each row shows, numbered from 0.

    Returns:
        Number of each row's set, from 0, shape (n,). No image is in two sets.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.shared_images import connected_rows
        >>> connected_rows(np.array([[0, 1], [1, 2], [2, 3], [4, 5]])).tolist()
        [0, 0, 0, 1]
    """
    numbers, codes = np.unique(images, return_inverse=True)
    n, size = len(images), len(images) + len(numbers)
    edges = np.repeat(np.arange(n), images.shape[1]), n + codes.reshape(-1)
    graph = sparse.coo_array((np.ones(codes.size), edges), shape=(size, size))
    _, components = sparse.csgraph.connected_components(graph, directed=False)
    _, codes = np.unique(components[:n], return_inverse=True)
    return codes.astype(np.int64).reshape(-1)


class SharedImages:
    """The variance of sums over rows, if two rows that show a common image depend on each other.

    Args:
        images: shape (n, k), the images that each row shows, numbered from 0; one number for one image,
            whatever its column. A number may occur twice in a row.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.shared_images import SharedImages
        >>> shared = SharedImages(np.array([[0, 1], [1, 2], [2, 3], [4, 5]]))
        >>> influences = np.array([[0.1], [0.2], [-0.2], [-0.1]])
        >>> shared.variance(influences).round(4).tolist()
        [0.12]
    """

    def __init__(self, images: Ints) -> None:
        self._sets = list(_sets(_distinct_in_row(images)))
        self.share = _n_pairs(self._sets) / len(images) ** 2
        """Of all ordered pairs of rows, those that share an image; each row with itself among them."""

    @property
    def is_one(self) -> bool:
        """Whether every two rows share an image: nothing then shows how much rows vary."""
        return self.share >= 1

    def variance(self, influences: Floats) -> Floats:
        """Variance of the sums of the columns: of a column u the sum of u[i] u[j] over all pairs that share an image.

        Deviations from a mean of the same rows make that too small by the share P of all ordered pairs that share an
        image, hence it is divided by 1 - P; for G clusters of one size that is the usual factor G / (G - 1).

        Args:
            influences: shape (n, M), what each row contributes to the error of a number; columns sum to zero.

        Returns:
            Shape (M,). Where the data make the sum over pairs negative, that of the squared sums over images, which
            counts rows with two common images twice. NaN where all rows share images.
        """
        if self.is_one:
            return np.full(influences.shape[1], np.nan)
        parts = [
            [
                sign * np.square(np.bincount(codes.reshape(-1), np.tile(u, len(codes)))).sum()
                for u in influences.T
            ]
            for sign, codes in self._sets
        ]
        total = np.sum(parts, axis=0)
        return np.asarray(np.where(np.isnan(total) | (total > 0), total, parts[0]) / (1 - self.share))


def shared_mean_intervals(
    values: Floats, images: Ints, scales: list[Scale], resampling: Resampling
) -> Floats:
    """Intervals of the means of M columns, if two rows that show a common image depend on each other.

    If the rows fall into clusters, these are the intervals of `mean_intervals` over the clusters. Otherwise they are
    Student's, with the variance of `SharedImages` and G - 1 degrees of freedom for G images; shares have Wilson's
    interval.

    Args:
        values: shape (n, M).
        images: shape (n, k), see `SharedImages`.
        scales: for each column "share" or "linear".
        resampling: number of resamples, level and seed.

    Returns:
        Low and high, shape (M, 2).

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.bootstrap import Resampling
        >>> from hf_clipdyn.metrics.shared_images import shared_mean_intervals
        >>> values = np.array([[0.1], [0.4], [0.3], [0.6], [0.5]])
        >>> images = np.array([[0, 1], [1, 2], [2, 3], [4, 5], [6, 7]])
        >>> shared_mean_intervals(values, images, ["linear"], Resampling()).round(3).tolist()
        [[0.164, 0.596]]
    """
    clusters, n_units = image_clusters(images)
    if clusters is not None:
        return mean_intervals(values, clusters if n_units < len(values) else None, scales, resampling)
    means = values.mean(axis=0)
    variances = SharedImages(images).variance((values - means) / len(values))
    level = resampling.confidence_level
    return np.array(
        [
            wilson_interval(mean, n_units, level, n_units - 1)
            if scale == "share" and mean in (0, 1) and not np.isnan(variance)
            else student_interval(mean, variance, scale, level, n_units - 1)
            for mean, variance, scale in zip(means.tolist(), variances.tolist(), scales, strict=True)
        ]
    )


def _distinct_in_row(images: Ints) -> Ints:
    """The images, with numbers below 0, one each, in place of the repetitions of an image in its own row."""
    images = np.sort(images, axis=1)
    again = np.zeros(images.shape, bool)
    again[:, 1:] = images[:, 1:] == images[:, :-1]
    images[again] = -1 - np.arange(again.sum())
    return np.sort(images, axis=1)


def _n_pairs(sets: Iterable[tuple[int, Ints]]) -> int:
    """Number of ordered pairs of rows that share an image, each row with itself among them."""
    return int(sum(sign * np.square(np.bincount(codes.reshape(-1))).sum() for sign, codes in sets))


def _sets(images: Ints) -> Iterator[tuple[int, Ints]]:
    """Sign and codes (sets in a row, rows) of the sets of 1, 2, … k images that the rows show.

    Two rows with c common images share c sets of one, c (c - 1) / 2 of two and so on; added with alternating signs,
    these make 1 for every c above 0.
    """
    n, k = images.shape
    numbers, images = np.unique(images, return_inverse=True)
    columns = images.reshape(n, k).T.astype(np.int64)
    for size in range(1, k + 1):
        chosen = np.array(list(combinations(range(k), size)))
        codes = columns[chosen[:, 0]]
        for position in range(1, size):
            _, codes = np.unique(codes * len(numbers) + columns[chosen[:, position]], return_inverse=True)
            codes = codes.reshape(len(chosen), n)
        yield (-1) ** (size + 1), codes
