"""Training data as the loop sees them: batches by epoch and position, and the processes that read them.

Every way of reading (`cached`, `decoded`, `streamed`) is a `Source`; which one a run takes is an entry of
`hf_clipdyn.training.inputs.SOURCES`.
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from hf_clipdyn.machine import usable_cores
from hf_clipdyn.training.device import processes_here

_MOST_WORKERS = 8


@dataclass(frozen=True)
class Batch:
    """``pixels`` (batch, 3, height, width) uint8 and ``input_ids`` (batch, context) int64 of one process."""

    pixels: torch.Tensor
    input_ids: torch.Tensor


class Source(ABC):
    """Batches for one process, in an order that follows from seed and epoch alone.

    Attributes:
        global_batch_size: images of one step over all processes.
        steps_per_epoch: steps of an epoch; an incomplete last batch is left out, since the loss depends on its size.
        images: images of an epoch, including an incomplete last batch.
        captions: captions of these images; None if they are only known after reading.
        known_broken: rows that are known to be broken before anything is read.
        broken: rows that this process has found broken in the batches that it has given so far.
    """

    global_batch_size: int
    steps_per_epoch: int
    images: int
    captions: int | None
    known_broken: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()

    @abstractmethod
    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch.

        Args:
            epoch: counted from 1.
            first_step: steps of the epoch to skip; the cost does not depend on it.
        """

    @property
    @abstractmethod
    def skipped(self) -> int:
        """Samples that could not be decoded, so far."""

    @property
    def left_out(self) -> int:
        """Images of an epoch that do not fill a batch."""
        return self.images - self.steps_per_epoch * self.global_batch_size

    def close(self) -> None:  # noqa: B027  (a source without workers has nothing to stop)
        """Stop the workers."""


@dataclass(frozen=True)
class Workers:
    """The processes that read for one process of the training; nothing of it changes the data.

    Attributes:
        count: of these processes; 0 reads in the training process itself.
        prefetch_factor: batches that each of them reads in advance.
        pin_memory: whether batches go to page-locked memory, from which a GPU copies without waiting.
    """

    count: int = 0
    prefetch_factor: int = 2
    pin_memory: bool = False

    def arguments(self, most: int | None = None) -> dict[str, Any]:
        """The arguments of a DataLoader that takes at most ``most`` of them; None: all."""
        count = self.count if most is None else min(self.count, most)
        return {
            "num_workers": count,
            "prefetch_factor": self.prefetch_factor if count else None,
            "pin_memory": self.pin_memory,
            "worker_init_fn": _ignore_interrupts,
        }


def _ignore_interrupts(_: int) -> None:
    """Go on when the terminal sends Ctrl-C to all processes: the training process decides when its workers stop.

    Without this, a run that is stopping would wait forever for its last batch.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def spare_cores(device: torch.device, num_threads: int) -> int:
    """The cores of each process that may read images: at least one beside an accelerator, at most 8.

    Args:
        device: where the training computes.
        num_threads: those of torch in each process, which need a core each on a CPU.
    """
    own = usable_cores() // processes_here()
    on_cpu = device.type == "cpu"
    return min(_MOST_WORKERS, max(0 if on_cpu else 1, own - (num_threads if on_cpu else 1)))
