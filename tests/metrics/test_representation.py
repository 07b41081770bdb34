"""CKA and Procrustes against values of the authors' code, planted data, and a loop that leaves one group out."""

import numpy as np
import pytest
from recipes import grid, mix
from scipy.spatial import distance

from hf_clipdyn.metrics._left_out import LeftOut
from hf_clipdyn.metrics.bootstrap import Resampling
from hf_clipdyn.metrics.representation import Prepared, progress, representation_similarity, shuffled_angle
from hf_clipdyn.metrics.representational_similarity import representational_similarity

X = grid(12, 5, (3, 5, 2, 101))
Y = mix(X, 0.5, grid(12, 7, (2, 7, 5, 97)))
NAMES = ("cka_biased", "cka_debiased", "procrustes_distance", "angular_shape_distance")


def independent(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(2, n, d))


def kernel(rows):
    inner = rows @ rows.T
    np.fill_diagonal(inner, 0)
    return inner


def test_the_values_are_those_of_the_authors_code():
    result = representation_similarity(X, Y, n_resamples=0)
    expected = [0.6727793287, 0.4706900016, 0.7168818506, 0.7331946234]
    assert [result[name] for name in NAMES] == pytest.approx(expected, abs=1e-10)


def test_the_unbiased_inner_products_are_those_of_the_authors_code():
    items = LeftOut(None, 12, Resampling(0))
    pairs = [(X, Y), (X, X), (Y, Y)]
    found = [items.kernel_sums(kernel(a), kernel(b)).unbiased[0] for a, b in pairs]
    assert found == pytest.approx([0.0280413747, 0.0318701856, 0.1113638052], abs=1e-10)


def test_the_similarity_of_dissimilarities_is_the_one_that_exists():
    by_correlation = [distance.pdist(rows, "correlation") for rows in (X, Y)]
    euclidean = [distance.pdist(rows) for rows in (X, Y)]

    def of(pair, method):
        return representational_similarity(pair[0], [pair[1]], method=method, n_resamples=0)["alignment"]

    found = [of(by_correlation, "spearman"), of(euclidean, "spearman"), of(euclidean, "pearson")]
    assert found == pytest.approx([0.6000834986, 0.4785195392, 0.4507999866], abs=1e-10)


@pytest.mark.parametrize("groups", [np.arange(12), np.arange(12)[::-1], np.arange(12) % 5])
def test_the_influences_on_cka_are_those_of_leaving_out_one_group_after_the_other(groups):
    left_out = [
        representation_similarity(X[groups != one], Y[groups != one], n_resamples=0)
        for one in np.unique(groups)
    ]
    result = representation_similarity(X, Y, groups=groups)
    for name in NAMES[:2]:
        values = np.array([one[name] for one in left_out])
        expected = (values.mean() - values) * (1 - 1 / len(values))
        assert result["influences"][name] == pytest.approx(expected, abs=1e-12)


def test_the_influences_on_procrustes_approach_those_of_the_jackknife():
    x, noise = independent(150, 4)
    y = x + noise
    left_out = np.array(
        [
            representation_similarity(np.delete(x, i, 0), np.delete(y, i, 0), n_resamples=0)[NAMES[3]]
            for i in range(150)
        ]
    )
    expected = (left_out.mean() - left_out) * (1 - 1 / 150)
    found = representation_similarity(x, y)["influences"][NAMES[3]]
    assert np.corrcoef(found, expected)[0, 1] > 0.998
    assert found.std() == pytest.approx(expected.std(), rel=0.05)
    assert found.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "angle"), [(50, 0.22), (100, 0.32), (500, 0.71)])
def test_of_independent_data_the_debiased_cka_alone_does_not_depend_on_the_number_of_items(n, angle):
    result = representation_similarity(*independent(n, 512), n_resamples=0)
    assert result["cka_biased"] == pytest.approx(512 / (n + 512), abs=0.01)
    assert result["angular_shape_distance"] == pytest.approx(angle, abs=0.01)
    assert result["cka_debiased"] == pytest.approx(0, abs=0.05)


