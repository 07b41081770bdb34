"""Vision models of timm, through transformers' TimmWrapperModel."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, TimmWrapperConfig, TimmWrapperModel

from hf_clipdyn.errors import ModelError
from hf_clipdyn.models.encoder import Encoder, read_input

timm = pytest.importorskip("timm")

TIMM_INPUT = {
    "input_size": [3, 32, 32],
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
    "interpolation": "bicubic",
}


def timm_model(folder: Path, architecture: str = "vit_tiny_patch16_224", **input_settings: Any) -> Path:
    """A small random model of timm as transformers saves it: no file describes its image processor."""
    arguments = {"img_size": 32, "depth": 2, "embed_dim": 24, "num_heads": 3}
    if architecture == "convnext_atto":
        arguments = {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}
    config = TimmWrapperConfig(
        architecture=architecture,
        model_args=arguments,
        pretrained_cfg=TIMM_INPUT | {"crop_pct": 1.0, "crop_mode": "center"} | input_settings,
    )
    TimmWrapperModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "convnext_atto"])
def test_a_model_of_timm_gives_what_it_pools_and_its_layers_and_says_what_it_lacks(architecture, tmp_path):
    encoder = Encoder.from_folder(timm_model(tmp_path, architecture), device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    images = AutoImageProcessor.from_pretrained(tmp_path)(
        list(map(Image.fromarray, pixels)), return_tensors="pt"
    )
    with torch.no_grad():
        pooled = encoder.model(**images).pooler_output
    features = encoder.embed_images(pixels, hidden=True)
    np.testing.assert_allclose(features.projection, pooled.numpy(), atol=1e-6)
    assert len(features.hidden) == (2 if architecture.startswith("vit") else 4)
    assert not encoder.reads_text
    with encoder.eager_attention(), pytest.raises(ModelError, match="gives no attention maps"):
        encoder.embed_images(pixels, attentions=True)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    "crop", [{"crop_pct": 0.8}, {"crop_pct": 1.0}, {"crop_pct": 0.8, "crop_mode": "squash"}]
)
def test_the_image_processor_of_a_timm_model_gives_the_pixels_of_timms_own_pipeline(
    crop, interpolation, tmp_path
):
    timm_model(tmp_path, interpolation=interpolation, **crop)
    theirs = AutoImageProcessor.from_pretrained(tmp_path)
    _, ours = read_input(tmp_path)
    # In each of these an even number of pixels is cut off; else the two may differ by one pixel.
    for shape in ((60, 40), (44, 88), (32, 32), (20, 30)):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))
        given, expected = (one(image, return_tensors="pt")["pixel_values"] for one in (ours, theirs))
        np.testing.assert_allclose(given.numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "hf-hub:them/model"}, "expected the name of a timm model"),
        ({"architecture": "../vit"}, "expected the name of a timm model"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "from elsewhere"),
        ({"model_args": {"pretrained_cfg": {"url": "https://them"}}}, "from elsewhere"),
        ({"model_args": {"depth": 10**9}}, "from 1 to 1,024 layers"),
        ({"pretrained_cfg": TIMM_INPUT | {"crop_mode": "border"}}, "only Resize, CenterCrop and Normalize"),
    ],
)
def test_a_hostile_configuration_of_timm_is_one_sentence(change, said, tmp_path):
    path = timm_model(tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=said):
        Encoder.from_folder(tmp_path, device="cpu")
