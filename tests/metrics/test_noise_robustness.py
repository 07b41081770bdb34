"""Noise robustness against a loop over the levels, and where a drop is no longer defined."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, auc

from hf_clipdyn.errors import MetricError
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


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(agree, rows, random):
    shuffled = random.sample(rows, len(rows))
    first, second = (
        noise_robustness(*zip(*chosen, strict=True), n_classes=1000).report() for chosen in (rows, shuffled)
    )
    agree(first, second)


def curve(accuracies, n_images=200, places=None):
    """The numbers of `decisions` with the intervals over images."""
    predictions, truth, sigmas, images = decisions(n_images, accuracies=accuracies)
    return noise_robustness(predictions, truth, sigmas, n_classes=10, places=places).report(images)


def test_a_noise_blind_model_has_no_drop_with_a_paired_interval_of_no_width():
    result = curve((0.8, 0.8, 0.8))
    assert result["relative_drop_at_0.1"] == 0
    assert result["relative_drop_at_0.1_ci"] == [0, 0]


def test_an_area_of_one_rests_on_as_many_trials_as_there_are_images():
    result = curve((1.0, 1.0, 1.0))
    assert result["area"] == 1
    assert result["area_ci"] == pytest.approx(result["accuracy_at_0.0_ci"])


def test_the_paired_interval_of_a_drop_is_narrower_than_that_of_unpaired_rows():
    predictions, truth, sigmas, images = decisions()
    found = noise_robustness(predictions, truth, sigmas, n_classes=10)
    paired, rows = found.report(images), found.report()
    assert np.ptp(paired["relative_drop_at_0.1_ci"]) < 0.8 * np.ptp(rows["relative_drop_at_0.1_ci"])


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


def test_near_chance_both_drops_are_undefined():
    result = curve((0.14, 0.12, 0.1))
    for drop in ("relative_drop_at_0.1", "chance_corrected_drop_at_0.3"):
        assert "is indistinguishable from chance, 0.100" in result["causes"][drop]
        assert np.isnan(result[drop])
        assert f"{drop}_ci" not in result


@given(st.integers(1, 300), st.integers(2, 50), st.data())
def test_clear_of_chance_is_whether_wilsons_interval_is(n, n_classes, data):
    right = data.draw(st.integers(0, n))
    low = binomtest(right, n).proportion_ci(method="wilson").low
    if abs(low - 1 / n_classes) > 1e-9:
        assert clear_of_chance(right / n, n, n_classes) == (low > 1 / n_classes)


def test_without_the_number_of_classes_nothing_is_corrected_for_chance():
    result = noise_robustness([1, 1], [1, 1], [0.0, 0.1]).report()
    undefined = ("chance_corrected_drop_at_0.1", "threshold")
    assert result["causes"] == dict.fromkeys(undefined, "n_classes is not given")
    assert result["relative_drop_at_0.1"] == 0


@pytest.mark.parametrize(
    ("n_classes", "cause"),
    [(10, "indistinguishable from chance"), (None, "no clean image is classified correctly")],
)
def test_no_clean_image_right_leaves_the_drops_undefined(n_classes, cause):
    result = noise_robustness([0, 0, 1], [1, 1, 1], [0.0, 0.0, 0.1], n_classes=n_classes)
    assert cause in result["relative_drop_at_0.1"].cause
    assert np.isnan(result["relative_drop_at_0.1"].value)


def test_clean_images_alone_have_no_area():
    result = noise_robustness([1] * 60, [1] * 60, [0.0] * 60, n_classes=10).report()
    assert result["causes"] == dict.fromkeys(("area", "threshold"), "the only noise level is 0")
    assert np.isnan(result["area"])
    assert result["accuracy_at_0.0"] == 1
    assert 0.9 < result["accuracy_at_0.0_ci"][0] < 1


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


def test_the_threshold_is_the_level_that_takes_half_of_the_accuracy_above_chance():
    result = curve((0.9, 0.7, 0.3), 1000)
    clean, weak, strong = (result[f"accuracy_at_{sigma}"] for sigma in LEVELS)
    half = (clean + 0.1) / 2
    assert result["threshold"] == pytest.approx(0.1 + 0.2 * (weak - half) / (weak - strong))
    low, high = result["threshold_ci"]
    assert 0.1 < low < result["threshold"] < high < 0.3


@pytest.mark.parametrize(
    ("accuracies", "places", "cause"),
    [
        ((0.9, 0.85, 0.7), None, "halfway to chance, at any level that was shown"),
        ((0.9, 0.2, 0.15), [np.nan, -2, -1], "the accuracy is already below 0."),
        ((0.14, 0.12, 0.1), None, "is indistinguishable from chance, 0.100"),
        ((0.9, 0.7, 0.3), [np.nan, np.nan, 1], "fewer than two levels have a place"),
    ],
)
def test_a_threshold_beyond_the_levels_is_undefined_with_its_cause(accuracies, places, cause):
    result = curve(accuracies, places=places)
    assert np.isnan(result["threshold"])
    assert "threshold_ci" not in result
    assert cause in result["causes"]["threshold"]


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


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sigmas": [0.1, 0.2]}, "with rows at 0.0, the clean images: the smallest is 0.1"),
        ({"sigmas": [0.0, -0.1]}, "sigmas must be 0 or more"),
        ({"n_classes": 1}, r"predictions must be in \[0, 0\]"),
        ({"places": [0.0]}, "places"),
        ({"sigmas": [0.0, 0.1], "places": [1.0, 1.0]}, "ascending or descending"),
    ],
)
def test_wrong_input_names_its_argument(change, says):
    given = {"predictions": [1, 1], "references": [1, 0], "sigmas": [0.0, 0.1]} | change
    with pytest.raises(MetricError, match=says):
        noise_robustness(**given)
