"""How the gradients of a batch are computed: of the whole batch at once, in chunks, or summed over micro-batches.

Each way synchronises the gradients of several processes once a step, in its last backward pass.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch.utils.checkpoint import get_device_states, set_device_states

from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.data import Batch
from hf_clipdyn.training.losses import Features, Loss

Backward = Callable[[Batch], torch.Tensor]
"""Adds a batch's gradients to the parameters and returns its loss, a scalar that carries no graph."""

Evaluate = Callable[[torch.nn.Module, Batch], torch.Tensor]
"""The loss of a batch for a model, without gradients."""


def make_backward(
    config: TrainingConfig, accelerator: Accelerator, model: torch.nn.Module, loss: Loss
) -> Backward:
    """The way that ``gradient_cache_chunk`` or ``gradient_accumulation_steps`` asks for.

    Args:
        config: of the run.
        accelerator: that prepared the model.
        model: gives `Features` for pixels and tokens.
        loss: of the features.
    """
    if config.gradient_cache_chunk is not None:
        return cached(accelerator, model, loss, config.gradient_cache_chunk)
    return accumulated(accelerator, model, loss, config.gradient_accumulation_steps)


def accumulated(accelerator: Accelerator, model: torch.nn.Module, loss: Loss, steps: int = 1) -> Backward:
    """The mean of the gradients of ``steps`` micro-batches, each with its own negatives only; one is the whole batch.

    Args:
        accelerator, model, loss: as in `make_backward`.
        steps: number of micro-batches; the batch of a process is a multiple of it.
    """

    def backward(batch: Batch) -> torch.Tensor:
        pixels, input_ids = _on_device(accelerator, batch)
        values = []
        for i, part in enumerate(zip(pixels.chunk(steps), input_ids.chunk(steps), strict=True), 1):
            with nullcontext() if i == steps else accelerator.no_sync(model):
                value = loss(model(*part)) / steps
                accelerator.backward(value)
            values.append(value.detach())
        return torch.stack(values).sum()

    return backward


def cached(accelerator: Accelerator, model: torch.nn.Module, loss: Loss, chunk: int) -> Backward:
    """The gradients of the undivided batch in the memory of a chunk (GradCache: Gao et al. 2021).

    The features of all chunks are computed without a graph; the loss gives their gradients; then each chunk is computed
    again, from the same random state, and its features' gradients flow back into the parameters.

    Args:
        accelerator, model, loss: as in `make_backward`.
        chunk: images of a process that are in the model at once.
    """
    plain = accumulated(accelerator, model, loss)

    def backward(batch: Batch) -> torch.Tensor:
        if len(batch.pixels) <= chunk:
            return plain(batch)
        pixels, input_ids = _on_device(accelerator, batch)
        parts = list(zip(torch.split(pixels, chunk), torch.split(input_ids, chunk), strict=True))
        states, features = [], []
        with torch.no_grad():
            for part in parts:
                states.append(_random_state(part[0]))
                features.append(model(*part))
        value, gradients = _gradients_of_features(loss, features)
        for i, (part, restore, gradient) in enumerate(zip(parts, states, gradients, strict=True), 1):
            restore()
            with nullcontext() if i == len(parts) else accelerator.no_sync(model):
                accelerator.backward(_product(model(*part), gradient))
        return value

    return backward


def make_evaluate(accelerator: Accelerator, loss: Loss, chunk: int | None = None) -> Evaluate:
    """The loss of a whole batch, of which at most ``chunk`` images of a process are in the model at once."""

    @torch.no_grad()
    def evaluate(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        pixels, input_ids = _on_device(accelerator, batch)
        size = chunk or len(pixels)
        with accelerator.autocast():
            chunks = zip(torch.split(pixels, size), torch.split(input_ids, size), strict=True)
            parts = [model(*chunk) for chunk in chunks]
        return loss(_joined(parts))

    return evaluate


def _joined(parts: list[Features]) -> Features:
    """The features of all chunks; temperature and bias are the same in each."""
    captions = [part.captions for part in parts if part.captions is not None]
    return parts[-1]._replace(
        images=torch.cat([part.images for part in parts]),
        texts=torch.cat([part.texts for part in parts]),
        captions=torch.cat(captions) if captions else None,
    )


def _gradients_of_features(loss: Loss, parts: list[Features]) -> tuple[torch.Tensor, list[Features]]:
    """The loss of all chunks' features, and its gradient with respect to the features of each chunk.

    Temperature and bias are shared by all chunks: the last one carries their gradients, the others carry 0.
    """
    *tensors, captions = _joined(parts)
    leaves = [x.detach().requires_grad_() for x in tensors if x is not None]
    value = loss(Features(*leaves)._replace(captions=captions))
    images, texts, *of_shared = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    nothing = [torch.zeros_like(x) for x in of_shared]
    sizes = [len(part.images) for part in parts]
    chunks = zip(torch.split(images, sizes), torch.split(texts, sizes), strict=True)
    gradients = [Features(*both, *nothing) for both in chunks]
    gradients[-1] = Features(*gradients[-1][:2], *of_shared)
    return value.detach(), gradients


def _product(features: Features, gradients: Features) -> torch.Tensor:
    """The scalar whose gradient with respect to ``features`` is ``gradients``."""
    pairs = zip(features, gradients, strict=True)
    return torch.stack([(x * g).sum() for x, g in pairs if x is not None and g is not None]).sum()


def _random_state(tensor: torch.Tensor) -> Callable[[], None]:
    """Goes back to the random state of the CPU and of the tensor's device, as they are now."""
    cpu, (devices, states) = torch.get_rng_state(), get_device_states(tensor)

    def restore() -> None:
        torch.set_rng_state(cpu)
        if devices:
            set_device_states(devices, states, device_type=tensor.device.type)

    return restore


def _on_device(accelerator: Accelerator, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    device = accelerator.device
    return batch.pixels.to(device, non_blocking=True), batch.input_ids.to(device, non_blocking=True)
