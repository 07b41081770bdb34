"""Geometry of paired embeddings against the authors' code, planted data, and a loop that leaves one pair out."""

import numpy as np
import pytest
from recipes import grid

from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry

IMAGES = grid(16, 6, (3, 5, 2, 101)) + 0.3
TEXTS = 0.6 * IMAGES + grid(16, 6, (2, 7, 5, 97)) - 0.2
# To the second order; all others are exact.
RATIOS = ("participation_ratio_image", "participation_ratio_debiased_image")


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_the_values_are_those_of_the_authors_code():
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
    unbiased = 0.6351241368  # the square of the gap, without what finite samples add
    assert result["gap"].value ** 2 - result.facts["gap_chance"] ** 2 == pytest.approx(unbiased, abs=1e-9)


def test_independent_images_and_texts_have_a_gap_by_chance_alone():
    images, texts = normal(100, 512), normal(100, 512, seed=1)
    result = contrastive_geometry(images, texts)
    assert result["gap"].value == pytest.approx(np.sqrt(2 / 100), abs=0.01)
    assert result.facts["gap_chance"] == pytest.approx(result["gap"].value, rel=0.05)
    assert result["alignment"].value == pytest.approx(2, abs=0.05)
    shuffled = [
        np.square(unit(images) - np.roll(unit(texts), by, axis=0)).sum(axis=1) for by in range(1, 100)
    ]
    assert result.facts["alignment_chance"] == pytest.approx(np.mean(shuffled))
    assert result["uniformity_image"].value == pytest.approx(-4, abs=0.03)


@pytest.mark.parametrize(("n", "biased"), [(32, 20.6), (128, 42.2), (1024, 60.2)])
def test_the_debiased_participation_ratio_does_not_grow_with_the_number_of_images(n, biased):
    draws = [contrastive_geometry(rows, rows) for rows in (normal(n, 64, s) for s in range(4))]
    ratios = [np.mean([one[name].value for one in draws]) for name in RATIOS]
    assert ratios == [pytest.approx(biased, rel=0.05), pytest.approx(64, rel=0.06)]


def test_collapsed_embeddings_have_one_dimension_and_no_centred_one():
    result = contrastive_geometry(np.tile([1.0, 2.0, 2.0], (8, 1)), np.tile([2.0, 4.0, 4.0], (8, 1)))
    values = {name: score.value for name, score in result.items()}
    assert [values[name] for name in ("gap", "alignment", "uniformity_image")] == pytest.approx([0, 0, 0])
    assert values["effective_rank_text"] == pytest.approx(1)
    assert values["rankme_text"] == pytest.approx(1, abs=1e-5)
    assert values["norm_text"] == pytest.approx(6)
    assert sum(map(np.isnan, values.values())) == 6, "what is relative to the mean"


def test_one_pair_has_a_gap_and_no_chance():
    alone = contrastive_geometry([[1.0, 0.0]], [[0.0, 1.0]])
    assert alone["gap"].value == pytest.approx(np.sqrt(2))
    assert np.isnan(alone.report()["gap_ci"]).all()
    assert np.isnan([alone.facts["gap_chance"], alone.facts["alignment_chance"]]).all()


def test_ranks_of_few_images_have_a_value_without_an_interval():
    result = contrastive_geometry(normal(10, 8), normal(10, 8))
    assert 1 < result["rankme_image"].value < 8
    report = result.report()
    assert np.isnan(report["rankme_image_ci"]).all()
    assert not np.isnan(report["uniformity_image_ci"]).any()
