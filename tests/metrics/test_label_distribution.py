"""Model and people over classes: independent formulas, planted observers, and the published numbers of CIFAR-10H."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from hf_clipdyn.metrics.label_distribution import (
    class_mean_cross_entropy,
    cross_fitted,
    human_entropy,
    label_distribution,
    split_halves,
)


@pytest.fixture
def data():
    """Sixty images of three classes, twenty judgements each, and a model that is unsure of its own accord."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    truth = special.softmax(rng.normal(0, 1, (60, 3)) + 3 * np.eye(3)[labels], axis=1)
    counts = np.array([rng.multinomial(20, row) for row in truth])
    model = special.softmax(rng.normal(0, 1, (60, 3)) + 2 * np.eye(3)[labels], axis=1)
    return model, counts, labels


def test_values_are_those_of_scipy(data):
    model, counts, labels = data
    human = counts / counts.sum(axis=1, keepdims=True)
    result = label_distribution(model, counts, labels)
    assert result["kl"].value == pytest.approx(
        np.mean([stats.entropy(p, q) for p, q in zip(human, model, strict=True)])
    )
    entropy = np.mean(stats.entropy(human, axis=1))
    assert result["cross_entropy"].value == pytest.approx(result["kl"].value + entropy)
    entropies = stats.entropy(model, axis=1), stats.entropy(human, axis=1)
    assert result["entropy_spearman"].value == pytest.approx(stats.spearmanr(*entropies).statistic)
    assert result["top1"].value == np.mean(model.argmax(axis=1) == labels)


def test_a_temperature_is_fitted_on_the_other_half(data):
    model, counts, _ = data
    scores = np.log(model)
    halves = np.arange(60) % 2
    found = cross_fitted(scores, counts, halves)
    human = counts / counts.sum(axis=1, keepdims=True)
    grid = np.exp(np.linspace(-3, 3, 2001))
    for half in (0, 1):
        own = halves == half
        losses = [-special.xlogy(human[own], special.softmax(f * scores[own], axis=1)).sum() for f in grid]
        best = special.softmax(grid[np.argmin(losses)] * scores[~own], axis=1)
        assert found[~own] == pytest.approx(best, abs=0.003)
    assert cross_fitted(7 * scores, counts, halves) == pytest.approx(found, abs=1e-3)


def test_halves_of_people_who_always_agree_have_no_correlation():
    halves = split_halves(20 * np.eye(3, dtype=int)[np.arange(60) % 3], n_splits=3)
    assert halves["cross_entropy"] < 0.02
    assert np.isnan(halves["entropy_spearman"])


def test_the_published_bounds_and_ceilings_of_cifar10h(real_data):
    table = pd.read_csv(real_data("cifar10h") / "counts.csv")
    counts = table.iloc[:, 2:].to_numpy()
    labels = table.columns[2:].get_indexer(table.iloc[:, 0].str.split("/").str[1])
    assert (len(counts), counts.sum()) == (2000, 102_099)
    entropy = human_entropy(counts)
    assert round(float(entropy.mean()), 4) == 0.1507
    assert round(float(np.median(entropy)), 4) == 0.0950
    assert (entropy == 0).mean() == pytest.approx(0.44, abs=0.005)
    assert round(class_mean_cross_entropy(counts, labels), 4) == 0.2445
    human = counts / counts.sum(axis=1, keepdims=True)
    perfect = label_distribution(human, counts, labels)
    assert perfect["top1"].value == pytest.approx(0.9930)
    assert round(float(human[np.arange(2000), labels].mean()), 4) == 0.9548
    uniform = label_distribution(np.full((2000, 10), 0.1), counts, labels)
    assert round(uniform["cross_entropy"].value, 4) == 2.3026
    halves = split_halves(counts, n_splits=60)
    assert halves == pytest.approx({"cross_entropy": 0.212, "entropy_spearman": 0.530}, abs=0.004)
