"""Models of transformers' families with random weights, small enough to be built in milliseconds."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers

_BLOCK = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
VISION: dict[str, Any] = _BLOCK | {"num_hidden_layers": 2, "image_size": 16, "patch_size": 8}
TEXT: dict[str, Any] = _BLOCK | {
    "num_hidden_layers": 1,
    "max_position_embeddings": 20,
    "vocab_size": 40,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
SWIN = {
    "image_size": 16,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [1, 1],
    "window_size": 2,
}
EFFICIENT_NET = {"image_size": 64, "width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 32}
"""The vision half of ALIGN."""
RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
}

_TOWERS = {"vision_config": VISION, "text_config": TEXT, "projection_dim": 8}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("ViT", "Dinov2", "DeiT", "Beit"), VISION),
    "ResNet": RESNET,
    "Swin": SWIN,
    "ConvNext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    **dict.fromkeys(("CLIP", "Siglip"), _TOWERS),
}
"""Sizes of image classifiers."""


def classifier(family: str, labels: Mapping[int, str], seed: int = 0) -> Any:
    """`classifier("ViT", {0: "cat", 1: "dog"})`: a random `ViTForImageClassification`, its head far from zero."""
    config = getattr(transformers, f"{family}Config")(**CLASSIFIERS[family], id2label=dict(labels))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, f"{family}ForImageClassification")(config).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return model


def _build(family: str, config: dict[str, Any], **options: Any) -> Any:
    return getattr(transformers, f"{family}Model")(
        getattr(transformers, f"{family}Config")(**config), **options
    )


def vision_model(family: str, sizes: dict[str, Any] = VISION, **options: Any) -> Any:
    """`vision_model("Dinov2")`: a `Dinov2Model` of those sizes."""
    return _build(family, sizes, **options)


def pair(
    family: str, *, vision: dict[str, Any] = VISION, text: dict[str, Any] = TEXT, **settings: Any
) -> Any:
    """`pair("Blip", projection_dim=8)`: a `BlipModel` with those two towers and settings."""
    return _build(family, {"vision_config": vision, "text_config": text, **settings})


def _dual_encoder(text: dict[str, Any]) -> Any:
    words = transformers.BertModel(transformers.BertConfig(**text))
    return transformers.VisionTextDualEncoderModel(vision_model=vision_model("ViT"), text_model=words)


def families(text: dict[str, Any] = TEXT) -> dict[str, Callable[[], Any]]:
    """A function for each family that makes a random model; pairs have this text tower and a projection of 16."""
    both: dict[str, Any] = {"text": text, "projection_dim": 16}
    alt = text | {"project_dim": 16, "max_position_embeddings": 20, "pad_token_id": 1}
    siglip = text | {"projection_size": 16}
    patches = {key: value for key, value in VISION.items() if key != "image_size"} | {"num_patches": 4}
    return {
        "clip": lambda: pair("CLIP", **both),
        "siglip": lambda: pair("Siglip", text=siglip),
        "siglip2": lambda: pair("Siglip2", vision=patches, text=siglip),
        "align": lambda: pair("Align", vision=EFFICIENT_NET, **both),
        "altclip": lambda: pair("AltCLIP", text=alt, projection_dim=16),
        "chinese_clip": lambda: pair("ChineseCLIP", **both),
        "metaclip_2": lambda: pair("MetaClip2", **both),
        "aimv2": lambda: pair("Aimv2", **both),
        "blip": lambda: pair("Blip", **both),
        "dual_encoder": lambda: _dual_encoder(text),
        "vit": lambda: vision_model("ViT", add_pooling_layer=False),
        "deit": lambda: vision_model("DeiT"),
        "beit": lambda: vision_model("Beit"),
        "dinov2": lambda: vision_model("Dinov2"),
        "dinov2_registers": lambda: vision_model("Dinov2WithRegisters"),
        "dinov3": lambda: vision_model("DINOv3ViT", VISION | {"num_register_tokens": 2}),
        "clip_vision": lambda: vision_model("CLIPVision"),
        "ijepa": lambda: vision_model("IJepa"),
        "swin": lambda: vision_model("Swin", SWIN),
        "resnet": lambda: vision_model("ResNet", RESNET),
    }
