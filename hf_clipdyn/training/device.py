"""What the machine offers: precision, attention, threads, trackers, and the number of processes."""

import ctypes
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from accelerate.utils import DistributedType, TorchDynamoPlugin, broadcast_object_list, is_torch_version

from hf_clipdyn.errors import ConfigError, TrainingError, check_known, naming
from hf_clipdyn.hub import public_name
from hf_clipdyn.machine import keep_freed_blocks, usable_cores
from hf_clipdyn.plugins import CALLBACKS, plugins, subclasses_in
from hf_clipdyn.training.config import TrainingConfig

_M_TRIM_THRESHOLD = -1  # of malloc.h
_MOST_WORKERS = 8
_COMPILER = "inductor"  # torch.compile's own choice
_ON_ONE_THREAD = ("micro", "tiny")


class CrowdedWarning(UserWarning):
    """Other programs use the cores that training's threads need."""


def has_bf16() -> bool:
    """Whether the device computes in bfloat16, not merely emulates it."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.backends.mps.is_available():
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def attention(device: torch.device, bf16: bool) -> str:
    """The faster attention: eager on a CPU in bfloat16, where it is 1.3 times as fast as sdpa; elsewhere sdpa."""
    return "eager" if device.type == "cpu" and bf16 else "sdpa"


def make_accelerator(config: TrainingConfig, folder: Path) -> Accelerator:
    """accelerate's view of the machine; without a GPU it uses the CPU, also under torchrun.

    Args:
        config: of the run.
        folder: its folder, where trackers that write files write them.

    Raises:
        ConfigError: a tracker is unknown or not installed, or the machine lacks that precision, or torch cannot compile
            the model.
        TrainingError: several processes were requested, and one was started.
    """
    # torch 2.6 compiles transformers' ModelOutput into code that needs a name `torch` in the module that calls it.
    if config.torch_compile and is_torch_version("<", "2.7"):
        raise ConfigError(
            f"torch_compile was requested, but torch {torch.__version__} cannot compile the models of transformers 5: "
            "install torch 2.7 or newer, or leave torch_compile out."
        )
    bf16 = has_bf16() if config.bf16 is None else config.bf16
    trackers = _trackers(config.report_to)
    with naming(f"The run cannot be set up with bf16 {str(bf16).lower()}", ConfigError):
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),
            mixed_precision="bf16" if bf16 else "no",
            log_with=trackers or None,
            project_dir=str(folder),
        )
    # accelerate keeps its state for the next run in the same process.
    accelerator.state.dynamo_plugin = TorchDynamoPlugin(
        **({"backend": _COMPILER} if config.torch_compile else {})
    )
    # `training.gradients` accumulates; with a launcher's number, accelerate would divide the loss again.
    accelerator.gradient_accumulation_steps = 1
    _check_processes(accelerator)
    if accelerator.device.type == "cpu":
        # glibc keeps all freed memory for the next step. Otherwise a step of `small` with 128 images returns 120 MB to
        # the system and gets them again as new pages, which takes 4 to 6 % of its time. The peak stays the same.
        keep_freed_blocks()
        with suppress(AttributeError, OSError, TypeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    return accelerator


def _check_processes(accelerator: Accelerator) -> None:
    """Refuse what a launcher was asked for and accelerate silently did not do.

    ``accelerate launch --cpu --num_processes 2`` starts one process; WORLD_SIZE is set only if there are several.
    """
    is_alone = accelerator.num_processes == 1
    launched = {"ACCELERATE_MIXED_PRECISION", "MASTER_PORT"} <= set(os.environ)
    if is_alone and launched and "WORLD_SIZE" not in os.environ:
        raise TrainingError(
            "Several processes were requested and 1 started. On CPUs use `torchrun --nproc_per_node 2 "
            "scripts/train.py …`, or set ACCELERATE_USE_CPU=true and add --multi_gpu to `accelerate launch`."
        )
    shards = accelerator.distributed_type == DistributedType.FSDP and accelerator.is_fsdp2
    if not (is_alone or shards) and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        raise ConfigError(
            f"FSDP was requested on {accelerator.device.type}, where accelerate does not shard, or in its version 1: "
            "set fsdp_version: 2 in accelerate's configuration, or leave FSDP out. Each process then stores the whole "
            "model."
        )


def _trackers(report_to: str) -> list[str | GeneralTracker]:
    """The trackers of ``report_to``: names that accelerate knows, and objects of plug-ins' own classes.

    accelerate would silently ignore one that is not installed.
    """
    from_plugins = {str(kind.name): kind for kind in subclasses_in(plugins(CALLBACKS), GeneralTracker)}
    available = [*map(str, get_available_trackers()), *from_plugins]
    names = [name for name in map(str.strip, report_to.split(",")) if name not in ("", "none")]
    check_known("tracker", names, [*LOGGER_TYPE_TO_CLASS, *from_plugins, "all"])
    for name in names:
        if name not in available and not (name == "all" and available):
            raise ConfigError(
                f"report_to is {name}, which is not installed: trackio and tensorboard come with `pip install "
                "hf-clipdyn[track]`, wandb with `pip install wandb`; or leave report_to out."
            )
    return [from_plugins[name]() if name in from_plugins else name for name in names]


def end_training(accelerator: Accelerator) -> None:
    """Free what accelerate prepared, then leave the process group; the caller must have dropped its model.

    A data-parallel wrapper that outlives its process group ends gloo's threads while it holds the interpreter's lock.
    If such a thread is waiting for that lock, the process never ends (pytorch/pytorch#56297).
    """
    accelerator.free_memory()
    accelerator.end_training()


@contextmanager
def threads(config: TrainingConfig, accelerator: Accelerator) -> Iterator[int]:
    """Compute with the configuration's number of threads within the block; yields it.

    The threads wait for one another without sleeping: with one other program on two cores, two threads were a hundred
    times slower than one. By default `tiny` takes one thread (a second makes it at most a fifth faster), and so does
    `micro`, which is smaller. A larger model takes the cores that are free at its start. A different thread
    count changes rounding, and so the weights: a resumed run keeps its number.

    Warns:
        CrowdedWarning: training on a CPU has fewer free cores than threads.
    """
    usable = torch.get_num_threads()
    wanted = config.num_threads or (1 if config.size_name in _ON_ONE_THREAD else None)
    if usable > 1 and wanted != 1:
        usable = min(usable, max(1, free_cores() // processes_here()))
    (count,) = broadcast_object_list([wanted or usable])
    if accelerator.device.type == "cpu" and count > usable:
        warnings.warn(
            f"Training takes {count} threads, but this process has {usable} free core{'s' * (usable > 1)}: the threads "
            f"wait for one another. A run started with num_threads {usable} may be many times as fast.",
            CrowdedWarning,
            stacklevel=3,
        )
    with torch_threads(count):
        yield count


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of threads that torch uses on the CPU, within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def free_cores(seconds: float = 0.5) -> int:
    """The usable cores that no other program keeps busy, at least 1.

    Args:
        seconds: how long to look.
    """
    cores = psutil.cpu_count() or 1
    return max(1, min(usable_cores(), cores - round(cores * psutil.cpu_percent(seconds) / 100)))


def processes_here() -> int:
    """The processes that a launcher started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def spare_cores(device: torch.device, num_threads: int) -> int:
    """The cores of each process that may read images: at least one beside an accelerator, at most 8.

    Args:
        device: where the training computes.
        num_threads: those of torch in each process, which need a core each on a CPU.
    """
    mine = usable_cores() // processes_here()
    on_cpu = device.type == "cpu"
    return min(_MOST_WORKERS, max(0 if on_cpu else 1, mine - (num_threads if on_cpu else 1)))


def start_trackers(config: TrainingConfig, accelerator: Accelerator) -> None:
    """Give the trackers the settings of the run, without paths of this machine.

    Raises:
        TrainingError: one cannot be started.
    """
    settings = {name: value for name, value in config.recipe().items() if value is not None}
    names = settings.keys() & {"dataset_name", "model_name_or_path"}
    settings |= {name: public_name(settings[name]) for name in names}
    with naming(f"The tracker {config.report_to} cannot be started", TrainingError):
        accelerator.init_trackers("hf_clipdyn", settings)
