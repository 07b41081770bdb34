"""The optimiser of a run, and the learning rate's schedule."""

import torch
from torch import nn
from transformers import get_cosine_with_min_lr_schedule_with_warmup


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
