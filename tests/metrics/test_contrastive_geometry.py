"""Geometry of paired embeddings against the authors' code, planted data, and a loop that leaves one group out."""

import numpy as np
import pytest
from recipes import grid

from hf_clipdyn.metrics.contrastive_geometry import (
    contrastive_geometry,
    neural_collapse,
)

IMAGES = grid(16, 6, (3, 5, 2, 101)) + 0.3
TEXTS = 0.6 * IMAGES + grid(16, 6, (2, 7, 5, 97)) - 0.2
LABELS = np.arange(12) % 3
FEATURES = grid(12, 5, (3, 5, 2, 101)) + np.stack([LABELS, LABELS == 1, *[0 * LABELS] * 3], axis=1)
# In the first order only; all others are exact.
RANKS = ("rankme", "effective_rank", "effective_rank_centred")


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def without_each(metric, arrays, groups):
    """Influences by computing the metric again without each group."""
    left_out = [metric(*(rows[groups != one] for rows in arrays), n_resamples=0) for one in np.unique(groups)]
    influences = {}
    for name, first in left_out[0].items():
        if isinstance(first, float):
            values = np.array([one[name] for one in left_out])
            influences[name] = (values.mean() - values) * (1 - 1 / len(values))
    return influences


def test_the_values_are_those_of_the_authors_code():
    result = contrastive_geometry(IMAGES, TEXTS, n_resamples=0)
    expected = {
        "gap": 0.8187403601,
        "gap_squared_unbiased": 0.6351241368,
        "relative_modality_gap": 0.4267371802,
        "alignment": 1.198510385,
        "uniformity_image": -1.872934026,
        "uniformity_text": -2.856193577,
        "rankme_image": 5.517813188,
        "effective_rank_image": 5.517810299,
        "effective_rank_centred_image": 5.598746363,
        "participation_ratio_image": 4.000330113,
        "participation_ratio_debiased_image": 5.324791780,
    }
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=6e-10)


def test_neural_collapse_has_the_values_of_the_authors_code():
    result = neural_collapse(FEATURES, LABELS, n_resamples=0)
    expected = [0.0809854814, 0.2215009189, 0.1864130818, 0.4539284340]
    names = ("nc1", "nc1_ratio", "nc2_norms", "nc2_angles")
    assert [result[name] for name in names] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("groups", [np.arange(16)[::-1], np.arange(16) * 5 % 7])
def test_the_influences_are_those_of_leaving_out_one_group_after_the_other(groups):
    expected = without_each(contrastive_geometry, (IMAGES, TEXTS), groups)
    influences = contrastive_geometry(IMAGES, TEXTS, groups=groups)["influences"]
    assert influences.keys() == expected.keys()
    for name, found in influences.items():
        if not name.startswith(RANKS):
            assert found == pytest.approx(expected[name], abs=1e-12), name


@pytest.mark.parametrize("groups", [np.arange(120), np.arange(120) % 60])
def test_the_influences_on_ranks_approach_those_of_the_jackknife(groups):
    rows = normal(120, 6) * np.arange(1, 7) + 1
    expected = without_each(contrastive_geometry, (rows, rows), groups)
    influences = contrastive_geometry(rows, rows, groups=groups)["influences"]
    for name in RANKS:
        found, exact = influences[f"{name}_image"], expected[f"{name}_image"]
        assert np.corrcoef(found, exact)[0, 1] > 0.999
        assert found.std() == pytest.approx(exact.std(), rel=0.05)


def test_the_influences_on_neural_collapse_approach_those_of_the_jackknife():
    labels = np.arange(300) % 4
    features = normal(300, 6) + 2 * normal(4, 6, seed=1)[labels]
    expected = without_each(neural_collapse, (features, labels), np.arange(300))
    for name, found in neural_collapse(features, labels)["influences"].items():
        assert np.corrcoef(found, expected[name])[0, 1] > 0.999
        assert found.std() == pytest.approx(expected[name].std(), rel=0.03)
        assert found.sum() == pytest.approx(0, abs=1e-10)


