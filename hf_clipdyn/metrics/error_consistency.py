"""Do two observers err on the same images? Cohen's kappa of being correct (Geirhos et al. 2020)."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, columns
from hf_clipdyn.metrics.scores import Scale, Score, Scores, mean

__all__ = [
    "PAIR_STATISTICS",
    "error_consistency",
    "observer_consistency",
    "observer_pairs",
    "pair_statistics",
]

_KAPPAS = ("kappa", "kappa_min", "kappa_max")
PAIR_STATISTICS = (*_KAPPAS, "observed_consistency", "accuracy_difference")
"""The rows of `pair_statistics`."""

_FEWEST, _FEW = 5, 40  # of the rarer outcome: for an interval, and for one without a note
_UNDEFINED = "both observers are right, or both are wrong, on all images"


def error_consistency(
    predictions: Annotated[ArrayLike, "bool"], references: Annotated[ArrayLike, "bool"]
) -> Scores:
    """Agreement of two observers in their errors, beyond what their accuracies explain (Geirhos et al. 2020).

    kappa = (observed - expected) / (1 - expected). ``observed`` is the share of images on which both are right or both
    are wrong; ``expected`` is p1 p2 + (1 - p1)(1 - p2) for the accuracies p1 and p2. Report which images you counted:
    on cue-conflict images "correct" means the class of the shape, and model-vs-human counts all 1,280 images, 80 of
    which have no conflict.

    If one observer is right, or wrong, on fewer than five images, kappa has no interval, since none of its usual ones
    covers: its influence still serves differences. Below forty, a note warns that its interval may be too narrow.

    Args:
        predictions: whether the first observer was correct on each image, shape (n,).
        references: the same for the second observer, on the same images in the same order.

    Returns:
        - ``kappa`` in [-1, 1]: 1 for the same errors, 0 for independent ones. NaN where both are right on all images
          or both wrong on all, since nothing is left to explain.
        - ``kappa_unbiased``: n kappa / (n - 1 + kappa) (Klein et al. 2025). Its error equals kappa's; the two differ
          by about 3 / n at most. NaN if one observer is right, or wrong, on all images.
        - ``kappa_min``, ``kappa_max``: the range that the two accuracies allow.
        - ``observed``, ``expected`` in [0, 1]; ``n`` images.

        The value does not change when the observers are swapped.

    Raises:
        MetricError: different lengths, no rows, anything but True and False (or 1 and 0).

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import error_consistency
        >>> result = error_consistency([1, 1, 1, 0], [1, 1, 0, 0])
        >>> result["kappa"].value, result["observed"].value, result["expected"].value
        (0.5, 0.75, 0.5)

    References:
        geirhos2020beyond
    """
    first, second = columns(predictions=predictions, references=references)
    for name, right in {"predictions": first, "references": second}.items():
        if right.ndim != 1 or not ((right == 0) | (right == 1)).all():
            raise MetricError(f"{name} must be True or False, one per row.")
    statistics, influences = pair_statistics(first[:, None], second[:, None])
    kappa, low, high = statistics[:3, 0].tolist()
    n, p1, p2 = len(first), first.mean(), second.mean()
    rarest = float(_rarest(first[:, None], second[:, None])[0])
    scale, note = _scale(rarest)
    undefined = _UNDEFINED if np.isnan(kappa) else ""
    cause = undefined or note
    influence = None if np.isnan(kappa) else influences[0, :, 0]
    unbiased = n * kappa / (n - 1 + kappa) if rarest and n - 1 + kappa else np.nan
    one_sided = cause if rarest or np.isnan(kappa) else "one observer is right, or wrong, on all images"
    return Scores(
        {
            "kappa": Score(kappa, influence, scale, n, cause),
            "kappa_unbiased": Score(unbiased, influence if rarest else None, scale, n, one_sided),
            "kappa_min": Score(low, n=n, cause=undefined),
            "kappa_max": Score(high, n=n, cause=undefined),
            "observed": mean(first == second, "count"),
            "expected": Score(float(p1 * p2 + (1 - p1) * (1 - p2)), n=n),
        },
        n=n,
    )


def _rarest(first: Floats, second: Floats) -> Floats:
    """How often an observer of each pair has the rarer of its two outcomes, at least, (P,)."""
    seen = ~np.isnan(first + second)
    counts = np.stack([np.where(seen, right, 0).sum(axis=0) for right in (first, second)])
    return np.asarray(np.minimum(counts, seen.sum(axis=0) - counts).min(axis=0))


def _scale(rarest: float) -> tuple[Scale, str]:
    """The scale of a kappa whose rarer outcome occurs this often, and a caution; empty if it occurs often enough."""
    if rarest >= _FEW:
        return "correlation", ""
    effect = "its interval may be too narrow" if rarest >= _FEWEST else "it has no interval"
    note = f"an observer is right, or wrong, on only {rarest:g} images: {effect}"
    return "correlation" if rarest >= _FEWEST else "none", note


def observer_consistency(observers: ArrayLike, predictions: ArrayLike | None = None) -> Scores:
    """Mean kappa of one observer with each of several others, or of all pairs of these.

    Args:
        observers: whether each of m observers was correct on each image, shape (n, m); NaN for an image that an
            observer did not see, which is left out of that observer's pairs.
        predictions: the same of the one observer (a model), shape (n,); None compares the m among themselves.

    Returns:
        ``kappa``, the mean over the pairs in which it is defined; ``kappa_min`` and ``kappa_max``, the mean of the
        range that the accuracies of each pair allow; ``n`` images, ``n_pairs``. NaN where no pair is defined.

    Raises:
        MetricError: other shapes, no rows, fewer than two observers to compare.

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import observer_consistency
        >>> result = observer_consistency([[1, 1], [1, 0], [0, 0], [0, 0]], [1, 1, 1, 0])
        >>> result["kappa"].value, result.facts["n_pairs"]
        (0.35, 2)
    """
    first, second = observer_pairs(observers, predictions)
    statistics, influences = (part[: len(_KAPPAS)] for part in pair_statistics(first, second))
    defined, n = ~np.isnan(statistics[0]), len(first)
    facts = {"n": n, "n_pairs": int(defined.sum())}
    if not defined.any():
        cause = "in each pair, both are right, or both wrong, on all images"
        return Scores({name: Score(np.nan, None, "correlation", n, cause) for name in _KAPPAS}, **facts)
    values, known = statistics[:, defined].mean(axis=1), influences[:, :, defined].mean(axis=2)
    scale, note = _scale(float(_rarest(first, second)[defined].mean().round(1)))
    return Scores(
        {
            name: Score(float(value), of_images, scale, n, note)
            for name, value, of_images in zip(_KAPPAS, values, known, strict=True)
        },
        **facts,
    )


def observer_pairs(observers: ArrayLike, predictions: ArrayLike | None) -> tuple[Floats, Floats]:
    """The columns of both observers of each pair: was each image answered correctly?

    Returns:
        Two arrays of shape (n, P) for P pairs, with 1 for correct, 0 for wrong, and NaN for an image that was not seen.

    Args:
        observers, predictions: as for `observer_consistency`.

    Raises:
        MetricError: as for `observer_consistency`.

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import observer_pairs
        >>> first, second = observer_pairs([[1, 1], [1, 0], [0, 0]], [1, 0, 1])
        >>> first.tolist()
        [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
        >>> second.tolist()
        [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    """
    table = np.asarray(observers, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise MetricError(f"observers must have the shape (images, observers), but have {table.shape}.")
    if predictions is not None:
        (model,) = columns(predictions=predictions)
        if model.shape != table.shape[:1]:
            raise MetricError(f"predictions have the shape {model.shape}, but observers {table.shape}.")
        return np.repeat(model[:, None], table.shape[1], axis=1), table
    rows, others = np.triu_indices(table.shape[1], 1)
    if not len(rows):
        raise MetricError("At least two observers are required unless predictions are given.")
    return table[:, rows], table[:, others]


def pair_statistics(first: NDArray[Any], second: NDArray[Any]) -> tuple[Floats, Floats]:
    """The agreement of each pair of columns, and what each image contributes to its error, in the first order.

    Args:
        first, second: whether the observers were correct, (n, P) each; an image with a NaN is left out of its pair.

    Returns:
        Statistics of shape (5, P) in the order of `PAIR_STATISTICS`: kappa; the least and the largest kappa that the
        accuracies allow; the share of images on which both are right or both wrong; the squared difference of the
        accuracies. Contributions of shape (5, n, P).

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import PAIR_STATISTICS, observer_pairs, pair_statistics
        >>> PAIR_STATISTICS
        ('kappa', 'kappa_min', 'kappa_max', 'observed_consistency', 'accuracy_difference')
        >>> values, influences = pair_statistics(*observer_pairs([[1], [1], [0], [0]], [1, 1, 1, 0]))
        >>> values.round(3).tolist(), influences.shape
        ([[0.5], [-0.5], [0.5], [0.75], [0.062]], (5, 4, 1))
    """
    seen = ~np.isnan(first + second)
    first, second = (np.where(seen, right, 0.0) for right in (first, second))
    agree = (first == second) & seen
    with np.errstate(invalid="ignore", divide="ignore"):
        n = seen.sum(axis=0)
        p1, p2, observed = (part.sum(axis=0) / n for part in (first, second, agree))
        expected = p1 * p2 + (1 - p1) * (1 - p2)
        left = np.where(expected < 1, 1 - expected, np.nan)
        kappas = (np.stack([observed, np.abs(p1 + p2 - 1), 1 - np.abs(p1 - p2)]) - expected) / left
        # What each image adds to the accuracies, then to the agreements, then to kappa.
        of_first, of_second = first - p1, second - p2
        both, apart = of_first + of_second, of_first - of_second
        of_agreements = np.stack([agree - observed, np.sign(p1 + p2 - 1) * both, -np.sign(p1 - p2) * apart])
        of_expected = (2 * p2 - 1) * of_first + (2 * p1 - 1) * of_second
        of_kappas = (of_agreements - (1 - kappas[:, None]) * of_expected) / left
        parts = [of_kappas, of_agreements[:1], (2 * (p1 - p2) * apart)[None]]
        influences = np.concatenate(parts) / n * seen
    return np.concatenate([kappas, [observed, (p1 - p2) ** 2]]), influences
