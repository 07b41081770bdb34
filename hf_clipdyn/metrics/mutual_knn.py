"""Do two sets of embeddings of the same items have the same neighbours? Mutual kNN and CKNNA (Huh et al. 2024).

Both are properties of pairs of items, so intervals are those of the jackknife (1.6 times too wide for 60 items; a
standard error over the items alone is too narrow and covers 86 to 89 %). A bootstrap makes duplicates, each the nearest
neighbour of the other in both sets: it lifts 0.10 to 0.18.

Without a group, the neighbours of an item move up: what the group leaves in a list of k is filled by the next ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._left_out import KernelSums, LeftOut, as_rows, centred, unit_rows
from hf_clipdyn.metrics._validation import Floats, Ints, check_lengths
from hf_clipdyn.metrics.bootstrap import Resampling
from hf_clipdyn.metrics.influence import left_out_influence

__all__ = ["Neighbours", "mutual_knn", "nearest_neighbours", "shared_neighbours"]

_NAMES = ("mutual_knn", "above_chance", "cknna")


def mutual_knn(
    a: ArrayLike,
    b: ArrayLike,
    k: int = 10,
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Share of the k nearest neighbours of an item that two sets of embeddings have in common.

    Neighbours are those of the largest inner products of rows of length 1, without the item itself; the first row wins
    a tie. Between the images and texts of one CLIP, the value measures its training, not a convergence of models.

    Args:
        a: embeddings, shape (n, d), of any length but 0.
        b: embeddings of the same items, shape (n, d'); d' may differ from d.
        k: neighbours, 1 to n - 1.
        groups: of each item, shape (n,): what depends on each other and is left out together; None for single items.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. 0 skips the intervals. The jackknife draws
            nothing, so the number and the seed are otherwise without effect.

    Returns:
        - ``mutual_knn`` in [0, 1]; ``chance``, its expectation for independent data, k/(n - 1); ``above_chance``, at
          most 1, (mutual_knn - chance)/(1 - chance).
        - ``cknna``: the debiased CKA of the inner products with common neighbours, each normalised by those with its
          own; 1 for equal data, and for independent ones a little less than the chance. The authors' code adds 1e-6 to
          the denominator; this function does not.
        - ``n`` items, ``k``; ``<name>_ci``: [low, high]; ``influences``: of each but the chance an array (G,), by the
          sorted groups, see `hf_clipdyn.metrics.influence`; ``causes``: the cknna is NaN for k = 1 or n < 4,
          above_chance if all others are neighbours, and all three if all embeddings have the same direction.
        Swapping a and b changes the cknna alone, and little, since neighbourhood is not mutual.

    Raises:
        MetricError: different numbers of items, other shapes, a number that is not finite, an embedding of length 0,
            k outside 1 to n - 1.

    Examples:
        >>> from hf_clipdyn.metrics.mutual_knn import mutual_knn
        >>> a = [[1, 0], [1, 0.1], [0, 1], [0.1, 1]]
        >>> result = mutual_knn(a, [[0, 1], [0.1, 1], [1, 0], [1, 0.1]], k=1, n_resamples=0)
        >>> result["mutual_knn"], round(result["chance"], 4)
        (1.0, 0.3333)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    rows = [unit_rows(name, as_rows(name, values)) for name, values in (("a", a), ("b", b))]
    check_lengths(dict(zip("ab", rows, strict=True)))
    n = len(rows[0])
    if not (1 <= k < n and k == int(k)):
        raise MetricError(f"k must be a whole number from 1 to {n - 1} for {n} items, but is {k}.")
    items = LeftOut(groups, n, resampling)
    collapsed = [name for name, side in zip("ab", rows, strict=True) if centred(side) is None]
    if collapsed:
        undefined = np.full(1 + items.n_groups, np.nan)
        cause = f"all embeddings have the same direction in {' and '.join(collapsed)}"
        result = items.results(dict.fromkeys(_NAMES, undefined), dict.fromkeys(_NAMES, cause))
        return result | {"chance": k / (n - 1), "k": k}
    kernels = [_inner_products(side) for side in rows]
    lists = _neighbours(items, kernels, k)
    left = np.where(items.n > k, items.n, np.nan)  # fewer than k others: no list of k
    common = _Common(items, lists[0], lists[1], k)
    share = common.counts() / (k * left)
    chance = k / (left - 1)
    above = (share - chance) / np.where(chance < 1, 1 - chance, np.nan)
    cknna = np.full(len(left), np.nan)
    if k > 1:
        first, second = (
            _Common(items, one, one, k).hsic(kernel, kernel)
            for one, kernel in zip(lists, kernels, strict=True)
        )
        own = np.where((first > 0) & (second > 0), first * second, np.nan)
        cknna = common.hsic(kernels[0], kernels[1]) / np.sqrt(own)
    causes = {
        "above_chance": "all others are neighbours, so that the chance is 1",
        "cknna": "it needs k > 1, at least 4 items, and neighbours of different inner products",
    }
    result = items.results(dict(zip(_NAMES, (share, above, cknna), strict=True)), causes)
    return result | {"chance": float(chance[0]), "k": k}


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest neighbours of each item, for `shared_neighbours`; `nearest_neighbours` makes them.

    Attributes:
        nearest: the k nearest, nearest first, and the next one, which moves up without one of them: shape (n, k + 1).

    Examples:
        >>> from hf_clipdyn.metrics.mutual_knn import nearest_neighbours
        >>> nearest_neighbours([[1, 0], [1, 0.1], [0, 1]], k=1).nearest.tolist()
        [[1, 2], [0, 2], [1, 0]]
    """

    nearest: Ints

    @property
    def near(self) -> NDArray[np.bool_]:
        """Whether an item is one of the k nearest of another, shape (n, n)."""
        n = len(self.nearest)
        near = np.zeros((n, n), np.bool_)
        np.put_along_axis(near, self.nearest[:, :-1], True, axis=1)
        return near


