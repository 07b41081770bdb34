"""Information that a simple model explains: constructed trials, planted learners, and its corners."""

import numpy as np
import pytest
from recipes import trials

from hf_clipdyn.metrics.explained_information import explained_information


def test_the_information_of_constructed_trials_matches():
    decisions, labels, _ = trials(3, 8, 40, (7, 31, 13, 17, 3, 101), 8, 11)
    result = explained_information(decisions[0, 5], decisions[1, 3], labels)
    found = [result[name] for name in ("information", "information_given", "explained")]
    assert found == pytest.approx([0.5651831797, 0.7219077709, -0.1567245912], abs=5e-11)


def test_a_copy_of_the_simple_model_is_explained_and_independent_parts_are_not():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 20_000)
    simple = np.where(rng.random(20_000) < 0.8, labels, 1 - labels)
    copy = explained_information(simple, simple, labels)
    assert copy["explained_share"] == pytest.approx(1)
    guess = explained_information(labels, rng.integers(0, 2, 20_000), labels)
    assert guess["explained_share"] == pytest.approx(0, abs=0.001)
    half = np.where(rng.random(20_000) < 0.5, simple, labels)
    assert 0.2 < explained_information(half, simple, labels)["explained_share"] < 0.9


def test_parity_is_complemented_and_so_less_than_nothing_is_explained():
    first, second = np.random.default_rng(1).integers(0, 2, (2, 4000))
    result = explained_information(first, second, first ^ second)
    assert result["information"] == pytest.approx(0, abs=0.002)
    assert result["explained"] == pytest.approx(-1, abs=0.01)


def test_the_bias_is_what_independent_answers_have_on_average():
    rng = np.random.default_rng(2)
    results = [explained_information(*rng.integers(0, 3, (3, 300))) for _ in range(300)]
    for name in ("information", "explained"):
        mean = np.mean([result[name] for result in results])
        assert mean == pytest.approx(np.mean([result[f"{name}_bias"] for result in results]), rel=0.12)


def test_the_intervals_are_those_of_the_jackknife():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 200)
    simple = np.where(rng.random(200) < 0.7, labels, 1 - labels)
    model = np.where(rng.random(200) < 0.6, simple, labels)
    result = explained_information(model, simple, labels)
    kept = [np.delete(np.arange(200), item) for item in range(200)]
    left_out = [explained_information(model[rows], simple[rows], labels[rows]) for rows in kept]
    for name in ("information", "information_given", "explained", "explained_share"):
        error = np.sqrt(199 * np.var([one[name] for one in left_out]))
        low, high = result[f"{name}_ci"]
        assert (high - low) / 2 == pytest.approx(1.972 * error, rel=0.1)
        assert result["influences"][name].sum() == pytest.approx(0, abs=1e-9)


def test_clusters_of_items_widen_the_intervals():
    rng = np.random.default_rng(4)
    labels, wrong = np.repeat(rng.integers(0, 2, 60), 5), np.repeat(rng.random(60) < 0.3, 5)
    inputs = labels ^ wrong, rng.integers(0, 2, 300), labels
    alone, clustered = (explained_information(*inputs, clusters=one) for one in (None, np.arange(300) // 5))
    assert np.diff(clustered["information_ci"]) > 2 * np.diff(alone["information_ci"])


def test_of_no_information_no_share_is_explained():
    result = explained_information([1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1])
    assert result["information"] == 0
    assert np.isnan([result["explained_share"], *result["explained_share_ci"]]).all()
    assert result["causes"] == {"explained_share": "the decisions contain no information on the labels"}
