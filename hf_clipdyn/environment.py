"""What a bug report should say about the machine: versions, device, caches, platform; nothing secret."""

import os
import platform
import re
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.parse import urlsplit

import psutil

_OPTIONAL = ("open_clip_torch", "timm", "peft", "gradio", "trackio", "tensorboard", "wandb")
_GIB = 2**30


def environment() -> dict[str, str]:
    """Name to value, in the order in which they are printed.

    A token is not shown, only whether there is one; of the Hub's address only the host is shown.
    """
    import datasets
    import torch
    from huggingface_hub import constants, get_token

    from hf_clipdyn.machine import usable_cores
    from hf_clipdyn.training.device import has_bf16

    memory = psutil.virtual_memory()
    needed = [
        re.split("[^A-Za-z0-9_-]", line)[0] for line in requires("hf-clipdyn") or () if "extra" not in line
    ]
    return {
        **{name: _version(name) for name in ("hf-clipdyn", *needed, *_OPTIONAL)},
        "Python": platform.python_version(),
        "platform": platform.platform(),
        "device": _device(),
        "bfloat16": "yes" if has_bf16() else "no",
        "CUDA of torch": torch.version.cuda or "none",
        "cores": f"{usable_cores()} of {os.cpu_count()}",
        "threads of torch": str(torch.get_num_threads()),
        "memory": f"{memory.total / _GIB:.1f} GiB, {memory.available / _GIB:.1f} GiB free",
        "cache of models": _folder(constants.HF_HUB_CACHE),
        "cache of data sets": _folder(datasets.config.HF_DATASETS_CACHE),
        "CLIPDYN_DATA": _folder(os.environ["CLIPDYN_DATA"]) if "CLIPDYN_DATA" in os.environ else "not set",
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


def _folder(path: str | Path) -> str:
    """The path and the free space there."""
    folder = Path(path).expanduser().absolute()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    absent = "" if folder.is_dir() else ", not there yet"
    return f"{folder}{absent} ({shutil.disk_usage(there).free / _GIB:.1f} GiB free)"
