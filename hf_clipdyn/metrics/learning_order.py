"""Which items are learned when, for good, and in the order of other runs and of human observers?

Training is seen at its revisions only: a forgetting event lies between two of them, and what happens within an epoch is
missed. Toneva et al. 2019 count at each presentation of a training image instead.
"""

import math
from itertools import combinations
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Bools, Floats, Ints, columns, names
from hf_clipdyn.metrics.influence import MOST_GROUPS, Influence, Units, left_out_influence, mean_over_pairs
from hf_clipdyn.metrics.scores import Score, Scores, left_out, mean

__all__ = ["learning_order", "order_of_runs", "rank_agreement"]

_FEWEST_ITEMS = 3  # of a group with a rank correlation


def learning_order(right: Annotated[ArrayLike, [["bool"]]]) -> Scores:
    """When each item is learned and forgotten (Toneva et al. 2019).

    Args:
        right: whether each run was correct at each revision on each item, shape (runs, revisions, items).

    Returns:
        Revisions are numbered from 1; 0 means never. Over items, as the mean of the runs:

        - ``never_learned``, ``unforgettable`` (learned and never forgotten): shares of the items;
        - ``forgetting_events``: how often a right revision is followed by a wrong one, per item.

        Facts: ``first_learned``, the first revision that is right, ``stably_learned``, the first from which all are
        right, ``forgotten``, the number of forgetting events, by run and item; ``learned``, the share of the items
        that some revision up to each one had right, by run and revision; ``median_first_learned`` by run, NaN if more
        than half are never learned; ``<name>_expected`` by run, of a random learner that has the same accuracy at each
        revision, independently for each item; ``accessibility``, the share of right answers, by item; ``accuracy``;
        ``n`` (runs), ``n_revisions``, ``n_items``.

    Raises:
        MetricError: another shape, nothing in it, anything but True and False (or 1 and 0).

    Examples:
        >>> from hf_clipdyn.metrics.learning_order import learning_order
        >>> result = learning_order([[[0, 1, 0], [1, 0, 0], [1, 1, 0]]])
        >>> result.facts["first_learned"], result.facts["stably_learned"], result.facts["forgotten"]
        ([[2, 1, 0]], [[2, 3, 0]], [[0, 1, 0]])
        >>> round(result["never_learned"].value, 3), [round(one, 3) for one in result.facts["never_learned_expected"]]
        (0.333, [0.148])

    References:
        toneva2019empirical
    """
    try:
        table = np.asarray(right, np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 3 or not table.size:
        raise MetricError(f"right must have the shape (runs, revisions, items), but has {table.shape}.")
    if not ((table == 0) | (table == 1)).all():
        raise MetricError(
            "right must be True or False everywhere: leave out items that some run did not see."
        )
    answers = table.astype(np.bool_)
    n_runs, n_revisions, n_items = answers.shape
    seen = np.logical_or.accumulate(answers, axis=1)
    kept = np.logical_and.accumulate(answers[:, ::-1], axis=1)
    learned, accuracy = seen[:, -1], table.mean(axis=2)
    first = np.where(learned, n_revisions + 1 - seen.sum(axis=1), 0)
    stable = np.where(answers[:, -1], n_revisions + 1 - kept.sum(axis=1), 0)
    events = (answers[:, :-1] & ~answers[:, 1:]).sum(axis=1)
    medians = np.median(np.where(learned, first, np.inf), axis=1)
    return Scores(
        {
            "never_learned": mean((~learned).mean(axis=0), "share"),
            "unforgettable": mean((learned & (events == 0)).mean(axis=0), "share"),
            "forgetting_events": mean(events.mean(axis=0)),
        },
        first_learned=first.tolist(),
        stably_learned=stable.tolist(),
        forgotten=events.tolist(),
        learned=seen.mean(axis=2).tolist(),
        median_first_learned=np.where(np.isinf(medians), np.nan, medians).tolist(),
        **_of_a_random_learner(accuracy),
        accessibility=table.mean(axis=(0, 1)).tolist(),
        accuracy=float(accuracy.mean()),
        n=n_runs,
        n_revisions=n_revisions,
        n_items=n_items,
    )


def _of_a_random_learner(accuracy: Floats) -> dict[str, list[float]]:
    """What it would have by run, from the accuracies (runs, revisions)."""
    wrong = 1 - accuracy
    unforgettable = sum(
        wrong[:, :start].prod(axis=1) * accuracy[:, start:].prod(axis=1) for start in range(accuracy.shape[1])
    )
    expected = {
        "never_learned": wrong.prod(axis=1),
        "unforgettable": np.asarray(unforgettable),
        "forgetting_events": (accuracy[:, :-1] * wrong[:, 1:]).sum(axis=1),
    }
    return {f"{name}_expected": values.tolist() for name, values in expected.items()}


def rank_agreement(order: ArrayLike, reference: ArrayLike, *, groups: ArrayLike | None = None) -> Scores:
    """Does a model learn the items early that human observers find easy? Spearman's rank correlation.

    Args:
        order: of each item, such as its accessibility, shape (n,); a first revision of 0 (never) needs another number,
            one more than the last revision's.
        reference: such as the share of observers who are right, shape (n,).
        groups: such as the class of each item, shape (n,): the mean of the correlations within groups is taken.

    Returns:
        ``spearman`` in [-1, 1], the mean over the groups in which it is defined. Its influence comes from leaving out
        each of `MOST_GROUPS` blocks of items at most; item i is in block i mod 100. ``n_groups`` that count.

    Raises:
        MetricError: different lengths, no rows, a number that is not finite.

    Examples:
        >>> from hf_clipdyn.metrics.learning_order import rank_agreement
        >>> round(rank_agreement([0.2, 0.5, 0.9, 0.8], [0.6, 0.7, 0.9, 1.0])["spearman"].value, 3)
        0.8
    """
    x, y = columns(order=order, reference=reference)
    codes = np.zeros(len(x))
    if groups is not None:
        of_items, _ = names(groups=groups, order=x)
        codes = np.unique(of_items, return_inverse=True)[1].astype(np.float64)
    cause = "in each group there are fewer than three items, or one of the rankings is constant"
    each = [_spearman(x[codes == group], y[codes == group]) for group in np.unique(codes)]
    counted = np.flatnonzero(~np.isnan(each))
    if not len(counted):
        return Scores({"spearman": Score(math.nan, None, "correlation", len(x), cause)}, n_groups=0)

    def correlation(x: Floats, y: Floats, codes: Floats) -> float:
        return float(np.mean([_spearman(x[codes == group], y[codes == group]) for group in counted]))

    n_blocks = min(len(x), MOST_GROUPS)
    influence = left_out(correlation, (x, y, codes), np.arange(len(x)) % n_blocks)
    value = float(np.mean([each[group] for group in counted]))
    return Scores({"spearman": Score(value, influence, "correlation", len(x))}, n_groups=len(counted))


def order_of_runs(right: Bools, groups: Ints) -> dict[str, Any] | None:
    """Do runs learn the same items first? Spearman's correlation of their shares of right answers, over pairs of runs.

    Args:
        right: whether each run is right at each revision on each item, shape (runs, revisions, items).
        groups: of the items, from 0, shape (items,): the error is crossed over runs and these groups.

    Returns:
        ``value`` and ``ci`` of `hf_clipdyn.metrics.influence.mean_over_pairs`; None if a run learns all items alike.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.learning_order import order_of_runs
        >>> runs = np.array([[[0, 0, 1, 1], [0, 1, 1, 1]], [[0, 0, 1, 0], [0, 0, 1, 1]]], bool)
        >>> round(order_of_runs(runs, np.arange(4))["value"], 3)
        0.889
    """
    accessibility = right.mean(axis=1)
    pairs = list(combinations(range(len(accessibility)), 2))
    if (np.ptp(accessibility, axis=1) == 0).any():
        return None

    def correlations(kept: Bools) -> Floats:
        between = np.atleast_2d(np.corrcoef(_ranks(accessibility[:, kept])))
        return np.array([between[pair] for pair in pairs])

    n_groups = int(groups.max()) + 1
    with np.errstate(invalid="ignore"):
        without = np.array([correlations(groups != group).mean() for group in range(n_groups)])
    units = Units("groups of items", np.arange(n_groups)[:, None], n_groups)
    known = Influence.on(units, left_out_influence(without))
    return dict(mean_over_pairs(correlations(groups >= 0), pairs, known))


def _spearman(x: Floats, y: Floats) -> float:
    if len(x) < _FEWEST_ITEMS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: Floats) -> Floats:
    """Ranks along the last axis; ties share their mean."""
    from scipy.stats import rankdata  # which takes half a second to load, and a report needs none

    return np.asarray(rankdata(values, axis=-1))
