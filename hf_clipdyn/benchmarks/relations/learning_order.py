"""Which items does a run learn when, for good, in the order of other seeds and of people?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from hf_clipdyn.benchmarks.answers import Answers, AnswerTable, codes_of, right_of, stack, stack_runs
from hf_clipdyn.benchmarks.base import by_item, digest, mean_by_item
from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.relation import ANSWERED, NUMBER_JOINS, KeyedAnswers, Relation, Seen, related
from hf_clipdyn.metrics.influence import Influence, Units, left_out_influence, mean_over_pairs
from hf_clipdyn.metrics.learning_order import (
    answer_agreement,
    cartography,
    learning_order,
    rank_agreement,
    split_half_reliability,
    trivial_and_impossible,
)
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_SHARE: dict[str, Any] = {"limits": (0.0, 1.0)}
_OBSERVERS, _SPLITS, _GROUPS = 3, 100, 20
_ORDER: dict[str, Any] = {"limits": (-1.0, 1.0), "neutral": 0.0, "neutral_title": "no relation"}
_SEEDS = "seeds"
_OF_PEOPLE = {
    "order_of_people": ("people", "the share of people who are right"),
    "order_of_people_within": (
        "people, within classes",
        "the share of people who are right, as the mean over classes",
    ),
    "order_of_agreement": ("people's agreement", "the share of people's most frequent answer"),
    "order_of_entropy": (
        "people's entropy",
        "the entropy of people's answers; negative if easy items come first",
    ),
}
_GIVEN_PIXELS = "order_of_people_given_pixels"


class LearningOrder(Relation):
    """When items are learned and forgotten (Toneva et al. 2019), and whether seeds and people agree on the order.

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
            "confidence": Term(
                title="confidence in the label",
                meaning="Mean over revisions of the label's probability, at the logit scale of the last revision, "
                "averaged over items (Swayamdipta et al. 2020); for trials that have all scores.",
                **_SHARE,
            ),
            "variability": Term(
                title="variability of the confidence",
                meaning="Standard deviation over revisions of the label's probability, at the logit scale of the last "
                "revision, averaged over items: large if the model changes its mind.",
                limits=(0.0, 0.5),
            ),
            "median_first_learned": Term(
                title="half of the items are learned",
                meaning="Number of the first revision, from 1, by which half of the items were answered correctly.",
                unit="revisions",
            ),
            **{
                name: term
                for metric, (title, whose) in _OF_PEOPLE.items()
                for name, term in (
                    (
                        metric,
                        Term(
                            title=f"order of learning against {title}",
                            meaning="Spearman's correlation, over items, between the share of revisions that are right "
                            f"and {whose}.",
                            **_ORDER,
                        ),
                    ),
                    (
                        f"{metric}_corrected",
                        Term(
                            title=f"order of learning against {title}, corrected",
                            meaning="The same, divided by the square root of the reliability of people's answers.",
                            neutral=0.0,
                            neutral_title="no relation",
                        ),
                    ),
                )
            },
            _GIVEN_PIXELS: Term(
                title="order of learning against people, within classes, given a pixel model",
                meaning="The correlation within classes that remains if it is known on which items a linear model on "
                "pixels is right (partial rank correlation): 0 if people and the model share only what pixels explain.",
                **_ORDER,
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
            "trivial": Term(
                title="trivial items",
                meaning="Share of items that all seeds but at most one answer correctly (Meding et al. 2022). It "
                "depends on the number of seeds and their accuracies: compare with independent seeds.",
                **_SHARE,
            ),
            "impossible": Term(
                title="impossible items",
                meaning="Share of items that no seed, or only one, answers correctly.",
                **_SHARE,
            ),
        },
        references=(
            Reference(role="chance", title="random learner of the same accuracies", joins=NUMBER_JOINS),
            Reference(role="value", name=_SEEDS, title="all seeds"),
        ),
    )
    reads = ANSWERED
    score_version = 4

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterator[Number]:
        """What is learned and forgotten by each revision, and in all."""
        names = [one.cell.revision for one in run]
        people, answers = run[0].people, [one.answers for one in run]
        for key in _shared_keys(answers):
            table = stack([one[key] for one in answers])
            yield from _of_run(key, table, names)
            yield from _map_of_items(key, table, [one[key] for one in answers])
            yield from _against_people(key, table, answers[0][key], people, common)
            yield from _given_pixels(key, table, [one[key] for one in answers], common)

    @staticmethod
    def over_seeds(runs: Sequence[Sequence[Seen]], common: Common) -> Iterator[Number]:
        """Do all seeds learn the same items, in the same order?"""
        names = [one.cell.revision for one in runs[0]]
        answers = [[one.answers for one in run] for run in runs]
        for key in _shared_keys([one for run in answers for one in run]):
            table = stack_runs([[one[key] for one in run] for run in answers])
            yield from _of_seeds(key, table, names)
            yield _order_of_seeds(key, table, common)


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


