"""Tables of results with trials, written cell by cell from made-up trials."""

from dataclasses import replace

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.registry import kind_named, vocabulary
from hf_clipdyn.evaluation.score import rows_of, score

COMMON = Common()


def keep(store, one, trials):
    """Score the trials of a cell and store both, as `clipdyn evaluate` does."""
    kind = kind_named(one.kind)
    one = replace(one, observe_version=kind.observe_version, score_version=kind.score_version)
    rows = rows_of(one, kind.terms, score(kind, trials, COMMON), COMMON.confidence_level)
    store.write(one, rows, trials, vocabulary([kind.on(one.dataset)]))


def decisions(right):
    """Zero-shot trials of ten classes: which rows are right."""
    labels = np.arange(len(right)) % 10
    best = np.where(right, labels, (labels + 1) % 10)
    ranking = [[int(first), *[k for k in range(10) if k != first][:4]] for first in best]
    return pd.DataFrame({"item": np.arange(len(right)), "label": labels, "ranking": ranking, "n_classes": 10})


def noise_decisions(right):
    """Noise trials of ten classes: which rows are right, by level."""
    blocks = []
    for sigma, of_level in right.items():
        n = len(of_level)
        labels = np.arange(n) % 10
        block = pd.DataFrame({"item": np.arange(n), "label": labels})
        blocks.append(
            block.assign(
                condition="gaussian" if sigma else "none",
                level=sigma,
                decision=np.where(of_level, labels, (labels + 1) % 10),
                probe_decision=pd.array([None] * n, "Int64"),
                distance=0.1,
                mean_pairwise_distance=1.0,
                n_classes=10,
                rms=sigma,
            )
        )
    return pd.concat(blocks, ignore_index=True)
