"""Saliency metrics: numbers on real fixations, brute-force loops, scikit-learn, and the corners."""

import csv
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import roc_auc_score

from hf_clipdyn.metrics.fixation_maps import fixation_density, fixations_of_others
from hf_clipdyn.metrics.saliency import METRICS, Target, _area, saliency
from tests.metrics.saliency_scores import auc, cc, information_gain, kl_divergence, nss, shuffled_auc

HEIGHT, WIDTH = 6, 9
MAPS = hnp.arrays(float, (HEIGHT, WIDTH), elements=st.integers(0, 5).map(float))  # many ties
POINTS = st.lists(
    st.tuples(st.floats(0, WIDTH, exclude_max=True), st.floats(0, HEIGHT, exclude_max=True)),
    min_size=1,
    max_size=20,
).map(np.array)


def pixel_values(saliency_map, points):
    return np.array([saliency_map[int(y), int(x)] for x, y in points])


@pytest.fixture(scope="module")
def osie(real_data):
    """Fixations of all observers on each of 120 photographs of 800 x 600 pixels."""
    images = defaultdict(list)
    with (real_data("osie") / "fixations.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            x, y = float(row["x"]), float(row["y"])
            if 0 <= x < 800 and 0 <= y < 600:
                images[row["image"]].append((x, y))
    return [np.array(points) for points in images.values()]


def test_a_centre_gaussian_scores_on_osie_what_was_found(osie):
    y, x = np.mgrid[:600, :800]
    centre = np.exp(-((((x - 399.5) / 800) ** 2 + ((y - 299.5) / 600) ** 2) / (2 * 0.25**2)))
    result = saliency((centre for _ in osie), iter(osie), metrics=["nss", "auc"])
    assert result["nss"].value == pytest.approx(0.83, abs=0.01)
    assert result["auc"].value == pytest.approx(0.735, abs=0.002)
    assert result.facts["n"] == 120


def test_a_map_of_the_centre_gains_nothing_in_the_shuffled_auc(osie):
    y, x = np.mgrid[:600, :800]
    centre = -np.hypot((x - 399.5) / 800, (y - 299.5) / 600)
    others = fixations_of_others(osie, [(800, 600)] * len(osie))
    result = saliency((centre for _ in osie), osie, metrics=["sauc"], other_fixations=others)
    assert result["sauc"].value == pytest.approx(0.5, abs=0.02)


@given(
    hnp.arrays(float, st.integers(2, 60), elements=st.floats(-1e300, 1e300)),
    st.lists(st.integers(0, 59), min_size=1, max_size=9),
)
def test_the_area_by_buckets_is_that_of_all_pairs(values, chosen):
    positives = values[np.array(chosen) % len(values)]
    negatives = values[len(values) // 3 :]
    pairs = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    assert _area(positives, negatives) == pytest.approx(np.mean(pairs))


def area(positives, negatives):
    labels = np.r_[np.ones(len(positives)), np.zeros(len(negatives))]
    return roc_auc_score(labels, np.concatenate([positives, negatives]))


def bits(values, points):
    return np.mean(np.log2(0.99 * pixel_values(values, points) / values.sum() + 0.01 / values.size))


def shares(values):
    stretched = values - values.min()
    return stretched / stretched.sum()


VARIED = MAPS.filter(lambda values: np.ptp(values) > 0)


@given(VARIED, VARIED, POINTS, POINTS)
def test_each_score_equals_that_of_scikit_learn_of_scipy_or_of_its_definition(values, other, points, others):
    target = Target(values.shape, points, other_fixations=others, density=other, baseline=other)
    at_points = pixel_values(values, points)
    found = target.scores(values)
    assert found.pop("kl") == kl_divergence(values, other)
    assert found == pytest.approx(
        {
            "auc": area(at_points, values.ravel()),
            "sauc": area(at_points, pixel_values(values, others)),
            "nss": pixel_values(stats.zscore(values, axis=None), points).mean(),
            "cc": stats.pearsonr(values.ravel(), other.ravel()).statistic,
            "sim": np.minimum(shares(values), shares(other)).sum(),
            "ig": bits(values, points) - bits(other, points),
        },
        abs=1e-12,
    )
    positive = stats.entropy(other.ravel() + 1, values.ravel() + 1)
    assert kl_divergence(values + 1, other + 1) == pytest.approx(positive, abs=1e-9)
    assert kl_divergence(values, values) == pytest.approx(0, abs=1e-12)
    negative = values - 0.5 * (values == 0)
    assert information_gain(negative, points, other) == pytest.approx(
        bits(values, points) - bits(other, points)
    )


@given(POINTS, POINTS, st.floats(-5, 5))
def test_a_constant_map_is_at_chance_exactly(points, others, value):
    constant = np.full((HEIGHT, WIDTH), value)
    assert auc(constant, points) == 0.5
    assert shuffled_auc(constant, points, others) == 0.5
    assert nss(constant, points) == 0
    assert cc(constant, fixation_density(points, (HEIGHT, WIDTH), 1.0)) == 0


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
    assert auc(values, [[1, 0]]) == (1 + 0.5) / 4


def test_the_means_are_those_of_the_single_maps_and_iterators_are_read_one_map_at_a_time():
    rng = np.random.default_rng(0)
    maps = [rng.random((5 + i, 8)) for i in range(4)]
    points = [rng.random((10, 2)) * [8, 5 + i] for i in range(4)]
    others = list(fixations_of_others(points, [(8, 5 + i) for i in range(4)]))
    baselines = [rng.random(m.shape) for m in maps]
    alive = 0

    def one_at_a_time():
        nonlocal alive
        for m in maps:
            alive += 1
            yield m
            alive -= 1
            assert alive == 0

    result = saliency(
        one_at_a_time(), points, sigma=1.5, other_fixations=iter(others), baseline=iter(baselines)
    )
    for name in METRICS:
        single = [
            Target(
                m.shape, f, density=fixation_density(f, m.shape, 1.5), other_fixations=o, baseline=b
            ).scores(m)[name]
            for m, f, o, b in zip(maps, points, others, baselines, strict=True)
        ]
        assert result[name].value == pytest.approx(np.mean(single)), name
        np.testing.assert_allclose(result[name].influence, (single - np.mean(single)) / 4, atol=1e-12)
    assert result.facts == {"n": 4, "n_fixations": 40}


def test_one_baseline_serves_all_images_and_may_be_nested_lists():
    rng = np.random.default_rng(0)
    maps, points = rng.random((3, 4, 5)), rng.random((3, 6, 2)) * [5, 4]
    baseline = rng.random((4, 5))
    one, each = (
        saliency(maps, points, metrics=["ig"], baseline=given)
        for given in (baseline.tolist(), [baseline] * 3)
    )
    assert one["ig"].value == each["ig"].value


def test_an_image_without_fixations_is_left_out_of_the_mean_and_said_so():
    maps = np.random.default_rng(0).random((3, 4, 5))
    points = [[[0, 0]], [], [[3, 3]]]
    result = saliency(maps, points, metrics=["nss"])
    cause = "undefined for 1 of 3 images, which are left out of the mean: there is no fixation point"
    assert result["nss"].cause == cause
    assert result["nss"].value == pytest.approx((nss(maps[0], points[0]) + nss(maps[2], points[2])) / 2)
    assert result.facts["n"] == 3
