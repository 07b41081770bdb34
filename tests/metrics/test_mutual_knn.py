"""Neighbours in common against the authors' code, planted data, and a loop that leaves one group out."""

import numpy as np
import pytest
from recipes import grid, mix

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.mutual_knn import mutual_knn, nearest_neighbours, shared_neighbours

A = grid(20, 6, (3, 5, 2, 101))
B = mix(A, 0.7, grid(20, 8, (2, 7, 5, 97)))


def test_the_values_are_those_of_the_authors_code():
    result = mutual_knn(A, B, 4, n_resamples=0)
    assert result["mutual_knn"] == pytest.approx(0.4875, abs=1e-12)
    assert result["chance"] == pytest.approx(0.2105263158, abs=1e-10)
    assert result["cknna"] == pytest.approx(0.5284883002, abs=1e-10)
    assert mutual_knn(np.asfortranarray(A), B, 4)["cknna"] == result["cknna"]
    assert mutual_knn(A, B, 19, n_resamples=0)["cknna"] == pytest.approx(0.4035051932, abs=1e-10)


@pytest.mark.parametrize(
    ("groups", "k"),
    [(np.arange(20), 4), (np.arange(20)[::-1], 2), (np.arange(20) * 7 % 6, 3), (np.arange(20) // 2, 1)],
)
def test_the_influences_are_those_of_leaving_out_one_group_after_the_other(groups, k):
    kept = [groups != one for one in np.unique(groups)]
    left_out = [mutual_knn(A[some], B[some], k, n_resamples=0) for some in kept]
    result = mutual_knn(A, B, k, groups=groups)
    for name, found in result["influences"].items():
        values = np.array([one[name] for one in left_out])
        expected = (values.mean() - values) * (1 - 1 / len(values))
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("k", [1, 4, 10, 18])
@pytest.mark.parametrize("second", [B, 2 * A, np.repeat(B[::4], 4, axis=0)])
def test_neighbours_that_are_kept_have_the_same_value_and_influences(second, k):
    expected = mutual_knn(A, second, k)
    found = shared_neighbours(nearest_neighbours(A, k), nearest_neighbours(second, k))
    assert found["mutual_knn"] == pytest.approx(expected["mutual_knn"], abs=1e-15)
    assert found["chance"] == expected["chance"]
    assert found["influences"] == pytest.approx(expected["influences"]["mutual_knn"], abs=1e-14)


def test_neighbours_are_kept_with_the_next_one():
    assert nearest_neighbours(np.arange(1.0, 7)[:, None] * [1, 2], 2) is None
    with pytest.raises(MetricError, match="from 1 to 18 for 20 items"):
        nearest_neighbours(A, 19)


def test_equal_embeddings_are_neighbours_in_the_order_of_their_rows():
    """Five copies of each caption: with k = 2, the neighbours of a copy are the first two others of its class."""
    captions = np.repeat(np.random.default_rng(0).normal(size=(4, 50)), 5, axis=0)
    images = np.zeros((20, 20))
    for row in range(20):
        copies = [i for i in range(row // 5 * 5, row // 5 * 5 + 5) if i != row]
        images[row, row], images[row, copies[:2]] = 1, 0.1
    assert mutual_knn(captions, captions, 2, n_resamples=0)["mutual_knn"] == 1
    nearest = images @ images.T
    np.fill_diagonal(nearest, -1)
    assert set(np.argsort(-nearest, axis=1, kind="stable")[4, :2]) == {0, 1}
    assert mutual_knn(captions, images, 2, n_resamples=0)["mutual_knn"] == 1


def test_independent_data_have_the_chance_level_within_the_interval():
    a, b = np.random.default_rng(0).normal(size=(2, 100, 512))
    result = mutual_knn(a, b, 10)
    for name, expected in (("mutual_knn", 10 / 99), ("above_chance", 0), ("cknna", 0.09)):
        low, high = result[f"{name}_ci"]
        assert low < expected < high, name


def test_resampled_duplicates_make_independent_data_alike():
    a, b = np.random.default_rng(0).normal(size=(2, 100, 512))
    drawn = np.random.default_rng(1).integers(0, 100, 100)
    assert mutual_knn(a[drawn], b[drawn], 10, n_resamples=0)["mutual_knn"] > 0.17


def test_equal_data_have_all_neighbours_in_common_without_an_error():
    result = mutual_knn(A, 3 * A, 4)
    assert result["mutual_knn"] == 1
    assert result["cknna"] == pytest.approx(1)
    assert result["mutual_knn_ci"] == [1, 1]


def test_what_is_undefined_has_a_cause():
    result = mutual_knn(A, B, 1, n_resamples=0)
    assert np.isnan(result["cknna"])
    assert list(result["causes"]) == ["cknna"]
    result = mutual_knn(A[:3], B[:3], 2)
    assert result["mutual_knn"] == 1
    assert list(result["causes"]) == ["above_chance", "cknna"]
    assert np.isnan(result["mutual_knn_ci"]).all()
    result = mutual_knn(np.arange(1.0, 7)[:, None] * [1, 2], A[:6], 2)
    assert np.isnan([result["mutual_knn"], *result["cknna_ci"]]).all()
    assert result["causes"]["above_chance"] == "all embeddings have the same direction in a"
