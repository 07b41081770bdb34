"""What a run learns from: decoded pixels, tokenised captions and the processor that made them."""

import itertools

import datasets
from accelerate import Accelerator
from transformers import CLIPProcessor, ProcessorMixin

from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.errors import ConfigError, DatasetError, TrainingError
from hf_clipdyn.models.scales import Scale, clip_image_processor
from hf_clipdyn.models.tokenizers import clip_tokenizer, train_tokenizer
from hf_clipdyn.training.cached import CachedSource, Captions
from hf_clipdyn.training.source import Source

__all__ = ["prepare_inputs"]

_MOST_BROKEN = 0.01


def _load(config: TrainingConfig) -> datasets.Dataset:
    dataset = load_dataset(
        config.dataset_name,
        name=config.dataset_config_name,
        data_dir=config.data_dir,
        split=config.train_split,
        token=config.hub_token,
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
    if config.validation_size >= len(dataset):
        raise ConfigError(
            f"validation_size is {config.validation_size}, but the split {config.train_split!r} has {len(dataset)} "
            "images: leave some to train on."
        )
    kept = len(dataset) - config.validation_size
    if config.max_train_samples is not None:
        kept = min(kept, config.max_train_samples)
    return dataset.select(range(kept))


def prepare_inputs(
    config: TrainingConfig, size: Scale, accelerator: Accelerator, given: ProcessorMixin | None = None
) -> tuple[Source, ProcessorMixin]:
    """Load, decode and tokenise the training data; the main process first, the others read its cache.

    Args:
        config: the run.
        size: decides the input of a new model.
        accelerator: tells the processes apart.
        given: processor of the model that the run continues; None for a new model.

    Raises:
        DatasetError: the data are absent or without captions.
        TrainingError: more than 1 % of the images are broken.
    """
    image_processor = clip_image_processor(size) if given is None else given.image_processor
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
    if given is not None:
        tokenizer = given.tokenizer
    elif size.vocab_size is None:
        tokenizer = clip_tokenizer(size.context_length)
    else:
        tokenizer = train_tokenizer(
            itertools.chain.from_iterable(captions),
            vocab_size=size.vocab_size,
            context_length=size.context_length,
        )
    source = CachedSource(
        pixels,
        Captions.tokenise(captions, tokenizer),
        per_device_batch_size=config.per_device_step_size,
        seed=config.seed,
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    return source, given or CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer)
