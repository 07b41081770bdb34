"""Planted observers of distorted images: red is how far an image is from its reference."""

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.benchmarks.quality import Quality, psnr_distance


def angle(pixels):
    turn = pixels[..., 0].mean() / 255 * np.pi / 2
    return [np.cos(turn), np.sin(turn)]


@pytest.fixture
def rated(source, colour):
    rng = np.random.default_rng(0)
    rows = []
    for reference in range(6):
        for distortion in ("noise", "blur"):
            for level in (1, 2, 3):
                red = 15 * level + reference + (40 if distortion == "blur" else 0)
                rows.append(
                    {
                        "reference": colour(0, 20 * reference),
                        "distorted": colour(red, 20 * reference, rng.integers(0, 9)),
                        "reference_id": f"i{reference}",
                        "distortion": distortion,
                        "level": level,
                        "score": -float(red),
                        "score_std": 0.0,
                        "higher_is_better": True,
                    }
                )
    return source("quality", rows)


def test_a_distance_equal_to_minus_the_score_is_perfectly_aligned(rated, measure, planted):
    found = measure(Quality, rated, planted(angle))
    for distance in ("cosine", "euclidean", "normalised_euclidean"):
        assert found[f"srcc/{distance}", ""].value == pytest.approx(-1)
        assert found[f"krcc/{distance}", ""].value == pytest.approx(-1)
        assert found[f"alignment/{distance}", ""].value == pytest.approx(1)
        assert found[f"plcc_logistic/{distance}", ""].value > 0.99
        assert found[f"alignment/{distance}", "distortion=blur"].value == pytest.approx(1)
    one = found["alignment/cosine", ""]
    assert (one.n, one.n_groups, one.probe, one.layer) == (36, 6, "projection", None)


def test_the_pixel_baselines_are_those_of_the_pixels_that_the_model_sees(rated, measure, planted):
    found = measure(Quality, rated, planted(angle))
    expected = []
    for row in rated.dataset:
        a, b = (np.asarray(row[name].resize((16, 16)), np.float64) for name in ("reference", "distorted"))
        expected.append(10 * np.log10(255**2 / np.mean((a - b) ** 2)))
    srcc = stats.spearmanr(expected, rated.dataset["score"]).statistic
    assert found["alignment/psnr", ""].probe == "pixels"
    assert found["alignment/psnr", ""].value == pytest.approx(srcc)
    assert found["alignment/ssim", ""].value > 0


def test_scores_that_grow_with_the_damage_turn_the_sign_but_not_the_alignment(
    rated, measure, planted, source
):
    rows = [row | {"score": -row["score"], "higher_is_better": False} for row in rated.dataset]
    found = measure(Quality, source("quality", rows), planted(angle))
    assert found["srcc/cosine", ""].value == pytest.approx(1)
    assert found["alignment/cosine", ""].value == pytest.approx(1)


def test_a_constant_encoder_is_undefined_with_a_cause(rated, measure, planted):
    found = measure(Quality, rated, planted(lambda pixels: [1.0, 1.0]))
    assert "constant" in found["alignment/cosine", ""].note


def test_equal_images_are_nearer_than_any_other():
    image = np.zeros((8, 8, 3), np.uint8)
    other = image.copy()
    other[0, 0, 0] = 1
    assert psnr_distance(image, image) < psnr_distance(image, other) < psnr_distance(image, image + 50)
