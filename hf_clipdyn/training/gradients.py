"""How the gradients of a batch are computed: of the whole batch at once, in chunks, or summed over micro-batches."""

from collections.abc import Callable

import torch
from accelerate import Accelerator

from hf_clipdyn.training.losses import Loss
from hf_clipdyn.training.source import Batch

__all__ = ["Backward", "whole_batch"]

Backward = Callable[[Batch], torch.Tensor]
"""Adds a batch's gradients to the parameters and returns its loss, a scalar that carries no graph."""


def whole_batch(accelerator: Accelerator, model: torch.nn.Module, loss: Loss) -> Backward:
    """The plain way: one forward, one backward."""

    def backward(batch: Batch) -> torch.Tensor:
        device = accelerator.device
        value = loss(
            model(batch.pixels.to(device, non_blocking=True), batch.input_ids.to(device, non_blocking=True))
        )
        accelerator.backward(value)
        return value.detach()

    return backward
