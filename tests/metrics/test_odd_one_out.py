"""Odd one out of three against counting one by one."""

from collections import Counter

import numpy as np
import pytest

from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling, odd_one_out, odd_one_out_scores


def test_a_tie_shares_the_choice():
    scores, chosen = odd_one_out_scores([[0, 0, 1], [1, 1, 0], [2, 2, 2], [1, 1, 0]], [2, 1, 0, 2])
    assert scores.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0])
    assert chosen.tolist() == [2, -1, -1, -1]
    found = odd_one_out([[0, 0, 1], [1, 1, 0]], [2, 1])
    assert (found["accuracy"].value, found.facts["n_ties"]) == (3 / 4, 1)


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
