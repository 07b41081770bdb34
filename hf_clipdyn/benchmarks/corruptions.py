"""Corruptions of the pixels: Gaussian noise, salt and pepper, blur, and the published degradations.

Random numbers are drawn from (seed, row), so that each revision and each level sees the same draw.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks import degradations
from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.results.terms import Axis, Condition

Floats = NDArray[np.float64]

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Standard deviations of the Gaussian noise that are shown by default, beside 0."""


def _is_within(value: float, interval: str) -> bool:
    """Whether a number is in ``[low, high]``; a parenthesis excludes the bound. NaN is in no interval."""
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    return above and (value <= high if interval[-1] == "]" else value < high)


@dataclass(frozen=True)
class Corruption(ABC):
    """A change of the uint8 pixels (H, W, 3) of row ``i`` of a data set.

    Attributes:
        level: strength, in the unit of its axis; NaN if there is only one.
        seed: of the random numbers.
        name, term: its name in the column ``condition``, and its words (of the class).
        scale: what the level measures, for `key` (of the class).
        levels: levels to show unless others are asked for, the weakest first (of the class).
        within: the interval of possible levels; empty if there is only one (of the class).
        has_order: whether a stronger level is always a stronger change, so that there is an area under its curve (of
            the class).
    """

    level: float = math.nan
    seed: int = 0
    name: ClassVar[str]
    term: ClassVar[Condition]
    scale: ClassVar[str]
    levels: ClassVar[tuple[float, ...]]
    within: ClassVar[str] = "[0, inf)"
    has_order: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.within and not math.isnan(self.level):
            raise ConfigError(
                f"{self.name} has no levels, but the level {self.level:g} is given: leave it out."
            )
        if self.within and not _is_within(self.level, self.within):
            raise ConfigError(f"{self.name} has the level {self.level:g}: it must be in {self.within}.")

    @property
    def key(self) -> str:
        """Names the change in the cache of decoded pixels."""
        return f"{self.name},{self.scale}={self.level!r},seed={self.seed}"

    @classmethod
    def in_order(cls, levels: Iterable[float]) -> tuple[float, ...]:
        """Distinct levels, the weakest first."""
        descending = cls.term.level is not None and cls.term.level.descending
        return tuple(sorted(set(levels), reverse=descending))

    @abstractmethod
    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]: ...


class GaussianNoise(Corruption):
    """x' = clamp(x + sigma n, 0, 1) on pixels in [0, 1], rounded to uint8; the same n for all sigmas."""

    name, scale = "gaussian", "sigma"
    term = Condition(
        title="Gaussian noise", level=Axis(title="sigma", unit="of the pixel range"), untouched=0.0
    )
    levels = SIGMAS
    within = "[0, 1]"

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
    within = "[0, 1]"

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        drawn = np.random.default_rng([self.seed, row]).random(pixels.shape[:2])
        noisy = pixels.copy()
        noisy[drawn < self.level / 2] = 0
        noisy[drawn >= 1 - self.level / 2] = 255
        return noisy


class Blur(Corruption):
    """Convolve with a Gaussian of ``sigma`` pixels: pixels of the file or of the model's input, depending on the stage.

    It is not noise: it removes high spatial frequencies, which Gaussian noise adds.
    """

    name, scale = "blur", "sigma"
    term = Condition(title="blur", level=Axis(title="sigma", unit="px"), untouched=0.0)
    levels = (0.5, 1.0, 1.5, 2.0, 3.0)

    @property
    def key(self) -> str:
        return f"{self.name},{self.scale}={self.level!r}"

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        from scipy.ndimage import gaussian_filter

        blurred = gaussian_filter(pixels.astype(np.float32), (self.level, self.level, 0))
        return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


# --- the published degradations ------------------------------------------------------------------------

_SIGMA = "px of 224"


