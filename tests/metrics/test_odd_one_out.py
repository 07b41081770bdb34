"""Odd one out of three against counting one by one."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling, odd_one_out, odd_one_out_scores


def test_a_tie_shares_the_choice():
    scores, chosen = odd_one_out_scores([[0, 0, 1], [1, 1, 0], [2, 2, 2], [1, 1, 0]], [2, 1, 0, 2])
    assert scores.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0])
    assert chosen.tolist() == [2, -1, -1, -1]


def test_each_answer_is_compared_with_the_mode_of_the_others():
    rng = np.random.default_rng(1)
    triplets = [rng.choice(9, 3, replace=False) for _ in range(12)]
    shown = [rng.permutation(triplets[rng.integers(12)]) for _ in range(70)]
    odd = rng.integers(0, 3, 70)
    answers = [(tuple(sorted(one)), one[position]) for one, position in zip(shown, odd, strict=True)]
    counts = {key: Counter(answer for other, answer in answers if other == key) for key, _ in answers}
    expected = {}
    for key, answer in answers:
        others = counts[key] - Counter([answer])
        if not others:
            continue
        modes = [one for one, count in others.items() if count == max(others.values())]
        expected.setdefault(key, []).append((answer in modes) / len(modes))
    found = leave_one_out_ceiling(np.array(shown), odd)
    ceiling = found["ceiling"]
    assert ceiling.value == pytest.approx(
        np.mean([score for scores in expected.values() for score in scores])
    )
    assert list(map(tuple, found.facts["triplets"].tolist())) == sorted(expected)
    of_triplets = [np.sum(np.subtract(expected[key], ceiling.value)) for key in sorted(expected)]
    assert ceiling.influence == pytest.approx(np.array(of_triplets) / found.facts["n"])
    low, high = found.report()["ceiling_ci"]
    assert low < ceiling.value < high


def test_no_repeated_triplet_leaves_the_ceiling_undefined_with_a_cause():
    found = leave_one_out_ceiling([[0, 1, 2], [0, 1, 3]], [0, 1])
    assert np.isnan(found["ceiling"].value)
    assert found.facts["n"] == len(found.facts["triplets"]) == 0
    assert found["ceiling"].cause == "no triplet was judged twice"


def test_objects_that_occur_together_make_the_interval_wider_than_triplets_do():
    rng = np.random.default_rng(3)
    objects = np.array(list(combinations(range(24), 3)))
    hard = rng.random(24) < 0.5  # whole objects are easy or hard
    right = rng.random(len(objects)) < np.where(hard[objects[:, 0]], 0.2, 0.9)
    found = odd_one_out(np.eye(3)[np.where(right, 2, 0)], np.full(len(objects), 2))
    assert found["accuracy"].value == pytest.approx(right.mean())
    over_objects, over_triplets = (
        np.diff(found.report(images=images)["accuracy_ci"])[0] for images in (objects, None)
    )
    assert over_objects > 3 * over_triplets
