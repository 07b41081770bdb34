"""Human uncertainty: does a model doubt where people doubt (Peterson et al. 2019)?

People's answers to an image are counts over classes, a model's a distribution. All logarithms are natural.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints, as_class_ids, as_codes
from hf_clipdyn.metrics.bootstrap import Resampling, bootstrap_weights
from hf_clipdyn.metrics.influence import left_out_influence, mean_influence
from hf_clipdyn.metrics.weighted_correlation import WeightedPearson, WeightedSpearman

__all__ = [
    "LABEL_DISTRIBUTION_VALUES",
    "class_mean_cross_entropy",
    "cross_fitted",
    "human_entropy",
    "label_distribution",
    "smoothed_label_cross_entropy",
    "split_halves",
]

LABEL_DISTRIBUTION_VALUES = (
    "cross_entropy",
    "kl",
    "entropy_spearman",
    "label_spearman",
    "off_label_pearson",
    "second_choice",
    "top1",
    "top1_mode",
)
"""What `label_distribution` returns."""

_DOUBTED = 5  # judgements of one wrong class that make it a second choice
_DOUBTED_IN_HALF = 3
_PRIOR_COUNT, _PRIOR_WEIGHT = 0.05, 10.0
_LEAST = 5e-5  # added to the mean answers of a class, so that no answer is impossible
_SCALES = (math.log(1e-2), math.log(1e4))  # of the factor on similarities, when it is fitted


def label_distribution(
    predictions: ArrayLike,
    counts: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare a model's class probabilities with the answers of people (Peterson et al. 2019).

    Args:
        predictions: (n, classes), the model's probabilities; rows sum to 1.
        counts: (n, classes), how many people chose each class.
        labels: (n,), the class of each image.
        groups: (n,), of the images, that are left out for the influence on a correlation. None: without these.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. Images are resampled within their class.

    Returns:
        - ``cross_entropy``: mean of - sum p log q, in nats; ``kl``: that minus the mean entropy of people's answers.
        - ``entropy_spearman``: Spearman's correlation over images of the two entropies; ``label_spearman``: of the two
          probabilities of the label; ``off_label_pearson``: Pearson's over all cells but the label's.
        - ``second_choice``: share of the images on which the model's most probable wrong class is people's most
          frequent one, among the images on which at least five people chose that (of equals the first counts).
        - ``top1``, ``top1_mode``: share of images whose most probable class is the label, or people's.
        - ``influences``: for each of these an array, (n,) or, for the correlations, one entry a group; see
          `hf_clipdyn.metrics.influence`.
        - ``<key>_ci``, ``n``, ``n_second_choice`` (images with a second choice), ``causes``.

    Raises:
        MetricError: other shapes, probabilities that do not sum to 1, an image without answers.

    Examples:
        >>> from hf_clipdyn.metrics.label_distribution import label_distribution
        >>> result = label_distribution([[0.5, 0.5], [1, 0]], [[5, 5], [9, 0]], [0, 0], n_resamples=0)
        >>> round(result["cross_entropy"], 4), round(result["kl"], 4), result["second_choice"]
        (0.3466, 0.0, 1.0)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    human, truth = _shares(counts, labels)
    q = np.asarray(predictions, np.float64)
    if q.shape != human.shape:
        raise MetricError(
            f"predictions have the shape {q.shape}, but counts have {human.shape}: give equal shapes."
        )
    if not (np.isfinite(q).all() and (q >= 0).all() and np.allclose(q.sum(axis=1), 1, atol=1e-6)):
        raise MetricError("predictions must be probabilities whose rows sum to 1.")
    numbers = np.asarray(counts, np.float64)
    rows = _per_image(q, human, numbers, truth)
    correlations = _correlations(q, human, truth)
    influences = {name: mean_influence(row) for name, row in rows.items()}
    if groups is not None:
        blocks, n_blocks = as_codes("groups", groups, len(truth))
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, compared in correlations.items():
                statistic = _weighted(name, *compared, blocks, n_blocks)
                influences[name] = left_out_influence(statistic(1.0 - np.eye(n_blocks)))
    values = {
        name: float(np.nanmean(row)) if not np.isnan(row).all() else np.nan for name, row in rows.items()
    }
    values |= {name: _alone(name, x, y) for name, (x, y) in correlations.items()}
    values = {name: values[name] for name in LABEL_DISTRIBUTION_VALUES}
    n_second = int((~np.isnan(rows["second_choice"])).sum())
    causes = {
        name: "one of the two quantities is constant" for name in correlations if np.isnan(values[name])
    }
    if not n_second:
        causes["second_choice"] = f"no image has {_DOUBTED} judgements of a wrong class"
    result: dict[str, Any] = values | {"n": len(truth), "n_second_choice": n_second, "causes": causes}
    result["influences"] = influences
    if resampling:
        drawn = _drawn(rows, correlations, truth, resampling)
        for name in LABEL_DISTRIBUTION_VALUES:
            known = drawn[name][~np.isnan(drawn[name])]
            defined = len(known) > 0 and not np.isnan(values[name])
            ends = np.quantile(known, resampling.quantiles).tolist() if defined else [np.nan] * 2
            result[f"{name}_ci"] = ends
    return result


def cross_fitted(similarities: ArrayLike, counts: ArrayLike, halves: ArrayLike) -> tuple[Floats, Floats]:
    """Softmax probabilities with a fitted temperature: the one for each half is fitted on the other half.

    Args:
        similarities: (n, classes), of each image to each class.
        counts: (n, classes), how many people chose each class.
        halves: (n,), the half of each image, 0 or 1.

    Returns:
        Probabilities of shape (n, classes), and two factors on the similarities, shape (2,). Element h minimises the
        cross-entropy with people's answers in half h, and gives the probabilities of the other half.

    Examples:
        >>> from hf_clipdyn.metrics.label_distribution import cross_fitted
        >>> similarities = [[0.3, 0.1], [0.1, 0.2], [0.4, 0.1], [0.2, 0.3]]
        >>> probabilities, factors = cross_fitted(similarities, [[8, 2], [3, 7], [9, 1], [4, 6]], [0, 1, 0, 1])
        >>> probabilities.round(2).tolist()
        [[0.78, 0.22], [0.33, 0.67], [0.86, 0.14], [0.33, 0.67]]
        >>> factors.shape
        (2,)
    """
    scores, numbers = np.asarray(similarities, np.float64), np.asarray(counts, np.float64)
    human = numbers / numbers.sum(axis=1, keepdims=True)
    half = np.asarray(halves)
    factors = np.empty(2)
    probabilities = np.empty_like(scores)
    for one in (0, 1):
        fitted, rest = half == one, half != one
        if not fitted.any():
            raise MetricError("One half has no images: each half needs at least one.")
        factors[one] = _fitted_factor(scores[fitted], human[fitted])
        probabilities[rest] = special.softmax(factors[one] * scores[rest], axis=1)
    return probabilities, factors


def _fitted_factor(scores: Floats, human: Floats) -> float:
    """The cross-entropy is convex in the factor, so it has one minimum."""
    from scipy import optimize

    def loss(log_factor: float) -> float:
        logits = np.exp(log_factor) * scores
        return float((special.logsumexp(logits, axis=1) - (human * logits).sum(axis=1)).mean())

    fit = optimize.minimize_scalar(loss, bounds=_SCALES, method="bounded")
    return math.exp(float(fit.x))


def human_entropy(counts: ArrayLike) -> Floats:
    """Entropy of people's answers to each image. Its mean is the lowest possible cross-entropy.

    Args:
        counts: (n, classes), how many people chose each class.

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

    A model with a higher cross-entropy says nothing about people beyond the class.

    Args:
        counts: (n, classes), how many people chose each class.
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
    others = _normalised(_means_of_others(human, truth) + _LEAST)
    return float(_cross_entropies(others, human).mean())


