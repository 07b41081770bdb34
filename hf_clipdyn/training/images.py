"""Where the pixels of a training image come from: a cache of decoded pixels, or its file."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import datasets
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import InterpolationMode, v2

from hf_clipdyn.data.captioned import MAX_CAPTION
from hf_clipdyn.data.images import decode_tensor
from hf_clipdyn.data.pixels import Pixels
from hf_clipdyn.errors import TrainingError
from hf_clipdyn.preprocess import direct_fit, input_size

Transform = Callable[[torch.Tensor], torch.Tensor]
"""From (3, any, any) uint8 to the model's input."""

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

    def transform(self, fit: Transform, height: int, width: int) -> Transform:
        """What turns an image into the model's input.

        Args:
            fit: does so where there is no random crop.
            height, width: of the input.

        Returns:
            A function of (3, any, any) uint8 that draws from torch's generator, to be called in `random_numbers`.
        """
        steps: list[Transform] = [fit]
        if self.crop_scale_min is not None:
            scale, bicubic = (self.crop_scale_min, 1.0), InterpolationMode.BICUBIC
            steps = [v2.RandomResizedCrop((height, width), scale, interpolation=bicubic, antialias=True)]
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        if self.color_jitter > 0:
            x = self.color_jitter
            steps.append(v2.RandomApply([v2.ColorJitter(x, x, x, x / 4)], p=_JITTERED))
        transform: Transform = v2.Compose(steps)
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


_MOST_BROKEN = 0.01


def check_broken(broken: NDArray[np.integer], total: int) -> None:
    """Stop where many images of a data set cannot be decoded, or have an overlong caption.

    Args:
        broken: rows of these images.
        total: images of the data set.

    Raises:
        TrainingError: they are more than 1 %.
    """
    if len(broken) > _MOST_BROKEN * total:
        first = ", ".join(str(row) for row in sorted(broken.tolist())[:5])
        raise TrainingError(
            f"{len(broken)} of {total} images cannot be decoded or have a caption of over {MAX_CAPTION:,} characters, "
            f"more than 1 % (rows {first}, …): check the files and their download."
        )


class Images(ABC):
    """The images of a data set by row, as the model's input.

    Attributes:
        rows: (images,) rows that can be drawn; those that are known to be broken are left out.
        broken: (broken images,) rows that are known to be broken before anything is read.
        draws: whether `read` draws random numbers.
    """

    def __init__(
        self, is_broken: NDArray[np.bool_], fit: Transform, augmentation: Augmentation, image_processor: Any
    ) -> None:
        self.rows, self.broken = np.flatnonzero(~is_broken), np.flatnonzero(is_broken)
        self.draws = bool(augmentation)
        self._transform = augmentation.transform(fit, *input_size(image_processor))

    def leave_out(self, rows: NDArray[np.int64]) -> None:
        """Count these rows as broken.

        Raises:
            TrainingError: with them, more than 1 % are broken.
        """
        self.rows, self.broken = np.setdiff1d(self.rows, rows), np.union1d(self.broken, rows)
        check_broken(self.broken, len(self.rows) + len(self.broken))

    @abstractmethod
    def read(self, row: int) -> torch.Tensor | None:
        """(3, height, width) uint8; None if the image is broken.

        It draws from torch's generator, which the caller seeds.
        """

    def read_all(self, rows: NDArray[np.int64]) -> torch.Tensor | None:  # noqa: ARG002
        """(rows, 3, height, width) uint8 where all can be had at once, with nothing to draw; else None."""
        return None


class CachedImages(Images):
    """Pixels of `decode_pixels`.

    Args:
        pixels: as the model's image processor gives them, or a larger square where ``augmentation`` crops.
        augmentation: what changes them.
        image_processor: the model's.
    """

    def __init__(self, pixels: Pixels, augmentation: Augmentation, image_processor: Any) -> None:
        super().__init__(pixels.broken, torch.nn.Identity(), augmentation, image_processor)
        self._array = pixels.array

    def read(self, row: int) -> torch.Tensor | None:
        pixels = torch.from_numpy(np.array(self._array[row])).permute(2, 0, 1).contiguous()
        return self._transform(pixels)

    def read_all(self, rows: NDArray[np.int64]) -> torch.Tensor | None:
        return None if self.draws else torch.from_numpy(self._array[rows]).permute(0, 3, 1, 2)

    def __getstate__(self) -> dict[str, Any]:
        """A worker that is not forked opens the file itself, in place of receiving its content."""
        file = getattr(self._array, "filename", None)
        return self.__dict__ | ({} if file is None else {"_array": str(file)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        array = state["_array"]
        self.__dict__ |= state | {
            "_array": np.load(array, mmap_mode="r") if isinstance(array, str) else array
        }


class DecodedImages(Images):
    """Files, or their content in the table, decoded whenever they are read.

    Args:
        dataset: with the column ``image``.
        augmentation: what changes the images.
        image_processor: the model's; without augmentation the pixels are the ones that it gives.
    """

    def __init__(self, dataset: datasets.Dataset, augmentation: Augmentation, image_processor: Any) -> None:
        super().__init__(np.zeros(len(dataset), bool), fit_of(image_processor), augmentation, image_processor)
        self._cells = dataset.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))

    def read(self, row: int) -> torch.Tensor | None:
        with suppress(OSError):
            return self._transform(decode_tensor(self._cells[row]["image"]))
        return None


def fit_of(image_processor: Any) -> Transform:
    """What an image processor does to (3, any, any) uint8 before it rescales and normalises."""
    return direct_fit(image_processor) or partial(_processed, image_processor)


def _processed(image_processor: Any, pixels: torch.Tensor) -> torch.Tensor:
    batch = image_processor([pixels], do_rescale=False, do_normalize=False, return_tensors="pt")
    image: torch.Tensor = batch["pixel_values"][0].to(torch.uint8)
    return image
