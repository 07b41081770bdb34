"""Debiased CKA against values of the authors' code, planted data, and a loop that leaves one item out."""

import numpy as np
import pytest
from recipes import grid, mix

from hf_clipdyn.metrics.cka import cka, unbiased_hsic

X = grid(12, 5, (3, 5, 2, 101))
Y = mix(X, 0.5, grid(12, 7, (2, 7, 5, 97)))


def value(x, y):
    return cka(x, y)["cka_debiased"].value


def independent(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(2, n, d))


def test_the_value_is_that_of_the_authors_code():
    assert [value(X, Y), value(Y, X)] == pytest.approx([0.4706900016] * 2, abs=1e-10)


def test_the_unbiased_inner_products_are_those_of_the_authors_code():
    found = [unbiased_hsic(a, b)[0] for a, b in ((X, Y), (X, X), (Y, Y))]
    assert found == pytest.approx([0.0280413747, 0.0318701856, 0.1113638052], abs=1e-10)


@pytest.mark.parametrize("n", [50, 100, 500])
def test_independent_data_of_any_number_are_at_zero_within_the_interval(n):
    found = cka(*independent(n, 512))
    assert found["cka_debiased"].value == pytest.approx(0, abs=0.05)
    low, high = found.report()["cka_debiased_ci"]
    assert low < 0 < high
    assert high - low < 0.2


def test_equal_data_up_to_rotation_scale_and_place_are_equal():
    x = independent(30, 6)[0]
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert value(x, 100 + 0.01 * x @ rotation) == pytest.approx(1, abs=1e-6)


def test_almost_constant_embeddings_keep_their_digits():
    assert value(1 + 1e-6 * X, Y) == pytest.approx(value(X, Y), abs=1e-8)


def test_four_items_have_a_value_without_an_interval():
    found = cka(X[:4], Y[:4])
    assert -1 <= found["cka_debiased"].value <= 1
    assert np.isnan(found.report()["cka_debiased_ci"]).all()
