"""What a run learns from: the rows of its data set, their order, and the batches of each process."""

import copy
import hashlib
import itertools
import json
import math
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from rich.filesize import decimal
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPProcessor, CLIPTokenizer, ProcessorMixin

from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.cache import cache_folder
from hf_clipdyn.data.captioned import MAX_CAPTION, has_overlong
from hf_clipdyn.data.load import hub_commit
from hf_clipdyn.data.pixels import decode_pixels, has_pixels
from hf_clipdyn.errors import ConfigError, DatasetError, TrainingError
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import clip_tokenizer, train_tokenizer
from hf_clipdyn.preprocess import input_size
from hf_clipdyn.progress import draws_bars, say
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.device import spare_cores, torch_threads
from hf_clipdyn.training.images import (
    Augmentation,
    CachedImages,
    DecodedImages,
    Images,
    check_broken,
    random_numbers,
)

_LARGEST_CACHE = 4_000_000_000  # bytes of decoded pixels on the disk, unless `reading` is set
_AT_ONCE = 2**14  # the tokenizer keeps a few kilobytes a caption while it works
_TRIES = 20  # in place of a broken image; where 1 % is broken, the last one is needed once in 10^40 times


class Batch(NamedTuple):
    """``pixels`` (batch, 3, height, width) uint8 and ``input_ids`` (batch, context) int64 of one process."""

    pixels: torch.Tensor
    input_ids: torch.Tensor


def _ignore_interrupts(_: int) -> None:
    """Go on when the terminal sends Ctrl-C to all processes: the training process decides when its workers stop.

    Without this, a run that is stopping would wait forever for its last batch.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True)
class Loading:
    """How a process loads its batches.

    Attributes:
        seed: of order, captions and augmentation.
        batch_size: images of a step and process.
        workers: processes that read and decode; 0: this process reads.
        pin_memory: whether batches go to page-locked memory, from which a GPU copies without waiting.
        process_index, num_processes: this process of the run.
    """

    seed: int
    batch_size: int
    workers: int = 0
    pin_memory: bool = False
    process_index: int = 0
    num_processes: int = 1

    def loader(self, batches: Dataset[Any], **further: Any) -> DataLoader[Any]:
        """A loader of a data set whose items are whole batches."""
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=self.workers,
            pin_memory=self.pin_memory,
            worker_init_fn=_ignore_interrupts,
            generator=torch.Generator(),  # else each epoch would take a number from the run's own
            **further,
        )


class Source(ABC):
    """Batches for one process.

    Attributes:
        global_batch_size: images of one step over all processes.
        steps_per_epoch: steps of an epoch; an incomplete last batch is left out, since the loss depends on its size.
        images: images of an epoch, including an incomplete last batch.
        captions: captions of these images; None if they are only known after reading.
        known_broken: rows that are known to be broken before anything is read.
        broken: rows that this process has found broken in the batches that it has returned so far.
        skipped: samples without a whole image or a caption that this process has met so far; those of a stream are
            counted again in each pass.

    Raises:
        TrainingError: an epoch is less than a batch.
    """

    known_broken: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()
    skipped = 0

    def __init__(self, images: int, captions: int | None, loading: Loading) -> None:
        self.images, self.captions, self.loading = images, captions, loading
        self.global_batch_size = loading.batch_size * loading.num_processes
        self.steps_per_epoch = images // self.global_batch_size
        if self.steps_per_epoch == 0:
            raise TrainingError(
                f"{images} images an epoch are fewer than one batch of {self.global_batch_size}: lower "
                "per_device_train_batch_size, or train on more images."
            )

    @abstractmethod
    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (counted from 1), without the first ``first_step`` ones."""

    def save_state(self, folder: Path, process_index: int) -> None:  # noqa: B027  (rows follow from the step)
        """Write to a checkpoint what a resumed process needs to go on reading."""

    def load_state(self, folder: Path, process_index: int) -> None:  # noqa: B027
        """Read what `save_state` wrote."""

    def close(self) -> None:  # noqa: B027  (a source without workers has nothing to stop)
        """Stop the workers."""


