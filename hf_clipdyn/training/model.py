"""The model in training: a new one, or one that a run continues, with the processor that comes with it."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import nn
from transformers import (
    AutoModel,
    CLIPProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    SiglipProcessor,
)

from hf_clipdyn.errors import ConfigError, ModelError, naming, shown
from hf_clipdyn.models.encoder import (
    check_image_processor,
    read_config,
    read_input,
    read_model,
    read_tokenizer,
)
from hf_clipdyn.models.sizes import clip_config, model_size, siglip_config
from hf_clipdyn.models.snapshots import snapshot_folder
from hf_clipdyn.models.tokenizers import stand_in_tokenizer
from hf_clipdyn.preprocess import input_size, normalisation
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.losses import Features

_MAX_LOG_SCALE = math.log(100)
PLAIN_ATTENTION = ("eager", "sdpa")
"""Attention that torch itself computes, on every device."""

_PROCESSORS = {"clip": CLIPProcessor, "siglip": SiglipProcessor}
# The configuration of a new model for a size and a tokenizer.
_NEW: dict[str, Callable[..., PreTrainedConfig]] = {"clip": clip_config, "siglip": siglip_config}

_SIGLIP_LOG_SCALE, _SIGLIP_BIAS = math.log(10), -10.0  # Zhai et al. 2023, section 3.2


class TrainedModel(nn.Module):
    """A `CLIPModel` or `SiglipModel` whose forward pass returns what the loss needs.

    The temperature is read inside the forward pass, where a sharding wrapper has gathered it. `fully_shard` does not
    accept scalars such as CLIP's temperature, so here it has one dimension; `published` restores the shape.
    """

    mean: torch.Tensor
    std: torch.Tensor
    _no_split_modules: list[str]  # accelerate shards these one by one

    def __init__(self, encoder: PreTrainedModel, image_processor: Any) -> None:
        super().__init__()
        self.encoder = cast("Any", encoder)
        self._scale_shape = tuple(self.encoder.logit_scale.shape)
        self.encoder.logit_scale = nn.Parameter(self.encoder.logit_scale.detach().reshape(1))
        names = {type(module).__name__ for module in self.modules()}
        self._no_split_modules = sorted(names & set(self.encoder._no_split_modules or ()))
        # The processor's rescaling and normalisation, done here on the device, on uint8.
        affine = normalisation(image_processor)
        assert affine is not None  # CLIP's has both
        self.register_buffer("mean", affine[0], persistent=False)
        self.register_buffer("std", affine[1], persistent=False)

    def forward(self, pixels: torch.Tensor, input_ids: torch.Tensor) -> Features:
        """Features, temperature and bias of a batch, with the tokens that identify its captions.

        Args:
            pixels: (batch, 3, height, width) uint8.
            input_ids: (batch, context) int64. No attention mask is needed: CLIP's text tower is causal and pools at the
                first end token, before the padding; SigLIP's is trained with its padding.
        """
        images = self.encoder.get_image_features(pixel_values=(pixels.float() - self.mean) / self.std)
        texts = self.encoder.get_text_features(input_ids=input_ids)
        bias = getattr(self.encoder, "logit_bias", None)
        return Features(
            images.pooler_output.clone(),  # SigLIP's output is a view, and FSDP2 warns about views
            texts.pooler_output,
            self.encoder.logit_scale.float().squeeze().exp(),
            None if bias is None else bias.squeeze().clone(),
            input_ids,
        )

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Keep the temperature's logarithm in [0, ln 100] after each step, as CLIP does.

        SigLIP's has no bounds (Zhai et al. 2023, algorithm 1); its published ViT-B/16 has a temperature of 117.
        """
        if not hasattr(self.encoder, "logit_bias"):
            self.encoder.logit_scale.clamp_(0, _MAX_LOG_SCALE)

    @torch.no_grad()
    def scale(self) -> float:
        """The factor of the similarities, not its logarithm. All processes call this: it may be sharded."""
        return float(unsharded(self.encoder.logit_scale).exp())

    def parts(self) -> tuple[list[str], list[str]]:
        """The parts of the encoder that are trained, if only partly, and those that are not; sorted names."""
        parts = [(name.partition(".")[0], p.requires_grad) for name, p in self.encoder.named_parameters()]
        trained = {name for name, is_trained in parts if is_trained}
        return sorted(trained), sorted({name for name, _ in parts} - trained)

    def published(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The weights of the encoder in the names and shapes that `from_pretrained` expects.

        Args:
            state: from `Accelerator.get_state_dict`; empty in processes that do not write.
        """
        weights = {name.removeprefix("encoder."): tensor for name, tensor in state.items()}
        if weights:
            weights["logit_scale"] = weights["logit_scale"].reshape(self._scale_shape)
        return weights


def model_facts(model: nn.Module, processor: Any | None) -> dict[str, Any]:
    """What a card says of a model and its processor: the fields of `CardFacts` that follow from them."""
    of_processor = None if processor is None else type(processor).__name__
    # Tokenizers of other classes are read by `AutoTokenizer`, too.
    is_tokenizer = isinstance(processor, PreTrainedTokenizerBase)
    return {
        "model_class": type(model).__name__.removeprefix("FSDP"),  # that torch's FSDP2 puts before the name
        "processor_class": "AutoTokenizer" if is_tokenizer else of_processor,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def unsharded(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor that may be sharded over the processes. All processes call this."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def check_attention(
    config: TrainingConfig, beginning: Path | None, model_type: str, accelerator: Accelerator
) -> None:
    """Refuse attention that cannot train such a model on this device: a model of one block computes gradients.

    This is before data are read, hence without their tokenizer. transformers loads kernels from the Hub's organisation
    ``kernels-community`` only.

    Args:
        config: of the run.
        beginning: files of the model that it continues; None for a new one.
        model_type: of a new one.
        accelerator: tells device and precision.

    Raises:
        ConfigError: it is unknown, not installed, or has no gradients here.
    """
    name = config.attn_implementation
    if name in PLAIN_ATTENTION:
        return
    if beginning is None:
        size = model_size(config.scale)
        tokenizer = stand_in_tokenizer(vocab_size=size.vocab_size, context_length=size.context_length)
    small: Any = _NEW[model_type](size, tokenizer) if beginning is None else read_config(beginning)
    vision, text = small.vision_config, small.text_config
    vision.num_hidden_layers = text.num_hidden_layers = 1
    precision = "bf16" if accelerator.mixed_precision == "bf16" else "fp32"
    what = f"attn_implementation is {shown(name)}, which cannot train this model on {accelerator.device.type} in "
    what += f"{precision}; use {' or '.join(PLAIN_ATTENTION)}, or leave it out"
    with naming(what, ConfigError), torch.device(accelerator.device), accelerator.autocast():
        model = AutoModel.from_config(small, attn_implementation=name).train()
        pixels = torch.zeros(2, 3, vision.image_size, vision.image_size)
        input_ids = torch.zeros(2, text.max_position_embeddings, dtype=torch.long)
        model(input_ids=input_ids, pixel_values=pixels, return_loss=True).loss.backward()


# The parts that `--freeze` does not train. The projection is included, as in big_vision (`("img/.*", None)`) and in
# open_clip (`lock_image_tower`), so the embeddings of the frozen side do not change. SigLIP has its projection inside
# the text tower.
_SIDES = {"vision": ("vision_model", "visual_projection"), "text": ("text_model", "text_projection")}


def make_model(
    config: TrainingConfig, beginning: Path | None, processor: ProcessorMixin, model_type: str = "clip"
) -> TrainedModel:
    """The model before its first step, in float32; no code that comes with a model is run.

    Args:
        config: of the run. With ``freeze``, that tower and its projection are not trained (Zhai et al. 2022); the rest
            is, the temperature included.
        beginning: files of the `CLIPModel` or `SiglipModel` to continue; None for a new one, whose weights follow from
            torch's seed.
        processor: its tokenizer and image processor.
        model_type: ``clip`` or ``siglip``, see `Loss`. A loss that knows no bias trains none: SigLIP's stays.

    Raises:
        ModelError: the files contain no such model.
        ConfigError: the loss needs a bias, and the model has none.
    """
    encoder: Any
    if beginning is None:
        settings: Any = _NEW[model_type](model_size(config.scale), processor.tokenizer)
        encoder = AutoModel.from_config(settings, attn_implementation=config.attn_implementation)
        if model_type == "siglip":  # transformers begins with 0 and 0
            nn.init.constant_(encoder.logit_scale, _SIGLIP_LOG_SCALE)
            nn.init.constant_(encoder.logit_bias, _SIGLIP_BIAS)
    else:
        settings = read_config(beginning)
        if model_type == "siglip" and settings.model_type != "siglip":
            raise ConfigError(
                f"The loss needs a model with a bias, like SigLIP, but {beginning} contains one of type "
                f"{settings.model_type}: use loss contrastive, or continue a SigLIP model."
            )
        encoder = read_model(
            beginning, settings, dtype=torch.float32, attn_implementation=config.attn_implementation
        )
        if model_type == "clip" and hasattr(encoder, "logit_bias"):
            encoder.logit_bias.requires_grad_(False)
    for name in _SIDES.get(config.freeze or "", ()):
        if hasattr(encoder, name):
            getattr(encoder, name).requires_grad_(False)
    if config.gradient_checkpointing:
        # Renamed in transformers 5.2x. Re-entrant checkpoints do not go with a graph that is used in parts.
        old = "gradient_checkpointing_enable"
        enable = getattr(encoder, "activation_checkpointing_enable", None) or getattr(encoder, old)
        enable({"use_reentrant": False})
    return TrainedModel(encoder, processor.image_processor)


def model_folder(name_or_path: str, revision: str) -> Path:
    """The folder with the files of a model; those on the Hub are fetched if they are not cached.

    Args:
        name_or_path: a folder, or a repository as ``owner/name``.
        revision: of the repository, as ``epoch-010``.

    Raises:
        RevisionNotFoundError: there is no such folder, nor such a revision.
    """
    folder = Path(name_or_path).expanduser()
    return folder if folder.is_dir() else snapshot_folder(name_or_path, revision)


def read_processor(folder: Path) -> ProcessorMixin:
    """The processor of a CLIP or SigLIP model, whose captions are at most as long as its context.

    Raises:
        ModelError: the files are those of another model, or do not fit each other.
    """
    config, image_processor = read_input(folder)
    if config.model_type not in _PROCESSORS:
        raise ModelError(
            f"{folder} contains a model of type {config.model_type}; training continues CLIP and SigLIP: use a model "
            f"of type {' or '.join(_PROCESSORS)}."
        )
    check_image_processor(image_processor, config, folder)
    tokenizer = read_tokenizer(folder, config)
    # Without a length of its own a tokenizer pads to 10^30 tokens.
    context = config.text_config.max_position_embeddings
    tokenizer.model_max_length = min(tokenizer.model_max_length, context)
    side, size = config.vision_config.image_size, input_size(image_processor)
    factor = getattr(image_processor, "rescale_factor", None) or 0
    divides = all(getattr(image_processor, name, False) for name in ("do_rescale", "do_normalize"))
    tokens, known = len(tokenizer), config.text_config.vocab_size
    problems = {
        f"gives {size[0]} x {size[1]} pixels, its model takes {side} x {side}": size != (side, side),
        "does not divide by 255 and normalise, as training does": not divides or abs(factor * 255 - 1) > 1e-6,
        f"has {tokens:,} tokens, more than the {known:,} of the model": tokens > known,
    }
    for problem in (words for words, is_so in problems.items() if is_so):
        raise ModelError(f"The processor in {folder} {problem}: use the processor of its training.")
    kind: Any = _PROCESSORS[config.model_type]
    return cast("ProcessorMixin", kind(image_processor=image_processor, tokenizer=tokenizer))
