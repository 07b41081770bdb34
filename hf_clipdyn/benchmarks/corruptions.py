"""Corruptions of the pixels: Gaussian noise, salt and pepper, blur, and the published degradations.

`CORRUPTIONS` is a table of them. `CORRUPTIONS[name](level, seed)` changes the pixels of a row of a data set. Random
numbers are drawn from (seed, row), so that each revision and each level sees the same draw. The help of the command
line reads this table, which therefore only names the functions of `hf_clipdyn.benchmarks.degradations`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.results.terms import Axis, Condition

if TYPE_CHECKING:
    import numpy as np

    from hf_clipdyn.benchmarks.degradations import Pixels

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Standard deviations of the Gaussian noise that are shown by default, beside 0."""


@dataclass(frozen=True)
class Corruption:
    """A way to change pixels, at several levels or at one.

    Attributes:
        name: in the column ``condition``.
        term: its words.
        change: the function that changes the pixels; empty if it has the name of the corruption. It takes pixels
            (H, W, 3), or with ``contrast`` grey values (H, W) in [0, 1], then a level and a generator.
        options: further arguments of the function.
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
    term: Condition
    change: str = ""
    options: Mapping[str, float] = field(default_factory=dict)
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
            is_range = isinstance(self.within, str)
            known = self.within if is_range else " ".join(f"{possible:g}" for possible in self.within)
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

    def __call__(self, pixels: "Pixels", row: int) -> "Pixels":
        """The pixels (H, W, 3) of a row, changed."""
        from hf_clipdyn.benchmarks import degradations

        kind, random = self.corruption, generator(self.seed, row)
        change: Callable[..., Any] = getattr(degradations, kind.change or kind.name)
        if kind.contrast is None:
            changed: Pixels = change(pixels, self.level, random)
            return changed
        values = degradations.contrast(degradations.luminance(pixels), kind.contrast)
        if self.level != kind.neutral:
            values = change(values, self.level, random, **kind.options)
        return degradations.to_pixels(values)


def generator(seed: int, row: int) -> "np.random.Generator":
    """The random numbers of a row, the same for each level and each revision."""
    import numpy as np

    return np.random.default_rng([seed, row])


def _is_within(value: float, known: str | tuple[float, ...]) -> bool:
    if not isinstance(known, str):
        return value in known
    low, high = map(float, known[1:-1].split(","))
    above = value >= low if known[0] == "[" else value > low
    return above and (value <= high if known[-1] == "]" else value < high)


def _at_levels(
    name: str,
    title: str,
    axis: str,
    unit: str,
    levels: tuple[float, ...],
    within: str | tuple[float, ...] = "[0, 1]",
    *,
    untouched: float | None = None,
    log: bool = False,
    descending: bool = False,
    **others: Any,
) -> Corruption:
    """A corruption with levels: its words, the axis of its levels, and the levels."""
    drawn = Axis(title=axis, unit=unit, log=log, descending=descending)
    term = Condition(title=title, level=drawn, untouched=untouched)
    return Corruption(name, term, **{"scale": axis, "levels": levels, "within": within} | others)


_SHARE, _RANGE, _PX, _DEGREES = "of the pixels", "of the pixel range", "px of 224", "degrees"
_NOISE: dict[str, Any] = {"untouched": 0.0, "is_random": True}
_ON_GREY: dict[str, Any] = {"contrast": 1.0, "neutral": 0.0}
_ON_FAINT_GREY: dict[str, Any] = {"contrast": 0.3, "neutral": 0.0, "is_random": True}
_PEPPER = (0.01, 0.02, 0.05, 0.1, 0.2)
_BLURS = (0.5, 1.0, 1.5, 2.0, 3.0)
_WIDTHS = (0.0, 0.03, 0.05, 0.1, 0.2, 0.35, 0.6, 0.9)
_AMOUNTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
_CONTRASTS = (1.0, 0.5, 0.3, 0.15, 0.1, 0.05, 0.03, 0.01)
_LOW = (0.0, 1.0, 3.0, 5.0, 7.0, 10.0, 15.0, 40.0)
_HIGH = (math.inf, 3.0, 1.5, 1.0, 0.7, 0.55, 0.45, 0.4)
_TURNS = (0.0, 90.0, 180.0, 270.0)
_SCRAMBLED: dict[str, Any] = _ON_GREY | {
    "axis": "width of the phase noise",
    "unit": _DEGREES,
    "levels": (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0),
    "within": "[0, 180]",
    "scale": "width",
    "change": "phase_scrambling",
    "is_random": True,
}
_DESCENDING: dict[str, Any] = {"log": True, "descending": True, "contrast": 1.0}

_TABLE = (
    _at_levels("gaussian", "Gaussian noise", "sigma", _RANGE, SIGMAS, **_NOISE),
    _at_levels("salt_and_pepper", "salt and pepper", "amount", _SHARE, _PEPPER, **_NOISE),
    # It is not noise: it removes high spatial frequencies, which Gaussian noise adds.
    _at_levels("blur", "blur", "sigma", "px", _BLURS, "[0, inf)", untouched=0.0),
    # The published degradations of the grey picture, as people have seen it.
    _at_levels("contrast", "contrast", "contrast", "", _CONTRASTS, "(0, 1]", **_DESCENDING),
    _at_levels("uniform_noise", "uniform noise", "width", _RANGE, _WIDTHS, **_ON_FAINT_GREY),
    _at_levels(
        *("grey_salt_and_pepper", "salt and pepper on grey of contrast 0.3", "amount"),
        *(_SHARE, _AMOUNTS),
        **_ON_FAINT_GREY,
    ),
    _at_levels("low_pass", "low-pass filter", "sigma", _PX, _LOW, "[0, inf)", log=True, **_ON_GREY),
    _at_levels(
        "high_pass", "high-pass filter", "sigma", _PX, _HIGH, "(0, inf]", neutral=math.inf, **_DESCENDING
    ),
    # By the published rule, which lowers the contrast too, and with the symmetry of a real image, which keeps it.
    _at_levels("phase_scrambling", "phase scrambling", **_SCRAMBLED),
    _at_levels(
        *("phase_scrambling_mirrored", "phase scrambling, mirrored"),
        options={"mirrored": True},
        **_SCRAMBLED,
    ),
    # Every image with the same amplitudes; only images of 224 x 224 pixels have it.
    Corruption("power_equalisation", Condition(title="power equalisation"), contrast=1.0),
    # A quarter turn, counter-clockwise, is not weaker than a half, so there is no area.
    _at_levels("rotation", "rotation", "angle", _DEGREES, _TURNS, _TURNS, has_order=False, **_ON_GREY),
    Corruption("false_colour", Condition(title="false colour")),
    Corruption("grey", Condition(title="grey"), contrast=1.0),
    # Grey at contrast 0.3, and noise in one octave of spatial frequencies, of equal RMS in all octaves.
    *(
        _at_levels(
            *(f"octave_{at}", f"noise around {frequency:g} cycles per image", "sigma", _RANGE),
            levels=(0.0, 0.02, 0.04, 0.08, 0.16),
            log=True,
            change="octave",
            options={"frequency": frequency},
            **_ON_FAINT_GREY,
        )
        for at, frequency in enumerate(1.75 * 2.0**octave for octave in range(7))
    ),
)
CORRUPTIONS = {corruption.name: corruption for corruption in _TABLE}
"""By name."""
