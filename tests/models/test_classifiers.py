"""Image classifiers: the body embeds as the model without a head does, the head answers as the whole model does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_models import CLASSIFIERS, classifier
from transformers import AutoModel, CLIPImageProcessor

from hf_clipdyn.models.classifiers import config_of, has_head
from hf_clipdyn.models.encoder import Encoder, read_config

NAMES = {0: "cat", 1: "dog", 2: "bear"}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(model: Any, name: str = "model", side: int = 16) -> Path:
        folder = tmp_path / name
        model.save_pretrained(folder)
        square = {"height": side, "width": side}
        CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square).save_pretrained(folder)
        return folder

    return write


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_a_saved_classifier_embeds_with_its_body_and_answers_with_its_head(family, save, pixels):
    side = 64 if family == "ConvNext" else 16
    shown = np.kron(pixels, np.ones((1, side // 16, side // 16, 1), np.uint8))
    whole = classifier(family, NAMES)
    folder = save(whole, side=side)
    encoder = Encoder.from_folder(folder, device="cpu")
    assert encoder.labels == tuple(NAMES.values())
    assert not encoder.reads_text
    features = encoder.embed_images(shown)
    with torch.no_grad():
        expected = whole(pixel_values=encoder.pixel_values(shown)).logits.numpy()
    assert features.logits is not None
    np.testing.assert_allclose(features.logits, expected, rtol=1e-4, atol=1e-5)
    body = encoder.model
    assert "forward" not in vars(body), "the head leaves the body as it was"
    if family in ("ViT", "Dinov2", "ResNet"):
        bare = Encoder(
            AutoModel.from_pretrained(folder),
            encoder.image_processor,
            None,
            device=encoder.device,
            dtype=encoder.dtype,
        )
        assert bare.labels == ()
        assert bare.embed_images(shown).logits is None
        np.testing.assert_allclose(features.projection, bare.embed_images(shown).projection, atol=1e-6)


@pytest.mark.parametrize("family", ["ViT", "ResNet"])
def test_weights_of_another_epoch_are_swapped_into_body_and_head(family, save, pixels):
    first, second = (save(classifier(family, NAMES, seed), f"epoch-{seed}") for seed in (0, 1))
    encoder = Encoder.from_folder(first, device="cpu")
    encoder.load(second)
    expected = Encoder.from_folder(second, device="cpu").embed_images(pixels)
    found = encoder.embed_images(pixels)
    np.testing.assert_array_equal(found.logits, expected.logits)
    np.testing.assert_array_equal(found.projection, expected.projection)


def test_a_live_classifier_that_began_as_an_encoder_has_a_head_and_one_without_classes_none(save):
    model = classifier("ViT", NAMES)
    model.config.architectures = ["ViTModel"]  # as of the checkpoint that it was made from
    assert not has_head(model.config)
    assert has_head(config_of(model))
    assert model.config.architectures == ["ViTModel"]
    path = save(model) / "config.json"
    assert has_head(read_config(path.parent))
    for change in ({"architectures": ["ViTModel"]}, {"id2label": {}}, {"model_type": "vit_msn"}):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": None} | change))
        assert not has_head(read_config(path.parent)), change


@pytest.mark.parametrize("names", [list(NAMES.values()), []])
def test_a_classifier_of_timm_gives_what_timm_gives_with_and_without_names_of_its_classes(
    names, tmp_path, pixels
):
    timm = pytest.importorskip("timm")
    arguments = {"img_size": 16, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 3}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **arguments).eval()
    cfg = {"input_size": [3, 16, 16], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    cfg["crop_pct"] = 1.0
    settings = {"pretrained_cfg": cfg} | ({"label_names": names} if names else {})
    timm.models.save_for_hf(model, str(tmp_path), settings, arguments, True)
    assert "model_type" not in json.loads((tmp_path / "config.json").read_text())
    encoder = Encoder.from_folder(tmp_path, device="cpu")
    features = encoder.embed_images(pixels)
    values = encoder.pixel_values(pixels)
    with torch.no_grad():
        if names:
            assert encoder.labels == tuple(names)
            np.testing.assert_allclose(features.logits, model(values).numpy(), atol=1e-5)
        pooled = model.forward_head(model.forward_features(values), pre_logits=True)
    np.testing.assert_allclose(features.projection, pooled.numpy(), atol=1e-5)


@pytest.mark.parametrize("architecture", ["resnet18", "tf_efficientnet_lite0"])
def test_convolutional_classifiers_of_timm_pool_what_they_would_without_a_head(architecture):
    timm = pytest.importorskip("timm")
    config = transformers.TimmWrapperConfig(architecture=architecture, num_labels=3)
    model = transformers.TimmWrapperForImageClassification(config).eval()
    square = {"height": 32, "width": 32}
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square)
    encoder = Encoder(model, processor, None, device=torch.device("cpu"), dtype=torch.float32)
    bare = timm.create_model(architecture, num_classes=0).eval()
    bare.load_state_dict(model.timm_model.state_dict(), strict=False)
    shown = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    features = encoder.embed_images(shown)
    with torch.no_grad():
        values = encoder.pixel_values(shown)
        np.testing.assert_allclose(features.projection, bare(values).numpy(), atol=1e-5)
        np.testing.assert_allclose(features.logits, model(values).logits.numpy(), atol=1e-5)
