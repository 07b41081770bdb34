"""The model in training, its optimiser and its schedule."""

import math
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, CLIPModel, CLIPProcessor, get_cosine_with_min_lr_schedule_with_warmup

from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.models.sizes import ModelSize, clip_config
from hf_clipdyn.preprocess import normalisation

__all__ = ["TrainedCLIP", "build_model", "build_optimizer", "build_schedule"]

_MAX_LOG_SCALE = math.log(100)


class TrainedCLIP(nn.Module):
    """A `CLIPModel` whose forward gives what the loss needs.

    The temperature is read inside the forward, where a sharding wrapper has gathered it.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, clip: CLIPModel, image_processor: Any) -> None:
        super().__init__()
        self.clip = clip
        # The processor's rescaling and normalisation, done here on the device, on uint8.
        affine = normalisation(image_processor)
        assert affine is not None  # CLIP's has both
        self.register_buffer("mean", affine[0], persistent=False)
        self.register_buffer("std", affine[1], persistent=False)

    def forward(
        self, pixels: torch.Tensor, input_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features and temperature of a batch.

        Args:
            pixels: (batch, 3, height, width) uint8.
            input_ids: (batch, context) int64. No attention mask is needed: the text tower is causal and
                pools at the first end token, so that the padding after it is never seen.

        Returns:
            Image and text features (batch, dim), not normalised, and the logit scale (not its logarithm).
        """
        images = self.clip.get_image_features(pixel_values=(pixels.float() - self.mean) / self.std)
        texts = self.clip.get_text_features(input_ids=input_ids)
        return images.pooler_output, texts.pooler_output, self.clip.logit_scale.exp()

    @torch.no_grad()
    def clamp_logit_scale(self) -> None:
        """Keep the temperature's logarithm in [0, ln 100], as CLIP does after each step."""
        self.clip.logit_scale.clamp_(0, _MAX_LOG_SCALE)


def build_model(size: ModelSize, processor: CLIPProcessor, attn_implementation: str) -> TrainedCLIP:
    """A freshly initialised model of a size, for the vocabulary and the normalisation of ``processor``."""
    config = clip_config(size, processor.tokenizer)
    clip = AutoModel.from_config(config, attn_implementation=attn_implementation)
    return TrainedCLIP(clip, processor.image_processor)


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW; parameters of one dimension or less (biases, norms, temperature, class token) do not decay.

    The number of dimensions identifies them reliably; names do not.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    for group in groups:
        group["initial_lr"] = config.learning_rate  # as a schedule that starts later than step 0 expects it
    betas = (config.adam_beta1, config.adam_beta2)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, eps=config.adam_epsilon)


def build_schedule(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, steps: int, *, steps_taken: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up, then a cosine from the learning rate to ``min_lr_rate`` of it at the last step.

    transformers' schedule gives the first step a learning rate of zero, after which the revisions of step 0
    and step 1 would be the same; this one starts a step later, so no step is lost.

    Args:
        optimizer: a new one, or one restored after ``steps_taken`` steps.
        config: the run.
        steps: of the whole run.
        steps_taken: steps already taken.
    """
    schedule: torch.optim.lr_scheduler.LambdaLR = get_cosine_with_min_lr_schedule_with_warmup(
        optimizer,
        num_warmup_steps=min(config.warmup_steps, steps),
        num_training_steps=steps,
        min_lr_rate=config.min_lr_rate,
        last_epoch=steps_taken,
    )
    return schedule