def test_independent_images_and_texts_have_a_gap_by_chance_alone():
    images, texts = normal(100, 512), normal(100, 512, seed=1)
    result = contrastive_geometry(images, texts)
    assert result["gap"] == pytest.approx(np.sqrt(2 / 100), abs=0.01)
    low, high = result["gap_squared_unbiased_ci"]
    assert low < 0 < high
    assert result["alignment"] == pytest.approx(2, abs=0.05)
    assert result["relative_modality_gap"] == pytest.approx(0.5, abs=0.01)
    assert result["uniformity_image"] == pytest.approx(-4, abs=0.03)


@pytest.mark.parametrize(("n", "biased"), [(32, 20.6), (128, 42.2), (1024, 60.2)])
def test_the_debiased_participation_ratio_does_not_grow_with_the_number_of_images(n, biased):
    draws = [contrastive_geometry(rows, rows, n_resamples=0) for rows in (normal(n, 64, s) for s in range(4))]
    assert np.mean([one["participation_ratio_image"] for one in draws]) == pytest.approx(biased, rel=0.05)
    assert np.mean([one["participation_ratio_debiased_image"] for one in draws]) == pytest.approx(
        64, rel=0.06
    )


def test_resampled_duplicates_make_embeddings_look_less_uniform():
    rows = normal(100, 512)
    drawn = rows[np.random.default_rng(1).integers(0, 100, 100)]
    found = [contrastive_geometry(some, some, n_resamples=0)["uniformity_image"] for some in (rows, drawn)]
    assert found == pytest.approx([-3.98, -3.57], abs=0.05)


def test_collapsed_embeddings_have_one_dimension_and_no_centred_one():
    result = contrastive_geometry(np.tile([1.0, 2.0, 2.0], (8, 1)), np.tile([2.0, 4.0, 4.0], (8, 1)))
    assert [result[name] for name in ("gap", "alignment", "uniformity_image")] == pytest.approx([0, 0, 0])
    assert result["effective_rank_text"] == pytest.approx(1)
    assert result["rankme_text"] == pytest.approx(1, abs=1e-5)
    assert result["norm_text"] == pytest.approx(6)
    undefined = {"relative_modality_gap"}
    for name in ("effective_rank_centred", "participation_ratio", "participation_ratio_debiased"):
        undefined |= {f"{name}_image", f"{name}_text"}
    assert {
        name for name, value in result.items() if isinstance(value, float) and np.isnan(value)
    } == undefined
    assert result["causes"].keys() == undefined
    assert all(result["causes"].values())


def test_classes_at_the_corners_of_a_simplex_have_collapsed():
    labels = np.arange(20) % 4
    result = neural_collapse(5 * np.eye(4)[labels] + 3, labels)
    assert [result[name] for name in ("nc1", "nc1_ratio", "nc2_norms", "nc2_angles")] == pytest.approx(
        [0] * 4, abs=1e-7
    )


def test_what_is_undefined_has_a_cause():
    alone = contrastive_geometry([[1.0, 0.0]], [[0.0, 1.0]])
    assert alone["gap"] == pytest.approx(np.sqrt(2))
    assert np.isnan(alone["gap_ci"]).all()
    assert alone["causes"]["uniformity_text"] == "there is only one pair"
    assert (
        "fewer than four"
        in contrastive_geometry(IMAGES[:3], TEXTS[:3])["causes"]["participation_ratio_debiased_image"]
    )
    one_class = neural_collapse(FEATURES, np.zeros(12))
    assert np.isnan(one_class["nc1"])
    assert one_class["causes"]["nc2_angles"] == "there is only one class"
    assert neural_collapse(np.ones((4, 2)), [0, 0, 1, 1])["causes"]["nc1"] == "all classes have the same mean"


def test_ranks_of_few_images_have_a_value_without_an_interval():
    result = contrastive_geometry(normal(10, 8), normal(10, 8))
    assert 1 < result["rankme_image"] < 8
    assert np.isnan(result["rankme_image_ci"]).all()
    assert not np.isnan(result["uniformity_image_ci"]).any()
