"""Noise robustness against a loop over the levels, and where a drop is no longer defined."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, auc

from hf_clipdyn.metrics.noise_robustness import halfway_place, noise_robustness, robustness_influences

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
    result = noise_robustness(predictions, references, sigmas, n_classes=1000, n_resamples=0)
    expected = [accuracy_score(references[sigmas == s], predictions[sigmas == s]) for s in LEVELS]
    clean, chance = expected[0], 1 / 1000
    assert result["sigmas"] == LEVELS
    assert result["accuracy"] == pytest.approx(expected)
    assert result["relative_drop"] == pytest.approx([(clean - a) / clean for a in expected])
    assert result["chance_corrected_drop"] == pytest.approx(
        [(clean - a) / (clean - chance) for a in expected]
    )
    assert result["area"] == pytest.approx(auc(LEVELS, expected) / LEVELS[-1])
    assert result["n_per_sigma"] == [int((sigmas == s).sum()) for s in LEVELS]
    assert (result["clean_accuracy"], result["n"]) == (clean, len(rows))


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(agree, rows, random):
    shuffled = random.sample(rows, len(rows))
    first, second = (
        noise_robustness(*zip(*chosen, strict=True), n_classes=1000) for chosen in (rows, shuffled)
    )
    agree(first, second)


def test_a_noise_blind_model_has_no_drop_with_a_paired_interval_of_no_width():
    predictions, truth, sigmas, images = decisions(accuracies=(0.8, 0.8, 0.8))
    result = noise_robustness(predictions, truth, sigmas, n_classes=10, groups=images)
    assert result["relative_drop"] == [0, 0, 0]
    assert result["relative_drop_ci"] == [[0, 0]] * 3


def test_an_area_of_one_rests_on_as_many_trials_as_there_are_images():
    predictions, truth, sigmas, images = decisions(accuracies=(1.0, 1.0, 1.0))
    result = noise_robustness(predictions, truth, sigmas, n_classes=10, groups=images)
    assert result["area"] == 1
    assert result["area_ci"] == pytest.approx(result["clean_accuracy_ci"])


def test_the_paired_interval_of_a_drop_is_narrower_than_that_of_unpaired_rows(agree):
    predictions, truth, sigmas, images = decisions()
    paired = noise_robustness(predictions, truth, sigmas, n_classes=10, groups=images)
    rows = noise_robustness(predictions, truth, sigmas, n_classes=10)
    assert np.ptp(paired["relative_drop_ci"][1]) < 0.8 * np.ptp(rows["relative_drop_ci"][1])
    keys = [key for key in rows if not key.endswith("_ci")]
    agree({key: paired[key] for key in keys}, {key: rows[key] for key in keys})


def test_a_paired_interval_equals_the_percentiles_of_images_drawn_in_a_loop():
    predictions, truth, sigmas, images = decisions(n_images=60)
    result = noise_robustness(predictions, truth, sigmas, n_classes=10, groups=images, n_resamples=4000)
    right = (predictions == truth).reshape(3, 60)
    rng = np.random.default_rng(1)
    drops = []
    for _ in range(4000):
        accuracy = right[:, rng.integers(0, 60, 60)].mean(axis=1)
        drops.append((accuracy[0] - accuracy[2]) / accuracy[0])
    assert result["relative_drop_ci"][2] == pytest.approx(np.quantile(drops, [0.025, 0.975]), abs=0.02)


def test_near_chance_both_drops_are_undefined_whether_or_not_there_are_resamples():
    predictions, truth, sigmas, _ = decisions(accuracies=(0.14, 0.12, 0.1))
    for n_resamples in (0, 100):
        result = noise_robustness(predictions, truth, sigmas, n_classes=10, n_resamples=n_resamples)
        for drop in ("relative_drop", "chance_corrected_drop"):
            assert "is indistinguishable from chance, 0.100" in result["causes"][drop]
        for drop in ("relative_drop", "chance_corrected_drop"):
            assert np.isnan(result[drop]).all()
    for drop in ("relative_drop", "chance_corrected_drop"):
        assert np.isnan(result[f"{drop}_ci"]).all()


def test_without_the_number_of_classes_nothing_is_corrected_for_chance():
    result = noise_robustness([1, 1], [1, 1], [0.0, 0.1])
    assert result["causes"] == dict.fromkeys(("chance_corrected_drop", "threshold"), "n_classes is not given")
    assert np.isnan(result["chance_corrected_drop"]).all()
    assert result["relative_drop"] == [0, 0]


@pytest.mark.parametrize(
    ("n_classes", "cause"),
    [(10, "indistinguishable from chance"), (None, "no clean image is classified correctly")],
)
def test_no_clean_image_right_leaves_the_drops_undefined(n_classes, cause):
    result = noise_robustness([0, 0, 1], [1, 1, 1], [0.0, 0.0, 0.1], n_classes=n_classes)
    assert cause in result["causes"]["relative_drop"]
    assert np.isnan(result["relative_drop"]).all()


def test_clean_images_alone_have_no_area():
    result = noise_robustness([1] * 60, [1] * 60, [0.0] * 60, n_classes=10)
    assert result["causes"] == dict.fromkeys(("area", "threshold"), "the only noise level is 0")
    assert np.isnan([result["area"], *result["area_ci"]]).all()
    assert result["accuracy"] == [1.0]
    assert 0.9 < result["accuracy_ci"][0][0] < 1


def first_halfway(accuracy, places, clean, chance):
    """Step by step along each segment of the curve."""
    half = (clean + chance) / 2
    if accuracy[0] < half:
        return -np.inf
    for (x0, y0), (x1, y1) in pairwise(zip(places, accuracy, strict=True)):
        if y0 == half:
            return x0
        if y1 <= half:
            return np.interp(-half, [-y0, -y1], [x0, x1])
    return np.inf


@given(
    st.lists(st.floats(0, 1).map(lambda x: round(x, 3)), min_size=2, max_size=8),
    st.sampled_from([1, -1]),
    st.floats(0.2, 1),
)
def test_the_threshold_equals_a_walk_along_the_curve(accuracy, sign, clean):
    places = sign * np.cumsum(np.linspace(0.1, 0.4, len(accuracy)))
    found = halfway_place([accuracy], places, [clean], 0.1)[0]
    assert found == pytest.approx(first_halfway(accuracy, places, clean, 0.1), abs=1e-9)


def test_the_threshold_is_the_level_that_takes_half_of_the_accuracy_above_chance():
    predictions, truth, sigmas, images = decisions(n_images=1000)
    result = noise_robustness(predictions, truth, sigmas, n_classes=10, groups=images)
    clean, weak, strong = result["accuracy"]
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
    predictions, truth, sigmas, images = decisions(accuracies=accuracies)
    result = noise_robustness(predictions, truth, sigmas, n_classes=10, groups=images, places=places)
    assert np.isnan([result["threshold"], *result["threshold_ci"]]).all()
    assert cause in result["causes"]["threshold"]


def test_an_interval_of_a_threshold_is_open_at_the_strongest_level():
    """Half of the resamples never fall so far: they count as the strongest level, and are not left out."""
    predictions, truth, sigmas, images = decisions(accuracies=(0.9, 0.7, 0.495))
    result = noise_robustness(predictions, truth, sigmas, n_classes=10, groups=images)
    assert result["threshold"] < result["threshold_ci"][1] == 0.3


def test_the_influence_on_the_area_depends_on_the_steps_between_levels_not_on_where_they_begin():
    right = [[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0]]
    at_zero, later = (
        robustness_influences(right, np.array([0.0, 0.1, 0.4]) + start, chance=0.1)["area"]
        for start in (0, 0.2)
    )
    np.testing.assert_allclose(later, at_zero)
    assert np.abs(at_zero).max() > 0
