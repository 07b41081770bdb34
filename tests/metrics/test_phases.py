"""Turns of trajectories: numbers that another implementation gave, and planted curves."""

import numpy as np
import pytest

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.phases import (
    half_rise,
    half_rise_lead,
    seed_to_step_variance,
    segmented_regression,
    settling,
    two_lines,
)

S, X = np.ogrid[:5, :12]
CURVES = 0.1 + 0.08 * np.minimum(X, 3.5 + S % 3) + 0.01 * X + 0.05 * ((7 * X + 5 * S + X**2) % 11 / 11 - 0.5)
GRID = np.arange(15, 96) / 10
SAMPLES = 2.0 ** np.arange(8)
EARLY, LATE = np.arange(8) < 2, np.arange(8) > 5


def test_breaks_of_five_seeds_match():
    result = segmented_regression(CURVES, X[0], grid=GRID)
    assert result["breaks"] == pytest.approx([3.2, 4.7, 5.3, 3.8, 4.5])
    found = [result["break_mean"], *result["break_ci"], result["break_common"]]
    assert found == pytest.approx([4.3, 3.287453652, 5.312546348, 4.5], abs=5e-10)
    assert result["squares"][0] == pytest.approx(0.002942224038, abs=5e-13)
    assert result["squares_straight"][0] == pytest.approx(0.04729335664, abs=5e-12)
    assert result["share_with_sign"] == 1
    assert max(result["slope_changes"]) < 0


def test_the_variance_of_seeds_over_that_of_steps_matches():
    assert seed_to_step_variance(CURVES) == pytest.approx(10.94579238, abs=5e-9)


def test_noise_without_effects_of_seeds_differs_no_more_than_its_steps():
    noise = np.random.default_rng(0).normal(size=(20, 400))
    assert seed_to_step_variance(noise) == pytest.approx(1, abs=0.05)
    assert seed_to_step_variance(noise + np.arange(20)[:, None]) > 30
    assert np.isnan(seed_to_step_variance(noise[:1]))


def test_two_lines_match():
    x = np.arange(10)
    y = 0.5 + 0.06 * np.minimum(x, 4) - 0.02 * np.maximum(0, x - 4) + 0.01 * ((7 * x + x**2) % 11 / 11 - 0.5)
    result = two_lines(y, x, 4)
    found = [result[name][0] for name in ("rises", "falls", "jumps")]
    assert found == pytest.approx([0.06, -0.0199090909, 0.0004545455], abs=5e-11)
    assert result["share_inverted"] == 1


def test_a_curve_that_saturates_is_no_inverted_u_though_a_quadratic_says_so():
    x = np.arange(12)
    y = 1 - np.exp(-x / 2)
    assert np.polyfit(x, y, 2)[0] < 0
    assert two_lines([y, y[::-1]], x, 5)["share_inverted"] == 0


def test_a_break_of_one_seed_alone_has_no_interval_and_straight_lines_need_none():
    result = segmented_regression(2.0 * np.arange(8), np.arange(8))
    assert np.isnan(result["break_ci"]).all()
    assert result["causes"] == {"break_ci": "there is only one seed"}
    assert result["slope_changes"] == pytest.approx([0], abs=1e-9)
    assert result["squares"] == pytest.approx(result["squares_straight"], abs=1e-9)


def test_opposite_turns_of_seeds_are_counted():
    turns = np.array([[1.0], [1], [-0.5]]) * np.maximum(0, np.arange(9) - 4)
    assert segmented_regression(turns, np.arange(9))["share_with_sign"] == pytest.approx(2 / 3)


# --- half-rise -------------------------------------------------------------------------------------------


def logistic(middle):
    return 1 / (1 + np.exp(-8 * (np.log2(SAMPLES) - middle)))


@pytest.mark.parametrize("middle", [2.0, 3.5, 4.5])
def test_the_half_rise_is_where_it_was_planted(middle):
    result = half_rise(0.2 + 0.5 * logistic(middle), SAMPLES, EARLY, LATE)
    assert result["octaves"] == pytest.approx(middle, abs=0.01)
    assert result["samples"] == pytest.approx(2**middle, rel=0.01)
    assert (result["start"], result["end"]) == pytest.approx((0.2, 0.7), abs=0.01)


def test_one_lucky_revision_does_not_decide_when_a_number_rises():
    curve = logistic(4.5)
    curve[2] = 0.9
    naive = int((curve > 0.5).argmax())
    assert naive == 2
    assert half_rise(curve, SAMPLES, EARLY, LATE)["octaves"] > 3.5


def test_influences_on_mean_progress_are_its_derivatives():
    rng = np.random.default_rng(5)
    curves = np.linspace(rng.uniform(0.1, 0.5, 3), 1, 6, axis=1) + 0.05 * rng.normal(size=(3, 6))
    given, samples = rng.normal(size=(3, 6, 4)), [0, 1, 2, 4, 9, 16]
    found = settling(curves, samples, given)["influences"]
    for item in range(4):
        ahead, behind = (settling(curves + step * given[:, :, item], samples) for step in (1e-6, -1e-6))
        for name, influences in found.items():
            slope = (np.array(ahead[name]) - np.array(behind[name])) / 2e-6
            assert influences[..., item] == pytest.approx(slope, abs=1e-7)


def test_a_flat_half_counts_with_its_middle():
    assert half_rise([0, 0.5, 0.5, 1], [1, 2, 4, 8], [1, 0, 0, 0], [0, 0, 0, 1])["octaves"] == 1.5


@pytest.mark.parametrize(("first", "second", "lead"), [(2.5, 4, 1.5), (4, 2.5, -1.5), (3, 3, 0)])
def test_the_earlier_rise_leads(first, second, lead):
    result = half_rise_lead(logistic(first), logistic(second), SAMPLES, EARLY, LATE)
    assert result["lead"] == pytest.approx(lead, abs=0.02)
    assert result["causes"] == {}


def test_what_does_not_rise_has_no_half():
    falling = half_rise(-logistic(3), SAMPLES, EARLY, LATE)
    assert np.isnan(falling["octaves"])
    assert falling["causes"]["octaves"] == "the number does not rise from the early window to the late one"
    curve = logistic(3)
    curve[4] = np.nan
    result = half_rise_lead(logistic(3), curve, SAMPLES, EARLY, LATE)
    assert np.isnan(result["lead"])
    assert result["causes"]["lead"] == "of the second, the number is undefined at a revision"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: half_rise([1, 2], [0, 1], [1, 0], [0, 1]), "above 0 from the early window"),
        (lambda: half_rise([1, 2], [1, 2], [0, 0], [0, 1]), "at least one each"),
        (lambda: half_rise([1, 2], [1, 2], [0, 1], [1, 0]), "late must not come before early"),
        (lambda: two_lines([1, 2, 3], [1, 3, 2], 2), "must ascend"),
        (lambda: two_lines([1, 2, 3], [1, 2, 3], 2), "two revisions on each side"),
        (lambda: segmented_regression([1, 2, 3, 4], [1, 2, 3, 4]), "3 revisions on each side"),
        (lambda: segmented_regression([[1, 2, 3]], [1, 2]), r"\(seeds, 2\).*\(1, 3\)"),
        (lambda: seed_to_step_variance([[1, np.nan], [1, 2]]), "must be finite"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(MetricError, match=message):
        call()
