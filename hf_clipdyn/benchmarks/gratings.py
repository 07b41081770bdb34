"""Gratings of a known contrast at a model's own input size, as codes in [0, 1] that pass no uint8.

The field is always 3.733 degrees wide, which are 224 pixels at 60 pixels a degree: a model with a smaller input sees
the same field with fewer pixels. Contrast is defined in linear light, on a background of a quarter of the white; the
model sees the codes of sRGB. Rounded to 8 bits, a grating of contrast 0.005 would vanish altogether.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FIELD = 224 / 60
"""Width of the field in degrees of visual angle."""
DIRECTIONS: dict[str, tuple[float, ...]] = {
    "achromatic": (1.0,),
    # X of CIE 1931 alone is modulated, by the background's own Y: the luminance is constant.
    "red_green": (3.2404542, -0.9692660, 0.0556434),
}
"""What a unit of contrast adds to the linear RGB of the background, in units of it; one number for all channels."""

_BACKGROUND = 0.25
_WINDOW = 0.5  # standard deviation of a target's Gaussian window, in degrees
_HIGHEST = 0.3  # cycles per pixel
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grating:
    """A cosine wave.

    Attributes:
        frequency: cycles per degree.
        contrast: Michelson, in [0, 1].
        orientation, phase: degrees; at 0 the bars are vertical and a bright one is in the centre.
        windowed: whether a Gaussian window fades it out, as a target; a mask fills the field.
    """

    frequency: float
    contrast: float
    orientation: float
    phase: float
    windowed: bool = True


@dataclass(frozen=True)
class Drawing:
    """What is added to the uniform background: the sum of gratings, in one of the `DIRECTIONS`."""

    gratings: tuple[Grating, ...] = ()
    direction: str = "achromatic"


@dataclass(frozen=True)
class Field:
    """The visual field as a model sees it.

    Attributes:
        height, width: of the model's input, in pixels.
    """

    height: int
    width: int

    @property
    def pixels_per_degree(self) -> float:
        """Of the shorter side."""
        return min(self.height, self.width) / FIELD

    @property
    def highest_frequency(self) -> float:
        """The limit of these pixels, in cycles per degree."""
        return _HIGHEST * self.pixels_per_degree

    def draw(self, drawing: Drawing) -> NDArray[np.float32]:
        """The codes of sRGB, (height, width, channels): one channel if all three are equal."""
        pattern = np.zeros((self.height, self.width))
        for grating in drawing.gratings:
            pattern += grating.contrast * self._wave(grating)
        light = _BACKGROUND * (1 + pattern[..., None] * np.array(DIRECTIONS[drawing.direction]))
        assert light.min() >= 0, f"{drawing} is darker than black"
        assert light.max() <= 1, f"{drawing} is brighter than white"
        return srgb_codes(light).astype(np.float32)

    @cached_property
    def _axes(self) -> tuple[Floats, Floats]:
        """Degrees from the centre: y upwards of each row, x of each column."""
        y, x = (np.arange(n, dtype=np.float64) + 0.5 - n / 2 for n in (self.height, self.width))
        return -y / self.pixels_per_degree, x / self.pixels_per_degree

    def _wave(self, grating: Grating) -> Floats:
        """The wave with its window; both are sums of products of one function of y and one of x."""
        y, x = self._axes
        angle, around = np.deg2rad(grating.orientation), 2 * np.pi * grating.frequency
        down, across = around * np.sin(angle) * y, around * np.cos(angle) * x + np.deg2rad(grating.phase)
        rows, columns = (np.stack([np.cos(one), np.sin(one)]) for one in (down, across))
        if grating.windowed:
            rows, columns = (
                waves * np.exp(-np.square(axis / _WINDOW) / 2) for waves, axis in ((rows, y), (columns, x))
            )
        # cos(a + b) = cos a cos b - sin a sin b
        return np.asarray((rows * [[1], [-1]]).T @ columns)


def srgb_codes(light: Floats) -> Floats:
    """Linear light in [0, 1] as the codes of sRGB in [0, 1]."""
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


def distinct(drawings: Sequence[Drawing]) -> tuple[list[Drawing], NDArray[np.int64]]:
    """Each drawing once, in the order of their first use, and the number of each given one among them."""
    numbers: dict[Drawing, int] = {}
    places = [numbers.setdefault(one, len(numbers)) for one in drawings]
    return list(numbers), np.array(places, np.int64)
