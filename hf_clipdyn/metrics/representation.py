"""Do two sets of embeddings of the same items have the same geometry? Linear CKA and the Procrustes distances.

**CKA** is the correlation of two matrices of inner products. The biased one is d/(n + d) for independent data of d
dimensions (0.84 for n = 100, d = 512): with it, different d or n cannot be compared. The debiased one is 0 then
(Murphy et al. 2024). Both follow the components of large variance.

**Procrustes**: how far apart are the data after the best rotation? They are centred and of Frobenius norm 1. Biased for
few items as well (independent data: an angle of 0.32 for n = 100, d = 512, instead of pi/2), without a known
correction: compare only the same n and d.

**Intervals** are those of the jackknife over items or groups of them: of CKA exactly, of the Procrustes distances in
the first order (the delta method), since nuclear norms without each item take hours. Never resample such items with
replacement: the debiased CKA of independent data (n = 100, d = 512) becomes 0.83.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._left_out import KernelSums, LeftOut, LinearSide, as_rows, centred
from hf_clipdyn.metrics._validation import Floats, check_lengths
from hf_clipdyn.metrics.bootstrap import Resampling

__all__ = [
    "Prepared",
    "progress",
    "progress_influences",
    "representation_similarity",
    "shuffled_angle",
    "similarity",
]

_NAMES = ("cka_biased", "cka_debiased", "procrustes_distance", "angular_shape_distance")


def representation_similarity(
    x: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Similarity of two representations of the same items, up to rotation and scale.

    Args:
        x: embeddings, shape (n, d), n >= 4. Computed in float64, so that untrained models, whose embeddings are almost
            constant, do not lose their digits.
        y: embeddings of the same items, shape (n, d'); d' may differ from d.
        groups: of each item, shape (n,): what depends on each other and is left out together; None for single items.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. 0 skips the intervals. The jackknife draws
            nothing, so the number and the seed are otherwise without effect.

    Returns:
        - ``cka_biased`` in [0, 1], |X'Y|²/(|X'X| |Y'Y|) of centred data; d/(n + d) for independent ones.
        - ``cka_debiased`` in [-1, 1], 0 for independent data (Song et al. 2012; Kornblith et al.
          2019). The ratio is not exactly unbiased.
        - ``procrustes_distance`` in [0, sqrt(2)], sqrt(2 - 2 s), and ``angular_shape_distance`` in [0, pi/2], arccos(s)
          in radians, for the nuclear norm s of X'Y, both centred and of norm 1 (Williams et al. 2021); 0 if equal.
        - ``n`` items; ``<name>_ci``: [low, high]; ``influences``: of each number an array (G,), by the sorted groups,
          see `hf_clipdyn.metrics.influence`; ``causes``: constant embeddings leave all four NaN.
        Swapping x and y changes nothing.

    Raises:
        MetricError: fewer than four items, different numbers of them, other shapes, a number that is not finite.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.representation import representation_similarity
        >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [1.0, 4.0]])
        >>> turned = x @ [[0.6, 0.8], [-0.8, 0.6]]
        >>> result = representation_similarity(x, 10 * turned + 3, n_resamples=0)
        >>> round(result["cka_debiased"], 6), round(result["procrustes_distance"], 6)
        (1.0, 0.0)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    first, second = as_rows("x", x), as_rows("y", y)
    check_lengths({"x": first, "y": second})
    items = LeftOut(groups, _enough(first), resampling)
    return _similarity(Prepared(first, items), Prepared(second, items), intervals=True)


class Prepared:
    """One side of `similarity`, with what all its comparisons have in common.

    Args:
        rows: embeddings, shape (n, d), n >= 4.
        items: which items are left out together; None for single ones.

    Raises:
        MetricError: fewer than four items.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.representation import Prepared, similarity
        >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [1.0, 4.0]])
        >>> round(similarity(Prepared(x), Prepared(2 * x))["cka_debiased"], 6)
        1.0
    """

    def __init__(self, rows: Floats, items: LeftOut | None = None) -> None:
        self.items = LeftOut(None, _enough(rows), Resampling(1)) if items is None else items
        self.rows = centred(rows)
        """Centred; None if all are equal."""

    @cached_property
    def side(self) -> LinearSide:
        """The rows with their sums."""
        assert self.rows is not None
        return self.items.linear_side(self.rows)

    @cached_property
    def own(self) -> tuple[KernelSums, KernelSums]:
        """The sums of the inner products with themselves."""
        return self.items.linear_sums(self.side, self.side)


def similarity(first: Prepared, second: Prepared) -> dict[str, Any]:
    """`representation_similarity` of two that were prepared with the same items, without the intervals.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.representation import Prepared, similarity
        >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [1.0, 4.0]])
        >>> round(similarity(Prepared(x), Prepared(x + 1))["angular_shape_distance"], 6)
        0.0
    """
    return _similarity(first, second, intervals=False)


def _similarity(first: Prepared, second: Prepared, *, intervals: bool) -> dict[str, Any]:
    items = first.items
    if first.rows is None or second.rows is None:
        constant = " and ".join(
            name for name, side in zip("xy", (first, second), strict=True) if side.rows is None
        )
        undefined = np.full(1 + items.n_groups, np.nan)
        causes = dict.fromkeys(_NAMES, f"all embeddings are equal in {constant}")
        return items.results(dict.fromkeys(_NAMES, undefined), causes, intervals=intervals)
    cka = _cka(first, second)
    procrustes = _procrustes(items, first.side, second.side)
    alike = "the inner products of different items are all alike, at least in x or y"
    return items.results(
        dict(zip(_NAMES, (*cka, *procrustes), strict=True)),
        {"cka_debiased": alike},
        correlations=_NAMES[:2],
        intervals=intervals,
    )


def _enough(rows: Floats) -> int:
    if len(rows) < 4:
        raise MetricError(f"x and y have {len(rows)} items, but the debiased CKA needs at least 4.")
    return len(rows)


def progress(similarities: ArrayLike, untrained: float) -> Floats:
    """How far a similarity to the last revision has come since training began, (c - c(0))/(1 - c(0)).

    The raw similarity favours lower layers: before training they already resemble their end.

    Args:
        similarities: c of each revision, at most 1.
        untrained: c(0), the similarity of the untrained model.

    Returns:
        The same shape: 0 before training, 1 at the end; NaN if the untrained model equals the last revision.

    Examples:
        >>> from hf_clipdyn.metrics.representation import progress
        >>> progress([0.5, 0.75, 1.0], 0.5).tolist()
        [0.0, 0.5, 1.0]
    """
    left = 1 - untrained
    return np.asarray((np.asarray(similarities, np.float64) - untrained) / (left if left > 0 else np.nan))


def progress_influences(similarities: ArrayLike, influences: ArrayLike) -> Floats:
    """What each item contributes to `progress`, in the first order.

    Args:
        similarities: c of each revision, the untrained one first, shape (..., T).
        influences: on each, (..., T, n).

    Returns:
        The shape of the influences; NaN where progress is undefined.

    Examples:
        >>> from hf_clipdyn.metrics.representation import progress_influences
        >>> progress_influences([0.5, 0.75, 1.0], [[0.1, -0.1], [0.1, -0.1], [0.0, 0.0]]).round(3).tolist()
        [[0.0, 0.0], [0.1, -0.1], [0.0, 0.0]]
    """
    values, known = np.asarray(similarities, np.float64), np.asarray(influences, np.float64)
    left = 1 - values[..., :1]
    left = np.where(left > 0, left, np.nan)[..., None]
    return np.asarray((known * left - known[..., :1, :] * (1 - values)[..., None]) / left**2)


def shuffled_angle(first: Prepared, second: Prepared, *, seed: int = 0) -> float:
    """The angular shape distance after the items of one side were shuffled: the chance level, far below pi/2.

    It depends on the number of items and on both spectra. One order of the items is enough: for 100 items of 64
    dimensions, other orders have a standard deviation of 0.01.

    Args:
        first, second: of the same items.
        seed: of their order.

    Returns:
        Radians, in [0, pi/2]; NaN if all embeddings of a side are equal.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.representation import Prepared, shuffled_angle
        >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 64))
        >>> round(shuffled_angle(Prepared(x), Prepared(y)), 2)
        0.88
    """
    if first.rows is None or second.rows is None:
        return float("nan")
    order = np.random.default_rng(seed).permutation(len(first.rows))
    singular = np.linalg.svd(first.rows[order].T @ second.rows, compute_uv=False)
    length = np.sqrt(first.side.diagonal[0] * second.side.diagonal[0])
    return float(np.arccos(min(float(singular.sum() / length), 1.0)))


def _cka(first: Prepared, second: Prepared) -> tuple[Floats, Floats]:
    """The biased and the debiased one, (1 + G,) each."""
    sums = [first.items.linear_sums(first.side, second.side), first.own, second.own]
    with np.errstate(invalid="ignore", divide="ignore"):
        cross, *own = (whole.biased for whole, _ in sums)
        biased = cross / np.sqrt(own[0] * own[1])
        cross, *own = (apart.unbiased for _, apart in sums)
        return biased, cross / np.sqrt(np.where(own[0] * own[1] > 0, own[0] * own[1], np.nan))


def _procrustes(items: LeftOut, x: LinearSide, y: LinearSide) -> tuple[Floats, Floats]:
    """The Procrustes and the angular distance, (1 + G,) each.

    If items have weights, centred at the weighted means, the derivative of the nuclear norm of X'Y by the weight of an
    item is the inner product of its rows after the best rotation.
    """
    left, singular, right = np.linalg.svd(x.rows.T @ y.rows, full_matrices=False)
    known = singular > 1e-12 * singular[0]
    rotated = np.einsum("ij,ij->i", x.rows @ (left[:, known] @ right[known]), y.rows)
    norms = x.diagonal[0], y.diagonal[0]
    length = np.sqrt(norms[0] * norms[1])
    nuclear = min(float(singular.sum() / length), 1.0)
    derivative = rotated / length - nuclear / 2 * (x.squares / norms[0] + y.squares / norms[1])
    distance, angle = np.sqrt(2 - 2 * nuclear), np.arccos(nuclear)
    if distance < 1e-7:  # equal data: the largest value, where the derivative is 0 up to rounding
        derivative, distance, angle = 0 * derivative, 0.0, 0.0
    slopes = -1 / (distance or 1.0), -1 / (np.sqrt(1 - nuclear**2) or 1.0)
    values = zip((distance, angle), slopes, strict=True)
    first, second = (items.first_order(value, slope * derivative) for value, slope in values)
    return first, second
