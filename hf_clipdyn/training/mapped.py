"""Training on a data set that is read by row: the order of an epoch, and the DataLoader that reads it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import CLIPTokenizer

from hf_clipdyn.data.captioned import MAX_CAPTION, has_overlong
from hf_clipdyn.errors import TrainingError
from hf_clipdyn.training.device import torch_threads
from hf_clipdyn.training.images import Images, check_broken, random_numbers
from hf_clipdyn.training.source import Batch, Source, Workers

_AT_ONCE = 2**14  # the tokenizer keeps a few kilobytes a caption while it works


@dataclass(frozen=True)
class Captions:
    """All captions of a data set as tokens.

    Attributes:
        tokens: (captions, context) integers, padded with the end token.
        first: (images + 1,) index of each image's first caption.
        broken: rows of the images with an overlong caption, which is tokenised as an empty one.
    """

    tokens: NDArray[np.integer]
    first: NDArray[np.int64]
    broken: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

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
        flat = [text if len(text) <= MAX_CAPTION else "" for texts in captions for text in texts]
        dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32
        parts = [
            tokenizer(
                flat[start : start + _AT_ONCE], padding="max_length", truncation=True, return_tensors="np"
            )["input_ids"].astype(dtype)
            for start in range(0, len(flat), _AT_ONCE)
        ]
        broken = np.flatnonzero([has_overlong(texts) for texts in captions])
        return cls(np.concatenate(parts), np.concatenate([[0], np.cumsum(counts)]), broken)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(images,) number of captions of each image."""
        return np.diff(self.first)


_Seeded = Callable[..., None]

_TRIES = (
    20  # images in place of a broken one; where 1 % is broken, the last one is needed once in 10^40 times
)


