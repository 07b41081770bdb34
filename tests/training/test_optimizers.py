"""The groups of AdamW."""

import torch

from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.optimizers import build_optimizer

CONFIG = TrainingConfig(learning_rate=0.1, weight_decay=0.5)


def test_only_parameters_of_two_dimensions_or_more_decay() -> None:
    model = torch.nn.Linear(3, 2)
    before = model.weight.detach().clone(), model.bias.detach().clone()
    optimizer = build_optimizer(CONFIG, model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias.detach(), before[1])
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.1, 0.1]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]


def test_what_is_not_trained_is_left_out() -> None:
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    (group,) = build_optimizer(CONFIG, model).param_groups
    assert group["params"] == [model.weight]
