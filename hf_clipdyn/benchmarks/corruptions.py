"""Corruptions of the pixels: Gaussian noise, salt and pepper, blur.

Random numbers are drawn from (seed, row), so that each revision and each level sees the same draw.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hf_clipdyn.results.terms import Axis, Condition

__all__ = ["CORRUPTIONS", "Blur", "Corruption", "GaussianNoise", "SaltAndPepper"]


@dataclass(frozen=True)
class Corruption(ABC):
    """A change of the uint8 pixels (H, W, 3) of row ``i`` of a data set.

    Attributes:
        level: strength, in the unit of its axis; 0 changes nothing.
        seed: of the random numbers.
        name, term: its name in the column ``condition``, and its words (of the class).
        scale: what the level measures, for `key` (of the class).
        levels: levels to show unless others are asked for (of the class).
    """

    level: float
    seed: int = 0
    name: ClassVar[str]
    term: ClassVar[Condition]
    scale: ClassVar[str]
    levels: ClassVar[tuple[float, ...]]

    @property
    def key(self) -> str:
        """Names the change in the cache of decoded pixels."""
        return f"{self.name},{self.scale}={self.level!r},seed={self.seed}"

    @abstractmethod
    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]: ...


class GaussianNoise(Corruption):
    """x' = clamp(x + sigma n, 0, 1) on pixels in [0, 1], rounded to uint8; the same n for all sigmas."""

    name, scale = "gaussian", "sigma"
    term = Condition(
        title="Gaussian noise", level=Axis(title="sigma", unit="of the pixel range"), untouched=0.0
    )
    levels = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        noise = np.random.default_rng([self.seed, row]).standard_normal(pixels.shape, np.float32)
        return np.clip(np.rint(pixels + 255 * np.float32(self.level) * noise), 0, 255).astype(np.uint8)


class SaltAndPepper(Corruption):
    """Turn a fraction ``amount`` of the pixels black or white, half each, all channels of a pixel at once.

    The pixels of a smaller amount are among those of a larger one.
    """

    name, scale = "salt_and_pepper", "amount"
    term = Condition(title="salt and pepper", level=Axis(title="amount", unit="of the pixels"), untouched=0.0)
    levels = (0.01, 0.02, 0.05, 0.1, 0.2)

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        drawn = np.random.default_rng([self.seed, row]).random(pixels.shape[:2])
        noisy = pixels.copy()
        noisy[drawn < self.level / 2] = 0
        noisy[drawn >= 1 - self.level / 2] = 255
        return noisy


class Blur(Corruption):
    """Convolve with a Gaussian of ``sigma`` pixels: pixels of the file or of the model's input, depending on the stage.

    It is no noise: it removes high spatial frequencies, which Gaussian noise adds.
    """

    name, scale = "blur", "sigma"
    term = Condition(title="blur", level=Axis(title="sigma", unit="px"), untouched=0.0)
    levels = (0.5, 1.0, 1.5, 2.0, 3.0)

    @property
    def key(self) -> str:
        return f"{self.name},{self.scale}={self.level!r}"

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        del row  # nothing is random
        blurred = gaussian_filter(pixels.astype(np.float32), (self.level, self.level, 0))
        return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


CORRUPTIONS: dict[str, type[Corruption]] = {one.name: one for one in (GaussianNoise, SaltAndPepper, Blur)}
"""By name."""
