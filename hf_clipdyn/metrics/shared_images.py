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

from hf_clipdyn.metrics.checks import Floats, Ints


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
        image, so it is divided by 1 - P; for G clusters of one size this gives the usual factor G / (G - 1).

        Args:
            influences: shape (n, M), what each row contributes to the error of a number; columns sum to zero.

        Returns:
            Shape (M,). Where the data make the sum over pairs negative, the sum of the squared sums over images, which
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
