"""What a bug report should say about the machine: versions, device, caches, platform; nothing secret."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import psutil

_PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "accelerate",
    "datasets",
    "evaluate",
    "huggingface_hub",
    "safetensors",
    "tokenizers",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "pillow",
    "scikit-image",
    "scikit-learn",
    "matplotlib",
    "open_clip_torch",
    "trackio",
    "tensorboard",
    "wandb",
)
_GIB = 2**30


def environment() -> dict[str, str]:
    """Name to value, in the order in which they are printed.

    A token is not shown, only whether there is one; of the Hub's address only the host is shown.
    """
    import torch
    from huggingface_hub import constants, get_token

    from hf_clipdyn.machine import usable_cores
    from hf_clipdyn.training.device import has_bf16

    memory = psutil.virtual_memory()
    return {
        "hf-clipdyn": _version("hf-clipdyn"),
        "platform": platform.platform(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "device": _device(),
        "bfloat16": "yes" if has_bf16() else "no",
        "CUDA of torch": torch.version.cuda or "none",
        "cores": f"{usable_cores()} of {os.cpu_count()}",
        "threads of torch": str(torch.get_num_threads()),
        "memory": f"{memory.total / _GIB:.1f} GiB, {memory.available / _GIB:.1f} GiB free",
        "cache of models": _folder(constants.HF_HUB_CACHE),
        "cache of data sets": _folder(
            os.environ.get("HF_DATASETS_CACHE") or str(Path(constants.HF_HOME) / "datasets")
        ),
        "CLIPDYN_DATA": _folder(data) if (data := os.environ.get("CLIPDYN_DATA")) else "not set",
        "Hub": urlsplit(constants.ENDPOINT).hostname or "not an address",
        "offline": "yes" if constants.HF_HUB_OFFLINE else "no",
        "token of the Hub": "there is one" if get_token() else "none",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        devices = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        return ", ".join(f"{device.name} ({device.total_memory / _GIB:.0f} GiB)" for device in devices)
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _folder(path: str) -> str:
    """The path and the free space there."""
    given = Path(path).expanduser()
    there = next((folder for folder in (given, *given.absolute().parents) if folder.is_dir()), None)
    free = "" if there is None else f" ({shutil.disk_usage(there).free / _GIB:.1f} GiB free)"
    return f"{given}{'' if given.is_dir() else ', not there yet'}{free}"
