"""Agreement with people, condition by condition: a loop over all pairs, influences by finite differences, corners."""

from itertools import combinations

import numpy as np
import pytest

from hf_clipdyn.metrics.observer_agreement import accuracy_gap, observer_agreement, shuffled_accuracy

NAMES = ("accuracy_difference", "kappa_all_agree")


@pytest.fixture
def answers():
    """60 images in three conditions of unequal size, four observers and a model of unlike accuracy."""
    rng = np.random.default_rng(3)
    conditions = np.repeat(["a", "b", "c"], (10, 20, 30))
    easy = rng.random(60)
    observers = (easy[:, None] + rng.normal(0, 0.3, (60, 4)) > [0.3, 0.4, 0.5, 0.6]).astype(float)
    return observers, (easy + rng.normal(0, 0.3, 60) > 0.5).astype(float), conditions


def brute_force(pairs, conditions):
    """The definition: for each condition and pair, then means."""
    by_pair = []
    for first, second in pairs:
        by_condition = []
        for condition in np.unique(conditions):
            rows = (conditions == condition) & ~np.isnan(first) & ~np.isnan(second)
            a, b = first[rows], second[rows]
            observed = np.mean(a == b)
            expected = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
            kappa = 1.0 if observed == 1 else (observed - expected) / (1 - expected)
            by_condition.append([(a.mean() - b.mean()) ** 2, kappa])
        by_pair.append(np.mean(by_condition, axis=0))
    return np.mean(by_pair, axis=0)


def test_a_model_is_compared_with_each_observer_in_each_condition(answers):
    observers, model, conditions = answers
    result = observer_agreement(observers, model, conditions=conditions)
    expected = brute_force([(model, one) for one in observers.T], conditions)
    assert [result[name].value for name in NAMES] == pytest.approx(expected)
    of_conditions = [model[conditions == one].mean() for one in "abc"]
    assert result["accuracy"].value == pytest.approx(np.mean(of_conditions))
    facts = result.facts
    assert (facts["n"], facts["n_pairs"], len(facts["kappas"])) == (60, 4, 4)
    assert np.mean(facts["kappas"]) == pytest.approx(result["kappa"].value)


def test_people_are_compared_in_all_pairs_on_what_both_have_seen(answers):
    observers, _, conditions = answers
    observers[::7, 1] = np.nan
    result = observer_agreement(observers, conditions=conditions)
    expected = brute_force(list(combinations(observers.T, 2)), conditions)
    assert [result[name].value for name in NAMES] == pytest.approx(expected)


def test_two_who_are_always_right_count_as_one_in_the_official_summary_and_an_error_gives_0():
    answers = np.ones((20, 2))
    found = observer_agreement(answers)
    assert (found["kappa_all_agree"].value, found.facts["n_pairs"]) == (1, 0)
    answers[0, 1] = 0
    assert observer_agreement(answers)["kappa"].value == 0


@pytest.mark.parametrize(
    ("errors", "scale", "says"),
    [(4, "none", "no interval"), (5, "correlation", "too narrow"), (20, "correlation", "")],
)
def test_kappa_of_few_errors_has_no_interval_and_of_some_a_caution(errors, scale, says):
    observers = np.ones((100, 2))
    observers[:errors, 0] = observers[errors // 2 : errors // 2 + errors, 1] = 0
    found = observer_agreement(observers)["kappa"]
    assert found.scale == scale
    assert says in found.cause
    assert bool(found.cause) == bool(says)


def test_the_accuracy_of_shuffled_decisions_is_the_mean_over_all_pairs_of_decision_and_label():
    rng = np.random.default_rng(0)
    decisions, labels = rng.integers(0, 5, 40), rng.integers(1, 7, 40)
    slow = np.mean([decision == label for decision in decisions for label in labels])
    assert shuffled_accuracy(decisions, labels).value == pytest.approx(slow, abs=1e-12)


def test_the_gap_of_two_drawings_is_the_mean_over_objects_and_leaves_nothing_to_a_common_object():
    rng = np.random.default_rng(0)
    objects = [np.concatenate([np.arange(9), rng.integers(0, 9, n)]) for n in (4, 7)]
    right = [rng.integers(0, 2, len(names)).astype(float) for names in objects]
    score = accuracy_gap(*right, *objects)

    def gap(kept):
        of_object = [
            [hits[names == at].mean() for at in kept] for hits, names in zip(right, objects, strict=True)
        ]
        return np.subtract(*of_object)

    gaps = gap(np.arange(9))
    assert score.value == pytest.approx(gaps.mean(), abs=1e-12)
    by_object = np.bincount(np.concatenate(objects), score.influence)
    np.testing.assert_allclose(by_object, (gaps - gaps.mean()) / 9, atol=1e-12)
