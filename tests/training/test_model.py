"""The optimiser's groups and the schedule."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.optimizers import SCHEDULES, build_optimizer, build_schedule


def test_biases_norms_and_scalars_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    model.register_parameter("logit_scale", nn.Parameter(torch.tensor(1.0)))
    optimizer = build_optimizer(TrainingConfig(weight_decay=0.2), model)
    decayed, plain = optimizer.param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.2, 0.0)
    assert len(plain["params"]) == 4


def _rates(steps_taken: int, **more: Any) -> list[float]:
    config = TrainingConfig(learning_rate=1.0, warmup_steps=4, min_lr_rate=0.1, **more)
    optimizer = build_optimizer(config, nn.Linear(1, 1))
    schedule = build_schedule(config, optimizer, 10, steps_taken)
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


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_is_resumed_goes_on_as_if_never_stopped(name: str) -> None:
    more: dict[str, Any] = {"lr_scheduler_type": name}
    if name == "warmup_stable_decay":
        more["lr_scheduler_kwargs"] = {"num_decay_steps": 3}
    assert _rates(6, **more) == pytest.approx(_rates(0, **more)[6:])


def test_a_rate_is_stable_until_it_decays() -> None:
    rates = _rates(
        0,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": 3, "decay_type": "linear"},
    )
    assert rates[3:] == pytest.approx([1, 1, 1, 1, 0.7, 0.4, 0.1])


def test_the_default_is_transformers_own_cosine_a_step_later() -> None:
    optimizer = build_optimizer(TrainingConfig(learning_rate=1.0), nn.Linear(1, 1))
    theirs = get_cosine_with_min_lr_schedule_with_warmup(optimizer, 4, 10, min_lr_rate=0.1, last_epoch=0)
    rates = []
    for _ in range(10):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert rates == _rates(0)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cosin", {}, "Did you mean 'cosine'"),
        ("reduce_lr_on_plateau", {}, "no lr_scheduler_type"),
        ("warmup_stable_decay", {}, "lr_scheduler_kwargs does not fit .*num_decay_steps"),
        ("linear", {"powre": 2}, "lr_scheduler_kwargs does not fit lr_scheduler_type linear: .*powre"),
    ],
)
def test_a_schedule_that_cannot_be_made_is_refused(
    name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _rates(0, lr_scheduler_type=name, lr_scheduler_kwargs=arguments)
