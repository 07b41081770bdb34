"""The optimiser's groups and the schedule."""

import pytest
import torch
from torch import nn

from hf_clipdyn.training.optimizers import build_optimizer, build_schedule


def test_biases_norms_and_scalars_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    model.register_parameter("logit_scale", nn.Parameter(torch.tensor(1.0)))
    optimizer = build_optimizer(model, learning_rate=1.0, weight_decay=0.2, betas=(0.9, 0.98), eps=1e-6)
    decayed, plain = optimizer.param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.2, 0.0)
    assert len(plain["params"]) == 4


def _rates(steps_taken: int) -> list[float]:
    model = nn.Linear(1, 1)
    optimizer = build_optimizer(model, learning_rate=1.0, weight_decay=0.1, betas=(0.9, 0.98), eps=1e-6)
    schedule = build_schedule(optimizer, 10, warmup_steps=4, min_lr_rate=0.1, steps_taken=steps_taken)
    rates = []
    for _ in range(10 - steps_taken):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


def test_the_rate_rises_from_the_first_step_and_ends_at_its_minimum() -> None:
    rates = _rates(0)
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)


def test_a_schedule_that_is_resumed_goes_on_as_if_never_stopped() -> None:
    assert _rates(6) == pytest.approx(_rates(0)[6:])
