"""Scores against SciPy, textbook formulas and the jackknife."""

import math

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.metrics.scores import (
    Score,
    Scores,
    few_clusters,
    interval,
    mean,
    over,
    root_interval,
)

RNG = np.random.default_rng(5)
VALUES = RNG.normal(2, 1, size=12)
T = stats.t.ppf(0.975, 11)


def test_the_interval_of_a_mean_is_students():
    found = mean(VALUES)
    expected = stats.ttest_1samp(VALUES, 0).confidence_interval(0.9)
    assert interval(found.value, over(found.influence), level=0.9) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("scale", ["share", "count"])
def test_a_share_has_a_symmetric_interval_of_its_logit(scale):
    found = mean([1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1], scale)
    low, high = interval(found.value, over(found.influence), found.scale)
    centre, error = math.log(0.75 / 0.25), math.sqrt(0.75 * 0.25 / 11) / (0.75 * 0.25)
    ends = [math.log(end / (1 - end)) for end in (low, high)]
    assert ends == pytest.approx([centre - T * error, centre + T * error])


@pytest.mark.parametrize(
    ("value", "scale"), [(0.0, "share"), (1.0, "share"), (1.0, "count"), (0.25, "count")]
)
def test_a_share_without_variance_has_wilsons_interval_of_its_clusters(value, scale):
    normal = stats.binomtest(round(value * 12), 12).proportion_ci(
        confidence_level=2 * stats.norm.cdf(T) - 1, method="wilson"
    )
    found = interval(value, over(np.zeros(12)), scale)
    assert found == pytest.approx((normal.low, normal.high), abs=1e-9)
    assert found[0] <= value <= found[1]


def test_a_correlation_has_fishers_interval():
    found = interval(0.6, over(np.array([0.05, -0.05] * 6)), "correlation")
    half = T * math.sqrt(0.0025 * 12 * 12 / 11) / (1 - 0.36)
    assert found == pytest.approx(tuple(np.tanh(np.arctanh(0.6) + np.array([-half, half]))))
    assert interval(1.0, over(np.zeros(12)), "correlation") == (1, 1), "a matrix correlates with itself"


@pytest.mark.parametrize(
    ("value", "influence", "scale"),
    [
        (math.nan, over(np.zeros(5)), "share"),
        (0.5, Influence.unknown("no trials"), "share"),
        (0.5, over(np.full(5, np.nan)), "share"),
        (0.5, over(np.array([0.1, -0.1]), ["a", "a"]), "share"),
        (0.5, over(np.array([0.1, -0.1])), "none"),
    ],
)
def test_without_a_known_error_there_is_no_interval(value, influence, scale):
    assert np.isnan(interval(value, influence, scale)).all()


def test_a_mean_leaves_out_what_is_not_known():
    found = mean([1.0, math.nan, 0.0, 0.0])
    assert (found.value, found.n) == (pytest.approx(1 / 3), 3)
    assert found.influence.tolist() == pytest.approx([2 / 9, 0, -1 / 9, -1 / 9])
    nothing = mean([math.nan] * 3, cause="nobody answered")
    assert math.isnan(nothing.value)
    assert nothing.cause == "nobody answered"


def test_crossed_groups_and_common_images_add_what_they_share():
    rows = RNG.normal(size=6)
    influence = mean(rows).influence
    crossed = np.array([(i, j) for i in range(2) for j in range(3)])
    by_column = [np.bincount(crossed[:, k], influence) for k in range(2)]
    expected = sum(np.square(sums).sum() for sums in by_column) - np.square(influence).sum()
    pairs = (crossed[:, None] == crossed[None]).any(axis=2).mean()
    assert over(influence, crossed).variance == pytest.approx(expected / (1 - pairs))
    assert over(influence, crossed).n_clusters == 2
    images = [("a", "b"), ("b", "c"), ("d", "e"), ("f", "g"), ("h", "i"), ("j", "k")]
    apart = over(influence, images=images)
    for wrong in ({"groups": ["a"]}, {"images": images[:2]}, {"groups": ["a", None] * 3}):
        with pytest.raises(MetricError, match=r"groups|images"):
            over(influence, **wrong)
    together = over(influence, ["x", "x", "d", "f", "h", "j"])
    assert (apart.variance, apart.n_clusters) == (pytest.approx(together.variance), 5)


def test_a_report_has_values_intervals_facts_and_causes():
    found = Scores({"a": mean([0.0, 1.0, 1.0], "share"), "b": Score(math.nan, cause="no rows")}, n=3)
    report = found.report(level=0.9)
    assert report["a_ci"] == list(interval(2 / 3, over(found["a"].influence), "share", 0.9))
    assert math.isnan(report.pop("b"))
    assert report["n"] == 3
    assert report["causes"] == {"b": "no rows"}
    assert "b_ci" not in report


def test_the_interval_of_a_root_mean_square_is_students_over_the_pseudovalues_of_its_square():
    value, without = 0.2, np.array([0.19, 0.21, 0.2, 0.203])
    pseudovalues = 4 * value**2 - 3 * without**2
    expected = np.sqrt(stats.ttest_1samp(pseudovalues, 0).confidence_interval(0.9))
    assert root_interval(value, without, 0.9) == pytest.approx(tuple(expected))
    assert root_interval(0.05, [0.08, 0.09, 0.1]) == (0, 0.05), "the value is inside"
    for unknown in ([0.2], [0.2, math.nan, 0.1]):
        assert np.isnan(root_interval(value, unknown)).all()


def test_few_clusters_are_noted_also_where_few_of_many_decide():
    balanced = np.arange(100) % 2 == 0
    assert few_clusters(over(mean(balanced, "count").influence)) == ""
    assert "(12, about 12 in effect)" in few_clusters(over(mean(balanced[:12], "count").influence))
    rare = mean(np.arange(1000) < 4, "count").influence
    assert "(1000, about 12 in effect)" in few_clusters(over(rare))
    values = mean(RNG.normal(size=300)).influence
    assert few_clusters(over(values)) == few_clusters(over(values, np.arange(300) // 6)) == ""
    unlike = np.where(
        np.arange(300) < 250, np.arange(300) // 125, np.arange(300)
    )  # two of 52 groups hold most rows
    assert "(52, " in few_clusters(over(values, unlike))
    triplets = np.array([RNG.choice(20, 3, replace=False) for _ in range(300)])
    assert "(20, " in few_clusters(over(values, images=triplets))
    assert few_clusters(Influence.unknown("no items")) == ""
