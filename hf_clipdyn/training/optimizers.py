"""The optimiser of a run, and the learning rate's schedule."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import SchedulerType, get_scheduler

from hf_clipdyn.errors import ConfigError, UnknownNameError

_MIN_RATES = {
    "cosine_with_min_lr": "min_lr_rate",
    "cosine_warmup_with_min_lr": "min_lr_rate",
    "warmup_stable_decay": "min_lr_ratio",
}
"""What the schedules with a last learning rate of their own call its share of the peak."""

SCHEDULES = sorted({str(one.value) for one in SchedulerType} - {"reduce_lr_on_plateau", "greedy"})
"""Names of the schedules that follow from the step alone."""


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
) -> torch.optim.AdamW:
    """AdamW for a model's trained parameters; the learning rate is the peak, which a schedule scales.

    Parameters of one dimension or less (biases, norms, temperature, class token) do not decay. The number of dimensions
    identifies them reliably, names do not.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [
        # `initial_lr` as a schedule that starts later than step 0 expects it.
        {"params": parameters, "weight_decay": decay, "lr": learning_rate, "initial_lr": learning_rate}
        for parameters, decay in ((matrices, weight_decay), (vectors, 0.0))
        if parameters
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=eps)


def build_schedule(
    optimizer: torch.optim.Optimizer,
    steps: int,
    *,
    warmup_steps: int,
    min_lr_rate: float,
    name: str = "cosine_with_min_lr",
    arguments: Mapping[str, Any] | None = None,
    steps_taken: int = 0,
) -> torch.optim.lr_scheduler.LambdaLR:
    """A schedule of transformers; by default a cosine from the learning rate to ``min_lr_rate`` of it at the last step.

    transformers' schedules give the first step a learning rate of zero, so that the revisions of step 0 and step 1
    would be the same. This one starts a step later.

    Args:
        optimizer: a new one, or one whose state was restored after ``steps_taken`` steps.
        steps: of the whole run.
        warmup_steps: of these, those of the warm-up.
        min_lr_rate: share of the learning rate at the last step, for the schedules that have one.
        name: of the schedule, as ``lr_scheduler_type`` of transformers.
        arguments: further ones of that schedule.
        steps_taken: before this process.

    Raises:
        UnknownNameError: transformers has no such schedule, or it does not follow from the step.
        ConfigError: the schedule does not take these arguments.
    """
    if name not in SCHEDULES:
        raise UnknownNameError("lr_scheduler_type", name, SCHEDULES)
    rate = {_MIN_RATES[name]: min_lr_rate} if name in _MIN_RATES else {}
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]
    try:
        schedule: torch.optim.lr_scheduler.LambdaLR = get_scheduler(
            name, optimizer, min(warmup_steps, steps), steps, rate | dict(arguments or {})
        )
        schedule.last_epoch = steps_taken
        schedule.step()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"lr_scheduler_kwargs does not fit lr_scheduler_type {name}: {error}.") from error
    return schedule
