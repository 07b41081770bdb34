"""The three kinds of intervals against written-out loops and SciPy."""

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.bootstrap import (
    FEW_CLUSTERS,
    Resampling,
    bootstrap_weights,
    clustered_correlation_interval,
    clustered_share_interval,
    goodman_intervals,
    mean_intervals,
    resampled_intervals,
    wilson_interval,
)


def mean_of(values):
    return lambda weights: (weights @ values / weights.sum(axis=1))[:, None]


@pytest.mark.parametrize("counts", [np.ones(70, dtype=int), np.array([50, 0, 20]), np.array([2, 0, 1, 0])])
def test_the_weights_have_the_moments_of_drawing_with_replacement(counts):
    weights = bootstrap_weights(counts, 20_000, np.random.default_rng(0))
    n = counts.sum()
    assert (weights.sum(axis=1) == n).all()
    assert weights.mean(axis=0) == pytest.approx(counts, abs=0.15)
    assert weights.var(axis=0) == pytest.approx(counts * (1 - counts / n), abs=0.3)


def test_the_percentile_interval_agrees_with_scipys_on_the_same_rows():
    values = np.random.default_rng(0).gamma(2.0, size=200)
    ours = resampled_intervals(mean_of(values), np.ones(200, dtype=int), ["linear"], Resampling(20_000))[0]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.01)


def test_rows_written_out_and_rows_counted_by_kind_have_the_same_interval_up_to_monte_carlo_error():
    rows = np.repeat([0.0, 1.0], [140, 60])
    kinds = np.array([0.0, 1.0])
    resampling = Resampling(20_000)
    one_by_one = resampled_intervals(mean_of(rows), np.ones(200, dtype=int), ["share"], resampling)
    counted = resampled_intervals(mean_of(kinds), np.array([140, 60]), ["share"], resampling)
    assert counted == pytest.approx(one_by_one, abs=0.006)


def test_below_fifty_clusters_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(0).normal(size=FEW_CLUSTERS - 1)
    low, high = resampled_intervals(mean_of(values), np.ones(49, dtype=int), ["linear"], Resampling())[0]
    expected = stats.t.interval(0.95, 48, loc=values.mean(), scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)


def test_a_jackknife_over_counted_kinds_equals_that_over_rows():
    rows = np.repeat([0.1, 0.7, 0.9], [10, 20, 5])
    over_rows = resampled_intervals(mean_of(rows), np.ones(35, dtype=int), ["linear"], Resampling())
    kinds, counts = np.unique(rows, return_counts=True)
    assert resampled_intervals(mean_of(kinds), counts, ["linear"], Resampling()) == pytest.approx(over_rows)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values, ones = np.random.default_rng(0).normal(size=100), np.ones(100, dtype=int)
    intervals = [
        resampled_intervals(mean_of(values), ones, ["linear"], Resampling(seed=seed)).tolist()
        for seed in (3, 3, 4)
    ]
    assert intervals[0] == intervals[1] != intervals[2]


@pytest.mark.parametrize("n", [20, 200])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_exactly_zero_or_one_keeps_an_interval_of_some_width(n, share):
    counts = np.array([0, n]) if share else np.array([n, 0])
    interval = resampled_intervals(mean_of(np.array([0.0, 1.0])), counts, ["share"], Resampling())[0]
    assert interval == pytest.approx(wilson_interval(share, n, 0.95, n - 1))
    assert 0.0 < np.ptp(interval) < 0.3


def test_fewer_than_two_units_have_no_interval():
    assert np.isnan(
        resampled_intervals(mean_of(np.array([0.5])), np.array([1]), ["share"], Resampling())
    ).all()


def test_a_value_that_is_undefined_has_no_interval_but_undefined_resamples_are_left_out():
    def sometimes(weights):
        return np.stack([np.full(len(weights), np.nan), np.where(weights[:, 0] > 0, 2.0, np.nan)], axis=1)

    result = resampled_intervals(sometimes, np.ones(60, dtype=int), ["linear"] * 2, Resampling(100))
    assert np.isnan(result[0]).all()
    assert result[1].tolist() == [2.0, 2.0]


def test_rounding_leaves_no_value_outside_its_own_interval():
    for n in range(1, 200):
        for level in (0.9, 0.95, 0.99):
            assert wilson_interval(0.0, n, level)[0] == 0.0
            assert wilson_interval(1.0, n, level)[1] == 1.0
    for sign in (1, -1):
        result = resampled_intervals(
            lambda weights, sign=sign: np.full((len(weights), 1), float(sign)),
            np.ones(30, dtype=int),
            ["fisher"],
            Resampling(),
        )[0]
        assert result[0] <= sign <= result[1]
    same = clustered_correlation_interval(1.0, np.zeros(30), [np.arange(30)])
    assert same[0] <= 1.0 <= same[1]


def test_wilsons_interval_equals_scipys():
    theirs = stats.binomtest(7, 40).proportion_ci(0.9, method="wilson")
    assert wilson_interval(7 / 40, 40, 0.9) == pytest.approx([theirs.low, theirs.high])


