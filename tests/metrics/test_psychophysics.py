"""Contrasts of equal response and their agreement with people, against loops that are written down again."""

import math

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.metrics.psychophysics import (
    agreement,
    flat_log_rmse,
    iso_response_contrast,
    log_slope,
    masking_elevation,
    red_green_threshold,
)

GRID = 0.005 * 2.0 ** np.arange(7)


def found_by_hand(contrasts, distances, criterion):
    """Walk up the grid and put a straight line through the logarithms."""
    for k, distance in enumerate(distances):
        if distance == criterion:
            return contrasts[k]
        if distance > criterion:
            if k == 0:
                return math.nan
            if distances[k - 1] == 0:
                return contrasts[k]
            share = math.log(criterion / distances[k - 1]) / math.log(distance / distances[k - 1])
            return contrasts[k - 1] * (contrasts[k] / contrasts[k - 1]) ** share
    return math.nan


def test_the_contrast_of_equal_response_is_that_of_a_walk_up_the_grid():
    rng = np.random.default_rng(0)
    distances = rng.random((200, 7)).round(2)
    criteria = rng.uniform(0.05, 1, 200).round(2)
    expected = [found_by_hand(GRID, row, d0) for row, d0 in zip(distances.tolist(), criteria, strict=True)]
    found = iso_response_contrast(GRID, distances, criteria)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert 0 < np.isnan(found).sum() < 150


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_monotone_power_of_a_distance_gives_the_same_contrast(power):
    distances = (3.7 * GRID) ** power
    assert iso_response_contrast(GRID, distances, (3.7 * 0.033) ** power) == pytest.approx(0.033)


def test_a_criterion_of_0_is_reached_nowhere():
    assert np.isnan(iso_response_contrast(GRID, np.zeros(7), 0.0))
    assert np.isnan(iso_response_contrast(GRID, np.ones(7), 0.5)), "the grid begins too high"
    assert iso_response_contrast(GRID, np.ones(7), 1.0) == GRID[0]


def test_the_elevations_are_those_of_the_literature():
    by_frequency = masking_elevation(4, [1, 2, 2.83, 4, 5.66, 8, 16], 0.2)
    np.testing.assert_allclose(by_frequency, [1.004, 1.326, 2.314, 3.333, 2.309, 1.326, 1.004], atol=6e-4)
    by_turn = [3.333, 2.370, 1.855, 1.557, 1.374, 1.177]
    turns = [0, 15, 30, 45, 60, 90]
    np.testing.assert_allclose(masking_elevation(4, 4, 0.2, turns), by_turn, atol=6e-4)
    np.testing.assert_allclose(masking_elevation(2, 2, 0.2, turns), by_turn, atol=6e-4)
    np.testing.assert_allclose(masking_elevation(4, 4, 0.2, [120, 150]), by_turn[4:1:-2], atol=6e-4)
    # Property 5 of the published suite, with masks of a contrast of 0.0417.
    octave = masking_elevation(4, np.array([4, 4 * 1.5, 8, 16]), 0.0417)
    np.testing.assert_allclose(octave, [1.521, 1.291, 1.103, 1.001], atol=2e-3)
    assert masking_elevation(4, 4, 0.01) == 1


def test_red_green_thresholds_are_those_of_an_exponential_sensitivity():
    sensitivity = 151 / red_green_threshold([1, 2, 3, 4, 6, 8, 12, 16])
    published = [129.9, 111.7, 96.1, 82.7, 61.2, 45.3, 24.8, 13.6]
    np.testing.assert_allclose(sensitivity, published, atol=0.05)


@pytest.mark.parametrize("free_offset", [True, False])
def test_agreement_is_that_of_a_loop_over_the_conditions(free_offset):
    rng = np.random.default_rng(1)
    people = rng.uniform(0.01, 0.3, 9)
    model = np.exp(rng.normal(np.log(people), 0.5, (20, 9)))
    model[rng.random(model.shape) < 0.4] = np.nan
    flat = np.full(9, 0.02)
    found = agreement(model, people, flat, free_offset=free_offset)
    for index, row in enumerate(model):
        own = [k for k in range(9) if not math.isnan(row[k])]
        assert found.n[index] == len(own)
        if len(own) < 4:
            assert np.isnan([found.log_rmse[index], found.alignment[index], found.pearson[index]]).all()
            continue
        errors = np.array([math.log10(row[k] / people[k]) for k in own])
        of_flat = np.array([math.log10(0.02 / people[k]) for k in own])
        if free_offset:
            errors, of_flat = errors - errors.mean(), of_flat - of_flat.mean()
        rmse, worst = np.sqrt(np.mean(errors**2)), np.sqrt(np.mean(of_flat**2))
        assert found.log_rmse[index] == pytest.approx(rmse)
        assert found.alignment[index] == pytest.approx(1 - rmse / worst)
        expected = stats.pearsonr(np.log(row[own]), np.log(people[own])).statistic
        assert found.pearson[index] == pytest.approx(expected)


def test_a_perfect_and_a_flat_observer_have_the_agreements_1_and_0():
    people = np.array([0.01, 0.02, 0.05, 0.1])
    flat = np.full(4, 0.02)
    found = agreement([people, 3 * people, flat], people, flat, free_offset=True)
    np.testing.assert_allclose(found.alignment, [1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(found.pearson, [1, 1, np.nan])
    assert found.log_rmse[2] == pytest.approx(flat_log_rmse(people, flat, free_offset=True))
    nearly = flat * 10 ** np.array([0, 0.005, 0, 0.005])
    assert np.isnan(agreement(nearly, people, flat, free_offset=True).pearson), "a tiny effect is no effect"
    many = np.tile([1.0, 1.1], 50)  # each is .02 from their mean: the number of conditions does not matter
    assert not np.isnan(agreement(many, np.tile(people, 25), np.ones(100), free_offset=True).pearson)
    assert np.isnan(agreement(many**0.4, np.tile(people, 25), np.ones(100), free_offset=True).pearson)


def test_the_slope_is_that_of_a_line_through_the_logarithms():
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0.01, 1, 7), rng.uniform(0.01, 1, 7)
    y[2] = np.nan
    known = ~np.isnan(y)
    assert log_slope(x, y) == pytest.approx(stats.linregress(np.log(x[known]), np.log(y[known])).slope)
    assert np.isnan(log_slope(x[:4], y[:4]))
