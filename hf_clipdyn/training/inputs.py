"""What a run learns from: a source of batches, and the processor that made them."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import datasets
import numpy as np
from accelerate import Accelerator
from transformers import CLIPProcessor, ProcessorMixin

from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.caches import cache_folder
from hf_clipdyn.data.captioned import MAX_CAPTION
from hf_clipdyn.data.pixels import Pixels, decode_pixels, has_pixels
from hf_clipdyn.errors import ConfigError, DatasetError, readable_size
from hf_clipdyn.models.sizes import ModelSize, clip_image_processor
from hf_clipdyn.models.tokenizers import clip_tokenizer, train_tokenizer
from hf_clipdyn.preprocess import input_size
from hf_clipdyn.training.augmentation import Augmentation
from hf_clipdyn.training.captions import Captions
from hf_clipdyn.training.folder import output_folder
from hf_clipdyn.training.images import CachedImages, DecodedImages, Images, check_broken
from hf_clipdyn.training.mapped import MappedSource
from hf_clipdyn.training.shards import Shards, Shuffle, first_captions
from hf_clipdyn.training.source import Source, Workers, spare_cores
from hf_clipdyn.training.statements import draws_bars, say
from hf_clipdyn.training.streamed import StreamedSource

__all__ = ["SOURCES", "Inputs", "prepare_inputs"]

_TOKENIZER_CAPTIONS = 20_000  # of a stream; enough for a small vocabulary
_LARGEST_CACHE = 4_000_000_000  # bytes of decoded pixels on the disk, unless `reading` is given


class Inputs(NamedTuple):
    """The batches, the processor that is published with the model, and the entry of `SOURCES` that was used."""

    source: Source
    processor: ProcessorMixin
    reading: str


def _open(config: TrainingConfig) -> Any:
    """The data set, streamed or not, with the columns ``image`` and ``captions``."""
    dataset = load_dataset(
        config.dataset_name,
        name=config.dataset_config_name,
        data_dir=config.data_dir,
        split=config.train_split,
        token=config.hub_token,
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
    return dataset


def _load(config: TrainingConfig) -> datasets.Dataset:
    dataset = _open(config)
    if config.validation_size >= len(dataset):
        raise ConfigError(
            f"validation_size is {config.validation_size}, but the split {config.train_split!r} has {len(dataset)} "
            "images: leave some to train on."
        )
    kept = len(dataset) - config.validation_size
    if config.max_train_samples is not None:
        kept = min(kept, config.max_train_samples)
    return dataset.select(range(kept))


def _processor(
    size: ModelSize, given: ProcessorMixin | None, captions: Callable[[], Iterable[str]]
) -> ProcessorMixin:
    """The given one; else CLIP's, whose tokenizer is trained on the captions for a size with its own vocabulary."""
    if given is not None:
        return given
    if size.vocab_size is None:
        tokenizer = clip_tokenizer(size.context_length)
    else:
        whole = (text for text in captions() if len(text) <= MAX_CAPTION)
        tokenizer = train_tokenizer(whole, vocab_size=size.vocab_size, context_length=size.context_length)
    return CLIPProcessor(image_processor=clip_image_processor(size), tokenizer=tokenizer)


