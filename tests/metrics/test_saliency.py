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

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.fixation_maps import fixation_density, fixations_of_others
from hf_clipdyn.metrics.saliency import METRICS, Target, _area, saliency
from tests.metrics.saliency_scores import auc, cc, information_gain, kl_divergence, nss, shuffled_auc, sim

HEIGHT, WIDTH = 6, 9
MAPS = hnp.arrays(float, (HEIGHT, WIDTH), elements=st.integers(0, 5).map(float))  # many ties
POINTS = st.lists(
    st.tuples(st.floats(0, WIDTH, exclude_max=True), st.floats(0, HEIGHT, exclude_max=True)),
    min_size=1,
    max_size=20,
).map(np.array)
MAP, CORNER = np.eye(3), [[0, 0]]


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


def test_a_map_of_the_centre_crop_alone_scores_on_osie_what_was_found(osie):
    crop = np.zeros((600, 800))
    crop[:, 100:700] = 1
    result = saliency((crop for _ in osie), osie, metrics=["nss", "auc"])
    # The trial's exact crop is not recorded: within 0.02 and 0.005 of its .44 and .595.
    assert result["nss"].value == pytest.approx(0.44, abs=0.02)
    assert result["auc"].value == pytest.approx(0.595, abs=0.005)


def test_a_map_of_the_centre_gains_nothing_in_the_shuffled_auc(osie):
    y, x = np.mgrid[:600, :800]
    centre = -np.hypot((x - 399.5) / 800, (y - 299.5) / 600)
    others = fixations_of_others(osie, [(800, 600)] * len(osie))
    result = saliency((centre for _ in osie), osie, metrics=["sauc"], other_fixations=others)
    assert result["sauc"].value == pytest.approx(0.5, abs=0.02)


@given(MAPS, POINTS)
def test_auc_equals_scikit_learns_with_all_pixels_as_negatives(saliency_map, points):
    positives = pixel_values(saliency_map, points)
    scores = np.concatenate([positives, saliency_map.ravel()])
    labels = np.r_[np.ones(len(positives)), np.zeros(saliency_map.size)]
    assert auc(saliency_map, points) == pytest.approx(roc_auc_score(labels, scores))


@given(MAPS, POINTS, POINTS)
def test_shuffled_auc_equals_scikit_learns_with_the_other_fixations_as_negatives(
    saliency_map, points, others
):
    scores = np.concatenate([pixel_values(saliency_map, points), pixel_values(saliency_map, others)])
    labels = np.r_[np.ones(len(points)), np.zeros(len(others))]
    assert shuffled_auc(saliency_map, points, others) == pytest.approx(roc_auc_score(labels, scores))


