"""Do two observers err on the same images? Cohen's kappa of being correct (Geirhos et al. 2020)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._left_out import as_rows
from hf_clipdyn.metrics._validation import (
    Floats,
    Ints,
    as_booleans,
    as_code_table,
    as_codes,
    as_exemplars,
    as_numbers,
    check_lengths,
)
from hf_clipdyn.metrics.bootstrap import (
    Resampling,
    Scale,
    clustered_correlation_interval,
    resampled_intervals,
    wilson_interval,
)

__all__ = [
    "PAIR_STATISTICS",
    "Observer",
    "compare_observers",
    "decision_margins",
    "error_consistency",
    "kappa_forms",
    "margin_consistency",
    "observer_consistency",
    "observer_pairs",
    "pair_statistics",
]

_KAPPAS = ("kappa", "kappa_min", "kappa_max")
_FORMS = ("kappa_unbiased", "kappa_over_max", "copy_probability")
PAIR_STATISTICS = (*_KAPPAS, "observed_consistency", "accuracy_difference")
"""The rows of `pair_statistics`."""

_VALUES = ("kappa", "observed", "expected")
_SCALES: tuple[Scale, ...] = ("fisher", "share", "share")


def error_consistency(
    predictions: ArrayLike,
    references: ArrayLike,
    *,
    decisions: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Agreement of two observers in their errors, beyond what their accuracies explain (Geirhos et al. 2020).

    kappa = (observed - expected) / (1 - expected). ``observed`` is the share of images on which both are right or both
    are wrong; ``expected`` is p1 p2 + (1 - p1)(1 - p2) for the accuracies p1 and p2. Report which images you counted:
    on cue-conflict images "correct" means the class of the shape, and model-vs-human counts all 1,280 images, 80 of
    which have no conflict.

    Args:
        predictions: whether the first observer was correct on each image, shape (n,).
        references: the same for the second observer, on the same images in the same order.
        decisions: what each observer answered, shape (2, n), numbers or names: for the same wrong answer.
        labels: the right answers, shape (n,); they belong to ``decisions``, and say the same as ``predictions`` and
            ``references``.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. Images are resampled, the observers stay.

    Returns:
        - ``kappa`` in [-1, 1]: 1 for the same errors, 0 for independent ones. NaN
          where both are right on all images or both wrong on all, since nothing is left to explain.
        - ``kappa_min``, ``kappa_max``: the range that the two accuracies allow.
        - ``kappa_unbiased``, ``kappa_over_max``, ``copy_probability``: see `kappa_forms`.
        - with ``decisions`` ``same_wrong_answer``, ``same_wrong_answer_chance``, ``n_wrong``: see `compare_observers`;
          and ``same_wrong_answer_ci``.
        - ``observed``, ``expected`` in [0, 1]; ``n`` images.
        - ``kappa_ci``, ``observed_ci``, ``expected_ci``: [low, high]; ``causes``.
        The value does not change when the observers are swapped.

    Raises:
        MetricError: different lengths, no rows, anything but True and False (or 1 and 0), decisions that are right
            where an observer is said to be wrong.

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import error_consistency
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
    forms = kappa_forms(first[:, None].astype(np.float64), second[:, None].astype(np.float64))
    causes: dict[str, str] = {}
    one_sided = [one for one in (first, second) if one.all() or not one.any()]
    if one_sided:
        right = "right" if one_sided[0].all() else "wrong"
        causes = dict.fromkeys(_FORMS, f"one observer is {right} on all images")
    if expected == 1:
        kappa = float("nan")
        causes = dict.fromkeys((*_KAPPAS, *_FORMS), f"both observers are {right} on all images")
    result: dict[str, Any] = {
        **{name: float(value) for name, (value,) in forms.items()},
        "kappa": kappa,
        "observed": observed,
        "expected": expected,
        "n": n,
        "causes": causes,
    }
    if resampling:
        intervals = resampled_intervals(_kappa, outcomes, _SCALES, resampling).tolist()
        result |= {f"{name}_ci": interval for name, interval in zip(_VALUES, intervals, strict=True)}
    if decisions is not None or labels is not None:
        if decisions is None or labels is None:
            raise MetricError("decisions and labels belong together: give both or neither.")
        result |= (errors := _of_wrong_answers((first, second), decisions, labels))
        share, n_wrong = errors["same_wrong_answer"], errors["n_wrong"]
        if not n_wrong:
            names = ("same_wrong_answer", "same_wrong_answer_chance")
            causes |= dict.fromkeys(names, "no image is wrong for both observers")
        if resampling:
            interval = wilson_interval(share, n_wrong, resampling.confidence_level) if n_wrong else None
            result["same_wrong_answer_ci"] = interval or [float("nan")] * 2
    return result


def _of_wrong_answers(
    right: tuple[NDArray[np.bool_], NDArray[np.bool_]], decisions: ArrayLike, labels: ArrayLike
) -> dict[str, Any]:
    n = len(right[0])
    as_code_table("decisions", decisions, 2, n)  # checks them; missing answers are an error
    as_codes("labels", labels, n)
    first, second = (Observer(one[None], np.asarray(labels)[None]) for one in np.asarray(decisions))
    for name, given, observer in zip(("predictions", "references"), right, (first, second), strict=True):
        if not np.array_equal(given, observer.right[0]):
            raise MetricError(f"{name} contradicts decisions and labels: it must say where both are equal.")
    both = compare_observers(first, second)
    of_errors = ("same_wrong_answer", "same_wrong_answer_chance", "n_wrong")
    return {name: both[name][0].item() for name in of_errors}


def kappa_forms(first: Floats, second: Floats) -> dict[str, Floats]:
    """Kappa of each pair of observers, its bounds, and three forms that are easier to compare.

    Args:
        first, second: whether the observers were correct, (n, P) for P pairs; an image with a NaN is left out of its
            pair.

    Returns:
        Arrays (P,), of accuracies p1 and p2 and the consistency c that they explain:

        - ``kappa``, ``kappa_min``, ``kappa_max``;
        - ``kappa_unbiased``, n kappa / (n - 1 + kappa) (Klein et al. 2025). For its error use the influences on kappa
          of `pair_statistics`: the two differ by about 3 / n at most;
        - ``kappa_over_max`` in [-1, 1], of what the accuracies allow: kappa / kappa_max, or kappa / |kappa_min| if
          kappa is negative;
        - ``copy_probability``, kappa (1 - c) / (2 p (1 - p)) with the larger accuracy p: the share of trials on which
          an observer would have to copy the answer of the better one, if it answered the rest independently.

        All are NaN where both observers are right, or wrong, on all images. Where only one of them is, kappa and its
        bounds are 0, and the three forms are NaN.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.error_consistency import kappa_forms
        >>> forms = kappa_forms(np.array([[1.0], [1], [1], [0]]), np.array([[1.0], [1], [0], [0]]))
        >>> {name: round(float(value), 4) for name, (value,) in forms.items() if name != "kappa_min"}
        {'kappa': 0.5, 'kappa_max': 0.5, 'kappa_unbiased': 0.5714, 'kappa_over_max': 1.0, 'copy_probability': 0.6667}
    """
    _, p1, p2, observed, n = _outcomes(first, second)
    return _forms(_kappas(p1, p2, observed)[0], p1, p2, n)


def _forms(kappas: Floats, p1: Floats, p2: Floats, n: Any) -> dict[str, Floats]:
    """`kappa_forms` of kappa and its bounds (3, P), for accuracies on n items."""
    kappa, low, high = kappas
    with np.errstate(invalid="ignore", divide="ignore"):
        better = np.maximum(p1, p2)
        expected = p1 * p2 + (1 - p1) * (1 - p2)
        forms = {
            "kappa_unbiased": n * kappa / (n - 1 + kappa),
            "kappa_over_max": np.where(kappa >= 0, kappa / high, kappa / np.abs(low)),
            "copy_probability": kappa * (1 - expected) / (2 * better * (1 - better)),
        }
    formal = (p1 % 1 == 0) | (p2 % 1 == 0)
    forms = {name: np.where(formal, np.nan, values) for name, values in forms.items()}
    return {"kappa": kappa, "kappa_min": low, "kappa_max": high, **forms}


class Observer:
    """What one observer answered to n items in each of P ways, with what all its comparisons have in common.

    Args:
        decisions: numbers or names, shape (P, n).
        labels: the right answers, (P, n); those of two observers that are compared are equal.

    Raises:
        MetricError: other shapes, no items, or answers that cannot be sorted.

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import Observer, compare_observers
        >>> labels = [["cat", "cat", "cat", "dog"]]
        >>> answers = [["cat", "cat", "cat", "cat"]], [["cat", "cat", "dog", "cat"]]
        >>> result = compare_observers(*(Observer(one, labels) for one in answers))
        >>> result["kappa"].tolist(), result["same_wrong_answer"].tolist()
        ([0.5], [1.0])
    """

    def __init__(self, decisions: ArrayLike, labels: ArrayLike) -> None:
        answers, truth = np.asarray(decisions), np.asarray(labels)
        if answers.ndim != 2 or not answers.size or truth.shape != answers.shape:
            raise MetricError(
                f"decisions and labels must have one shape (P, n), but have {answers.shape} and {truth.shape}."
            )
        self.right: NDArray[np.bool_] = np.asarray(answers == truth, np.bool_)
        """Whether each answer is the label, (P, n)."""
        self.accuracy: Floats = self.right.mean(axis=1)
        """(P,)."""
        self.names, self.codes = _coded("decisions", answers)
        """The different answers, ascending, and the place of each answer among them, (P, n)."""
        _, of_labels = _coded("labels", truth)
        self.rows: Ints = of_labels + np.arange(len(answers))[:, None] * (int(of_labels.max()) + 1)
        """A number for each way and label, (P, n)."""
        wrong = self.rows[~self.right], self.codes[~self.right]
        places, counts = np.unique(wrong[0] * len(self.names) + wrong[1], return_counts=True)
        rows, codes = np.divmod(places, len(self.names))
        self.wrong_shares = rows, codes, counts / np.bincount(wrong[0])[rows]
        """Of each wrong answer that was given to a label: its row, its code, its share of them."""


def compare_observers(first: Observer, second: Observer) -> dict[str, Any]:
    """`kappa_forms` of two observers in all ways at once, and how often two who are both wrong answer alike.

    Returns:
        Arrays (P,):

        - those of `kappa_forms`, and ``influences`` on kappa, (P, n), as those of `pair_statistics`;
        - ``same_wrong_answer`` in [0, 1]: share of equal answers on the images that are wrong for both; NaN if there
          are none;
        - ``same_wrong_answer_chance``: the share for independent errors. For each label it is the sum over the answers
          c of q1(c) q2(c), with q the shares among all wrong answers of an observer to that label; the mean over the
          same images. For K answers that are equally likely it is 1 / (K - 1);
        - ``n_wrong``: images that are wrong for both.

    Raises:
        MetricError: they answered other items, or in other ways.

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import Observer, compare_observers
        >>> labels = [["cat", "cat", "cat", "dog"]]
        >>> one = Observer([["cat", "dog", "dog", "dog"]], labels)
        >>> compare_observers(one, one)["kappa_unbiased"].tolist()
        [1.0]
    """
    if not np.array_equal(first.rows, second.rows):
        raise MetricError("Both observers must answer the same items with the same labels, in the same ways.")
    outcomes = 2 * first.right.astype(np.intp) + second.right
    n, p1, p2 = outcomes.shape[1], first.accuracy, second.accuracy
    wrong = outcomes == 0
    n_wrong = wrong.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        statistics, of_outcomes = _linearised(p1, p2, (first.right == second.right).mean(axis=1))
        equal, chance = _equal_wrong_answers(first, second, wrong)
        alike = {"same_wrong_answer": equal / n_wrong, "same_wrong_answer_chance": chance / n_wrong}
    influences = np.take_along_axis(of_outcomes[0].T / n, outcomes, axis=1)
    return {
        **_forms(statistics[: len(_KAPPAS)], p1, p2, n),
        **alike,
        "n_wrong": n_wrong,
        "influences": influences,
    }


def _equal_wrong_answers(first: Observer, second: Observer, wrong: NDArray[np.bool_]) -> tuple[Ints, Floats]:
    """How many of the items that are wrong for both have equal answers, and how many by chance, (P,) each."""
    names = first.names
    places = [np.arange(len(names))] * 2
    if not np.array_equal(names, second.names):
        names = np.union1d(names, second.names)
        places = [np.searchsorted(names, one.names) for one in (first, second)]
    equal = places[0][first.codes] == places[1][second.codes]
    shares = [one.wrong_shares for one in (first, second)]
    keys = [rows * len(names) + at[codes] for at, (rows, codes, _) in zip(places, shares, strict=True)]
    _, *known = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    of_rows = np.bincount(
        shares[0][0][known[0]], shares[0][2][known[0]] * shares[1][2][known[1]], int(first.rows.max()) + 1
    )
    return (equal & wrong).sum(axis=1), np.where(wrong, of_rows[first.rows], 0.0).sum(axis=1)


def _coded(name: str, table: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    """The different values, ascending, and the place of each among them."""
    try:
        if table.dtype == object:  # a hash table is faster than sorting names
            values = table.reshape(-1).tolist()
            names = np.array(sorted(set(values)), dtype=object)
            place = {value: at for at, value in enumerate(names.tolist())}
            codes = np.array([place[value] for value in values], np.int64)
        else:
            names, codes = np.unique(table, return_inverse=True)
    except TypeError:
        raise MetricError(f"{name} must be all strings or all numbers.") from None
    return names, codes.reshape(table.shape)


def decision_margins(scores: ArrayLike, labels: ArrayLike) -> Floats:
    """How clearly each item is answered: the score of the right class minus the best wrong one.

    Args:
        scores: of each class, such as logits or cosines, shape (n, classes), at least two.
        labels: the right class of each item, from 0, shape (n,).

    Returns:
        Shape (n,); positive for a right answer.

    Raises:
        MetricError: other shapes, a number that is not finite, a label without a score.

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import decision_margins
        >>> decision_margins([[0.5, 0.25, 0.0], [0.5, 0.25, 0.0]], [0, 2]).tolist()
        [0.25, -0.5]
    """
    table, right = as_rows("scores", scores), np.asarray(labels)
    check_lengths({"scores": table, "labels": right})
    if (
        table.shape[1] < 2
        or right.dtype.kind not in "iu"
        or not ((right >= 0) & (right < table.shape[1])).all()
    ):
        raise MetricError(
            f"labels must be whole numbers from 0 to {table.shape[1] - 1}, and scores those of two classes or more."
        )
    of_class = right[:, None] == np.arange(table.shape[1])
    return np.asarray(table[of_class] - np.where(of_class, -np.inf, table).max(axis=1))


def margin_consistency(first: ArrayLike, second: ArrayLike) -> dict[str, Any]:
    """Do two observers find the same items clear? Pearson's correlation of margins (Alvarez and Konkle 2024).

    Args:
        first: of each item, see `decision_margins`; of people the share who are right; shape (n,).
        second: of the other observer.

    Returns:
        ``margin_consistency`` in [-1, 1], NaN if one of them is constant; ``influences``, what each item contributes,
        (n,), in the first order; ``n``, ``causes``.

    Raises:
        MetricError: different lengths, a number that is not finite.

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import margin_consistency
        >>> round(margin_consistency([0.1, 0.4, 0.2], [0.2, 0.5, 0.3])["margin_consistency"], 6)
        1.0
    """
    columns = {"first": as_numbers("first", first), "second": as_numbers("second", second)}
    check_lengths(columns)
    n = len(columns["first"])
    if not all(np.ptp(one) for one in columns.values()):
        causes = {"margin_consistency": "one of them has the same margin on all items"}
        return {"margin_consistency": np.nan, "influences": np.full(n, np.nan), "n": n, "causes": causes}
    x, y = ((one - one.mean()) / one.std() for one in columns.values())
    r = float(np.clip((x * y).mean(), -1, 1))
    return {
        "margin_consistency": r,
        "influences": (x * y - r * (x**2 + y**2) / 2) / n,
        "n": n,
        "causes": {},
    }


def observer_consistency(
    observers: ArrayLike,
    predictions: ArrayLike | None = None,
    *,
    shape_exemplars: ArrayLike | None = None,
    texture_exemplars: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
) -> dict[str, Any]:
    """Mean kappa of one observer with each of several others, or of all pairs of these.

    Args:
        observers: whether each of m observers was correct on each image, shape (n, m); NaN for an image that an
            observer did not see, which is left out of that observer's pairs.
        predictions: the same of the one observer (a model), shape (n,); None compares the m among themselves.
        shape_exemplars, texture_exemplars: of the images, shape (n,). With both, the interval is clustered in two
            ways (see `bootstrap`), without them over images. The observers stay as they are.
        n_resamples: 0 skips the interval; nothing is resampled otherwise, since kappa is linearised.
        confidence_level: of the interval.

    Returns:
        ``kappa``, the mean over the pairs in which it is defined; ``kappa_min`` and ``kappa_max``, the mean of the
        range that the accuracies of each pair allow; ``n`` images, ``n_pairs``; ``kappa_ci`` [low, high];
        ``influences``, what each image contributes to each of the three, (n,); ``causes``. NaN where no pair is
        defined: both right on all images, or both wrong.

    Raises:
        MetricError: other shapes, no rows, fewer than two observers to compare, one kind of exemplar without the other.

    Examples:
        >>> from hf_clipdyn.metrics.error_consistency import observer_consistency
        >>> result = observer_consistency([[1, 1], [1, 0], [0, 0], [0, 0]], [1, 1, 1, 0], n_resamples=0)
        >>> result["kappa"], result["n_pairs"]
        (0.35, 2)
    """
    first, second = observer_pairs(observers, predictions)
    n = len(first)
    clusters = as_exemplars(shape_exemplars, texture_exemplars, n) or [np.arange(n)]
    statistics, influences = (part[: len(_KAPPAS)] for part in pair_statistics(first, second))
    defined = ~np.isnan(statistics[0])
    counts = {"n": n, "n_pairs": int(defined.sum())}
    if not defined.any():
        cause = "in each pair, both are right, or both wrong, on all images"
        undefined = dict.fromkeys(_KAPPAS, float("nan"))
        interval = {"kappa_ci": [float("nan")] * 2} if n_resamples else {}
        unknown = {"influences": dict.fromkeys(_KAPPAS, np.full(n, np.nan))}
        return {**undefined, **counts, "causes": dict.fromkeys(_KAPPAS, cause), **unknown, **interval}
    means = dict(zip(_KAPPAS, statistics[:, defined].mean(axis=1).tolist(), strict=True))
    of_images = dict(zip(_KAPPAS, influences[:, :, defined].mean(axis=2), strict=True))
    result: dict[str, Any] = {**means, **counts, "causes": {}, "influences": of_images}
    if n_resamples:
        result["kappa_ci"] = clustered_correlation_interval(
            means["kappa"], of_images["kappa"], clusters, confidence_level
        )
    return result


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
    n_observers = table.shape[1]
    if predictions is not None:
        model = as_booleans("predictions", predictions)
        check_lengths({"observers": table, "predictions": model})
        return np.repeat(model[:, None].astype(np.float64), n_observers, axis=1), table
    rows, columns = np.triu_indices(n_observers, 1)
    if not len(rows):
        raise MetricError("At least two observers are required unless predictions are given.")
    return table[:, rows], table[:, columns]


def pair_statistics(first: Floats, second: Floats) -> tuple[Floats, Floats]:
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
    outcomes, p1, p2, observed, n = _outcomes(first, second)
    statistics, of_outcomes = _linearised(p1, p2, observed)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_outcomes = of_outcomes / n
    of_outcomes = np.pad(
        of_outcomes, ((0, 0), (0, 1), (0, 0))
    )  # an image that was not seen contributes nothing
    return statistics, np.take_along_axis(of_outcomes, outcomes[None], axis=1)


def _outcomes(first: Floats, second: Floats) -> tuple[Ints, Floats, Floats, Floats, Ints]:
    """What became of each image in each pair of columns (n, P), and its shares, (P,).

    Returns:
        Outcomes (n, P): 0 both wrong, 1 the second right, 2 the first, 3 both, 4 not seen by both; the accuracies; the
        share of images on which both are right or both wrong; the number of images.
    """
    combined = 2 * first + second
    outcomes = np.where(np.isnan(combined), 4, combined).astype(np.int64)
    wrong, of_second, of_first, right = ((outcomes == one).sum(axis=0) for one in range(4))
    n = wrong + of_second + of_first + right
    with np.errstate(invalid="ignore", divide="ignore"):
        return outcomes, (of_first + right) / n, (of_second + right) / n, (wrong + right) / n, n


def _linearised(p1: Floats, p2: Floats, observed: Floats) -> tuple[Floats, Floats]:
    """The statistics of `pair_statistics`, (5, P), and n times what an image of each outcome contributes, (5, 4, P)."""
    first, second = np.array([0, 0, 1, 1])[:, None], np.array([0, 1, 0, 1])[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        kappas, scale = _kappas(p1, p2, observed)
        of_first, of_second = first - p1, second - p2
        of_expected = (2 * p2 - 1) * of_first + (2 * p1 - 1) * of_second
        of_agreements = np.stack(
            [
                (first == second) - observed,
                np.sign(p1 + p2 - 1) * (of_first + of_second),
                -np.sign(p1 - p2) * (of_first - of_second),
            ]
        )
        of_kappas = (of_agreements - (1 - kappas[:, None]) * of_expected) / scale
        of_difference = 2 * (p1 - p2) * (of_first - of_second)
    statistics = np.concatenate([kappas, [observed, (p1 - p2) ** 2]])
    return statistics, np.concatenate([of_kappas, of_agreements[:1], of_difference[None]])


def _kappas(p1: Floats, p2: Floats, observed: Floats) -> tuple[Floats, Floats]:
    """Kappa and its bounds (3, P), and 1 - the expected agreement; NaN where that is 0."""
    expected = p1 * p2 + (1 - p1) * (1 - p2)
    scale = np.where(expected < 1, 1 - expected, np.nan)
    agreements = np.stack([observed, np.abs(p1 + p2 - 1), 1 - np.abs(p1 - p2)])
    return (agreements - expected) / scale, scale


def _kappa(weights: Floats) -> Floats:
    """Counts of both wrong, second right, first right, both right (B, 4) -> kappa, observed, expected (B, 3)."""
    wrong, second_only, first_only, right = (weights / weights.sum(axis=1, keepdims=True)).T
    observed = wrong + right
    p1, p2 = first_only + right, second_only + right
    expected = p1 * p2 + (1 - p1) * (1 - p2)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)
    return np.stack([kappa, observed, expected], axis=1)
