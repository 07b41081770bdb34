"""What a model's settings files may not say: code that transformers or timm would fetch and run; timm's processor."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from hf_clipdyn.errors import ModelError, naming

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")

_LAYERS, _MOST_LAYERS = ("num_hidden_layers", "depth"), 1024
_TIMM_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_.-]+)?")  # `hf-hub:them/model` would be fetched
# What `timm.create_model` would read from elsewhere.
_ELSEWHERE = {"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Within it, an error of transformers or torch becomes a `ModelError` that names the folder or the file.

    Their advice to run code from it is not passed on; a package that is lacking is named.
    """
    try:
        with naming(path, ModelError):
            yield
    except ModelError as error:
        said, cause = str(error), error.__cause__
        if "trust_remote_code" in said:
            said = f"{path} needs code of its own, and code from a repository is never run."
        elif isinstance(cause, UnpicklingError):
            said = f"{path} has a pickle of more than tensors, and code from a repository is never run."
        elif isinstance(cause, ImportError):
            extra = "'hf-clipdyn[siglip]'" if "Piece" in said or "protobuf" in said else cause.name
            said = f"{said.partition(' but ')[0]}: `pip install {extra}`."
        else:
            raise
        raise ModelError(said) from cause


def check_settings_files(folder: Path) -> None:
    """Refuse settings that would make transformers run code from elsewhere.

    Raises:
        ModelError: there is such a setting, or a number of layers of which transformers would build none, or until
            memory is full.
    """
    for path in (folder / name for name in ("config.json", *PROCESSOR_FILES)):
        if not path.is_file():
            continue
        with naming(path, ModelError):
            content = dict(json.loads(path.read_bytes()))
            for key, value in _settings(content):
                if "implementation" in key and "/" in str(value):  # of attention: owner/kernel
                    raise ModelError(f"{path} has {key} = {value!r}: code from the Hub is never run.")
                if key in _LAYERS and isinstance(value, int) and not 1 <= value <= _MOST_LAYERS:
                    raise ModelError(
                        f"{path} has {key} = {value}: expected from 1 to {_MOST_LAYERS:,} layers."
                    )
            if content.get("model_type") == "timm_wrapper" or "pretrained_cfg" in content:
                _check_timm(content, path)


def _settings(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of every setting, those of nested objects included."""
    for key, value in content.items():
        yield key, value
        if isinstance(value, dict):
            yield from _settings(value)


# --- timm's vision models, which transformers reads as `TimmWrapperModel` ---


def _check_timm(content: dict[str, Any], path: Path) -> None:
    """Refuse the configuration of a timm model that is not timm's own, or from which timm would load other files."""
    if not _TIMM_NAME.fullmatch(str(content.get("architecture"))):
        raise ModelError(
            f"{path} has architecture = {content.get('architecture')!r}: expected the name of a timm model."
        )
    if _ELSEWHERE & set(content.get("model_args") or {}):
        raise ModelError(f"{path} has model_args that load files or weights from elsewhere.")


def leave_out_head(config: Any) -> None:
    """Remove the number of classes from a TimmWrapperConfig's arguments.

    timm 1.0.31 saves it there, and transformers 5.24 sets it from the configuration itself.
    """
    (config.model_args or {}).pop("num_classes", None)


def timm_image_processor(processor: Any) -> Any:
    """The image processor of transformers that resizes, crops and normalises as timm's pipeline does.

    The pipeline itself cannot be taken apart; this one can, so that benchmarks show the same crops and squashed images
    as to any model. The two may differ by one pixel in where the crop begins, if an odd number of pixels is cut off.

    Raises:
        ModelError: the pipeline has other steps, or resizes by a filter that Pillow does not have.
    """
    from PIL.Image import Resampling
    from transformers import CLIPImageProcessorPil

    steps = {type(step).__name__: step for step in processor.val_transforms.transforms}
    if [name for name in steps if name not in ("ToTensor", "MaybeToTensor")] != [
        "Resize",
        "CenterCrop",
        "Normalize",
    ]:
        raise ModelError(
            f"The images of this timm model go through {', '.join(steps)}: only Resize, CenterCrop and Normalize can "
            "be measured."
        )
    side, (height, width) = steps["Resize"].size, steps["CenterCrop"].size
    interpolation = steps["Resize"].interpolation.name
    if interpolation not in Resampling.__members__:
        raise ModelError(f"This timm model resizes by {interpolation}, which Pillow does not have.")
    whole = None if isinstance(side, int) else dict(zip(("height", "width"), side, strict=True))
    return CLIPImageProcessorPil(
        size=whole or {"shortest_edge": side},
        crop_size={"height": height, "width": width},
        resample=Resampling[interpolation],
        image_mean=steps["Normalize"].mean.tolist(),
        image_std=steps["Normalize"].std.tolist(),
    )
