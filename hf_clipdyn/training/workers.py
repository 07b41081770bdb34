"""The processes that read images beside the training."""

import signal

import torch

from hf_clipdyn.training.device import processes_here, usable_cores

__all__ = ["ignore_interrupts", "spare_cores"]

_MOST = 8


def ignore_interrupts(worker: int) -> None:
    """Go on when the terminal sends Ctrl-C to all: the training process decides when its workers stop.

    Without it the batch that a training waits for while it leaves in good order would never come.
    """
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def spare_cores(device: torch.device, num_threads: int) -> int:
    """The cores of each process that may read images; at least one beside an accelerator, at most 8.

    Args:
        device: where the training computes.
        num_threads: those of torch in each process, which need a core of their own on a CPU.
    """
    own = usable_cores() // processes_here()
    on_cpu = device.type == "cpu"
    return min(_MOST, max(0 if on_cpu else 1, own - (num_threads if on_cpu else 1)))