class Data(NamedTuple):
    """What `open_data` found.

    Attributes:
        source: of the training.
        processor: tokenizer and image processor, published with the model.
        reading: ``cached`` or ``decoded``; None for a stream.
        commit: of a data set on the Hub; None for other data, or if the Hub did not answer.
        fingerprint: see `Rows`; None for a stream.
        held_out: the batches of the validation for this process; None without one.
    """

    source: Source
    processor: ProcessorMixin
    reading: str | None
    commit: str | None
    fingerprint: str | None = None
    held_out: Iterable[Batch] | None = None


# --- rows ----------------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """The rows that a run draws from.

    Attributes:
        dataset: with the columns ``image`` and ``captions``.
        captions: those of each row.
        held_out: the rows that are kept out for the validation, if any.
        commit: on the Hub.
        fingerprint: SHA-256 of ids and captions, 64 hexadecimal digits.
    """

    dataset: datasets.Dataset
    captions: list[list[str]]
    held_out: datasets.Dataset | None
    commit: str | None
    fingerprint: str


def load_captioned(config: TrainingConfig) -> tuple[Any, str | None]:
    """The data set, streamed or not, with the columns ``image`` and ``captions``; and its commit on the Hub."""
    name, revision = config.dataset
    commit = hub_commit(name, config.data_dir, revision, None)
    if revision is not None and commit is None:
        raise ConfigError(
            f"dataset_name is {config.dataset_name!r}, but {name!r} is not a data set on the Hub with the revision "
            f"{revision!r}: correct it, or leave it out."
        )
    dataset = load_dataset(
        name,
        name=config.dataset_config_name,
        data_dir=config.data_dir,
        split=config.train_split,
        revision=commit,
        streaming=config.streaming,
        image_column=config.image_column,
        caption_column=config.caption_column,
    )
    if not {"image", "captions"} <= set(dataset.column_names):
        raise DatasetError(
            f"The data set {name!r} has the columns {', '.join(dataset.column_names)}: training needs image and "
            "captions; `clipdyn datasets` lists the data sets that have both."
        )
    # Without the Hub, `datasets` takes what its cache got last. The folder of a commit has the commit's name.
    for file in getattr(dataset, "cache_files", ()):
        cached = Path(file["filename"]).parent.name
        if commit is not None and len(cached) == len(commit) and cached != commit:
            raise DatasetError(
                f"The cache of datasets has {name} at commit {cached}, not {commit}, and the Hub does not answer: "
                "check the network, then repeat the command."
            )
    return dataset, commit


def open_rows(config: TrainingConfig) -> Rows:
    """The data of a run that is read by row.

    Raises:
        DatasetError: they are absent or without captions.
        ConfigError: nothing is left to train on.
    """
    dataset, commit = load_captioned(config)
    count = len(dataset) - config.validation_size
    if count <= 0:
        raise ConfigError(
            f"validation_size is {config.validation_size}, but the split {config.train_split!r} has {len(dataset)} "
            "images: leave some to train on."
        )
    held_out = dataset.select(range(count, len(dataset))) if config.validation_size else None
    dataset = dataset.select(range(min(count, config.max_train_samples or count)))
    captions = _captions(dataset)
    ids = dataset["image_id"][:] if "image_id" in dataset.column_names else range(len(dataset))
    digest = hashlib.sha256()  # that of `datasets` names paths and times of files
    for row in zip(ids, captions, strict=True):
        digest.update(json.dumps(row).encode())
    return Rows(dataset, captions, held_out, commit, digest.hexdigest())


def _captions(dataset: datasets.Dataset) -> list[list[str]]:
    return [[text for text in texts or () if text is not None] for texts in dataset["captions"][:]]


def tokens_of(texts: Sequence[str], tokenizer: CLIPTokenizer) -> NDArray[np.integer]:
    """(texts, context) tokens; what exceeds the context is cut, the end token kept. Equal texts are tokenised once."""
    rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    tokens: Any = tokenizer(list(rows), padding="max_length", truncation=True, return_tensors="np")
    return np.asarray(tokens["input_ids"])[[rows[text] for text in texts]]


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
                f"Image {int(np.argmin(counts))} of the data set has no caption: remove it, or add one."
            )
        texts = [text if len(text) <= MAX_CAPTION else "" for texts in captions for text in texts]
        dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32
        parts = (texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE))
        tokens = [tokens_of(part, tokenizer).astype(dtype) for part in parts]
        broken = np.flatnonzero([has_overlong(texts) for texts in captions])
        first = np.concatenate([[0], np.cumsum(counts)])
        return cls(np.concatenate(tokens), first, broken)


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


# --- batches -------------------------------------------------------------------------------------------


class _Draw(NamedTuple):
    """What a batch of one process shows: rows of images and, for each, the index of its caption."""

    epoch: int
    rows: NDArray[np.int64]
    captions: NDArray[np.int64]


class _Read(NamedTuple):
    """A batch, and the rows that were found broken; ``batch`` is None where no image could be found for one."""

    batch: Batch | None
    broken: list[int]

    def whole(self) -> Batch:
        """The batch.

        Raises:
            TrainingError: there is none.
        """
        if self.batch is None:
            raise TrainingError(
                f"In place of a broken image (row {self.broken[0]}) {_TRIES} others were tried, all broken: check "
                "the files and their download."
            )
        return self.batch


class _Draws:
    """The sampler of a DataLoader, whose workers stay from epoch to epoch: it draws what it is given."""

    epoch: Iterable[_Draw] = ()

    def __iter__(self) -> Iterator[_Draw]:
        return iter(self.epoch)


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
        self, epoch: int, row: int, caption: int, broken: list[int], seeded: Callable[..., None]
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
        loading: of this process; the number of processes and workers does not change the data.
        micro_batches: into which the gradients' computation divides the batch of a process.
    """

    def __init__(self, images: Images, captions: Captions, loading: Loading, micro_batches: int = 1) -> None:
        captions_of_rows = int(np.diff(captions.first)[images.rows].sum())
        super().__init__(len(images.rows), captions_of_rows, loading)
        self.known_broken = frozenset(images.broken.tolist())
        self.skipped = len(self.known_broken)
        self._order, self._draws = Order(images.rows, captions.first, loading.seed), _Draws()
        # Micro-batch i of all processes together is part i of the global batch, so that the negatives of an image do
        # not depend on the number of processes.
        shares = np.arange(self.global_batch_size).reshape(micro_batches, loading.num_processes, -1)
        self._share, batches = (
            shares[:, loading.process_index].ravel(),
            _Batches(images, captions, self._order),
        )
        stays = loading.workers > 0
        self._loader: DataLoader[_Read] | None = loading.loader(
            batches, sampler=self._draws, persistent_workers=stays
        )

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """See `Source.batches`; the cost does not depend on ``first_step``.

        Raises:
            TrainingError: more than 1 % of the images are broken.
        """
        assert self._loader is not None, "the source is closed"
        self._draws.epoch = self._drawn(epoch, first_step)
        for read in self._loader:
            if read.broken:
                self.broken |= set(read.broken)
                broken = self.known_broken | self.broken
                self.skipped = len(broken)
                check_broken(np.array(sorted(broken)), self.images + len(self.known_broken))
            yield read.whole()

    def _drawn(self, epoch: int, first_step: int) -> Iterator[_Draw]:
        rows, captions = self._order.of_epoch(epoch)
        for step in range(first_step, self.steps_per_epoch):
            shown = step * self.global_batch_size + self._share
            yield _Draw(epoch, rows[shown], captions[shown])

    def close(self) -> None:
        self._loader = None  # with its last reference it ends its workers


