"""Error consistency: people with people, Cohen's kappa of scikit-learn, and the corners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipes import trials
from sklearn.metrics import cohen_kappa_score

from hf_clipdyn.metrics.error_consistency import (
    error_consistency,
    observer_consistency,
    pair_statistics,
)

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


def is_defined(pairs):
    first, second = zip(*pairs, strict=True)
    return not (all(first) and all(second)) and (any(first) or any(second))


@given(PAIRS.filter(is_defined))
def test_kappa_equals_scikit_learns_and_lies_in_the_range_that_the_accuracies_allow(pairs):
    first, second = zip(*pairs, strict=True)
    result = {name: score.value for name, score in error_consistency(first, second).items()}
    assert result["kappa"] == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert result["kappa_min"] - 1e-12 <= result["kappa"] <= result["kappa_max"] + 1e-12
    assert result["observed"] == pytest.approx(np.mean(np.array(first) == second))


@pytest.mark.parametrize(("conflicts_only", "published"), [(False, 0.3311), (True, 0.3347)])
def test_all_pairs_of_people_at_once_give_the_published_mean_kappa(human_trials, conflicts_only, published):
    rows = human_trials.assign(right=human_trials["object_response"] == human_trials["shape"])
    rows = rows[rows["shape"] != rows["texture"]] if conflicts_only else rows
    correct = rows.pivot(index="image", columns="subj", values="right").to_numpy()
    result = observer_consistency(correct)
    assert round(result["kappa"].value, 4) == published
    assert result.facts["n_pairs"] == 45
    first = observer_consistency(correct[:, 1:], correct[:, 0])
    pairs = [error_consistency(correct[:, 0], correct[:, k]) for k in range(1, 10)]
    for key in ("kappa", "kappa_min", "kappa_max"):
        assert first[key].value == pytest.approx(np.mean([pair[key].value for pair in pairs]))


@pytest.mark.parametrize(
    ("rarest", "interval", "note"), [(4, False, True), (5, True, True), (40, True, False)]
)
def test_few_images_of_the_rarer_outcome_give_no_interval_or_a_note_and_keep_the_influence(
    rarest, interval, note
):
    first = np.arange(100) >= rarest
    result = error_consistency(first, np.random.default_rng(0).random(100) < 0.5)
    assert result["kappa"].influence is not None
    low, high = result.report()["kappa_ci"]
    assert (low < high) == interval
    assert bool(result["kappa"].cause) == note
    assert f"on only {rarest} images" in result["kappa"].cause or not note


KAPPAS = ("kappa", "kappa_unbiased", "kappa_min", "kappa_max")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 4), (0, 5), (-0.1253196931, -0.1289473684, -0.7391304348, 1)),
        ((0, 5), (1, 5), (-0.03896103896, -0.04, None, 0.8961038961)),
        ((0, 0), (0, 7), (0.03381642512, None, -0.1594202899, 0.03381642512)),
    ],
)
def test_kappa_and_its_bounds_match_the_authors_code(first, second, expected):
    expected = {name: value for name, value in zip(KAPPAS, expected, strict=True) if value is not None}
    _, _, right = trials(3, 8, 40, (7, 31, 13, 17, 3, 101), 8, 11)
    result = error_consistency(right[first], right[second])
    assert {name: result[name].value for name in expected} == pytest.approx(expected, abs=5e-11)


@pytest.mark.parametrize("value", [True, False])
def test_an_observer_without_errors_or_without_successes_agrees_by_chance(value):
    beside = error_consistency([value] * 4, [True, True, False, True])
    assert [beside[name].value for name in ("kappa", "kappa_min", "kappa_max")] == [0, 0, 0]
    of_two = observer_consistency([[1, 1], [1, 0], [1, 1]], [1, 1, 1])
    assert of_two.facts["n_pairs"] == 1, "two without errors are no pair"


@pytest.mark.parametrize(("n", "error"), [(160, 0.089), (1200, 0.033)])
def test_many_published_differences_are_within_the_standard_error(n, error):
    """At accuracies of .8 and a kappa of .4."""
    first, second = np.repeat([[1, 1, 0, 0], [1, 0, 1, 0]], [704, 96, 96, 104], axis=1).astype(float)
    values, influences = pair_statistics(first[:, None], second[:, None])
    assert values[0] == pytest.approx(0.4)
    assert np.sqrt(np.square(influences[0]).sum() * 1000 / n) == pytest.approx(error, abs=5e-4)
