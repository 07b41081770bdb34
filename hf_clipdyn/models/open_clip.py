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
from hf_clipdyn.models.settings import check_numbers

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

CHECKPOINT_SUFFIXES = (".pt", ".pth", ".safetensors")

# The keys of open_clip's configurations that the conversion knows; others change the architecture.
_VISION_KEYS = {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio", "patch_dropout"}
_TEXT_KEYS = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
_CONFIG_KEYS = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
_NO_WEIGHTS = {"attn_mask", "input_resolution", "context_length", "vocab_size"}
_MOST_EPOCHS = 10**6
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod)\.)+")  # of DistributedDataParallel and torch.compile

_NAMES = {
    "logit_scale": "logit_scale",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
_TRANSPOSED = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}
_TOWERS = {"transformer": "text_model", "visual.transformer": "vision_model"}
_BLOCK = re.compile(r"((?:visual\.)?transformer)\.resblocks\.(\d+)\.(.+)[._](weight|bias)")
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def open_clip_config(name: str) -> dict[str, Any]:
    """open_clip's configuration of a model name, `ViT-B-16-quickgelu`."""
    try:
        import open_clip
    except ImportError as error:
        raise ModelError("open_clip_torch is not installed: install hf-clipdyn[open-clip].") from error
    models = open_clip.list_models()
    if name not in models:  # it would read `hf-hub:…` and `local-dir:…` from elsewhere
        known = [model for model in models if model.startswith("ViT-")]
        raise UnknownNameError("open_clip model", name, known)
    config: dict[str, Any] = open_clip.get_model_config(name)
    return config


def clip_config_of(config: Mapping[str, Any]) -> "CLIPConfig":
    """The CLIPConfig of an open_clip configuration."""
    from transformers import CLIPConfig

    try:
        settings = _clip_settings(config)
        check_numbers(settings, "The open_clip configuration")
        return CLIPConfig(**settings)
    except ModelError:
        raise
    except Exception as error:  # a number or a name of another type, missing or contradicting another
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(f"No model can be built from the open_clip configuration ({line}).") from error


def _clip_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    vision, text = config["vision_cfg"], config["text_cfg"]
    foreign = sorted((set(config) - _CONFIG_KEYS) | (set(vision) - _VISION_KEYS) | (set(text) - _TEXT_KEYS))
    if foreign or not isinstance(vision["layers"], int) or not isinstance(vision["image_size"], int):
        raise ModelError(
            "transformers' CLIPModel has no such architecture "
            f"({', '.join(foreign) or 'a ResNet, or images that are not square'}): only CLIP's own vision "
            "transformer and text encoder can be converted."
        )
    activation = "quick_gelu" if config.get("quick_gelu") else "gelu"
    return {
        "projection_dim": config["embed_dim"],
        "vision_config": {
            "hidden_act": activation,
            "hidden_size": vision["width"],
            "image_size": vision["image_size"],
            "intermediate_size": int(vision["width"] * vision.get("mlp_ratio", 4.0)),
            "num_attention_heads": vision["width"] // vision.get("head_width", 64),
            "num_hidden_layers": vision["layers"],
            "patch_size": vision["patch_size"],
            "projection_dim": config["embed_dim"],
        },
        "text_config": {
            "bos_token_id": text["vocab_size"] - 2,
            "eos_token_id": text["vocab_size"] - 1,
            "hidden_act": activation,
            "hidden_size": text["width"],
            "intermediate_size": int(text["width"] * text.get("mlp_ratio", 4.0)),
            "max_position_embeddings": text["context_length"],
            "num_attention_heads": text["heads"],
            "num_hidden_layers": text["layers"],
            "pad_token_id": text["vocab_size"] - 1,
            "projection_dim": config["embed_dim"],
            "vocab_size": text["vocab_size"],
        },
    }


def image_processor_of(config: Mapping[str, Any]) -> "CLIPImageProcessor":
    """CLIP's image processor at the model's input size, with OpenAI's mean and deviation, open_clip's default."""
    from transformers import CLIPImageProcessor

    side = config["vision_cfg"]["image_size"]
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


# --- weights ------------------------------------------------------------------------------------------