def nearest_neighbours(rows: ArrayLike, k: int) -> Neighbours | None:
    """The k nearest neighbours of each item, as in `mutual_knn`; None if all embeddings have one direction.

    Args:
        rows: embeddings, shape (n, d), of any length but 0.
        k: neighbours, 1 to n - 2.

    Raises:
        MetricError: a number that is not finite, an embedding of length 0, k outside 1 to n - 2.

    Examples:
        >>> from hf_clipdyn.metrics.mutual_knn import nearest_neighbours
        >>> nearest_neighbours([[1, 0], [1, 0.1], [0, 1]], k=1).near.astype(int).tolist()
        [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    """
    sides = unit_rows("rows", as_rows("rows", rows))
    n = len(sides)
    if not 1 <= k < n - 1:
        raise MetricError(f"k must be from 1 to {n - 2} for {n} items, so that one is left, but is {k}.")
    if centred(sides) is None:
        return None
    return Neighbours(_nearest(_inner_products(sides), k + 1).astype(np.int32))


def shared_neighbours(first: Neighbours, second: Neighbours) -> dict[str, Any]:
    """`mutual_knn` of neighbours that are kept for several comparisons, with single items left out.

    Args:
        first, second: of the same items, for one k.

    Returns:
        ``mutual_knn``, ``chance``, ``n`` and ``k``; ``influences``, those of the jackknife over items, (n,).

    Examples:
        >>> from hf_clipdyn.metrics.mutual_knn import nearest_neighbours, shared_neighbours
        >>> near = nearest_neighbours([[1, 0], [1, 0.1], [0, 1]], k=1)
        >>> shared_neighbours(near, near)["mutual_knn"]
        1.0
    """
    n, k = len(first.nearest), first.nearest.shape[1] - 1
    items, of_first, of_second = np.arange(n), first.nearest[:, :k], second.nearest[:, :k]
    next_first, next_second = first.nearest[:, k], second.nearest[:, k]
    near_first, near_second = first.near, second.near
    shared = near_second[items[:, None], of_first]

    def lists_with_each(lists: Ints) -> Ints:
        return np.bincount(lists.reshape(-1), minlength=n)

    # Without an item, the next ones move up in the lists that contain it, and may be shared.
    gained = lists_with_each(of_first[near_second[items, next_first]])
    gained += lists_with_each(of_second[near_first[items, next_second]])
    same = next_first == next_second
    gained += lists_with_each(of_first[same][shared[same]])
    total = int(shared.sum())
    without = total - shared.sum(axis=1) - lists_with_each(of_first[shared]) + gained
    influences = left_out_influence(without / (k * (n - 1)))
    return {"mutual_knn": total / (k * n), "chance": k / (n - 1), "influences": influences, "n": n, "k": k}


def _inner_products(rows: Floats) -> Floats:
    """Of all pairs of rows, with equal numbers for equal rows, whose products may be rounded differently otherwise."""
    if len(np.unique(rows[:, 0])) == len(rows):
        return np.asarray(rows @ rows.T)
    whole = np.ascontiguousarray(rows + 0.0).view(f"V{rows[0].nbytes}")[:, 0]  # -0.0 becomes 0.0
    _, first, copies = np.unique(whole, return_index=True, return_inverse=True)
    kernel = rows[first] @ rows[first].T
    return np.asarray(kernel[np.ix_(copies, copies)])


