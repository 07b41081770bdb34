"""Intervals of differences from influences cover the truth: two exchangeable revisions on drawn items differ by 0."""

from collections.abc import Callable

import numpy as np
import pytest
from coverage_choices import of_jnd, of_opinions, of_recall
from coverage_designs import Known, known
from coverage_embeddings import of_dissimilarities, of_labels, softmax
from coverage_observers import of_curve
from scipy import stats

from hf_clipdyn.metrics.influence import weighted_sum
from hf_clipdyn.metrics.scores import mean

Draw = Callable[[np.random.Generator], list[Known]]


def accuracies(rng):
    ease = rng.normal(size=150)
    return [known(mean(ease + rng.normal(size=150) > 0.4, "count")) for _ in range(2)]


def drops(rng):
    return [curve["chance_corrected_drop"] for curve in _curves(rng)]


def thresholds(rng):
    return [curve["threshold"] for curve in _curves(rng)]


def _curves(rng, n=250):
    ease = rng.normal(0.8, 1, n)[:, None]
    rights = [ease + rng.normal(0, 0.8, (n, 5)) > np.arange(5) * 0.6 for _ in range(2)]
    return [of_curve(one.astype(float), np.arange(5.0)) for one in rights]


def correlations(rng):
    """25 references with 8 distorted versions each; what is hard about a reference is common to both revisions."""
    quality, groups = rng.normal(size=200), np.repeat(np.arange(25), 8)
    shift = rng.normal(0, 0.6, 25)[groups]
    distances = [
        -quality + shift + rng.normal(0, 0.5, 25)[groups] + rng.normal(0, 0.5, 200) for _ in range(2)
    ]
    return [of_opinions((one, quality, groups))["srcc"] for one in distances]


def precisions(rng):
    moved = rng.exponential(size=120)
    same = (np.exp(-moved) > rng.random(120)).astype(float)
    return [of_jnd((moved + rng.normal(0, 0.8, 120), same))["jnd_map"] for _ in range(2)]


def recalls(rng):
    texts = rng.normal(size=(120, 6))
    images = [texts + rng.normal(0, 1.0, texts.shape) for _ in range(2)]
    return [of_recall((one @ texts.T, np.arange(120)))["image_to_text_recall_at_5"] for one in images]


def entropies(rng):
    labels = np.arange(90) % 3
    doubt = rng.uniform(0.2, 2.0, 90)[:, None]
    scores = np.eye(3)[labels] * 2
    counts = np.stack([rng.multinomial(40, one) for one in softmax(scores / doubt)])
    models = [softmax(scores / (doubt * np.exp(rng.normal(0, 0.5, (90, 1))))) for _ in range(2)]
    return [of_labels((one, counts, labels))["entropy_spearman"] for one in models]


def alignments(rng, n=24, people=8):
    """Images and people are drawn: both revisions and all people see noisy versions of the same images."""
    latent = rng.normal(size=(n, 3))
    first, second = np.triu_indices(n, 1)

    def seen(sd):
        place = latent + rng.normal(0, sd, latent.shape)
        return np.linalg.norm(place[first] - place[second], axis=1)

    persons = np.stack([seen(rng.uniform(0.5, 1.5)) for _ in range(people)])
    return [of_dissimilarities((seen(0.7), persons))["alignment"] for _ in range(2)]


def coverage(draw: Draw, n: int, seed: int = 0) -> float:
    """Share of the 95 % intervals of differences that contain 0."""
    rng, covered = np.random.default_rng(seed), []
    for _ in range(n):
        before, after = draw(rng)
        change = weighted_sum([before.influence, after.influence], [-1, 1])
        if change.variance > 0:
            half = stats.t.ppf(0.975, change.n_clusters - 1) * np.sqrt(change.variance)
            covered.append(abs(after.value - before.value) <= half)
    assert len(covered) > 0.9 * n
    return float(np.mean(covered))


QUICK, SLOW = (accuracies, drops, thresholds, recalls), (correlations, precisions, entropies, alignments)


@pytest.mark.parametrize("draw", [*QUICK, *SLOW], ids=lambda draw: draw.__name__)
def test_intervals_of_differences_cover_the_truth(draw):
    """Measured with 2,000 draws: 95.5, 95.0, 94.4, 94.6, 96.0, 95.6, 96.3 and 97.6 %."""
    least, n = (0.92, 300) if draw in QUICK else (0.86, 60)
    assert least <= coverage(draw, n) <= 1
