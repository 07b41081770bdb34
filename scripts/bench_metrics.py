"""Metrics with their influences, compared with loops of SciPy and scikit-learn that compute the same values.

python scripts/bench_metrics.py

For an error, the loops leave out the same groups one after the other.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import precision_recall_curve
from timing import in_turn, main, row

from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map

ROWS, GROUPS = 3000, 100
OF_ROW = np.arange(ROWS) % GROUPS
Values = NDArray[np.float64]


def without_each(peer: Callable[[Values, Values], object], x: Values, y: Values) -> list[object]:
    """The peer's values without each of the groups."""
    return [peer(x[kept], y[kept]) for kept in (group != OF_ROW for group in range(GROUPS))]


def correlations(x: Values, y: Values) -> object:
    """SRCC, KRCC and PLCC."""
    return [peer(x, y) for peer in (stats.spearmanr, stats.kendalltau, stats.pearsonr)]


def envelope_area(distances: Values, same: Values) -> float:
    """The area under the precision envelope. A pair is right with the weight of its label, and wrong with the rest."""
    right = np.repeat([True, False], len(distances))
    weights = np.r_[same, 1 - same]
    precision, recall, _ = precision_recall_curve(right, np.r_[-distances, -distances], sample_weight=weights)
    return float(-np.diff(recall) @ np.maximum.accumulate(precision)[:-1])


def measure(options: argparse.Namespace) -> Iterator[str]:
    """Correlations of rows without ties, then pairs with the labels of four judges."""
    rng = np.random.default_rng(0)
    x, same = rng.normal(size=ROWS), rng.integers(0, 4, size=ROWS) / 3
    y = -x + rng.normal(size=ROWS)
    cases = {
        f"SRCC, KRCC and PLCC of {ROWS:,} rows": ("SciPy", iqa_correlation, correlations, y),
        f"JND mAP of {ROWS:,} pairs": ("scikit-learn", jnd_map, envelope_area, same),
    }
    for work, (library, metric, peer, other) in cases.items():
        ours, loop = partial(metric, x, other, groups=OF_ROW), partial(without_each, peer, x, other)
        taken = in_turn({"ours": ours, "loop": loop}, options.rounds)
        yield row(work, f"{library} without each of {GROUPS} groups", taken["ours"], taken["loop"])


if __name__ == "__main__":
    main(__doc__, measure)
