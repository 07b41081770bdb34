"""Half-rises of trajectories, on planted curves."""

import numpy as np
import pytest

from hf_clipdyn.metrics.phases import half_rise

SAMPLES = 2.0 ** np.arange(8)
EARLY, LATE = np.arange(8) < 2, np.arange(8) > 5


def logistic(middle):
    return 1 / (1 + np.exp(-8 * (np.log2(SAMPLES) - middle)))


@pytest.mark.parametrize("middle", [2.0, 3.5, 4.5])
def test_the_half_rise_is_where_it_was_planted(middle):
    result = half_rise(0.2 + 0.5 * logistic(middle), SAMPLES, EARLY, LATE)
    assert (result.value, result.cause) == (pytest.approx(middle, abs=0.01), "")


def test_one_lucky_revision_does_not_decide_when_a_number_rises():
    curve = logistic(4.5)
    curve[2] = 0.9
    naive = int((curve > 0.5).argmax())
    assert naive == 2
    assert half_rise(curve, SAMPLES, EARLY, LATE).value > 3.5


def test_a_flat_half_counts_with_its_middle():
    assert half_rise([0, 0.5, 0.5, 1], [1, 2, 4, 8], [1, 0, 0, 0], [0, 0, 0, 1]).value == 1.5
