"""Where a run begins that continues a trained model: its files, and the processor that comes with them."""

from pathlib import Path

from transformers import CLIPProcessor, PreTrainedConfig, ProcessorMixin, SiglipProcessor

from hf_clipdyn.errors import ModelError
from hf_clipdyn.models.encoder import read_input, read_tokenizer
from hf_clipdyn.models.snapshots import snapshot_folder
from hf_clipdyn.preprocess import input_size

__all__ = ["model_folder", "read_processor"]

_PROCESSORS = {"clip": CLIPProcessor, "siglip": SiglipProcessor}


def model_folder(name_or_path: str, revision: str, store: str | None, token: str | None) -> Path:
    """The folder with the files of a model; those on the Hub are fetched if they are not cached.

    Args:
        name_or_path: a folder, or a repository as ``owner/name``.
        revision: of the repository, as ``epoch-010``.
        store: a local store, the only place that is then looked in; None for the Hub.
        token: for private repositories.

    Raises:
        ModelError: a revision of a folder is asked for.
        RevisionNotFoundError: there is no such folder, nor such a revision.
    """
    folder = Path(name_or_path).expanduser()
    if store is None and folder.is_dir():
        if revision != "main":
            raise ModelError(
                f"{folder} is a folder, which has no revision {revision}: name its repository, and the store that "
                "holds it as model_store."
            )
        return folder
    return snapshot_folder(
        name_or_path,
        revision,
        cache_dir=None if store is None else Path(store).expanduser(),
        local_files_only=store is not None,
        token=token,
    )


def read_processor(folder: Path) -> ProcessorMixin:
    """The processor of a CLIP or SigLIP model, whose captions are at most as long as its context.

    Raises:
        ModelError: the files are those of another model, or do not fit each other.
    """
    config, image_processor = read_input(folder)
    _check_type(folder, config)
    tokenizer = read_tokenizer(folder, config)
    # Without a length of its own a tokenizer pads to 10^30 tokens.
    context = config.text_config.max_position_embeddings
    tokenizer.model_max_length = min(tokenizer.model_max_length, context)
    _check_input(folder, config, image_processor)
    if len(tokenizer) > config.text_config.vocab_size:
        raise ModelError(
            f"The tokenizer in {folder} has {len(tokenizer):,} tokens, more than the {config.text_config.vocab_size:,} "
            "of the model: save the tokenizer that it was trained with."
        )
    processor: ProcessorMixin = _PROCESSORS[config.model_type](
        image_processor=image_processor, tokenizer=tokenizer
    )
    return processor


def _check_type(folder: Path, config: PreTrainedConfig) -> None:
    if config.model_type not in _PROCESSORS:
        raise ModelError(
            f"{folder} holds a model of type {config.model_type}; training continues CLIP and SigLIP: take a model of "
            f"type {' or '.join(_PROCESSORS)}."
        )


def _check_input(folder: Path, config: PreTrainedConfig, image_processor: object) -> None:
    side = config.vision_config.image_size
    given = input_size(image_processor)
    if given != (side, side):
        raise ModelError(
            f"The image processor in {folder} gives {given[0]} x {given[1]} pixels, its model takes {side} x {side}: "
            "correct the size in preprocessor_config.json."
        )
    factor = getattr(image_processor, "rescale_factor", None)
    steps = [getattr(image_processor, name, False) for name in ("do_rescale", "do_normalize")]
    if not all(steps) or factor is None or abs(factor * 255 - 1) > 1e-6:
        raise ModelError(
            f"The image processor in {folder} does not divide by 255 and normalise, as training does: set do_rescale "
            "and do_normalize to true and rescale_factor to 1/255."
        )
