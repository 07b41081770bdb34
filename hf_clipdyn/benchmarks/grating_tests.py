"""Six experiments on the contrast of gratings, and the contrasts that people need in each.

What a model is shown, and with what it is compared. The human values are in grating_tests.csv, with their sources.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.gratings import Drawing, Grating
from hf_clipdyn.metrics.psychophysics import FEWEST_CONDITIONS, masking_elevation, red_green_threshold

_TARGET, _COARSE_TARGET = 4.0, 2.0  # cycles per degree, in the tuning tests; the coarse one for few pixels
_MASK = 0.2  # contrast of the masks in the tuning tests
_REFERENCE = 5.0  # cycles per degree of the grating whose contrast is matched
_MASKED, _SEEN = 0.03347, 0.02  # contrasts of the criteria
_OTHERS = (0.01, 0.04)
_MATCHED = (0.31727, 0.15988, 0.08057, 0.04058, 0.02045)
_RED_GREEN, _RED_GREEN_AT = (1.12, 2.0, 2.83, 4.0, 5.66, 8.0), 2.0
_MASK_FREQUENCIES = (1.0, 2.0, 2.83, 4.0, 5.66, 8.0, 16.0)
_TURNS = (0.0, 15.0, 30.0, 45.0, 60.0, 90.0)

Exemplar = tuple[float, float, float]  # orientation and phase of the target, phase of the mask relative to it


@dataclass(frozen=True)
class GratingTest:
    """One experiment: a windowed grating on a uniform field, by its spatial frequency.

    Attributes:
        contrasts: the grid on which the contrast is sought.
        criteria: contrasts that set the criterion of the conditions.
        other_criteria: contrasts that would set other ones, for diagnostics.
        criterion_at: level at which they are shown; NaN for the target of a tuning test without its mask.
        free_offset: whether the criterion sets the level, so that only the shape of the curve is compared.
        direction: of the colour.
        exemplars: what a distance is averaged over.
    """

    contrasts: tuple[float, ...]
    criteria: tuple[float, ...]
    criterion_at: float
    free_offset: bool
    other_criteria: tuple[float, ...] = ()
    direction: str = "achromatic"

    exemplars: ClassVar[tuple[Exemplar, ...]] = tuple(product((0, 90), (0, 90, 180, 270), (0,)))

    def frequency(self, level: float, limit: float) -> float:
        """The highest frequency of the stimulus at a level, where ``limit`` is that of the pixels."""
        del limit
        return level

    def pair(
        self, level: float, contrast: float, exemplar: Exemplar, limit: float
    ) -> tuple[Drawing, Drawing]:
        """The reference and the stimulus."""
        del limit
        orientation, phase, _ = exemplar
        target = Grating(level, contrast, orientation, phase)
        return Drawing((), self.direction), Drawing((target,), self.direction)


class _MaskingContrast(GratingTest):
    """A target of 2 cycles per degree on a mask of the same frequency, by the contrast of the mask."""

    def frequency(self, level: float, limit: float) -> float:
        del level, limit
        return _COARSE_TARGET

    def pair(
        self, level: float, contrast: float, exemplar: Exemplar, limit: float
    ) -> tuple[Drawing, Drawing]:
        del limit
        orientation, phase, _ = exemplar
        mask = Grating(_COARSE_TARGET, level, orientation, phase, windowed=False)
        return Drawing((mask,)), Drawing((mask, Grating(_COARSE_TARGET, contrast, orientation, phase)))


class _Tuning(GratingTest):
    """A target on a mask of another frequency or orientation; in quadrature, equal ones would not mask each other."""

    exemplars = tuple(product((0, 90), (0, 90), (0, 180)))

    def target(self, limit: float) -> float:
        """Its frequency."""
        del limit
        return _TARGET

    def mask(self, level: float, limit: float) -> tuple[float, float]:
        """Frequency of the mask, and its turn relative to the target."""
        raise NotImplementedError

    def frequency(self, level: float, limit: float) -> float:
        without = np.isnan(level)
        return max(self.target(limit), 0.0 if without else self.mask(level, limit)[0])

    def pair(
        self, level: float, contrast: float, exemplar: Exemplar, limit: float
    ) -> tuple[Drawing, Drawing]:
        orientation, phase, shift = exemplar
        target = Grating(self.target(limit), contrast, orientation, phase)
        if np.isnan(level):
            return Drawing(), Drawing((target,))
        frequency, turn = self.mask(level, limit)
        mask = Grating(frequency, _MASK, orientation + turn, phase + shift, windowed=False)
        return Drawing((mask,)), Drawing((mask, target))


class _MaskingFrequency(_Tuning):
    def mask(self, level: float, limit: float) -> tuple[float, float]:
        del limit
        return level, 0.0


class _MaskingOrientation(_Tuning):
    def target(self, limit: float) -> float:
        return _TARGET if limit >= _TARGET else _COARSE_TARGET

    def mask(self, level: float, limit: float) -> tuple[float, float]:
        return self.target(limit), level


def _grid(first: float, n: int) -> tuple[float, ...]:
    return tuple(first * 2.0**k for k in range(n))


# The most robust one first.
TESTS: dict[str, GratingTest] = {
    "masking_contrast": _MaskingContrast(_grid(0.005, 7), (_MASKED,), 0.05009, free_offset=True),
    "csf_achromatic": GratingTest(
        _grid(0.005, 8), (_SEEN,), _TARGET, free_offset=True, other_criteria=_OTHERS
    ),
    "masking_orientation": _MaskingOrientation(_grid(0.01, 7), (_SEEN,), np.nan, free_offset=False),
    "masking_frequency": _MaskingFrequency(_grid(0.01, 7), (_SEEN,), np.nan, free_offset=False),
    "contrast_matching": GratingTest(_grid(0.005, 8), _MATCHED, _REFERENCE, free_offset=False),
    "csf_red_green": GratingTest(
        _grid(0.0025, 7),
        (_SEEN,),
        _RED_GREEN_AT,
        free_offset=True,
        other_criteria=_OTHERS,
        direction="red_green",
    ),
}
"""By their name."""


@cache
def _human_table() -> pd.DataFrame:
    """The file with people's contrasts, by test."""
    return pd.read_csv(Path(__file__).with_suffix(".csv"), comment="#").set_index("test")


