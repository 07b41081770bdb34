"""The optimisers of a run, each an entry of one mapping by transformers' name, and the learning rate's schedule."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from hf_clipdyn.errors import ConfigError, UnknownNameError, shorten, shown
from hf_clipdyn.fields import as_bool

__all__ = [
    "MuonWithAdamW",
    "build_optimizer",
    "build_schedule",
    "check_optimizer",
    "layer_scales",
    "optimizer_names",
]

_Groups = list[dict[str, Any]]
_Betas = tuple[float, float]

_USES_MUON = "uses_muon"  # a key of each parameter group


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for the weights of linear layers, AdamW for all other parameters; one state, one schedule.

    Embeddings, the patch convolution, norms and biases take AdamW's steps, as Muon's author recommends
    (https://kellerjordan.github.io/posts/muon). Muon's steps are scaled to the size of AdamW's (Liu et al. 2025,
    section 2.2), so that both take the same learning rate.

    Args:
        groups: of parameters; those of Muon have a true ``uses_muon``.
        rate: learning rate of the groups without one of their own.
        betas, eps: AdamW's.
        **muon: arguments of `torch.optim.Muon`.
    """

    def __init__(self, groups: _Groups, rate: float, betas: _Betas, eps: float, **muon: Any) -> None:
        super().__init__(groups, {"lr": rate, "weight_decay": 0.0})
        # Both add their own settings to the groups, which are also this optimiser's.
        self._muon: Any = torch.optim.Muon(
            self._groups(uses_muon=True), lr=rate, **{"adjust_lr_fn": "match_rms_adamw"} | muon
        )
        self._adamw: Any = torch.optim.AdamW(self._groups(uses_muon=False), lr=rate, betas=betas, eps=eps)

    def _groups(self, *, uses_muon: bool) -> _Groups:
        return [group for group in self.param_groups if group[_USES_MUON] is uses_muon]

    def step(self, closure: Any = None) -> Any:
        """A step of both."""
        value = None if closure is None else closure()
        # A restored checkpoint and a sharding wrapper replace states and groups.
        for part, uses_muon in ((self._muon, True), (self._adamw, False)):
            part.state, part.param_groups = self.state, self._groups(uses_muon=uses_muon)
            part.step()
        return value


def _adamw(groups: _Groups, rate: float, betas: _Betas, eps: float, **given: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=eps, **given)


def _fused_adamw(
    groups: _Groups, rate: float, betas: _Betas, eps: float, **given: Any
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=eps, fused=True, **given)


def _sgd(groups: _Groups, rate: float, betas: _Betas, _: float, **given: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=rate, **{"momentum": betas[0]} | given)


def _lion(groups: _Groups, rate: float, betas: _Betas, _: float, **given: Any) -> torch.optim.Optimizer:
    made: torch.optim.Optimizer = import_module("timm.optim").Lion(groups, lr=rate, betas=betas, **given)
    return made


def _switch(text: str) -> bool:
    value = as_bool(text)
    if value is None:
        raise ValueError(text)
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _always() -> bool:
    return True


@dataclass(frozen=True)
class _Optimizer:
    """How an optimiser is made.

    Attributes:
        make: from groups, learning rate, betas, epsilon, and what ``optim_args`` gives.
        arguments: names in ``optim_args``, each with what reads its value.
        can_run: whether what it needs is installed.
    """

    make: Callable[..., torch.optim.Optimizer]
    arguments: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    can_run: Callable[[], bool] = _always


_OPTIMIZERS: dict[str, _Optimizer] = {
    "adamw_torch": _Optimizer(_adamw, {"amsgrad": _switch}),
    "adamw_torch_fused": _Optimizer(_fused_adamw, {"amsgrad": _switch}),
    "lion": _Optimizer(_lion, {"caution": _switch}, lambda: find_spec("timm") is not None),
    "muon": _Optimizer(
        MuonWithAdamW,
        {"momentum": _number, "nesterov": _switch, "ns_steps": int, "adjust_lr_fn": str},
        lambda: hasattr(torch.optim, "Muon"),
    ),
    "sgd": _Optimizer(_sgd, {"momentum": _number, "dampening": _number, "nesterov": _switch}),
}


def optimizer_names() -> list[str]:
    """Names of the optimisers that can run with the installed libraries, sorted."""
    return sorted(name for name, one in _OPTIMIZERS.items() if one.can_run())