def _streamed(
    config: TrainingConfig, size: ModelSize, accelerator: Accelerator, given: ProcessorMixin | None
) -> Inputs:
    """The entry ``streamed``: see `StreamedSource`."""
    assert config.samples_per_epoch is not None, "checked by the configuration"
    shards = Shards(_open(config), config.dataset_name)
    processor = _processor(size, given, lambda: first_captions(shards, _TOKENIZER_CAPTIONS))
    source = StreamedSource(
        shards,
        _augmentation(config),
        processor.image_processor,
        processor.tokenizer,
        Shuffle(config.order_seed, config.shuffle_shards, config.shuffle_samples),
        streams=config.streams_per_process,
        samples_per_epoch=config.samples_per_epoch,
        per_device_batch_size=config.per_device_step_size,
        workers=_workers(config, accelerator),
        folder=output_folder(config) / "shards",
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    return Inputs(source, processor, "streamed")


def prepare_inputs(
    config: TrainingConfig, size: ModelSize, accelerator: Accelerator, given: ProcessorMixin | None = None
) -> Inputs:
    """Load, decode and tokenise the training data; the main process first, the others read its cache.

    Args:
        config: the run.
        size: decides the input of a new model.
        accelerator: tells the processes apart.
        given: processor of the model that the run continues; None for a new one.

    Raises:
        DatasetError: the data are absent or without captions, or their cache does not fit on the disk.
        TrainingError: more than 1 % of the images are broken.
    """
    if config.streaming:
        return SOURCES["streamed"](config, size, accelerator, given)
    prepare = _by_row if config.reading is None else SOURCES[config.reading]
    return prepare(config, size, accelerator, given)


def _by_row(
    config: TrainingConfig, size: ModelSize, accelerator: Accelerator, given: ProcessorMixin | None
) -> Inputs:
    """The entries ``cached`` and ``decoded``: see `MappedSource`. By default the size of the data decides."""
    image_processor = clip_image_processor(size) if given is None else given.image_processor
    with accelerator.main_process_first():
        dataset, augmentation = _load(config), _augmentation(config)
        roomy = _roomy(image_processor, augmentation.room)
        cache_size = len(dataset) * 3 * math.prod(input_size(roomy))
        reading = config.reading or ("cached" if cache_size <= _LARGEST_CACHE else "decoded")
        if reading == "cached":
            pixels = _decode(dataset, roomy, cache_size, config, accelerator)
            images: Images = CachedImages(pixels, augmentation, image_processor)
        else:
            images = DecodedImages(dataset, augmentation, image_processor)
    captions = [[text for text in texts or () if text is not None] for texts in dataset["captions"][:]]
    processor = _processor(size, given, lambda: itertools.chain.from_iterable(captions))
    tokens = Captions.tokenise(captions, processor.tokenizer)
    images.leave_out(tokens.broken)
    source = MappedSource(
        images,
        tokens,
        per_device_batch_size=config.per_device_step_size,
        seed=config.order_seed,
        all_captions=config.caption_choice == "all",
        workers=_workers(config, accelerator, is_cheap=reading == "cached" and not images.draws),
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    return Inputs(source, processor, reading)


def _augmentation(config: TrainingConfig) -> Augmentation:
    return Augmentation(
        crop_scale_min=config.crop_scale_min if config.random_resized_crop else None,
        flip=config.random_flip,
        color_jitter=config.color_jitter,
    )


def _roomy(image_processor: Any, room: float) -> Any:
    """The processor with an input whose sides are ``room`` times as long."""
    if room == 1:
        return image_processor
    roomy = copy.deepcopy(image_processor)
    for name in ("size", "crop_size"):
        sides = {
            key: math.ceil(value * room) for key, value in dict(getattr(roomy, name) or {}).items() if value
        }
        setattr(roomy, name, type(getattr(roomy, name))(**sides))
    return roomy


def _decode(
    dataset: datasets.Dataset,
    image_processor: Any,
    cache_size: int,
    config: TrainingConfig,
    accelerator: Accelerator,
) -> Pixels:
    """The pixels of all images; says beforehand how much of the disk they take, unless they are decoded already."""
    is_main, cache_dir = accelerator.is_main_process, config.cache_dir
    if is_main and not config.quiet and not has_pixels(dataset, image_processor, cache_dir=cache_dir):
        folder = cache_folder("pixels", cache_dir)
        say(f"Decoding {len(dataset):,} images: their pixels take {readable_size(cache_size)} in {folder}.")
    pixels = decode_pixels(
        dataset,
        image_processor,
        cache_dir=cache_dir,
        desc="decoding",
        disable_tqdm=not (is_main and draws_bars(config)),
    )
    check_broken(np.flatnonzero(pixels.broken), len(pixels))
    return pixels


def _workers(config: TrainingConfig, accelerator: Accelerator, *, is_cheap: bool = False) -> Workers:
    """By default there are none on a CPU if reading is cheaper than sending the batch to another process."""
    device, count = accelerator.device, config.dataloader_num_workers
    if count is None:
        cheap = is_cheap and device.type == "cpu"
        count = 0 if cheap else spare_cores(device, config.num_threads or 1)
    return Workers(count, config.dataloader_prefetch_factor, pin_memory=device.type == "cuda")


SOURCES: dict[str, Callable[[TrainingConfig, ModelSize, Accelerator, ProcessorMixin | None], Inputs]] = {
    "cached": _by_row,
    "decoded": _by_row,
    "streamed": _streamed,
}
"""What prepares each way of reading, by the value of ``reading``."""
