"""The groups of AdamW and the schedules."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.optimizers import SCHEDULES, build_optimizer, build_schedule


def test_matrices_decay_and_biases_norms_and_scalars_do_not_and_what_is_frozen_is_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(2, 2))
    model.register_parameter("logit_scale", nn.Parameter(torch.tensor(1.0)))
    model[2].requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = build_optimizer(TrainingConfig(learning_rate=0.1, weight_decay=0.5), model)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(trained) == 5
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        kept = 1 - 0.1 * 0.5 if name == "0.weight" else 1
        torch.testing.assert_close(parameter.detach(), before[name] * kept)
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.1, 0.1]


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


def test_the_default_is_transformers_own_cosine_a_step_later() -> None:
    optimizer = build_optimizer(TrainingConfig(learning_rate=1.0), nn.Linear(1, 1))
    theirs = get_cosine_with_min_lr_schedule_with_warmup(optimizer, 4, 10, min_lr_rate=0.1, last_epoch=0)
    rates = []
    for _ in range(10):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert rates == _rates(0)
    assert (rates[0], rates[3], rates[-1]) == pytest.approx((0.25, 1, 0.1))


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_is_resumed_goes_on_as_if_never_stopped(name: str) -> None:
    more: dict[str, Any] = {"lr_scheduler_type": name}
    if name == "warmup_stable_decay":
        more["lr_scheduler_kwargs"] = {"num_decay_steps": 3}
    assert _rates(6, **more) == pytest.approx(_rates(0, **more)[6:])


def test_a_rate_is_stable_until_it_decays() -> None:
    arguments = {"num_decay_steps": 3, "decay_type": "linear"}
    rates = _rates(0, lr_scheduler_type="warmup_stable_decay", lr_scheduler_kwargs=arguments)
    assert rates[3:] == pytest.approx([1, 1, 1, 1, 0.7, 0.4, 0.1])


@pytest.mark.parametrize(
    ("name", "arguments", "names"),
    [
        ("cosin", {}, "'cosine'"),
        ("reduce_lr_on_plateau", {}, "lr_scheduler_type"),
        ("warmup_stable_decay", {}, "num_decay_steps"),
        ("linear", {"powre": 2}, "powre"),
    ],
)
def test_a_schedule_that_cannot_be_made_is_refused(name: str, arguments: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        _rates(0, lr_scheduler_type=name, lr_scheduler_kwargs=arguments)
