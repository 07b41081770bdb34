"""Pixels as a model takes them: normalised exactly as its image processor does, and as patches for NaFlex models."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hf_clipdyn.preprocess import normalisation, square_processor

_AT_ONCE, _PIXELS_AT_ONCE = (2, 32), 4 * 224**2
_SPATIAL_STEPS = ("do_resize", "do_center_crop", "do_pad", "do_convert_rgb")


def images_at_once(pixels: int) -> int:
    """How many images of that many pixels a CPU shows to a model in one forward pass.

    The activations of a larger batch of a small model are too large for the allocator to keep: it requests new pages
    from the system in every layer, which takes half of the time. A convolutional model's do not fit into the caches of
    the processor: at 224 pixels, an image of a batch of 32 takes 2.7 times (EfficientNet-Lite0) or 1.3 times
    (ResNet-18) as long as one of a batch of 4. ViT-B/32 is as fast either way.
    """
    fewest, most = _AT_ONCE
    return min(max(_PIXELS_AT_ONCE // max(pixels, 1), fewest), most)


class Normaliser:
    """Rescales and normalises images of the model's size exactly as its image processor does, without its overhead.

    A processor spends more time per image on grouping and stacking than on arithmetic: a tenth of a small model's
    forward pass.

    Args:
        image_processor: of transformers. It is called itself if its numbers differ in any bit from
            (level - mean) / deviation in float32 (`normalisation`), for any of the 256 grey levels of any channel.
    """

    def __init__(self, image_processor: Any) -> None:
        self._processor = square_processor(image_processor)
        self._off = {name: False for name in _SPATIAL_STEPS if hasattr(self._processor, name)}
        self._affine: dict[torch.device, tuple[torch.Tensor, torch.Tensor] | None] = {}

    def __call__(self, pixels: NDArray[Any], device: torch.device) -> torch.Tensor:
        """(n, H, W, 3) to (n, 3, H, W) float32 on that device; uint8 are grey levels, float32 are codes in [0, 1]."""
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2)
        if images.is_floating_point():
            images = images * 255.0  # not rounded: a faint contrast lies between two grey levels
        if device not in self._affine:
            self._affine[device] = self._verified(device)
        affine = self._affine[device]
        if affine is None:
            return self._processed(images)
        shift, deviation = affine
        return images.to(torch.float32, memory_format=torch.contiguous_format).sub_(shift).div_(deviation)

    def _processed(self, images: torch.Tensor) -> torch.Tensor:
        values = self._processor(images=images, return_tensors="pt", **self._off)["pixel_values"]
        return values.to(images.device)  # type: ignore[no-any-return]

    def _verified(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Mean and deviation of each channel, if they give what the processor gives."""
        affine = normalisation(self._processor)
        if affine is None:
            return None
        shift, deviation = (values.to(device) for values in affine)
        # All levels in each channel, no two channels alike: the steps see one value at a time.
        ramp = torch.arange(256, dtype=torch.uint8, device=device).reshape(16, 16)
        images = torch.stack([ramp, ramp + 85, ramp + 170])[None]
        same = torch.equal((images.float() - shift) / deviation, self._processed(images))
        return (shift, deviation) if same else None


def naflex_inputs(image_processor: Any, values: torch.Tensor) -> dict[str, torch.Tensor]:
    """Normalised pixels as the NaFlex models (SigLIP 2) take them: patches, their grid, and a mask of the padding."""
    side = image_processor.patch_size
    n, channels, height, width = values.shape
    grid = (height // side, width // side)
    rows = values.reshape(n, channels, grid[0], side, grid[1], side).permute(0, 2, 4, 3, 5, 1)
    rows = rows.reshape(n, grid[0] * grid[1], side * side * channels)
    padding = max(image_processor.max_num_patches - rows.shape[1], 0)
    mask = torch.ones(n, rows.shape[1] + padding, dtype=torch.int32, device=values.device)
    mask[:, rows.shape[1] :] = 0
    return {
        "pixel_values": torch.nn.functional.pad(rows, (0, 0, 0, padding)),
        "pixel_attention_mask": mask,
        "spatial_shapes": torch.tensor([grid] * n, device=values.device),
    }
