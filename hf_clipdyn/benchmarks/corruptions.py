"""Corruptions of the pixels: Gaussian noise, salt and pepper, blur, and the published degradations.

`CORRUPTIONS` is a table of them. `CORRUPTIONS[name](level, seed)` changes the pixels of a row of a data set. Random
numbers are drawn from (seed, row), so that each revision and each level sees the same draw.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks import degradations
from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.results.terms import Axis, Condition

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Standard deviations of the Gaussian noise that are shown by default, beside 0."""


@dataclass(frozen=True)
class Corruption:
    """A way to change pixels, at several levels or at one.

    Attributes:
        name: in the column ``condition``.
        change: from pixels (H, W, 3), a level and a generator of random numbers to pixels. With ``contrast`` from and
            to grey values (H, W) in [0, 1].
        term: its words.
        scale: what the level measures, for `Corrupted.key`.
        levels: to show unless others are asked for, the weakest first; NaN alone for a corruption without levels.
        within: the interval of possible levels, or all of them; a parenthesis excludes the bound.
        is_random: whether random numbers are drawn.
        contrast: of the grey picture that is changed; None if the picture in colour is.
        neutral: the level at which nothing but the contrast of the grey picture is changed: what looks alike has one
            key, and goes through the model once.
        has_order: whether a stronger level is always a stronger change, so that there is an area under its curve.
    """

    name: str
    change: Callable[[Any, float, np.random.Generator], NDArray[Any]]
    term: Condition
    scale: str = ""
    levels: tuple[float, ...] = (math.nan,)
    within: str | tuple[float, ...] = ""
    is_random: bool = False
    contrast: float | None = None
    neutral: float = math.nan
    has_order: bool = True

    def __call__(self, level: float = math.nan, seed: int = 0) -> "Corrupted":
        """The change at a level.

        Raises:
            ConfigError: there is no such level.
        """
        if not self.within and not math.isnan(level):
            raise ConfigError(f"{self.name} has no levels, but the level {level:g} is given: leave it out.")
        if self.within and not _is_within(level, self.within):
            known = (
                self.within if isinstance(self.within, str) else " ".join(f"{one:g}" for one in self.within)
            )
            raise ConfigError(f"{self.name} has the level {level:g}: it must be in {known}.")
        return Corrupted(self, level, seed)

    def in_order(self, levels: Iterable[float]) -> tuple[float, ...]:
        """Distinct levels, the weakest first."""
        descending = self.term.level is not None and self.term.level.descending
        return tuple(sorted(set(levels), reverse=descending))


@dataclass(frozen=True)
class Corrupted:
    """A corruption at one level, with the seed of its random numbers."""

    corruption: Corruption
    level: float
    seed: int

    @property
    def key(self) -> str:
        """Names the change in the cache of decoded pixels."""
        kind = self.corruption
        if self.level == kind.neutral or kind.name == "grey":
            return f"contrast,contrast={kind.contrast!r}"
        parts = [kind.name, f"{kind.scale}={self.level!r}" if kind.within else ""]
        return ",".join(filter(None, [*parts, f"seed={self.seed}" if kind.is_random else ""]))

    def __call__(self, pixels: Pixels, row: int) -> Pixels:
        """The pixels (H, W, 3) of a row, changed."""
        kind, random = self.corruption, generator(self.seed, row)
        if kind.contrast is None:
            return kind.change(pixels, self.level, random)
        values = degradations.scale_contrast(degradations.grey(pixels), kind.contrast)
        if self.level != kind.neutral:
            values = kind.change(values, self.level, random)
        return degradations.to_pixels(values)


def generator(seed: int, row: int) -> np.random.Generator:
    """The random numbers of a row, the same for each level and each revision."""
    return np.random.default_rng([seed, row])


def _is_within(value: float, known: str | tuple[float, ...]) -> bool:
    if not isinstance(known, str):
        return value in known
    low, high = map(float, known[1:-1].split(","))
    above = value >= low if known[0] == "[" else value > low
    return above and (value <= high if known[-1] == "]" else value < high)


