# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn", "scikit-learn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""Speed of the metrics with their influences, as ratios against what people use today, in one run.

python scripts/bench_metrics.py

Each pair is timed interleaved, a few times; the medians of processor seconds are reported, since other programs may run
beside. The peers compute the same values and, for an error, leave out the same groups in a loop.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import precision_recall_curve, roc_auc_score
from timing import interleaved

from hf_clipdyn.metrics.fixation_maps import fixation_density
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.saliency import Target

Case = tuple[str, Callable[[], object], Callable[[], object]]
"""What is timed, ours, and the peer."""

_GROUPS = 100


def groups_of(n: int) -> NDArray[np.int64]:
    """A group for each row."""
    return np.arange(n) % _GROUPS


def without_each(groups: NDArray[np.int64]) -> Iterator[NDArray[np.bool_]]:
    """The rows that stay without each of the groups."""
    return (groups != group for group in range(_GROUPS))


def correlation_case(rng: np.random.Generator, n: int) -> Case:
    """SRCC, KRCC and PLCC of n rows without ties."""
    x = rng.normal(size=n)
    y, groups = -x + rng.normal(size=n), groups_of(n)
    peers = (stats.spearmanr, stats.kendalltau, stats.pearsonr)
    return (
        f"SRCC, KRCC and PLCC of {n} rows, against SciPy without each of {_GROUPS} groups",
        lambda: iqa_correlation(x, y, groups=groups),
        lambda: [peer(x[kept], y[kept]) for peer in peers for kept in without_each(groups)],
    )


def jnd_case(rng: np.random.Generator, n: int) -> Case:
    """The area under the precision envelope, with labels of four judges."""
    distances, same, groups = rng.normal(size=n), rng.integers(0, 4, size=n) / 3, groups_of(n)

    def by_scikit_learn(d: NDArray[np.float64], p: NDArray[np.float64]) -> float:
        """A pair is right with the weight of its label, and wrong with the rest."""
        right = np.repeat([True, False], len(d))
        precision, recall, _ = precision_recall_curve(right, np.r_[-d, -d], sample_weight=np.r_[p, 1 - p])
        return float(-np.diff(recall) @ np.maximum.accumulate(precision)[:-1])

    return (
        f"JND mAP of {n} pairs, against scikit-learn's curve without each of {_GROUPS} groups",
        lambda: jnd_map(distances, same, groups=groups),
        lambda: [by_scikit_learn(distances[kept], same[kept]) for kept in without_each(groups)],
    )


def saliency_case(rng: np.random.Generator) -> Case:
    """All scores of one 800 x 600 map with 140 fixations, the density given."""
    shape = (600, 800)
    saliency_map, baseline = rng.random(shape), rng.random(shape)
    points, others = rng.random((140, 2)) * [800, 600], rng.random((5000, 2)) * [800, 600]
    density = fixation_density(points, shape, 24)

    def ours() -> object:
        target = Target(shape, points, density=density, other_fixations=others, baseline=baseline)
        return target.scores(saliency_map)

    def peer() -> object:
        at, elsewhere = (saliency_map[p[:, 1].astype(int), p[:, 0].astype(int)] for p in (points, others))
        empty = np.ones(shape, dtype=bool)
        empty[points[:, 1].astype(int), points[:, 0].astype(int)] = False

        def area(negatives: np.ndarray) -> float:
            labels = np.r_[np.ones(len(at)), np.zeros(len(negatives))]
            return float(roc_auc_score(labels, np.r_[at, negatives]))

        p, g = saliency_map / saliency_map.sum(), density / density.sum()
        stretched = [(m - m.min()) / (m - m.min()).sum() for m in (saliency_map, density)]
        return (
            stats.zscore(saliency_map, axis=None)[~empty].mean(),
            area(saliency_map.ravel()),
            area(elsewhere),
            stats.pearsonr(saliency_map.ravel(), density.ravel()),
            np.minimum(*stretched).sum(),
            stats.entropy(g.ravel(), p.ravel()),
            np.log2(p / (baseline / baseline.sum()))[~empty].mean(),
        )

    return "all seven scores of one 800x600 map, against scikit-learn and SciPy", ours, peer


def main(arguments: Sequence[str] | None = None) -> None:
    """Time all cases and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="interleaved timings of each pair")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    cases = [correlation_case(rng, 3000), jnd_case(rng, 3000), saliency_case(rng)]
    print(f"{'ours, ms':>9} {'peer, ms':>9} {'ratio':>6}")
    for name, ours, peer in cases:
        taken = interleaved({"ours": ours, "peer": peer}, options.repeats)
        mine, theirs = (1000 * np.median(taken[side][:, 1]) for side in ("ours", "peer"))
        print(f"{mine:9.1f} {theirs:9.1f} {theirs / mine:6.1f}  {name}")


if __name__ == "__main__":
    main()
