"""CKA, common neighbours and geometry of embeddings, against values of their authors' code and planted data."""

import numpy as np
import pytest
from recipes import grid, mix

from hf_clipdyn.metrics.cka import cka, unbiased_hsic
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
from hf_clipdyn.metrics.mutual_knn import mutual_knn

X = grid(12, 5, (3, 5, 2, 101))
Y = mix(X, 0.5, grid(12, 7, (2, 7, 5, 97)))
A = grid(20, 6, (3, 5, 2, 101))
B = mix(A, 0.7, grid(20, 8, (2, 7, 5, 97)))
IMAGES = grid(16, 6, (3, 5, 2, 101)) + 0.3
TEXTS = 0.6 * IMAGES + grid(16, 6, (2, 7, 5, 97)) - 0.2


def cka_of(x, y):
    return cka(x, y)["cka_debiased"].value


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_cka_and_its_unbiased_inner_products_are_those_of_the_authors_code():
    assert [cka_of(X, Y), cka_of(Y, X)] == pytest.approx([0.4706900016] * 2, abs=1e-10)
    found = [unbiased_hsic(a, b)[0] for a, b in ((X, Y), (X, X), (Y, Y))]
    assert found == pytest.approx([0.0280413747, 0.0318701856, 0.1113638052], abs=1e-10)


def test_embeddings_that_are_equal_up_to_rotation_scale_and_place_have_a_cka_of_1():
    x = normal(30, 6)
    rotation = np.linalg.qr(normal(6, 6, seed=1))[0]
    assert cka_of(x, 100 + 0.01 * x @ rotation) == pytest.approx(1, abs=1e-6)
    assert cka_of(1 + 1e-6 * X, Y) == pytest.approx(cka_of(X, Y), abs=1e-8), "almost constant"


def test_the_cka_of_four_items_has_a_value_without_an_interval():
    found = cka(X[:4], Y[:4])
    assert -1 <= found["cka_debiased"].value <= 1
    assert np.isnan(found.report()["cka_debiased_ci"]).all()


def test_the_share_of_common_neighbours_is_that_of_the_authors_code():
    found = mutual_knn(A, B, 4)
    assert found["mutual_knn"].value == pytest.approx(0.4875, abs=1e-12)
    assert found.facts["chance"] == pytest.approx(0.2105263158, abs=1e-10)


def test_all_others_as_neighbours_are_shared_without_a_known_error():
    found = mutual_knn(A, B, 19)["mutual_knn"]
    assert found.value == 1
    assert np.isnan(found.influence).all()


def test_equal_embeddings_are_neighbours_in_the_order_of_their_rows():
    """Five copies of each caption: with k = 2, the neighbours of a copy are the first two others of its class."""
    captions = np.repeat(normal(4, 50), 5, axis=0)
    images = np.zeros((20, 20))
    for row in range(20):
        copies = [i for i in range(row // 5 * 5, row // 5 * 5 + 5) if i != row]
        images[row, row], images[row, copies[:2]] = 1, 0.1
    assert mutual_knn(captions, captions, 2)["mutual_knn"].value == 1
    assert mutual_knn(captions, images, 2)["mutual_knn"].value == 1


def test_the_geometry_is_that_of_the_authors_code():
    result = contrastive_geometry(IMAGES, TEXTS)
    expected = {
        "gap": 0.8187403601,
        "alignment": 1.198510385,
        "uniformity_image": -1.872934026,
        "uniformity_text": -2.856193577,
        "rankme_image": 5.517813188,
        "effective_rank_image": 5.517810299,
        "effective_rank_centred_image": 5.598746363,
        "participation_ratio_image": 4.000330113,
        "participation_ratio_debiased_image": 5.324791780,
    }
    assert {name: result[name].value for name in expected} == pytest.approx(expected, abs=6e-10)
    assert result["norm_text"].value == pytest.approx(np.linalg.norm(TEXTS, axis=1).mean())
    unbiased = 0.6351241368  # the square of the gap, without what finite samples add
    assert result["gap"].value ** 2 - result.facts["gap_chance"] ** 2 == pytest.approx(unbiased, abs=1e-9)


def test_independent_images_and_texts_have_a_gap_by_chance_alone():
    images, texts = normal(100, 512), normal(100, 512, seed=1)
    result = contrastive_geometry(images, texts)
    assert result["gap"].value == pytest.approx(np.sqrt(2 / 100), abs=0.01)
    assert result.facts["gap_chance"] == pytest.approx(result["gap"].value, rel=0.05)
    lengths = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, texts)]
    others = [images / lengths[0] - np.roll(texts / lengths[1], by, axis=0) for by in range(1, 100)]
    assert result.facts["alignment_chance"] == pytest.approx(
        np.mean([np.square(one).sum(1) for one in others])
    )


def test_few_pairs_have_values_without_the_errors_that_they_cannot_tell():
    few = contrastive_geometry(normal(10, 8), normal(10, 8))
    assert 1 < few["rankme_image"].value < 8
    assert np.isnan(few.report()["rankme_image_ci"]).all()
    assert not np.isnan(few.report()["uniformity_image_ci"]).any()
    alone = contrastive_geometry([[1.0, 0.0]], [[0.0, 1.0]])
    assert alone["gap"].value == pytest.approx(np.sqrt(2))
    assert np.isnan(alone.report()["gap_ci"]).all()
    assert np.isnan([alone.facts["gap_chance"], alone.facts["alignment_chance"]]).all()
