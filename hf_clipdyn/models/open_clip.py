"""Convert weights of open_clip's CLIP to transformers' CLIPModel, which is the same function.

The two differ in names, in the attention's packing (one matrix for query, key and value, or three) and in the
orientation of the two projections. Nothing is computed.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ModelError, UnknownNameError
from hf_clipdyn.models.settings import reading

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPConfig, CLIPModel

CHECKPOINT_SUFFIXES = (".pt", ".pth", ".safetensors")

# The keys of open_clip's configurations that the conversion knows; others change the architecture.
_VISION_KEYS = {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio", "patch_dropout"}
_TEXT_KEYS = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
_CONFIG_KEYS = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
_NO_WEIGHTS = {"attn_mask", "input_resolution", "context_length", "vocab_size"}
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod)\.)+")  # of DistributedDataParallel and torch.compile

_NAMES = {
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.proj": "visual_projection.weight",
}
_PARTS = {
    "ln_final": "text_model.final_layer_norm",
    "token_embedding": "text_model.embeddings.token_embedding",
    "visual.conv1": "vision_model.embeddings.patch_embedding",
    "visual.ln_post": "vision_model.post_layernorm",
    "visual.ln_pre": "vision_model.pre_layrnorm",
}
_TOWERS = {"transformer": "text_model", "visual.transformer": "vision_model"}
_BLOCK = re.compile(r"((?:visual\.)?transformer)\.resblocks\.(\d+)\.(.+)")
_IN_BLOCK = {
    "attn": "self_attn",
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


# --- configurations -----------------------------------------------------------------------------------


def open_clip_config(name: str) -> dict[str, Any]:
    """open_clip's configuration of a model name, `ViT-B-16-quickgelu`."""
    try:
        import open_clip
    except ImportError as error:
        raise ModelError(
            "open_clip_torch is not installed: `pip install 'hf-clipdyn[open-clip]'`."
        ) from error
    models = open_clip.list_models()
    if name not in models:  # it would read `hf-hub:…` and `local-dir:…` from elsewhere
        raise UnknownNameError(
            "open_clip model", name, [model for model in models if model.startswith("ViT-")]
        )
    config: dict[str, Any] = open_clip.get_model_config(name)
    return config