def check_optimizer(name: str, optim_args: str | None = None) -> None:
    """Refuse a name that is unknown or needs a library that is missing, and arguments that the optimiser does not take.

    Raises:
        UnknownNameError: no such optimiser can run here; the message names those that can.
        ConfigError: the arguments cannot be read or used.
    """
    if name not in optimizer_names():
        raise UnknownNameError("optimiser", name, optimizer_names())
    arguments = _arguments(name, optim_args)
    parameters = [nn.Parameter(torch.zeros(2, 2)) for _ in range(2)]
    for parameter in parameters:
        parameter.grad = torch.zeros(2, 2)
    groups: _Groups = [{"params": [parameters[one]], _USES_MUON: bool(one)} for one in range(2)]
    try:
        _OPTIMIZERS[name].make(groups, 1.0, (0.9, 0.98), 1e-6, **arguments).step()
    except ValueError as error:
        cause = shorten(str(error), 200).rstrip(".")
        raise ConfigError(f"optim_args is {shown(optim_args)}, which {name} cannot use: {cause}.") from error


def _arguments(name: str, optim_args: str | None) -> dict[str, Any]:
    """The arguments in transformers' format, ``momentum=0.9,nesterov=true``; an unknown one is refused."""
    known = _OPTIMIZERS[name].arguments
    given: dict[str, Any] = {}
    for text in optim_args.replace(" ", "").split(",") if optim_args else ():
        key, _, value = text.partition("=")
        try:
            given[key] = known[key](value)
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"optim_args is {shown(optim_args)}: {name} takes NAME=VALUE of {', '.join(known)}, separated by "
                "commas."
            ) from error
    return given


# The image tower of CLIP and SigLIP in transformers' names.
_EMBEDDING = re.compile(r"(^|\.)vision_model\.(embeddings|pre_layrnorm)\.")
_BLOCK = re.compile(r"(^|\.)vision_model\.encoder\.layers\.(\d+)\.")


def layer_scales(model: nn.Module, layer_decay: float) -> dict[str, float]:
    """Factors on the learning rate of the image tower's parameters, by name; 1 for all other parameters.

    Of L blocks, block k = 1 … L has ``layer_decay`` to the power of L + 1 - k, the embedding L + 1. What follows the
    blocks has 1: the last norm, a pooling head, the projection (Bao et al. 2022, BEiT; timm's ``layer_decay``).

    Raises:
        ConfigError: the image tower has no blocks.
    """
    layers: dict[str, int] = {}
    for name, _ in model.named_parameters():
        if block := _BLOCK.search(name):
            layers[name] = int(block[2]) + 1
        elif _EMBEDDING.search(name):
            layers[name] = 0
    depth = max(layers.values(), default=0)
    if depth == 0:
        raise ConfigError(
            f"layer_decay is {layer_decay}, but the image tower of {type(model).__name__} has no blocks: leave it out."
        )
    return {name: layer_decay ** (depth + 1 - layer) for name, layer in layers.items()}


def build_optimizer(
    model: nn.Module,
    name: str = "adamw_torch",
    *,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
    optim_args: str | None = None,
    layer_decay: float | None = None,
) -> torch.optim.Optimizer:
    """An optimiser of a model's trained parameters.

    Parameters of one dimension or less (biases, norms, temperature, class token) do not decay. The number of dimensions
    identifies them reliably, names do not.

    Args:
        model: frozen parameters are left out.
        name: of the optimiser.
        learning_rate: the peak, which a schedule scales.
        weight_decay: of the parameters of two dimensions or more.
        betas: AdamW's and Lion's; SGD's momentum is the first.
        eps: AdamW's epsilon.
        optim_args: more arguments of the optimiser, as ``momentum=0.9,nesterov=true``.
        layer_decay: see `layer_scales`; None for the same learning rate everywhere.

    Raises:
        UnknownNameError: there is no such optimiser.
        ConfigError: the arguments cannot be read or used, or the image tower has no blocks.
    """
    check_optimizer(name, optim_args)
    scales = {} if layer_decay is None else layer_scales(model, layer_decay)
    linear = set()
    if name == "muon":
        linear = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for place, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (scales.get(place, 1.0), id(parameter) in linear, parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    made: _Groups = []
    # The log has the learning rate of the first group: the one without a scale.
    for scale, is_linear, decays in sorted(groups, reverse=True):
        rate = learning_rate * scale
        made.append(
            {
                "params": groups[scale, is_linear, decays],
                "weight_decay": weight_decay if decays else 0.0,
                "lr": rate,
                "initial_lr": rate,  # as a schedule that starts later than step 0 expects it
            }
        )
        if name == "muon":
            made[-1][_USES_MUON] = is_linear
    return _OPTIMIZERS[name].make(made, learning_rate, betas, eps, **_arguments(name, optim_args))


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
