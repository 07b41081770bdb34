"""What a run learns from: a source of batches, and the processor that made them."""

import copy
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import datasets
import numpy as np
from accelerate import Accelerator
from transformers import CLIPProcessor, ProcessorMixin

from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.caches import cache_folder
from hf_clipdyn.data.captioned import MAX_CAPTION
from hf_clipdyn.data.load import hub_commit
from hf_clipdyn.data.pixels import Pixels, decode_pixels, has_pixels
from hf_clipdyn.errors import ConfigError, DatasetError, readable_size
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import clip_tokenizer, train_tokenizer
from hf_clipdyn.preprocess import input_size
from hf_clipdyn.progress import say
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.device import draws_bars
from hf_clipdyn.training.folder import output_folder
from hf_clipdyn.training.images import Augmentation, CachedImages, DecodedImages, Images, check_broken
from hf_clipdyn.training.mapped import Captions, MappedSource
from hf_clipdyn.training.source import Source, Workers, spare_cores
from hf_clipdyn.training.stream_order import Shuffle
from hf_clipdyn.training.streamed import Shards, StreamedSource, first_captions

_TOKENIZER_CAPTIONS = 20_000  # of a stream; enough for a small vocabulary
_LARGEST_CACHE = 4_000_000_000  # bytes of decoded pixels on the disk, unless `reading` is given


class Inputs(NamedTuple):
    """The batches, the processor that is published with the model, and the entry of `SOURCES` that was used.

    Commit and fingerprint are those of `Rows`; a stream has no fingerprint.
    """

    source: Source
    processor: ProcessorMixin
    reading: str | None
    commit: str | None
    fingerprint: str | None = None


class Rows(NamedTuple):
    """The rows that a run draws from, their captions and commit on the Hub, and a SHA-256 of their ids and captions."""

    dataset: datasets.Dataset
    captions: list[list[str]]
    commit: str | None
    fingerprint: str


