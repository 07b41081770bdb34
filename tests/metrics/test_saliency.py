"""Saliency metrics: brute-force loops, scikit-learn, and the corners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from slow_formulas import density_scores, point_scores

from hf_clipdyn.metrics.fixation_maps import fixation_density, fixations_of_others
from hf_clipdyn.metrics.saliency import METRICS, Target, saliency

HEIGHT, WIDTH = 6, 9
MAPS = hnp.arrays(float, (HEIGHT, WIDTH), elements=st.integers(0, 5).map(float))  # many ties
POINTS = st.lists(
    st.tuples(st.floats(0, WIDTH, exclude_max=True), st.floats(0, HEIGHT, exclude_max=True)),
    min_size=1,
    max_size=20,
).map(np.array)


def score(name, saliency_map, fixations=(), **about):
    """One score of one map."""
    return Target(np.shape(saliency_map), fixations, **about).scores(saliency_map)[name]


VARIED = MAPS.filter(lambda values: np.ptp(values) > 0)


@given(VARIED, VARIED, POINTS, POINTS)
def test_each_score_equals_that_of_scikit_learn_of_scipy_or_of_its_definition(values, other, points, others):
    target = Target(values.shape, points, other_fixations=others, density=other, baseline=other)
    expected = point_scores(values, points, others, other) | density_scores(values, other)
    assert target.scores(values) == pytest.approx(expected, abs=1e-12)
    positive = stats.entropy(other.ravel() + 1, values.ravel() + 1)
    assert score("kl", values + 1, density=other + 1) == pytest.approx(positive, abs=1e-9)
    assert score("kl", values, density=values) == pytest.approx(0, abs=1e-12)
    negative = values - 0.5 * (values == 0)
    assert score("ig", negative, points, baseline=other) == pytest.approx(expected["ig"])


@given(POINTS, POINTS, st.floats(-5, 5))
def test_a_constant_map_is_at_chance_exactly(points, others, value):
    shape = (HEIGHT, WIDTH)
    target = Target(shape, points, other_fixations=others, density=fixation_density(points, shape, 1.0))
    found = target.scores(np.full(shape, value))
    assert [found[name] for name in ("auc", "sauc", "nss", "cc")] == [0.5, 0.5, 0, 0]


@pytest.mark.parametrize("scale", [1e-100, 1e100])
@pytest.mark.parametrize("of_density", [False, True])
def test_the_unit_of_a_map_changes_nothing(scale, of_density):
    rng = np.random.default_rng(0)
    points = rng.random((9, 2)) * [WIDTH, HEIGHT]
    map_, density, baseline = rng.normal(size=(HEIGHT, WIDTH)), *rng.random((2, HEIGHT, WIDTH))

    def scores(scale_map, scale_density):
        about = {"density": density * scale_density, "baseline": baseline * scale_density}
        target = Target(map_.shape, points, other_fixations=points[::-1], **about)
        return target.scores(map_ * scale_map)

    expected = scores(1, 1)
    assert set(expected) == set(METRICS)
    found = scores(1, scale) if of_density else scores(scale, 1)
    assert found == pytest.approx(expected)


def test_a_scale_that_every_number_can_hold_leaves_the_values_as_they_are():
    """AUC is an order of the map itself: values far below the largest stay apart."""
    values = np.array([[1e-100, 2e-100], [3e-100, 1e100]])
    assert score("auc", values, [[1, 0]]) == (1 + 0.5) / 4


def test_the_means_are_those_of_the_single_maps_with_a_baseline_for_each_or_for_all():
    rng = np.random.default_rng(0)
    maps = [rng.random((5 + i, 8)) for i in range(4)]
    points = [rng.random((10, 2)) * [8, 5 + i] for i in range(4)]
    others = list(fixations_of_others(points, [(8, 5 + i) for i in range(4)]))
    baselines = [rng.random(one.shape) for one in maps]
    about = {"sigma": 1.5, "other_fixations": iter(others), "baseline": iter(baselines)}
    result = saliency(iter(maps), points, **about)
    single = [
        Target(
            one.shape,
            own,
            density=fixation_density(own, one.shape, 1.5),
            other_fixations=other,
            baseline=base,
        ).scores(one)
        for one, own, other, base in zip(maps, points, others, baselines, strict=True)
    ]
    for name in METRICS:
        values = np.array([one[name] for one in single])
        assert result[name].value == pytest.approx(values.mean()), name
        np.testing.assert_allclose(result[name].influence, (values - values.mean()) / 4, atol=1e-12)
    assert result.facts == {"n": 4, "n_fixations": 40}
    for_all, for_each = (
        saliency([maps[0]] * 2, points[:1] * 2, metrics=["ig"], baseline=given)
        for given in (baselines[0].tolist(), baselines[:1] * 2)
    )
    assert for_all["ig"].value == for_each["ig"].value


def test_an_image_without_fixations_is_left_out_of_the_mean_and_said_so():
    maps = np.random.default_rng(0).random((3, 4, 5))
    points = [[[0, 0]], [], [[3, 3]]]
    result = saliency(maps, points, metrics=["nss"])
    cause = "undefined for 1 of 3 images, which are left out of the mean: there is no fixation point"
    assert result["nss"].cause == cause
    assert result["nss"].value == pytest.approx(
        np.mean([score("nss", maps[at], points[at]) for at in (0, 2)])
    )
    assert result.facts["n"] == 3
