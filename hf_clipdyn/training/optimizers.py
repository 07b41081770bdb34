"""The optimisers of a run, each an entry of one mapping by transformers' name, and the learning rate's schedule."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from hf_clipdyn.errors import UnknownNameError

__all__ = ["build_optimizer", "build_schedule", "check_optimizer", "optimizer_names"]

_Groups = list[dict[str, Any]]
_Betas = tuple[float, float]
_Make = Callable[[_Groups, float, _Betas, float], torch.optim.Optimizer]
"""Makes an optimiser from parameter groups, learning rate, betas and epsilon."""


def _adamw(groups: _Groups, rate: float, betas: _Betas, eps: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=eps)


def _fused_adamw(groups: _Groups, rate: float, betas: _Betas, eps: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=eps, fused=True)


def _sgd(groups: _Groups, rate: float, betas: _Betas, _: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=rate, momentum=betas[0])


_OPTIMIZERS: dict[str, _Make] = {"adamw_torch": _adamw, "adamw_torch_fused": _fused_adamw, "sgd": _sgd}


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


def build_optimizer(
    model: nn.Module,
    name: str = "adamw_torch",
    *,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
) -> torch.optim.Optimizer:
    """An optimiser of a model's trained parameters.

    Parameters of one dimension or less (biases, norms, temperature, class token) do not decay. The number of dimensions
    identifies them reliably, names do not.

    Args:
        model: frozen parameters are left out.
        name: of the optimiser.
        learning_rate: the peak, which a schedule scales.
        weight_decay: of the parameters of two dimensions or more.
        betas: AdamW's; SGD's momentum is the first.
        eps: AdamW's epsilon.

    Raises:
        UnknownNameError: there is no such optimiser.
    """
    check_optimizer(name)
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups: _Groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    for group in groups:
        group["initial_lr"] = learning_rate  # as a schedule that starts later than step 0 expects it
    return _OPTIMIZERS[name]([group for group in groups if group["params"]], learning_rate, betas, eps)


def build_schedule(
    optimizer: torch.optim.Optimizer,
    steps: int,
    *,
    warmup_steps: int,
    min_lr_rate: float,
    steps_taken: int = 0,
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up, then a cosine from the learning rate to ``min_lr_rate`` of it at the last step.

    transformers' schedule gives the first step a learning rate of zero, so that the revisions of step 0 and step 1
    would be the same. This one starts a step later.

    Args:
        optimizer: a new one, or one whose state was restored after ``steps_taken`` steps.
        steps: of the whole run.
        warmup_steps: of these, those of the warm-up.
        min_lr_rate: share of the learning rate at the last step.
        steps_taken: before this process.
    """
    schedule: torch.optim.lr_scheduler.LambdaLR = get_cosine_with_min_lr_schedule_with_warmup(
        optimizer,
        num_warmup_steps=min(warmup_steps, steps),
        num_training_steps=steps,
        min_lr_rate=min_lr_rate,
        last_epoch=steps_taken,
    )
    return schedule
