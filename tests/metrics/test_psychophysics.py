"""Contrasts of equal response and their agreement with people, against loops that are written down again."""

import math

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.metrics.psychophysics import (
    agreement,
    exemplar_interval,
    iso_response_contrast,
    means_without_each,
    one_against_others,
)
from hf_clipdyn.metrics.scores import root_interval

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


def test_agreement_is_that_of_a_loop_over_the_conditions():
    rng = np.random.default_rng(1)
    people = rng.uniform(0.01, 0.3, 9)
    model = np.exp(rng.normal(np.log(people), 0.5, (20, 9)))
    model[rng.random(model.shape) < 0.4] = np.nan
    found = agreement(model, people)
    for index, row in enumerate(model):
        own = [k for k in range(9) if not math.isnan(row[k])]
        assert found.n[index] == len(own)
        if len(own) < 4:
            assert np.isnan([found.log_rmse[index], found.alignment[index]]).all()
            continue
        errors, of_flat = (
            np.array([math.log10(top[k] / people[k]) for k in own]) for top in (row, np.full(9, 0.02))
        )
        rmse, worst = errors.std(), of_flat.std()
        assert found.log_rmse[index] == pytest.approx(rmse)
        assert found.alignment[index] == pytest.approx(1 - rmse / worst)


def test_means_without_each_exemplar_are_means_of_the_others():
    values = np.random.default_rng(0).random((5, 8))
    slow = [values.mean(axis=1), *(np.delete(values, at, axis=1).mean(axis=1) for at in range(8))]
    np.testing.assert_allclose(means_without_each(values), slow, rtol=1e-12)
    assert means_without_each(values[:, :1]).shape == (1, 5)


def test_one_observer_is_compared_with_the_geometric_mean_of_the_others():
    table = np.random.default_rng(0).uniform(0.01, 0.2, (6, 4))
    each = [
        agreement(table[:, at], np.exp(np.log(np.delete(table, at, axis=1)).mean(axis=1))) for at in range(4)
    ]
    found = one_against_others(table)
    assert found["log_rmse"] == pytest.approx(np.mean([one.log_rmse for one in each]), abs=1e-12)
    assert found["alignment"] == pytest.approx(np.mean([one.alignment for one in each]), abs=1e-12)


def test_the_interval_of_a_number_over_exemplars_is_that_of_its_kind():
    values = np.array([0.2, 0.19, 0.21, 0.2, 0.22])
    low, high = root_interval(0.2, values[1:])
    assert exemplar_interval("log_rmse", values) == (low, high)
    assert exemplar_interval("alignment", 1 - values) == pytest.approx((1 - high, 1 - low))
    logs = np.log10(values)
    half = stats.t.ppf(0.975, 3) * np.sqrt(3 / 4 * np.square(logs[1:] - logs[1:].mean()).sum())
    expected = 10 ** (logs[0] + np.array([-half, half]))
    assert exemplar_interval("contrast", values) == pytest.approx(tuple(expected))


def test_a_criterion_of_0_is_reached_nowhere():
    assert np.isnan(iso_response_contrast(GRID, np.zeros(7), 0.0))
    assert np.isnan(iso_response_contrast(GRID, np.ones(7), 0.5)), "the grid begins too high"
    assert iso_response_contrast(GRID, np.ones(7), 1.0) == GRID[0]
