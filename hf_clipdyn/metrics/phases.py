"""When a number rises: a description of one trajectory, no test."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats
from hf_clipdyn.metrics.scores import Score

__all__ = ["half_rise"]


def half_rise(values: ArrayLike, samples: ArrayLike, early: ArrayLike, late: ArrayLike) -> Score:
    """When a number of one run is halfway between its means in two windows, on an axis of octaves of samples.

    Between the windows its isotonic regression is taken, so that no lucky revision decides, with straight lines between
    revisions. A flat part at the half counts with its middle.

    Args:
        values: at each revision, shape (T,).
        samples: seen until then, ascending, shape (T,); above 0 from the early window on.
        early, late: whether a revision is in the window, shape (T,).

    Returns:
        log2 of ``samples`` at the half; NaN with its cause if the number does not rise, or is undefined at a revision.

    Raises:
        MetricError: different lengths, an empty window, samples that do not ascend.

    Examples:
        >>> from hf_clipdyn.metrics.phases import half_rise
        >>> half_rise([0.2, 0.3, 0.7, 0.8], [1, 2, 4, 8], [1, 0, 0, 0], [0, 0, 0, 1]).value
        1.5
    """
    curve, place = (np.asarray(one, np.float64) for one in (values, samples))
    first, last = (np.asarray(one, np.bool_) for one in (early, late))
    if not curve.ndim == 1 <= len(curve) or {place.shape, first.shape, last.shape} != {curve.shape}:
        raise MetricError("values, samples, early and late must have one entry for each revision.")
    if not (np.diff(place) > 0).all():
        raise MetricError("The samples of revisions must ascend: sort them, and give each once.")
    if not first.any() or not last.any():
        raise MetricError("early and late must choose revisions, at least one each.")
    part = slice(int(first.argmax()), len(place) - int(last[::-1].argmax()))
    seen, rising = place[part], curve[part]
    if not len(seen) or seen[0] <= 0:
        raise MetricError(
            "samples must be above 0 from the early window on, and late must not come before early."
        )
    start, end = float(curve[first].mean()), float(curve[last].mean())
    cause = ""
    if np.isnan(rising).any():
        cause = "the number is undefined at a revision"
    elif not end > start:
        cause = "the number does not rise from the early window to the late one"
    if cause:
        return Score(math.nan, n=len(curve), cause=cause)
    steady = np.asarray(isotonic_regression(rising).x)
    return Score(_crossing(np.log2(seen), steady, (start + end) / 2), n=len(curve))


def _crossing(x: Floats, rising: Floats, level: float) -> float:
    flat = np.isclose(rising, level, rtol=0, atol=1e-12)
    if flat.any():
        return float(x[flat][[0, -1]].mean())
    after = int(np.searchsorted(rising, level))
    share = (level - rising[after - 1]) / (rising[after] - rising[after - 1])
    return float(x[after - 1] + share * (x[after] - x[after - 1]))
