"""Error consistency: people with people, Cohen's kappa of scikit-learn, and the corners."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipes import trials
from sklearn.metrics import cohen_kappa_score

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.error_consistency import (
    Observer,
    compare_observers,
    decision_margins,
    error_consistency,
    kappa_forms,
    margin_consistency,
    observer_consistency,
    pair_statistics,
)

FORMS = ("kappa_unbiased", "kappa_over_max", "copy_probability")
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
    assert result["causes"].keys() == set(FORMS)


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
                "kappa_over_max": -0.1695501730,
                "copy_probability": -0.1253196931,
                "same_wrong_answer": 3 / 6,
                "n_wrong": 6,
            },
        ),
        (
            (0, 5),
            (1, 5),
            {
                "kappa": -0.03896103896,
                "kappa_unbiased": -0.04,
                "kappa_max": 0.8961038961,
                "copy_probability": -0.04,
            },
        ),
        (
            (0, 0),
            (0, 7),
            {
                "kappa": 0.03381642512,
                "kappa_max": 0.03381642512,
                "kappa_min": -0.1594202899,
                "kappa_over_max": 1,
                "copy_probability": 0.09090909091,
                "same_wrong_answer": 3 / 7,
                "n_wrong": 7,
            },
        ),
    ],
)
def test_the_forms_of_kappa_match_the_authors_code(first, second, expected):
    decisions, labels, right = trials(3, 8, 40, (7, 31, 13, 17, 3, 101), 8, 11)
    result = error_consistency(
        right[first], right[second], decisions=[decisions[first], decisions[second]], labels=labels
    )
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=5e-11)
    low, high = result["same_wrong_answer_ci"]
    assert low < result["same_wrong_answer"] < high
    assert result["causes"] == {}


@pytest.mark.parametrize(("value", "word"), [(True, "right"), (False, "wrong")])
def test_beside_one_observer_who_is_always_right_or_wrong_kappa_is_zero_and_its_other_forms_are_undefined(
    value, word
):
    result = error_consistency([value] * 4, [True, True, False, True], n_resamples=0)
    assert [result[name] for name in ("kappa", "kappa_min", "kappa_max")] == [0, 0, 0]
    assert np.isnan([result[name] for name in FORMS]).all()
    assert result["causes"] == dict.fromkeys(FORMS, f"one observer is {word} on all images")


def test_two_observers_who_are_always_right_have_none_of_the_forms():
    result = error_consistency([True] * 4, [True] * 4, n_resamples=0)
    assert np.isnan([result[name] for name in FORMS]).all()
    assert result["causes"].keys() == {"kappa", "kappa_min", "kappa_max", *FORMS}


def test_the_copy_probability_is_the_share_of_trials_that_were_copied():
    rng = np.random.default_rng(3)
    better = rng.random(200_000) < 0.8
    copied = rng.random(200_000) < 0.3
    worse = np.where(copied, better, rng.random(200_000) < 0.8)
    assert error_consistency(better, worse, n_resamples=0)["copy_probability"] == pytest.approx(0.3, abs=0.01)


def test_independent_wrong_answers_are_equal_as_often_as_chance_says():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, 50_000)
    uniform = (labels + rng.integers(1, 4, (2, 50_000))) % 4
    result = compare_observers(*(Observer(one[None], labels[None]) for one in uniform))
    assert result["same_wrong_answer_chance"] == pytest.approx(1 / 3, abs=0.001)
    assert result["same_wrong_answer"] == pytest.approx(1 / 3, abs=0.01)
    one = Observer(uniform[:1], labels[None])
    assert compare_observers(one, one)["same_wrong_answer"] == 1


def wrong_alike(first, second, labels):
    """The share of equal answers where both are wrong, that by chance, and their number, image by image."""
    wrong = (first != labels) & (second != labels)
    shares = [
        {label: Counter(one[(labels == label) & (one != labels)]) for label in set(labels)}
        for one in (first, second)
    ]
    products = [
        np.mean([q1 == q2 for q1 in a.elements() for q2 in b.elements()])
        for a, b in ([of[label] for of in shares] for label in labels[wrong])
    ]
    if not products:
        return {"same_wrong_answer": np.nan, "same_wrong_answer_chance": np.nan, "n_wrong": 0}
    return {
        "same_wrong_answer": (first == second)[wrong].mean(),
        "same_wrong_answer_chance": np.mean(products),
        "n_wrong": wrong.sum(),
    }


def test_all_ways_at_once_give_the_numbers_of_each_pair():
    """In the last two ways, one observer is always right, and both are."""
    rng = np.random.default_rng(6)
    names = np.array(["bear", "bird", "boat", "car", "cat"], dtype=object)
    labels = names[rng.integers(0, 4, (5, 60))]
    first, second = names[rng.integers(0, 4, (2, 5, 60))]
    second[1] = np.where(
        rng.random(60) < 0.5, first[1], "cat"
    )  # an answer that the first observer never gives
    first[3:], second[4] = labels[3:], labels[4]
    found = compare_observers(Observer(first, labels), Observer(second, labels))
    for at in range(5):
        right = [(one[at] == labels[at]).astype(float) for one in (first, second)]
        expected = kappa_forms(*(one[:, None] for one in right))
        expected |= wrong_alike(first[at], second[at], labels[at])
        assert found.keys() == expected.keys() | {"influences"}
        for name, value in expected.items():
            assert found[name][at] == pytest.approx(np.ravel(value)[0], abs=1e-14, nan_ok=True), name
        influences = pair_statistics(*(one[:, None] for one in right))[1][0, :, 0]
        assert found["influences"][at] == pytest.approx(influences, abs=1e-16, nan_ok=True)


@pytest.mark.parametrize(
    ("decisions", "labels", "says"),
    [
        ([1, 2], [1, 2], "one shape"),
        ([["a", 1]], [["a", "a"]], "all strings"),
        ([[1, 2]], [[1]], "one shape"),
    ],
)
def test_an_observer_answers_every_item_with_names_or_with_numbers(decisions, labels, says):
    with pytest.raises(MetricError, match=says):
        Observer(np.array(decisions, dtype=object), np.array(labels, dtype=object))


def test_observers_who_were_asked_differently_are_not_compared():
    one, other = Observer([[0, 1, 1]], [[0, 1, 1]]), Observer([[0, 1, 1]], [[0, 0, 1]])
    with pytest.raises(MetricError, match="same items with the same labels"):
        compare_observers(one, other)


def test_what_is_right_may_not_contradict_the_answers():
    with pytest.raises(MetricError, match="references contradicts decisions and labels"):
        error_consistency([1, 0], [1, 1], decisions=[["a", "b"], ["a", "b"]], labels=["a", "a"])


def test_without_an_image_that_is_wrong_for_both_there_is_no_same_wrong_answer():
    result = error_consistency([1, 0], [0, 1], decisions=[["a", "b"], ["b", "a"]], labels=["a", "a"])
    assert np.isnan([result["same_wrong_answer"], *result["same_wrong_answer_ci"]]).all()
    assert result["causes"]["same_wrong_answer"] == "no image is wrong for both observers"


@pytest.mark.parametrize(("n", "error"), [(160, 0.089), (1200, 0.033)])
def test_many_published_differences_are_within_the_standard_error(n, error):
    """At accuracies of .8 and a kappa of .4."""
    first, second = np.repeat([[1, 1, 0, 0], [1, 0, 1, 0]], [704, 96, 96, 104], axis=1).astype(float)
    values, influences = pair_statistics(first[:, None], second[:, None])
    assert values[0] == pytest.approx(0.4)
    assert np.sqrt(np.square(influences[0]).sum() * 1000 / n) == pytest.approx(error, abs=5e-4)


def test_margins_of_two_observers_correlate_and_their_influences_are_those_of_leaving_one_out():
    rng = np.random.default_rng(0)
    labels, shared = rng.integers(0, 4, 200), rng.normal(size=(200, 4))
    first, second = (decision_margins(shared + rng.normal(size=(200, 4)), labels) for _ in range(2))
    result = margin_consistency(first, second)
    assert result["margin_consistency"] == pytest.approx(np.corrcoef(first, second)[0, 1])
    left_out = [np.corrcoef(np.delete(first, k), np.delete(second, k))[0, 1] for k in range(200)]
    wanted = (np.mean(left_out) - np.array(left_out)) * (1 - 1 / 200)
    assert result["influences"] == pytest.approx(wanted, abs=5e-4)
    assert "same margin" in margin_consistency(np.ones(5), np.arange(5))["causes"]["margin_consistency"]
    with pytest.raises(MetricError, match="whole numbers from 0 to 3"):
        decision_margins(shared, labels + 1)
