"""Planted observers of images distorted at ascending levels."""

import numpy as np
import pytest
from PIL import Image

from hf_clipdyn.benchmarks.kinds.distortion import Distortion
from hf_clipdyn.benchmarks.pixel_baselines import column_ssim, ssim


@pytest.fixture
def ladders(source):
    rng = np.random.default_rng(0)
    rows = []
    for reference in range(5):
        clean = rng.integers(60, 190, (16, 16, 3)).astype(np.uint8)
        for level in (1, 2, 3, 4):
            noisy = np.clip(clean + rng.normal(0, 12 * level, clean.shape), 0, 255).astype(np.uint8)
            rows.append(
                {
                    "reference": Image.fromarray(clean),
                    "distorted": Image.fromarray(noisy),
                    "reference_id": f"r{reference}",
                    "distortion": "noise",
                    "level": level,
                }
            )
    return source("distortion_ladder", rows)


def test_an_encoder_of_the_pixels_agrees_with_severity_and_ssim(ladders, measure, planted):
    found = measure(Distortion, ladders, planted(lambda pixels: pixels.ravel() / 255))
    for metric in ("alignment_ssim", "alignment_severity"):
        one = found(metric, variant="cosine", condition="")
        assert (one.n, one.n_clusters) == (20, 5)
        assert one.value > 0.9
        assert one.ci_low < one.value


def test_a_constant_encoder_sees_each_image_once_and_is_undefined_with_a_cause(ladders, measure, planted):
    encoder = planted(lambda pixels: np.ones(3))
    found = measure(Distortion, ladders, encoder)
    assert "constant" in found("alignment_ssim", variant="cosine", condition="").note
    assert encoder.seen == 5 + 20, "a shared reference once"


@pytest.mark.parametrize("size", [(40, 40), (9, 13), (6, 5), (300, 310), (2, 30), (1, 1)])
def test_images_in_a_column_have_the_ssim_that_they_have_alone(size):
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (9, *size, 3), dtype=np.uint8)
    second = np.clip(first + rng.normal(0, 30, first.shape), 0, 255).astype(np.uint8)
    second[3] = first[3]
    alone = [ssim(a, b) for a, b in zip(first, second, strict=True)]
    found = column_ssim(first, second)
    np.testing.assert_allclose(found, alone, atol=1e-11)
    assert found[3] == 1
