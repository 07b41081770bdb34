"""Top-1 and top-5 against scikit-learn, and what is unknown from a truncated ranking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

SIZES = st.tuples(st.integers(1, 80), st.integers(6, 12), st.integers(0, 1000))


def scored(n, n_classes, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_classes)), rng.integers(0, n_classes, n)


@given(SIZES)
def test_accuracies_equal_scikit_learns(sizes):
    scores, truth = scored(*sizes)
    ranked = np.argsort(-scores, axis=1)
    result = zero_shot_accuracy(ranked, truth)
    labels = np.arange(scores.shape[1])
    assert result["top1"].value == pytest.approx(accuracy_score(truth, scores.argmax(axis=1)))
    assert result["top5"].value == pytest.approx(top_k_accuracy_score(truth, scores, k=5, labels=labels))
    assert result["chance"].value == 1 / scores.shape[1]
    assert result["top5_chance"].value == 5 / scores.shape[1]
    assert result.facts["n"] == len(truth)


def test_people_name_the_shape_as_often_as_their_trials_say(human_trials):
    """9,236 of the 12,000 answers to conflicts name the shape (the counts of Geirhos et al. 2019)."""
    known = [*sorted(set(human_trials["shape"])), "na"]
    rows = human_trials[human_trials["shape"] != human_trials["texture"]]
    answers, truth = (rows[name].map(known.index).to_numpy() for name in ("object_response", "shape"))
    result = zero_shot_accuracy(answers[:, None], truth, n_classes=len(known))
    assert result["top5"].cause
    assert (round(result["top1"].value * 12_000), result.facts["n"]) == (9236, 12_000)


def test_the_best_five_of_many_classes_suffice_when_their_number_is_given(agree):
    scores, truth = scored(200, 100, 0)
    ranked = np.argsort(-scores, axis=1)
    five = zero_shot_accuracy(ranked[:, :5], truth, n_classes=100)
    agree(five.report(), zero_shot_accuracy(ranked, truth).report())


def test_all_of_fewer_classes_than_five_are_the_first_five():
    few = zero_shot_accuracy([[1, 0, 2]], [2])
    assert few["top5"].value == few["top5_chance"].value == 1
