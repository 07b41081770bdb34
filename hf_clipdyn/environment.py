"""What a bug report should say about the machine: versions, device, caches, platform; nothing secret."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from urllib.parse import urlsplit

import psutil

_OPTIONAL = ("open_clip_torch", "timm", "peft", "gradio", "trackio", "tensorboard", "wandb")


def environment() -> dict[str, str]:
    """Name to value, in the order in which they are printed.

    A token is not shown, only whether there is one; of the Hub's address only the host is shown.
    """
    import datasets
    import torch
    from huggingface_hub import constants, get_token

    from hf_clipdyn.machine import usable_cores
    from hf_clipdyn.training.device import has_bf16

    needed = [
        re.split("[^A-Za-z0-9_-]", line)[0] for line in requires("hf-clipdyn") or () if "extra" not in line
    ]
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    memory = psutil.virtual_memory()
    return {
        **{name: _version(name) for name in ("hf-clipdyn", *needed, *_OPTIONAL)},
        "Python": platform.python_version(),
        "platform": platform.platform(),
        "device": ", ".join(gpus) or ("mps" if torch.backends.mps.is_available() else "cpu"),
        "bfloat16": "yes" if has_bf16() else "no",
        "cores": f"{usable_cores()} of {os.cpu_count()}",
        "threads of torch": str(torch.get_num_threads()),
        "memory": f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free",
        "cache of models": constants.HF_HUB_CACHE,
        "cache of data sets": str(datasets.config.HF_DATASETS_CACHE),
        "CLIPDYN_DATA": os.environ.get("CLIPDYN_DATA", "not set"),
        "Hub": urlsplit(constants.ENDPOINT).hostname or "not an address",
        "offline": "yes" if constants.HF_HUB_OFFLINE else "no",
        "token of the Hub": "there is one" if get_token() else "none",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
