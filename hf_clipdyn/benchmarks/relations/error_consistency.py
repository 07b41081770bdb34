"""Do two revisions, two seeds, or a model and a person fail on the same images (Geirhos et al. 2020)?"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.relation import (
    ANSWERED,
    NUMBER_JOINS,
    Relation,
    Scored,
    Seen,
    in_common,
    related,
)
from hf_clipdyn.benchmarks.shape_scores import OBSERVERS
from hf_clipdyn.metrics.error_consistency import error_consistency
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_CHANCE: dict[str, Any] = {"limits": (-1.0, 1.0), "neutral": 0.0, "neutral_title": "chance"}


class ErrorConsistency(Relation):
    """Cohen's kappa of being right, with the range that the accuracies allow."""

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
                "other seeds, and with human observers among themselves.",
                **_CHANCE,
            ),
            "kappa_unbiased": Term(
                title="error consistency, unbiased",
                meaning="n kappa / (n - 1 + kappa) for n items (Klein et al. 2025).",
                mirrors="kappa",
                **_CHANCE,
            ),
        },
        references=(
            Reference(role="lower_bound", title="lowest at these accuracies", joins=NUMBER_JOINS),
            Reference(role="upper_bound", title="highest at these accuracies", joins=NUMBER_JOINS),
            Reference(
                role="human",
                name=OBSERVERS,
                title="human observers among themselves",
                joins=("metric", "subset", "condition", "level"),
            ),
        ),
    )
    reads = ANSWERED
    pairs = ("previous", "last", "seeds", "people")
    between_arms = ("kappa", "kappa_unbiased")
    score_version = 2

    @classmethod
    def relate(cls, a: Seen, b: Seen, seed: int) -> Iterator[Scored]:
        """Kappa and its bounds, for each number whose answers both have."""
        del seed
        index = pd.Index([], name="item")  # many numbers are of the same items
        named = None
        for key, first, second in in_common(a, b):
            items, right = first.item, [first.right, second.right]
            if items is not second.item and not np.array_equal(items, second.item):
                items, *at = np.intersect1d(items, second.item, assume_unique=True, return_indices=True)
                right = [one[rows] for one, rows in zip(right, at, strict=True)]
            if not len(items):
                continue
            if items is not named:
                named, index = items, pd.Index(items, name="item")
            found = error_consistency(*right)
            for metric in ("kappa", "kappa_unbiased"):
                yield related(key, metric, found[metric], index)
            for role, end in (("lower_bound", "kappa_min"), ("upper_bound", "kappa_max")):
                yield related(key, "kappa", found[end], role=role, note=found[end].cause)
