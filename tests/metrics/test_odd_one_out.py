"""Odd one out of three against counting one by one."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling, odd_one_out, odd_one_out_scores


def test_a_tie_shares_the_choice():
    scores, chosen = odd_one_out_scores([[0, 0, 1], [1, 1, 0], [2, 2, 2], [1, 1, 0]], [2, 1, 0, 2])
    assert scores.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0])
    assert chosen.tolist() == [2, -1, -1, -1]


def test_a_random_similarity_scores_a_third():
    rng = np.random.default_rng(0)
    scores, _ = odd_one_out_scores(rng.random((20_000, 3)), rng.integers(0, 3, 20_000))
    assert scores.mean() == pytest.approx(1 / 3, abs=0.01)


def test_each_answer_is_compared_with_the_mode_of_the_others():
    rng = np.random.default_rng(1)
    triplets = [rng.choice(9, 3, replace=False) for _ in range(12)]
    shown = [rng.permutation(triplets[rng.integers(12)]) for _ in range(70)]
    odd = rng.integers(0, 3, 70)
    answers = [(tuple(sorted(one)), one[position]) for one, position in zip(shown, odd, strict=True)]
    counts = {key: Counter(answer for other, answer in answers if other == key) for key, _ in answers}
    expected, most = [], {}
    for key, answer in answers:
        others = counts[key] - Counter([answer])
        if not others:
            continue
        modes = [one for one, count in others.items() if count == max(others.values())]
        expected.append((answer in modes) / len(modes))
        most[key] = max(counts[key].values()) / counts[key].total()
    found = leave_one_out_ceiling(np.array(shown), odd, n_resamples=200)
    assert found["ceiling"] == pytest.approx(np.mean(expected))
    assert found["most_frequent"] == pytest.approx(np.mean(list(most.values())))
    assert (found["n"], found["n_triplets"]) == (len(expected), len(most))
    assert found["ceiling_ci"][0] < found["ceiling"] < found["ceiling_ci"][1]


def test_the_ceiling_of_random_answers_is_a_third_and_the_most_frequent_answer_is_above_it():
    rng = np.random.default_rng(2)
    objects = np.repeat(np.arange(300)[:, None] * 3 + np.arange(3), 40, axis=0)
    found = leave_one_out_ceiling(objects, rng.integers(0, 3, len(objects)), n_resamples=0)
    assert found["ceiling"] == pytest.approx(1 / 3, abs=0.015)
    assert found["most_frequent"] > 0.38


def test_no_repeated_triplet_leaves_the_ceiling_undefined_with_a_cause():
    found = leave_one_out_ceiling([[0, 1, 2], [0, 1, 3]], [0, 1])
    assert np.isnan([found["ceiling"], found["most_frequent"]]).all()
    assert (found["n"], found["n_triplets"]) == (0, 0)
    assert found["causes"] == {"ceiling": "no triplet was judged twice"}


def test_objects_that_occur_together_make_the_interval_wider_than_triplets_do():
    rng = np.random.default_rng(3)
    objects = np.array(list(combinations(range(24), 3)))
    hard = rng.random(24) < 0.5  # whole objects are easy or hard
    scores = (rng.random(len(objects)) < np.where(hard[objects[:, 0]], 0.2, 0.9)).astype(float)
    found = odd_one_out(scores, objects, n_resamples=400)
    over_objects, over_triplets = (np.diff(found[key])[0] for key in ("accuracy_ci", "same_objects_ci"))
    assert found["accuracy"] == found["same_objects"] == pytest.approx(scores.mean())
    assert over_objects > 3 * over_triplets


def test_the_interval_over_objects_is_that_of_drawing_objects_one_by_one():
    rng = np.random.default_rng(4)
    objects = np.array([rng.choice(30, 3, replace=False) for _ in range(400)])
    scores = (rng.random(400) < 0.5).astype(float)
    found = odd_one_out(scores, objects, n_resamples=2000)
    means = []
    for _ in range(2000):
        drawn = Counter(rng.integers(0, 30, 30).tolist())
        weights = [drawn[a] * drawn[b] * drawn[c] for a, b, c in objects.tolist()]
        means.append(np.average(scores, weights=weights))
    assert found["accuracy_ci"] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: odd_one_out([], np.empty((0, 3))), "one number per judgement"),
        (lambda: odd_one_out([2.0], [[0, 1, 2]]), r"in \[0, 1\]"),
        (lambda: odd_one_out([0.5], [[0, 1]]), "3 values for each"),
        (lambda: odd_one_out_scores([[0, 1]], [0]), "three numbers per triplet"),
        (lambda: odd_one_out_scores([[0, 1, np.nan]], [0]), "NaN"),
        (lambda: odd_one_out_scores([[0, 1, 2]], [3]), "0, 1 or 2"),
        (lambda: leave_one_out_ceiling([[0, 1, 2]], [3]), "0, 1 or 2"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(MetricError, match=message):
        call()
