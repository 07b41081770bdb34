"""The image processor of a model, taken apart: resize, crop, normalise, and where in an image its input lies.

Every step is the processor's own, so that training and each evaluated revision see the numbers that it would give a
user. torch and transformers are imported inside the functions, since the declarations of benchmarks load neither.
"""

import copy
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.errors import DatasetError

if TYPE_CHECKING:
    import torch

_ARITHMETIC = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")


# --- resize and crop -----------------------------------------------------------------------------------


def resize_and_crop(
    image_processor: Any, images: Sequence[Image.Image | NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """What the processor gives before it rescales and normalises: (n, height, width, 3) uint8."""
    batch = image_processor(list(images), do_rescale=False, do_normalize=False, return_tensors="np")
    return np.ascontiguousarray(batch["pixel_values"].transpose(0, 2, 3, 1), dtype=np.uint8)


def direct_fit(image_processor: Any) -> "Callable[[torch.Tensor], torch.Tensor] | None":
    """What gives the pixels of `resize_and_crop` for (3, any, any) uint8 in a third of the processor's time.

    The two usual ways are known: resize the shortest edge and crop the centre (CLIP), or resize the whole image
    (SigLIP), both by the functions of torchvision that the processor itself calls.

    Returns:
        A function to (3, height, width) uint8; None if the processor is of another class or does anything else.
    """
    from torchvision.transforms import InterpolationMode, v2
    from transformers import CLIPImageProcessor, SiglipImageProcessor

    height, width = input_size(image_processor)
    settings = image_processor.to_dict()
    size = {key: value for key, value in dict(settings.get("size") or {}).items() if value is not None}
    crops = bool(settings.get("do_center_crop"))
    is_cropped = crops and size.keys() == {"shortest_edge"} and size["shortest_edge"] >= max(height, width)
    is_squashed = not crops and size.keys() == {"height", "width"}
    is_resized = settings.get("do_resize") and settings.get("resample") == Image.Resampling.BICUBIC
    # Processors of other classes resize in ways of their own.
    is_known = type(image_processor) in (CLIPImageProcessor, SiglipImageProcessor)
    if not (is_known and is_resized and (is_cropped or is_squashed)) or settings.get("do_pad"):
        return None
    to = [size["shortest_edge"]] if is_cropped else [height, width]

    def fitted(pixels: "torch.Tensor") -> "torch.Tensor":
        resized = v2.functional.resize(pixels, to, InterpolationMode.BICUBIC, antialias=True)
        # `CenterCrop` rounds half a pixel to the even number, the processor rounds it down.
        top, left = (resized.shape[-2] - height) // 2, (resized.shape[-1] - width) // 2
        centre: torch.Tensor = v2.functional.crop(resized, top, left, height, width)
        return centre

    return fitted


def processor_identity(image_processor: Any) -> str:
    """What determines the pixels: class and settings of the processor, versions of the libraries that resize."""
    import PIL
    import torchvision

    settings = {
        key: value
        for key, value in image_processor.to_dict().items()
        if key.startswith(("do_resize", "do_center_crop", "do_pad", "size", "crop", "resample", "default_to"))
    }
    libraries = {"torchvision": torchvision.__version__, "pillow": PIL.__version__}
    return json.dumps([type(image_processor).__name__, settings, libraries], sort_keys=True, default=str)


def input_size(image_processor: Any) -> tuple[int, int]:
    """Height and width in pixels of what a processor gives; for a NaFlex model, of `square_processor`."""
    image_processor = square_processor(image_processor)
    crops = getattr(image_processor, "do_center_crop", False)
    size = dict((image_processor.crop_size if crops else image_processor.size) or {})
    height, width = size.get("height"), size.get("width")
    if height is None or width is None:
        raise DatasetError(
            f"{type(image_processor).__name__} gives images of no fixed size ({size}): use a model of a fixed one."
        )
    return int(height), int(width)


def square_processor(image_processor: Any) -> Any:
    """The processor itself, or a square one if its patch grid follows the image's shape (SigLIP 2 NaFlex).

    Decoded pixels are cached at one size. The square is the largest that the processor's number of patches allows. The
    whole image is resized to it, and a square image gives exactly the pixels that the processor itself gives.
    """
    budget = getattr(image_processor, "max_num_patches", None)
    if budget is None:
        return image_processor
    from transformers import SiglipImageProcessor
    from transformers.models.siglip2.image_processing_siglip2 import get_image_size_for_max_num_patches

    patch = image_processor.patch_size
    height, width = get_image_size_for_max_num_patches(patch, patch, patch, budget)
    return SiglipImageProcessor(
        size={"height": height, "width": width},
        resample=image_processor.resample,
        **{name: getattr(image_processor, name) for name in _ARITHMETIC},
    )


def squashing_processor(image_processor: Any) -> Any:
    """A processor that resizes the whole image to the model's input size, whatever its aspect ratio."""
    height, width = input_size(image_processor)
    squashing = copy.deepcopy(square_processor(image_processor))
    squashing.size = type(squashing.size)(height=height, width=width)
    squashing.do_resize, squashing.do_center_crop, squashing.do_pad = True, False, False
    return squashing


# --- geometry ------------------------------------------------------------------------------------------


def input_edges(image_processor: Any, width: int, height: int) -> list[tuple[float, float]]:
    """Where in an image the model's input lies after resizing and cropping.

    Args:
        image_processor: of transformers.
        width, height: of the image, in pixels.

    Returns:
        (left, right) and (top, bottom) in the image's own pixels. They are fractions of pixels in general, and lie
        outside the image where the processor pads it.
    """
    resized = _resized(image_processor, width, height)
    crop = resized
    if getattr(image_processor, "do_center_crop", False):
        crop = int(image_processor.crop_size["width"]), int(image_processor.crop_size["height"])
    edges = []
    for length, resized_length, cut in zip((width, height), resized, crop, strict=True):
        # As the processors round: towards zero, and away from it where they must pad.
        start = int((resized_length - cut) / 2) if cut <= resized_length else -((cut - resized_length) // 2)
        scale = length / resized_length
        edges.append((start * scale, (start + cut) * scale))
    return edges


def _resized(image_processor: Any, width: int, height: int) -> tuple[int, int]:
    """Width and height after the processor's own resizing."""
    if not getattr(image_processor, "do_resize", True):
        return width, height
    size = dict(image_processor.size)
    shortest = size.get("shortest_edge")
    if shortest is None:
        return int(size["width"]), int(size["height"])
    return int(shortest * width / min(width, height)), int(shortest * height / min(width, height))


# --- normalise -----------------------------------------------------------------------------------------


def normalisation(image_processor: Any) -> "tuple[torch.Tensor, torch.Tensor] | None":
    """Mean and standard deviation of each channel in grey levels, (3, 1, 1) float32; None if it has none."""
    import torch

    wanted = ("image_mean", "image_std", "rescale_factor")
    mean, deviation, factor = (getattr(image_processor, name, None) for name in wanted)
    if mean is None or deviation is None or not factor:
        return None
    shift, scale = ((torch.tensor(one) * (1.0 / factor)).reshape(-1, 1, 1) for one in (mean, deviation))
    return shift, scale