def from_open_clip(state_dict: "Mapping[str, Tensor]", config: "CLIPConfig") -> "CLIPModel":
    """A CLIPModel with the weights of an open_clip state dict, in their own precision."""
    import torch
    from transformers import CLIPModel

    weights = _clip_weights(state_dict)
    with torch.device("meta"):  # so that no memory is taken for another model
        own = {name: tuple(tensor.shape) for name, tensor in CLIPModel(config).state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if own != given:
        wrong = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        raise ModelError(
            f"The checkpoint does not fit the named model: {len(wrong)} tensors are missing, left over or of "
            f"another shape, for example {wrong[0]} (given {given.get(wrong[0])}, expected {own.get(wrong[0])})."
        )
    model: CLIPModel = CLIPModel(config).eval()
    model.to(dtype=weights["logit_scale"].dtype)
    model.load_state_dict(weights)
    return model


def _clip_weights(state_dict: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """The tensors of an open_clip state dict by their names in CLIPModel; only the two projections are copied."""
    try:
        weights = dict(_to_transformers(state_dict))
    except (RuntimeError, ValueError) as error:  # fewer rows than query, key and value
        raise ModelError(
            f"The checkpoint's attention weights cannot be split into query, key and value ({error})."
        ) from error
    whole = sorted(name for name, tensor in weights.items() if not tensor.is_floating_point())
    if whole:
        raise ModelError(
            f"The checkpoint contains {len(whole)} integer tensors, for example {whole[0]}: expected weights."
        )
    return weights


def _to_transformers(state_dict: "Mapping[str, Tensor]") -> "Iterator[tuple[str, Tensor]]":
    for name, tensor in state_dict.items():
        block = _BLOCK.fullmatch(name)
        if name in _NAMES:
            yield _NAMES[name], tensor
        elif name in _TRANSPOSED:
            yield _TRANSPOSED[name], (tensor.T if tensor.ndim == 2 else tensor).contiguous()
        elif block is not None:
            tower, number, part, kind = block.groups()
            layer = f"{_TOWERS[tower]}.encoder.layers.{number}"
            if part == "attn.in_proj":
                for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                    yield f"{layer}.self_attn.{letter}_proj.{kind}", third.contiguous()
            else:
                yield f"{layer}.{_IN_BLOCK.get(part, part)}.{kind}", tensor
        elif name not in _NO_WEIGHTS:
            yield name, tensor  # the comparison of names will refuse it


class Converter:
    """Writes checkpoints of one open_clip architecture as a CLIPModel with its processor, or its settings alone."""

    def __init__(self, model: str) -> None:
        from transformers import CLIPProcessor

        from hf_clipdyn.models.tokenizers import clip_tokenizer

        theirs = open_clip_config(model)
        self.config = clip_config_of(theirs)
        self.config.architectures = ["CLIPModel"]
        tokenizer = clip_tokenizer(theirs["text_cfg"]["context_length"])
        if len(tokenizer) != theirs["text_cfg"]["vocab_size"]:
            raise ModelError(
                f"{model} has a different vocabulary: only models with CLIP's tokenizer can be imported."
            )
        self._processor = CLIPProcessor(image_processor_of(theirs), tokenizer)

    @cached_property
    def parameters(self) -> int:
        """Number of the architecture's parameters."""
        import torch
        from transformers import CLIPModel

        with torch.device("meta"):
            return int(CLIPModel(self.config).num_parameters())

    def __call__(self, checkpoint: Path, folder: Path) -> None:
        """Write the model in a checkpoint file into a folder."""
        from_open_clip(read_state_dict(checkpoint), self.config).save_pretrained(folder)
        self._processor.save_pretrained(folder)

    def save_settings(self, folder: Path) -> None:
        """Write the configuration and the processor, which are those of every checkpoint, without any weights."""
        self.config.save_pretrained(folder)
        self._processor.save_pretrained(folder)


# --- files --------------------------------------------------------------------------------------------


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint file of open_clip's training; tensors are memory-mapped.

    Pickles are read with ``weights_only=True``: no code of the file is run.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # hostile files may raise anything
        line = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ModelError(f"{path.name} cannot be read as a checkpoint ({line}).") from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{path.name} contains a {type(content).__name__}: expected the dict of a checkpoint."
        )
    checkpoint: dict[str, Any] = content if "state_dict" in content else {"state_dict": content}
    weights = checkpoint["state_dict"]
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in weights.items()
    ):
        raise ModelError(
            f"{path.name} is not a checkpoint: expected a state_dict that maps names to tensors."
        )
    return checkpoint


def read_state_dict(path: Path) -> "dict[str, Tensor]":
    """The weights of a checkpoint file, without the prefixes that DistributedDataParallel and compile add."""
    weights = read_checkpoint(path)["state_dict"]
    return {_WRAPPERS.sub("", name): tensor for name, tensor in weights.items()}


def checkpoint_epoch(path: Path) -> int | None:
    """The number of whole epochs that a checkpoint names itself, None if it does not."""
    if path.suffix == ".safetensors":
        return None
    epoch = read_checkpoint(path).get("epoch")
    if epoch is None:
        return None
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 <= epoch < _MOST_EPOCHS:
        raise ModelError(
            f"{path.name} has the epoch {str(epoch)[:60]}: expected a whole number of 0 or more."
        )
    return epoch
