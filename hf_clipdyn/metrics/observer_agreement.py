"""How a model decides compared with human observers, by condition (Geirhos et al. 2021, model-vs-human)."""

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.metrics.checks import Floats, Ints, names, of_one_length
from hf_clipdyn.metrics.error_consistency import PAIR_STATISTICS, observer_pairs, pair_statistics
from hf_clipdyn.metrics.scores import Scale, Score, Scores

_FEWEST, _FEW = 5, 20  # of the rarer outcome: for an interval of kappa, and for one without a caution
_UNDEFINED = "in each pair, both are right, or both wrong, on all images"


def observer_agreement(
    observers: ArrayLike, predictions: ArrayLike | None = None, *, conditions: ArrayLike | None = None
) -> Scores:
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
        - ``kappa`` and the range that the accuracies allow, ``kappa_min`` and ``kappa_max``, over the pairs and
          conditions in which kappa is defined. Without an interval if the rarer outcome (right, or wrong) of the
          observer who has fewer of it occurs fewer than five times, in the mean over pairs and conditions;
        - ``kappa_all_agree``, as model-vs-human has it: 1 where two observers are right, or wrong, on all images;
        - ``kappas``, one for each pair, its mean over the conditions; ``n``, ``n_pairs``.

    Raises:
        MetricError: other shapes, no rows, fewer than two observers to compare.

    Examples:
        >>> from hf_clipdyn.metrics.observer_agreement import observer_agreement
        >>> result = observer_agreement([[1, 1], [1, 0], [0, 0], [0, 0]], [1, 1, 1, 0])
        >>> result["kappa"].value, result["accuracy_difference"].value
        (0.35, 0.15625)
    """
    first, second = observer_pairs(observers, predictions)
    n, n_pairs = first.shape
    (named,) = names(conditions=np.zeros(n) if conditions is None else conditions)
    of_one_length(observers=first, conditions=named)
    codes = np.unique(named, return_inverse=True)[1]
    n_conditions = int(codes.max()) + 1
    values = np.empty((len(PAIR_STATISTICS), n_conditions, n_pairs))
    influences = np.zeros((len(PAIR_STATISTICS), n, n_pairs))
    rarer = np.empty((n_conditions, n_pairs))
    for condition in range(n_conditions):
        rows = codes == condition
        values[:, condition], influences[:, rows] = pair_statistics(first[rows], second[rows])
        rarer[condition] = _rarer_outcome(first[rows], second[rows])
    by_name = dict(zip(PAIR_STATISTICS, zip(values, influences, strict=True), strict=True))
    agree = by_name.pop("observed_consistency")[0] == 1
    kappas, of_kappas = by_name["kappa"]
    by_name["kappa_all_agree"] = np.where(agree, 1.0, kappas), np.where(agree[codes], 0.0, of_kappas)
    right = np.asarray(observers, np.float64) if predictions is None else first[:, :1]
    by_name["accuracy"] = _accuracies(right, codes, n_conditions)
    means = {name: _mean(*one, codes) for name, one in by_name.items()}
    scores = {
        "accuracy": Score(*means["accuracy"], "count", n),
        "accuracy_difference": Score(
            *means["accuracy_difference"], "linear", n, _near_zero(*means["accuracy_difference"])
        ),
    }
    scale: Scale = "none" if rarer.mean() < _FEWEST else "correlation"
    for name in ("kappa", "kappa_min", "kappa_max", "kappa_all_agree"):
        value, influence = means[name]
        cause = _UNDEFINED if np.isnan(value) else _few_outcomes(float(rarer.mean()))
        scores[name] = Score(value, influence, scale, n, cause)
    defined = ~np.isnan(kappas)
    with np.errstate(invalid="ignore"):
        of_pairs = np.where(defined, kappas, 0.0).sum(axis=0) / defined.sum(axis=0)
    return Scores(scores, kappas=of_pairs.tolist(), n=n, n_pairs=int(defined.any(axis=0).sum()))


def _rarer_outcome(first: Floats, second: Floats) -> Floats:
    """How often the rarer outcome occurs, right or wrong, of the observer of each pair who has fewer of it, (P,)."""
    seen = ~np.isnan(first + second)
    right = np.stack([np.where(seen, one, 0.0).sum(axis=0) for one in (first, second)])
    return np.asarray(np.minimum(right, seen.sum(axis=0) - right).min(axis=0))


def _few_outcomes(rarer: float) -> str:
    """A caution for a kappa whose rarer outcome occurs this often; empty if it occurs often enough."""
    if rarer >= _FEW:
        return ""
    effect = "its interval may be too narrow" if rarer >= _FEWEST else "it has no interval"
    return f"an observer is right, or wrong, on only {rarer:.3g} images: {effect}"


def _near_zero(value: float, influence: Floats) -> str:
    """A caution for a squared difference near 0, where its error is not linear."""
    is_near = 0 < value < 3 * float(np.sqrt(np.square(influence).sum()))
    return "the squared difference is near 0: its interval may be too narrow" if is_near else ""


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


def shuffled_accuracy(decisions: Ints, labels: Ints) -> Score:
    """The mean accuracy of the same decisions in any other order.

    Args:
        decisions, labels: classes as numbers from 0, shape (n,).

    Returns:
        In [0, 1]; a reference, which has no interval.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.observer_agreement import shuffled_accuracy
        >>> shuffled_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])).value
        0.5
    """
    n, n_classes = len(labels), int(max(decisions.max(), labels.max())) + 1
    decided, shown = (np.bincount(codes, minlength=n_classes) for codes in (decisions, labels))
    both = (shown[decisions] + decided[labels]) / n
    return Score(float(decided @ shown) / n**2, (both - both.mean()) / n, "none", n)


def accuracy_gap(
    first: ArrayLike, second: ArrayLike, first_objects: ArrayLike, second_objects: ArrayLike
) -> Score:
    """How much more accurate somebody is on one drawing of an object than on another: the mean over objects.

    Args:
        first, second: whether each image of either drawing was right, or the share of observers who were.
        first_objects, second_objects: the object that each image shows; both have the same objects.

    Returns:
        In [-1, 1], with the contribution of each image, first the images of the first drawing. An object contributes
        its difference minus the mean difference, half of it on each side.

    Examples:
        >>> from hf_clipdyn.metrics.observer_agreement import accuracy_gap
        >>> accuracy_gap([1, 1, 0], [0, 1], ["cup", "cup", "pen"], ["cup", "pen"]).value
        0.0
    """
    means, parts, shares = [], [], []
    for sign, right, objects in ((1, first, first_objects), (-1, second, second_objects)):
        hits = np.asarray(right, np.float64)
        known, codes, counts = np.unique(np.asarray(objects), return_inverse=True, return_counts=True)
        means.append(np.bincount(codes, hits) / counts)
        shares.append(1 / counts[codes] / len(known))
        parts.append(sign * hits * shares[-1])
    value = float((means[0] - means[1]).mean())
    influence = np.concatenate(parts) - value * np.concatenate(shares) / 2
    return Score(value, influence, "linear", len(influence))
