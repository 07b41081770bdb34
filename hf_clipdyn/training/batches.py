"""Batches of decoded pixels and tokenised captions, the same for any number of processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from hf_clipdyn.data.pixels import Pixels
from hf_clipdyn.errors import TrainingError

__all__ = ["Batch", "CaptionBatches", "Captions"]


@dataclass(frozen=True)
class Captions:
    """All captions of a data set as tokens.

    Attributes:
        tokens: (captions, context) integers, padded with the end token.
        first: (images + 1,) index of each image's first caption.
    """

    tokens: NDArray[np.integer]
    first: NDArray[np.int64]

    @classmethod
    def tokenise(cls, captions: Sequence[Sequence[str]], tokenizer: CLIPTokenizer) -> "Captions":
        """Tokenise the captions of each image; what exceeds the context is cut, the end token kept.

        Raises:
            TrainingError: an image has no caption.
        """
        counts = np.array([len(texts) for texts in captions])
        if (counts == 0).any():
            raise TrainingError(
                f"Image {int(np.argmin(counts))} of the data set has no caption: remove it, or give it one."
            )
        flat = [text for texts in captions for text in texts]
        ids = tokenizer(flat, padding="max_length", truncation=True, return_tensors="np")["input_ids"]
        dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32
        return cls(ids.astype(dtype), np.concatenate([[0], np.cumsum(counts)]))

    @property
    def counts(self) -> NDArray[np.int64]:
        """(images,) number of captions of each image."""
        return np.diff(self.first)


@dataclass(frozen=True)
class Batch:
    """``pixels`` (batch, 3, height, width) uint8 and ``input_ids`` (batch, context) int64 of one process."""

    pixels: torch.Tensor
    input_ids: torch.Tensor


class CaptionBatches:
    """The batches of each epoch.

    The order of the images and the choice of captions depend only on seed and epoch, so that a
    resumed run sees what an uninterrupted one sees. The global batch is split among the processes in the
    order of their ranks; the last, incomplete batch of an epoch is left out, since the contrastive loss
    depends on the batch size. Broken images are skipped.
    """

    def __init__(
        self,
        pixels: Pixels,
        captions: Captions,
        *,
        per_device_batch_size: int,
        seed: int,
        process_index: int = 0,
        num_processes: int = 1,
    ) -> None:
        self._pixels = pixels
        self._captions = captions
        self._whole = np.flatnonzero(~pixels.broken)
        self._seed = seed
        self._process_index = process_index
        self._local_size = per_device_batch_size
        self.global_batch_size = per_device_batch_size * num_processes
        self.steps_per_epoch = len(self._whole) // self.global_batch_size
        if self.steps_per_epoch == 0:
            raise TrainingError(
                f"{len(self._whole)} images are fewer than one batch of {self.global_batch_size}: "
                "lower per_device_train_batch_size, or train on more images."
            )

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The ``steps_per_epoch`` batches of epoch ``epoch`` (counted from 1) for this process."""
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(self._whole)
        counts = self._captions.counts
        chosen = self._captions.first[:-1] + (rng.random(len(counts)) * counts).astype(np.int64)
        for step in range(self.steps_per_epoch):
            start = step * self.global_batch_size + self._process_index * self._local_size
            rows = order[start : start + self._local_size]
            yield Batch(
                pixels=torch.from_numpy(self._pixels.array[rows]).permute(0, 3, 1, 2),
                input_ids=torch.from_numpy(self._captions.tokens[chosen[rows]].astype(np.int64)),
            )
