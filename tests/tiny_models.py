"""Models of transformers' families with random weights, small enough to be built in milliseconds."""

from collections.abc import Mapping
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
