"""Models of transformers' families with random weights, small enough to be built in milliseconds."""

from typing import Any

import transformers

__all__ = ["EFFICIENT_NET", "RESNET", "SWIN", "TEXT", "VISION", "pair", "vision_model"]

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
