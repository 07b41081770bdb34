"""What changes an image from epoch to epoch, as CLIP and open_clip do it: crop, mirror, colours."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.transforms import InterpolationMode, v2

__all__ = ["Augmentation", "random_numbers"]

_JITTERED = 0.8  # share of the images whose colours change, as in open_clip's recipes and in SimCLR


@dataclass(frozen=True)
class Augmentation:
    """Random changes of uint8 pixels.

    Attributes:
        crop_scale_min: smallest share of the area in a random crop (RandomResizedCrop, aspect ratio 3/4 to 4/3); None:
            no random crop.
        flip: whether every other image is mirrored.
        color_jitter: range of brightness, contrast and saturation, in [0, 1]; the hue gets a quarter of it, as in
            open_clip's ``0.32 0.32 0.32 0.08``.
    """

    crop_scale_min: float | None = None
    flip: bool = False
    color_jitter: float = 0.0

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return self.crop_scale_min is not None or self.flip or self.color_jitter > 0

    @property
    def room(self) -> float:
        """How many times the side of the input a square must have, so that no crop of it is enlarged."""
        if self.crop_scale_min is None:
            return 1.0
        smallest = self.crop_scale_min
        # The shorter side of a crop: the longer one is at most the square's, and at most 4/3 of it.
        return 1 / max(smallest, math.sqrt(0.75 * smallest))

    def transform(
        self, fit: Callable[[torch.Tensor], torch.Tensor], height: int, width: int
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """What turns an image into the model's input.

        Args:
            fit: does so where there is no random crop.
            height, width: of the input.

        Returns:
            A function of (3, any, any) uint8 that draws from torch's generator, to be called in `random_numbers`.
        """
        steps: list[Callable[[torch.Tensor], torch.Tensor]] = [fit]
        if self.crop_scale_min is not None:
            steps = [
                v2.RandomResizedCrop(
                    (height, width),
                    scale=(self.crop_scale_min, 1.0),
                    interpolation=InterpolationMode.BICUBIC,
                    antialias=True,
                )
            ]
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        if self.color_jitter > 0:
            x = self.color_jitter
            steps.append(v2.RandomApply([v2.ColorJitter(x, x, x, x / 4)], p=_JITTERED))
        transform: Callable[[torch.Tensor], torch.Tensor] = v2.Compose(steps)
        return transform


@contextmanager
def random_numbers() -> Iterator[Callable[..., None]]:
    """A block in which torch's generator may be seeded by numbers, as ``seeded(seed, epoch, row)``.

    Afterwards it goes on as if nothing had happened: the model's own random numbers do not depend on who reads images.
    The generators of accelerators are left alone.
    """
    generator = torch.default_generator
    state = generator.get_state()

    def seeded(*numbers: int) -> None:
        generator.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))

    try:
        yield seeded
    finally:
        generator.set_state(state)
