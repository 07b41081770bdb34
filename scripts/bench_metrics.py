# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn", "scikit-learn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""Speed of the metrics, as ratios against what people use today, in one run.

python scripts/bench_metrics.py

Each pair is timed interleaved, a few times; medians are reported. The peers compute the same numbers:
the bootstraps as a loop of SciPy over resampled rows, the saliency metrics with scikit-learn and NumPy.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score
from timing import medians

from hf_clipdyn.metrics.fixation_maps import fixation_density
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.saliency import image_scores
from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES, shape_bias
from hf_clipdyn.metrics.weighted_correlation import WeightedKendall, WeightedSpearman

Case = tuple[str, Callable[[], object], Callable[[], object], float]
"""What is timed, ours, the peer, and by how much the peer's share of the work must be multiplied."""


def correlation_cases(rng: np.random.Generator, n_resamples: int) -> list[Case]:
    """1,000 resamples of 3,000 rows; the peer does a tenth of them, which is multiplied."""
    n = 3000
    x = rng.normal(size=n)
    y = -x + rng.normal(size=n)
    rows = rng.integers(0, n, size=(n_resamples, n))
    weights = np.stack([np.bincount(row, minlength=n) for row in rows]).astype(np.float64)
    some = rows[: n_resamples // 10]
    units = np.arange(n)
    return [
        (
            f"SRCC, {n_resamples} resamples of {n} rows, against scipy.stats.spearmanr in a loop",
            lambda: WeightedSpearman(x, y, units)(weights),
            lambda: [stats.spearmanr(x[row], y[row]) for row in some],
            10,
        ),
        (
            f"KRCC, {n_resamples} resamples of {n} rows, against scipy.stats.kendalltau in a loop",
            lambda: WeightedKendall(x, y, units, n)(weights),
            lambda: [stats.kendalltau(x[row], y[row]) for row in some],
            10,
        ),
    ]


def jnd_case(rng: np.random.Generator, n_resamples: int) -> Case:
    n = 3000
    distances, same = rng.normal(size=n), rng.integers(0, 4, size=n) / 3
    some = rng.integers(0, n, size=(n_resamples // 10, n))
    return (
        f"JND mAP, {n_resamples} resamples of {n} pairs, against the same function in a loop",
        lambda: jnd_map(distances, same, n_resamples=n_resamples),
        lambda: [jnd_map(distances[row], same[row], n_resamples=0) for row in some],
        10,
    )


def shape_bias_case(rng: np.random.Generator, n_resamples: int) -> Case:
    names = np.array(GEIRHOS_CLASSES)
    shape, texture, decision = rng.integers(0, 16, size=(3, 1200))
    columns = names[decision], names[shape], names[texture]

    def loop() -> list[float]:
        biases = []
        for _ in range(n_resamples // 10):
            row = rng.integers(0, 1200, size=1200)
            p, s, t = (column[row] for column in columns)
            conflict = s != t
            hits = (p == s)[conflict].sum(), (p == t)[conflict].sum()
            biases.append(hits[0] / sum(hits))
        return biases

    name = f"shape bias, {n_resamples} resamples of 1200 images and 1000 permutations, against a loop of resamples"
    return name, lambda: shape_bias(*columns, n_resamples=n_resamples), loop, 10


def saliency_case(rng: np.random.Generator) -> Case:
    """All metrics of one 800 x 600 map with 140 fixations, the density given."""
    shape = (600, 800)
    saliency_map, baseline = rng.random(shape), rng.random(shape)
    points, others = rng.random((140, 2)) * [800, 600], rng.random((5000, 2)) * [800, 600]
    density = fixation_density(points, shape, 24)

    def ours() -> object:
        return image_scores(saliency_map, points, density=density, other_fixations=others, baseline=baseline)

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
            area(saliency_map[empty]),
            area(elsewhere),
            stats.pearsonr(saliency_map.ravel(), density.ravel()),
            np.minimum(*stretched).sum(),
            stats.entropy(g.ravel(), p.ravel()),
            np.log2(p / (baseline / baseline.sum()))[~empty].mean(),
        )

    return "all eight metrics of one 800x600 map, against scikit-learn and SciPy", ours, peer, 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Time all cases and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="interleaved timings of each pair")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    cases = [
        *correlation_cases(rng, 1000),
        jnd_case(rng, 1000),
        shape_bias_case(rng, 1000),
        saliency_case(rng),
    ]
    print(f"{'ours, ms':>9} {'peer, ms':>9} {'ratio':>6}")
    for name, ours, peer, share in cases:
        seconds = medians({"ours": ours, "peer": peer}, options.repeats)
        mine, theirs = 1000 * seconds["ours"], 1000 * share * seconds["peer"]
        print(f"{mine:9.1f} {theirs:9.1f} {theirs / mine:6.1f}  {name}")


if __name__ == "__main__":
    main()