class Degradation(Corruption):
    """A degradation of the grey picture, as people have seen it; see `hf_clipdyn.benchmarks.degradations`.

    At its weakest level most of them show the grey picture as it is, and share it with the condition ``grey``.

    Attributes:
        neutral: the level at which nothing but the contrast is changed (of the class).
        contrast: of the grey picture, before it is changed (of the class).
        is_random: whether random numbers are drawn (of the class).
    """

    neutral: ClassVar[float] = math.nan
    contrast: ClassVar[float] = 1.0
    is_random: ClassVar[bool] = False

    @property
    def key(self) -> str:
        if self.level == self.neutral:
            return f"{Contrast.name},{Contrast.scale}={self.contrast!r}"
        seed = f",seed={self.seed}" if self.is_random else ""
        return f"{self.name},{self.scale}={self.level!r}{seed}"

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        values = degradations.scale_contrast(degradations.grey(pixels), self.contrast)
        if self.level != self.neutral:
            values = self.change(values, row)
        return degradations.to_pixels(values)

    @abstractmethod
    def change(self, values: Floats, row: int) -> Floats:
        """Degrade grey values (H, W) in [0, 1]."""

    def draw(self, row: int, *shape: int) -> Floats:
        """Random numbers on [0, 1), the same at every level."""
        return np.random.default_rng([self.seed, row]).random(shape)


class Contrast(Degradation):
    """Grey, and the contrast scaled around the middle grey."""

    name, scale, within = "contrast", "contrast", "(0, 1]"
    term = Condition(title="contrast", level=Axis(title="contrast", log=True, descending=True))
    levels = (1.0, 0.5, 0.3, 0.15, 0.1, 0.05, 0.03, 0.01)

    @property
    def key(self) -> str:
        return f"{self.name},{self.scale}={self.level!r}"

    def change(self, values: Floats, row: int) -> Floats:
        return degradations.scale_contrast(values, self.level)


class UniformNoise(Degradation):
    """Grey at contrast 0.3, and one value of [-width, width) added to each pixel."""

    name, scale, within = "uniform_noise", "width", "[0, 1]"
    term = Condition(title="uniform noise", level=Axis(title="width", unit="of the pixel range"))
    levels = (0.0, 0.03, 0.05, 0.1, 0.2, 0.35, 0.6, 0.9)
    neutral, contrast, is_random = 0.0, 0.3, True

    def change(self, values: Floats, row: int) -> Floats:
        return degradations.add_uniform_noise(values, self.level, self.draw(row, *values.shape))


class GreySaltAndPepper(Degradation):
    """Grey at contrast 0.3, and a share of the pixels turned black or white."""

    name, scale, within = "grey_salt_and_pepper", "amount", "[0, 1]"
    term = Condition(
        title="salt and pepper on grey of contrast 0.3", level=Axis(title="amount", unit="of the pixels")
    )
    levels = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
    neutral, contrast, is_random = 0.0, 0.3, True

    def change(self, values: Floats, row: int) -> Floats:
        return degradations.salt_and_pepper(values, self.level, self.draw(row, *values.shape))


class LowPass(Degradation):
    """Grey, and high spatial frequencies removed."""

    name, scale = "low_pass", "sigma"
    term = Condition(title="low-pass filter", level=Axis(title="sigma", unit=_SIGMA, log=True))
    levels = (0.0, 1.0, 3.0, 5.0, 7.0, 10.0, 15.0, 40.0)
    neutral = 0.0

    def change(self, values: Floats, row: int) -> Floats:
        return degradations.low_pass(values, self.level)


class HighPass(Degradation):
    """Grey, and low spatial frequencies removed."""

    name, scale, within = "high_pass", "sigma", "(0, inf]"
    term = Condition(
        title="high-pass filter", level=Axis(title="sigma", unit=_SIGMA, log=True, descending=True)
    )
    levels = (math.inf, 3.0, 1.5, 1.0, 0.7, 0.55, 0.45, 0.4)
    neutral = math.inf

    def change(self, values: Floats, row: int) -> Floats:
        return degradations.high_pass(values, self.level)


class PhaseScrambling(Degradation):
    """Grey, and the phases changed by the published rule, which lowers the contrast too."""

    name, scale, within = "phase_scrambling", "width", "[0, 180]"
    term = Condition(title="phase scrambling", level=Axis(title="width of the phase noise", unit="degrees"))
    levels = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0)
    neutral, is_random = 0.0, True
    mirrored: ClassVar[bool] = False

    def change(self, values: Floats, row: int) -> Floats:
        height, width = values.shape
        draws = self.draw(row, degradations.phase_draws((height, width)))
        return degradations.scramble_phases(values, self.level, draws, mirrored=self.mirrored)


