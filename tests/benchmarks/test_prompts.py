"""Which prompts and captions models are asked, and about which images; tests/evaluation has the values."""

import numpy as np
import pytest
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.kind import Common, KindSettings
from hf_clipdyn.benchmarks.kinds.retrieval import Retrieval, RetrievalSettings
from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot
from hf_clipdyn.errors import ConfigError, DatasetError

CLASSES = tuple(f"shade {number}" for number in range(10))
PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def text(prompt):
    return np.eye(10)[int("".join(filter(str.isdigit, prompt)))]


def number(pixels):
    return np.eye(10)[round(pixels.mean() / 25)]


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


def test_images_without_any_caption_are_left_out_and_refused_alone(source, colour, measure, planted):
    rows = [{"image": colour(10 * n, 0), "captions": ["number 0"] if n == 0 else []} for n in range(3)]
    encoder = planted(lambda pixels: np.ones(10), text)
    assert measure(Retrieval, source("captions", rows), encoder)("text_to_image_recall_at_1").n == 1
    with pytest.raises(DatasetError, match="None of the 2 images"):
        measure(Retrieval, source("captions", rows), encoder, held_out=2)


def test_the_number_of_held_out_images_names_the_cell():
    assert RetrievalSettings().in_key() == {}
    assert RetrievalSettings(held_out=3).in_key() == {"held_out": 3}
    with pytest.raises(ConfigError, match="held_out"):
        RetrievalSettings(held_out=0)
