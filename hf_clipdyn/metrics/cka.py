"""Similarity of two sets of embeddings of the same items: debiased linear CKA (Song et al. 2012)."""

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, columns
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.scores import Score, Scores

__all__ = ["cka"]


def cka(x: ArrayLike, y: ArrayLike) -> Scores:
    """Debiased linear CKA of two representations of the same items (Song et al. 2012; Kornblith et al. 2019).

    Args:
        x, y: embeddings, shape (n, d) and (n, e), n >= 4.

    Returns:
        ``cka_debiased`` in [-1, 1], 1 for representations that are equal up to rotation and scale, 0 for independent
        ones; its influence is that of leaving out each item. NaN if all embeddings of a side are alike.

    Raises:
        MetricError: fewer than four items, different numbers of them, a number that is not finite.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.cka import cka
        >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [1.0, 4.0]])
        >>> round(cka(x, 10 * x @ [[0.6, 0.8], [-0.8, 0.6]] + 3)["cka_debiased"].value, 6)
        1.0
    """
    first, second = columns(x=x, y=y)
    if len(first) < 4:
        raise MetricError(f"x and y have {len(first)} items, but the debiased CKA needs at least 4.")
    first, second = (side - side.mean(axis=0) for side in (first, second))
    cross, of_first, of_second = (_hsic(*pair) for pair in ((first, second), (first,) * 2, (second,) * 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        product = of_first * of_second
        found = cross / np.sqrt(np.where(product > 0, product, np.nan))
    cause = "the inner products of different items are all alike" if np.isnan(found[0]) else ""
    influence = left_out_influence(found[1:])
    return Scores(
        {"cka_debiased": Score(float(found[0]), influence, "correlation", len(first), cause)}, n=len(first)
    )


def _hsic(x: Floats, y: Floats) -> Floats:
    """The unbiased HSIC of all items, and without each of them, (1 + n,), from sums over items in O(n d^2).

    For K = XX' and L = YY' without their diagonals it needs tr(KL), the sums of K and of L, and that of KL.
    """
    xx, yy, product = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y), x.T @ y
    total_x, total_y = x.sum(axis=0), y.sum(axis=0)
    rows_x, rows_y = x @ total_x - xx, y @ total_y - yy  # row sums of K and L
    pulled = np.einsum("ij,ij->i", x @ product, y)

    def sums(rows: Floats, total: Floats, squares: Floats) -> Floats:
        whole = total @ total - squares.sum()
        return np.asarray(whole - np.r_[0.0, 2 * (rows @ total) - 2 * squares])

    traces = np.square(product).sum() - (xx * yy).sum() - np.r_[0.0, 2 * pulled - 2 * xx * yy]
    chains = (
        rows_x @ rows_y
        - np.r_[
            0.0,
            y @ (y.T @ rows_x)
            - yy * rows_x
            + x @ (x.T @ rows_y)
            - xx * rows_y
            + rows_x * rows_y
            - (pulled - xx * yy),
        ]
    )
    n = len(x) - np.r_[0, np.ones(len(x))]
    both = sums(x, total_x, xx) * sums(y, total_y, yy) / ((n - 1) * (n - 2))
    return np.asarray((traces + both - 2 * chains / (n - 2)) / (n * (n - 3)))
