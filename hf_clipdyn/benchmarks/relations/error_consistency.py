"""Do two revisions, two seeds, or a model and a person fail on the same images (Geirhos et al. 2020)?"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from hf_clipdyn.benchmarks.answers import Answers, AnswerTable, stack
from hf_clipdyn.benchmarks.base import by_item
from hf_clipdyn.benchmarks.relation import ANSWERED, NUMBER_JOINS, Relation, Seen, in_common, related
from hf_clipdyn.benchmarks.settings import Common
from hf_clipdyn.benchmarks.shape_scores import OBSERVERS
from hf_clipdyn.metrics.error_consistency import (
    kappa_forms,
    margin_consistency,
    pair_statistics,
    same_wrong_answer,
)
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

__all__ = ["ErrorConsistency"]

_ALIKE = "both are right, or both are wrong, on all items"
_ONE_SIDED = "one of them is right, or wrong, on all items"


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
    between_arms = True

    @staticmethod
    def relate(a: Seen, b: Seen, common: Common) -> Iterator[Number]:
        """Kappa in four forms with its bounds, and the same wrong answer with its chance, for each number."""
        del common
        alike: dict[tuple[int, int], list[tuple[NumberKey, Answers, Answers]]] = defaultdict(list)
        for key, first, second in in_common(a, b):
            alike[id(first.item), id(second.item)].append((key, first, second))
            if first.margin is not None and second.margin is not None:
                yield _of_margins(key, first, second)
        for pairs in alike.values():
            yield from _numbers([key for key, _, _ in pairs], [stack(both) for _, *both in pairs])


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


def _numbers(keys: list[NumberKey], tables: list[AnswerTable]) -> Iterator[Number]:
    """The numbers of several keys whose answers are to the same items."""
    first, second = (
        np.stack([one.right[side] for one in tables], axis=1).astype(np.float64) for side in (0, 1)
    )
    forms, influences = kappa_forms(first, second), pair_statistics(first, second)[1][0]
    n = len(first)
    for at, (key, table) in enumerate(zip(keys, tables, strict=True)):
        values = {name: float(column[at]) for name, column in forms.items()}
        low, high = (values.pop(f"kappa_{end}") for end in ("min", "max"))
        undefined = np.isnan(values["kappa"])
        note = _ALIKE if undefined else _ONE_SIDED
        of_kappa = by_item(influences[:, at], table.item)  # one for both: many pairs are in memory at a time
        for metric, value in values.items():
            known = metric in ("kappa", "kappa_unbiased") and not np.isnan(value)
            influence = of_kappa if known else None
            yield related(key, metric, value, n=n, influence=influence, note=note if np.isnan(value) else "")
        for role, value in (("lower_bound", low), ("upper_bound", high)):
            yield related(key, "kappa", value, role=role, n=n, note=note if np.isnan(value) else "")
        result = same_wrong_answer(table.right[0], table.right[1], table.decision, table.label)
        for name, role in (("same_wrong_answer", "value"), ("same_wrong_answer_chance", "chance")):
            cause = result["causes"].get(name, "")
            yield related(key, "same_wrong_answer", result[name], role=role, n=result["n_wrong"], note=cause)
