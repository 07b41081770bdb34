"""Named sizes of CLIP.

`micro`, `tiny` and `mini` differ in their image towers, each twice as wide and as deep as the one before. These and
`small` train on two CPU cores and take a tokenizer trained on the captions; `vit-b-32`, `vit-b-16` and `vit-l-14` are
OpenAI's sizes to the parameter, with CLIP's own tokenizer.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import check_known

if TYPE_CHECKING:
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPTokenizer,
        ProcessorMixin,
        SiglipConfig,
        SiglipProcessor,
    )


@dataclass(frozen=True)
class Tower:
    """One transformer: its width, depth and attention heads; the MLP is four times as wide."""

    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class ModelSize:
    """A size of CLIP.

    Attributes:
        image_size: side of the square input, in pixels.
        patch_size: side of a patch, in pixels; divides ``image_size``.
        vision, text: the two towers.
        projection: width of the joint embedding.
        context_length: tokens of a caption, start and end included.
        vocab_size: vocabulary of a tokenizer trained on the captions; None for CLIP's own.
        parameters: exact number of parameters where the vocabulary is CLIP's own.
    """

    image_size: int
    patch_size: int
    vision: Tower
    text: Tower
    projection: int
    context_length: int
    vocab_size: int | None = None
    parameters: int | None = None


MODEL_SIZES: dict[str, ModelSize] = {
    "micro": ModelSize(40, 8, Tower(32, 2, 1), Tower(64, 1, 2), 64, context_length=16, vocab_size=1024),
    "tiny": ModelSize(40, 8, Tower(64, 4, 2), Tower(64, 1, 2), 64, context_length=16, vocab_size=1024),
    "mini": ModelSize(40, 8, Tower(128, 8, 4), Tower(64, 1, 2), 64, context_length=16, vocab_size=1024),
    "small": ModelSize(64, 8, Tower(192, 6, 6), Tower(192, 4, 6), 192, context_length=32, vocab_size=4096),
    "vit-b-32": ModelSize(224, 32, Tower(768, 12, 12), Tower(512, 12, 8), 512, 77, parameters=151_277_313),
    "vit-b-16": ModelSize(224, 16, Tower(768, 12, 12), Tower(512, 12, 8), 512, 77, parameters=149_620_737),
    "vit-l-14": ModelSize(224, 14, Tower(1024, 24, 16), Tower(768, 12, 12), 768, 77, parameters=427_616_513),
}


def model_size(name: str) -> ModelSize:
    """The scale of that name."""
    check_known("scale", [name], MODEL_SIZES)
    return MODEL_SIZES[name]


def clip_config(size: ModelSize, tokenizer: "CLIPTokenizer") -> "CLIPConfig":
    """`CLIPConfig` of a size, for the vocabulary of ``tokenizer``.

    The text tower pools at the first end token, so the configuration must name the tokenizer's own:
    with another id the position 0 would be pooled and all captions would embed alike.
    """
    from transformers import CLIPConfig

    assert tokenizer.eos_token_id != 2, "eos_token_id 2 selects transformers' legacy pooling"
    return CLIPConfig(
        projection_dim=size.projection,
        vision_config=_vision_config(size) | {"projection_dim": size.projection},
        text_config=_text_config(size, tokenizer) | {"projection_dim": size.projection},
    )


def siglip_config(size: ModelSize, tokenizer: "CLIPTokenizer") -> "SiglipConfig":
    """`SiglipConfig` of a size, for the vocabulary of ``tokenizer``.

    SigLIP projects its texts to the width of its vision tower and the images not at all, so ``size.projection`` is not
    used. Its text tower pools at the last position, which holds the end token or padding: texts are padded to the full
    length, without an attention mask.
    """
    from transformers import SiglipConfig

    return SiglipConfig(
        vision_config=_vision_config(size),
        text_config=_text_config(size, tokenizer) | {"projection_size": size.vision.width},
    )


def _vision_config(size: ModelSize) -> dict[str, Any]:
    return _tower_config(size.vision) | {"image_size": size.image_size, "patch_size": size.patch_size}


def _text_config(size: ModelSize, tokenizer: "CLIPTokenizer") -> dict[str, Any]:
    return _tower_config(size.text) | {
        "max_position_embeddings": size.context_length,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _tower_config(tower: Tower) -> dict[str, Any]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": 4 * tower.width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
    }


def clip_image_processor(size: ModelSize) -> "CLIPImageProcessor":
    """CLIP's image processor (bicubic, centre crop, OpenAI's mean and deviation) at the size of the input."""
    from transformers import CLIPImageProcessor

    side = size.image_size
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def siglip_processor(processor: "ProcessorMixin") -> "SiglipProcessor":
    """The processor that is published with a SigLIP model.

    It has CLIP's image processor and tokenizer, so that runs with either loss see the same pixels and tokens, and
    SigLIP's own tokenizer, a SentencePiece model, need not be trained. It gives no attention mask, since SigLIP's text
    tower is trained with its padding.
    """
    from transformers import SiglipProcessor

    tokenizer = deepcopy(processor.tokenizer)
    tokenizer.model_input_names = ["input_ids"]
    tokenizer.init_kwargs["model_input_names"] = ["input_ids"]  # so that it is saved
    return SiglipProcessor(image_processor=processor.image_processor, tokenizer=tokenizer)
