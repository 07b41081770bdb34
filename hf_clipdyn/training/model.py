"""The model in training, its optimiser and its schedule."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoModel,
    PreTrainedModel,
    ProcessorMixin,
    get_cosine_with_min_lr_schedule_with_warmup,
)

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.models.encoder import read_config, read_model
from hf_clipdyn.models.sizes import ModelSize, clip_config, siglip_config
from hf_clipdyn.preprocess import normalisation
from hf_clipdyn.training.losses import Features

__all__ = [
    "TrainedModel",
    "build_model",
    "build_schedule",
    "load_model",
    "trained_parts",
    "unsharded",
]

_MAX_LOG_SCALE = math.log(100)
_SIGLIP_LOG_SCALE, _SIGLIP_BIAS = math.log(10), -10.0  # Zhai et al. 2023, section 3.2


class TrainedModel(nn.Module):
    """A `CLIPModel` or `SiglipModel` whose forward gives what the loss needs.

    The temperature is read inside the forward, where a sharding wrapper has gathered it. CLIP's is a scalar, which
    `fully_shard` does not take: here it has one dimension, in `published` none again.
    """

    mean: torch.Tensor
    std: torch.Tensor
    _no_split_modules: list[str]  # what accelerate shards one by one

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
        """Features, temperature and bias of a batch.

        Args:
            pixels: (batch, 3, height, width) uint8.
            input_ids: (batch, context) int64. No attention mask is needed: CLIP's text tower is causal and pools at the
                first end token, so it never sees the padding after it; SigLIP's is trained with its padding.
        """
        images = self.encoder.get_image_features(pixel_values=(pixels.float() - self.mean) / self.std)
        texts = self.encoder.get_text_features(input_ids=input_ids)
        bias = getattr(self.encoder, "logit_bias", None)
        return Features(
            images.pooler_output.clone(),  # SigLIP's output is a view, and FSDP2 warns about views
            texts.pooler_output,
            self.encoder.logit_scale.float().squeeze().exp(),
            None if bias is None else bias.squeeze().clone(),
        )

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Keep the temperature's logarithm in [0, ln 100] after each step, as CLIP does.

        SigLIP's has no bounds (Zhai et al. 2023, algorithm 1): that of its published ViT-B/16 is 117.
        """
        if not hasattr(self.encoder, "logit_bias"):
            self.encoder.logit_scale.clamp_(0, _MAX_LOG_SCALE)

    @torch.no_grad()
    def scale(self) -> float:
        """The factor of the similarities, not its logarithm. All processes call it, since it may be sharded."""
        return float(unsharded(self.encoder.logit_scale).exp())

    def published(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The weights of the encoder in the names and shapes that `from_pretrained` expects.

        Args:
            state: what `Accelerator.get_state_dict` gave for this model; empty in processes that do not write.
        """
        weights = {name.removeprefix("encoder."): tensor for name, tensor in state.items()}
        if weights:
            weights["logit_scale"] = weights["logit_scale"].reshape(self._scale_shape)
        return weights


def unsharded(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor itself, or all of it if it is sharded over the processes, which then all call this."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def build_model(
    size: ModelSize,
    processor: ProcessorMixin,
    attn_implementation: str,
    model_type: str = "clip",
    *,
    gradient_checkpointing: bool = False,
) -> TrainedModel:
    """A freshly initialised model of a size, for the vocabulary and the normalisation of ``processor``.

    Args:
        size: of the model.
        processor: its tokenizer and image processor.
        attn_implementation: ``eager`` or ``sdpa``.
        model_type: ``clip`` or ``siglip``, see `Loss`.
        gradient_checkpointing: keep only the inputs of each layer for the backward pass.
    """
    config = {"clip": clip_config, "siglip": siglip_config}[model_type](size, processor.tokenizer)
    encoder = AutoModel.from_config(config, attn_implementation=attn_implementation)
    if model_type == "siglip":  # transformers begins with 0 and 0
        nn.init.constant_(encoder.logit_scale, _SIGLIP_LOG_SCALE)
        nn.init.constant_(encoder.logit_bias, _SIGLIP_BIAS)
    return _trained(encoder, processor, gradient_checkpointing)


# What `--freeze` leaves as it is. Both implementations of locked-image tuning freeze the whole image side, its
# projection included (big_vision's `("img/.*", None)`, open_clip's `lock_image_tower`): the embeddings of the frozen
# side stay what they were. SigLIP has its projection inside of the text tower.
_SIDES = {
    "vision": ("vision_model", "visual_projection"),
    "text": ("text_model", "text_projection"),
}


def load_model(
    folder: Path,
    processor: ProcessorMixin,
    attn_implementation: str,
    model_type: str = "clip",
    *,
    freeze: str | None = None,
    gradient_checkpointing: bool = False,
) -> TrainedModel:
    """A trained model to continue from, in float32; no code that comes with it is run.

    Args:
        folder: files of a `CLIPModel` or `SiglipModel`.
        processor: see `read_processor`.
        attn_implementation: ``eager`` or ``sdpa``.
        model_type: what the loss expects, see `Loss`. A loss that knows no bias trains none: SigLIP's stays.
        freeze: ``vision`` or ``text``: that tower and its projection are not trained (Zhai et al. 2022); the rest is,
            the temperature included.
        gradient_checkpointing: keep only the inputs of each layer for the backward pass.

    Raises:
        ModelError: the files hold no such model.
        ConfigError: the loss needs a bias, and the model has none.
    """
    config = read_config(folder)
    if model_type == "siglip" and config.model_type != "siglip":
        raise ConfigError(
            f"The loss needs a model with a bias, as SigLIP, and the one in {folder} is of type {config.model_type}: "
            "take --loss contrastive, or continue a SigLIP model."
        )
    encoder = read_model(folder, config, dtype=torch.float32, attn_implementation=attn_implementation)
    if model_type == "clip" and hasattr(encoder, "logit_bias"):
        encoder.logit_bias.requires_grad_(False)
    for name in _SIDES[freeze] if freeze is not None else ():
        if hasattr(encoder, name):
            getattr(encoder, name).requires_grad_(False)
    return _trained(encoder, processor, gradient_checkpointing)


def _trained(encoder: Any, processor: ProcessorMixin, gradient_checkpointing: bool) -> TrainedModel:
    if gradient_checkpointing:
        # Renamed in transformers 5.2x. Re-entrant checkpoints do not go with a graph that is used in parts.
        old = "gradient_checkpointing_enable"
        enable = getattr(encoder, "activation_checkpointing_enable", None) or getattr(encoder, old)
        enable({"use_reentrant": False})
    return TrainedModel(encoder, processor.image_processor)


def trained_parts(model: TrainedModel) -> tuple[list[str], list[str]]:
    """Names of the encoder's parts that are trained, and of those that are not."""
    trained: dict[str, bool] = {}
    for name, parameter in model.encoder.named_parameters():
        part = name.partition(".")[0]
        trained[part] = trained.get(part, False) or parameter.requires_grad
    return sorted(p for p, is_trained in trained.items() if is_trained), sorted(
        p for p, is_trained in trained.items() if not is_trained
    )


def build_schedule(
    optimizer: torch.optim.Optimizer,
    steps: int,
    *,
    warmup_steps: int,
    min_lr_rate: float,
    steps_taken: int = 0,
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up, then a cosine from the learning rate to ``min_lr_rate`` of it at the last step.

    transformers' schedule gives the first step a learning rate of zero, after which the revisions of step 0
    and step 1 would be the same; this one starts a step later, so no step is lost.

    Args:
        optimizer: a new one, or one whose state was restored after ``steps_taken`` steps.
        steps: of the whole run.
        warmup_steps: of these, those of the warm-up.
        min_lr_rate: share of the learning rate at the last step.
        steps_taken: of these, how many lie behind.
    """
    schedule: torch.optim.lr_scheduler.LambdaLR = get_cosine_with_min_lr_schedule_with_warmup(
        optimizer,
        num_warmup_steps=min(warmup_steps, steps),
        num_training_steps=steps,
        min_lr_rate=min_lr_rate,
        last_epoch=steps_taken,
    )
    return schedule
