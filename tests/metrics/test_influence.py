"""Influences against textbook formulas and loops."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.metrics.influence import (
    Influence,
    Units,
    left_out_influence,
    mean_influence,
    mean_over_pairs,
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


def test_the_error_over_pairs_of_seeds_is_that_of_the_mean_over_seeds():
    """If the number of a pair is the sum of the effects of its two seeds, the mean is twice their mean."""
    effects = np.random.default_rng(0).normal(size=6)
    pairs = np.array(list(combinations(range(6), 2)))
    result = mean_over_pairs(effects[pairs].sum(axis=1), pairs)
    assert result["value"] == pytest.approx(2 * effects.mean())
    assert result["variance_seeds"] == pytest.approx(4 * effects.var(ddof=1) / 6)
    assert (result["n_pairs"], result["n_seeds"]) == (15, 6)


def test_the_items_of_pairs_and_their_seeds_add_to_one_interval():
    rng = np.random.default_rng(1)
    items = rng.normal(size=(3, 200))
    influences = [on(mean_influence(one)) for one in items]
    pairs = [[0, 1], [0, 2], [1, 2]]
    result = mean_over_pairs(items.mean(axis=1), pairs, influences)
    assert result["variance_items"] == pytest.approx(items.mean(axis=0).var(ddof=1) / 200, rel=1e-6)
    parts = [
        stats.t.ppf(0.975, freedom) ** 2 * result[f"variance_{name}"]
        for name, freedom in (("seeds", 2), ("items", 199))
    ]
    assert (result["ci"][1] - result["value"]) ** 2 == pytest.approx(sum(parts))
    assert result["causes"] == {}


def test_the_difference_of_two_groups_of_pairs_cancels_what_a_seed_adds_to_both():
    effects = np.array([0.3, -0.1, 0.5])
    within, between = [[0, 1], [0, 2], [1, 2]], [[0, 1], [1, 0], [0, 2], [2, 0], [1, 2], [2, 1]]
    values = [effects[one].sum() for one in within] + [effects[one].sum() - 0.2 for one in between]
    result = mean_over_pairs(values, within + between, signs=[1] * 3 + [-1] * 6)
    assert result["value"] == pytest.approx(0.2)
    assert result["variance_seeds"] == pytest.approx(0, abs=1e-12)


def test_two_seeds_do_not_tell_how_much_seeds_differ():
    result = mean_over_pairs([0.5], [[20, 21]])
    assert result["causes"]["variance_seeds"] == "without one of the seeds there is no pair"
    assert np.isnan(result["ci"]).all()