def _map_of_items(key: NumberKey, table: AnswerTable, answers: Sequence[Answers]) -> Iterator[Number]:
    """Means over the items of their place on the map of Swayamdipta et al. (2020), where all scores are known."""
    scale = answers[-1].logit_scale
    known = [(one, one.probability(scale)) for one in answers]
    placed = [values[np.searchsorted(one.item, table.item)] for one, values in known if values is not None]
    if len(placed) == len(answers):
        result = cartography(placed, table.right)
        for metric in ("confidence", "variability"):
            yield _share(key, metric, result[metric], table, n=len(table.item))


def _share(key: NumberKey, metric: str, values: NDArray[Any], table: AnswerTable, **columns: Any) -> Number:
    return related(key, metric, values.mean(), influence=mean_by_item(values, table.index), **columns)


@dataclass(frozen=True)
class _People:
    """Of each item the share of people who are right, how much they agree, and how reliable both are."""

    values: Mapping[str, NDArray[np.float64]]
    reliability: Mapping[str, float]

    @classmethod
    def who_answered(cls, answers: Sequence[Answers], item: NDArray[Any]) -> "_People":
        """From the answers of each person; NaN for an item that nobody saw."""
        codes, right = codes_of(answers, item), right_of(answers, item)
        summaries = {
            "agreement": partial(_agreement, "agreement"),
            "entropy": partial(_agreement, "entropy_corrected"),
        }
        return cls(
            {"people": _mean_of_people(right)} | {name: of(codes) for name, of in summaries.items()},
            {"people": split_half_reliability(right)}
            | {
                name: split_half_reliability(codes, summary=of, n_splits=_SPLITS)
                for name, of in summaries.items()
            },
        )

    @classmethod
    def counted(cls, counts: NDArray[np.int64], label: NDArray[np.int64]) -> "_People":
        """From how many gave each answer, whoever they were: halves are drawn from the answers to each item."""
        rng = np.random.default_rng(0)

        def values(table: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
            result = answer_agreement(table)
            shares = {"agreement": result["agreement"], "entropy": result["entropy_corrected"]}
            return {"people": _share_of_label(table, label)} | shares

        half = np.stack([rng.multivariate_hypergeometric(one, one.sum() // 2) for one in counts])
        first, second = values(half), values(counts - half)
        with np.errstate(invalid="ignore"):
            r = {name: float(np.corrcoef(first[name], second[name])[0, 1]) for name in first}
        return cls(values(counts), {name: 2 * one / (1 + one) for name, one in r.items()})


def _share_of_label(counts: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the answers (items, answers) that are the label, (items,)."""
    return np.asarray(counts[np.arange(len(counts)), label] / counts.sum(axis=1))


def _mean_of_people(right: NDArray[np.float64]) -> NDArray[np.float64]:
    seen = ~np.isnan(right)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(seen, right, 0).sum(axis=0) / seen.sum(axis=0))


def _agreement(name: str, codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the numbered answers (people, items), NaN where a person gave none."""
    options = np.unique(codes[~np.isnan(codes)])
    return answer_agreement((codes[:, :, None] == options).sum(axis=0))[name]


def _against_people(
    key: NumberKey, table: AnswerTable, first: Answers, people: Sequence[Seen], common: Common
) -> Iterator[Number]:
    answered = [one.answers[key] for one in people if key in one.answers]
    if first.counts is not None:
        at = np.searchsorted(first.item, table.item)
        known = _People.counted(first.counts[at], table.label)
    elif len(answered) > 1:
        known = _People.who_answered(answered, table.item)
    else:
        return
    order = table.right.mean(axis=0)
    for metric in _OF_PEOPLE:
        name = metric.removeprefix("order_of_").removesuffix("_within")
        values, reliability = known.values[name], known.reliability[name]
        seen, reliable = ~np.isnan(values), reliability > 0
        result = rank_agreement(
            order[seen],
            values[seen],
            groups=table.label[seen] if metric.endswith("_within") else None,
            reliability=reliability if reliable else 1.0,
            confidence_level=common.confidence_level,
        )
        low, high = result["spearman_ci"]
        note = result["causes"].get("spearman", "")
        ends = {"ci_low": low, "ci_high": high} if common.n_resamples else {}
        place: dict[str, Any] = {"reference": "people", "n": result["n"]}
        known_error = _by_block(table.item[seen], result["influences"])
        yield related(key, metric, result["spearman"], note=note, influence=known_error, **place, **ends)
        if reliable:
            place["influence"] = known_error / np.sqrt(reliability)
        note = note or ("" if reliable else "people's answers are not reliable")
        yield related(
            key, f"{metric}_corrected", result["corrected"] if reliable else np.nan, note=note, **place
        )


def _by_block(items: NDArray[Any], influences: NDArray[np.float64]) -> "pd.Series[float]":
    """What the blocks of these items that `rank_agreement` leaves out contribute."""
    name = digest(items.tolist())[:16]
    return pd.Series(influences, pd.Index([f"{name} {at}" for at in range(len(influences))], name="block"))


def _given_pixels(
    key: NumberKey, table: AnswerTable, answers: Sequence[Answers], common: Common
) -> Iterator[Number]:
    known = [(one, one.by_pixels, one.counts) for one in answers]
    asked = [
        (one.item, pixels, _share_of_label(counts, one.label))
        for one, pixels, counts in known
        if pixels is not None and counts is not None
    ]
    if not asked:
        return
    # The pixel model and people are the same at all revisions: those whose trials have the most answers tell both.
    item, pixels, people = max(asked, key=lambda one: int((one[1] >= 0).sum()))
    at = np.searchsorted(item, table.item)
    seen = pixels[at] >= 0
    place: dict[str, Any] = {"reference": "people", "n": int(seen.sum())}
    if not seen.any():
        note = "the trials have no answers of a pixel model: evaluate again with --force"
        yield related(key, _GIVEN_PIXELS, np.nan, note=note, **place)
        return
    result = rank_agreement(
        table.right.mean(axis=0)[seen],
        people[at][seen],
        groups=table.label[seen],
        given=(pixels[at] == table.label)[seen],
        confidence_level=common.confidence_level,
    )
    low, high = result["spearman_ci"]
    ends = {"ci_low": low, "ci_high": high} if common.n_resamples else {}
    known_error = _by_block(table.item[seen], result["influences"])
    note = result["causes"].get("spearman", "")
    yield related(key, _GIVEN_PIXELS, result["spearman"], note=note, influence=known_error, **place, **ends)


def _of_seeds(key: NumberKey, table: AnswerTable, names: Sequence[str]) -> Iterator[Number]:
    result, n = learning_order(table.right, n_resamples=0), len(table.item)
    for at, name in enumerate(names):
        shares = table.right[:, at].mean(axis=0)
        place: dict[str, Any] = {"at": name, "reference": _SEEDS, "n": n}
        yield _share(key, "all_right", shares == 1, table, **place)
        yield _share(key, "all_wrong", shares == 0, table, **place)
        yield from _of_ends(key, table.right[:, at], table.index, **place)
        ratio = result["bimodality_ratio"][at]
        note = "" if ratio == ratio else "all seeds are right, or wrong, on all items"
        known = None if note else by_item(_of_bimodality(shares), table.index)
        yield related(key, "bimodality_ratio", ratio, influence=known, note=note, **place)
        for metric in ("all_right", "all_wrong", "bimodality_ratio"):
            expected = result[f"{metric}_expected"][at]
            cause = "" if expected == expected else note
            yield related(key, metric, expected, role="chance", note=cause, **place)


def _of_ends(key: NumberKey, right: NDArray[np.bool_], items: pd.Index, **place: Any) -> Iterator[Number]:
    """What all observers but at most one have right, or wrong."""
    if len(right) < _OBSERVERS:
        return
    result, numbers = trivial_and_impossible(right), right.sum(axis=0)
    for metric, hit in (("trivial", numbers >= len(right) - 1), ("impossible", numbers <= 1)):
        yield related(key, metric, result[metric], influence=mean_by_item(hit, items), **place)
        yield related(key, metric, result[f"{metric}_null"], role="chance", **place)


def _of_bimodality(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each item contributes to Var(q)/(p (1 - p)) for shares q with mean p, in the first order."""
    p, deviations = shares.mean(), shares - shares.mean()
    variance, largest = np.square(deviations).mean(), p * (1 - p)
    slope = variance * (1 - 2 * p) / largest
    return np.asarray((np.square(deviations) - variance - slope * deviations) / largest / len(shares))


def _order_of_seeds(key: NumberKey, table: AnswerTable, common: Common) -> Number:
    """The mean over pairs of seeds, with an interval crossed over seeds and groups of items that are left out."""
    accessibility = table.right.mean(axis=1)
    pairs = list(combinations(range(len(accessibility)), 2))
    columns: dict[str, Any] = {"reference": _SEEDS, "n": accessibility.shape[1]}
    if any(np.ptp(one) == 0 for one in accessibility):
        return related(key, "order_of_seeds", np.nan, note="a run learns all items alike", **columns)

    def correlations(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        between = np.corrcoef(rankdata(accessibility[:, kept], axis=1))
        return np.array([between[pair] for pair in pairs])

    groups = _groups_of(table.cluster)
    n_groups = int(groups.max()) + 1
    with np.errstate(invalid="ignore"):
        left_out = np.array([correlations(groups != one).mean() for one in range(n_groups)])
    units = Units("groups of items", np.arange(n_groups)[:, None], n_groups)
    known = Influence.on(units, left_out_influence(left_out))
    values = correlations(groups >= 0)
    result = mean_over_pairs(values, pairs, known, confidence_level=common.confidence_level)
    low, high = result["ci"]
    ends = {"ci_low": low, "ci_high": high} if common.n_resamples and len(pairs) > 1 else {}
    return related(key, "order_of_seeds", result["value"], **columns, **ends)


def _groups_of(clusters: NDArray[Any]) -> NDArray[np.int64]:
    """At most 20 groups of the clusters (items, ways) of the way with the fewest."""
    codes = [np.unique(one, return_inverse=True)[1].reshape(-1) for one in clusters.astype(str).T]
    fewest = min(codes, key=lambda one: int(one.max()))
    shuffled = np.random.default_rng(0).permutation(int(fewest.max()) + 1)
    return np.asarray(shuffled[fewest] % _GROUPS, np.int64)
