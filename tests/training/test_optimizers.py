"""Optimisers by name."""

from typing import Any

import pytest
import torch

from hf_clipdyn.errors import UnknownNameError
from hf_clipdyn.training.optimizers import build_optimizer, optimizer_names

SETTINGS: dict[str, Any] = {"learning_rate": 0.1, "weight_decay": 0.5, "betas": (0.9, 0.98), "eps": 1e-6}


@pytest.mark.parametrize("name", optimizer_names())
def test_each_optimiser_decays_only_parameters_of_two_dimensions_or_more(name: str) -> None:
    model = torch.nn.Linear(3, 2)
    before = model.weight.detach().clone(), model.bias.detach().clone()
    optimizer = build_optimizer(model, name, **SETTINGS)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias.detach(), before[1])
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.1, 0.1]


def test_the_fused_optimiser_takes_the_steps_of_the_plain_one() -> None:
    models = [torch.nn.Linear(3, 2) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    for model, name in zip(models, ("adamw_torch", "adamw_torch_fused"), strict=True):
        optimizer = build_optimizer(model, name, **SETTINGS)
        for _ in range(3):
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(models[0].weight, models[1].weight)


def test_what_is_not_trained_is_left_out() -> None:
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    (group,) = build_optimizer(model, "sgd", **SETTINGS).param_groups
    assert group["params"] == [model.weight]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="adamw_torch_fused"):
        build_optimizer(torch.nn.Linear(3, 2), "adamw", **SETTINGS)
