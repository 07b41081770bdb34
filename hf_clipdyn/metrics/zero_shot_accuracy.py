"""Top-1 and top-5 accuracy of ranked class predictions."""

import math
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import columns, within
from hf_clipdyn.metrics.scores import Score, Scores, mean


def zero_shot_accuracy(
    predictions: Annotated[ArrayLike, ["float64"]],
    references: Annotated[ArrayLike, "float64"],
    *,
    n_classes: int | None = None,
) -> Scores:
    """Share of rows whose class is the best prediction, or among the best five.

    Args:
        predictions: class ids of each row, best first, shape (n, k): all classes, or at least the best five. Rows have
            one length and contain no class twice.
        references: class id of each row, shape (n,).
        n_classes: number of classes to choose from. None: k, if every row ranks the classes 0 … k - 1; otherwise
            chance is unknown.

    Returns:
        ``top1`` and ``top5`` in [0, 1]; ``chance`` = 1 / n_classes and ``top5_chance`` = min(5, n_classes) / n_classes,
        what guessing scores; ``n`` rows. NaN: top5 where fewer than five of more classes are given, chance where it is
        unknown.

    Raises:
        MetricError: different lengths, no rows, a class twice in a row, an id that is not a whole number from 0 to
            n_classes - 1.

    Examples:
        >>> from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy
        >>> result = zero_shot_accuracy([[0, 1, 2], [1, 0, 2], [1, 2, 0]], [0, 0, 0])
        >>> result["top1"].value, result["top5"].value, result["chance"].value
        (0.3333333333333333, 1.0, 0.3333333333333333)

    References:
        radford2021learning
    """
    ranked, labels = columns(predictions=predictions, references=references)
    # Scores of the classes in place of a ranking would give wrong accuracies.
    if ranked.ndim != 2 or (ranked % 1).any() or (np.diff(np.sort(ranked, axis=1)) == 0).any():
        raise MetricError("predictions must rank class ids, shape (n, k), each id once in a row.")
    n, k = ranked.shape
    if n_classes is None and ranked.max() == k - 1:
        n_classes = k
    within(0, math.inf if n_classes is None else n_classes - 1, predictions=ranked, references=labels)
    right = ranked == labels[:, None]
    best_five = right[:, :5].any(axis=1)
    if k < 5 and k != n_classes:
        best_five = np.full(n, np.nan)
    unknown = "" if n_classes else "n_classes is not given and the predictions do not rank all classes"
    chances = [math.nan] * 2 if n_classes is None else [1 / n_classes, min(5, n_classes) / n_classes]
    scores = {
        "top1": mean(right[:, 0], "count"),
        "top5": mean(best_five, "count", f"only the best {k} classes are given; five are needed"),
        "chance": Score(chances[0], n=n, cause=unknown),
        "top5_chance": Score(chances[1], n=n, cause=unknown),
    }
    return Scores(scores, n=n)