def smoothed_label_cross_entropy(counts: ArrayLike, labels: ArrayLike, share: float = 0.95) -> float:
    """Cross-entropy of an observer that gives the label one share, and all other classes equal parts of the rest.

    Args:
        counts: (n, classes), how many people chose each class.
        labels: (n,), the class of each image.
        share: probability of the label, in (0, 1).

    Returns:
        In nats, >= 0.

    Raises:
        MetricError: other shapes, or an image without answers.

    Examples:
        >>> from hf_clipdyn.metrics.label_distribution import smoothed_label_cross_entropy
        >>> round(smoothed_label_cross_entropy([[9, 1], [2, 8]], [0, 1]), 4)
        0.493
    """
    human, truth = _shares(counts, labels)
    q = np.full(human.shape, (1 - share) / (human.shape[1] - 1))
    q[np.arange(len(truth)), truth] = share
    return float(_cross_entropies(q, human).mean())


def split_halves(
    counts: ArrayLike, labels: ArrayLike, *, n_splits: int = 200, seed: int = 0
) -> dict[str, float]:
    """How well one half of the people predicts the other half: the ceiling of `label_distribution`.

    The judgements of each image are split at random into halves, without replacement.

    Args:
        counts: (n, classes), how many people chose each class.
        labels: (n,), the class of each image.
        n_splits: number of random splits.
        seed: seed of the splits.

    Returns:
        Means over the splits. ``cross_entropy`` of one half with (its counts + 0.05); ``cross_entropy_class`` with
        (its counts + 10 times the mean answers to the other images of the class); the three correlations and, of each,
        ``<name>_stepped_up`` by Spearman and Brown, 2 r / (1 + r): those of all people with as many others;
        ``second_choice`` on images with three judgements of one wrong class in each half.

    Examples:
        >>> from hf_clipdyn.metrics.label_distribution import split_halves
        >>> counts = [[9, 1, 0], [8, 2, 0], [2, 8, 0], [1, 8, 1], [0, 1, 9], [0, 4, 6]]
        >>> ceiling = split_halves(counts, [0, 0, 1, 1, 2, 2], n_splits=20)
        >>> round(ceiling["cross_entropy"], 3), round(ceiling["label_spearman"], 3)
        (0.81, -0.151)
    """
    human, truth = _shares(counts, labels)
    numbers = np.asarray(counts, np.int64)
    rng = np.random.default_rng(seed)
    by_name: dict[str, list[float]] = {}
    for _ in range(n_splits):
        first = _half(numbers, rng)
        for name, value in _of_halves(first, numbers - first, truth):
            by_name.setdefault(name, []).append(value)
    result = {name: _mean(values) for name, values in by_name.items()}
    for name in _correlations(human, human, truth):
        result[f"{name}_stepped_up"] = 2 * result[name] / (1 + result[name])
    return result