def clip_config_of(config: Mapping[str, Any]) -> "CLIPConfig":
    """The CLIPConfig of an open_clip configuration.

    Raises:
        ModelError: CLIPModel has no such architecture.
    """
    from transformers import CLIPConfig

    vision, text = config["vision_cfg"], config["text_cfg"]
    foreign = sorted((set(config) - _CONFIG_KEYS) | (set(vision) - _VISION_KEYS) | (set(text) - _TEXT_KEYS))
    if foreign or not isinstance(vision["layers"], int) or not isinstance(vision["image_size"], int):
        raise ModelError(
            "transformers' CLIPModel has no such architecture "
            f"({', '.join(foreign) or 'a ResNet, or images that are not square'}): only CLIP's own vision "
            "transformer and text encoder can be converted."
        )
    both = {
        "hidden_act": "quick_gelu" if config.get("quick_gelu") else "gelu",
        "projection_dim": config["embed_dim"],
    }
    return CLIPConfig(
        projection_dim=config["embed_dim"],
        vision_config=both
        | _tower(vision, vision["width"] // vision.get("head_width", 64))
        | {"image_size": vision["image_size"], "patch_size": vision["patch_size"]},
        text_config=both
        | _tower(text, text["heads"])
        | {
            "bos_token_id": text["vocab_size"] - 2,
            "eos_token_id": text["vocab_size"] - 1,
            "max_position_embeddings": text["context_length"],
            "pad_token_id": text["vocab_size"] - 1,
            "vocab_size": text["vocab_size"],
        },
    )


def _tower(config: Mapping[str, Any], heads: int) -> dict[str, Any]:
    return {
        "hidden_size": config["width"],
        "intermediate_size": int(config["width"] * config.get("mlp_ratio", 4.0)),
        "num_attention_heads": heads,
        "num_hidden_layers": config["layers"],
    }


# --- weights ------------------------------------------------------------------------------------------


def from_open_clip(state_dict: "Mapping[str, Tensor]", config: "CLIPConfig") -> "CLIPModel":
    """A CLIPModel with the weights of an open_clip state dict, in their own precision.

    Raises:
        RuntimeError: tensors are missing, left over or of another shape.
    """
    from transformers import CLIPModel

    model: CLIPModel = CLIPModel(config).eval()
    model.to(dtype=state_dict["logit_scale"].dtype)
    model.load_state_dict(dict(_renamed(state_dict)))
    return model


def _renamed(state_dict: "Mapping[str, Tensor]") -> "Iterator[tuple[str, Tensor]]":
    """Names of CLIPModel with their tensors; a name that is not known stays as it is, for CLIPModel to refuse."""
    for name, tensor in state_dict.items():
        block = _BLOCK.fullmatch(name)
        part, _, kind = name.rpartition(".")
        if name in _NAMES:
            yield _NAMES[name], tensor.T.contiguous() if "proj" in name else tensor
        elif part in _PARTS:
            yield f"{_PARTS[part]}.{kind}", tensor
        elif block is not None:
            tower, number, rest = block.groups()
            part, _, kind = rest.rpartition(".")
            layer = f"{_TOWERS[tower]}.encoder.layers.{number}.{_IN_BLOCK.get(part, part)}"
            if kind.startswith("in_proj_"):
                for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                    yield f"{layer}.{letter}_proj.{kind.removeprefix('in_proj_')}", third.contiguous()
            else:
                yield f"{layer}.{kind}", tensor
        elif name not in _NO_WEIGHTS:
            yield name, tensor


class Converter:
    """Writes checkpoints of one open_clip architecture as a CLIPModel with its processor, or its settings alone.

    The processor is CLIP's at the model's input size, with OpenAI's mean and deviation, open_clip's default.

    Args:
        model: open_clip's name of the architecture.

    Raises:
        UnknownNameError: open_clip has no such model.
        ModelError: CLIPModel has no such architecture, or the vocabulary is not CLIP's.
    """

    def __init__(self, model: str) -> None:
        from transformers import CLIPImageProcessor, CLIPProcessor

        from hf_clipdyn.models.tokenizers import clip_tokenizer

        theirs = open_clip_config(model)
        self.config = clip_config_of(theirs)
        self.config.architectures = ["CLIPModel"]
        tokenizer = clip_tokenizer(theirs["text_cfg"]["context_length"])
        if len(tokenizer) != theirs["text_cfg"]["vocab_size"]:
            raise ModelError(
                f"{model} has another vocabulary: only models with CLIP's tokenizer can be imported."
            )
        side = theirs["vision_cfg"]["image_size"]
        images = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        self._processor = CLIPProcessor(images, tokenizer)

    @cached_property
    def parameters(self) -> int:
        """Number of the architecture's parameters."""
        import torch
        from transformers import CLIPModel

        with torch.device("meta"):
            return int(CLIPModel(self.config).num_parameters())

    def __call__(self, checkpoint: Path, folder: Path) -> None:
        """Write the model in a checkpoint file into a folder."""
        with reading(checkpoint):
            from_open_clip(read_state_dict(checkpoint), self.config).save_pretrained(folder)
        self._processor.save_pretrained(folder)

    def save_settings(self, folder: Path) -> None:
        """Write the configuration and the processor, which are those of every checkpoint, without any weights."""
        self.config.save_pretrained(folder)
        self._processor.save_pretrained(folder)


# --- files --------------------------------------------------------------------------------------------


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint file of open_clip's training, with its weights as `state_dict`; tensors are memory-mapped.

    Pickles are read with ``weights_only=True``: no code of the file is run.
    """
    import torch
    from safetensors.torch import load_file

    with reading(path):
        if path.suffix == ".safetensors":
            return {"state_dict": load_file(path)}
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return content if "state_dict" in content else {"state_dict": content}


def read_state_dict(path: Path) -> "dict[str, Tensor]":
    """The weights of a checkpoint file, without the prefixes that DistributedDataParallel and compile add."""
    with reading(path):
        return {
            _WRAPPERS.sub("", name): tensor for name, tensor in read_checkpoint(path)["state_dict"].items()
        }


def checkpoint_epoch(path: Path) -> int | None:
    """The number of whole epochs that a checkpoint names itself, None if it does not."""
    if path.suffix == ".safetensors":
        return None
    epoch = read_checkpoint(path).get("epoch")
    if epoch is not None and (not isinstance(epoch, int) or epoch < 0):
        raise ModelError(f"{path} has the epoch {str(epoch)[:60]}: expected a whole number of 0 or more.")
    return epoch