@dataclass(frozen=True)
class Order:
    """The order of images and captions; seed and epoch decide it, not the processes.

    Attributes:
        rows: (images,) rows that are drawn.
        first: (all images + 1,) index of each image's first caption.
        seed: of order and captions.
    """

    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    seed: int

    def of_epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of an epoch (counted from 1) in order, and for each the index of its caption."""
        rng, counts = np.random.default_rng([self.seed, epoch]), np.diff(self.first)
        order = rng.permutation(self.rows)
        chosen = self.first[:-1] + (rng.random(len(counts)) * counts).astype(np.int64)
        return order, chosen[order]

    def in_place_of(self, epoch: int, row: int, caption: int) -> Iterator[tuple[int, int]]:
        """The image and its caption; then others, with a caption of theirs, in case that it is broken."""
        yield row, caption
        rng = np.random.default_rng((self.seed, epoch, row, caption))
        for _ in range(_TRIES - 1):
            other = int(rng.choice(self.rows))
            yield other, int(rng.integers(self.first[other], self.first[other + 1]))


@dataclass(frozen=True)
class _Draw:
    """What a batch of one process shows: rows of images and, for each, the index of its caption."""

    epoch: int
    rows: NDArray[np.int64]
    captions: NDArray[np.int64]


@dataclass(frozen=True)
class _Read:
    """A batch, and the rows that were found broken; ``batch`` is None where no image could be found for one."""

    batch: Batch | None
    broken: list[int]

    def pin_memory(self) -> "_Read":
        """As the DataLoader calls it."""
        if self.batch is None:
            return self
        batch = Batch(self.batch.pixels.pin_memory(), self.batch.input_ids.pin_memory())
        return _Read(batch, self.broken)


class _Draws(Sampler[_Draw]):
    """The batches of an epoch for one process, from a step on. Order and captions follow from seed and epoch."""

    def __init__(
        self,
        order: Order,
        *,
        local_size: int,
        micro_batches: int,
        process_index: int,
        num_processes: int,
    ) -> None:
        self._order = order
        self.global_batch_size = local_size * num_processes
        # Micro-batch i of all processes together is part i of the global batch, so that the negatives of an image do
        # not depend on the number of processes.
        shares = np.arange(self.global_batch_size).reshape(micro_batches, num_processes, -1)
        self._share = shares[:, process_index].ravel()
        self.steps = len(order.rows) // self.global_batch_size
        self.epoch, self.first_step = 1, 0

    def __len__(self) -> int:
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[_Draw]:
        rows, captions = self._order.of_epoch(self.epoch)
        for step in range(self.first_step, self.steps):
            shown = step * self.global_batch_size + self._share
            yield _Draw(self.epoch, rows[shown], captions[shown])


class _Batches(Dataset[_Read]):
    """Batches by what they show. They are the same in whatever process and with however many threads."""

    def __init__(self, images: Images, captions: Captions, order: Order) -> None:
        self._images, self._captions, self._order = images, captions, order

    def __getitem__(self, draw: _Draw) -> _Read:
        captions, broken = draw.captions, list[int]()
        pixels = self._images.read_all(draw.rows)
        if pixels is None:
            with torch_threads(1), random_numbers() as seeded:  # sums of several threads round differently
                shown = [
                    self._whole(draw.epoch, int(row), int(caption), broken, seeded)
                    for row, caption in zip(draw.rows, draw.captions, strict=True)
                ]
            whole = [pair for pair in shown if pair is not None]
            if len(whole) < len(shown):
                return _Read(None, broken)
            pixels = torch.stack([image for image, _ in whole])
            captions = np.array([caption for _, caption in whole])
        tokens = torch.from_numpy(self._captions.tokens[captions].astype(np.int64))
        return _Read(Batch(pixels, tokens), broken)

    def _whole(
        self, epoch: int, row: int, caption: int, broken: list[int], seeded: _Seeded
    ) -> tuple[torch.Tensor, int] | None:
        """An image and the index of its caption; another one, drawn by the same numbers, in place of a broken one."""
        for candidate, text in self._order.in_place_of(epoch, row, caption):
            if self._images.draws:
                seeded(self._order.seed, epoch, row, caption)
            pixels = self._images.read(candidate)
            if pixels is not None:
                return pixels, text
            broken.append(candidate)
        return None


class MappedSource(Source):
    """Batches of a data set that is read by row.

    The order of the images, the caption that each shows and the way in which it is augmented follow from seed and
    epoch alone, so that neither the workers nor a resumption change anything. The global batch, or each micro-batch of
    it, is split among the processes in the order of their ranks. An image that turns out to be broken is replaced by
    another one, with one of its captions: the batches keep their size.

    Args:
        images: the images by row.
        captions: their captions, by the same rows.
        per_device_batch_size: images of a step and process.
        seed: of order, captions and augmentation.
        micro_batches: into which the gradients' computation divides the batch of a process.
        workers: that read and decode; None: this process reads.
        process_index, num_processes: this process of the run.

    Raises:
        TrainingError: an epoch is less than a batch.
    """

    def __init__(
        self,
        images: Images,
        captions: Captions,
        *,
        per_device_batch_size: int,
        seed: int,
        micro_batches: int = 1,
        workers: Workers | None = None,
        process_index: int = 0,
        num_processes: int = 1,
    ) -> None:
        order = Order(images.rows, captions.first, seed)
        self._draws = _Draws(
            order,
            local_size=per_device_batch_size,
            micro_batches=micro_batches,
            process_index=process_index,
            num_processes=num_processes,
        )
        self._total = len(images.rows) + len(images.broken)
        self.known_broken = frozenset(images.broken.tolist())
        self.global_batch_size = self._draws.global_batch_size
        self.steps_per_epoch = self._draws.steps
        self.images, self.captions = len(images.rows), int(captions.counts[images.rows].sum())
        if self.steps_per_epoch == 0:
            raise TrainingError(
                f"{self.images} images are fewer than one batch of {self.global_batch_size}: "
                "lower per_device_train_batch_size, or train on more images."
            )
        self._loader: DataLoader[_Read] | None = DataLoader(
            _Batches(images, captions, order),
            sampler=self._draws,
            batch_size=None,  # an item is a whole batch
            persistent_workers=workers is not None and workers.count > 0,
            **(workers or Workers()).arguments(),
            generator=torch.Generator(),  # else each epoch would take a number from the run's own
        )

    @property
    def skipped(self) -> int:
        """Images that cannot be decoded; of those that are decoded on the fly, what this process has met so far."""
        return len(self.known_broken | self.broken)

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (counted from 1) for this process, from a step on.

        Raises:
            TrainingError: more than 1 % of the images are broken.
        """
        assert self._loader is not None, "the source is closed"
        self._draws.epoch, self._draws.first_step = epoch, first_step
        for read in self._loader:
            if read.broken:
                self.broken |= set(read.broken)
                check_broken(np.array(sorted(self.known_broken | self.broken)), self._total)
            if read.batch is None:
                raise TrainingError(
                    f"In place of a broken image (row {read.broken[0]}) {_TRIES} others were tried, all broken: check "
                    "the files and their download."
                )
            yield read.batch

    def close(self) -> None:
        self._loader = None  # with its last reference it ends its workers
