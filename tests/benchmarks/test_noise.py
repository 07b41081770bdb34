"""Planted observers of noisy images."""

import numpy as np
import pandas as pd
import pytest
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.base import Settings
from hf_clipdyn.benchmarks.kinds.noise import Noise, spread
from hf_clipdyn.benchmarks.noises import Blur, GaussianNoise, SaltAndPepper
from hf_clipdyn.benchmarks.readout import Readout

PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
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
    assert found["area", "" if stage == "native" else "noise_stage=input"].value == 1
    assert found["chance", ""].value == pytest.approx(1 / 3)


@pytest.mark.parametrize("stage", ["native", "input"])
def test_the_effective_noise_is_that_of_the_clipped_pixels_at_its_stage(
    stage, source, colour, measure, planted
):
    rows = [{"image": colour(value, value, value, side=24), "label": 0} for value in (0, 255, 128, 40)]
    data = source("labels", rows, CLASSES)
    found = measure(Noise, data, planted(noise_blind, text), sigmas=(0.0, 0.1, 0.5), noise_stage=stage)
    suffix = "" if stage == "native" else ",noise_stage=input"
    side = 24 if stage == "native" else 16
    for sigma in (0.1, 0.5):
        squares = [
            np.square(
                GaussianNoise(sigma)(np.full((side, side, 3), value, np.uint8), row) / 255 - value / 255
            ).mean()
            for row, value in enumerate((0, 255, 128, 40))
        ]
        one = found["pixels", "noise_rms", f"sigma={sigma:.2f}{suffix}"]
        assert one.value == pytest.approx(np.sqrt(np.mean(squares)))
        assert one.value < 0.95 * sigma, "half of the noise on black and white is clipped"
        assert one.higher_is_better is None


def test_trials_of_an_earlier_version_have_no_effective_noise_and_are_scored(labelled, planted, tmp_path):
    settings = Settings(cache_dir=tmp_path, sigmas=(0.0, 0.1), n_resamples=0)
    trials = Noise(labelled, PROCESSOR, settings).observe(Readout(planted(noise_blind, text)))
    now, then = (Noise.score(rows, settings) for rows in (trials, trials.drop(columns="rms")))
    assert list(map(str, then)) == [str(one) for one in now if one.metric != "noise_rms"]
    assert len(then) == len(now) - 1


def test_levels_finer_than_two_decimals_keep_names_of_their_own(labelled, measure, planted):
    found = measure(Noise, labelled, planted(noise_blind, text), sigmas=(0.0, 0.001, 0.002, 0.125))
    groups = {group for metric, group in (key[-2:] for key in found) if metric == "relative_drop"}
    assert groups == {"sigma=0.001", "sigma=0.002", "sigma=0.125"}
    assert found["accuracy", "sigma=0.00"].value == 1


@pytest.mark.parametrize("kind", ["salt_and_pepper", "blur"])
@pytest.mark.parametrize("stage", ["native", "input"])
def test_a_noise_blind_encoder_loses_nothing_of_any_kind(kind, stage, labelled, measure, planted):
    encoder = planted(noise_blind, text)
    kinds = ("gaussian", kind)
    found = measure(Noise, labelled, encoder, sigmas=(0.0, 0.1), noise_kinds=kinds, noise_stage=stage)
    suffix = "" if stage == "native" else ",noise_stage=input"
    scale = "amount=0.05" if kind == "salt_and_pepper" else "sigma=2.00"
    for group in (f"sigma=0.10{suffix}", f"noise={kind},{scale}{suffix}"):
        for metric in ("relative_drop", "chance_corrected_drop", "drop_when_right"):
            assert found[metric, group].value == 0
            assert found["linear_probe", metric, group].value == 0
        assert found["displacement", group].value == 0
        assert found["accuracy", group].value == found["linear_probe", "accuracy", group].value == 1
    assert found["area", f"noise={kind}{suffix}"].value == 1
    assert ("clean_accuracy", f"noise={kind}{suffix}") not in found
    assert ("accuracy", f"noise={kind},{scale.partition('=')[0]}=0.00{suffix}") not in found


def test_what_salt_and_pepper_breaks_blur_may_leave_alone(labelled, measure, planted):
    kinds = ("salt_and_pepper", "blur")
    found = measure(Noise, labelled, planted(fragile, text), noise_kinds=kinds)
    assert found["relative_drop", "noise=salt_and_pepper,amount=0.05"].value == pytest.approx(2 / 3)
    assert found["relative_drop", "noise=blur,sigma=3.00"].value == 0
    assert not [group for _, group in (key[-2:] for key in found) if group.startswith("sigma=")]


def test_the_probe_of_a_fragile_encoder_loses_what_the_prompts_lose(labelled, measure, planted):
    found = measure(Noise, labelled, planted(fragile, text), sigmas=(0.0, 0.02))
    for metric in ("accuracy", "relative_drop", "chance_corrected_drop", "drop_when_right"):
        assert found["linear_probe", metric, "sigma=0.02"].value == found[metric, "sigma=0.02"].value
    assert found["linear_probe", "clean_accuracy", ""].value == 1
    assert found["linear_probe", "chance", ""].value == pytest.approx(1 / 3)