@dataclass(frozen=True)
class _Lists:
    """The nearest neighbours of each item: in order, and the place of each item in the list of another.

    Without a group, the lists of some items change: those that have one of its items among their first k.
    """

    nearest: Ints  # (n, m)
    places: Ints  # (n, n); m for an item that is not listed
    groups: Ints  # (P,)
    rows: Ints  # (P,), the item whose list changes without this group
    depths: Ints  # (P,), how far its first k reach then


def _neighbours(items: LeftOut, kernels: Sequence[Floats], k: int) -> list[_Lists]:
    """Of all sets of embeddings, with the same changes listed for each."""
    n = len(items.codes)
    largest = int(np.bincount(items.codes).max()) if items.n_groups else 0
    lists = [_nearest(kernel, min(k + largest, n - 1)) for kernel in kernels]
    touched = np.empty(0, np.int64)
    if items.n_groups:
        touched = np.unique([items.codes[nearest[:, :k]] * n + np.arange(n)[:, None] for nearest in lists])
    groups, rows = touched // n, touched % n
    others = items.codes[rows] != groups
    groups, rows = groups[others], rows[others]
    found = []
    for nearest in lists:
        places = np.full((n, n), nearest.shape[1])
        np.put_along_axis(places, nearest, np.arange(nearest.shape[1])[None], axis=1)
        kept = (items.codes[nearest[rows]] != groups[:, None]).cumsum(axis=1)
        found.append(_Lists(nearest, places, groups, rows, (kept < k).sum(axis=1) + 1))
    return found


def _nearest(kernel: Floats, m: int) -> Ints:
    """The m other items of the largest inner product with each, the first of equal ones first, (n, m)."""
    n = len(kernel)
    distances = -kernel
    np.fill_diagonal(distances, np.inf)
    # The m-th smallest of the minima of blocks is no less than the m-th smallest of all: it leaves few to sort.
    minima = np.minimum.reduceat(distances, np.arange(0, n, max(n // (2 * m), 1)), axis=1)
    near = distances <= np.partition(minima, m - 1, axis=1)[:, m - 1 : m]
    counts = near.sum(axis=1)
    rows, columns = np.nonzero(near)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    listed, far = np.zeros((n, counts.max()), np.int64), np.full((n, counts.max()), np.inf)
    listed[rows, places], far[rows, places] = columns, distances[rows, columns]
    order = np.argsort(far, axis=1, kind="stable")[:, :m]
    return np.asarray(np.take_along_axis(listed, order, axis=1))


class _Common:
    """The pairs of an item and a neighbour that two lists have in common, and those that come without a group."""

    def __init__(self, items: LeftOut, first: _Lists, second: _Lists, k: int) -> None:
        self._items = items
        self._mask = (first.places < k) & (second.places < k)
        groups, rows = first.groups[:, None], first.rows[:, None]
        columns = first.nearest[first.rows]
        new = np.arange(columns.shape[1]) < first.depths[:, None]
        new &= second.places[rows, columns] < second.depths[:, None]
        new &= (items.codes[columns] != groups) & ~self._mask[rows, columns]
        at, place = np.nonzero(new)
        self._groups, self._rows, self._columns = first.groups[at], first.rows[at], columns[at, place]

    def counts(self) -> Floats:
        """How many, (1 + G,)."""
        return self._items.pairs(self._mask.astype(np.float64)) + self._gained(np.ones(len(self._groups)))

    def hsic(self, first: Floats, second: Floats) -> Floats:
        """HSIC1 of two matrices of inner products, of which only these pairs count, (1 + G,)."""
        items, n = self._items, len(self._mask)
        a, b = first * self._mask, second * self._mask.T  # K and L'
        of_a, of_b = (kernel[self._rows, self._columns] for kernel in (first, second))
        # A pair counts in tr(KL) if its reverse is there as well; that of two new pairs comes twice by itself.
        there = self._mask[self._columns, self._rows]
        here = (self._groups * n + self._rows) * n + self._columns
        new = np.isin((self._groups * n + self._columns) * n + self._rows, here)
        of_columns, of_rows = np.zeros((2, items.n_groups, n))
        np.add.at(of_columns, (self._groups, self._columns), of_a)
        np.add.at(of_rows, (self._groups, self._rows), of_b)
        return KernelSums(
            n=items.n,
            products=items.pairs(a * b) + self._gained(of_a * of_b * (2 * there + new)),
            first=items.pairs(a) + self._gained(of_a),
            second=items.pairs(b) + self._gained(of_b),
            chains=items.columns(a, b, (of_columns, of_rows)),
        ).unbiased

    def _gained(self, values: Floats) -> Floats:
        return np.append(0.0, np.bincount(self._groups, values, self._items.n_groups))