def held_out_batches(images: Images, captions: Captions, loading: Loading) -> Iterable[Batch]:
    """The images of the validation in batches of this process, each with its first caption, the same at each time.

    Args:
        images: without augmentation.
        captions: of the same rows.
        loading: of this process; batches are smaller if there are fewer images.
    """
    rows, processes = images.rows, loading.num_processes
    size = max(1, min(loading.batch_size, len(rows) // processes))
    steps = len(rows) // (size * processes)
    shares = rows[: steps * size * processes].reshape(steps, processes, size)[:, loading.process_index]
    draws = [_Draw(0, share, captions.first[share]) for share in shares]
    batches = _Batches(images, captions, Order(rows, captions.first, 0))
    return loading.loader(batches, sampler=draws, collate_fn=_Read.whole)  # of the one item that is a batch


# --- the data of a run ---------------------------------------------------------------------------------


def open_data(
    config: TrainingConfig, accelerator: Accelerator, processor: ProcessorMixin | None = None
) -> Data:
    """Load, decode and tokenise the data of a run; the main process first, the others read its cache.

    Args:
        config: the run.
        accelerator: tells the processes apart.
        processor: that of the model that the run continues; None for a new one.

    Raises:
        DatasetError: the data are absent or without captions, or their cache does not fit on the disk.
        TrainingError: more than 1 % of the images are broken.
    """
    augmentation = Augmentation(config.crop_scale_min, config.random_flip, config.color_jitter)
    workers, on_cpu = config.dataloader_num_workers, accelerator.device.type == "cpu"
    loading = Loading(
        seed=config.order_seed,
        batch_size=config.per_device_train_batch_size * config.gradient_accumulation_steps,
        workers=spare_cores(accelerator.device, config.num_threads or 1) if workers is None else workers,
        pin_memory=accelerator.device.type == "cuda",
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    if config.streaming:
        from hf_clipdyn.training.streamed import Shards, StreamedSource

        dataset, commit = load_captioned(config)
        shards = Shards(dataset, config.dataset[0])
        processor = processor or new_processor(config.scale, shards.first_captions())
        stream = StreamedSource(shards, augmentation, processor, loading, config.samples_per_epoch or 0)
        return Data(stream, processor, None, commit)

    image_processor = (
        processor.image_processor if processor else clip_image_processor(model_size(config.scale))
    )
    with accelerator.main_process_first():
        rows = open_rows(config)
        larger = enlarged(image_processor, augmentation.room)
        size = len(rows.dataset) * 3 * math.prod(input_size(larger))
        reading = config.reading or ("cached" if size <= _LARGEST_CACHE else "decoded")
        says = accelerator.is_main_process and not config.quiet
        if says and reading == "cached" and not has_pixels(rows.dataset, larger):
            place = f"{decimal(size)} in {cache_folder('pixels')}"
            say(f"Decoding {len(rows.dataset):,} images: their pixels take {place}.")

        def images_of(dataset: datasets.Dataset, room: Any, augmentation: Augmentation) -> Images:
            if reading == "decoded":
                return DecodedImages(dataset, augmentation, image_processor)
            pixels = decode_pixels(dataset, room, desc="decoding", disable_tqdm=not (says and draws_bars()))
            return CachedImages(pixels, augmentation, image_processor)

        images = images_of(rows.dataset, larger, augmentation)
        held_out = rows.held_out and images_of(rows.held_out, image_processor, Augmentation())
    processor = processor or new_processor(config.scale, itertools.chain.from_iterable(rows.captions))
    tokens = Captions.tokenise(rows.captions, processor.tokenizer)
    images.leave_out(tokens.broken)
    # On a CPU, reading pixels is cheaper than sending a batch to another process.
    if workers is None and reading == "cached" and not images.draws and on_cpu:
        loading = replace(loading, workers=0)
    source = MappedSource(images, tokens, loading, config.gradient_accumulation_steps)
    validation = None
    if held_out and rows.held_out:
        texts = Captions.tokenise(_captions(rows.held_out), processor.tokenizer)
        alone = replace(loading, batch_size=config.per_device_train_batch_size)
        validation = held_out_batches(held_out, texts, alone)
    return Data(source, processor, reading, rows.commit, rows.fingerprint, validation)


def new_processor(scale: str, captions: Iterable[str]) -> ProcessorMixin:
    """CLIP's processor for a size; a size with a vocabulary of its own has its tokenizer trained on the captions."""
    size = model_size(scale)
    if size.vocab_size is None:
        tokenizer = clip_tokenizer(size.context_length)
    else:
        whole = (text for text in captions if len(text) <= MAX_CAPTION)
        tokenizer = train_tokenizer(whole, vocab_size=size.vocab_size, context_length=size.context_length)
    return CLIPProcessor(image_processor=clip_image_processor(size), tokenizer=tokenizer)


def enlarged(image_processor: Any, factor: float) -> Any:
    """The processor with an input whose sides are ``factor`` times as long."""
    if factor == 1:
        return image_processor
    larger = copy.deepcopy(image_processor)
    for name in ("size", "crop_size"):
        sides = dict(getattr(larger, name) or {}).items()
        scaled = {key: math.ceil(value * factor) for key, value in sides if value}
        setattr(larger, name, type(getattr(larger, name))(**scaled))
    return larger
