"""Optimisers by name."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_runs import finished, hashes, log

from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.models.sizes import ModelSize, Tower, clip_config, siglip_config
from hf_clipdyn.models.tokenizers import stand_in_tokenizer
from hf_clipdyn.training.loop import Callback, Training
from hf_clipdyn.training.optimizers import build_optimizer, check_optimizer, layer_scales, optimizer_names

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch 2.9 brought Muon")
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
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]


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


def test_an_optimiser_whose_library_is_missing_is_not_among_the_known_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    monkeypatch.setattr("hf_clipdyn.training.optimizers.find_spec", lambda _: None)
    with pytest.raises(UnknownNameError, match=r"Known: adamw_torch, adamw_torch_fused, sgd\.$"):
        check_optimizer("muon")


@pytest.mark.parametrize(
    ("name", "optim_args", "said"),
    [
        ("sgd", "momentum", "sgd takes NAME=VALUE of momentum, dampening, nesterov"),
        ("sgd", "momentum=much", "sgd takes NAME=VALUE"),
        ("sgd", "nesterov=maybe", "sgd takes NAME=VALUE"),
        ("sgd", "weight_decay=0.1", "sgd takes NAME=VALUE"),
        ("sgd", "momentum=nan", "sgd takes NAME=VALUE"),
        ("sgd", "momentum=-1", "Invalid momentum value: -1.0"),
        ("sgd", "momentum=0,nesterov=true", "Nesterov momentum requires"),
        ("adamw_torch", "momentum=0.9", "adamw_torch takes NAME=VALUE of amsgrad"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(name: str, optim_args: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^optim_args is '{optim_args}'.*{said}"):
        check_optimizer(name, optim_args)


@needs_muon
@pytest.mark.parametrize("optim_args", ["adjust_lr_fn=mine", "ns_steps=100", "momentum=-0.5"])
def test_arguments_that_muon_refuses_only_in_a_step_are_refused_before(optim_args: str) -> None:
    with pytest.raises(ConfigError, match=f"^optim_args is '{optim_args}', which muon cannot use: "):
        check_optimizer("muon", optim_args)


def test_arguments_are_read_in_the_format_of_transformers() -> None:
    optimizer = build_optimizer(nn.Linear(3, 2), "sgd", optim_args="momentum=0.5, nesterov=true", **SETTINGS)
    assert all(group["momentum"] == 0.5 and group["nesterov"] is True for group in optimizer.param_groups)


class Net(nn.Module):
    """Linear layers, and each kind of parameter that is none."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.tokens = nn.Conv2d(3, 4, 2, bias=False), nn.Embedding(5, 4)
        self.first, self.norm, self.second = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2, bias=False)

    def backward(self) -> None:
        images = self.patches(torch.linspace(0, 1, 48).reshape(4, 3, 2, 2)).flatten(1)
        hidden = self.norm(self.first(images + self.tokens(torch.arange(4))))
        self.second(hidden).square().sum().backward()


