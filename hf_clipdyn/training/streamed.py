"""Training on shards of any size, read and decoded while training.

All permutations follow from seed and epoch, so a position is the number of an epoch and of a step, and no buffer has to
be saved.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import fsspec.asyn  # type: ignore[import-untyped]
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import CLIPTokenizer

from hf_clipdyn.data.captioned import MAX_CAPTION, has_overlong
from hf_clipdyn.data.images import SafeImage, decode_tensor
from hf_clipdyn.errors import ClipDynError, DatasetError, TrainingError
from hf_clipdyn.files import check_regular, disk_errors
from hf_clipdyn.preprocess import input_size
from hf_clipdyn.schema import Count, parse_json
from hf_clipdyn.training.images import Augmentation, fit_of, random_numbers
from hf_clipdyn.training.source import Batch, Source, Workers
from hf_clipdyn.training.stream_order import (
    ROW_BITS,
    Block,
    Sample,
    Shuffle,
    Stream,
    drawn_caption,
    in_turn,
    shown_samples,
)

_ROWS_AT_ONCE = 8
_NO_IMAGE: Mapping[str, Any] = {"bytes": None, "path": None}


@dataclass
class Shards:
    """The shards of a captioned data set, read one at a time from start to end.

    Args:
        dataset: streamed, with the columns ``image`` and ``captions``.
        name: of the data set, for messages.

    Attributes:
        counts: samples of the shards that this process has read to their end.
        without_caption: `Sample.index` of the rows without a caption, or with an overlong one, that this process has
            skipped.
    """

    dataset: datasets.IterableDataset
    name: str
    counts: dict[int, int] = field(default_factory=dict)
    without_caption: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        columns = self.dataset.select_columns(["image", "captions"])
        self.dataset = columns.cast_column("image", SafeImage(decode=False))

    def __len__(self) -> int:
        return int(self.dataset.num_shards)

    def read(self, shard: int) -> Iterator[Sample]:
        """The samples of a shard that have captions, none overlong, in the order in which they are stored.

        Raises:
            DatasetError: the shard is damaged, incomplete or out of reach.
        """
        count = 0
        for row, (image, captions) in enumerate(self._rows(shard)):
            texts = [text.strip() for text in captions or () if text and text.strip()]
            if texts and not has_overlong(texts):
                count += 1
                yield Sample(shard << ROW_BITS | row, image or _NO_IMAGE, texts)
            else:
                self.without_caption.append(shard << ROW_BITS | row)
        self.counts[shard] = count

    def blocks(self, group: Sequence[int], size: int) -> Iterator[list[Sample]]:
        """The samples of some shards, one of each in turn, in blocks of a size."""
        samples = in_turn([self.read(shard) for shard in group])
        while block := list(itertools.islice(samples, size)):
            yield block

    def _rows(self, shard: int) -> Iterator[tuple[Any, Any]]:
        try:
            # Not `__iter__`, which would divide the rows among the workers of a DataLoader once more.
            for rows in self.dataset.shard(len(self), shard).iter(_ROWS_AT_ONCE):
                yield from zip(rows["image"], rows["captions"], strict=True)
        except ClipDynError:
            raise
        except Exception as error:  # tar, Parquet, the Hub's client and file systems have errors of their own
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise DatasetError(
                f"Shard {shard} of the {len(self)} shards of {self.name} cannot be read to its end ({said}): check "
                "the connection, or download this shard again; then continue with --resume_from_checkpoint true."
            ) from error


def first_captions(shards: Shards, most: int) -> list[str]:
    """The captions of the first samples, in the order of the shards: at least ``most``, or all.

    Raises:
        DatasetError: the set has no captions.
    """
    samples = itertools.chain.from_iterable(map(shards.read, range(len(shards))))
    captions: list[str] = []
    for sample in samples:
        captions += sample.captions
        if len(captions) >= most:
            break
    if not captions:
        raise DatasetError(
            f"No row of {shards.name} has a caption ({len(shards.without_caption):,} rows in {len(shards)} shards): "
            "name the column with --caption_column, or give another data set."
        )
    return captions


# --- the sizes of the shards ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Counted:
    shard: Count
    samples: Count


def read_counts(folder: Path) -> dict[int, int]:
    """Samples by shard, from the files of all processes. A missing or incomplete line only costs time."""
    counts: dict[int, int] = {}
    for path in sorted(path for path in folder.glob("*.jsonl") if path.is_file()):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                counted = parse_json(_Counted, line, where=str(path), error=DatasetError)
            except DatasetError:
                continue
            counts[counted.shard] = counted.samples
    return counts


def write_counts(path: Path, counts: Mapping[int, int]) -> None:
    """Append the sizes of shards to the file of this process.

    Raises:
        DatasetError: it cannot be written.
    """
    with disk_errors(DatasetError, f"The sizes of shards in {path} cannot be written", "move it away"):
        check_regular(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f'{{"shard": {shard}, "samples": {count}}}\n' for shard, count in counts.items())


_MOST_BROKEN = 0.1
_FEW = 1000  # samples; before, the share of broken ones is too uncertain


class _Read(NamedTuple):
    """A batch from a worker, the samples that it skipped, and what it learned of the shards (see `Shards`)."""

    pixels: torch.Tensor
    input_ids: torch.Tensor
    broken: list[int]
    without_caption: list[int]
    counts: dict[int, int]


@dataclass(frozen=True)
class _Failure:
    """A worker's error; the training process raises it, in one sentence instead of a traceback."""

    message: str


