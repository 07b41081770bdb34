"""Model and people over classes: independent formulas, planted observers, and the published numbers of CIFAR-10H."""

import csv
from functools import cache

import numpy as np
import pytest
from scipy import special, stats

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.label_distribution import (
    LABEL_DISTRIBUTION_VALUES,
    class_mean_cross_entropy,
    cross_fitted,
    human_entropy,
    label_distribution,
    smoothed_label_cross_entropy,
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
    rows = np.arange(60)
    off = np.ones((60, 3), bool)
    off[rows, labels] = False
    result = label_distribution(model, counts, labels, n_resamples=0)
    assert result["kl"] == pytest.approx(
        np.mean([stats.entropy(p, q) for p, q in zip(human, model, strict=True)])
    )
    assert result["cross_entropy"] == pytest.approx(result["kl"] + np.mean(stats.entropy(human, axis=1)))
    entropies = stats.entropy(model, axis=1), stats.entropy(human, axis=1)
    assert result["entropy_spearman"] == pytest.approx(stats.spearmanr(*entropies).statistic)
    of_label = model[rows, labels], human[rows, labels]
    assert result["label_spearman"] == pytest.approx(stats.spearmanr(*of_label).statistic)
    assert result["off_label_pearson"] == pytest.approx(stats.pearsonr(model[off], human[off]).statistic)
    seconds = []
    for q, row, label in zip(model, counts, labels, strict=True):
        wrong = [one for one in range(3) if one != label]
        if max(row[wrong]) >= 5:
            seconds.append(max(wrong, key=lambda one: q[one]) == max(wrong, key=lambda one: row[one]))
    assert result["second_choice"] == np.mean(seconds)
    assert result["n_second_choice"] == len(seconds)
    assert result["top1"] == np.mean(model.argmax(axis=1) == labels)


def test_a_perfect_observer_reaches_the_bounds_and_a_uniform_one_has_no_correlation(data):
    _, counts, labels = data
    human = counts / counts.sum(axis=1, keepdims=True)
    perfect = label_distribution(human, counts, labels)
    assert perfect["cross_entropy"] == pytest.approx(human_entropy(counts).mean())
    assert perfect["kl"] == pytest.approx(0)
    for name in ("entropy_spearman", "label_spearman", "off_label_pearson", "second_choice", "top1_mode"):
        assert perfect[name] == pytest.approx(1)
        assert perfect[f"{name}_ci"] == pytest.approx([1, 1])
    uniform = label_distribution(np.full((60, 3), 1 / 3), counts, labels)
    assert uniform["cross_entropy"] == pytest.approx(np.log(3))
    assert set(uniform["causes"]) == {"entropy_spearman", "label_spearman", "off_label_pearson"}


def test_intervals_resample_images_within_their_class(data):
    model, counts, labels = data
    # All images of a class are alike: what is drawn within classes cannot vary.
    first = np.array([0, 20, 40])[labels]
    result = label_distribution(model[first], counts[first], labels)
    for name in ("cross_entropy", "kl", "top1"):
        assert result[f"{name}_ci"] == pytest.approx([result[name]] * 2)
    varied = label_distribution(model, counts, labels)
    for name in LABEL_DISTRIBUTION_VALUES:
        low, high = varied[f"{name}_ci"]
        assert low <= varied[name] <= high
        assert low < high


def test_a_temperature_is_fitted_on_the_other_half(data):
    model, counts, _ = data
    scores = np.log(model)
    halves = np.arange(60) % 2
    found, factors = cross_fitted(scores, counts, halves)
    human = counts / counts.sum(axis=1, keepdims=True)
    grid = np.exp(np.linspace(-3, 3, 2001))
    for half in (0, 1):
        own = halves == half
        losses = [-special.xlogy(human[own], special.softmax(f * scores[own], axis=1)).sum() for f in grid]
        assert factors[half] == pytest.approx(grid[np.argmin(losses)], rel=0.01)
        assert found[~own] == pytest.approx(special.softmax(factors[half] * scores[~own], axis=1))
    assert cross_fitted(7 * scores, counts, halves)[0] == pytest.approx(found, abs=1e-3)


def test_halves_of_people_who_agree_agree(data):
    labels = data[2]
    counts = 20 * np.eye(3, dtype=int)[labels]
    halves = split_halves(counts, labels, n_splits=3)
    assert halves["cross_entropy"] < 0.02
    assert np.isnan(halves["entropy_spearman"])
    assert class_mean_cross_entropy(counts, labels) == pytest.approx(0, abs=1e-3)
    assert smoothed_label_cross_entropy(counts, labels) == pytest.approx(-np.log(0.95))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"predictions": np.ones((60, 3))}, "sum to 1"),
        ({"predictions": np.ones((60, 2)) / 2}, "give equal shapes"),
        ({"counts": np.zeros((60, 3))}, "at least one answer for each image"),
        ({"labels": np.full(60, 3)}, "have only 3 classes"),
        ({"labels": np.zeros(59)}, "59 labels"),
    ],
)
def test_wrong_input_is_one_sentence(data, change, says):
    given = dict(zip(("predictions", "counts", "labels"), data, strict=True)) | change
    with pytest.raises(MetricError, match=says):
        label_distribution(**given)


@cache
def _read(path):
    with path.open() as file:
        header, *rows = csv.reader(file)
    names = header[2:]
    counts = np.array([[int(cell) for cell in row[2:]] for row in rows])
    return counts, np.array([names.index(row[0].split("/")[1]) for row in rows])


def test_the_published_bounds_of_cifar10h(real_data):
    counts, labels = _read(real_data("cifar10h") / "counts.csv")
    assert (len(counts), counts.sum()) == (2000, 102_099)
    entropy = human_entropy(counts)
    assert round(float(entropy.mean()), 4) == 0.1507
    assert round(float(np.median(entropy)), 4) == 0.0950
    assert (entropy == 0).mean() == pytest.approx(0.44, abs=0.005)
    assert round(class_mean_cross_entropy(counts, labels), 4) == 0.2445
    assert round(smoothed_label_cross_entropy(counts, labels), 4) == 0.2839
    human = counts / counts.sum(axis=1, keepdims=True)
    perfect = label_distribution(human, counts, labels, n_resamples=0)
    assert perfect["n_second_choice"] == 190
    assert perfect["top1"] == pytest.approx(0.9930)
    assert round(float(human[np.arange(2000), labels].mean()), 4) == 0.9548
    uniform = label_distribution(np.full((2000, 10), 0.1), counts, labels, n_resamples=0)
    assert round(uniform["cross_entropy"], 4) == 2.3026


PUBLISHED = {
    "cross_entropy": 0.212,
    "cross_entropy_class": 0.204,
    "entropy_spearman": 0.530,
    "entropy_spearman_stepped_up": 0.693,
    "label_spearman": 0.533,
    "label_spearman_stepped_up": 0.695,
    "off_label_pearson": 0.804,
    "off_label_pearson_stepped_up": 0.891,
    "second_choice": 0.885,
}


def test_the_published_ceilings_of_cifar10h(real_data):
    halves = split_halves(*_read(real_data("cifar10h") / "counts.csv"), n_splits=60)
    assert {name: halves[name] for name in PUBLISHED} == pytest.approx(PUBLISHED, abs=0.004)
