"""Error consistency: people with people, Cohen's kappa of scikit-learn, and the corners."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipes import trials
from sklearn.metrics import cohen_kappa_score

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.error_consistency import (
    error_consistency,
    observer_consistency,
    pair_statistics,
)

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


@pytest.mark.parametrize(("conflicts_only", "published"), [(False, 0.3311), (True, 0.3347)])
def test_people_with_people_give_the_published_mean_kappa(human_trials, conflicts_only, published):
    correct = []
    for observer in range(1, 11):
        one = human_trials.of(observer)
        keep = one.shapes != one.textures if conflicts_only else np.full(len(one.shapes), True)
        correct.append((one.predictions == one.shapes)[keep])
    kappas = [error_consistency(a, b)["kappa"].value for a, b in combinations(correct, 2)]
    assert len(correct[0]) == (1200 if conflicts_only else 1280)
    assert round(np.mean(kappas), 4) == published


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


@given(PAIRS.filter(is_defined), st.randoms(use_true_random=False))
def test_neither_the_order_of_the_images_nor_that_of_the_observers_changes_anything(pairs, random):
    first, second = zip(*pairs, strict=True)
    result = error_consistency(first, second)["kappa"]
    mixed = error_consistency(*zip(*random.sample(pairs, len(pairs)), strict=True))["kappa"]
    swapped = error_consistency(second, first)["kappa"]
    assert [mixed.value, swapped.value] == pytest.approx([result.value] * 2)
    assert np.square(mixed.influence).sum() == pytest.approx(np.square(result.influence).sum())


def test_the_range_is_that_of_all_arrangements():
    first = np.arange(12) < 9
    kappas = [error_consistency(first, np.roll(np.arange(12) < 5, k))["kappa"].value for k in range(12)]
    result = error_consistency(first, np.arange(12) < 5)
    assert (min(kappas), max(kappas)) == pytest.approx((result["kappa_min"].value, result["kappa_max"].value))


def test_the_same_errors_give_one_and_opposite_ones_minus_one():
    half = np.arange(100) < 50
    assert error_consistency(half, half)["kappa"].value == 1
    assert error_consistency(half, ~half)["kappa"].value == -1
    assert error_consistency(np.full(60, True), np.full(60, False))["kappa"].value == 0


@pytest.mark.parametrize("value", [True, False])
def test_observers_who_are_always_right_or_always_wrong_have_no_kappa(value):
    result = error_consistency([value] * 60, [value] * 60)
    report = result.report()
    names = ("kappa", "kappa_unbiased", "kappa_min", "kappa_max")
    assert set(report["causes"]) == set(names)
    assert set(report["causes"].values()) == {"both observers are right, or both are wrong, on all images"}
    assert np.isnan([report[name] for name in names]).all()
    assert report["observed"] == report["expected"] == 1


@pytest.mark.parametrize(("conflicts_only", "published"), [(False, 0.3311), (True, 0.3347)])
def test_all_pairs_of_people_at_once_give_the_published_mean_kappa(human_trials, conflicts_only, published):
    everyone = [human_trials.of(observer) for observer in range(1, 11)]
    keep = everyone[0].shapes != everyone[0].textures if conflicts_only else slice(None)
    correct = np.stack([(one.predictions == one.shapes)[keep] for one in everyone], axis=1)
    result = observer_consistency(correct)
    assert round(result["kappa"].value, 4) == published
    assert result.facts["n_pairs"] == 45
    first = observer_consistency(correct[:, 1:], correct[:, 0])
    pairs = [error_consistency(correct[:, 0], correct[:, k]) for k in range(1, 10)]
    for key in ("kappa", "kappa_min", "kappa_max"):
        assert first[key].value == pytest.approx(np.mean([pair[key].value for pair in pairs]))


def test_an_image_that_an_observer_did_not_see_is_left_out_of_its_pairs():
    rng = np.random.default_rng(0)
    table = (rng.random((40, 3)) < 0.7).astype(float)
    model = rng.random(40) < 0.6
    table[:5, 1] = np.nan
    expected = [
        error_consistency(model[seen], table[seen, observer])["kappa"].value
        for observer, seen in enumerate([slice(0, None), slice(5, None), slice(0, None)])
    ]
    assert observer_consistency(table, model)["kappa"].value == pytest.approx(np.mean(expected))


def test_the_influences_are_those_of_the_jackknife():
    rng = np.random.default_rng(1)
    hard = rng.random(300)
    table = (rng.random((300, 4)) + hard[:, None] < 1.2).astype(float)
    model = (rng.random(300) + hard < 1.0).astype(float)
    keep = ~np.eye(300, dtype=bool)
    for call in (
        lambda rows: observer_consistency(table[rows], model[rows]),
        lambda rows: error_consistency(table[rows, 0], model[rows]),
    ):
        found = call(slice(None))["kappa"].influence
        without = np.array([call(rows)["kappa"].value for rows in keep])
        assert found == pytest.approx((without.mean() - without) * (1 - 1 / 300), abs=1e-4)
        assert np.square(found).sum() == pytest.approx(299**2 / 300**2 * without.var() * 300, rel=0.03)


def test_pairs_that_leave_nothing_to_explain_are_left_out_or_undefined():
    table = np.array([[1, 1], [1, 0], [1, 1]])
    assert observer_consistency(table, [1, 1, 1]).facts["n_pairs"] == 1
    result = observer_consistency(np.ones((3, 2)), [1, 1, 1])
    assert "both wrong" in result["kappa"].cause
    assert np.isnan(result["kappa"].value)


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


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            (0, 4),
            (0, 5),
            {
                "kappa": -0.1253196931,
                "kappa_unbiased": -0.1289473684,
                "kappa_min": -0.7391304348,
                "kappa_max": 1,
            },
        ),
        (
            (0, 5),
            (1, 5),
            {"kappa": -0.03896103896, "kappa_unbiased": -0.04, "kappa_max": 0.8961038961},
        ),
        (
            (0, 0),
            (0, 7),
            {"kappa": 0.03381642512, "kappa_max": 0.03381642512, "kappa_min": -0.1594202899},
        ),
    ],
)
def test_kappa_and_its_bounds_match_the_authors_code(first, second, expected):
    _, _, right = trials(3, 8, 40, (7, 31, 13, 17, 3, 101), 8, 11)
    result = error_consistency(right[first], right[second])
    assert {name: result[name].value for name in expected} == pytest.approx(expected, abs=5e-11)


@pytest.mark.parametrize("value", [True, False])
def test_beside_one_observer_who_is_always_right_or_wrong_kappa_is_zero_and_unbiased_it_is_undefined(value):
    result = error_consistency([value] * 4, [True, True, False, True])
    assert [result[name].value for name in ("kappa", "kappa_min", "kappa_max")] == [0, 0, 0]
    assert np.isnan(result["kappa_unbiased"].value)
    assert result["kappa_unbiased"].cause == "one observer is right, or wrong, on all images"


@pytest.mark.parametrize(("n", "error"), [(160, 0.089), (1200, 0.033)])
def test_many_published_differences_are_within_the_standard_error(n, error):
    """At accuracies of .8 and a kappa of .4."""
    first, second = np.repeat([[1, 1, 0, 0], [1, 0, 1, 0]], [704, 96, 96, 104], axis=1).astype(float)
    values, influences = pair_statistics(first[:, None], second[:, None])
    assert values[0] == pytest.approx(0.4)
    assert np.sqrt(np.square(influences[0]).sum() * 1000 / n) == pytest.approx(error, abs=5e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"predictions": [0.5, 1]}, "True or False"),
        ({"predictions": [True]}, r"predictions \(1,\), references \(2,\)"),
        ({"predictions": [], "references": []}, "at least one"),
    ],
)
def test_wrong_input_is_refused(wrong, message):
    with pytest.raises(MetricError, match=message):
        error_consistency(**{"predictions": [True, False], "references": [True, False]} | wrong)


@pytest.mark.parametrize("observers", [np.ones((3, 1)), np.ones(3), np.ones((0, 2))])
def test_fewer_than_two_observers_are_refused(observers):
    with pytest.raises(MetricError, match="observers"):
        observer_consistency(observers)
