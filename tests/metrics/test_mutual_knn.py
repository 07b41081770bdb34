"""Neighbours in common against the authors' code, planted data, and a loop that leaves one item out."""

import numpy as np
import pytest
from recipes import grid, mix

from hf_clipdyn.metrics.mutual_knn import mutual_knn

A = grid(20, 6, (3, 5, 2, 101))
B = mix(A, 0.7, grid(20, 8, (2, 7, 5, 97)))


def test_the_value_is_that_of_the_authors_code():
    found = mutual_knn(A, B, 4)
    assert found["mutual_knn"].value == pytest.approx(0.4875, abs=1e-12)
    assert found.facts["chance"] == pytest.approx(0.2105263158, abs=1e-10)
    swapped = mutual_knn(B, A, 4)["mutual_knn"]
    assert swapped.value == found["mutual_knn"].value
    assert swapped.influence == pytest.approx(found["mutual_knn"].influence)


def test_all_others_as_neighbours_are_shared_without_a_known_error():
    found = mutual_knn(A, B, 19)["mutual_knn"]
    assert found.value == 1
    assert np.isnan(found.influence).all()


def test_equal_embeddings_are_neighbours_in_the_order_of_their_rows():
    """Five copies of each caption: with k = 2, the neighbours of a copy are the first two others of its class."""
    captions = np.repeat(np.random.default_rng(0).normal(size=(4, 50)), 5, axis=0)
    images = np.zeros((20, 20))
    for row in range(20):
        copies = [i for i in range(row // 5 * 5, row // 5 * 5 + 5) if i != row]
        images[row, row], images[row, copies[:2]] = 1, 0.1
    assert mutual_knn(captions, captions, 2)["mutual_knn"].value == 1
    nearest = images @ images.T
    np.fill_diagonal(nearest, -1)
    assert set(np.argsort(-nearest, axis=1, kind="stable")[4, :2]) == {0, 1}
    assert mutual_knn(captions, images, 2)["mutual_knn"].value == 1
