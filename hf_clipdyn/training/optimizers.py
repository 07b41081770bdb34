"""The optimiser of a run, and the learning rate's schedule."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import SchedulerType, get_scheduler

from hf_clipdyn.errors import ConfigError, UnknownNameError

_MIN_RATES = {
    "cosine_with_min_lr": "min_lr_rate",
    "cosine_warmup_with_min_lr": "min_lr_rate",
    "warmup_stable_decay": "min_lr_ratio",
}
"""The schedules with a last learning rate of their own, and what they call its share of the peak."""

SCHEDULES = sorted({kind.value for kind in SchedulerType} - {"reduce_lr_on_plateau", "greedy"})
"""Names of the schedules that follow from the step alone."""


def build_optimizer(
    model: nn.Module, *, learning_rate: float, weight_decay: float, betas: tuple[float, float], eps: float
) -> AdamW:
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
    return AdamW(groups, lr=learning_rate, betas=betas, eps=eps)


def build_schedule(
    optimizer: Optimizer,
    steps: int,
    *,
    warmup_steps: int,
    min_lr_rate: float,
    name: str = "cosine_with_min_lr",
    arguments: Mapping[str, Any] | None = None,
    steps_taken: int = 0,
) -> LambdaLR:
    """A schedule of transformers; by default warm-up, then a cosine to ``min_lr_rate`` of the peak at the last step.

    transformers' schedules give the first step a learning rate of zero, so that the revisions of step 0 and step 1
    would be the same. This one starts a step later.

    Args:
        optimizer: a new one, or one whose state was restored after ``steps_taken`` steps.
        steps: of the whole run.
        warmup_steps: of these, those of the warm-up.
        min_lr_rate: share of the learning rate at the last step, for the schedules that have one.
        name: of the schedule, transformers' ``lr_scheduler_type``.
        arguments: further ones of that schedule.
        steps_taken: before this process.

    Raises:
        UnknownNameError: transformers has no such schedule, or it does not follow from the step.
        ConfigError: the schedule does not take these arguments.
    """
    if name not in SCHEDULES:
        raise UnknownNameError("lr_scheduler_type", name, SCHEDULES)
    rate = {_MIN_RATES[name]: min_lr_rate} if name in _MIN_RATES else {}
    stand_in = AdamW([nn.Parameter(torch.zeros(1))])
    try:
        schedule = get_scheduler(
            name, stand_in, min(warmup_steps, steps), steps, rate | dict(arguments or {})
        )
        factors = schedule.lr_lambdas * len(optimizer.param_groups)
        return LambdaLR(optimizer, factors, last_epoch=steps_taken)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"lr_scheduler_kwargs does not fit lr_scheduler_type {name}: {error}.") from error
