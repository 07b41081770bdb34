"""The weights of a model that accelerate may have wrapped or sharded, as they are now."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
from torch.nn import Module
from transformers import PreTrainedModel
from transformers.modeling_utils import unwrap_model

from hf_clipdyn.cards import Parent
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.hub import cached_snapshot, is_repo_id
from hf_clipdyn.models.snapshots import read_weights
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, read_manifest


def _inner(model: Any) -> Any:
    bare = unwrap_model(model, recursive=True) if isinstance(model, Module) else model
    return getattr(bare, "_orig_mod", bare)  # of torch.compile


def adapted(model: Any) -> Any | None:
    """The `PeftModel` that a model is or that accelerate has wrapped; None for a model without adapters."""
    bare = _inner(model)
    return bare if hasattr(bare, "peft_config") and hasattr(bare, "get_base_model") else None


def adapter_parameters(model: Any) -> int:
    """The number of parameters that adapters add to a model."""
    adapters = adapted(model)
    names = () if adapters is None else tuple(adapters.peft_config)
    parameters = unwrapped(model).named_parameters()
    return sum(p.numel() for name, p in parameters if any(f".{adapter}." in name for adapter in names))


def parents_of(model: Any) -> tuple[Parent, ...]:
    """The repositories that a model, or the base of its adapters, was loaded from; none for a folder or a new model.

    A folder in a Hub client's cache is a repository at a commit.
    """
    adapters = adapted(model)
    if adapters is None:  # transformers does not keep the revision
        named = [(getattr(unwrapped(model).config, "_name_or_path", ""), None)]
    else:
        configs = adapters.peft_config.values()
        named = [(config.base_model_name_or_path, config.revision) for config in configs]
    repositories = [parent_of(name, revision) for name, revision in named if name]
    return tuple(dict.fromkeys(filter(None, repositories)))


def parent_of(name: str, revision: str | None = None, folder: Path | None = None) -> Parent | None:
    """The repository of a model that was loaded by a name; None for a path of this machine, which helps nobody else.

    Args:
        name: a folder, or `owner/name`.
        revision: of the repository.
        folder: where its files are, if that is not ``name``.
    """
    folder = folder or Path(name).expanduser()
    if cached := cached_snapshot(folder):
        return Parent(cached[0], revision if cached[0] == name else None, cached[1])
    if (folder / MANIFEST_FILE).is_file():
        manifest = read_manifest(folder)
        return None if not manifest.pushed else Parent(str(manifest.repo_id), folder.name)
    return Parent(name, revision) if "/" in name and is_repo_id(name) and not folder.exists() else None


def merged(model: Any) -> PreTrainedModel:
    """A copy of a `PeftModel` whose adapters are merged into its weights; the model itself is not changed.

    Raises:
        ConfigError: it is sharded, or its adapters cannot be merged.
    """
    adapters = adapted(model)
    assert adapters is not None
    if is_sharded(model):
        raise ConfigError("Adapters of a sharded model cannot be merged: use DDP or a single process.")
    if not hasattr(adapters, "merge_and_unload"):  # prompts do not change weights
        kinds = ", ".join(str(config.peft_type.value) for config in adapters.peft_config.values())
        raise ConfigError(f"{kinds} adapters cannot be merged into weights: use LoRA, for example.")
    whole: PreTrainedModel = copy.deepcopy(adapters).merge_and_unload()
    return whole


def unwrapped(model: Any) -> PreTrainedModel:
    """The model of transformers that accelerate or PEFT has wrapped.

    Raises:
        ConfigError: it is another model, or its weights are not here as a whole.
    """
    bare = _inner(model)
    if adapted(model) is not None:
        bare = bare.get_base_model()
    if not isinstance(bare, PreTrainedModel):
        raise ConfigError(
            f"A revision is a PreTrainedModel of transformers, not a {type(bare).__name__}: give "
            "`hf_clipdyn.Publisher` a function that saves whole weights."
        )
    if getattr(bare, "_hf_peft_config_loaded", False):
        raise ConfigError(
            f"The {type(bare).__name__} has adapters from `add_adapter`, and `save_pretrained` would save only these: "
            "use `peft.get_peft_model` in its place, and `merge_adapters=True`."
        )
    if any(hasattr(parameter, "ds_id") for parameter in bare.parameters()):
        raise ConfigError(
            "DeepSpeed's ZeRO-3, which partitions weights, is not supported: use FSDP or ZeRO-2."
        )
    return bare


def is_sharded(model: Any) -> bool:
    return any(isinstance(module, FullyShardedDataParallel | FSDPModule) for module in model.modules())


def gathered(model: Any, *, everywhere: bool = False) -> dict[str, Any]:
    """The whole state dict: on the CPU of the main process, or on the device of each process."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=not everywhere)
    weights: dict[str, Any] = {**get_model_state_dict(model, options=options)}
    if "logit_scale" in weights and hasattr(unwrapped(model).config, "logit_scale_init_value"):
        weights["logit_scale"] = weights["logit_scale"].reshape(())  # FSDP shards it as a vector only
    return weights


def whole_model(model: Any) -> PreTrainedModel:
    """The model itself, or a copy of a sharded one."""
    bare = unwrapped(model)
    if not is_sharded(model):
        return bare
    plain: Any = next(base for base in type(bare).__mro__ if not issubclass(base, FSDPModule))
    whole: PreTrainedModel = plain(bare.config).to(bare.device)
    whole.load_state_dict(gathered(model, everywhere=True))
    return whole


def differing_tensors(folder: Path, other: Path) -> list[str]:
    """Names of the tensors that differ between two saved models, or that only one of them has, sorted.

    Shapes are not compared: under FSDP a scalar is saved as a vector of one number.
    """
    mine, theirs = read_weights(folder), read_weights(other)
    common = mine.keys() & theirs.keys()
    differ = {name for name in common if not torch.equal(mine[name].reshape(-1), theirs[name].reshape(-1))}
    return sorted(mine.keys() ^ theirs.keys() | differ)
