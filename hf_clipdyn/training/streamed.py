"""Training on shards of any size, which `datasets` shuffles, reads and resumes.

Each worker of each process reads shards of its own through a shuffle buffer, again and again until the epoch is full;
the state of `datasets` says how far it has come. After resuming with as many workers, nothing of an epoch is shown
twice; the samples in the buffers (at most 1,000 a worker) are not shown in that epoch.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import fsspec.asyn  # type: ignore[import-untyped]
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info
from transformers import ProcessorMixin

from hf_clipdyn.data.captioned import MAX_CAPTION, has_overlong
from hf_clipdyn.data.images import SafeImage, decode_tensor
from hf_clipdyn.errors import ClipDynError, DatasetError, TrainingError, counted, naming
from hf_clipdyn.preprocess import input_size
from hf_clipdyn.training.data import Batch, Loading, Source, tokens_of
from hf_clipdyn.training.images import Augmentation, Transform, fit_of, random_numbers

_BUFFER = 1000  # samples that a worker shuffles at once
_ROWS_AT_ONCE = 16  # a row of Parquet alone takes five times as long
_TOKENIZER_CAPTIONS = 20_000  # enough for a small vocabulary
_MOST_BROKEN = 0.1
_FEW = 1000  # samples; before, the share of broken ones is too uncertain
_PASSES = 2**20  # `set_epoch` gets epoch + pass * _PASSES


class Shards:
    """The shards of a captioned data set.

    Args:
        dataset: streamed, with the columns ``image`` and ``captions``.
        name: of the data set, for messages.
    """

    def __init__(self, dataset: datasets.IterableDataset, name: str) -> None:
        columns = dataset.select_columns(["image", "captions"])
        self.dataset = columns.cast_column("image", SafeImage(decode=False))
        self.name = name

    def __len__(self) -> int:
        return int(self.dataset.num_shards)

    def rows(self, dataset: datasets.IterableDataset) -> Iterator[tuple[Mapping[str, Any], list[str]]]:
        """Image and captions of each row of these shards; no captions if one is missing or overlong.

        Raises:
            DatasetError: a shard is damaged, incomplete or out of reach.
        """
        what = f"A shard of {self.name} cannot be read to its end"
        remedy = "check the connection, or download it again; then continue with resume_from_checkpoint"
        with naming(f"{what} ({remedy})", DatasetError):
            # Not `__iter__`, which would divide the rows among the workers of a DataLoader once more.
            for rows in dataset.iter(_ROWS_AT_ONCE):
                for image, captions in zip(rows["image"], rows["captions"], strict=True):
                    texts = [text.strip() for text in captions or () if text and text.strip()]
                    yield image or {}, [] if has_overlong(texts) else texts

    def first_captions(self, most: int = _TOKENIZER_CAPTIONS) -> list[str]:
        """The captions of the first samples, in the order of the shards: at least ``most``, or all.

        Raises:
            DatasetError: the set has no captions.
        """
        captions: list[str] = []
        for _, texts in self.rows(self.dataset):
            captions += texts
            if len(captions) >= most:
                break
        if not captions:
            raise DatasetError(
                f"No row of {self.name} has a caption: name the column with caption_column, or another data set."
            )
        return captions


class _Read(NamedTuple):
    """A batch of a worker, what it skipped for it, and where the worker is then; or the error that ended it."""

    batch: Batch | None
    worker: int
    skipped: int = 0
    state: dict[str, Any] | None = None
    error: str = ""


class StreamedSource(Source):
    """Batches of a streamed data set.

    Args:
        shards: of the data set.
        augmentation: what changes the images.
        processor: resizes and crops, and tokenises.
        loading: of this process, with at most one worker for each shard; the order depends on their number.
        samples_per_epoch: over all processes.

    Raises:
        TrainingError: an epoch is less than a batch, or there are fewer shards than processes.
    """

    def __init__(
        self,
        shards: Shards,
        augmentation: Augmentation,
        processor: ProcessorMixin,
        loading: Loading,
        samples_per_epoch: int,
    ) -> None:
        if len(shards) < loading.num_processes:
            raise TrainingError(
                f"{shards.name} has {counted(len(shards), 'shard')} for {loading.num_processes} processes, and each "
                "process reads its own: split the data into more files, launch fewer processes, or leave streaming out."
            )
        workers = min(loading.workers, len(shards) // loading.num_processes)
        super().__init__(samples_per_epoch, None, replace(loading, workers=workers))
        self.shards, self.augmentation, self.processor = shards, augmentation, processor
        self.states: list[dict[str, Any] | None] = []
        self._shown = 0

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """See `Source.batches`; after `load_state`, the rest of the epoch.

        Raises:
            DatasetError: a shard cannot be read, or more than one in ten samples are broken.
            TrainingError: a worker was killed.
        """
        if first_step == 0 or not self.states:
            self.states = [None] * max(1, self.loading.workers)
        reads = self.loading.loader(_Stream(self, epoch))
        try:
            for _, read in zip(range(first_step, self.steps_per_epoch), reads, strict=False):
                yield self._checked(read)
        except (
            ConnectionError,
            EOFError,
        ) as error:  # of a pipe; if torch notices the signal first, it names it
            raise TrainingError(
                "A process that reads training data was killed: if memory ran out, lower dataloader_num_workers."
            ) from error

    def _checked(self, read: _Read) -> Batch:
        if read.batch is None:
            raise DatasetError(read.error)
        self.states[read.worker] = read.state
        self._shown += self.loading.batch_size
        self.skipped += read.skipped
        if self._shown >= _FEW and self.skipped > _MOST_BROKEN * self._shown:
            raise DatasetError(
                f"{self.skipped:,} samples of {self.shards.name} have no caption of at most {MAX_CAPTION:,} "
                f"characters or no whole image, but only {self._shown:,} were shown: check the columns, and download "
                "the shards again."
            )
        return read.batch

    def save_state(self, folder: Path, process_index: int) -> None:
        (folder / f"stream-{process_index}.json").write_text(json.dumps(self.states), encoding="utf-8")

    def load_state(self, folder: Path, process_index: int) -> None:
        path = folder / f"stream-{process_index}.json"
        with naming(path, TrainingError):
            self.states = json.loads(path.read_text(encoding="utf-8"))
        most = self.loading.workers if len(self.states) == 1 else len(self.states)
        self.loading = replace(self.loading, workers=min(most, len(self.states)))


@dataclass
class _Stream(IterableDataset[_Read]):
    """The endless batches of an epoch, as each worker of a process reads them: seed, epoch and stream decide them."""

    source: StreamedSource
    epoch: int

    def __iter__(self) -> Iterator[_Read]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        if info is not None:
            fsspec.asyn.reset_lock()  # if another thread held it at the fork, it would never be released
        try:
            yield from self._batches(worker, workers)
        except ClipDynError as error:  # the training process raises it, without a worker's traceback
            yield _Read(None, worker, error=str(error))

    def _batches(self, worker: int, workers: int) -> Iterator[_Read]:
        source, shards, loading = self.source, self.source.shards, self.source.loading
        stream, streams = loading.process_index * workers + worker, loading.num_processes * workers
        state = source.states[worker] or {"pass": 0, "samples": 0, "datasets": None}
        image_processor = source.processor.image_processor
        transform = source.augmentation.transform(fit_of(image_processor), *input_size(image_processor))
        dataset = shards.dataset.shard(streams, stream, contiguous=False)
        dataset = dataset.shuffle(
            generator=np.random.default_rng([loading.seed, stream]), buffer_size=_BUFFER
        )
        samples, skipped, found = state["samples"], 0, True
        pixels: list[torch.Tensor] = []
        texts: list[str] = []
        while found:
            dataset.set_epoch(self.epoch + state["pass"] * _PASSES)
            if state["datasets"] is not None:
                dataset.load_state_dict(state["datasets"])
            found = state["datasets"] is not None
            for image, captions in shards.rows(dataset):
                numbers = (loading.seed, self.epoch, stream, samples)
                shown = self._pixels(transform, image, numbers) if captions else None
                samples += 1
                if shown is None:
                    skipped += 1
                    continue
                found = True
                pixels.append(shown)
                texts.append(captions[int(np.random.default_rng(numbers).integers(len(captions)))])
                if len(pixels) == loading.batch_size:
                    now = {"pass": state["pass"], "samples": samples, "datasets": dataset.state_dict()}
                    tokens = torch.from_numpy(tokens_of(texts, source.processor.tokenizer).astype(np.int64))
                    yield _Read(Batch(torch.stack(pixels), tokens), worker, skipped, now)
                    pixels, texts, skipped = [], [], 0
            state = {"pass": state["pass"] + 1, "samples": samples, "datasets": None}
        raise DatasetError(
            f"None of the samples in stream {stream} of {streams} of {shards.name} has a caption and a whole image: "
            "name the columns with caption_column and image_column, or remove empty shards."
        )

    def _pixels(
        self, transform: Transform, image: Mapping[str, Any], numbers: tuple[int, ...]
    ) -> torch.Tensor | None:
        with random_numbers() as seeded, suppress(OSError):
            if self.source.augmentation:
                seeded(*numbers)
            return transform(decode_tensor({"bytes": None, "path": None, **image}))
        return None
