"""The training data: decoded pixels, tokenised captions and their processor."""

import itertools
from dataclasses import dataclass

import datasets
from accelerate import Accelerator
from transformers import CLIPProcessor

from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.pixels import Pixels, decode_pixels
from hf_clipdyn.errors import ConfigError, DatasetError, TrainingError
from hf_clipdyn.models.sizes import ModelSize, clip_image_processor
from hf_clipdyn.models.tokenizers import clip_tokenizer, train_tokenizer
from hf_clipdyn.training.batches import Captions

__all__ = ["Inputs", "prepare_inputs"]

_MOST_BROKEN = 0.01


@dataclass(frozen=True)
class Inputs:
    """Pixels, tokens, and the processor that is published with every revision."""

    pixels: Pixels
    captions: Captions
    processor: CLIPProcessor

    @property
    def broken(self) -> int:
        """Number of images that cannot be decoded and are skipped."""
        return int(self.pixels.broken.sum())


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


def prepare_inputs(config: TrainingConfig, size: ModelSize, accelerator: Accelerator) -> Inputs:
    """Load, decode and tokenise the training data; the main process first, the others from its cache.

    Raises:
        DatasetError: the data are absent or without captions.
        TrainingError: more than 1 % of the images are broken.
    """
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
    if size.vocab_size is None:
        tokenizer = clip_tokenizer(size.context_length)
    else:
        tokenizer = train_tokenizer(
            itertools.chain.from_iterable(captions),
            vocab_size=size.vocab_size,
            context_length=size.context_length,
        )
    return Inputs(
        pixels=pixels,
        captions=Captions.tokenise(captions, tokenizer),
        processor=CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer),
    )
