"""Contrasts at which a distance reaches a criterion, and how far they are from the contrasts that people need.

All errors are in log10 units of contrast. Every function works on the last axis and broadcasts over the others.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.metrics._validation import Floats

__all__ = [
    "FEWEST_CONDITIONS",
    "FLAT_SD",
    "Agreement",
    "agreement",
    "flat_log_rmse",
    "iso_response_contrast",
    "log_slope",
    "masking_elevation",
    "red_green_threshold",
]

FEWEST_CONDITIONS = 4
"""With fewer conditions no agreement is defined."""
FLAT_SD = 0.01
"""Standard deviation in log10 units; contrasts that vary less are the same, and their correlation is noise."""


def iso_response_contrast(contrasts: ArrayLike, distances: ArrayLike, criterion: ArrayLike) -> Floats:
    """The smallest contrast at which a distance reaches a criterion, by interpolation of log D over log C.

    Args:
        contrasts: ascending and positive, shape (k,), or (..., k).
        distances: at these contrasts, not negative, shape (..., k).
        criterion: shape (...).

    Returns:
        Shape (...). NaN where the contrast is outside the grid, or the criterion is not positive.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import iso_response_contrast
        >>> iso_response_contrast([0.01, 0.02, 0.04], [[1.0, 2.0, 4.0], [3.0, 4.0, 5.0]], [2.0, 2.0]).tolist()
        [0.02, nan]
    """
    d = np.asarray(distances, np.float64)
    c = np.broadcast_to(np.asarray(contrasts, np.float64), d.shape)
    d0 = np.broadcast_to(np.asarray(criterion, np.float64), d.shape[:-1])
    reached = d >= d0[..., None]
    above = reached.argmax(axis=-1)
    below = np.maximum(above - 1, 0)

    def at(values: Floats, place: NDArray[np.int64]) -> Floats:
        return np.take_along_axis(values, place[..., None], axis=-1)[..., 0]

    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.log(at(d, below)), np.log(at(d, above))
        share = (np.log(d0) - low) / (high - low)
        between = np.exp(np.log(at(c, below)) + share * (np.log(at(c, above)) - np.log(at(c, below))))
    # At a point of the grid nothing is interpolated; from a distance of 0, whose logarithm is infinite, nothing can be.
    exact = (at(d, above) == d0) | (at(d, below) == 0)
    contrast = np.where(exact & ((above > 0) | (at(d, above) == d0)), at(c, above), between)
    inside = reached.any(axis=-1) & (d0 > 0) & ((above > 0) | (at(d, above) == d0))
    return np.asarray(np.where(inside, contrast, np.nan))


def masking_elevation(
    frequency: ArrayLike, mask_frequency: ArrayLike, mask_contrast: ArrayLike, turn: ArrayLike = 0.0
) -> Floats:
    """The factor by which a mask raises people's contrast threshold (Legge and Foley 1980, Foley 1994).

    E = (100 Cm / 1.8)^n with n = 0.5 exp(-(log10 f / fm)² / 0.0625) exp(-turn / 45°), and 1 for Cm below 0.018.

    Args:
        frequency, mask_frequency: of target and mask, in cycles per degree.
        mask_contrast: Michelson, in [0, 1].
        turn: angle between the two in degrees.

    Returns:
        The common shape of the arguments, >= 1.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import masking_elevation
        >>> masking_elevation(4, [1, 2, 4], 0.2).round(3).tolist()
        [1.004, 1.326, 3.333]
    """
    apart = np.log10(np.asarray(frequency, np.float64) / np.asarray(mask_frequency, np.float64))
    angle = np.asarray(turn, np.float64) % 180
    power = 0.5 * np.exp(-np.square(apart) / 0.0625) * np.exp(-np.minimum(angle, 180 - angle) / 45)
    return np.asarray(np.maximum(100 * np.asarray(mask_contrast, np.float64) / 1.8, 1.0) ** power)


def red_green_threshold(frequency: ArrayLike) -> Floats:
    """People's contrast threshold of a red-green grating, relative to that at 0 cycles per degree (Mullen 1985).

    Args:
        frequency: in cycles per degree, >= 0.

    Returns:
        The shape of ``frequency``, >= 1.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import red_green_threshold
        >>> red_green_threshold([2, 4]).round(3).tolist()
        [1.351, 1.827]
    """
    return np.asarray(np.exp(np.asarray(frequency, np.float64) / 6.64))


class Agreement(NamedTuple):
    """The distance between the contrasts of a model and of people; each field has the shape of the leading axes.

    Attributes:
        log_rmse: root mean square of log10 model - log10 people, 0 for people.
        alignment: 1 - log_rmse / that of a flat observer: 1 for people, 0 for an observer without the effect.
        pearson: correlation of the logarithms; NaN where those of the model are flat.
        n: conditions that count.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import agreement
        >>> found = agreement([0.01, 0.02, 0.04, 0.08], [0.01, 0.02, 0.04, 0.16], [1] * 4, free_offset=False)
        >>> round(float(found.log_rmse), 4), int(found.n)
        (0.1505, 4)
    """

    log_rmse: Floats
    alignment: Floats
    pearson: Floats
    n: NDArray[np.int64]


def agreement(model: ArrayLike, people: ArrayLike, flat: ArrayLike, *, free_offset: bool) -> Agreement:
    """Compare contrasts by condition with those of people; conditions without a contrast do not count.

    Args:
        model: shape (..., k); NaN leaves a condition out.
        people: shape (k,).
        flat: contrasts of an observer without the effect, shape (k,).
        free_offset: remove the mean difference first: the criterion sets the level, and only the shape counts.

    Returns:
        NaN with fewer than `FEWEST_CONDITIONS` conditions.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import agreement
        >>> found = agreement([0.01, 0.02, 0.04, 0.08], [0.02, 0.04, 0.08, 0.16], [1] * 4, free_offset=True)
        >>> float(found.log_rmse.round(9)), float(found.alignment.round(9)), float(found.pearson.round(9))
        (0.0, 1.0, 1.0)
    """
    own, human, none = (np.log10(np.asarray(one, np.float64)) for one in (model, people, flat))
    counts = ~np.isnan(own)
    n = counts.sum(axis=-1)
    error = _log_rmse(own - human, free_offset)
    with np.errstate(invalid="ignore", divide="ignore"):
        alignment = 1 - error / _log_rmse(np.where(counts, none - human, np.nan), free_offset)
    first, second = _centred(own), _centred(np.where(counts, human, np.nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        length = np.sqrt(np.nansum(first**2, axis=-1) * np.nansum(second**2, axis=-1))
        pearson = np.nansum(first * second, axis=-1) / length
        flat_model = np.sqrt(np.nansum(first**2, axis=-1) / n) < FLAT_SD
    enough = n >= FEWEST_CONDITIONS
    return Agreement(
        np.where(enough, error, np.nan),
        np.where(enough, alignment, np.nan),
        np.where(enough & ~flat_model, pearson, np.nan),
        n,
    )


def flat_log_rmse(people: ArrayLike, flat: ArrayLike, *, free_offset: bool) -> float:
    """`Agreement.log_rmse` of an observer without the effect, over all conditions.

    Args:
        people: contrasts of people, shape (k,).
        flat: contrasts of an observer without the effect, shape (k,).
        free_offset: remove the mean difference first, as in `agreement`.

    Returns:
        In log10 units, >= 0.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import flat_log_rmse
        >>> round(flat_log_rmse([0.01, 0.1, 1], [0.1, 0.1, 0.1], free_offset=True), 4)
        0.8165
    """
    return float(_log_rmse(np.log10(np.asarray(flat, np.float64) / np.asarray(people)), free_offset))


def log_slope(x: ArrayLike, contrasts: ArrayLike) -> Floats:
    """Slope of log10 contrast over log10 x by least squares; conditions without a contrast do not count.

    Args:
        x: positive, shape (k,).
        contrasts: shape (..., k).

    Returns:
        Shape (...); NaN with fewer than `FEWEST_CONDITIONS` conditions.

    Examples:
        >>> from hf_clipdyn.metrics.psychophysics import log_slope
        >>> log_slope([1, 10, 100, 1000], [0.01, 0.1, 1, 10]).round(9).tolist()
        1.0
    """
    y = np.log10(np.asarray(contrasts, np.float64))
    over = _centred(np.where(np.isnan(y), np.nan, np.log10(np.asarray(x, np.float64))))
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.nansum(over * y, axis=-1) / np.nansum(over**2, axis=-1)
    return np.asarray(np.where((~np.isnan(y)).sum(axis=-1) >= FEWEST_CONDITIONS, slope, np.nan))


def _centred(values: Floats) -> Floats:
    """Minus the mean of the last axis over what is not NaN."""
    n = (~np.isnan(values)).sum(axis=-1, keepdims=True)
    return np.asarray(values - np.nansum(values, axis=-1, keepdims=True) / np.maximum(n, 1))


def _log_rmse(differences: Floats, free_offset: bool) -> Floats:
    errors = _centred(differences) if free_offset else differences
    n = (~np.isnan(errors)).sum(axis=-1)
    return np.asarray(np.sqrt(np.nansum(errors**2, axis=-1) / np.maximum(n, 1)))
