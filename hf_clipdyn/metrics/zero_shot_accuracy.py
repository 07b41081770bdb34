"""Top-1 and top-5 accuracy of ranked class predictions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import (
    Floats,
    Ints,
    as_class_ids,
    check_classes,
    check_lengths,
    check_not_empty,
)
from hf_clipdyn.metrics.bootstrap import Resampling, resampled_intervals

__all__ = ["zero_shot_accuracy"]


def zero_shot_accuracy(
    predictions: Sequence[ArrayLike] | ArrayLike,
    references: ArrayLike,
    *,
    n_classes: int | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Share of rows whose class is the best prediction, or among the best five.

    Args:
        predictions: class ids of each row, best first, shape (n, k): all classes, or at least the
            best five. Rows have one length and contain no class twice.
        references: class id of each row, shape (n,).
        n_classes: number of classes to choose from. None: k, if every row ranks the classes
            0 … k - 1; otherwise the chance is unknown.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. Rows are resampled.

    Returns:
        ``top1`` and ``top5`` in [0, 1]; ``chance`` = 1 / n_classes, of top1 (that of top5 is five
        times as high); ``n`` rows; ``top1_ci`` and ``top5_ci`` [low, high]; ``causes``. NaN:
        top5 where fewer than five of more classes are given, chance where it is unknown.

    Raises:
        MetricError: different lengths, no rows, rows of different lengths, a class twice in a row,
            an id that is not a whole number from 0 to n_classes - 1.

    Examples:
        >>> from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy
        >>> result = zero_shot_accuracy([[0, 1, 2], [1, 0, 2], [1, 2, 0]], [0, 0, 0], n_resamples=0)
        >>> result["top1"], result["top5"], result["chance"], result["n"]
        (0.3333333333333333, 1.0, 0.3333333333333333, 3)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    ranked, truth = _ranking(predictions), as_class_ids("references", references)
    check_lengths({"predictions": ranked, "references": truth})
    n, k = ranked.shape
    if n_classes is None and int(ranked.max()) == k - 1:
        n_classes = k
    check_classes(n_classes, ranked, truth)

    right = ranked == truth[:, None]
    outcomes = np.array([right[:, 0].sum(), right[:, 1:5].sum(), n - right[:, :5].sum()], dtype=np.int64)
    top5_known = k >= 5 or k == n_classes
    causes = {}
    if not top5_known:
        causes["top5"] = f"only the best {k} classes are given; five are needed"
    if n_classes is None:
        causes["chance"] = "n_classes is not given and the predictions do not rank all classes"
    result: dict[str, Any] = {
        "top1": float(outcomes[0] / n),
        "top5": float(outcomes[:2].sum() / n) if top5_known else float("nan"),
        "chance": float("nan") if n_classes is None else 1 / n_classes,
        "n": n,
        "causes": causes,
    }
    if resampling:

        def accuracies(weights: Floats) -> Floats:
            return np.asarray(np.cumsum(weights, axis=1)[:, :2] / weights.sum(axis=1, keepdims=True))

        top1, top5 = resampled_intervals(accuracies, outcomes, ["share", "share"], resampling).tolist()
        result["top1_ci"] = top1
        result["top5_ci"] = top5 if top5_known else [float("nan")] * 2
    return result


def _ranking(predictions: Sequence[ArrayLike] | ArrayLike) -> Ints:
    """Predictions as an (n, k) array of class ids, no class twice in a row."""
    try:
        ranked = np.asarray(predictions, dtype=np.float64)
    except (TypeError, ValueError):
        raise MetricError(
            "predictions must be class ids, best first, with the same number in each row."
        ) from None
    if ranked.ndim:
        check_not_empty("predictions", ranked)
    if ranked.ndim != 2 or ranked.shape[1] == 0:
        raise MetricError(f"predictions must have the shape (rows, classes), but have {ranked.shape}.")
    ids = as_class_ids("predictions", ranked.reshape(-1)).reshape(ranked.shape)
    ordered = np.sort(ids, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if twice.any():
        raise MetricError(
            f"predictions must rank each class once, but row {int(twice.argmax())} repeats one."
        )
    return ids
