"""Human uncertainty: does a model doubt where human observers doubt (Peterson et al. 2019)?

Observers' answers to an image are counts over classes, a model's a distribution. All logarithms are natural.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.stats import rankdata

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, Ints, columns, within
from hf_clipdyn.metrics.scores import Score, Scores, left_out, mean

_PRIOR = 0.05  # added to each count of one half of the people, so that no answer is impossible
_LEAST = 5e-5  # added to the mean answers of a class, for the same reason
_FACTORS = (math.log(1e-2), math.log(1e4))  # of similarities, when one is fitted


def label_distribution(
    predictions: ArrayLike, counts: ArrayLike, labels: ArrayLike, *, groups: ArrayLike | None = None
) -> Scores:
    """Compare a model's class probabilities with the answers of human observers (Peterson et al. 2019).

    Args:
        predictions: (n, classes), the model's probabilities; rows sum to 1.
        counts: (n, classes), how many observers chose each class.
        labels: (n,), the class of each image.
        groups: (n,), of the images; the influence on the correlation has an entry for each sorted one, made by leaving
            it out. None: each image alone.

    Returns:
        - ``cross_entropy``: mean of - sum p log q, in nats; ``kl``: that minus the mean entropy of observers' answers.
        - ``entropy_spearman``: Spearman's correlation over images of the two entropies; NaN where one is constant.
        - ``top1``: share of images whose most probable class is the label. ``n`` images.

    Raises:
        MetricError: other shapes, probabilities that do not sum to 1, an image without answers.

    Examples:
        >>> from hf_clipdyn.metrics.label_distribution import label_distribution
        >>> result = label_distribution([[0.5, 0.5], [1, 0]], [[5, 5], [9, 0]], [0, 0])
        >>> round(result["cross_entropy"].value, 4), round(result["kl"].value, 4)
        (0.3466, 0.0)
    """
    human, truth = _shares(counts, labels)
    (q,) = columns(predictions=predictions)
    if q.shape != human.shape or (q < 0).any() or not np.allclose(q.sum(axis=1), 1, atol=1e-6):
        raise MetricError(
            f"predictions must be probabilities of the shape {human.shape} of the counts, whose rows sum to 1."
        )
    crossed, doubt = _cross_entropies(q, human), special.entr(human).sum(axis=1)
    entropies = special.entr(q).sum(axis=1), doubt
    spearman = _spearman(*entropies)
    influence = None if math.isnan(spearman) else left_out(_spearman, entropies, groups)
    cause = "one of the two entropies is constant" if math.isnan(spearman) else ""
    scores = {
        "cross_entropy": mean(crossed),
        "kl": mean(crossed - doubt),
        "entropy_spearman": Score(spearman, influence, "correlation", len(truth), cause),
        "top1": mean(q.argmax(axis=1) == truth, "count"),
    }
    return Scores(scores, n=len(truth))


def cross_fitted(similarities: ArrayLike, counts: ArrayLike, halves: ArrayLike) -> Floats:
    """Softmax probabilities with a fitted temperature: the one for each half is fitted on the other half.

    Args:
        similarities: (n, classes), of each image to each class.
        counts: (n, classes), how many observers chose each class.
        halves: (n,), the half of each image, 0 or 1; neither is empty.

    Returns:
        Probabilities, (n, classes). The factor on the similarities of one half minimises the cross-entropy with
        observers' answers in the other, which is convex in it.

    Examples:
        >>> from hf_clipdyn.metrics.label_distribution import cross_fitted
        >>> similarities = [[0.3, 0.1], [0.1, 0.2], [0.4, 0.1], [0.2, 0.3]]
        >>> cross_fitted(similarities, [[8, 2], [3, 7], [9, 1], [4, 6]], [0, 1, 0, 1]).round(2).tolist()
        [[0.78, 0.22], [0.33, 0.67], [0.86, 0.14], [0.33, 0.67]]
    """
    from scipy import optimize

    scores, numbers = np.asarray(similarities, np.float64), np.asarray(counts, np.float64)
    human, half = numbers / numbers.sum(axis=1, keepdims=True), np.asarray(halves)
    probabilities = np.empty_like(scores)
    for fitted in (half == 0, half == 1):

        def loss(log_factor: float, fitted: Ints = fitted) -> float:
            logits = np.exp(log_factor) * scores[fitted]
            return float((special.logsumexp(logits, axis=1) - (human[fitted] * logits).sum(axis=1)).mean())

        factor = math.exp(float(optimize.minimize_scalar(loss, bounds=_FACTORS, method="bounded").x))
        probabilities[~fitted] = special.softmax(factor * scores[~fitted], axis=1)
    return probabilities


def human_entropy(counts: ArrayLike) -> Floats:
    """Entropy of human observers' answers to each image. Its mean is the lowest possible cross-entropy.

    Args:
        counts: (n, classes), how many observers chose each class.

    Returns:
        In nats, shape (n,), in [0, ln(classes)]; NaN for an image without answers.

    Examples:
        >>> from hf_clipdyn.metrics.label_distribution import human_entropy
        >>> human_entropy([[5, 5], [10, 0]]).round(4).tolist()
        [0.6931, 0.0]
    """
    numbers = np.asarray(counts, np.float64)
    return np.asarray(special.entr(numbers / numbers.sum(axis=1, keepdims=True)).sum(axis=1))


def class_mean_cross_entropy(counts: ArrayLike, labels: ArrayLike) -> float:
    """Cross-entropy of an observer that knows the label and the mean answers to the other images of its class.

    A higher cross-entropy of a model carries no information about observers beyond the class.

    Args:
        counts: (n, classes), how many observers chose each class.
        labels: (n,), the class of each image.

    Returns:
        In nats, >= 0; NaN if a class has only one image.

    Raises:
        MetricError: other shapes, or an image without answers.

    Examples:
        >>> from hf_clipdyn.metrics.label_distribution import class_mean_cross_entropy
        >>> round(class_mean_cross_entropy([[9, 1], [8, 2], [2, 8], [1, 9]], [0, 0, 1, 1]), 4)
        0.4533
    """
    human, truth = _shares(counts, labels)
    sums = np.zeros((int(truth.max()) + 1, human.shape[1]))
    np.add.at(sums, truth, human)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (sums[truth] - human) / (np.bincount(truth)[truth] - 1)[:, None]
    return float(_cross_entropies(_normalised(np.maximum(others, 0) + _LEAST), human).mean())


def split_halves(counts: ArrayLike, *, n_splits: int = 200, seed: int = 0) -> dict[str, float]:
    """How well one half of the observers predicts the other half: a ceiling of `label_distribution`.

    The judgements of each image are split at random into halves, without replacement.

    Args:
        counts: (n, classes), how many observers chose each class.
        n_splits: number of random splits.
        seed: of the splits.

    Returns:
        Means over the splits: ``cross_entropy`` of one half with (its counts + 0.05), and ``entropy_spearman``.

    Examples:
        >>> from hf_clipdyn.metrics.label_distribution import split_halves
        >>> counts = [[9, 1, 0], [8, 2, 0], [2, 8, 0], [1, 8, 1], [0, 1, 9], [0, 4, 6]]
        >>> round(split_halves(counts, n_splits=20)["cross_entropy"], 3)
        0.81
    """
    numbers, rng = np.asarray(counts, np.int64), np.random.default_rng(seed)
    splits = []
    for _ in range(n_splits):
        first = _half(numbers, rng)
        p, q = (half / np.maximum(half.sum(axis=1, keepdims=True), 1) for half in (numbers - first, first))
        crossed = _cross_entropies(_normalised(first + _PRIOR), p).mean()
        splits.append((crossed, _spearman(special.entr(q).sum(axis=1), special.entr(p).sum(axis=1))))
    known = [[one for one in column if math.isfinite(one)] for column in zip(*splits, strict=True)]
    means = [float(np.mean(column)) if column else math.nan for column in known]
    return dict(zip(("cross_entropy", "entropy_spearman"), means, strict=True))


def _half(counts: Ints, rng: np.random.Generator) -> Ints:
    """Half of each row's judgements, drawn without replacement, class by class."""
    left, wanted = counts.sum(axis=1), counts.sum(axis=1) // 2
    drawn = np.zeros_like(counts)
    for column in range(counts.shape[1]):
        good = counts[:, column]
        left = left - good
        drawn[:, column] = rng.hypergeometric(good, left, wanted)
        wanted = wanted - drawn[:, column]
    return drawn


def _shares(counts: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    """Shares of the answers (n, classes), and the labels (n,)."""
    numbers, truth = columns(counts=counts, labels=labels)
    if numbers.ndim != 2 or (numbers < 0).any() or not numbers.sum(axis=1).all():
        raise MetricError("counts must be (images, classes), with at least one answer for each image.")
    within(0, numbers.shape[1] - 1, labels=truth)
    return _normalised(numbers), truth.astype(np.int64)


def _normalised(rows: NDArray[Any]) -> Floats:
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def _cross_entropies(q: Floats, human: Floats) -> Floats:
    """Of each image, (n,); infinite where human observers chose a class that has no probability."""
    return np.asarray(-special.xlogy(human, q).sum(axis=1))


def _spearman(x: Floats, y: Floats) -> float:
    """NaN where one is constant: the entropies of equal rows differ by rounding."""
    if np.ptp(x) <= 1e-12 * np.abs(x).max() or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])
