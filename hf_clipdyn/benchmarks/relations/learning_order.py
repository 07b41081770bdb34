"""Which items does a run learn when, for good, in the order of other seeds and of people?"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from hf_clipdyn.benchmarks.answers import AnswerTable, right_of, stack, stack_runs
from hf_clipdyn.benchmarks.base import by_item, mean_by_item
from hf_clipdyn.benchmarks.relation import ANSWERED, NUMBER_JOINS, KeyedAnswers, Relation, Seen, related
from hf_clipdyn.benchmarks.settings import Common
from hf_clipdyn.metrics.estimate import mean_over_pairs
from hf_clipdyn.metrics.learning_order import learning_order, rank_agreement, split_half_reliability
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

__all__ = ["LearningOrder"]

_SHARE: dict[str, Any] = {"limits": (0.0, 1.0)}
_ORDER: dict[str, Any] = {"limits": (-1.0, 1.0), "neutral": 0.0, "neutral_title": "no relation"}
_SEEDS = "seeds"


class LearningOrder(Relation):
    """When items are learned and forgotten (Toneva et al. 2019), and whether seeds and people agree on the order.

    Revisions are all that is seen of training: what happens between two of them is missed.
    """

    name = "learning_order"
    terms = KindTerms(
        title="Learning of single items",
        rank=210,
        terms={
            "learned": Term(
                title="learned so far",
                meaning="Share of items that this revision or an earlier one answered correctly.",
                **_SHARE,
            ),
            "stably_learned": Term(
                title="learned for good",
                meaning="Share of items that this revision and all later ones answer correctly.",
                **_SHARE,
            ),
            "forgotten": Term(
                title="forgotten since the previous revision",
                meaning="Share of items that the previous revision answered correctly and this one does not.",
                **_SHARE,
            ),
            "never_learned": Term(
                title="never learned", meaning="Share of items that no revision answers correctly.", **_SHARE
            ),
            "unforgettable": Term(
                title="learned and never forgotten",
                meaning="Share of items that stay correct from the first revision that answers them correctly.",
                **_SHARE,
            ),
            "forgetting_events": Term(
                title="forgetting events",
                meaning="How often a correct answer becomes a wrong one at the next revision, per item.",
            ),
            "median_first_learned": Term(
                title="half of the items are learned",
                meaning="Number of the first revision, from 1, by which half of the items were answered correctly.",
                unit="revisions",
            ),
            "order_of_people": Term(
                title="order of learning against people",
                meaning="Spearman's correlation, over items, between the share of revisions that are right and the "
                "share of people who are right.",
                **_ORDER,
            ),
            "order_of_people_corrected": Term(
                title="order of learning against people, corrected",
                meaning="The same, divided by the square root of the reliability of people's answers.",
                neutral=0.0,
                neutral_title="no relation",
            ),
            "order_of_seeds": Term(
                title="order of learning against other seeds",
                meaning="Spearman's correlation, over items, between the shares of revisions that are right in two "
                "runs, averaged over all pairs of seeds.",
                **_ORDER,
            ),
            "bimodality_ratio": Term(
                title="do all seeds learn the same items?",
                meaning="Variance over items of the share of seeds that are right, relative to the largest possible "
                "one: 1 for equal seeds.",
                **_SHARE,
            ),
            "all_right": Term(
                title="right in all seeds",
                meaning="Share of items that all seeds answer correctly.",
                **_SHARE,
            ),
            "all_wrong": Term(
                title="wrong in all seeds", meaning="Share of items that no seed answers correctly.", **_SHARE
            ),
        },
        references=(
            Reference(role="chance", title="random learner of the same accuracies", joins=NUMBER_JOINS),
        ),
    )
    reads = ANSWERED

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterator[Number]:
        """What is learned and forgotten by each revision, and in all."""
        names = [one.cell.revision for one in run]
        people, answers = run[0].people, [one.answers for one in run]
        for key in _shared_keys(answers):
            table = stack([one[key] for one in answers])
            yield from _of_run(key, table, names)
            yield from _against_people(key, table, people, common)

    @staticmethod
    def over_seeds(runs: Sequence[Sequence[Seen]], common: Common) -> Iterator[Number]:
        """Do all seeds learn the same items, in the same order?"""
        names = [one.cell.revision for one in runs[0]]
        answers = [[one.answers for one in run] for run in runs]
        for key in _shared_keys([one for run in answers for one in run]):
            table = stack_runs([[one[key] for one in run] for run in answers])
            yield from _of_seeds(key, table, names)
            yield _order_of_seeds(key, table.right.mean(axis=1), common)


def _shared_keys(answers: Sequence[KeyedAnswers]) -> list[NumberKey]:
    return [key for key in answers[0] if all(key in one for one in answers[1:])]


def _of_run(key: NumberKey, table: AnswerTable, names: Sequence[str]) -> Iterator[Number]:
    result, n = learning_order(table.right[None], n_resamples=0), len(table.item)
    first, stable, events = (
        np.array(result[name][0]) for name in ("first_learned", "stably_learned", "forgetting_events")
    )
    accuracy = table.right.mean(axis=1)
    for at, name in enumerate(names):
        place: dict[str, Any] = {"at": name, "n": n}
        yield _share(key, "learned", (first > 0) & (first <= at + 1), table, **place)
        yield _share(key, "stably_learned", (stable > 0) & (stable <= at + 1), table, **place)
        if at:
            yield _share(key, "forgotten", table.right[at - 1] & ~table.right[at], table, **place)
            expected = accuracy[at - 1] * (1 - accuracy[at])
            yield related(key, "forgotten", expected, role="chance", **place)
    yield _share(key, "never_learned", first == 0, table, n=n)
    yield _share(key, "unforgettable", (first > 0) & (events == 0), table, n=n)
    yield _share(key, "forgetting_events", events, table, n=n)
    for metric, name in (("forgetting_events", "forgetting"), ("never_learned",) * 2, ("unforgettable",) * 2):
        yield related(key, metric, result[f"{name}_expected"][0] / n, role="chance", n=n)
    note = result["causes"].get("median_first_learned", "")
    yield related(key, "median_first_learned", result["median_first_learned"][0], n=n, note=note)


def _share(key: NumberKey, metric: str, values: NDArray[Any], table: AnswerTable, **columns: Any) -> Number:
    return related(key, metric, values.mean(), influence=mean_by_item(values, table.item), **columns)


def _against_people(
    key: NumberKey, table: AnswerTable, people: Sequence[Seen], common: Common
) -> Iterator[Number]:
    answered = [one.answers[key] for one in people if key in one.answers]
    if len(answered) < 2:
        return
    right = right_of(answered, table.item)
    seen = ~np.isnan(right).all(axis=0)
    reliability = split_half_reliability(right[:, seen])
    given = {
        "confidence_level": common.confidence_level,
        "reliability": reliability if reliability > 0 else 1.0,
    }
    result = rank_agreement(table.right.mean(axis=0)[seen], np.nanmean(right[:, seen], axis=0), **given)
    low, high = result["spearman_ci"]
    note = result["causes"].get("spearman", "")
    ends = {"ci_low": low, "ci_high": high} if common.n_resamples else {}
    place: dict[str, Any] = {"reference": "people", "n": result["n"], "note": note}
    yield related(key, "order_of_people", result["spearman"], **place, **ends)
    corrected = result["corrected"] if reliability > 0 else np.nan
    note = note or ("" if reliability > 0 else "people's answers are not reliable")
    yield related(key, "order_of_people_corrected", corrected, **place | {"note": note})


def _of_seeds(key: NumberKey, table: AnswerTable, names: Sequence[str]) -> Iterator[Number]:
    result, n = learning_order(table.right, n_resamples=0), len(table.item)
    for at, name in enumerate(names):
        shares = table.right[:, at].mean(axis=0)
        place: dict[str, Any] = {"at": name, "reference": _SEEDS, "n": n}
        yield _share(key, "all_right", shares == 1, table, **place)
        yield _share(key, "all_wrong", shares == 0, table, **place)
        ratio = result["bimodality_ratio"][at]
        note = "" if ratio == ratio else "all seeds are right, or wrong, on all items"
        known = None if note else by_item(_of_bimodality(shares), table.item)
        yield related(key, "bimodality_ratio", ratio, influence=known, note=note, **place)
        for metric in ("all_right", "all_wrong", "bimodality_ratio"):
            expected = result[f"{metric}_expected"][at]
            cause = "" if expected == expected else note
            yield related(key, metric, expected, role="chance", note=cause, **place)


def _of_bimodality(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each item contributes to Var(q)/(p (1 - p)) for shares q with mean p, in the first order."""
    p, deviations = shares.mean(), shares - shares.mean()
    variance, largest = np.square(deviations).mean(), p * (1 - p)
    slope = variance * (1 - 2 * p) / largest
    return np.asarray((np.square(deviations) - variance - slope * deviations) / largest / len(shares))


def _order_of_seeds(key: NumberKey, accessibility: NDArray[np.float64], common: Common) -> Number:
    """The mean over pairs of seeds, whose interval is that of the seeds."""
    pairs = list(combinations(range(len(accessibility)), 2))
    columns: dict[str, Any] = {"reference": _SEEDS, "n": accessibility.shape[1]}
    if any(np.ptp(one) == 0 for one in accessibility):
        return related(key, "order_of_seeds", np.nan, note="a run learns all items alike", **columns)
    between = np.asarray(np.corrcoef(rankdata(accessibility, axis=1)))
    result = mean_over_pairs(
        [between[pair] for pair in pairs], pairs, confidence_level=common.confidence_level
    )
    low, high = result["ci"]
    ends = {"ci_low": low, "ci_high": high} if common.n_resamples and len(pairs) > 1 else {}
    return related(key, "order_of_seeds", result["value"], **columns, **ends)
