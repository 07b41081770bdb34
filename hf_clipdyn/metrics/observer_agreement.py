"""How a model decides beside people, condition by condition (Geirhos et al. 2021, model-vs-human)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.metrics._validation import Floats, Ints, as_codes
from hf_clipdyn.metrics.error_consistency import PAIR_STATISTICS, observer_pairs, pair_statistics

__all__ = ["observer_agreement"]

_ALL_AGREE = "kappa_all_agree"


def observer_agreement(
    observers: ArrayLike, predictions: ArrayLike | None = None, *, conditions: ArrayLike | None = None
) -> dict[str, Any]:
    """Agreement of one observer with several others, or of all pairs of these, averaged over conditions.

    Every number is computed for each condition and each pair, then averaged over the conditions of a pair, then over
    the pairs, as in model-vs-human (Geirhos et al. 2021).

    Args:
        observers: whether each of m observers was correct on each image, shape (n, m); NaN for an image that an
            observer did not see.
        predictions: the same of the one observer (a model), shape (n,); None compares the m among themselves.
        conditions: of the images, shape (n,); None for a single one.

    Returns:
        - ``accuracy`` of the one observer, or the mean of the m;
        - ``accuracy_difference``, the squared difference of the two accuracies;
        - ``observed_consistency``, the share of images on which both are right or both wrong;
        - ``kappa`` and the range that the accuracies allow, ``kappa_min`` and ``kappa_max``, over the pairs and
          conditions in which kappa is defined;
        - ``kappa_all_agree``, as model-vs-human has it: 1 where two observers are right, or wrong, on all images;
        - ``kappas``, one for each pair, its mean over the conditions; ``n``, ``n_pairs``; ``causes``;
        - ``influences``: for each of the numbers an array (n,), what each image contributes to its error.

    Raises:
        MetricError: other shapes, no rows, fewer than two observers to compare.

    Examples:
        >>> from hf_clipdyn.metrics.observer_agreement import observer_agreement
        >>> result = observer_agreement([[1, 1], [1, 0], [0, 0], [0, 0]], [1, 1, 1, 0])
        >>> result["kappa"], result["observed_consistency"], result["accuracy_difference"]
        (0.35, 0.625, 0.15625)
    """
    first, second = observer_pairs(observers, predictions)
    n, n_pairs = first.shape
    codes, n_conditions = (
        (np.zeros(n, np.int64), 1) if conditions is None else as_codes("conditions", conditions, n)
    )
    values = np.empty((len(PAIR_STATISTICS), n_conditions, n_pairs))
    influences = np.zeros((len(PAIR_STATISTICS), n, n_pairs))
    for condition in range(n_conditions):
        rows = codes == condition
        values[:, condition], influences[:, rows] = pair_statistics(first[rows], second[rows])
    by_name = dict(zip(PAIR_STATISTICS, zip(values, influences, strict=True), strict=True))
    kappas, of_kappas = by_name["kappa"]
    agree = by_name["observed_consistency"][0] == 1
    by_name[_ALL_AGREE] = np.where(agree, 1.0, kappas), np.where(agree[codes], 0.0, of_kappas)
    means = {name: _mean(*one, codes) for name, one in by_name.items()}
    right = np.asarray(observers, np.float64) if predictions is None else first[:, :1]
    means["accuracy"] = _mean(*_accuracies(right, codes, n_conditions), codes)
    undefined = np.isnan(means["kappa"][0])
    cause = "in each pair, both are right, or both wrong, on all images"
    with np.errstate(invalid="ignore"):
        of_pairs = np.nansum(kappas, axis=0) / (~np.isnan(kappas)).sum(axis=0)
    return {
        **{name: value for name, (value, _) in means.items()},
        "kappas": of_pairs.tolist(),
        "n": n,
        "n_pairs": int((~np.isnan(of_pairs)).sum()),
        "causes": dict.fromkeys(PAIR_STATISTICS[:3], cause) if undefined else {},
        "influences": {name: influence for name, (_, influence) in means.items()},
    }


def _accuracies(right: Floats, codes: Ints, n_conditions: int) -> tuple[Floats, Floats]:
    """Share of correct answers of each observer in each condition (C, m), and each image's influence on it (n, m)."""
    seen = ~np.isnan(right)
    values, sizes = np.zeros((2, n_conditions, right.shape[1]))
    np.add.at(values, codes, np.where(seen, right, 0.0))
    np.add.at(sizes, codes, seen)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = values / sizes
        return values, np.where(seen, (right - values[codes]) / sizes[codes], 0.0)


def _mean(values: Floats, influences: Floats, codes: Ints) -> tuple[float, Floats]:
    """Mean over the conditions (C, P) where a pair is defined, then over the pairs; and the influences (n,) on it."""
    defined = ~np.isnan(values)
    n_pairs = int(defined.any(axis=0).sum())
    if not n_pairs:
        return float("nan"), np.full(len(codes), np.nan)
    weights = defined / np.maximum(defined.sum(axis=0), 1) / n_pairs
    value = float((np.where(defined, values, 0.0) * weights).sum())
    return value, np.asarray((np.where(defined[codes], influences, 0.0) * weights[codes]).sum(axis=1))