class MirroredPhaseScrambling(PhaseScrambling):
    """Grey, and the phases changed with the symmetry of a real image, so that the contrast stays."""

    name = "phase_scrambling_mirrored"
    term = Condition(
        title="phase scrambling, mirrored", level=Axis(title="width of the phase noise", unit="degrees")
    )
    mirrored = True


class Rotation(Degradation):
    """Grey, and rotated counter-clockwise. A quarter turn is not weaker than a half, so there is no area."""

    name, scale, within, has_order = "rotation", "angle", "[0, 270]", False
    term = Condition(title="rotation", level=Axis(title="angle", unit="degrees"))
    levels = (0.0, 90.0, 180.0, 270.0)
    neutral = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level % 90:
            raise ConfigError(f"{self.name} has the level {self.level:g}: give 0, 90, 180 or 270.")

    def change(self, values: Floats, row: int) -> Floats:
        return np.rot90(values, int(self.level) // 90)


class Grey(Degradation):
    """The grey picture."""

    name, within = "grey", ""
    term = Condition(title="grey")
    levels = (math.nan,)

    @property
    def key(self) -> str:
        return Contrast(1.0).key

    def change(self, values: Floats, row: int) -> Floats:
        return values


class FalseColour(Corruption):
    """Red and green, and blue and yellow swapped, at equal luminance."""

    name, within = "false_colour", ""
    term = Condition(title="false colour")
    levels = (math.nan,)

    @property
    def key(self) -> str:
        return self.name

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        return degradations.false_colours(pixels)


class PowerEqualisation(Degradation):
    """Grey, and every image with the same amplitudes; only images of 224 x 224 pixels have it."""

    name, within = "power_equalisation", ""
    term = Condition(title="power equalisation")
    levels = (math.nan,)

    @property
    def key(self) -> str:
        return self.name

    def change(self, values: Floats, row: int) -> Floats:
        side = degradations.FRAME
        if values.shape != (side, side):
            height, width = values.shape
            raise EvaluationError(
                f"{self.name} needs images of {side}x{side} pixels, but row {row} has {width}x{height}: "
                "leave this condition out, or use the stage input and a model of that size."
            )
        return degradations.equalise_power(values)


class BandNoise(Degradation):
    """Grey at contrast 0.3, and noise in one octave of spatial frequencies, of equal RMS in all octaves.

    Attributes:
        frequency: centre of the octave, in cycles per shorter side (of the class).
    """

    scale, within = "sigma", "[0, 1]"
    levels = (0.0, 0.02, 0.04, 0.08, 0.16)
    neutral, contrast, is_random = 0.0, 0.3, True
    frequency: ClassVar[float]

    def change(self, values: Floats, row: int) -> Floats:
        side = min(values.shape)
        if self.frequency > side / 2:
            raise EvaluationError(
                f"{self.name} is noise of {self.frequency:g} cycles per image, but row {row} has only {side} pixels, "
                f"which show {side / 2:g} cycles: leave this condition out."
            )
        noise = degradations.octave_noise(self.draw(row, *values.shape) - 0.5, self.frequency)
        return values + self.level * noise


def _band(at: int) -> type[BandNoise]:
    frequency = 1.75 * 2**at
    axis = Axis(title="sigma", unit="of the pixel range", log=True)
    term = Condition(title=f"noise around {frequency:g} cycles per image", level=axis)
    declared = {"name": f"octave_{at}", "frequency": frequency, "term": term, "__doc__": BandNoise.__doc__}
    return type(f"BandNoise{at}", (BandNoise,), declared)


BANDS: dict[str, type[BandNoise]] = {one.name: one for one in map(_band, range(7))}
"""Noise in the octaves around 1.75, 3.5, ..., 112 cycles per image, by name."""

CORRUPTIONS: dict[str, type[Corruption]] = {
    **{
        one.name: one
        for one in (
            *(GaussianNoise, SaltAndPepper, Blur),
            *(Contrast, UniformNoise, GreySaltAndPepper, LowPass, HighPass),
            *(PhaseScrambling, MirroredPhaseScrambling, PowerEqualisation, Rotation, FalseColour, Grey),
        )
    },
    **BANDS,
}
"""By name."""