class _Decoder:
    """Samples to pixels and tokens; without augmentation the pixels are those that the image processor gives."""

    def __init__(
        self,
        augmentation: Augmentation,
        image_processor: Any,
        tokenizer: CLIPTokenizer,
        seed: int,
    ) -> None:
        self._transform = augmentation.transform(fit_of(image_processor), *input_size(image_processor))
        self._draws, self._tokenizer, self._seed = bool(augmentation), tokenizer, seed

    def __call__(
        self, places: Sequence[tuple[Block[Sample], int]], epoch: int
    ) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        """Pixels (n, 3, height, width) uint8, input ids (n, context) int64, and the samples that were broken."""
        broken: list[int] = []
        with random_numbers() as seeded:

            def pixels(sample: Sample) -> torch.Tensor | None:
                if self._draws:
                    seeded(self._seed, epoch, sample.index)
                try:
                    return self._transform(decode_tensor(dict(sample.image)))
                except OSError:
                    broken.append(sample.index)
                    return None

            shown = shown_samples(places, pixels)
        texts = [self._draw(sample, epoch) for sample, _ in shown]
        ids = self._tokenizer(texts, padding="max_length", truncation=True, return_tensors="np")["input_ids"]
        return torch.stack([pixels for _, pixels in shown]), torch.from_numpy(ids.astype(np.int64)), broken

    def _draw(self, sample: Sample, epoch: int) -> str:
        return sample.captions[drawn_caption(self._seed, epoch, sample.index, len(sample.captions))]


