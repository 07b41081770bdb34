"""Metrics with their influences, compared with loops of SciPy and scikit-learn that compute the same values.

python scripts/bench_metrics.py

For an error, the loops leave out the same groups one after the other.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import precision_recall_curve, roc_auc_score
from timing import in_turn, main, row

from hf_clipdyn.metrics.fixation_maps import fixation_density
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.saliency import Target

Pair = tuple[Callable[[], object], Callable[[], object]]
"""Ours, and the loop."""

ROWS, GROUPS = 3000, 100
OF_ROW = np.arange(ROWS) % GROUPS


def without_each() -> Iterator[NDArray[np.bool_]]:
    """The rows that stay without each of the groups."""
    return (group != OF_ROW for group in range(GROUPS))


def correlations(rng: np.random.Generator) -> Pair:
    """SRCC, KRCC and PLCC of rows without ties."""
    x = rng.normal(size=ROWS)
    y = -x + rng.normal(size=ROWS)
    peers = (stats.spearmanr, stats.kendalltau, stats.pearsonr)
    return (
        lambda: iqa_correlation(x, y, groups=OF_ROW),
        lambda: [peer(x[kept], y[kept]) for peer in peers for kept in without_each()],
    )


def same_or_different(rng: np.random.Generator) -> Pair:
    """The area under the precision envelope, with labels of four judges."""
    distances, same = rng.normal(size=ROWS), rng.integers(0, 4, size=ROWS) / 3

    def area(d: NDArray[np.float64], p: NDArray[np.float64]) -> float:
        """A pair is right with the weight of its label, and wrong with the rest."""
        right = np.repeat([True, False], len(d))
        precision, recall, _ = precision_recall_curve(right, np.r_[-d, -d], sample_weight=np.r_[p, 1 - p])
        return float(-np.diff(recall) @ np.maximum.accumulate(precision)[:-1])

    return (
        lambda: jnd_map(distances, same, groups=OF_ROW),
        lambda: [area(distances[kept], same[kept]) for kept in without_each()],
    )


def saliency(rng: np.random.Generator) -> Pair:
    """All scores of one map of 800 x 600 pixels with 140 fixations, the density given."""
    shape = (600, 800)
    saliency_map, baseline = rng.random(shape), rng.random(shape)
    points, others = rng.random((140, 2)) * [800, 600], rng.random((5000, 2)) * [800, 600]
    density = fixation_density(points, shape, 24)

    def ours() -> object:
        target = Target(shape, points, density=density, other_fixations=others, baseline=baseline)
        return target.scores(saliency_map)

    def peer() -> object:
        at, elsewhere = (saliency_map[p[:, 1].astype(int), p[:, 0].astype(int)] for p in (points, others))
        fixated = np.zeros(shape, dtype=bool)
        fixated[points[:, 1].astype(int), points[:, 0].astype(int)] = True

        def area(negatives: np.ndarray) -> float:
            labels = np.r_[np.ones(len(at)), np.zeros(len(negatives))]
            return float(roc_auc_score(labels, np.r_[at, negatives]))

        p, g = saliency_map / saliency_map.sum(), density / density.sum()
        stretched = [(m - m.min()) / (m - m.min()).sum() for m in (saliency_map, density)]
        return (
            stats.zscore(saliency_map, axis=None)[fixated].mean(),
            area(saliency_map.ravel()),
            area(elsewhere),
            stats.pearsonr(saliency_map.ravel(), density.ravel()),
            np.minimum(*stretched).sum(),
            stats.entropy(g.ravel(), p.ravel()),
            np.log2(p / (baseline / baseline.sum()))[fixated].mean(),
        )

    return ours, peer


CASES = {
    f"SRCC, KRCC and PLCC of {ROWS:,} rows": (correlations, f"SciPy without each of {GROUPS} groups"),
    f"JND mAP of {ROWS:,} pairs": (same_or_different, f"scikit-learn without each of {GROUPS} groups"),
    "seven scores of a saliency map of 800x600": (saliency, "scikit-learn and SciPy"),
}


def measure(options: argparse.Namespace) -> Iterator[str]:
    """A row for each case."""
    for work, (make, peer) in CASES.items():
        ours, loop = make(np.random.default_rng(0))
        taken = in_turn({"ours": ours, "loop": loop}, options.rounds)
        yield row(work, peer, taken["ours"], taken["loop"])


if __name__ == "__main__":
    main(__doc__, measure)