def test_a_probe_reads_what_the_prompts_do_not_name(labelled, measure, planted):
    found = measure(Noise, labelled, planted(noise_blind, lambda prompt: text("grey")), sigmas=(0.0, 0.1))
    assert found["clean_accuracy", ""].value == pytest.approx(1 / 3)
    assert found["linear_probe", "clean_accuracy", ""].value == 1
    assert found["linear_probe", "chance_corrected_drop", "sigma=0.10"].value == 0


def test_a_class_with_one_image_cannot_be_probed_and_says_so(source, colour, measure, planted):
    rows = [{"image": colour(level, level, level), "label": label} for label, level in enumerate(LEVELS)]
    found = measure(Noise, source("labels", rows, CLASSES), planted(noise_blind, text), sigmas=(0.0, 0.1))
    assert found["clean_accuracy", ""].value == 1
    assert "held out" in found["linear_probe", "clean_accuracy", ""].note


def test_rows_without_text_are_not_measured_again_with_other_texts(labelled, planted, tmp_path):
    encoder = planted(noise_blind, text)
    settings = Settings(cache_dir=tmp_path, sigmas=(0.0, 0.1), n_resamples=0)
    benchmark = Noise(labelled, PROCESSOR, settings)
    first = Readout(encoder)
    own = Noise.score(benchmark.observe(first), settings)
    other = Noise.score(benchmark.observe(first.with_texts(encoder.embed_texts)), settings)
    assert {one.probe for one in other} == {"projection"}
    same = [one for one in own if one.probe == "projection" and one.metric != "displacement"]
    assert list(map(str, same)) == list(map(str, other))


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
    for metric in ("relative_drop", "chance_corrected_drop", "drop_when_right"):
        assert "not clear of" in found[metric, "sigma=0.10"].note


def test_guesses_that_change_at_random_have_no_drop(tmp_path):
    """Ten classes, decisions at random: nine of ten lucky hits are lost by any change, which is no loss."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 10

    def trials():
        clean, noisy = (rng.integers(0, 10, 200) for _ in range(2))
        common = {"item": np.arange(200), "label": labels, "noise_stage": "native", "n_classes": 10}
        common |= {"distance": np.nan, "spread": np.nan}
        return pd.concat(
            pd.DataFrame({**common, "sigma": sigma, "noise_kind": kind, "decision": decision})
            for sigma, kind, decision in ((0.0, "", clean), (0.1, "gaussian", noisy))
        )

    a, b = trials(), trials()
    for one in Noise.score(a, Settings(n_resamples=0)):
        if "drop" in one.metric:
            assert np.isnan(one.value)
            assert "not clear of the chance" in one.note
    lucky = b.assign(decision=b["label"].where(b["sigma"] == 0, b["decision"]))
    for pair in ((a, lucky), (lucky, a)):
        both = [one for side in Noise.score_together(*pair) for one in side]
        assert len(both) == 2
        assert all(np.isnan(one.value) and "not clear of chance" in one.note for one in both)


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


def test_salt_and_pepper_hits_the_asked_share_and_keeps_its_pixels():
    pixels = np.full((200, 200, 3), 128, np.uint8)
    weak, strong = (SaltAndPepper(amount, seed=3)(pixels, 5) for amount in (0.05, 0.2))
    assert (weak == 0).mean() == pytest.approx(0.025, abs=0.004)
    assert (strong == 255).mean() == pytest.approx(0.1, abs=0.006)
    hit = (weak != 128).any(axis=2)
    assert (weak[hit] == strong[hit]).all()
    assert (weak == weak[..., :1]).all(), "all channels at once"
    assert np.array_equal(SaltAndPepper(0.05, seed=3)(pixels, 5), weak)
    assert not np.array_equal(SaltAndPepper(0.05, seed=3)(pixels, 6), weak)


def test_blur_is_a_gaussian_of_that_many_pixels():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    stacked = sum(Blur(2.0)(point, row).astype(float) for row in (0, 7))
    x = np.arange(41) - 20
    expected = 255 * np.exp(-(x**2) / 8) / (8 * np.pi)
    assert np.abs(stacked[20, :, 0] / 2 - expected).max() < 0.6
    flat = np.full((8, 9, 3), 77, np.uint8)
    assert np.array_equal(Blur(3.0)(flat, 0), flat)


def test_the_spread_is_the_mean_distance_of_different_images():
    images = np.random.default_rng(0).normal(size=(6, 4))
    rows = images / np.linalg.norm(images, axis=1, keepdims=True)
    pairs = [0.5 * ((a - b) ** 2).sum() for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
    assert spread(images) == pytest.approx(np.mean(pairs))
