"""Which items does a run learn when, for good, in the order of other seeds and of human observers?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.answers import Answers, AnswerTable, right_of, stack, stack_runs
from hf_clipdyn.benchmarks.kind import digest
from hf_clipdyn.benchmarks.relation import (
    ANSWERED,
    NUMBER_JOINS,
    KeyedAnswers,
    Relation,
    Scored,
    Seen,
    related,
)
from hf_clipdyn.metrics.learning_order import learning_order, order_of_runs, rank_agreement
from hf_clipdyn.metrics.scores import Scale, mean
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_GROUPS = 20
_SHARE: dict[str, Any] = {"limits": (0.0, 1.0)}
_ORDER: dict[str, Any] = {"limits": (-1.0, 1.0), "neutral": 0.0, "neutral_title": "no relation"}


class LearningOrder(Relation):
    """When items are learned and forgotten (Toneva et al. 2019), and whether seeds and human observers agree on the
    order.

    Revisions are all that is seen of training: what happens between two of them is missed.
    """

    name = "learning_order"
    terms = KindTerms(
        title="Learning of single items",
        question="Which images are learned when?",
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
                title="order of learning against human observers",
                meaning="Spearman's correlation, over items, between the share of revisions that are right and the "
                "share of observers who are right.",
                **_ORDER,
            ),
            "order_of_people_within": Term(
                title="order of learning against human observers, within classes",
                meaning="Spearman's correlation, over items, between the share of revisions that are right and the "
                "share of observers who are right, as the mean over classes.",
                **_ORDER,
            ),
            "order_of_seeds": Term(
                title="order of learning against other seeds",
                meaning="Spearman's correlation, over items, between the shares of revisions that are right in two "
                "runs, averaged over all pairs of seeds.",
                **_ORDER,
            ),
        },
        references=(
            Reference(role="chance", title="random learner of the same accuracies", joins=NUMBER_JOINS),
            Reference(role="value", name="seeds", title="all seeds"),
        ),
    )
    reads = ANSWERED
    score_version = 5

    @classmethod
    def trace(cls, run: Sequence[Seen], seed: int) -> Iterator[Scored]:
        """What is learned and forgotten by each revision, and in all."""
        del seed
        revisions = [revision.cell.revision for revision in run]
        answers = [revision.answers for revision in run]
        for key in _shared_keys(answers):
            table = stack([one[key] for one in answers])
            yield from _of_run(key, table, revisions)
            people = [person.answers[key] for person in run[0].people if key in person.answers]
            yield from _against_people(key, table, answers[0][key], people)

    @classmethod
    def over_seeds(cls, runs: Sequence[Sequence[Seen]], seed: int) -> Iterator[Scored]:
        """Do all seeds learn the items in the same order?"""
        del seed
        answers = [[revision.answers for revision in run] for run in runs]
        for key in _shared_keys([one for run in answers for one in run]):
            yield _order_of_seeds(key, stack_runs([[one[key] for one in run] for run in answers]))


def _shared_keys(answers: Sequence[KeyedAnswers]) -> list[NumberKey]:
    return [key for key in answers[0] if all(key in one for one in answers[1:])]


def _of_run(key: NumberKey, table: AnswerTable, revisions: Sequence[str]) -> Iterator[Scored]:
    result, n = learning_order(table.right[None]), len(table.item)
    facts = result.facts
    first, stable = (np.array(facts[name][0]) for name in ("first_learned", "stably_learned"))
    accuracy = table.right.mean(axis=1)
    for at, revision in enumerate(revisions):
        hits = {
            "learned": (first > 0) & (first <= at + 1),
            "stably_learned": (stable > 0) & (stable <= at + 1),
        }
        if at:
            hits["forgotten"] = table.right[at - 1] & ~table.right[at]
            expected = accuracy[at - 1] * (1 - accuracy[at])
            yield related(key, "forgotten", expected, role="chance", at=revision, n=n)
        for metric, hit in hits.items():
            yield related(key, metric, mean(hit, "count"), table.index, at=revision)
    for metric, score in result.items():
        scale: Scale = "linear" if metric == "forgetting_events" else "count"
        yield related(key, metric, replace(score, scale=scale), table.index)
        yield related(key, metric, facts[f"{metric}_expected"][0], role="chance", n=n)
    median = facts["median_first_learned"][0]
    note = "" if median == median else "a run never learns half of the items"
    yield related(key, "median_first_learned", median, n=n, note=note)


def _against_people(
    key: NumberKey, table: AnswerTable, first: Answers, people: Sequence[Answers]
) -> Iterator[Scored]:
    """The order of learning against the share of observers who are right: named, or counts of their answers."""
    if first.counts is not None:
        counts = first.counts[np.searchsorted(first.item, table.item)]
        shares = counts[np.arange(len(counts)), table.label] / counts.sum(axis=1)
    elif len(people) > 1:
        right = right_of(people, table.item)
        seen = ~np.isnan(right)
        with np.errstate(invalid="ignore"):
            shares = np.where(seen, right, 0).sum(axis=0) / seen.sum(axis=0)
    else:
        return
    known = ~np.isnan(shares)
    order, items = table.right.mean(axis=0)[known], table.item[known]
    for metric, groups in (("order_of_people", None), ("order_of_people_within", table.label[known])):
        score = rank_agreement(order, shares[known], groups=groups)["spearman"]
        yield related(key, metric, score, _blocks(items, score.influence), reference="people")


def _blocks(items: NDArray[Any], influence: NDArray[np.float64] | None) -> pd.Index | None:
    """Names of the blocks of these items that `rank_agreement` leaves out."""
    if influence is None:
        return None
    name = digest(items.tolist())[:16]
    return pd.Index([f"{name} {at}" for at in range(len(influence))], name="block")


def _order_of_seeds(key: NumberKey, table: AnswerTable) -> Scored:
    """The mean over pairs of seeds, with an interval crossed over seeds and groups of items that are left out."""
    result = order_of_runs(table.right, _groups_of(table.cluster))
    columns: dict[str, Any] = {"reference": "seeds", "n": len(table.item)}
    if result is None:
        return related(key, "order_of_seeds", np.nan, note="a run learns all items alike", **columns)
    ends = dict(zip(("ci_low", "ci_high"), result["ci"], strict=True)) if len(table.right) > 2 else {}
    return related(key, "order_of_seeds", result["value"], **columns, **ends)


def _groups_of(clusters: NDArray[Any]) -> NDArray[np.int64]:
    """At most 20 groups of the clusters (items, ways) of the way with the fewest."""
    codes = [np.unique(one, return_inverse=True)[1].reshape(-1) for one in clusters.astype(str).T]
    fewest = min(codes, key=lambda one: int(one.max()))
    shuffled = np.random.default_rng(0).permutation(int(fewest.max()) + 1)
    return np.asarray(shuffled[fewest] % _GROUPS, np.int64)