def test_the_interval_of_independent_data_contains_zero():
    x, y = independent(100, 512)
    result = representation_similarity(x, y)
    low, high = result["cka_debiased_ci"]
    assert low < 0 < high
    assert high - low < 0.1


def test_resampled_duplicates_make_independent_data_alike():
    x, y = independent(100, 512)
    drawn = np.random.default_rng(1).integers(0, 100, 100)
    assert representation_similarity(x[drawn], y[drawn], n_resamples=0)["cka_debiased"] > 0.8


def test_the_debiased_cka_does_not_depend_on_the_number_of_items():
    found = []
    for n in (50, 200, 800):
        x, noise = independent(n, 64, seed=2)
        found.append(representation_similarity(x, x + noise, n_resamples=0)["cka_debiased"])
    assert found == pytest.approx([0.5] * 3, abs=0.05)


def test_the_interval_covers_the_value_of_the_population():
    """Of x and x plus independent noise, the covariances are I, I and 2 I: their CKA is 1/2."""
    covered = 0
    for seed in range(100):
        x, noise = independent(60, 8, seed)
        low, high = representation_similarity(x, x + noise)["cka_debiased_ci"]
        covered += low <= 0.5 <= high
    assert covered >= 92


def test_equal_data_up_to_rotation_scale_and_place_are_equal():
    x = independent(30, 6)[0]
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    result = representation_similarity(x, 100 + 0.01 * x @ rotation)
    assert [result[name] for name in NAMES] == pytest.approx([1, 1, 0, 0], abs=1e-6)
    assert result["angular_shape_distance_ci"] == pytest.approx([0, 0], abs=1e-6)


def test_almost_constant_embeddings_keep_their_digits():
    small = representation_similarity(1 + 1e-6 * X, Y, n_resamples=0)
    assert [small[name] for name in NAMES] == pytest.approx(
        [representation_similarity(X, Y, n_resamples=0)[name] for name in NAMES], abs=1e-8
    )


@pytest.mark.parametrize(
    ("x", "y", "named"), [(np.ones((5, 2)), Y[:5], "x"), (X[:5] * 0, X[:5] * 0, "x and y")]
)
def test_constant_embeddings_are_undefined_with_their_cause(x, y, named):
    result = representation_similarity(x, y)
    assert all(np.isnan(result[name]) for name in NAMES)
    assert all(np.isnan(result[f"{name}_ci"]).all() for name in NAMES)
    assert result["causes"] == dict.fromkeys(NAMES, f"all embeddings are equal in {named}")


def test_items_of_equal_distances_have_no_debiased_cka():
    result = representation_similarity(np.eye(6), X[:6])
    assert np.isnan(result["cka_debiased"])
    assert list(result["causes"]) == ["cka_debiased"]
    assert 0 < result["cka_biased"] < 1


def test_four_items_have_a_value_without_an_interval():
    result = representation_similarity(X[:4], Y[:4])
    assert -1 <= result["cka_debiased"] <= 1
    assert np.isnan(result["cka_debiased_ci"]).all()


def test_the_angle_of_shuffled_items_is_that_of_independent_data():
    """Far below pi/2, the more so the fewer items there are."""
    rng = np.random.default_rng(3)
    for n, angle in ((100, 0.32), (500, 0.71)):
        x = rng.normal(size=(n, 512))
        independent = representation_similarity(x, rng.normal(size=(n, 512)), n_resamples=0)
        chance = shuffled_angle(Prepared(x), Prepared(x + rng.normal(size=x.shape)))
        assert chance == pytest.approx(independent["angular_shape_distance"], abs=0.01)
        assert chance == pytest.approx(angle, abs=0.01)
    assert np.isnan(shuffled_angle(Prepared(x), Prepared(np.ones((500, 3)))))


def test_progress_is_unknown_if_the_untrained_model_is_already_the_last():
    assert progress([0.2, 0.6, 1.0], 0.2) == pytest.approx([0, 0.5, 1])
    assert np.isnan(progress([1.0, 1.0], 1.0)).all()
