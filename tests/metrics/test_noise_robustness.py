"""Noise robustness against a loop over the levels, and where a drop is no longer defined."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, auc

from hf_clipdyn.metrics.noise_robustness import (
    accuracy_curve,
    clear_of_chance,
    drop_when_right,
    noise_robustness,
)
from hf_clipdyn.metrics.scores import Scores, interval, mean, over

LEVELS = [0.0, 0.1, 0.3]
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(LEVELS)), min_size=1, max_size=60
).map(lambda rows: [*rows, (1, 1, 0.0), (2, 2, 0.1), (3, 0, 0.3)])


@given(ROWS)
def test_every_level_equals_a_loop_with_scikit_learn(rows):
    predictions, references, sigmas = (np.array(column) for column in zip(*rows, strict=True))
    result = noise_robustness(predictions, references, sigmas, n_classes=1000)
    expected = [accuracy_score(references[sigmas == s], predictions[sigmas == s]) for s in LEVELS]
    clean, chance = expected[0], 1 / 1000
    assert result.facts["sigmas"] == LEVELS
    for sigma, accuracy in zip(LEVELS, expected, strict=True):
        assert result[f"accuracy_at_{sigma}"].value == pytest.approx(accuracy)
    for sigma, accuracy in zip(LEVELS[1:], expected[1:], strict=True):
        assert result[f"relative_drop_at_{sigma}"].value == pytest.approx((clean - accuracy) / clean)
        corrected = (clean - accuracy) / (clean - chance)
        assert result[f"chance_corrected_drop_at_{sigma}"].value == pytest.approx(corrected)
    assert result["area"].value == pytest.approx(auc(LEVELS, expected) / LEVELS[-1])
    fewest = sigmas < LEVELS[-1]
    of_two = noise_robustness(predictions[fewest], references[fewest], sigmas[fewest], n_classes=1000)
    assert of_two["area"].value == pytest.approx(np.mean(expected[:2]))
    assert result.facts["n_per_sigma"] == [int((sigmas == s).sum()) for s in LEVELS]
    assert result.facts["n"] == len(rows)


@given(st.integers(1, 300), st.integers(2, 50), st.data())
def test_clear_of_chance_is_whether_wilsons_interval_is(n, n_classes, data):
    right = data.draw(st.integers(0, n))
    low = binomtest(right, n).proportion_ci(method="wilson").low
    if abs(low - 1 / n_classes) > 1e-9:
        assert clear_of_chance(right / n, n, n_classes) == (low > 1 / n_classes)


def test_of_the_images_that_are_right_when_clean_those_alone_count():
    found = drop_when_right([1] * 20 + [0] * 980, [1] * 20 + [0] * 980)
    assert (found.value, found.n) == (0, 20)
    assert (
        Scores({"drop": found}).report()["drop_ci"]
        == Scores({"drop": mean([0] * 20, "count")}).report()["drop_ci"]
    )


def first_halfway(accuracy, places, clean, chance):
    """Step by step along each segment of the curve."""
    half = (clean + chance) / 2
    if accuracy[0] < half:
        return np.nan
    for (x0, y0), (x1, y1) in pairwise(zip(places, accuracy, strict=True)):
        if y0 == half:
            return x0
        if y1 <= half:
            return np.interp(-half, [-y0, -y1], [x0, x1])
    return np.nan


@given(
    st.lists(st.floats(0, 1).map(lambda x: round(x, 2)), min_size=2, max_size=8),
    st.sampled_from([1, -1]),
    st.integers(30, 100),
)
def test_the_threshold_equals_a_walk_along_the_curve(accuracy, sign, clean):
    places = sign * np.cumsum(np.linspace(0.1, 0.4, len(accuracy)))
    right = np.arange(100)[:, None] < np.round(100 * np.array([clean / 100, *accuracy]))
    found = accuracy_curve(right, [np.nan, *places], n_classes=10)[1]["threshold"].value
    expected = first_halfway(accuracy, places, clean / 100, 0.1)
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_an_interval_of_a_threshold_is_cut_to_the_strongest_level():
    right = np.arange(200)[:, None] < [180, 140, 99]
    found = accuracy_curve(right, LEVELS, n_classes=10)[1]["threshold"]
    assert found.value < interval(found.value, over(found.influence), found.scale)[1] == 0.3