def _gaussian(pixels: Pixels, sigma: float, random: np.random.Generator) -> Pixels:
    """x' = clamp(x + sigma n, 0, 1) on pixels in [0, 1], rounded to uint8; the same n for all sigmas."""
    noise = random.standard_normal(pixels.shape, np.float32)
    return np.clip(np.rint(pixels + 255 * np.float32(sigma) * noise), 0, 255).astype(np.uint8)


def _salt_and_pepper(pixels: Pixels, amount: float, random: np.random.Generator) -> Pixels:
    """A fraction of the pixels becomes black or white, half each, all channels at once; a larger one has these too."""
    drawn = random.random(pixels.shape[:2])
    noisy = pixels.copy()
    noisy[drawn < amount / 2] = 0
    noisy[drawn >= 1 - amount / 2] = 255
    return noisy


def _blur(pixels: Pixels, sigma: float, random: np.random.Generator) -> Pixels:
    """Convolved with a Gaussian of sigma pixels: of the file or of the model's input, depending on the stage."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0))
    return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


def _uniform_noise(values: Floats, width: float, random: np.random.Generator) -> Floats:
    return degradations.add_uniform_noise(values, width, random.random(values.shape))


def _grey_salt_and_pepper(values: Floats, share: float, random: np.random.Generator) -> Floats:
    return degradations.salt_and_pepper(values, share, random.random(values.shape))


def _scrambled(values: Floats, width: float, random: np.random.Generator, *, mirrored: bool) -> Floats:
    draws = random.random(degradations.phase_draws((values.shape[0], values.shape[1])))
    return degradations.scramble_phases(values, width, draws, mirrored=mirrored)


def _equalised(values: Floats, level: float, random: np.random.Generator) -> Floats:
    height, width = values.shape
    if (height, width) != (degradations.FRAME, degradations.FRAME):
        raise EvaluationError(
            f"power_equalisation needs images of 224 x 224 pixels, but one has {width}x{height}: leave this condition "
            "out, or use the stage input and a model of that size."
        )
    return degradations.equalise_power(values)


def _octave(values: Floats, sigma: float, random: np.random.Generator, *, frequency: float) -> Floats:
    side = min(values.shape)
    if frequency > side / 2:
        raise EvaluationError(
            f"Noise of {frequency:g} cycles per image is not seen in an image of {side} pixels, which show "
            f"{side / 2:g}: leave this condition out."
        )
    return values + sigma * degradations.octave_noise(random.random(values.shape) - 0.5, frequency)


def _levels(
    title: str,
    axis: str,
    unit: str,
    levels: tuple[float, ...],
    within: str | tuple[float, ...],
    *,
    scale: str = "",
    untouched: float | None = None,
    **drawn: bool,
) -> dict[str, Any]:
    """The fields of a corruption with levels: its words, the axis of its levels, and the levels."""
    term = Condition(title=title, level=Axis(title=axis, unit=unit, **drawn), untouched=untouched)
    return {"term": term, "scale": scale or axis, "levels": levels, "within": within}


_SHARE, _RANGE, _PX, _DEGREES = "of the pixels", "of the pixel range", "px of 224", "degrees"
_ON_GREY: dict[str, Any] = {"contrast": 1.0, "neutral": 0.0}
_ON_FAINT_GREY: dict[str, Any] = {"contrast": 0.3, "neutral": 0.0, "is_random": True}
_WIDTHS = (0.0, 0.03, 0.05, 0.1, 0.2, 0.35, 0.6, 0.9)
_AMOUNTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
_CONTRASTS = (1.0, 0.5, 0.3, 0.15, 0.1, 0.05, 0.03, 0.01)
_LOW = (0.0, 1.0, 3.0, 5.0, 7.0, 10.0, 15.0, 40.0)
_HIGH = (math.inf, 3.0, 1.5, 1.0, 0.7, 0.55, 0.45, 0.4)
_PHASES = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0)
_TURNS = (0.0, 90.0, 180.0, 270.0)
_OF_BANDS = (0.0, 0.02, 0.04, 0.08, 0.16)

_TABLE = (
    Corruption(
        "gaussian",
        _gaussian,
        **_levels("Gaussian noise", "sigma", _RANGE, SIGMAS, "[0, 1]", untouched=0.0),
        is_random=True,
    ),
    Corruption(
        "salt_and_pepper",
        _salt_and_pepper,
        **_levels("salt and pepper", "amount", _SHARE, (0.01, 0.02, 0.05, 0.1, 0.2), "[0, 1]", untouched=0.0),
        is_random=True,
    ),
    # It is not noise: it removes high spatial frequencies, which Gaussian noise adds.
    Corruption(
        "blur",
        _blur,
        **_levels("blur", "sigma", "px", (0.5, 1.0, 1.5, 2.0, 3.0), "[0, inf)", untouched=0.0),
    ),
    # The published degradations of the grey picture, as people have seen it.
    Corruption(
        "contrast",
        lambda values, level, _: degradations.scale_contrast(values, level),
        **_levels("contrast", "contrast", "", _CONTRASTS, "(0, 1]", log=True, descending=True),
        contrast=1.0,
    ),
    Corruption(
        "uniform_noise",
        _uniform_noise,
        **_levels("uniform noise", "width", _RANGE, _WIDTHS, "[0, 1]"),
        **_ON_FAINT_GREY,
    ),
    Corruption(
        "grey_salt_and_pepper",
        _grey_salt_and_pepper,
        **_levels("salt and pepper on grey of contrast 0.3", "amount", _SHARE, _AMOUNTS, "[0, 1]"),
        **_ON_FAINT_GREY,
    ),
    Corruption(
        "low_pass",
        lambda values, sigma, _: degradations.low_pass(values, sigma),
        **_levels("low-pass filter", "sigma", _PX, _LOW, "[0, inf)", log=True),
        **_ON_GREY,
    ),
    Corruption(
        "high_pass",
        lambda values, sigma, _: degradations.high_pass(values, sigma),
        **_levels("high-pass filter", "sigma", _PX, _HIGH, "(0, inf]", log=True, descending=True),
        contrast=1.0,
        neutral=math.inf,
    ),
    # By the published rule, which lowers the contrast too, and with the symmetry of a real image, which keeps it.
    *(
        Corruption(
            name,
            partial(_scrambled, mirrored=mirrored),
            **_levels(title, "width of the phase noise", _DEGREES, _PHASES, "[0, 180]", scale="width"),
            **_ON_GREY,
            is_random=True,
        )
        for name, title, mirrored in (
            ("phase_scrambling", "phase scrambling", False),
            ("phase_scrambling_mirrored", "phase scrambling, mirrored", True),
        )
    ),
    # Every image with the same amplitudes; only images of 224 x 224 pixels have it.
    Corruption("power_equalisation", _equalised, Condition(title="power equalisation"), contrast=1.0),
    # A quarter turn, counter-clockwise, is not weaker than a half, so there is no area.
    Corruption(
        "rotation",
        lambda values, angle, _: np.rot90(values, int(angle) // 90),
        **_levels("rotation", "angle", _DEGREES, _TURNS, _TURNS),
        **_ON_GREY,
        has_order=False,
    ),
    Corruption(
        "false_colour",
        lambda pixels, _, __: degradations.false_colours(pixels),
        Condition(title="false colour"),
    ),
    Corruption("grey", lambda values, _, __: values, Condition(title="grey"), contrast=1.0),
    # Grey at contrast 0.3, and noise in one octave of spatial frequencies, of equal RMS in all octaves.
    *(
        Corruption(
            f"octave_{at}",
            partial(_octave, frequency=frequency),
            **_levels(
                f"noise around {frequency:g} cycles per image", "sigma", _RANGE, _OF_BANDS, "[0, 1]", log=True
            ),
            **_ON_FAINT_GREY,
        )
        for at, frequency in enumerate(1.75 * 2.0 ** np.arange(7))
    ),
)
CORRUPTIONS = {one.name: one for one in _TABLE}
"""By name."""
