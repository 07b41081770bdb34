"""Planted observers of distorted images: red is how far an image is from its reference."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import special, stats

from hf_clipdyn.benchmarks.kinds.quality import Quality
from hf_clipdyn.benchmarks.pixel_baselines import psnr_distance


def opinion(damage, *middles, width):
    """A score that falls with the damage in logistic steps: on a straight line, the fit of a logistic has no end."""
    return -float(sum(special.expit((damage - middle) / width) for middle in middles))


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
                        "score": opinion(red, 33, 73, width=9),
                        "score_std": 0.0,
                        "higher_is_better": True,
                    }
                )
    return source("quality", rows)


def test_a_distance_equal_to_minus_the_score_is_perfectly_aligned(rated, measure, sees_red):
    found = measure(Quality, rated, sees_red)
    for distance in ("cosine", "euclidean", "normalised_euclidean"):
        for condition, n in (("", 36), ("blur", 18), ("noise", 18)):
            where = {"variant": distance, "condition": condition}
            assert found("alignment", **where).value == pytest.approx(1)
            assert found("srcc", **where).value == pytest.approx(-1)
            assert found("krcc", **where).value == pytest.approx(-1)
            assert found("plcc_logistic", **where).value > 0.99
            assert found("plcc_logistic", **where).n == n
    one = found("alignment", variant="cosine", condition="")
    assert (one.n, one.n_clusters, one.probe, one.layer) == (36, 6, "projection", None)


def baseline(reference, variant):
    return {"probe": "", "role": "baseline", "reference": reference, "variant": variant, "condition": ""}


def test_the_baselines_are_computed_once_for_all_commands(rated, measure, sees_red, monkeypatch):
    first = measure(Quality, rated, sees_red)

    def again(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr("hf_clipdyn.benchmarks.pixel_baselines.quality_baselines", again)
    second = measure(Quality, rated, sees_red)
    where = baseline("pixels", "psnr")
    assert first("alignment", **where).value == second("alignment", **where).value


def test_the_level_of_the_distortion_is_a_baseline_of_the_alignment(rated, measure, sees_red):
    found = measure(Quality, rated, sees_red)
    levels, scores = rated.dataset["level"][:], rated.dataset["score"][:]
    one = found("alignment", **baseline("level", ""))
    assert one.value == pytest.approx(-stats.spearmanr(levels, scores).statistic)


def with_red_border(image, level):
    pixels = np.asarray(image).copy()
    pixels[:, :3, 0] = 20 + 35 * level
    return Image.fromarray(pixels)


@pytest.fixture
def bordered(source):
    """The damage is at the left edge, which the processor crops away."""
    grey = Image.new("RGB", (40, 24), (20, 90, 90))
    rows = [
        {
            "reference": grey,
            "distorted": with_red_border(grey, level),
            "reference_id": f"i{number}",
            "distortion": "border",
            "score": opinion(level, 3.5, width=0.7),
            "higher_is_better": True,
        }
        for number in range(3)
        for level in (1, 2, 3, 4, 5, 6)
    ]
    return source("quality", rows)


def test_what_is_cropped_away_is_seen_when_squashed(bordered, measure, sees_red):
    cropped = measure(Quality, bordered, sees_red)
    assert "constant" in cropped("alignment", variant="cosine", condition="").note
    found = measure(Quality, bordered, sees_red, preprocess="squash")
    for name in ("cosine", "euclidean", "normalised_euclidean"):
        assert found("alignment", variant=name, condition="").value == pytest.approx(1), name
    for name in ("psnr", "ssim"):
        assert found("alignment", **baseline("pixels", name)).value == pytest.approx(1)


def test_the_preprocessing_and_a_part_of_the_data_are_recorded(rated, prepared):
    for preprocess in ("processor", "squash"):
        assert prepared(Quality, rated, preprocess=preprocess).preprocess == preprocess
    facts = [prepared(Quality, one).facts for one in (rated, replace(rated, absent=4))]
    assert facts == [{}, {"incomplete": "36/40"}]


def test_the_dimensions_that_the_normalised_distance_drops_are_counted(rated, measure, planted):
    found = measure(Quality, rated, planted(lambda pixels: [pixels[..., 0].mean(), 7.0, 1.0]))
    dropped = found("dropped_dimensions", variant="normalised_euclidean", condition="", role="diagnostic")
    assert (dropped.value, dropped.n) == (2, 36)


def test_scores_that_grow_with_the_damage_turn_the_sign_but_not_the_alignment(
    rated, measure, sees_red, source
):
    rows = [row | {"score": -row["score"], "higher_is_better": False} for row in rated.dataset]
    found = measure(Quality, source("quality", rows), sees_red)
    assert found("srcc", variant="cosine", condition="").value == pytest.approx(1)
    assert found("alignment", variant="cosine", condition="").value == pytest.approx(1)


def test_a_constant_encoder_is_undefined_with_a_cause(rated, measure, planted):
    found = measure(Quality, rated, planted(lambda pixels: [1.0, 1.0]))
    assert "constant" in found("alignment", variant="cosine", condition="").note


def test_equal_images_are_nearer_than_any_other():
    image = np.zeros((8, 8, 3), np.uint8)
    other = image.copy()
    other[0, 0, 0] = 1
    assert psnr_distance(image, image) < psnr_distance(image, other) < psnr_distance(image, image + 50)
