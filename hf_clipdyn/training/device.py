"""What the machine offers: precision, attention, and the number of processes that was asked for."""

import os
import warnings

import psutil
import torch
from accelerate import Accelerator

from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.errors import ConfigError, TrainingError

__all__ = [
    "CrowdedWarning",
    "attention",
    "check_processes",
    "end_training",
    "has_bf16",
    "make_accelerator",
    "warn_if_crowded",
]


class CrowdedWarning(UserWarning):
    """Other programs take the cores that training's threads count on."""


def _has_accelerator() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def has_bf16() -> bool:
    """Whether the device computes in bfloat16, not merely emulates it."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.backends.mps.is_available():
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def attention(device: torch.device, bf16: bool) -> str:
    """The faster attention: on a CPU in bfloat16 eager is 1.3 times as fast as sdpa, elsewhere sdpa leads."""
    return "eager" if device.type == "cpu" and bf16 else "sdpa"


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """accelerate's view of the machine; on one without an accelerator it uses the CPU, also under torchrun."""
    bf16 = has_bf16() if config.bf16 is None else config.bf16
    trackers = [name.strip() for name in config.report_to.split(",") if name.strip() not in ("", "none")]
    try:
        return Accelerator(
            cpu=not _has_accelerator(),
            mixed_precision="bf16" if bf16 else "no",
            log_with=trackers or None,
            project_dir=config.output_dir,
        )
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"The run cannot be set up with bf16={bf16}, report_to={config.report_to}: {error}. Trackers come with "
            "the extra hf-clipdyn[track]; --bf16 false trains in single precision."
        ) from error


def end_training(accelerator: Accelerator) -> None:
    """Free what accelerate prepared, then part from the other processes; the caller drops its model before.

    A data-parallel wrapper that outlives its process group ends gloo's threads while it holds the
    interpreter's lock, and such a thread may be waiting for that lock to drop its last collective: the
    process then never ends (pytorch/pytorch#56297).
    """
    accelerator.free_memory()
    accelerator.end_training()


def warn_if_crowded(device: torch.device, *, seconds: float = 0.5) -> None:
    """Look whether there is a free core for each thread of a training on the CPU.

    The threads share every small step and wait for one another without sleeping: beside one other program on two
    cores, two were a hundred times slower than one. Their number is not changed here, since it changes the rounding
    and hence the weights.

    Args:
        device: that of the training.
        seconds: how long to look.

    Warns:
        CrowdedWarning: there is not.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        return
    cores = psutil.cpu_count() or threads
    busy = cores * psutil.cpu_percent(seconds) / 100
    free = cores - round(busy)
    if threads > free:
        warnings.warn(
            f"Other programs keep {busy:.1f} of the {cores} cores busy, and training takes {threads} threads, which "
            f"wait for one another: with OMP_NUM_THREADS={max(free, 1)} it may be many times as fast.",
            CrowdedWarning,
            stacklevel=2,
        )


def _requested_processes() -> int | None:
    """``--num_processes`` of the `accelerate launch` that started this process, if that is what did."""
    try:
        words = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        return None
    if "launch" not in words or not any("accelerate" in word for word in words):
        return None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name.replace("-", "_") == "__num_processes":
            value = value or following
            return int(value) if value.isdigit() else None
    return None


def check_processes(config: TrainingConfig, num_processes: int) -> None:
    """Stop a run that asked for more processes than it got.

    ``accelerate launch --cpu --num_processes 2`` starts a single one and says nothing: the run would
    train on another global batch than was asked for.

    Raises:
        TrainingError: the numbers differ.
    """
    wanted = config.num_processes
    if wanted is None and "WORLD_SIZE" not in os.environ:
        wanted = _requested_processes()
    if wanted is not None and wanted != num_processes:
        raise TrainingError(
            f"{wanted} processes were asked for and {num_processes} started. On CPUs use `torchrun "
            f"--nproc_per_node {wanted} scripts/train.py …`, or ACCELERATE_USE_CPU=true with "
            f"`accelerate launch --multi_gpu --num_processes {wanted} …`."
        )
