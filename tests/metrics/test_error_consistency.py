"""Error consistency: people with people, Cohen's kappa of scikit-learn, and the corners."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from hf_clipdyn.metrics.error_consistency import error_consistency, observer_consistency

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


@pytest.mark.parametrize(("conflicts_only", "published"), [(False, 0.3311), (True, 0.3347)])
def test_people_with_people_give_the_published_mean_kappa(human_trials, conflicts_only, published):
    correct = []
    for observer in range(1, 11):
        one = human_trials.of(observer)
        keep = one.shapes != one.textures if conflicts_only else np.full(len(one.shapes), True)
        correct.append((one.predictions == one.shapes)[keep])
    kappas = [error_consistency(a, b, n_resamples=0)["kappa"] for a, b in combinations(correct, 2)]
    assert len(correct[0]) == (1200 if conflicts_only else 1280)
    assert round(np.mean(kappas), 4) == published


def is_defined(pairs):
    first, second = zip(*pairs, strict=True)
    return not (all(first) and all(second)) and (any(first) or any(second))


@given(PAIRS.filter(is_defined))
def test_kappa_equals_scikit_learns_and_lies_in_the_range_that_the_accuracies_allow(pairs):
    first, second = zip(*pairs, strict=True)
    result = error_consistency(first, second, n_resamples=0)
    assert result["kappa"] == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert result["kappa_min"] - 1e-12 <= result["kappa"] <= result["kappa_max"] + 1e-12
    assert result["observed"] == pytest.approx(np.mean(np.array(first) == second))


@given(PAIRS.filter(is_defined), st.randoms(use_true_random=False))
def test_neither_the_order_of_the_images_nor_that_of_the_observers_changes_anything(agree, pairs, random):
    first, second = zip(*pairs, strict=True)
    result = error_consistency(first, second)
    agree(error_consistency(*zip(*random.sample(pairs, len(pairs)), strict=True)), result)
    swapped = error_consistency(second, first)
    assert swapped["kappa"] == pytest.approx(result["kappa"])


def test_the_range_is_that_of_all_arrangements():
    first = np.arange(12) < 9
    kappas = [
        error_consistency(first, np.roll(np.arange(12) < 5, k), n_resamples=0)["kappa"] for k in range(12)
    ]
    result = error_consistency(first, np.arange(12) < 5, n_resamples=0)
    assert (min(kappas), max(kappas)) == pytest.approx((result["kappa_min"], result["kappa_max"]))


def test_the_same_errors_give_one_and_opposite_ones_minus_one():
    half = np.arange(100) < 50
    assert error_consistency(half, half)["kappa"] == 1
    assert error_consistency(half, ~half)["kappa"] == -1
    assert error_consistency(np.full(60, True), np.full(60, False))["kappa"] == 0


@pytest.mark.parametrize(("value", "word"), [(True, "right"), (False, "wrong")])
def test_observers_who_are_always_right_or_always_wrong_have_no_kappa(value, word):
    result = error_consistency([value] * 60, [value] * 60)
    assert set(result["causes"].values()) == {f"both observers are {word} on all images"}
    assert np.isnan([result["kappa"], result["kappa_min"], result["kappa_max"], *result["kappa_ci"]]).all()
    assert result["observed"] == result["expected"] == 1


@pytest.mark.parametrize(("conflicts_only", "published"), [(False, 0.3311), (True, 0.3347)])
def test_all_pairs_of_people_at_once_give_the_published_mean_kappa(human_trials, conflicts_only, published):
    everyone = [human_trials.of(observer) for observer in range(1, 11)]
    keep = everyone[0].shapes != everyone[0].textures if conflicts_only else slice(None)
    correct = np.stack([(one.predictions == one.shapes)[keep] for one in everyone], axis=1)
    result = observer_consistency(correct, n_resamples=0)
    assert round(result["kappa"], 4) == published
    assert result["n_pairs"] == 45
    first = observer_consistency(correct[:, 1:], correct[:, 0], n_resamples=0)
    pairs = [error_consistency(correct[:, 0], correct[:, k], n_resamples=0) for k in range(1, 10)]
    for key in ("kappa", "kappa_min", "kappa_max"):
        assert first[key] == pytest.approx(np.mean([pair[key] for pair in pairs]))


def test_an_image_that_an_observer_did_not_see_is_left_out_of_its_pairs():
    rng = np.random.default_rng(0)
    table = (rng.random((40, 3)) < 0.7).astype(float)
    model = rng.random(40) < 0.6
    table[:5, 1] = np.nan
    expected = [
        error_consistency(model[seen], table[seen, observer], n_resamples=0)["kappa"]
        for observer, seen in enumerate([slice(0, None), slice(5, None), slice(0, None)])
    ]
    assert observer_consistency(table, model, n_resamples=0)["kappa"] == pytest.approx(np.mean(expected))


def test_the_linearised_interval_is_that_of_the_jackknife():
    rng = np.random.default_rng(1)
    hard = rng.random(300)
    table = (rng.random((300, 4)) + hard[:, None] < 1.2).astype(float)
    model = rng.random(300) + hard < 1.0
    result = observer_consistency(table, model)
    keep = ~np.eye(300, dtype=bool)
    left_out = np.array(
        [observer_consistency(table[rows], model[rows], n_resamples=0)["kappa"] for rows in keep]
    )
    error = np.sqrt(299 / 300 * np.square(left_out - left_out.mean()).sum())
    low, high = result["kappa_ci"]
    assert (high - low) / 2 == pytest.approx(1.968 * error, rel=0.03)
    assert low < result["kappa"] < high


def test_images_that_share_exemplars_make_the_interval_wider():
    rng = np.random.default_rng(2)
    hard = np.repeat(rng.random(20), 15)
    table, model = (rng.random((300, 3)) < hard[:, None]).astype(float), rng.random(300) < hard
    shapes, textures = np.repeat(np.arange(20), 15), np.tile(np.arange(15), 20)
    alone = observer_consistency(table, model)["kappa_ci"]
    crossed = observer_consistency(table, model, shape_exemplars=shapes, texture_exemplars=textures)[
        "kappa_ci"
    ]
    assert crossed[1] - crossed[0] > 1.2 * (alone[1] - alone[0])


def test_pairs_that_leave_nothing_to_explain_are_left_out_or_undefined():
    table = np.array([[1, 1], [1, 0], [1, 1]])
    assert observer_consistency(table, [1, 1, 1], n_resamples=0)["n_pairs"] == 1
    result = observer_consistency(np.ones((3, 2)), [1, 1, 1])
    assert "both wrong" in result["causes"]["kappa"]
    assert np.isnan([result["kappa"], *result["kappa_ci"]]).all()


def test_a_kappa_that_one_image_alone_defines_has_the_whole_range_as_interval():
    result = error_consistency([1, 1, 1, 0], [1, 1, 1, 1])
    assert result["kappa"] == 0
    assert result["kappa_ci"] == [-1, 1]
    assert result["causes"] == {}
