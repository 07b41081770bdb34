"""Do two sets of embeddings of the same items have the same neighbours (Huh et al. 2024)?"""

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, Ints
from hf_clipdyn.metrics.embeddings import centred, embeddings, unit_rows
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.scores import Score, Scores


def mutual_knn(a: ArrayLike, b: ArrayLike, k: int = 10) -> Scores:
    """Share of the k nearest neighbours of an item that two sets of embeddings have in common.

    Neighbours have the largest cosines, without the item itself; the first row wins a tie. The number of items
    matters: compare equal ones. Between the images and texts of one CLIP, the value measures its training, not a
    convergence of models. Items are never resampled: of two copies, each is the nearest of the other in both sets.

    Args:
        a: embeddings, shape (n, d), of any length but 0.
        b: embeddings of the same items, shape (n, e).
        k: neighbours, 1 to n - 1.

    Returns:
        ``mutual_knn`` in [0, 1]. Its influence comes from leaving out each item, whose place the next neighbour takes;
        unknown for k = n - 1. Undefined where all embeddings of a side have one direction. ``n`` items, ``k``, and
        ``chance``, the expectation for independent data, k/(n - 1). Swapping a and b changes nothing.

    Raises:
        MetricError: different numbers of items, other shapes, a number that is not finite, an embedding of length 0,
            k outside 1 to n - 1.

    Examples:
        >>> from hf_clipdyn.metrics.mutual_knn import mutual_knn
        >>> a = [[1, 0], [1, 0.1], [0, 1], [0.1, 1]]
        >>> found = mutual_knn(a, [[0, 1], [0.1, 1], [1, 0], [1, 0.1]], k=1)
        >>> found["mutual_knn"].value, round(found.facts["chance"], 4)
        (1.0, 0.3333)
    """
    first, second = embeddings(a=a, b=b)
    first, second = unit_rows(a=first, b=second)
    n = len(first)
    if not (1 <= k < n and k == int(k)):
        raise MetricError(f"k must be a whole number from 1 to {n - 1} for {n} items, but is {k}.")
    facts = {"n": n, "k": k, "chance": k / (n - 1)}
    constant = [name for name, side in (("a", first), ("b", second)) if not centred(side).any()]
    if constant:
        cause = f"all embeddings have the same direction in {' and '.join(constant)}"
        return Scores({"mutual_knn": Score(np.nan, np.full(n, np.nan), "linear", n, cause)}, **facts)
    nearest = [_by_distance(side)[:, : k + 1] for side in (first, second)]
    near = np.zeros((2, n, n), bool)
    for lists, is_near in zip(nearest, near, strict=True):
        np.put_along_axis(is_near, lists[:, :k], True, axis=1)
    shared = near[0] & near[1]
    total = int(shared.sum())
    influence = np.full(n, np.nan)
    if k < n - 1:
        gained = np.zeros(n)
        after = [lists[:, k] for lists in nearest]  # each takes the place of any one of the k
        rows = np.arange(n)
        gained += near[0][near[1][rows, after[0]]].sum(axis=0)
        gained += near[1][near[0][rows, after[1]]].sum(axis=0)
        gained += shared[after[0] == after[1]].sum(axis=0)
        without = total - shared.sum(axis=1) - shared.sum(axis=0) + gained
        influence = left_out_influence(without / (k * (n - 1)))
    return Scores({"mutual_knn": Score(total / (k * n), influence, "linear", n)}, **facts)


def _by_distance(rows: Floats) -> Ints:
    """The other items of each, nearest first, the first of equal ones first, (n, n - 1)."""
    distinct, copies = np.unique(
        rows + 0.0, axis=0, return_inverse=True
    )  # equal rows may give unequal products
    kernel = (distinct @ distinct.T)[np.ix_(copies.reshape(-1), copies.reshape(-1))]
    np.fill_diagonal(kernel, -np.inf)
    return np.argsort(-kernel, axis=1, kind="stable")[:, :-1]
