"""The processes of a launch, and the device of each."""

import os
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from hf_clipdyn.errors import ConfigError, EvaluationError


def join_processes(device: str | None) -> PartialState:
    """The processes of this launch. Without a device, accelerate uses CPUs for one process only.

    Raises:
        ConfigError: ``auto`` with several processes, or torch cannot compute on the device.
        EvaluationError: the launcher started processes that do not know of each other.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    on_cpu = device == "cpu" or (device in (None, "auto") and not torch.cuda.is_available())
    # accelerate keeps the choice until the process ends, so for one process it is left open for later calls.
    state = PartialState(cpu=on_cpu and launched > 1)
    if device == "auto" and launched > 1:
        raise ConfigError("--device auto splits one model over all devices: start it in one process.")
    if state.num_processes != launched:
        raise EvaluationError(
            f"{launched} processes were launched, but each of them runs alone ({state.num_processes}): "
            "start them with torchrun. On CPUs, use `accelerate launch --multi_gpu` and "
            "ACCELERATE_USE_CPU=true."
        )
    check_device(device)
    return state


def check_device(device: str | None) -> None:
    """Raise ConfigError for a device on which torch cannot compute here, before data are decoded."""
    if device in (None, "auto"):
        return
    try:
        torch.ones(1, device=device).item()  # a tensor on `meta` can be made, and holds nothing
    except (RuntimeError, AssertionError, ImportError) as error:  # torch built without CUDA asserts
        raise ConfigError(
            f"device is {device!r}, on which torch cannot compute here ({str(error).partition(chr(10))[0]}): "
            "choose another device, for example cpu, or leave the option out."
        ) from error


def from_main_process(value: Any) -> Any:
    """The main process's value, in every process."""
    if PartialState().num_processes == 1:
        return value
    box = [value]
    broadcast_object_list(box)
    return box[0]
