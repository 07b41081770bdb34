"""What a run learns from: decoded pixels, tokenised captions and the processor that made them."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import datasets
from accelerate import Accelerator
from transformers import CLIPProcessor, CLIPTokenizer

from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.errors import ConfigError, DatasetError, TrainingError
from hf_clipdyn.models.scales import Scale, clip_image_processor
from hf_clipdyn.models.tokenizers import clip_tokenizer, train_tokenizer
from hf_clipdyn.training.cached import CachedSource, Captions
from hf_clipdyn.training.folder import output_folder
from hf_clipdyn.training.shards import Shards, Shuffle, first_captions
from hf_clipdyn.training.source import Source
from hf_clipdyn.training.streamed import StreamedSource, Workers

__all__ = ["prepare_inputs"]

_MOST_BROKEN = 0.01
_TOKENIZER_CAPTIONS = 20_000  # of a stream; they determine a small vocabulary well


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


def _tokenizer(size: Scale, captions: Callable[[], Iterable[str]]) -> CLIPTokenizer:
    """CLIP's own tokenizer, or one trained on the captions for a scale that has its own vocabulary."""
    if size.vocab_size is None:
        return clip_tokenizer(size.context_length)
    return train_tokenizer(captions(), vocab_size=size.vocab_size, context_length=size.context_length)


def _streamed(config: TrainingConfig, size: Scale, accelerator: Accelerator) -> tuple[Source, CLIPProcessor]:
    """The entry ``streamed``: see `StreamedSource`."""
    assert config.samples_per_epoch is not None, "checked by the configuration"
    shards = Shards(_open(config), config.dataset_name)
    image_processor = clip_image_processor(size)
    tokenizer = _tokenizer(size, lambda: first_captions(shards, _TOKENIZER_CAPTIONS))
    source = StreamedSource(
        shards,
        image_processor,
        tokenizer,
        Shuffle(config.seed, config.shuffle_shards, config.shuffle_samples),
        streams=config.streams_per_process,
        samples_per_epoch=config.samples_per_epoch,
        per_device_batch_size=config.per_device_train_batch_size,
        workers=Workers(
            config.dataloader_num_workers or 0,
            config.dataloader_prefetch_factor,
            pin_memory=accelerator.device.type == "cuda",
        ),
        folder=output_folder(config) / "shards",
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    return source, CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer)


def prepare_inputs(
    config: TrainingConfig, size: Scale, accelerator: Accelerator
) -> tuple[Source, CLIPProcessor]:
    """Load, decode and tokenise the training data; the main process first, the others read its cache.

    Raises:
        DatasetError: the data are absent or without captions.
        TrainingError: more than 1 % of the images are broken.
    """
    if config.streaming:
        return _streamed(config, size, accelerator)
    image_processor = clip_image_processor(size)
    with accelerator.main_process_first():
        dataset = _load(config)
        pixels = decode_pixels(
            dataset,
            image_processor,
            cache_dir=config.cache_dir,
            desc="decoding",
            disable_tqdm=config.disable_tqdm or not accelerator.is_main_process,
        )
    if pixels.broken.mean() > _MOST_BROKEN:
        first = ", ".join(str(row) for row in pixels.broken.nonzero()[0][:5])
        raise TrainingError(
            f"{int(pixels.broken.sum())} of {len(pixels)} images cannot be decoded, more than 1 % (rows {first}, …): "
            "check the files and their download."
        )
    captions = dataset["captions"][:]
    tokenizer = _tokenizer(size, lambda: itertools.chain.from_iterable(captions))
    source = CachedSource(
        pixels,
        Captions.tokenise(captions, tokenizer),
        per_device_batch_size=config.per_device_train_batch_size,
        seed=config.seed,
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    return source, CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer)
