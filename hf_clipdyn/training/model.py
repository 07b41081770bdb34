"""The model in training, its optimiser and its schedule."""

import math
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModel,
    CLIPProcessor,
    PreTrainedModel,
    get_cosine_with_min_lr_schedule_with_warmup,
)

from hf_clipdyn.models.scales import Scale, clip_config
from hf_clipdyn.training.losses import Features

__all__ = ["TrainedModel", "build_model", "build_schedule"]

_MAX_LOG_SCALE = math.log(100)


class TrainedModel(nn.Module):
    """A `CLIPModel` or `SiglipModel` whose forward gives what the loss needs.

    The temperature is read inside the forward, where a sharding wrapper has gathered it.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, encoder: PreTrainedModel, image_mean: list[float], image_std: list[float]) -> None:
        super().__init__()
        self.encoder: Any = encoder
        # The processor's rescaling and normalisation, done here on the device, on uint8.
        self.register_buffer("mean", 255 * torch.tensor(image_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(image_std).view(3, 1, 1), persistent=False)

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
        scale = self.encoder.logit_scale.exp()
        return Features(
            images.pooler_output, texts.pooler_output, scale, None if bias is None else bias.clone()
        )

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Keep the temperature's logarithm in [0, ln 100] after each step, as CLIP does."""
        self.encoder.logit_scale.clamp_(0, _MAX_LOG_SCALE)


def build_model(size: Scale, processor: CLIPProcessor, attn_implementation: str) -> TrainedModel:
    """A freshly initialised model of a size, for the vocabulary and the normalisation of ``processor``."""
    config = clip_config(size, processor.tokenizer)
    encoder = AutoModel.from_config(config, attn_implementation=attn_implementation)
    return TrainedModel(encoder, processor.image_processor.image_mean, processor.image_processor.image_std)


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
    and step 1 would be the same; this one starts a step later and wastes none.

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
