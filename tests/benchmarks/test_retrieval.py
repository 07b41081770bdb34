"""Planted observers of captioned images."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.kinds.retrieval import Retrieval, RetrievalSettings
from hf_clipdyn.errors import ConfigError, DatasetError


@pytest.fixture
def captioned(source, colour):
    rows = [
        {"image": colour(10 * i, 0), "image_id": str(i), "captions": [f"number {i}", f"{i} it is"]}
        for i in range(12)
    ]
    return source("captions", rows)


def text(caption):
    return np.eye(12)[int("".join(filter(str.isdigit, caption)))]


def test_an_encoder_that_reads_the_number_finds_everything(captioned, measure, planted):
    found = measure(
        Retrieval, captioned, planted(lambda pixels: np.eye(12)[round(pixels[..., 0].mean() / 10)], text)
    )
    for way in ("image_to_text", "text_to_image"):
        assert found(f"{way}_recall_at_1").value == 1
    assert found("text_to_image_recall_at_1", role="chance").value == pytest.approx(1 / 12)
    assert found("image_to_text_recall_at_1").n == 12
    assert found("text_to_image_recall_at_1").n == 24


def test_a_constant_encoder_is_at_chance(captioned, measure, planted):
    found = measure(Retrieval, captioned, planted(lambda pixels: np.ones(12), lambda caption: np.ones(12)))
    for way in ("image_to_text", "text_to_image"):
        for k in (1, 5, 10):
            recall = f"{way}_recall_at_{k}"
            assert found(recall).value == pytest.approx(found(recall, role="chance").value)


def test_held_out_images_are_the_last_ones(captioned, measure, planted):
    found = measure(Retrieval, captioned, planted(lambda pixels: np.ones(12), text), held_out=3)
    assert found("text_to_image_recall_at_1").n == 6
    assert found("text_to_image_recall_at_1", role="chance").value == pytest.approx(1 / 3)


def test_images_without_any_caption_are_refused(source, colour, measure, planted):
    rows = [{"image": colour(10 * n, 0), "captions": ["number 0"] if n == 0 else []} for n in range(3)]
    encoder = planted(lambda pixels: np.ones(12), text)
    assert measure(Retrieval, source("captions", rows), encoder)("text_to_image_recall_at_1").n == 1
    with pytest.raises(DatasetError, match=r"None of the 2 images shown from .* has a caption"):
        measure(Retrieval, source("captions", rows), encoder, held_out=2)


def test_the_number_of_held_out_images_names_the_cell():
    assert RetrievalSettings().in_key() == {}
    assert RetrievalSettings(held_out=3).in_key() == {"held_out": 3}
    with pytest.raises(ConfigError, match=r"held_out is '?0"):
        RetrievalSettings(held_out=0)
