"""Similarity of two sets of embeddings of the same items: linear CKA, without its bias."""

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats
from hf_clipdyn.metrics.embeddings import centred, embeddings
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.scores import Score, Scores

_CANCELLED = 1e-13  # relative rounding error of a sum over pairs of items


def cka(x: Annotated[ArrayLike, ["float64"]], y: Annotated[ArrayLike, ["float64"]]) -> Scores:
    """Debiased linear CKA: do two representations arrange the same items alike (Kornblith et al. 2019)?

    CKA is the correlation of two matrices of inner products. It follows the directions of large variance. The usual
    one is d/(n + d) for independent data of d dimensions, 0.84 for n = 100 and d = 512; this one, from the unbiased
    HSIC of Song et al. (2012), is 0 (Murphy et al. 2024), so that different n and d can be compared.

    Args:
        x: embeddings, shape (n, d), n >= 4.
        y: embeddings of the same items, shape (n, e).

    Returns:
        ``cka_debiased`` in [-1, 1], 1 for representations that are equal up to rotation, scale and place, 0 for
        independent ones; a ratio, so not exactly unbiased. Its influence comes from leaving out each item. Undefined
        where all embeddings of a side are alike, or all distances. ``n`` items. Swapping x and y changes nothing.

    Raises:
        MetricError: fewer than four items, different numbers of them, other shapes, a number that is not finite.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.cka import cka
        >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [1.0, 4.0]])
        >>> round(cka(x, 10 * x @ [[0.6, 0.8], [-0.8, 0.6]] + 3)["cka_debiased"].value, 6)
        1.0

    References:
        kornblith2019similarity
    """
    first, second = embeddings(x=x, y=y)
    n = len(first)
    if n < 4:
        raise MetricError(f"x and y have {n} items, but the debiased CKA needs at least 4.")
    first, second = centred(first), centred(second)
    cross, of_first, of_second = (
        unbiased_hsic(*pair) for pair in ((first, second), (first, first), (second, second))
    )
    product = of_first * of_second
    found = cross / np.sqrt(np.where(product > 0, product, np.nan))
    cause = "the inner products of different items are all alike" if np.isnan(found[0]) else ""
    score = Score(float(found[0]), left_out_influence(found[1:]), "correlation", n, cause)
    return Scores({"cka_debiased": score}, n=n)


def unbiased_hsic(x: Floats, y: Floats) -> Floats:
    """HSIC1 of Song et al. (2012) of all n items, and without each of them, (1 + n,), in O(n d²).

    For K = XX' and L = YY' without their diagonals it needs tr(KL) and the sums of K, of L and of KL. Every one follows
    from sums over items. It is exactly 0 where its terms cancel, NaN for fewer than four items.

    Args:
        x, y: rows of items around their mean, (n, d) and (n, e).
    """
    xx, yy, product = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y), x.T @ y
    total_x, total_y = x.sum(axis=0), y.sum(axis=0)
    rows_x, rows_y = x @ total_x - xx, y @ total_y - yy  # row sums of K and L
    pulled = np.einsum("ij,ij->i", x @ product, y)  # row sums of K * L, with the diagonal

    def less(whole: float, of_items: Floats) -> Floats:
        return np.asarray(whole - np.r_[0.0, of_items])

    traces = less(np.square(product).sum() - (xx * yy).sum(), 2 * (pulled - xx * yy))
    sums_x, sums_y = less(rows_x.sum(), 2 * rows_x), less(rows_y.sum(), 2 * rows_y)
    through = y @ (y.T @ rows_x) - yy * rows_x + x @ (x.T @ rows_y) - xx * rows_y
    chains = less(rows_x @ rows_y, through + rows_x * rows_y - (pulled - xx * yy))
    n = np.r_[len(x), np.repeat(len(x) - 1.0, len(x))]
    n[n < 4] = np.nan
    terms = traces, sums_x * sums_y / ((n - 1) * (n - 2)), -2 * chains / (n - 2)
    total, size = sum(terms), sum(map(np.abs, terms))
    return np.asarray(np.where(np.abs(total) <= _CANCELLED * size, 0 * n, total / (n * (n - 3))))