def _means_of_others(human: Floats, truth: Ints) -> Floats:
    """Mean answers to the other images of each image's class, (n, classes); NaN for a class of one image."""
    sums = np.zeros((int(truth.max()) + 1, human.shape[1]))
    np.add.at(sums, truth, human)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums[truth] - human) / (np.bincount(truth)[truth] - 1)[:, None]
    return np.asarray(np.maximum(means, 0))


def _normalised(rows: NDArray[Any]) -> Floats:
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


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


def _of_halves(first: Ints, second: Ints, truth: Ints) -> Iterator[tuple[str, float]]:
    p, q = (half / np.maximum(half.sum(axis=1, keepdims=True), 1) for half in (second, first))
    class_means = _PRIOR_WEIGHT * (_means_of_others(q, truth) + _LEAST)
    for name, prior in (("cross_entropy", _PRIOR_COUNT), ("cross_entropy_class", class_means)):
        yield name, float(_cross_entropies(_normalised(first + prior), p).mean())
    for name, (x, y) in _correlations(q, p, truth).items():
        yield name, _alone(name, x, y)
    doubted = np.all([_most_off_label(half, truth) >= _DOUBTED_IN_HALF for half in (first, second)], axis=0)
    hits = _second_choices(q, p, truth)[doubted]
    yield "second_choice", float(hits.mean()) if len(hits) else float("nan")


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _shares(counts: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    """Shares of the answers (n, classes), and the labels (n,)."""
    numbers = np.asarray(counts, np.float64)
    truth = as_class_ids("labels", labels)
    if numbers.ndim != 2 or len(numbers) != len(truth):
        raise MetricError(
            f"counts have the shape {numbers.shape}: give one row for each of {len(truth)} labels."
        )
    if not (np.isfinite(numbers).all() and (numbers >= 0).all() and (numbers.sum(axis=1) > 0).all()):
        raise MetricError("counts must be numbers of answers, with at least one answer for each image.")
    if truth.max() >= numbers.shape[1]:
        raise MetricError(f"A label is {truth.max()}, but counts have only {numbers.shape[1]} classes.")
    return numbers / numbers.sum(axis=1, keepdims=True), truth


def _cross_entropies(q: Floats, human: Floats) -> Floats:
    """Of each image, (n,); infinite where people chose a class that has no probability."""
    return np.asarray(-special.xlogy(human, q).sum(axis=1))


def _per_image(q: Floats, human: Floats, counts: Floats, truth: Ints) -> dict[str, Floats]:
    """What is averaged over images, NaN where an image does not count."""
    crossed = _cross_entropies(q, human)
    doubted = _most_off_label(counts, truth) >= _DOUBTED
    best = q.argmax(axis=1)
    return {
        "cross_entropy": crossed,
        "kl": crossed - special.entr(human).sum(axis=1),
        "second_choice": np.where(doubted, _second_choices(q, human, truth), np.nan),
        "top1": (best == truth).astype(np.float64),
        "top1_mode": (human[np.arange(len(truth)), best] == human.max(axis=1)).astype(np.float64),
    }


def _second_choices(q: Floats, human: Floats, truth: Ints) -> Floats:
    """Whether the most probable wrong class is people's, 0 or 1."""
    chosen, most = (_off_label(rows, truth).argmax(axis=1) for rows in (q, human))
    return np.asarray(chosen == most, np.float64)


def _most_off_label(counts: NDArray[Any], truth: Ints) -> Floats:
    """Judgements of the most frequent wrong class, (n,)."""
    return np.asarray(_off_label(counts, truth).max(axis=1))


def _off_label(rows: NDArray[Any], truth: Ints) -> Floats:
    """The rows with -1 at the label."""
    others = rows.astype(np.float64)
    others[np.arange(len(truth)), truth] = -1
    return others


def _correlations(q: Floats, human: Floats, truth: Ints) -> dict[str, tuple[Floats, Floats]]:
    """What is correlated, of the model and of people; off the label there are several cells for an image."""
    rows = np.arange(len(truth))
    off = np.ones(q.shape, bool)
    off[rows, truth] = False
    return {
        "entropy_spearman": (special.entr(q).sum(axis=1), special.entr(human).sum(axis=1)),
        "label_spearman": (q[rows, truth], human[rows, truth]),
        "off_label_pearson": (q[off], human[off]),
    }


def _alone(name: str, x: Floats, y: Floats) -> float:
    from scipy import stats

    if np.ptp(x) <= 1e-12 * np.abs(x).max() or np.ptp(y) == 0:
        return float("nan")
    result = stats.pearsonr(x, y) if name.endswith("pearson") else stats.spearmanr(x, y)
    return float(result.statistic)


def _drawn(
    rows: dict[str, Floats],
    correlations: dict[str, tuple[Floats, Floats]],
    truth: Ints,
    resampling: Resampling,
) -> dict[str, Floats]:
    """Every value on images drawn with replacement within their class."""
    rng = np.random.default_rng(resampling.seed)
    weights = np.zeros((resampling.n_resamples, len(truth)))
    for label in np.unique(truth):
        own = np.flatnonzero(truth == label)
        weights[:, own] = bootstrap_weights(np.ones(len(own), np.int64), resampling.n_resamples, rng)
    images = np.arange(len(truth))
    values = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, row in rows.items():
            counted = ~np.isnan(row)
            values[name] = weights @ np.where(counted, row, 0) / (weights @ counted)
        for name, (x, y) in correlations.items():
            values[name] = _weighted(name, x, y, images, len(images))(weights)
    return values


def _weighted(
    name: str, x: Floats, y: Floats, groups: Ints, n_groups: int
) -> WeightedPearson | WeightedSpearman:
    """A correlation of weighted groups of images; off the label there are several cells for an image."""
    if name.endswith("pearson"):
        return WeightedPearson(x, y, np.repeat(groups, len(x) // len(groups)), n_groups)
    return WeightedSpearman(x, y, groups)
