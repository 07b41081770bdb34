"""From uint8 pixels to what a model takes: the image processor's own numbers, without its overhead.

A processor spends more time per image on grouping and stacking than on arithmetic: a tenth of a small model's
forward pass.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import SiglipImageProcessor

__all__ = ["PixelValues", "patches"]

_SPATIAL_STEPS = ("do_resize", "do_center_crop", "do_pad", "do_convert_rgb")
_LEVELS = 256


class PixelValues:
    """Rescales and normalises images of the model's size exactly as its image processor does.

    Args:
        image_processor: of transformers. Where its numbers are not (x - mean / factor) / (deviation / factor) in
            float32, bit for bit and for each of the 256 grey levels of each channel, it is called itself.
    """

    def __init__(self, image_processor: Any) -> None:
        self._processor = _uncut(image_processor)
        self._off = {name: False for name in _SPATIAL_STEPS if hasattr(self._processor, name)}
        self._affine: dict[torch.device, tuple[torch.Tensor, torch.Tensor] | None] = {}

    def __call__(self, pixels: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """(n, H, W, 3) uint8 to (n, 3, H, W) float32 on that device."""
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2)
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
        """The shift and the deviation of each channel, if they give what the processor gives."""
        wanted = ("image_mean", "image_std", "rescale_factor")
        mean, deviation, factor = (getattr(self._processor, name, None) for name in wanted)
        if mean is None or deviation is None or not factor:
            return None
        shift, scale = (
            (torch.tensor(values) * (1.0 / factor)).to(device).reshape(-1, 1, 1)
            for values in (mean, deviation)
        )
        # All levels in each channel, no two channels alike: the steps see one value at a time.
        ramp = torch.arange(_LEVELS, dtype=torch.uint8, device=device).reshape(16, 16)
        images = torch.stack([ramp, ramp + 85, ramp + 170])[None]
        same = torch.equal((images.float() - shift) / scale, self._processed(images))
        return (shift, scale) if same else None


def _uncut(image_processor: Any) -> Any:
    """A processor with the same arithmetic that leaves images whole, for one that cuts them into patches."""
    if not hasattr(image_processor, "max_num_patches"):
        return image_processor
    steps = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")
    return SiglipImageProcessor(**{name: getattr(image_processor, name) for name in steps})


def patches(values: torch.Tensor, side: int, n_patches: int) -> dict[str, torch.Tensor]:
    """Normalised pixels as the NaFlex models (SigLIP 2) take them, with the mask of what is padding.

    Args:
        values: (n, 3, H, W), H and W multiples of ``side``.
        side: of a patch, in pixels.
        n_patches: patches per image, those of padding included.
    """
    n, channels, height, width = values.shape
    grid = (height // side, width // side)
    rows = values.reshape(n, channels, grid[0], side, grid[1], side).permute(0, 2, 4, 3, 5, 1)
    rows = rows.reshape(n, grid[0] * grid[1], side * side * channels)
    padding = max(n_patches - rows.shape[1], 0)
    mask = torch.ones(n, rows.shape[1] + padding, dtype=torch.int32, device=values.device)
    mask[:, rows.shape[1] :] = 0
    return {
        "pixel_values": torch.nn.functional.pad(rows, (0, 0, 0, padding)),
        "pixel_attention_mask": mask,
        "spatial_shapes": torch.tensor([grid] * n, device=values.device),
    }
