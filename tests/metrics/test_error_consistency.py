"""Error consistency: people with people, Cohen's kappa of scikit-learn, and the corners."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.error_consistency import error_consistency

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
def test_observers_who_are_always_right_or_always_wrong_have_no_kappa(value, word, undefined):
    with undefined(f"both observers are {word} on all images"):
        result = error_consistency([value] * 60, [value] * 60)
    assert np.isnan([result["kappa"], result["kappa_min"], result["kappa_max"], *result["kappa_ci"]]).all()
    assert result["observed"] == result["expected"] == 1


def test_wrong_input_is_refused():
    with pytest.raises(MetricError, match="True or False"):
        error_consistency([0.5, 1], [True, False])
    with pytest.raises(MetricError, match="predictions 1, references 2"):
        error_consistency([True], [True, False])
