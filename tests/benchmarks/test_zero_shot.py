"""Planted observers of labelled images: ten shades of grey."""

import numpy as np
import pytest
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.kind import Common, KindSettings
from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot

CLASSES = tuple(f"shade {number}" for number in range(10))
PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def text(prompt):
    return np.eye(10)[int("".join(filter(str.isdigit, prompt)))]


def number(pixels):
    return np.eye(10)[round(pixels.mean() / 25)]


@pytest.fixture
def ten(source, colour):
    rows = [{"image": colour(25 * n, 25 * n, 25 * n), "label": n} for n in range(10) for _ in range(3)]
    return source("labels", rows, CLASSES)


def test_a_perfect_and_a_constant_encoder_are_right_always_and_by_chance(ten, measure, planted):
    found = measure(ZeroShot, ten, planted(number, text))
    assert found("top1").value == found("top5").value == 1
    constant = measure(ZeroShot, ten, planted(lambda pixels: np.ones(10), text))
    assert constant("top1").value == constant("top1", role="chance").value == 0.1
    assert constant("top5").value == constant("top5", role="chance").value == 0.5


def test_of_three_classes_five_hold_them_all(source, colour, measure, planted):
    rows = [{"image": colour(0, 0, 0), "label": 2}]
    found = measure(ZeroShot, source("labels", rows, CLASSES[:3]), planted(number, text))
    assert (found("top1").value, found("top5").value, found("top5", role="chance").value) == (0, 1, 1)


def test_an_encoder_that_is_one_off_is_right_among_the_first_five(ten, measure, planted):
    def near(pixels):
        shade = round(pixels.mean() / 25)
        return -np.abs(np.arange(10) - (shade + 1) % 10)

    found = measure(ZeroShot, ten, planted(near, text))
    assert found("top1").value == 0
    assert found("top5").value == 0.9


def test_wordnet_numbers_of_equal_names_stay_out_of_the_prompts(source, colour, measure, planted):
    prompts = []

    def remembering(prompt):
        prompts.append(prompt)
        return np.eye(2)[0]

    names = ("missile (n03773504)", "aquarium_fish")
    rows = [{"image": colour(9, 9, 9), "label": label} for label in (0, 1)]
    measure(ZeroShot, source("labels", rows, names), planted(lambda pixels: np.ones(2), remembering))
    assert prompts == ["a photo of a missile.", "a photo of a aquarium fish."]


def test_a_broken_image_is_left_out_and_counted(source, colour, measure, planted, tmp_path):
    paths = []
    for index in range(4):
        paths.append(str(tmp_path / f"{index}.png"))
        colour(0, 0, 0).save(paths[-1])
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:40])
    rows = [{"image": {"path": path, "bytes": None}, "label": 0} for path in paths]
    labelled = source("labels", rows, CLASSES)
    common = Common(cache_dir=tmp_path / "cache", show_progress=False)
    assert ZeroShot(labelled, PROCESSOR, KindSettings(), common).left_out == 1
    found = measure(ZeroShot, labelled, planted(number, text))
    assert (found("top1").value, found("top1").n) == (1, 3)