@given(
    hnp.arrays(float, st.integers(2, 60), elements=st.floats(-1e300, 1e300)),
    st.lists(st.integers(0, 59), min_size=1, max_size=9),
)
def test_the_area_by_buckets_is_that_of_all_pairs(values, chosen):
    positives = values[np.array(chosen) % len(values)]
    negatives = values[len(values) // 3 :]
    pairs = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    assert _area(positives, negatives) == pytest.approx(np.mean(pairs))


def test_a_target_refuses_a_map_of_another_shape():
    with pytest.raises(MetricError, match=r"has the shape \(2, 3\), but its image has \(3, 3\)"):
        Target((3, 3), CORNER).scores(np.ones((2, 3)))


@given(MAPS.filter(lambda m: np.ptp(m) > 0), POINTS)
def test_nss_equals_the_mean_z_score(saliency_map, points):
    assert nss(saliency_map, points) == pytest.approx(
        pixel_values(stats.zscore(saliency_map, axis=None), points).mean()
    )


@given(MAPS, MAPS)
def test_cc_equals_scipys_pearson(first, second):
    if np.ptp(first) and np.ptp(second):
        assert cc(first, second) == pytest.approx(
            stats.pearsonr(first.ravel(), second.ravel()).statistic, abs=1e-12
        )


@given(MAPS.filter(np.any), MAPS.filter(np.any))
def test_kl_is_scipys_entropy_for_positive_maps_and_zero_for_equal_ones(first, second):
    p, g = first + 1, second + 1
    assert kl_divergence(p, g) == pytest.approx(stats.entropy(g.ravel(), p.ravel()), abs=1e-9)
    assert kl_divergence(first, first) == pytest.approx(0, abs=1e-12)


@given(MAPS.filter(lambda m: np.ptp(m) > 0), MAPS.filter(lambda m: np.ptp(m) > 0))
def test_sim_equals_a_loop_over_stretched_maps(first, second):
    a, b = first - first.min(), second - second.min()
    loop = sum(min(x / a.sum(), y / b.sum()) for x, y in zip(a.ravel(), b.ravel(), strict=True))
    assert sim(first, second) == pytest.approx(loop)
    assert sim(first, first) == pytest.approx(1)


@given(MAPS.filter(np.any), POINTS, MAPS.filter(np.any))
def test_information_gain_equals_a_loop_and_is_zero_against_itself(saliency_map, points, baseline):
    def bits(values, x, y):
        return np.log2(0.99 * values[int(y), int(x)] / values.sum() + 0.01 / values.size)

    loop = np.mean([bits(saliency_map, x, y) - bits(baseline, x, y) for x, y in points])
    assert information_gain(saliency_map, points, baseline) == pytest.approx(loop)
    assert information_gain(saliency_map, points, saliency_map) == 0
    assert information_gain(saliency_map - 0.5 * (saliency_map == 0), points, baseline) == pytest.approx(loop)


@given(MAPS, POINTS)
def test_a_monotone_transform_leaves_auc_alone_and_a_linear_one_nss(saliency_map, points):
    assert auc(np.exp(saliency_map), points) == pytest.approx(auc(saliency_map, points))
    assert nss(3 * saliency_map - 7, points) == pytest.approx(nss(saliency_map, points))


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


def test_the_density_itself_reaches_the_ceiling():
    points = np.random.default_rng(0).random((30, 2)) * [WIDTH, HEIGHT]
    density = fixation_density(points, (HEIGHT, WIDTH), 1.0)
    scores = Target(density.shape, density=density).scores(density)
    assert scores == pytest.approx({"cc": 1, "sim": 1, "kl": 0}, abs=1e-9)


def test_nss_on_a_blurred_map_is_not_nss(osie):
    density = fixation_density(osie[0], (600, 800), 24)
    at_points = nss(density, osie[0])
    z = stats.zscore(density, axis=None)
    assert at_points > 1.02 * np.sum(z * density)


@pytest.mark.parametrize(
    ("metric", "saliency_map", "inputs", "cause"),
    [
        ("nss", MAP, {}, "no fixation point"),
        ("auc", MAP, {"fixations": np.empty((0, 2))}, "no fixation point"),
        ("sauc", MAP, {"fixations": CORNER, "other_fixations": []}, "no fixations on other images"),
        ("cc", MAP, {"density": np.ones((3, 3))}, "the density is constant"),
        ("sim", np.ones((3, 3)), {"density": MAP}, "the map is constant"),
        ("kl", 0 * MAP, {"density": MAP}, "the map is constant"),
        ("ig", -MAP, {"fixations": CORNER, "baseline": MAP}, "the map has no positive value"),
    ],
)
def test_where_the_reference_has_no_value_there_is_none_and_the_cause_is_named(
    metric, saliency_map, inputs, cause
):
    target = Target(np.shape(saliency_map), **inputs)
    assert np.isnan(target.scores(saliency_map).get(metric, np.nan))
    assert cause in target.cause(metric)


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


def test_a_data_set_with_densities_only_has_cc_sim_and_kl_and_a_named_cause_for_the_rest():

    rng = np.random.default_rng(0)
    result = saliency(rng.random((3, 4, 5)), [[], [], []], densities=rng.random((3, 4, 5)))
    for name in METRICS:
        is_defined = name in ("cc", "sim", "kl")
        assert np.isfinite(result[name].value) == is_defined, name
        assert result[name].cause == ("" if is_defined else "there is no fixation point")


def test_an_image_without_fixations_is_left_out_of_the_mean_and_said_so():
    maps = np.random.default_rng(0).random((3, 4, 5))
    points = [[[0, 0]], [], [[3, 3]]]
    result = saliency(maps, points, metrics=["nss"])
    cause = "undefined for 1 of 3 images, which are left out of the mean: there is no fixation point"
    assert result["nss"].cause == cause
    assert result["nss"].value == pytest.approx((nss(maps[0], points[0]) + nss(maps[2], points[2])) / 2)
    assert result.facts["n"] == 3


def test_the_other_images_fixations_are_rescaled_and_stay_inside():
    points = [np.array([[5.0, 5.0]]), np.array([[199.999, 99.999], [0.0, 0.0]])]
    first, second = fixations_of_others(points, [(10, 10), (200, 100)])
    assert first == pytest.approx(np.array([[9.99995, 9.9999], [0.0, 0.0]]))
    assert second == pytest.approx(np.array([[100.0, 50.0]]))
    assert (first < 10).all()


def test_a_density_sums_to_one_and_without_fixations_is_zero():
    assert fixation_density([[2, 2], [7.5, 4.2]], (6, 9), 2.0).sum() == pytest.approx(1)
    assert not fixation_density([], (6, 9), 2.0).any()
