"""The optimiser of a run, and the learning rate's schedule."""

import json

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import SchedulerType, get_scheduler

from hf_clipdyn.errors import ConfigError, check_known, naming
from hf_clipdyn.training.config import TrainingConfig

# The schedules with a last learning rate of their own, and what they call its share of the peak.
_MIN_RATES = {
    "cosine_with_min_lr": "min_lr_rate",
    "cosine_warmup_with_min_lr": "min_lr_rate",
    "warmup_stable_decay": "min_lr_ratio",
}

SCHEDULES = sorted({kind.value for kind in SchedulerType} - {"reduce_lr_on_plateau", "greedy"})
"""Names of the schedules that follow from the step alone."""


def build_optimizer(config: TrainingConfig, model: nn.Module) -> AdamW:
    """AdamW for a model's trained parameters; the learning rate is the peak, which a schedule scales.

    Parameters of one dimension or less (biases, norms, temperature, class token) do not decay. The number of dimensions
    identifies them reliably, names do not.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim <= 1]
    rate = config.learning_rate
    groups = [
        # `initial_lr` as a schedule that starts later than step 0 expects it.
        {"params": parameters, "weight_decay": decay, "lr": rate, "initial_lr": rate}
        for parameters, decay in ((matrices, config.weight_decay), (vectors, 0.0))
        if parameters
    ]
    # One call for all parameters: on a CPU the default calls each operation for each of them. Both give the same bits.
    return AdamW(groups, lr=rate, betas=(0.9, config.adam_beta2), eps=1e-6, foreach=True)


def build_schedule(
    config: TrainingConfig, optimizer: Optimizer, steps: int, steps_taken: int = 0
) -> LambdaLR:
    """A schedule of transformers; by default warm-up, then a cosine to ``min_lr_rate`` of the peak at the last step.

    transformers' schedules give the first step a learning rate of zero, so that the revisions of step 0 and step 1
    would be the same. This one starts a step later.

    Args:
        config: of the run.
        optimizer: a new one, or one whose state was restored after ``steps_taken`` steps.
        steps: of the whole run.
        steps_taken: before this process.

    Raises:
        UnknownNameError: transformers has no such schedule, or it does not follow from the step.
        ConfigError: the schedule does not take these arguments.
    """
    name = config.lr_scheduler_type
    check_known("lr_scheduler_type", [name], SCHEDULES)
    arguments = {_MIN_RATES[name]: config.min_lr_rate} if name in _MIN_RATES else {}
    arguments |= json.loads(config.lr_scheduler_kwargs or "{}")
    stand_in = AdamW([nn.Parameter(torch.zeros(1))])
    with naming(f"lr_scheduler_kwargs does not fit lr_scheduler_type {name}", ConfigError):
        schedule = get_scheduler(name, stand_in, min(config.warmup_steps, steps), steps, arguments)
        factors = schedule.lr_lambdas * len(optimizer.param_groups)
        return LambdaLR(optimizer, factors, last_epoch=steps_taken)