def observers() -> pd.DataFrame:
    """Threshold by spatial frequency (rows) and observer (columns)."""
    table = _human_table()
    return table[table["observer"].notna()].pivot_table(index="level", columns="observer", values="contrast")


def _human() -> Iterator[tuple[str, float, float, float]]:
    """Test, level, contrast of the criterion, and people's contrast, scaled so that theirs at the criterion is that."""
    mean = _human_table()[lambda table: table["observer"].isna()]
    masked, matched = mean.loc["masking_contrast"], mean.loc["contrast_matching"]
    for level, contrast in zip(masked["level"], masked["contrast"], strict=True):
        yield "masking_contrast", float(level), _MASKED, float(contrast)
    for level, reference, contrast in matched[["level", "reference", "contrast"]].to_numpy(np.float64):
        yield "contrast_matching", float(level), float(reference), float(contrast)
    people = mean.loc["csf_achromatic"].set_index("level")["contrast"]
    yield from _relative("csf_achromatic", people.index, people / people[_TARGET])
    red_green = red_green_threshold(_RED_GREEN) / red_green_threshold(_RED_GREEN_AT)
    yield from _relative("csf_red_green", _RED_GREEN, red_green)
    by_turn = masking_elevation(_TARGET, _TARGET, _MASK, _TURNS)
    yield from _relative("masking_orientation", _TURNS, by_turn)
    by_frequency = masking_elevation(_TARGET, _MASK_FREQUENCIES, _MASK)
    yield from _relative("masking_frequency", _MASK_FREQUENCIES, by_frequency)


def _relative(
    test: str, levels: Iterable[float], factors: Iterable[float]
) -> Iterator[tuple[str, float, float, float]]:
    for level, factor in zip(levels, factors, strict=True):
        yield test, float(level), _SEEN, _SEEN * float(factor)


@cache
def grating_items() -> pd.DataFrame:
    """Test by test, the criteria and then the conditions."""
    criteria = [
        (name, test.criterion_at, contrast, np.nan, True)
        for name, test in TESTS.items()
        for contrast in (*test.criteria, *test.other_criteria)
    ]
    conditions = [(*one, False) for one in _human()]
    table = pd.DataFrame(
        [*criteria, *conditions], columns=["test", "level", "criterion", "human", "is_criterion"]
    )
    table["human"] = table["human"].round(9)  # machines differ in the last digit of an exponential
    order = table["test"].map(list(TESTS).index)
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def fitting_items(items: pd.DataFrame, limit: float) -> NDArray[np.int64]:
    """The items that pixels with this limit show: of each test that has a criterion and enough conditions there."""
    fitting: list[int] = []
    for name, part in items.groupby("test", sort=False):
        test = TESTS[str(name)]
        fits = part["level"].map(lambda level, test=test: test.frequency(level, limit)) <= limit
        is_shown = fits[part["is_criterion"]].all() and fits[~part["is_criterion"]].sum() >= FEWEST_CONDITIONS
        if part["is_criterion"].any() and is_shown:
            fitting += part.index[fits].tolist()
    return np.array(fitting, np.int64)
