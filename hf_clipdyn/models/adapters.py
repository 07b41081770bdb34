"""Adapters of PEFT beside the weights of their base model: what they name, and how they are merged."""

from pathlib import Path
from typing import Any

from hf_clipdyn.errors import ModelError, shorten, shown
from hf_clipdyn.schema import read_any_json

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."  # of PEFT's names
_CODE = "megatron_config"  # by which PEFT imports a module that the file names


def has_adapter(folder: Path) -> bool:
    """Whether the folder has adapters."""
    return (folder / ADAPTER_CONFIG).is_file()


def adapter_base(folder: Path, *, pinned: bool = True) -> tuple[str, str]:
    """Name and commit of the model that adapters were trained on; unless ``pinned``, `main` if they name no commit.

    Raises:
        ModelError: the adapters do not name them.
    """
    path = folder / ADAPTER_CONFIG
    content = read_any_json(path, error=ModelError)
    named = (
        [content.get(key) for key in ("base_model_name_or_path", "revision")]
        if isinstance(content, dict)
        else []
    )
    if named and not pinned:
        named[1] = named[1] or "main"
    if not named or not all(isinstance(one, str) and one for one in named):
        raise ModelError(
            f"{path} names no base model with its revision (given {shown(named)}): merge the adapters into the model, "
            "and publish that."
        )
    name, commit = named
    return str(name), str(commit)


def saved_whole(folder: Path) -> set[str]:
    """Names of the model's tensors that the adapters contain as a whole, such as those of a new head."""
    from safetensors import safe_open

    if not has_adapter(folder):
        return set()
    with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
        return {name.removeprefix(_PREFIX) for name in file.keys()}  # noqa: SIM118 (not a dictionary)


def merge_adapter(model: Any, folder: Path) -> Any:
    """The model with the folder's adapters merged into its weights.

    Raises:
        ModelError: PEFT is not installed, or the adapters name code.
    """
    content = read_any_json(folder / ADAPTER_CONFIG, error=ModelError)
    if not isinstance(content, dict) or content.get(_CODE):
        raise ModelError(
            f"{folder / ADAPTER_CONFIG} has {_CODE}, and code that a file names is never run: leave it out."
        )
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError(
            "The revision consists of adapters, which need PEFT to be read: `pip install peft`."
        ) from error
    try:
        return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except Exception as error:  # hostile files may raise anything
        words = shorten(" ".join(str(error).split()), 400)
        raise ModelError(f"The adapters in {folder} do not fit their base model: {words}") from error
