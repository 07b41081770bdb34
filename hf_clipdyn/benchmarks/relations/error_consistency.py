"""Do two revisions, two seeds, or a model and a person fail on the same images (Geirhos et al. 2020)?"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.answers import Answers, stack
from hf_clipdyn.benchmarks.base import by_item
from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.relation import ANSWERED, NUMBER_JOINS, Relation, Seen, in_common, related
from hf_clipdyn.benchmarks.shape_scores import OBSERVERS
from hf_clipdyn.metrics.error_consistency import Observer, compare_observers, margin_consistency
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_ALIKE = "both are right, or both are wrong, on all items"
_ONE_SIDED = "one of them is right, or wrong, on all items"
_WITH_INFLUENCE = ("kappa", "kappa_unbiased")
_KAPPAS = (*_WITH_INFLUENCE, "kappa_over_max", "copy_probability")


class ErrorConsistency(Relation):
    """Cohen's kappa of being right, and what it allows to say, between revisions, seeds and people."""

    name = "error_consistency"
    terms = KindTerms(
        title="Error consistency",
        question="Who fails on the same images?",
        rank=200,
        terms={
            "kappa": Term(
                title="error consistency",
                meaning="Cohen's kappa between the correct answers of both. 0 is the agreement that the two accuracies "
                "alone predict. Learners that share nothing but the difficulty of the items are above 0: compare with "
                "other seeds, and with people among themselves.",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="chance",
            ),
            "kappa_unbiased": Term(
                title="error consistency, unbiased",
                meaning="n kappa / (n - 1 + kappa) for n items (Klein et al. 2025).",
                mirrors="kappa",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="chance",
            ),
            "kappa_over_max": Term(
                title="error consistency, of what the accuracies allow",
                meaning="Kappa divided by the largest value that the accuracies allow; if it is negative, by the "
                "absolute smallest.",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="chance",
            ),
            "copy_probability": Term(
                title="copy probability",
                meaning="Share of items on which one would have to copy the other's answer, if it answered the rest "
                "independently.",
                mirrors="kappa",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="independent",
            ),
            "margin_consistency": Term(
                title="consistency of the margins",
                meaning="Pearson's correlation, over items, of how far the right class is ahead of the best wrong one "
                "(Alvarez and Konkle 2024); for trials that have all scores.",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="no relation",
            ),
            "same_wrong_answer": Term(
                title="same wrong answer",
                meaning="Share of equal answers among the items that are wrong for both.",
                limits=(0.0, 1.0),
            ),
        },
        references=(
            Reference(role="lower_bound", title="lowest at these accuracies", joins=NUMBER_JOINS),
            Reference(role="upper_bound", title="highest at these accuracies", joins=NUMBER_JOINS),
            Reference(role="chance", title="independent errors", joins=NUMBER_JOINS),
            Reference(
                role="human",
                name=OBSERVERS,
                title="people among themselves",
                joins=("metric", "subset", "condition", "level"),
            ),
        ),
    )
    reads = ANSWERED
    pairs = ("previous", "last", "seeds", "people")
    between_arms = (*_WITH_INFLUENCE, "margin_consistency")

    @staticmethod
    def relate(a: Seen, b: Seen, common: Common) -> Iterator[Number]:
        """Kappa in four forms with its bounds, and the same wrong answer with its chance, for each number."""
        del common
        for key, first, second in in_common(a, b):
            if first.margin is not None and second.margin is not None:
                yield _of_margins(key, first, second)
        for keys, items, *observers in _in_common(a.derived(_answered), b.derived(_answered)):
            yield from _numbers(keys, items, compare_observers(*observers))


@dataclass(frozen=True)
class _Group:
    """The answers of one revision, or one person, to the same items."""

    keys: tuple[NumberKey, ...]
    answers: tuple[Answers, ...]

    @cached_property
    def items(self) -> pd.Index:
        index: pd.Index = pd.Index(self.answers[0].item, name="item")
        return index

    @cached_property
    def observer(self) -> Observer:
        decisions, labels = ([getattr(one, name) for one in self.answers] for name in ("decision", "label"))
        return Observer(np.stack(decisions), np.stack(labels))

    def is_like(self, other: "_Group") -> bool:
        """Whether both were asked the same; equal arrays are the same one if they come from saved trials."""
        return self.keys == other.keys and all(
            one.item is of_other.item and one.label is of_other.label
            for one, of_other in zip(self.answers, other.answers, strict=True)
        )


@dataclass(frozen=True)
class _Answered:
    groups: tuple[_Group, ...]

    @property
    def nbytes(self) -> int:
        """Of decisions as numbers, of labels as numbers, and of what is right."""
        return sum(17 * len(one.keys) * len(one.answers[0].item) for one in self.groups)


def _answered(seen: Seen) -> _Answered:
    alike: dict[int, list[tuple[NumberKey, Answers]]] = defaultdict(list)
    for key, one in seen.answers.items():
        alike[id(one.item)].append((key, one))
    return _Answered(tuple(_Group(*zip(*of, strict=True)) for of in alike.values()))


def _in_common(
    first: _Answered, second: _Answered
) -> Iterator[tuple[Sequence[NumberKey], pd.Index, Observer, Observer]]:
    """The answers of both to the same items: all keys of a group at once if both were asked the same."""
    others = {
        key: (group, one)
        for group in second.groups
        for key, one in zip(group.keys, group.answers, strict=True)
    }
    for group in first.groups:
        other = others.get(group.keys[0], (None,))[0]
        if other is not None and group.is_like(other):
            yield group.keys, group.items, group.observer, other.observer
            continue
        for key, one in zip(group.keys, group.answers, strict=True):
            if key in others:
                table = stack([one, others[key][1]])
                one_side, other_side = (
                    Observer(decided[None], table.label[None]) for decided in table.decision
                )
                yield [key], table.index, one_side, other_side


def _of_margins(key: NumberKey, first: Answers, second: Answers) -> Number:
    items, *places = np.intersect1d(first.item, second.item, assume_unique=True, return_indices=True)
    margins = [
        one.margin[at] for one, at in zip((first, second), places, strict=True) if one.margin is not None
    ]
    result = margin_consistency(*margins)
    note = result["causes"].get("margin_consistency", "")
    influence = None if note else by_item(result["influences"], items)
    return related(
        key, "margin_consistency", result["margin_consistency"], n=len(items), influence=influence, note=note
    )


def _numbers(keys: Sequence[NumberKey], items: pd.Index, result: Mapping[str, Any]) -> Iterator[Number]:
    """The numbers of several keys whose answers are to the same items."""
    n = len(items)
    for at, key in enumerate(keys):
        undefined = np.isnan(result["kappa"][at])
        note = _ALIKE if undefined else _ONE_SIDED
        # One for both: many pairs are in memory at a time.
        of_kappa = None if undefined else by_item(result["influences"][at], items)
        for metric in _KAPPAS:
            value = float(result[metric][at])
            influence = of_kappa if metric in _WITH_INFLUENCE and not np.isnan(value) else None
            yield related(key, metric, value, n=n, influence=influence, note=note if np.isnan(value) else "")
        for role, end in (("lower_bound", "min"), ("upper_bound", "max")):
            value = float(result[f"kappa_{end}"][at])
            yield related(key, "kappa", value, role=role, n=n, note=note if np.isnan(value) else "")
        n_wrong = int(result["n_wrong"][at])
        for role, name in (("value", "same_wrong_answer"), ("chance", "same_wrong_answer_chance")):
            cause = "" if n_wrong else "no image is wrong for both observers"
            yield related(key, "same_wrong_answer", result[name][at], role=role, n=n_wrong, note=cause)
