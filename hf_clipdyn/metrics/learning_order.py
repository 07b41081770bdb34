"""Which images are learned when, for good, by all runs, and in people's order of difficulty?

Training is seen at its revisions only: a forgetting event lies between two of them, and what happens within an epoch is
missed. Toneva et al. 2019 count at each presentation of a training image instead.
"""

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints, as_codes, as_numbers, check_lengths
from hf_clipdyn.metrics.bootstrap import (
    Resampling,
    Scale,
    clustered_correlation_interval,
    resampled_intervals,
    wilson_interval,
)
from hf_clipdyn.metrics.influence import MOST_GROUPS, without_each
from hf_clipdyn.metrics.label_distribution import human_entropy
from hf_clipdyn.metrics.weighted_correlation import WeightedSpearman

__all__ = [
    "answer_agreement",
    "cartography",
    "learning_order",
    "poisson_binomial",
    "rank_agreement",
    "split_half_reliability",
    "trivial_and_impossible",
]

_FEWEST_ITEMS = 3  # of a group with a rank correlation


def learning_order(
    right: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """When each item is learned and forgotten (Toneva et al. 2019), and whether runs agree on it (Hacohen et al. 2020).

    The exact null is the same with the items of each run and revision in random order
    (`numpy.random.Generator.permuted` along the last axis): it keeps the accuracies and nothing else.

    Args:
        right: whether each run was correct at each revision on each item, shape (runs, revisions, items).
        clusters: of the items, shape (items,), such as the image that they were made from; None for the items.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. Clusters are resampled, the runs stay.

    Returns:
        Revisions are numbered from 1; 0 means never. By run and item:

        - ``first_learned``: the first revision that is right; ``stably_learned``: the first from which all are right;
        - ``forgetting_events``: how often a right revision is followed by a wrong one.

        By revision and item, and by item:

        - ``tp_agreement``: share of the runs that are right; ``accessibility``: its mean over the revisions.

        By revision, with what independent runs of the same accuracies would have as ``<name>_expected``:

        - ``bimodality_ratio``: variance of ``tp_agreement`` over the items by p (1 - p), p the mean accuracy: 1 for
          equal runs, 1 / runs for independent runs on items of one difficulty; NaN for a single run, or at p = 0 or 1;
        - ``all_right``, ``all_wrong``: share of the items.

        By run, as numbers of items, with ``<name>_expected`` of a random learner that has the same accuracy at each
        revision, independently for each item:

        - ``never_learned``; ``forgetting``, all events; ``unforgettable``, learned and never forgotten;
        - ``learned``: share of the items that some revision up to each one had right; ``median_first_learned``: NaN if
          more than half are never learned.

        ``accuracy`` over all of them; ``n`` (runs), ``n_revisions``, ``n_items``, ``causes``; ``never_learned_ci``,
        ``forgetting_ci``, ``unforgettable_ci`` and ``bimodality_ratio_ci``: [low, high] of each.

    Raises:
        MetricError: another shape, nothing in it, anything but True and False (or 1 and 0).

    Examples:
        >>> from hf_clipdyn.metrics.learning_order import learning_order
        >>> result = learning_order([[[0, 1, 0], [1, 0, 0], [1, 1, 0]]], n_resamples=0)
        >>> result["first_learned"], result["stably_learned"], result["forgetting_events"]
        ([[2, 1, 0]], [[2, 3, 0]], [[0, 1, 0]])
        >>> result["never_learned"], [round(one, 3) for one in result["never_learned_expected"]]
        ([1], [0.444])
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    table = _as_outcomes("right", right, ("runs", "revisions", "items"))
    n_runs, n_revisions, n_items = table.shape
    codes, n_clusters = as_codes("clusters", clusters, n_items)
    seen = np.logical_or.accumulate(table, axis=1)
    kept = np.logical_and.accumulate(table[:, ::-1], axis=1)
    learned = seen[:, -1]
    first = np.where(learned, n_revisions + 1 - seen.sum(axis=1), 0)
    stable = np.where(table[:, -1], n_revisions + 1 - kept.sum(axis=1), 0)
    events = (table[:, :-1] & ~table[:, 1:]).sum(axis=1)
    agreement = table.mean(axis=0)
    accuracy = table.mean(axis=2)
    by_run = {"never_learned": ~learned, "forgetting": events, "unforgettable": learned & (events == 0)}
    columns = np.concatenate([*by_run.values(), agreement, agreement**2]).T.astype(np.float64)
    statistic = _OverItems(columns, codes, n_clusters, n_runs, n_revisions)
    bimodality = statistic(np.ones((1, n_clusters)))[0, -n_revisions:]
    medians = np.median(np.where(learned, first, np.inf), axis=1)
    causes = {}
    if n_runs == 1:
        causes["bimodality_ratio"] = "there is only one run"
    elif np.isnan(bimodality).any():
        causes["bimodality_ratio"] = "at a revision all runs are right, or wrong, on all items"
    if np.isinf(medians).any():
        causes["median_first_learned"] = "a run never learns half of the items"
    result: dict[str, Any] = {
        "first_learned": first.tolist(),
        "stably_learned": stable.tolist(),
        "forgetting_events": events.tolist(),
        "tp_agreement": agreement.tolist(),
        "accessibility": agreement.mean(axis=0).tolist(),
        "bimodality_ratio": bimodality.tolist(),
        "bimodality_ratio_expected": _expected_bimodality(accuracy),
        "all_right": (agreement == 1).mean(axis=1).tolist(),
        "all_right_expected": accuracy.prod(axis=0).tolist(),
        "all_wrong": (agreement == 0).mean(axis=1).tolist(),
        "all_wrong_expected": (1 - accuracy).prod(axis=0).tolist(),
        **{name: values.sum(axis=1).tolist() for name, values in by_run.items()},
        **_of_a_random_learner(accuracy, n_items),
        "learned": seen.mean(axis=2).tolist(),
        "median_first_learned": np.where(np.isinf(medians), np.nan, medians).tolist(),
        "accuracy": float(accuracy.mean()),
        "n": n_runs,
        "n_revisions": n_revisions,
        "n_items": n_items,
        "causes": causes,
    }
    if resampling:
        parts: list[tuple[Scale, int]] = [
            ("share", n_runs),
            ("linear", n_runs),
            ("share", n_runs),
            ("linear", n_revisions),
        ]
        scales = [scale for scale, number in parts for _ in range(number)]
        ends = resampled_intervals(statistic, np.ones(n_clusters, np.int64), scales, resampling)
        for name, part in zip(by_run, np.split(ends[: 3 * n_runs], 3), strict=True):
            result[f"{name}_ci"] = (n_items * part).tolist()
        result["bimodality_ratio_ci"] = ends[3 * n_runs :].tolist()
    return result


class _OverItems:
    """Weights of clusters (B, K) -> the shares of each run, and the bimodality ratio at each revision."""

    def __init__(self, columns: Floats, codes: Ints, n_clusters: int, n_runs: int, n_revisions: int) -> None:
        self._sums = np.zeros((n_clusters, columns.shape[1]))
        np.add.at(self._sums, codes, columns)
        self._sizes = np.bincount(codes, minlength=n_clusters)
        self._n_runs, self._n_revisions = n_runs, n_revisions

    def __call__(self, weights: Floats) -> Floats:
        means = (weights @ self._sums) / (weights @ self._sizes)[:, None]
        shares, p, squares = np.split(means, [3 * self._n_runs, 3 * self._n_runs + self._n_revisions], axis=1)
        varies = (p > 0) & (p < 1) & (self._n_runs > 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.where(varies, np.maximum(squares - p**2, 0) / (p * (1 - p)), np.nan)
        return np.concatenate([shares, ratios], axis=1)


def _expected_bimodality(accuracy: Floats) -> list[float]:
    """Of independent runs, from their accuracies (runs, revisions)."""
    p = accuracy.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (accuracy * (1 - accuracy)).sum(axis=0) / len(accuracy) ** 2 / (p * (1 - p))
    expected: list[float] = np.where(len(accuracy) > 1, ratios, np.nan).tolist()
    return expected


def _of_a_random_learner(accuracy: Floats, n_items: int) -> dict[str, list[float]]:
    """Its numbers of items by run, from the accuracies (runs, revisions)."""
    wrong = 1 - accuracy
    forgetting = (accuracy[:, :-1] * wrong[:, 1:]).sum(axis=1)
    unforgettable = sum(
        wrong[:, :start].prod(axis=1) * accuracy[:, start:].prod(axis=1) for start in range(accuracy.shape[1])
    )
    expected = {"never_learned": wrong.prod(axis=1), "forgetting": forgetting, "unforgettable": unforgettable}
    return {f"{name}_expected": (n_items * np.asarray(values)).tolist() for name, values in expected.items()}


def poisson_binomial(shares: ArrayLike) -> Floats:
    """How many of independent observers are right on an item: the probability of each number.

    Args:
        shares: the accuracy of each observer, shape (m,).

    Returns:
        Probabilities of 0, 1, ..., m, shape (m + 1,).

    Examples:
        >>> from hf_clipdyn.metrics.learning_order import poisson_binomial
        >>> poisson_binomial([0.5, 0.5]).tolist()
        [0.25, 0.5, 0.25]
    """
    probabilities = np.ones(1)
    for share in np.asarray(shares, np.float64).tolist():
        probabilities = np.convolve(probabilities, [1 - share, share])
    return probabilities


def trivial_and_impossible(
    right: ArrayLike, *, exceptions: int = 1, confidence_level: float = 0.95
) -> dict[str, Any]:
    """Items that all observers but at most one have right (trivial) or wrong (impossible); Meding et al. 2022.

    The shares depend on the number of observers and their accuracies, so compare them with their null. Whoever leaves
    out such items must choose them in other seeds: in the same ones that would select on the outcome.

    Args:
        right: whether each observer was correct on each item, shape (observers, items).
        exceptions: how many observers may differ.
        confidence_level: of Wilson's interval over items.

    Returns:
        ``trivial``, ``impossible`` in [0, 1], with ``<name>_ci`` and ``<name>_null``, the share for independent
        observers of the same accuracies; ``counts``, the number of items with 0, 1, ... observers right; ``n``.

    Raises:
        MetricError: another shape, or so few observers that an item could be both.

    Examples:
        >>> from hf_clipdyn.metrics.learning_order import trivial_and_impossible
        >>> result = trivial_and_impossible([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]])
        >>> result["trivial"], result["impossible"], result["trivial_null"], result["counts"]
        (0.5, 0.5, 0.5, [1, 1, 1, 1])
    """
    table = _as_outcomes("right", right, ("observers", "items"))
    if len(table) <= 2 * exceptions:
        raise MetricError(
            f"right has {len(table)} observers: give at least {2 * exceptions + 1}, or allow fewer exceptions."
        )
    n = table.shape[1]
    counts = np.bincount(table.sum(axis=0), minlength=len(table) + 1)
    null = poisson_binomial(table.mean(axis=1))
    ends = {"trivial": slice(-1 - exceptions, None), "impossible": slice(0, exceptions + 1)}
    shares = {name: float(counts[end].sum()) / n for name, end in ends.items()}
    return {
        **shares,
        **{f"{name}_ci": wilson_interval(share, n, confidence_level) for name, share in shares.items()},
        **{f"{name}_null": float(null[end].sum()) for name, end in ends.items()},
        "counts": counts.tolist(),
        "n": n,
    }


def cartography(probabilities: ArrayLike, right: ArrayLike) -> dict[str, Floats]:
    """The map of a data set by its training dynamics (Swayamdipta et al. 2020).

    In CLIP the logit scale sharpens the softmax during training: compute the probabilities at one scale.

    Args:
        probabilities: of the label, shape (..., revisions, items).
        right: whether the answer was correct, the same shape.

    Returns:
        Arrays (..., items): ``confidence``, the mean probability; ``variability``, its standard deviation over the
        revisions (divided by their number); ``correctness``, the number of right revisions.

    Raises:
        MetricError: different shapes, or no axis of revisions.

    Examples:
        >>> from hf_clipdyn.metrics.learning_order import cartography
        >>> {name: values.tolist() for name, values in cartography([[0.2], [0.8]], [[0], [1]]).items()}
        {'confidence': [0.5], 'variability': [0.30000000000000004], 'correctness': [1]}
    """
    shares, outcomes = np.asarray(probabilities, np.float64), np.asarray(right)
    if shares.ndim < 2 or shares.shape != outcomes.shape:
        raise MetricError(
            "probabilities and right must have one shape (..., revisions, items), "
            f"but have {shares.shape} and {outcomes.shape}."
        )
    return {
        "confidence": shares.mean(axis=-2),
        "variability": shares.std(axis=-2),
        "correctness": outcomes.sum(axis=-2, dtype=np.int64),
    }


def answer_agreement(counts: ArrayLike) -> dict[str, Floats]:
    """How much people, or runs, agree on the answer to each item, whether it is right or not.

    Args:
        counts: how many gave each answer, shape (items, answers).

    Returns:
        Arrays (items,), NaN for an item without answers: ``agreement``, the share of the most frequent answer;
        ``entropy`` in bits; ``entropy_corrected`` for its bias (Miller and Madow 1955), by
        (different answers - 1) / (2 n ln 2) for n answers.

    Examples:
        >>> from hf_clipdyn.metrics.learning_order import answer_agreement
        >>> result = answer_agreement([[5, 5, 0], [10, 0, 0]])
        >>> result["agreement"].tolist(), result["entropy_corrected"].round(3).tolist()
        ([0.5, 1.0], [1.072, 0.0])
    """
    numbers = np.asarray(counts, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = numbers.sum(axis=1)
        entropy = human_entropy(numbers) / math.log(2)
        bias = ((numbers > 0).sum(axis=1) - 1) / (2 * n * math.log(2))
        return {
            "agreement": numbers.max(axis=1) / n,
            "entropy": entropy,
            "entropy_corrected": entropy + bias,
        }


def split_half_reliability(
    scores: ArrayLike,
    *,
    summary: Callable[[Floats], Floats] | None = None,
    n_splits: int = 1000,
    seed: int = 0,
) -> float:
    """How well the mean of all people, or another summary, would predict that of as many others, over items.

    Args:
        scores: of each person on each item, such as right or wrong, shape (people, items); NaN for an item that a
            person did not see.
        summary: of the scores (people, items) of a half, a number of each item (items,); None for the mean.
        n_splits: number of random splits into halves; all of them are used if there are no more.
        seed: of random splits.

    Returns:
        The mean over splits of 2 r / (1 + r) (Spearman and Brown 1910), r Pearson's correlation of the summaries of the
        two halves; NaN if that of a half is constant, or two halves are opposites.

    Raises:
        MetricError: another shape, or fewer than two people.

    Examples:
        >>> from hf_clipdyn.metrics.learning_order import split_half_reliability
        >>> round(split_half_reliability([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]]), 3)
        0.876
    """
    table = np.asarray(scores, np.float64)
    if table.ndim != 2 or len(table) < 2:
        raise MetricError(
            f"scores must have the shape (people, items) with two people or more, but have {table.shape}."
        )
    values = []
    for half in _halves(len(table), n_splits, np.random.default_rng(seed)):
        first, second = ((summary or _mean_where_seen)(table[rows]) for rows in (half, ~half))
        both = ~(np.isnan(first) | np.isnan(second))
        if not (np.ptp(first[both]) and np.ptp(second[both])):
            return math.nan
        r = float(np.corrcoef(first[both], second[both])[0, 1])
        if r <= -1:
            return math.nan
        values.append(2 * r / (1 + r))
    return float(np.mean(values))


def _halves(n: int, most: int, rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
    """Which of n people are in the first half."""
    fixed = 1 - n % 2  # the first person, if both halves have one size: each split then occurs once
    chosen, members = n // 2 - fixed, range(fixed, n)
    if math.comb(len(members), chosen) > most:
        for _ in range(most):
            yield rng.permutation(n) < n // 2
        return
    for others in combinations(members, chosen):
        yield np.isin(np.arange(n), [*range(fixed), *others])


def _mean_where_seen(scores: Floats) -> Floats:
    seen = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(seen, scores, 0).sum(axis=0) / seen.sum(axis=0))


def rank_agreement(
    order: ArrayLike,
    reference: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    given: ArrayLike | None = None,
    reliability: float = 1.0,
    confidence_level: float = 0.95,
) -> dict[str, Any]:
    """Are the items that a model learns early those that people find easy? Spearman's rank correlation.

    Args:
        order: of each item, such as its accessibility, shape (n,); a first revision of 0 (never) needs another number,
            one more than that of the last revision.
        reference: such as the share of people who are right, shape (n,).
        groups: such as the class of each item, shape (n,): the mean of the correlations within groups is taken.
        given: a number of each item, shape (n,), whose part in both rankings is removed (partial correlation).
        reliability: of the reference, see `split_half_reliability`.
        confidence_level: of the interval.

    Returns:
        - ``spearman`` in [-1, 1], the mean over the groups in which it is defined; ``corrected``, the same over
          sqrt(reliability), which is not limited to [-1, 1];
        - ``spearman_ci``: symmetric after arctanh, with the delete-a-group jackknife over `MOST_GROUPS` blocks of items
          at most (item i is in block i mod 100); ``influences``: what each block contributes, shape (blocks,);
        - ``n`` items, ``n_groups`` that count, ``causes``.

    Raises:
        MetricError: different lengths, no rows, a number that is not finite, a reliability that is not above 0.

    Examples:
        >>> from hf_clipdyn.metrics.learning_order import rank_agreement
        >>> result = rank_agreement([0.2, 0.5, 0.9, 0.8], [0.6, 0.7, 0.9, 1.0], reliability=0.64)
        >>> round(result["spearman"], 3), round(result["corrected"], 3)
        (0.8, 1.0)
    """
    columns = {"order": as_numbers("order", order), "reference": as_numbers("reference", reference)}
    if given is not None:
        columns["given"] = as_numbers("given", given)
    check_lengths(columns)
    if not reliability > 0:
        raise MetricError(f"reliability must be above 0, but is {reliability}.")
    n = len(columns["order"])
    codes, n_groups = (np.zeros(n, np.int64), 1) if groups is None else as_codes("groups", groups, n)
    n_blocks = min(n, MOST_GROUPS)
    blocks = np.arange(n) % n_blocks
    statistics = [
        _RankCorrelation([column[codes == group] for column in columns.values()], blocks[codes == group])
        for group in range(n_groups)
        if (codes == group).sum() >= _FEWEST_ITEMS
    ]
    whole = np.ones((1, n_blocks))
    statistics = [one for one in statistics if not math.isnan(float(one(whole)[0, 0]))]
    counts = {"n": n, "n_groups": len(statistics)}
    if not statistics:
        cause = "in each group there are fewer than three items, or one of the rankings is constant"
        undefined = {"spearman": math.nan, "corrected": math.nan, "spearman_ci": [math.nan] * 2}
        causes = dict.fromkeys(("spearman", "corrected"), cause)
        return {**undefined, "influences": np.full(n_blocks, math.nan), **counts, "causes": causes}

    def mean(weights: Floats) -> Floats:
        return np.asarray(np.mean([one(weights) for one in statistics], axis=0))

    value = float(mean(whole)[0, 0])
    influences = without_each(mean, n_blocks)[:, 0]
    return {
        "spearman": value,
        "corrected": value / math.sqrt(reliability),
        "spearman_ci": clustered_correlation_interval(
            value, influences, [np.arange(n_blocks)], confidence_level
        ),
        "influences": influences,
        **counts,
        "causes": {},
    }


class _RankCorrelation:
    """Weights of blocks (B, K) -> Spearman's correlation of two columns, perhaps given a third one, (B, 1)."""

    def __init__(self, columns: list[Floats], blocks: Ints) -> None:
        self._pairs = [WeightedSpearman(x, y, blocks) for x, y in combinations(columns, 2)]

    def __call__(self, weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            xy, *others = [pair(weights) for pair in self._pairs]
            if others:
                xz, yz = others
                xy = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
        return np.asarray(xy)[:, None]


def _as_outcomes(name: str, values: ArrayLike, axes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Right or wrong, of an array with these axes."""
    try:
        table = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != len(axes) or not table.size:
        raise MetricError(
            f"{name} must be True or False in the shape ({', '.join(axes)}), but has the shape {table.shape}."
        )
    if not ((table == 0) | (table == 1)).all():
        raise MetricError(
            f"{name} must be True or False everywhere: leave out items that some run did not see."
        )
    return table.astype(np.bool_)