def test_clusters_of_one_item_give_wilsons_interval_with_students_quantile():
    hits = np.repeat([1.0, 0.0], [30, 70])
    interval = clustered_share_interval(hits, np.ones(100), [np.arange(100)])
    assert interval == pytest.approx(wilson_interval(0.3, 99, 0.95, 99))


def test_duplicated_items_in_a_cluster_bring_no_information():
    hits, clusters = np.repeat([1.0, 0.0], [30, 70]), np.arange(100)
    once = clustered_share_interval(hits, np.ones(100), [clusters])
    copied = clustered_share_interval(np.tile(hits, 5), np.ones(500), [np.tile(clusters, 5)])
    assert copied == pytest.approx(once)


def test_one_cluster_alone_has_no_interval():
    assert np.isnan(clustered_share_interval(np.ones(5), np.ones(5), [np.zeros(5, dtype=int)])).all()


def test_means_leave_nan_entries_out_of_their_column_only():
    values = np.array([[1.0, np.nan], [3.0, 5.0], [5.0, 7.0]])
    result = mean_intervals(values, np.arange(3), ["linear", "linear"], Resampling())
    assert result[0] == pytest.approx(stats.t.interval(0.95, 2, loc=3, scale=stats.sem([1, 3, 5])))
    assert np.mean(result[1]) == pytest.approx(6)


def test_a_cluster_of_nan_is_no_unit_of_its_column():
    values = np.full((60, 2), np.nan)
    values[:, 0] = np.random.default_rng(0).random(60)
    values[:3, 1] = [0.2, 0.5, 0.6]
    for clusters in (np.arange(60), None):
        first, second = mean_intervals(values, clusters, ["linear", "linear"], Resampling())
        expected = stats.t.interval(0.95, 2, loc=np.mean(values[:3, 1]), scale=stats.sem(values[:3, 1]))
        assert second == pytest.approx(expected)
        assert first == pytest.approx(mean_intervals(values[:, :1], clusters, ["linear"], Resampling())[0])
    values[1:, 1] = np.nan  # one image alone: no interval, and not one of no width
    assert np.isnan(mean_intervals(values, np.arange(60), ["linear", "share"], Resampling())[1]).all()


def test_means_over_rows_and_over_clusters_of_single_rows_agree_below_fifty():
    values = np.random.default_rng(0).random((30, 2))
    rows = mean_intervals(values, None, ["share", "linear"], Resampling())
    clusters = mean_intervals(values, np.arange(30), ["share", "linear"], Resampling())
    assert rows == pytest.approx(clusters)


@pytest.mark.parametrize("call", [{"n_resamples": -1}, {"confidence_level": 0}, {"confidence_level": 1.0}])
def test_impossible_requests_are_refused(call):
    with pytest.raises(MetricError, match=next(iter(call))):
        Resampling(**call)


@pytest.mark.parametrize("counts", [np.ones(70, dtype=np.int64), np.array([50, 3, 20])])
def test_resamples_drawn_in_parts_are_those_of_one_call(counts, monkeypatch):
    values, resampling = np.arange(len(counts), dtype=float), Resampling(n_resamples=333, seed=4)
    whole = resampled_intervals(mean_of(values), counts, ["linear"], resampling)
    monkeypatch.setattr("hf_clipdyn.metrics.bootstrap._DRAWS_AT_ONCE", 7 * len(counts))
    shapes: list[int] = []

    def statistic(weights):
        shapes.append(len(weights))
        return mean_of(values)(weights)

    assert np.array_equal(resampled_intervals(statistic, counts, ["linear"], resampling), whole)
    assert max(shapes) == 7
    assert sum(shapes) == 333 + 1  # and the estimate


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (
            (9236, 398, 2366),
            [
                [0.7603377122, 0.7787381613],
                [0.0294706891, 0.0373083459],
                [0.1886173087, 0.2060051499],
            ],
        ),
        (
            (30, 10, 40),
            [
                [0.2579057583, 0.5088067785],
                [0.0609611184, 0.2391764920],
                [0.3707230229, 0.6292769771],
            ],
        ),
    ],
)
def test_simultaneous_intervals_of_shares_match_statsmodels(counts, expected):
    assert np.array(goodman_intervals(counts)) == pytest.approx(np.array(expected), abs=5e-11)
    assert goodman_intervals([2 * one for one in counts], design_effect=2) == goodman_intervals(counts)


def test_shares_of_nothing_have_no_interval_and_an_answer_that_nobody_gave_has_one():
    assert np.isnan(goodman_intervals([0, 0, 0])).all()
    (low, high), *_ = goodman_intervals([0, 5, 5])
    assert low == 0 < high


@pytest.mark.parametrize(("counts", "effect"), [([3], 1), ([3, -1], 1), ([3, 1], 0)])
def test_shares_need_two_counts_and_a_design_effect(counts, effect):
    with pytest.raises(MetricError, match=r"two or more numbers|design_effect"):
        goodman_intervals(counts, design_effect=effect)
