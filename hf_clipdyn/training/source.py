"""What a run learns from, as the loop sees it: batches by epoch and position.

Every way of reading (`cached`, `decoded`, `streamed`) is a `Source`; which one a run takes is an entry of
`hf_clipdyn.training.inputs.SOURCES`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch

__all__ = ["Batch", "Source"]


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
        images: images of an epoch, those of the incomplete batch included.
        captions: captions of these images; None if they are not counted before they are read.
    """

    global_batch_size: int
    steps_per_epoch: int
    images: int
    captions: int | None

    @abstractmethod
    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch.

        Args:
            epoch: counted from 1.
            first_step: number of its steps that were taken before; costs the same wherever it is.
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
