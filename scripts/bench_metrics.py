# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn", "scikit-learn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""Speed of the metrics, as ratios against what people use today, in one run.

python scripts/bench_metrics.py

Each pair is timed interleaved, a few times; the medians of processor seconds are reported, since other programs may run
beside. The peers compute the same numbers: the bootstraps as a loop of SciPy or scikit-learn over resampled rows, the
saliency metrics with scikit-learn and NumPy. Both sides draw their resamples.
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
from hf_clipdyn.metrics.saliency import image_scores
from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES, shape_bias

Case = tuple[str, Callable[[], object], Callable[[], object], float]
"""What is timed, ours, the peer, and by how much the peer's share of the work must be multiplied."""

_PART = 10  # a loop does this part of the resamples


def draws(n: int, n_resamples: int) -> Iterator[NDArray[np.int64]]:
    """The rows of each of a part of the resamples, one after the other."""
    rng = np.random.default_rng(0)
    return (rng.integers(0, n, size=n) for _ in range(n_resamples // _PART))


def correlation_case(rng: np.random.Generator, n: int) -> Case:
    """Correlations of n rows without ties, and what each of a hundred groups contributes to them."""
    x = rng.normal(size=n)
    y = -x + rng.normal(size=n)
    groups = np.arange(n) % 100

    def peer() -> object:
        kept = [np.flatnonzero(groups != group) for group in range(-1, 100)]
        functions = (stats.spearmanr, stats.kendalltau, stats.pearsonr)
        return [function(x[rows], y[rows]) for rows in kept for function in functions]

    return (
        f"SRCC, KRCC and PLCC of {n} rows in 100 groups, against SciPy without each group",
        lambda: iqa_correlation(x, y, groups=groups),
        peer,
        1,
    )


def jnd_cases(rng: np.random.Generator, n: int, n_resamples: int) -> list[Case]:
    """The area under the precision envelope, with labels of four judges."""
    distances, same = rng.normal(size=n), rng.integers(0, 4, size=n) / 3
    right = np.repeat([True, False], n)

    def by_scikit_learn(d: NDArray[np.float64], p: NDArray[np.float64]) -> float:
        """A pair is right with the weight of its label, and wrong with the rest."""
        precision, recall, _ = precision_recall_curve(right, np.r_[-d, -d], sample_weight=np.r_[p, 1 - p])
        return float(-np.diff(recall) @ np.maximum.accumulate(precision)[:-1])

    def by_formula(d: NDArray[np.float64], p: NDArray[np.float64]) -> float:
        """As the reference implementation computes it, with its loop over rows in NumPy."""
        true = np.cumsum(p[np.argsort(d)])
        precision = true / np.arange(1, n + 1)
        return float(np.diff(true, prepend=0) @ np.maximum.accumulate(precision[::-1])[::-1] / true[-1])

    def case(peer: Callable[..., float], name: str) -> Case:
        return (
            f"JND mAP, {n_resamples} resamples of {n} pairs, against {name} in a loop",
            lambda: jnd_map(distances, same),
            lambda: [peer(distances[row], same[row]) for row in draws(n, n_resamples)],
            _PART,
        )

    return [
        case(by_scikit_learn, "scikit-learn's precision_recall_curve"),
        case(by_formula, "the bare formula in NumPy"),
    ]


def shape_bias_case(rng: np.random.Generator, n: int, n_resamples: int) -> Case:
    names = np.array(GEIRHOS_CLASSES)
    shape, texture, decision = rng.integers(0, 16, size=(3, n))
    columns = names[decision], names[shape], names[texture]

    def loop() -> object:
        biases, nulls, generator = [], [], np.random.default_rng(0)
        for row in draws(n, n_resamples):
            p, s, t = (column[row] for column in columns)
            conflict = s != t
            hits = (p == s)[conflict].sum(), (p == t)[conflict].sum()
            biases.append(hits[0] / sum(hits))
            p = generator.permutation(columns[0])
            nulls.append(((p == columns[1]) | (p == columns[2]))[columns[1] != columns[2]].sum())
        return biases, nulls

    return (
        f"shape bias, {n_resamples} resamples of {n} images and 1000 permutations, against loops of NumPy",
        lambda: shape_bias(*columns, n_resamples=n_resamples),
        loop,
        _PART,
    )


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
        correlation_case(rng, 3000),
        *jnd_cases(rng, 3000, 1000),
        shape_bias_case(rng, 1200, 1000),
        saliency_case(rng),
    ]
    print(f"{'ours, ms':>9} {'peer, ms':>9} {'ratio':>6}")
    for name, ours, peer, share in cases:
        taken = interleaved({"ours": ours, "peer": peer}, options.repeats)
        mine, theirs = 1000 * np.median(taken["ours"][:, 1]), 1000 * share * np.median(taken["peer"][:, 1])
        print(f"{mine:9.1f} {theirs:9.1f} {theirs / mine:6.1f}  {name}")


if __name__ == "__main__":
    main()
