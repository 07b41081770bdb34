"""The optimisers of a run: each is an entry of one mapping, by transformers' name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hf_clipdyn.errors import UnknownNameError

__all__ = ["OptimizerSettings", "build_optimizer", "check_optimizer", "optimizer_names"]


@dataclass(frozen=True)
class OptimizerSettings:
    """Settings of an optimiser; each uses what it has.

    Attributes:
        learning_rate: the peak, which a schedule scales.
        weight_decay: of the parameters of two dimensions or more.
        betas: decay of the averages of the gradient and of its square; the first is SGD's momentum.
        eps: is added to the root of the second average.
    """

    learning_rate: float
    weight_decay: float
    betas: tuple[float, float]
    eps: float


_Groups = list[dict[str, Any]]


def _adamw(groups: _Groups, settings: OptimizerSettings, *, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.eps, fused=fused or None
    )


_OPTIMIZERS: dict[str, Callable[[_Groups, OptimizerSettings], torch.optim.Optimizer]] = {
    "adamw_torch": lambda groups, settings: _adamw(groups, settings, fused=False),
    "adamw_torch_fused": lambda groups, settings: _adamw(groups, settings, fused=True),
    "sgd": lambda groups, settings: torch.optim.SGD(
        groups, lr=settings.learning_rate, momentum=settings.betas[0]
    ),
}


def optimizer_names() -> list[str]:
    """Names of all optimisers, sorted."""
    return sorted(_OPTIMIZERS)


def check_optimizer(name: str) -> None:
    """Refuse an unknown name.

    Raises:
        UnknownNameError: there is no such optimiser.
    """
    if name not in _OPTIMIZERS:
        raise UnknownNameError("optimiser", name, optimizer_names())


def build_optimizer(model: nn.Module, name: str, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """An optimiser; parameters of one dimension or less (biases, norms, temperature, class token) do not decay.

    The number of dimensions tells them reliably, names do not.

    Raises:
        UnknownNameError: there is no such optimiser.
    """
    check_optimizer(name)
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups: _Groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    for group in groups:
        group["initial_lr"] = settings.learning_rate  # as a schedule that starts later than step 0 expects it
    return _OPTIMIZERS[name]([group for group in groups if group["params"]], settings)
