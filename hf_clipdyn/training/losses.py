"""What training minimises: each loss is one class, found by its name.

A loss of your own is a subclass of `Loss` in a module that ``--plugin`` names.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812  (its usual name)

from hf_clipdyn.errors import UnknownNameError
from hf_clipdyn.plugins import LOSSES, plugins, subclasses_in

__all__ = ["Contrastive", "Features", "Loss", "gather_with_gradient", "loss_names", "make_loss"]


@dataclass(frozen=True)
class Features:
    """What a model says of a batch; row i of the texts belongs to image i.

    Attributes:
        images, texts: (batch, dim) of this process, not normalised, any precision.
        scale: scalar, the factor of the similarities, not its logarithm.
        bias: scalar that is added to them; None for a model without one.
    """

    images: torch.Tensor
    texts: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None = None


class Loss(ABC):
    """A loss over the batch of all processes.

    Each process returns the loss of the whole batch, or its own part of it times the number of processes: a
    data-parallel wrapper averages gradients over the processes, and what is left must be the gradient of one process
    with the whole batch, for every parameter.

    Attributes (of the class):
        name: value of ``--loss``.
        model_type: architecture that is built for it: ``clip`` or ``siglip``.
    """

    name: ClassVar[str]
    model_type: ClassVar[str] = "clip"

    @abstractmethod
    def __call__(self, features: Features) -> torch.Tensor:
        """Scalar in float32."""


class Contrastive(Loss):
    """Symmetric cross entropy of image-text similarities (Radford et al. 2021, figure 3).

    ln(global batch size) for features that say nothing.
    """

    name = "contrastive"

    def __call__(self, features: Features) -> torch.Tensor:
        """The loss of the whole batch, in every process."""
        images = gather_with_gradient(F.normalize(features.images.float(), dim=-1))
        texts = gather_with_gradient(F.normalize(features.texts.float(), dim=-1))
        # bfloat16 holds three digits, too few for a softmax over a large batch.
        with torch.autocast(images.device.type, enabled=False):
            logits = features.scale.float() * images @ texts.T
        target = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class _Gather(torch.autograd.Function):
    """all_gather whose backward sums over the processes; torch's own is deprecated since 2.13."""

    @staticmethod
    def forward(_: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor) -> torch.Tensor:
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


def gather_with_gradient(x: torch.Tensor) -> torch.Tensor:
    """Concatenate ``x`` (batch, ...) of all processes in the order of their ranks, with its gradient.

    `accelerate.gather` detaches: over it a contrastive loss has the right value and trains almost nothing.
    Here the gradient of each row flows back to the process that computed it, summed over all processes.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return x
    gathered: torch.Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return gathered


@cache
def _own() -> dict[str, type[Loss]]:
    return {Contrastive.name: Contrastive}


def _losses() -> dict[str, type[Loss]]:
    return _own() | {one.name: one for one in subclasses_in(plugins(LOSSES), Loss)}  # type: ignore[type-abstract]


def loss_names() -> list[str]:
    """Names of all losses, sorted."""
    return sorted(_losses())


def make_loss(name: str) -> Loss:
    """The loss of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in _losses():
        raise UnknownNameError("loss", name, loss_names())
    return _losses()[name]()
