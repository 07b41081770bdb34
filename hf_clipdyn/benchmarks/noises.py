"""What is done to pixels: Gaussian noise, salt and pepper, blur, each on a scale of its own.

Everything that is random is drawn from (seed, row), so that each revision and each level sees the same draw.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hf_clipdyn.benchmarks.base import Settings

__all__ = ["Blur", "GaussianNoise", "PixelNoise", "SaltAndPepper", "noise_group", "noises"]

AMOUNTS = (0.01, 0.02, 0.05, 0.1, 0.2)
BLURS = (0.5, 1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class PixelNoise(ABC):
    """A change of the uint8 pixels (H, W, 3) of row ``i``.

    Attributes:
        level: how strong; 0 changes nothing.
        seed: of what is random.
        kind, scale: names of the change and of what the level measures (of the class).
    """

    level: float
    seed: int = 0
    kind: ClassVar[str]
    scale: ClassVar[str]

    @property
    def key(self) -> str:
        """Names the change in a cache."""
        return f"{self.kind},{self.scale}={self.level!r},seed={self.seed}"

    @abstractmethod
    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]: ...


class GaussianNoise(PixelNoise):
    """x' = clamp(x + sigma n, 0, 1) on pixels in [0, 1], rounded to uint8; one n for all sigmas."""

    kind, scale = "gaussian", "sigma"

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        noise = np.random.default_rng([self.seed, row]).standard_normal(pixels.shape, np.float32)
        return np.clip(np.rint(pixels + 255 * np.float32(self.level) * noise), 0, 255).astype(np.uint8)


class SaltAndPepper(PixelNoise):
    """A share ``amount`` of the pixels (all channels at once) is black or white, half of them each.

    The pixels of a smaller amount are among those of a larger one.
    """

    kind, scale = "salt_and_pepper", "amount"

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        drawn = np.random.default_rng([self.seed, row]).random(pixels.shape[:2])
        noisy = pixels.copy()
        noisy[drawn < self.level / 2] = 0
        noisy[drawn >= 1 - self.level / 2] = 255
        return noisy


class Blur(PixelNoise):
    """A Gaussian of ``sigma`` pixels over the image, of the file or of the input as the stage says.

    No noise at all: it takes away what Gaussian noise adds, the high spatial frequencies.
    """

    kind, scale = "blur", "sigma"

    @property
    def key(self) -> str:
        return f"{self.kind},{self.scale}={self.level!r}"

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        del row  # nothing is random
        blurred = gaussian_filter(pixels.astype(np.float32), (self.level, self.level, 0))
        return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


def noises(settings: Settings) -> list[PixelNoise]:
    """The changes that the settings ask for, by kind and ascending level, without the level 0."""
    offered: dict[str, list[PixelNoise]] = {
        "gaussian": [GaussianNoise(sigma, settings.seed) for sigma in sorted({*settings.sigmas} - {0.0})],
        "salt_and_pepper": [SaltAndPepper(amount, settings.seed) for amount in AMOUNTS],
        "blur": [Blur(sigma) for sigma in BLURS],
    }
    return [one for kind in dict.fromkeys(settings.noise_kinds) for one in offered[kind]]


def noise_group(kind: str, level: float | None, stage: str) -> str:
    """Group of a result: ``sigma=0.10``, ``noise=salt_and_pepper,amount=0.10``, ``…,noise_stage=input``.

    Two decimals where they say the level, else all of its digits: two levels never share a name.
    """
    scale = {one.kind: one.scale for one in (GaussianNoise, SaltAndPepper, Blur)}[kind]
    parts = [] if kind == GaussianNoise.kind else [f"noise={kind}"]
    if level is not None:
        short = f"{level:.2f}"
        parts.append(f"{scale}={short if float(short) == level else repr(float(level))}")
    parts += [] if stage == "native" else [f"noise_stage={stage}"]
    return ",".join(parts)
