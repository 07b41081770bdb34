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
from hf_clipdyn.metrics.scores import Scores, mean

LEVELS = [0.0, 0.1, 0.3]
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(LEVELS)), min_size=1, max_size=60
).map(lambda rows: [*rows, (1, 1, 0.0), (2, 2, 0.1), (3, 0, 0.3)])


def decisions(n_images=200, n_classes=10, accuracies=(0.9, 0.7, 0.3), seed=0):
    """One image at three levels: hard images fail first, hence decisions of an image go together."""
    rng = np.random.default_rng(seed)
    truth, ease = rng.integers(0, n_classes, n_images), rng.random(n_images)
    predictions = [np.where(ease < a, truth, (truth + 1) % n_classes) for a in accuracies]
    images = np.tile(np.arange(n_images), 3)
    return np.concatenate(predictions), np.tile(truth, 3), np.repeat(LEVELS, n_images), images


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
    assert result.facts["n_per_sigma"] == [int((sigmas == s).sum()) for s in LEVELS]
    assert result.facts["n"] == len(rows)


def curve(accuracies, n_images=200, places=None):
    """The numbers of `decisions` with the intervals over images."""
    predictions, truth, sigmas, images = decisions(n_images, accuracies=accuracies)
    return noise_robustness(predictions, truth, sigmas, n_classes=10, places=places).report(images)


@pytest.mark.parametrize("log", [False, True])
def test_influences_are_those_of_leaving_out_each_image(log):
    rng = np.random.default_rng(0)
    ease = rng.random((300, 1)) + 0.2 * rng.random((300, 4))
    right = (ease < np.array([0.95, 0.9, 0.6, 0.3])).astype(float)

    def values(rows):
        by_level, whole = accuracy_curve(rows, [0.0, 0.05, 0.1, 0.4], log=log, n_classes=10)
        of_levels = [score for scores in by_level for score in scores.values()]
        return [*of_levels, *whole.values(), drop_when_right(rows[:, 0], rows[:, 2])]

    whole = values(right)
    without = np.array([[one.value for one in values(np.delete(right, row, 0))] for row in range(300)])
    jackknife = (without.mean(axis=0) - without) * (1 - 1 / 300)
    for score, expected in zip(whole, jackknife.T, strict=True):
        assert np.square(score.influence).sum() == pytest.approx(np.square(expected).sum(), rel=0.04)
        assert score.influence == pytest.approx(expected, abs=0.1 * np.abs(expected).max() + 1e-12)


@given(st.integers(1, 300), st.integers(2, 50), st.data())
def test_clear_of_chance_is_whether_wilsons_interval_is(n, n_classes, data):
    right = data.draw(st.integers(0, n))
    low = binomtest(right, n).proportion_ci(method="wilson").low
    if abs(low - 1 / n_classes) > 1e-9:
        assert clear_of_chance(right / n, n, n_classes) == (low > 1 / n_classes)


@pytest.mark.parametrize(
    ("accuracies", "given", "name", "cause"),
    [
        ((0.14, 0.12, 0.1), {}, "relative_drop_at_0.1", "indistinguishable from chance, 0.100"),
        ((0.14, 0.12, 0.1), {}, "chance_corrected_drop_at_0.3", "indistinguishable from chance"),
        (
            (0.0, 0.2, 0.1),
            {"n_classes": None},
            "relative_drop_at_0.1",
            "no clean image is classified correctly",
        ),
        ((0.9, 0.7, 0.3), {"n_classes": None}, "chance_corrected_drop_at_0.1", "n_classes is not given"),
        ((0.9, 0.85, 0.7), {}, "threshold", "at any level that was shown"),
        ((0.9, 0.2, 0.15), {"places": [np.nan, -2, -1]}, "threshold", "already below 0."),
        ((0.9, 0.7, 0.3), {"places": [np.nan, np.nan, 1]}, "threshold", "fewer than two levels have a place"),
    ],
)
def test_what_is_undefined_has_a_cause_and_no_interval(accuracies, given, name, cause):
    predictions, truth, sigmas, images = decisions(accuracies=accuracies)
    result = noise_robustness(predictions, truth, sigmas, **{"n_classes": 10} | given).report(images)
    assert np.isnan(result[name])
    assert f"{name}_ci" not in result
    assert cause in result["causes"][name]


def test_clean_images_alone_have_no_area():
    result = noise_robustness([1] * 60, [1] * 60, [0.0] * 60, n_classes=10).report()
    assert result["causes"] == dict.fromkeys(("area", "threshold"), "the only noise level is 0")
    assert result["accuracy_at_0.0"] == 1


def test_of_the_images_that_are_right_when_clean_those_alone_count():
    found = drop_when_right([1] * 20 + [0] * 980, [1] * 20 + [0] * 980)
    assert (found.value, found.n) == (0, 20)
    assert (
        Scores({"drop": found}).report()["drop_ci"]
        == Scores({"drop": mean([0] * 20, "count")}).report()["drop_ci"]
    )
    assert np.isnan(drop_when_right([0, 0], [1, 0]).value)


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
    result = curve((0.9, 0.7, 0.495))
    assert result["threshold"] < result["threshold_ci"][1] == 0.3


def test_the_influence_on_the_area_depends_on_the_steps_between_levels_not_on_where_they_begin():
    right = [[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0]]
    at_zero, later = (
        accuracy_curve(right, np.array([0.0, 0.1, 0.4]) + start, n_classes=10)[1]["area"].influence
        for start in (0, 0.2)
    )
    np.testing.assert_allclose(later, at_zero)
    assert np.abs(at_zero).max() > 0
