"""Influences against textbook formulas and loops."""

import numpy as np
import pytest

from hf_clipdyn.metrics.estimate import (
    Influence,
    Units,
    left_out_influence,
    mean_influence,
    weighted_sum,
    without_each,
)

VALUES = np.random.default_rng(3).normal(size=8)


def on(contributions, clusters=None):
    codes = np.arange(len(contributions)) if clusters is None else np.asarray(clusters)
    return Influence.on(Units(str(len(codes)), codes[:, None], len(set(codes.tolist()))), contributions)


def test_a_mean_has_its_squared_standard_error_in_closed_form_and_by_the_jackknife():
    left_out = np.array([np.delete(VALUES, k).mean() for k in range(8)])

    def mean(weights):
        return (weights @ VALUES / weights.sum(axis=1))[:, None]

    for found in (mean_influence(VALUES), left_out_influence(left_out), without_each(mean, 8)[:, 0]):
        assert found == pytest.approx((VALUES - VALUES.mean()) / 8)
        assert on(found).variance == pytest.approx(VALUES.var(ddof=1) / 8)


def test_a_column_of_a_mean_leaves_out_its_own_gaps():
    rows = np.stack([VALUES, np.full(8, np.nan), np.where(VALUES > 0, VALUES, np.nan)], axis=1)
    whole, nothing, some = mean_influence(rows).T
    assert whole == pytest.approx(mean_influence(VALUES))
    assert np.isnan(nothing).all()
    assert some[VALUES > 0] == pytest.approx(mean_influence(VALUES[VALUES > 0]))
    assert (some[VALUES <= 0] == 0).all()


def test_units_of_a_cluster_are_one():
    clusters = [0, 0, 0, 0, 1, 1, 2, 2]
    sums = np.bincount(clusters, mean_influence(VALUES))
    shared = np.square(np.bincount(clusters)).sum() / 64
    assert on(mean_influence(VALUES), clusters).variance == pytest.approx(
        np.square(sums).sum() / (1 - shared)
    )


def test_what_is_unknown_stays_unknown_in_a_sum():
    known = on(mean_influence(VALUES))
    undefined, alone = on(np.full(8, np.nan)), on(np.zeros(8), [0] * 8)
    assert undefined.cause == "the number is undefined, at least without some of its items"
    assert alone.cause == "all items belong to one cluster"
    for one in (undefined, alone):
        assert np.isnan(weighted_sum([known, one], [1, -1]).variance)
        assert weighted_sum([known, one], [1, -1]).cause == one.cause
    others = weighted_sum([known, on(mean_influence(VALUES[:5]))], [1, -1])
    assert (others.cause, others.n_clusters) == ("not all cells have the same items", 0)
    assert weighted_sum([known, known], [1, -1]).variance == 0