@dataclass
class _Reading(IterableDataset["_Read | _Failure | None"]):
    """What the workers of one process read in one epoch: its steps, in batches of ``size`` samples."""

    streams: Sequence[Stream[Sample]]
    decode: _Decoder
    size: int
    steps: range

    def __iter__(self) -> "Iterator[_Read | _Failure | None]":
        """The batches of this worker's streams. A DataLoader takes one item of each worker in turn; a worker that has
        no batch for its turn gives None.
        """
        try:
            yield from self._batches()
        except ClipDynError as error:
            yield _Failure(str(error))

    def _batches(self) -> "Iterator[_Read | None]":
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        if info is not None:
            fsspec.asyn.reset_lock()  # if another thread held it at the fork, it would never be released
        number = len(self.streams)
        mine = {i: self._of_stream(i) for i in range(worker, number, workers)}
        for turn in range(self.steps.start // number, -(-self.steps.stop // number)):
            for i in range(worker, -(-number // workers) * workers, workers):
                yield next(mine[i]) if i < number and turn * number + i in self.steps else None

    def _of_stream(self, i: int) -> Iterator[_Read]:
        stream = self.streams[i]
        # All streams share one `Shards`; each needs counts of its own.
        assert isinstance(stream.shards, Shards)
        shards = replace(stream.shards, counts={}, without_caption=[])
        batches_behind = max(0, -(-(self.steps.start - i) // len(self.streams)))
        places = replace(stream, shards=shards).places(batches_behind * self.size)
        while True:
            chosen = [next(places) for _ in range(self.size)]
            decoded = self.decode(chosen, stream.epoch)
            yield _Read(*decoded, list(shards.without_caption), dict(shards.counts))
            shards.without_caption.clear()
            shards.counts.clear()


class StreamedSource(Source):
    """Batches of a streamed data set.

    Args:
        shards: of the data set.
        augmentation: what changes the images.
        image_processor: gives resizing and cropping.
        tokenizer: of the captions.
        shuffle: how far samples are mixed.
        streams: of a process; fewer if it has fewer shards.
        samples_per_epoch: over all processes.
        per_device_batch_size: samples of a process and step.
        workers: that read and decode.
        folder: for the sizes of the shards, with which a resumed run finds its position without reading everything
            before it; None keeps no sizes.
        process_index, num_processes: of this process.

    Raises:
        TrainingError: an epoch is less than a batch, or there are fewer shards than processes.
    """

    def __init__(
        self,
        shards: Shards,
        augmentation: Augmentation,
        image_processor: Any,
        tokenizer: CLIPTokenizer,
        shuffle: Shuffle,
        *,
        streams: int,
        samples_per_epoch: int,
        per_device_batch_size: int,
        workers: Workers,
        folder: Path | None = None,
        process_index: int = 0,
        num_processes: int = 1,
    ) -> None:
        if len(shards) < num_processes:
            raise TrainingError(
                f"{shards.name} has {len(shards)} shard{'s' * (len(shards) > 1)} for {num_processes} processes, and "
                "each process reads its own: split the data into more files, launch fewer processes, or leave "
                "streaming out."
            )
        self.global_batch_size = per_device_batch_size * num_processes
        self.images, self.captions = samples_per_epoch, None
        self.steps_per_epoch = samples_per_epoch // self.global_batch_size
        if self.steps_per_epoch == 0:
            raise TrainingError(
                f"samples_per_epoch is {samples_per_epoch}, fewer than one batch of {self.global_batch_size}: "
                "raise it, or lower per_device_train_batch_size."
            )
        self._shards, self._shuffle = shards, shuffle
        self._decoder = _Decoder(augmentation, image_processor, tokenizer, shuffle.seed)
        self._size, self._workers, self._folder = per_device_batch_size, workers, folder
        self._process_index, self._num_processes = process_index, num_processes
        self._streams = min(streams, len(shards) // num_processes)
        self._counted: set[int] = set()
        self._skipped = self._shown = 0

    @property
    def skipped(self) -> int:
        """Samples without a caption or an intact image that this process has met so far, repetitions counted."""
        return self._skipped

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """See `Source.batches`.

        Raises:
            DatasetError: a shard cannot be read, or more than one in ten samples are broken.
            TrainingError: a worker was killed.
        """
        loader = self._loader(epoch, range(first_step, self.steps_per_epoch))
        try:
            for read in loader:
                if isinstance(read, _Failure):
                    raise DatasetError(read.message)
                if read is not None:
                    self._note(read)
                    yield Batch(read.pixels, read.input_ids)
        except (RuntimeError, ConnectionError, EOFError) as error:  # whichever is noticed first
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            raise TrainingError(
                f"A process that reads training data was killed ({str(error).splitlines()[0]}): if memory ran out, "
                "lower dataloader_num_workers or shuffle_samples."
            ) from error

    def _loader(self, epoch: int, steps: range) -> "DataLoader[_Read | _Failure | None]":
        counts = read_counts(self._folder) if self._folder is not None and steps.start > 0 else {}
        total = self._streams * self._num_processes
        first = self._streams * self._process_index
        streams = [
            Stream(self._shards, self._shuffle, epoch, index, total, counts)
            for index in range(first, first + self._streams)
        ]
        reading = _Reading(streams, self._decoder, self._size, steps)
        return DataLoader(reading, batch_size=None, **self._workers.arguments(self._streams))

    def _note(self, read: _Read) -> None:
        self._shown += self._size
        self._skipped += len(read.broken) + len(read.without_caption)
        new = {shard: count for shard, count in read.counts.items() if shard not in self._counted}
        if new and self._folder is not None:
            write_counts(self._folder / f"process-{self._process_index}.jsonl", new)
        self._counted |= new.keys()
        if self._shown >= _FEW and self._skipped > _MOST_BROKEN * self._shown:
            raise DatasetError(
                f"{self._skipped:,} samples of {self._shards.name} have no caption of at most {MAX_CAPTION:,} "
                f"characters or no whole image, but only {self._shown:,} were shown: check the columns, and download "
                "the shards again."
            )
