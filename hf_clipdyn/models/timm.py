"""timm's vision models, which transformers reads as `TimmWrapperModel`.

Their image processor is a pipeline of timm that cannot be taken apart. `image_processor_of` gives the processor of
transformers that does the same, so that benchmarks can show the same crops, squashed images and tiles as to any model.
"""

import re
from typing import Any

from hf_clipdyn.errors import ModelError, shown

__all__ = ["check_timm", "image_processor_of", "leave_out_head"]

_ARCHITECTURE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_.-]+)?")  # `hf-hub:them/model` would be fetched
# What `timm.create_model` would read from elsewhere.
_ELSEWHERE = {"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"}


def check_timm(content: dict[str, Any], source: str) -> None:
    """Check a configuration, if it is one of a timm model, before timm builds anything from it.

    Args:
        content: of config.json.
        source: what it was read from, for the message.

    Raises:
        ModelError: it names no architecture of timm's own, or a file from which timm would load.
    """
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

    timm 1.0.31 saves it there, and transformers 5.24 cannot build a TimmWrapperModel with it: it has no head.
    """
    (config.model_args or {}).pop("num_classes", None)


def image_processor_of(processor: Any) -> Any:
    """The image processor of transformers that resizes, crops and normalises as timm's pipeline does.

    The two may differ by one pixel in where the crop begins, if an odd number of pixels is cut off.

    Args:
        processor: a TimmWrapperImageProcessor.

    Raises:
        ModelError: the pipeline has other steps than these.
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
