"""Planted observers of noisy images."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.noise import GaussianNoise, Noise, spread
from hf_clipdyn.benchmarks.zero_shot import ZeroShot

CLASSES = ("dark", "bright", "grey")
LEVELS = (20, 230, 128)


def text(prompt):
    return np.eye(3)[next(i for i, name in enumerate(CLASSES) if name in prompt)]


@pytest.fixture
def labelled(source, colour):
    rows = [
        {"image": colour(level, level, level, side=20), "label": label}
        for label, level in enumerate(LEVELS)
        for _ in range(12)
    ]
    return source("labels", rows, CLASSES)


def noise_blind(pixels):
    """Noise moves the mean of a square little: dark and bright stay on their sides."""
    mean = pixels.mean()
    return np.eye(3)[0 if mean < 90 else 1 if mean > 165 else 2]


def fragile(pixels):
    """Right on a flat square, and always the class "dark" on any other."""
    return noise_blind(pixels) if pixels.std() == 0 else np.eye(3)[0]


@pytest.mark.parametrize("stage", ["native", "input"])
def test_a_noise_blind_encoder_loses_nothing(stage, labelled, measure, planted):
    found = measure(Noise, labelled, planted(noise_blind, text), sigmas=(0.0, 0.1), noise_stage=stage)
    group = "sigma=0.10" if stage == "native" else "sigma=0.10,noise_stage=input"
    assert found["clean_accuracy", ""].value == 1
    assert found["relative_drop", group].value == 0
    assert found["chance_corrected_drop", group].value == 0
    assert found["displacement", group].value == 0
    assert found["drop_when_right", group].value == 0
    assert found["area", ""].value == 1
    assert found["chance", ""].value == pytest.approx(1 / 3)


def test_a_fragile_encoder_falls_to_chance(labelled, measure, planted):
    found = measure(Noise, labelled, planted(fragile, text), sigmas=(0.0, 0.02))
    assert found["accuracy", "sigma=0.02"].value == pytest.approx(1 / 3)
    assert found["relative_drop", "sigma=0.02"].value == pytest.approx(2 / 3)
    assert found["chance_corrected_drop", "sigma=0.02"].value == pytest.approx(1)
    assert found["drop_when_right", "sigma=0.02"].value == pytest.approx(2 / 3)
    # two of three images jump to another orthogonal vector; a third of the clean pairs are equal
    assert found["displacement", "sigma=0.02"].value == pytest.approx((2 / 3) / (24 / 35))


def test_a_constant_encoder_has_no_displacement_and_says_why(labelled, measure, planted):
    found = measure(Noise, labelled, planted(lambda pixels: np.ones(3), text), sigmas=(0.0, 0.1))
    assert found["displacement", "sigma=0.10"].note == "all clean images embed alike"
    assert "not clear of" in found["chance_corrected_drop", "sigma=0.10"].note


def test_the_same_row_gets_the_same_noise_and_another_row_another():
    pixels = np.full((4, 4, 3), 128, np.uint8)
    noise = GaussianNoise(0.1, seed=3)
    assert np.array_equal(noise(pixels, 5), noise(pixels, 5))
    assert not np.array_equal(noise(pixels, 5), noise(pixels, 6))
    assert not np.array_equal(noise(pixels, 5), GaussianNoise(0.1, seed=4)(pixels, 5))


def test_noise_has_the_asked_deviation_and_is_clamped():
    pixels = np.full((200, 200, 3), 128, np.uint8)
    noisy = GaussianNoise(0.1, seed=0)(pixels, 0).astype(float) / 255
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    black = GaussianNoise(0.5, seed=0)(np.zeros_like(pixels), 0)
    assert (black == 0).mean() == pytest.approx(0.5, abs=0.02)


def test_the_spread_is_the_mean_distance_of_different_images():
    images = np.random.default_rng(0).normal(size=(6, 4))
    rows = images / np.linalg.norm(images, axis=1, keepdims=True)
    pairs = [0.5 * ((a - b) ** 2).sum() for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
    assert spread(images) == pytest.approx(np.mean(pairs))


def test_zero_shot_of_a_perfect_and_of_a_constant_encoder(labelled, measure, planted):
    found = measure(ZeroShot, labelled, planted(noise_blind, text))
    assert found["top1", ""].value == 1
    constant = measure(ZeroShot, labelled, planted(lambda pixels: np.ones(3), text))
    assert constant["top1", ""].value == pytest.approx(1 / 3)
    assert constant["top5", ""].value == 1  # of three classes


def test_a_broken_image_is_left_out_and_counted(source, colour, measure, planted, tmp_path):
    from transformers import CLIPImageProcessor

    from hf_clipdyn.benchmarks.base import Settings

    paths = []
    for index in range(4):
        paths.append(str(tmp_path / f"{index}.png"))
        colour(20, 20, 20).save(paths[-1])
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:40])
    rows = [{"image": {"path": path, "bytes": None}, "label": 0} for path in paths]
    labelled = source("labels", rows, CLASSES)
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    assert ZeroShot(labelled, processor, Settings(cache_dir=tmp_path / "cache")).left_out == 1
    found = measure(ZeroShot, labelled, planted(noise_blind, text))
    assert (found["top1", ""].value, found["top1", ""].n) == (1, 3)
