"""Do two observers err on the same images? Cohen's kappa of being correct (Geirhos et al. 2020)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.metrics._validation import Floats, as_booleans, check_lengths
from hf_clipdyn.metrics.bootstrap import Resampling, Scale, resampled_intervals
from hf_clipdyn.metrics.undefined import undefined

__all__ = ["error_consistency"]

_VALUES = ("kappa", "observed", "expected")
_SCALES: tuple[Scale, ...] = ("fisher", "share", "share")


def error_consistency(
    predictions: ArrayLike,
    references: ArrayLike,
    *,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Agreement in being right or wrong, beyond what the two accuracies alone would give.

    kappa = (observed - expected) / (1 - expected), with the share of images on which both are right
    or both are wrong as ``observed``, and p1 p2 + (1 - p1)(1 - p2) as ``expected``. Name the rows
    that go in: on cue-conflict images "correct" means the class of the shape, and model-vs-human
    counts all 1,280 images, of which 80 hold no conflict.

    Args:
        predictions: whether the first observer was correct on each image, shape (n,).
        references: the same for the second observer, on the same images in the same order.
        n_resamples: 0 skips the intervals; images are resampled, the observers stay.
        confidence_level: of the intervals.
        seed: of the resamples.

    Returns:
        - ``kappa`` in [-1, 1]: 1 for the same errors, 0 for independent ones. NaN, with a warning,
          where both are right on all images or both wrong on all, since nothing is left to explain.
        - ``kappa_min``, ``kappa_max``: the range that the two accuracies allow.
        - ``observed``, ``expected`` in [0, 1]; ``n`` images.
        - ``kappa_ci``, ``observed_ci``, ``expected_ci``: [low, high].
        The value does not change when the observers are swapped.

    Raises:
        MetricError: different lengths, no rows, anything but True and False (or 1 and 0).

    Example:
        >>> result = error_consistency([1, 1, 1, 0], [1, 1, 0, 0], n_resamples=0)
        >>> result["kappa"], result["observed"], result["expected"]
        (0.5, 0.75, 0.5)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    first, second = as_booleans("predictions", predictions), as_booleans("references", references)
    check_lengths({"predictions": first, "references": second})
    n = len(first)
    outcomes = np.bincount(2 * first + second, minlength=4)
    kappa, observed, expected = _kappa(outcomes[None].astype(np.float64))[0].tolist()
    low, high = _range(float(first.mean()), float(second.mean()))
    if expected == 1:
        right = "right" if first.all() else "wrong"
        kappa = undefined(("kappa", "kappa_min", "kappa_max"), f"both observers are {right} on all images")
    result: dict[str, Any] = {
        "kappa": kappa,
        "kappa_min": low,
        "kappa_max": high,
        "observed": observed,
        "expected": expected,
        "n": n,
    }
    if resampling:
        intervals = resampled_intervals(_kappa, outcomes, _SCALES, resampling).tolist()
        result |= {f"{name}_ci": interval for name, interval in zip(_VALUES, intervals, strict=True)}
    return result


def _kappa(weights: Floats) -> Floats:
    """Counts of both wrong, second right, first right, both right (B, 4) -> kappa, observed, expected (B, 3)."""
    wrong, second_only, first_only, right = (weights / weights.sum(axis=1, keepdims=True)).T
    observed = wrong + right
    p1, p2 = first_only + right, second_only + right
    expected = p1 * p2 + (1 - p1) * (1 - p2)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)
    return np.stack([kappa, observed, expected], axis=1)


def _range(p1: float, p2: float) -> tuple[float, float]:
    """Smallest and largest kappa of observers with these accuracies."""
    expected = p1 * p2 + (1 - p1) * (1 - p2)
    if expected == 1:
        return float("nan"), float("nan")
    least, most = abs(p1 + p2 - 1), 1 - abs(p1 - p2)
    return (least - expected) / (1 - expected), (most - expected) / (1 - expected)
