"""Planted observers of distorted images: red is how far an image is from its reference."""

import numpy as np
import pytest
from scipy import special, stats

from hf_clipdyn.benchmarks.kinds.quality import Quality
from hf_clipdyn.benchmarks.pixel_baselines import column_ssim, psnr_distance, ssim


def opinion(damage, *middles, width):
    """A score that falls with the damage in logistic steps: on a straight line, the fit of a logistic has no end."""
    return -float(sum(special.expit((damage - middle) / width) for middle in middles))


@pytest.fixture
def rated(source, colour):
    """`rated(higher_is_better=True)`: six references, two distortions, three levels."""

    def build(higher_is_better=True):
        rng = np.random.default_rng(0)
        rows = []
        for reference in range(6):
            for distortion in ("noise", "blur"):
                for level in (1, 2, 3):
                    red = 15 * level + reference + (40 if distortion == "blur" else 0)
                    score = opinion(red, 33, 73, width=9)
                    rows.append(
                        {
                            "reference": colour(0, 20 * reference),
                            "distorted": colour(red, 20 * reference, rng.integers(0, 9)),
                            "reference_id": f"i{reference}",
                            "distortion": distortion,
                            "level": level,
                            "score": score if higher_is_better else -score,
                            "score_std": 0.0,
                            "higher_is_better": higher_is_better,
                        }
                    )
        return source("quality", rows)

    return build


@pytest.mark.parametrize(("higher_is_better", "sign"), [(True, -1), (False, 1)])
def test_a_distance_that_grows_with_the_damage_is_aligned_in_either_direction_of_the_scores(
    higher_is_better, sign, rated, measure, sees_red
):
    found = measure(Quality, rated(higher_is_better), sees_red)
    for condition, n in (("", 36), ("blur", 18), ("noise", 18)):
        where = {"variant": "cosine", "condition": condition}
        assert found("alignment", **where).value == pytest.approx(1)
        assert found("srcc", **where).value == pytest.approx(sign)
        assert found("plcc_logistic", **where).value > 0.99
        assert found("plcc_logistic", **where).n == n
    one = found("alignment", variant="cosine", condition="")
    assert (one.n, one.n_clusters, one.probe, one.layer) == (36, 6, "projection", None)


def baseline(reference, variant):
    return {"probe": "", "role": "baseline", "reference": reference, "variant": variant, "condition": ""}


def test_the_level_is_a_baseline_and_those_of_the_pixels_are_computed_once_for_all_commands(
    rated, measure, sees_red, monkeypatch
):
    source = rated()
    first = measure(Quality, source, sees_red)
    levels, scores = source.dataset["level"][:], source.dataset["score"][:]
    by_level = first("alignment", **baseline("level", ""))
    assert by_level.value == pytest.approx(-stats.spearmanr(levels, scores).statistic)

    def again(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr("hf_clipdyn.benchmarks.pixel_baselines.quality_baselines", again)
    second = measure(Quality, source, sees_red)
    where = baseline("pixels", "psnr")
    assert first("alignment", **where).value == second("alignment", **where).value


def test_equal_images_are_nearer_than_any_other():
    image = np.zeros((8, 8, 3), np.uint8)
    other = image.copy()
    other[0, 0, 0] = 1
    assert psnr_distance(image, image) < psnr_distance(image, other) < psnr_distance(image, image + 50)


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
