"""Gratings of a known contrast, two experiments with them, and the contrasts that people need in these.

The field is always 3.733 degrees wide, which are 224 pixels at 60 pixels a degree: a model with a smaller input sees
the same field with fewer pixels. Contrast is defined in linear light, on a background of a quarter of the white; the
model sees the codes of sRGB in [0, 1], which pass no uint8: in 8 bits, a grating of contrast 0.005 would vanish. The
human values are in gratings.csv, with their sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.metrics.psychophysics import FEWEST_CONDITIONS

FIELD = 224 / 60
"""Width of the field in degrees of visual angle."""
LOOKS = tuple(product((0, 90), (0, 90, 180, 270)))
"""Orientation and phase of the exemplars of a stimulus, in degrees; a distance is averaged over them."""

_BACKGROUND = 0.25
_WINDOW = 0.5  # standard deviation of a target's Gaussian window, in degrees
_HIGHEST = 0.3  # cycles per pixel
_MASKED_TARGET = 2.0  # cycles per degree; coarse, for models with few pixels
Floats = NDArray[np.float64]


# --- stimuli -----------------------------------------------------------------------------------------------------


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


Drawing = tuple[Grating, ...]
"""What is added to the uniform background."""


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
        """The codes of sRGB, (height, width, 1), equal in all channels."""
        light = np.full((self.height, self.width), _BACKGROUND)
        for grating in drawing:
            light += _BACKGROUND * grating.contrast * self._wave(grating)
        assert light.min() >= 0, f"{drawing} is darker than black"
        assert light.max() <= 1, f"{drawing} is brighter than white"
        codes = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        return codes[..., None].astype(np.float32)

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
        rows, columns = (np.stack([np.cos(turns), np.sin(turns)]) for turns in (down, across))
        if grating.windowed:
            rows, columns = (
                waves * np.exp(-np.square(axis / _WINDOW) / 2) for waves, axis in ((rows, y), (columns, x))
            )
        # cos(a + b) = cos a cos b - sin a sin b
        return np.asarray((rows * [[1], [-1]]).T @ columns)


# --- experiments -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GratingTest:
    """One experiment: a windowed grating on a uniform field or on a mask. Only the shape of its curve is compared.

    Attributes:
        contrasts: the grid on which the contrast is sought.
        criterion: contrast of the stimulus that sets the criterion.
        criterion_at: level at which that is shown.
        other_criteria: contrasts that would set other criteria, for diagnostics.
        is_masked: whether the level is the contrast of a mask of the target's frequency; else it is the frequency.
    """

    contrasts: tuple[float, ...]
    criterion: float
    criterion_at: float
    other_criteria: tuple[float, ...] = ()
    is_masked: bool = False

    def frequency(self, level: float) -> float:
        """Of the target at a level, in cycles per degree."""
        return _MASKED_TARGET if self.is_masked else level

    def pair(self, level: float, contrast: float, look: tuple[float, float]) -> tuple[Drawing, Drawing]:
        """The stimulus without the target, and with it."""
        frequency = self.frequency(level)
        mask = (Grating(frequency, level, *look, windowed=False),) if self.is_masked else ()
        return mask, (*mask, Grating(frequency, contrast, *look))


# The more robust one first.
TESTS: dict[str, GratingTest] = {
    "masking_contrast": GratingTest(
        tuple(0.005 * 2.0**k for k in range(7)), 0.03347, 0.05009, is_masked=True
    ),
    "csf_achromatic": GratingTest(tuple(0.005 * 2.0**k for k in range(8)), 0.02, 4.0, (0.01, 0.04)),
}
"""By their name."""


@cache
def _human_table() -> pd.DataFrame:
    """People's contrasts by test, level and observer; of the mean observer without one."""
    return pd.read_csv(Path(__file__).with_suffix(".csv"), comment="#").set_index("test")


def observers() -> pd.DataFrame:
    """Threshold by spatial frequency (rows) and observer (columns), for `csf_achromatic`."""
    table = _human_table()
    return table[table["observer"].notna()].pivot_table(index="level", columns="observer", values="contrast")


@cache
def grating_items() -> pd.DataFrame:
    """Test by test, the criteria, then the conditions; people's contrast at the criterion's level is the criterion."""
    rows: list[tuple[str, float, float, float, bool]] = []
    table = _human_table()
    mean = table[table["observer"].isna()]
    for name, test in TESTS.items():
        contrasts = (test.criterion, *test.other_criteria)
        rows += [(name, test.criterion_at, contrast, np.nan, True) for contrast in contrasts]
        people = mean.loc[name].set_index("level")["contrast"]
        scale = 1.0 if test.is_masked else test.criterion / people[test.criterion_at]
        rows += [
            (name, float(level), test.criterion, round(float(scale * contrast), 9), False)
            for level, contrast in zip(people.index.to_numpy(np.float64), people, strict=True)
        ]
    return pd.DataFrame(rows, columns=["test", "level", "criterion", "human", "is_criterion"])


def fitting_items(items: pd.DataFrame, limit: float) -> NDArray[np.int64]:
    """The items that pixels with this limit show: of each test whose criterion and enough conditions they show."""
    fitting: list[int] = []
    for name, part in items.groupby("test", sort=False):
        fits = part["level"].map(TESTS[str(name)].frequency) <= limit
        if fits[part["is_criterion"]].all() and fits[~part["is_criterion"]].sum() >= FEWEST_CONDITIONS:
            fitting += part.index[fits].tolist()
    return np.array(fitting, np.int64)


def distinct(drawings: Sequence[Drawing]) -> tuple[list[Drawing], NDArray[np.int64]]:
    """Each drawing once, in the order of their first use, and the number of each given one among them."""
    numbers: dict[Drawing, int] = {}
    places = [numbers.setdefault(drawing, len(numbers)) for drawing in drawings]
    return list(numbers), np.array(places, np.int64)
