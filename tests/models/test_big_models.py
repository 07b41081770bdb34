"""Models that no single device holds, and weights in many files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn.models import snapshots
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.models.sizes import ModelSize, Tower, clip_config, clip_image_processor
from hf_clipdyn.models.tokenizers import train_tokenizer

TEXTS = ["a red cat", "a blue car"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> list[Path]:
    """Two revisions of a random CLIP, in shards of 20 kB."""
    tokenizer = train_tokenizer(TEXTS, vocab_size=520, context_length=12)
    size = ModelSize(16, 8, Tower(16, 2, 2), Tower(16, 1, 2), 16, context_length=12)
    folders = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        folders.append(tmp_path_factory.mktemp("shards"))
        CLIPModel(clip_config(size, tokenizer)).save_pretrained(folders[-1], max_shard_size="20KB")
        CLIPProcessor(clip_image_processor(size), tokenizer).save_pretrained(folders[-1])
        assert len(list(folders[-1].glob("model-*.safetensors"))) > 2
    return folders


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("room", [None, 40_000], ids=["that fits", "larger than the memory"])
def test_a_spread_model_gives_the_numbers_of_one_on_a_single_device(shards, pixels, monkeypatch, room):
    if room is not None:  # accelerate's own count of the bytes that each device has free
        monkeypatch.setattr("transformers.integrations.accelerate.get_max_memory", lambda *_: {"cpu": room})
        monkeypatch.setattr(
            "transformers.integrations.accelerate.get_balanced_memory", lambda *_, **__: {"cpu": room}
        )
    spread = Encoder.from_folder(shards[0], device="auto")
    for folder in (*shards, shards[0]):
        swapped = spread.load(folder)
        assert not swapped
        held = {parameter.device.type for parameter in spread.model.parameters()}
        assert ("meta" in held) == (room is not None), "what does not fit stays on the disk"
        one = Encoder.from_folder(folder, device="cpu")
        expected = one.embed_images(pixels, hidden=True)
        found = spread.embed_images(pixels, hidden=True)
        np.testing.assert_allclose(found.projection, expected.projection, atol=1e-6)
        np.testing.assert_allclose(found.hidden[1], expected.hidden[1], atol=1e-6)
        np.testing.assert_allclose(spread.embed_texts(TEXTS), one.embed_texts(TEXTS), atol=1e-6)


def test_shards_are_swapped_into_the_live_model_from_a_memory_map(shards, pixels):
    tensors = snapshots.read_weights(shards[1])
    assert len(tensors) == sum(len(load_file(file)) for file in shards[1].glob("*.safetensors"))
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ranges = [line[0].split("-") for line in maps if line[-1].startswith(str(shards[1]))]
    assert ranges
    for tensor in tensors.values():  # a copy would be a second model in memory
        assert any(int(low, 16) <= tensor.data_ptr() < int(high, 16) for low, high in ranges)
    live = Encoder.from_folder(shards[0], device="cpu")
    assert live.load(shards[1])
    fresh = Encoder.from_folder(shards[1], device="cpu")
    np.testing.assert_array_equal(live.embed_images(pixels).projection, fresh.embed_images(pixels).projection)
    np.testing.assert_array_equal(live.embed_texts(TEXTS), fresh.embed_texts(TEXTS))