@needs_muon
def test_muon_steps_linear_layers_and_adamw_the_rest_before_and_after_a_checkpoint() -> None:
    nets = [Net() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    ours = build_optimizer(nets[0], "muon", **SETTINGS)
    adamw = {"betas": (0.9, 0.98), "eps": 1e-6, "lr": 0.1}
    vectors = [*nets[1].norm.parameters(), nets[1].first.bias]
    peers = [
        torch.optim.Muon(
            [nets[1].first.weight, nets[1].second.weight],
            lr=0.1,
            weight_decay=0.5,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW([nets[1].patches.weight, nets[1].tokens.weight], weight_decay=0.5, **adamw),
        torch.optim.AdamW(vectors, weight_decay=0.0, **adamw),
    ]
    for step in range(4):
        if step == 2:
            state = copy.deepcopy(ours.state_dict())
            ours = build_optimizer(nets[0], "muon", **SETTINGS)
            ours.load_state_dict(state)
        for net, optimizers in zip(nets, ([ours], peers), strict=True):
            net.zero_grad()
            net.backward()
            for optimizer in optimizers:
                optimizer.step()
    for (name, parameter), expected in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(parameter, expected), name


SIZE = ModelSize(16, 8, Tower(16, 3, 2), Tower(16, 2, 2), 8, context_length=8, vocab_size=600)


@pytest.mark.parametrize("make", [clip_config, siglip_config])
def test_the_layers_of_the_image_tower_are_scaled_as_timm_scales_them(make: Callable[..., Any]) -> None:
    timm = pytest.importorskip("timm")
    from timm.optim import param_groups_layer_decay
    from transformers import AutoModel

    model = AutoModel.from_config(make(SIZE, stand_in_tokenizer(vocab_size=600, context_length=8)))
    scales = layer_scales(model, 0.5)
    vit = timm.create_model(
        "vit_tiny_patch16_224", depth=3, embed_dim=16, num_heads=2, img_size=16, num_classes=3
    )
    peers = {
        id(parameter): group["lr_scale"]
        for group in param_groups_layer_decay(vit, layer_decay=0.5)
        for parameter in group["params"]
    }
    for k in range(3):
        expected = {peers[id(p)] for p in vit.blocks[k].parameters()}
        found = {scale for name, scale in scales.items() if f"vision_model.encoder.layers.{k}." in name}
        assert found == expected == {0.5 ** (3 - k)}
    stem = {scale for name, scale in scales.items() if ".embeddings." in name or "pre_layrnorm" in name}
    assert stem == {peers[id(vit.patch_embed.proj.weight)]} == {0.5**4}
    assert peers[id(vit.head.weight)] == 1
    assert not any(
        "post_layernorm" in name or "text_model" in name or "projection" in name for name in scales
    )


def test_layer_decay_scales_the_learning_rate_of_groups_and_names_the_full_one_first() -> None:
    from transformers import AutoModel

    model = AutoModel.from_config(clip_config(SIZE, stand_in_tokenizer(vocab_size=600, context_length=8)))
    optimizer = build_optimizer(model, layer_decay=0.5, **SETTINGS)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == [0.1, 0.1, *(0.1 * 0.5**k for k in (1, 1, 2, 2, 3, 3, 4, 4))]
    assert [group["initial_lr"] for group in optimizer.param_groups] == rates
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_a_model_without_blocks_has_no_layer_decay() -> None:
    with pytest.raises(ConfigError, match="the image tower of Linear has no blocks"):
        build_optimizer(nn.Linear(3, 2), layer_decay=0.5, **SETTINGS)


class _StopAt(Callback):
    def __init__(self, step: int) -> None:
        self._step = step

    def step_ends(self, training: Training) -> None:
        if training.step == self._step:
            training.stop()


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"optim": "muon", "layer_decay": 0.7}, marks=needs_muon),
        pytest.param({"optim": "lion", "optim_args": "caution=true"}, marks=pytest.mark.slow),
        pytest.param({"optim": "sgd", "optim_args": "nesterov=true"}, marks=pytest.mark.slow),
        pytest.param({"optim": "adamw_torch_fused", "optim_args": "amsgrad=true"}, marks=pytest.mark.slow),
    ],
    ids=lambda settings: settings["optim"],
)
def test_a_run_continues_to_the_same_bits_with_each_optimiser(
    settings: dict[str, object], flags: Callable[..., list[str]], tmp_path: Path
) -> None:
    if settings["optim"] == "lion":
        pytest.importorskip("timm")
    changes = settings | {"num_train_epochs": 2, "scale": "micro", "learning_rate": 3e-4}
    finished(flags("whole", **changes))
    finished(flags("stopped", **changes), _StopAt(3))
    finished(flags("stopped", resume_from_checkpoint="true", **changes))
    assert log(tmp_path / "stopped") == log(tmp_path / "whole")
    assert hashes(tmp_path / "stopped" / "hub") == hashes(tmp_path / "whole" / "hub")
