"""Checks of settings files, before transformers builds a model from them.

transformers checks types and some divisions only. It takes a negative number of layers for none, and tries to build any
large number.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_clipdyn.errors import ModelError, shown
from hf_clipdyn.schema import read_any_json

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")

_MOST_DEPTH = 16  # of nested objects; real files have four
_PIXELS = 16_384
_WIDTH = 2**20
# The largest count that is still plausible; the smallest is 1. Real models stay below a tenth of each.
_COUNTS = {
    "depth": 1024,
    "depths": 1024,
    "embed_dim": _WIDTH,
    "height": _PIXELS,
    "hidden_size": _WIDTH,
    "image_size": _PIXELS,
    "img_size": _PIXELS,
    "input_size": _PIXELS,
    "intermediate_size": _WIDTH,
    "longest_edge": _PIXELS,
    "max_num_patches": _PIXELS,
    "max_position_embeddings": 2**24,
    "num_attention_heads": 4096,
    "num_channels": 1024,
    "num_heads": 4096,
    "num_hidden_layers": 1024,
    "num_patches": 2**24,
    "patch_size": _PIXELS,
    "projection_dim": _WIDTH,
    "shortest_edge": _PIXELS,
    "vocab_size": 2**24,
    "width": _PIXELS,
}
_FILTERS = 5
_SHARES = ("attention_dropout", "attention_probs_dropout_prob", "dropout", "hidden_dropout_prob")
_SMALL = ("layer_norm_eps", "rms_norm_eps")
_ATTENTION = ("attn_implementation", "_attn_implementation")


def check_settings_files(folder: Path) -> None:
    """Check a snapshot's config.json and its image processor: numbers, and code that transformers would run."""
    for name in ("config.json", *PROCESSOR_FILES):
        path = folder / name
        if not path.is_file():
            continue
        content = read_any_json(path, error=ModelError, not_finite=float)
        if not isinstance(content, dict):
            raise ModelError(f"{path} contains a {type(content).__name__}, not an object.")
        check_numbers(content, str(path))
        check_timm(content, str(path))


def check_numbers(content: dict[str, Any], source: str) -> None:
    """Check a model's settings, nested objects included."""
    for where, key, value in _leaves(content, source):
        expected = _expected(key, value)
        if expected:
            raise ModelError(f"{source} has {where} = {shown(value)}: {expected}.")


def _leaves(content: dict[str, Any], source: str, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Full name, own name and value of every setting; a pair such as [8, 8] counts as two values."""
    if prefix.count(".") > _MOST_DEPTH:
        raise ModelError(
            f"{source} nests objects more than {_MOST_DEPTH} deep, which no model's settings need."
        )
    for key, value in content.items():
        where = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _leaves(value, source, f"{where}.")
        elif isinstance(value, list | tuple):
            yield from ((where, key, item) for item in value)
        else:
            yield where, key, value


def _expected(key: str, value: Any) -> str:
    """What the setting should be instead; empty where it is plausible, unknown or left open (null)."""
    if value is None:
        return ""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if key in _COUNTS and not (isinstance(value, int) and 1 <= number <= _COUNTS[key]):
        return f"expected a whole number from 1 to {_COUNTS[key]}"
    if key == "resample" and not (isinstance(value, int) and 0 <= number <= _FILTERS):
        return f"expected the number of one of Pillow's filters, from 0 to {_FILTERS}"
    if key in _SHARES and not 0 <= number <= 1:
        return "expected a number from 0 to 1"
    if key in _SMALL and not 0 <= number < 1:
        return "expected a number of 0 or more and below 1"
    if key in ("image_std", "rescale_factor") and not 0 < number < math.inf:
        return "expected a positive number"
    if key == "image_mean" and not math.isfinite(number):
        return "expected a number"
    if key in _ATTENTION and "/" in str(value):
        return "code from the Hub is never run"
    return ""


# --- timm's vision models, which transformers reads as `TimmWrapperModel` ---


_ARCHITECTURE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_.-]+)?")  # `hf-hub:them/model` would be fetched
# What `timm.create_model` would read from elsewhere.
_ELSEWHERE = {"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"}


def check_timm(content: dict[str, Any], source: str) -> None:
    """Refuse the configuration of a timm model that is not timm's own, or from which timm would load other files."""
    if content.get("model_type") != "timm_wrapper" and "pretrained_cfg" not in content:
        return
    name, arguments = content.get("architecture"), content.get("model_args") or {}
    if not isinstance(name, str) or not _ARCHITECTURE.fullmatch(name):
        raise ModelError(f"{source} has architecture = {shown(name)}: expected the name of a timm model.")
    if not isinstance(arguments, dict) or _ELSEWHERE & arguments.keys():
        raise ModelError(
            f"{source} has model_args that load files or weights from elsewhere: expected settings of the "
            "model only."
        )


def leave_out_head(config: Any) -> None:
    """Remove the number of classes from a TimmWrapperConfig's arguments.

    timm 1.0.31 saves it there, and transformers 5.24 sets it from the configuration itself.
    """
    (config.model_args or {}).pop("num_classes", None)


def timm_image_processor(processor: Any) -> Any:
    """The image processor of transformers that resizes, crops and normalises as timm's pipeline does.

    The pipeline itself cannot be taken apart; this one can, so that benchmarks show the same crops, squashed images and
    tiles as to any model. The two may differ by one pixel in where the crop begins, if an odd number of pixels is cut
    off.
    """
    from PIL.Image import Resampling
    from transformers import CLIPImageProcessorPil

    steps = {type(step).__name__: step for step in processor.val_transforms.transforms}
    names = [name for name in steps if name not in ("ToTensor", "MaybeToTensor")]
    if names != ["Resize", "CenterCrop", "Normalize"]:
        raise ModelError(
            f"The images of this timm model go through {', '.join(steps)}: only Resize, CenterCrop and Normalize can "
            "be measured."
        )
    side, (height, width) = steps["Resize"].size, steps["CenterCrop"].size
    filters = Resampling.__members__
    resample = steps["Resize"].interpolation.name
    if resample not in filters:
        raise ModelError(f"This timm model resizes by {resample}, which Pillow does not have.")
    return CLIPImageProcessorPil(
        size={"shortest_edge": side}
        if isinstance(side, int)
        else dict(zip(("height", "width"), side, strict=True)),
        crop_size={"height": height, "width": width},
        resample=filters[resample],
        image_mean=steps["Normalize"].mean.tolist(),
        image_std=steps["Normalize"].std.tolist(),
    )