def _open(config: TrainingConfig) -> tuple[Any, str | None]:
    """The data set, streamed or not, with the columns ``image`` and ``captions``; and its commit on the Hub."""
    name, revision = config.dataset
    commit = hub_commit(name, config.data_dir, revision, None)
    if revision is not None and commit is None:
        raise ConfigError(
            f"dataset_name is {config.dataset_name!r}, but {name!r} is not a data set on the Hub with the revision "
            f"{revision!r}: correct it, or omit it."
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
    for column in ("image", "captions"):
        if column not in dataset.column_names:
            raise DatasetError(
                f"The data set {config.dataset_name!r} has no column {column!r} "
                f"(it has {', '.join(dataset.column_names)}): "
                "training needs image and captions; `clipdyn datasets` lists the data sets that have both."
            )
    return dataset, commit


def open_rows(config: TrainingConfig) -> Rows:
    """The data of a run that is read by row.

    Raises:
        DatasetError: they are absent or without captions.
        ConfigError: nothing is left to train on.
    """
    dataset, commit = _open(config)
    if config.validation_size >= len(dataset):
        raise ConfigError(
            f"validation_size is {config.validation_size}, but the split {config.train_split!r} has {len(dataset)} "
            "images: leave some to train on."
        )
    kept = len(dataset) - config.validation_size
    if config.max_train_samples is not None:
        kept = min(kept, config.max_train_samples)
    dataset = dataset.select(range(kept))
    captions = [[text for text in texts or () if text is not None] for texts in dataset["captions"][:]]
    ids = dataset["image_id"][:] if "image_id" in dataset.column_names else range(kept)
    digest = hashlib.sha256()  # that of `datasets` names paths and times of files
    for row in zip(ids, captions, strict=True):
        digest.update(json.dumps(row).encode())
    return Rows(dataset, captions, commit, digest.hexdigest())


@dataclass(frozen=True)
class _Preparation:
    """The ways of reading for one run; see `prepare_inputs`."""

    config: TrainingConfig
    accelerator: Accelerator
    given: ProcessorMixin | None

    def streamed(self) -> Inputs:
        """The entry ``streamed``: see `StreamedSource`."""
        config = self.config
        assert config.samples_per_epoch is not None, "checked by the configuration"
        dataset, commit = _open(config)
        shards = Shards(dataset, config.dataset_name)
        processor = self._processor(lambda: first_captions(shards, _TOKENIZER_CAPTIONS))
        source = StreamedSource(
            shards,
            self._augmentation,
            processor.image_processor,
            processor.tokenizer,
            Shuffle(config.order_seed, 4, 1000),
            streams=8,
            samples_per_epoch=config.samples_per_epoch,
            per_device_batch_size=config.per_device_step_size,
            workers=self._workers(),
            folder=output_folder(config) / "shards",
            process_index=self.accelerator.process_index,
            num_processes=self.accelerator.num_processes,
        )
        return Inputs(source, processor, None, commit)

    def by_row(self) -> Inputs:
        """The entries ``cached`` and ``decoded``: see `MappedSource`. By default the size of the data decides."""
        config, augmentation = self.config, self._augmentation
        image_processor = (
            clip_image_processor(model_size(config.scale))
            if self.given is None
            else self.given.image_processor
        )
        with self.accelerator.main_process_first():
            dataset, captions, commit, fingerprint = open_rows(config)
            larger = enlarged(image_processor, augmentation.room)
            cache_size = len(dataset) * 3 * math.prod(input_size(larger))
            reading = config.reading or ("cached" if cache_size <= _LARGEST_CACHE else "decoded")
            images: Images
            if reading == "cached":
                images = CachedImages(
                    self._decode(dataset, larger, cache_size), augmentation, image_processor
                )
            else:
                images = DecodedImages(dataset, augmentation, image_processor)
        processor = self._processor(lambda: itertools.chain.from_iterable(captions))
        tokens = Captions.tokenise(captions, processor.tokenizer)
        images.leave_out(tokens.broken)
        source = MappedSource(
            images,
            tokens,
            per_device_batch_size=config.per_device_step_size,
            seed=config.order_seed,
            micro_batches=config.gradient_accumulation_steps,
            workers=self._workers(is_cheap=reading == "cached" and not images.draws),
            process_index=self.accelerator.process_index,
            num_processes=self.accelerator.num_processes,
        )
        return Inputs(source, processor, reading, commit, fingerprint)

    @property
    def _augmentation(self) -> Augmentation:
        return Augmentation(
            crop_scale_min=self.config.crop_scale_min,
            flip=self.config.random_flip,
            color_jitter=self.config.color_jitter,
        )

    def _processor(self, captions: Callable[[], Iterable[str]]) -> ProcessorMixin:
        """The given one; else CLIP's, whose tokenizer is trained on the captions for a size with its own vocabulary."""
        if self.given is not None:
            return self.given
        size = model_size(self.config.scale)
        if size.vocab_size is None:
            tokenizer = clip_tokenizer(size.context_length)
        else:
            whole = (text for text in captions() if len(text) <= MAX_CAPTION)
            tokenizer = train_tokenizer(whole, vocab_size=size.vocab_size, context_length=size.context_length)
        return CLIPProcessor(image_processor=clip_image_processor(size), tokenizer=tokenizer)

    def _decode(self, dataset: datasets.Dataset, image_processor: Any, cache_size: int) -> Pixels:
        """The pixels of all images; says beforehand how much of the disk they take, unless they are decoded already."""
        is_main = self.accelerator.is_main_process
        if is_main and not self.config.quiet and not has_pixels(dataset, image_processor):
            folder = cache_folder("pixels")
            say(
                f"Decoding {len(dataset):,} images: their pixels take {readable_size(cache_size)} in {folder}."
            )
        pixels = decode_pixels(
            dataset,
            image_processor,
            desc="decoding",
            disable_tqdm=not (is_main and draws_bars(self.config)),
        )
        check_broken(np.flatnonzero(pixels.broken), len(pixels))
        return pixels

    def _workers(self, *, is_cheap: bool = False) -> Workers:
        """By default there are none on a CPU if reading is cheaper than sending the batch to another process."""
        device, count = self.accelerator.device, self.config.dataloader_num_workers
        if count is None:
            cheap = is_cheap and device.type == "cpu"
            count = 0 if cheap else spare_cores(device, self.config.num_threads or 1)
        return Workers(count, pin_memory=device.type == "cuda")


def enlarged(image_processor: Any, factor: float) -> Any:
    """The processor with an input whose sides are ``factor`` times as long."""
    if factor == 1:
        return image_processor
    larger = copy.deepcopy(image_processor)
    for name in ("size", "crop_size"):
        sides = {
            key: math.ceil(value * factor)
            for key, value in dict(getattr(larger, name) or {}).items()
            if value
        }
        setattr(larger, name, type(getattr(larger, name))(**sides))
    return larger


SOURCES: dict[str, Callable[[_Preparation], Inputs]] = {
    "cached": _Preparation.by_row,
    "decoded": _Preparation.by_row,
    "streamed": _Preparation.streamed,
}
"""What prepares each way of reading, by the value of ``reading``."""


def prepare_inputs(
    config: TrainingConfig,
    accelerator: Accelerator,
    given: ProcessorMixin | None = None,
) -> Inputs:
    """Load, decode and tokenise the training data; the main process first, the others read its cache.

    Args:
        config: the run.
        accelerator: tells the processes apart.
        given: processor of the model that the run continues; None for a new one.

    Raises:
        DatasetError: the data are absent or without captions, or their cache does not fit on the disk.
        TrainingError: more than 1 % of the images are broken.
    """
    reading = "streamed" if config.streaming else config.reading or "cached"
    return SOURCES[reading](_Preparation(config, accelerator, given))
