"""When a number rises, and when a layer settles: descriptions of trajectories, no tests."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import trapezoid
from scipy.optimize import isotonic_regression

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.representation import progress_influences

__all__ = ["half_rise", "half_rise_lead", "settling"]

Floats = NDArray[np.float64]

_SETTLED = 0.9  # of an untrained layer that resembles its end: its progress would be noise


def half_rise(values: ArrayLike, samples: ArrayLike, early: ArrayLike, late: ArrayLike) -> dict[str, Any]:
    """When a number of one run is halfway between its means in two windows, on an axis of octaves of samples.

    Between the windows its isotonic regression is taken, so that no lucky revision decides, with straight lines between
    revisions. A flat part at the half counts with its middle.

    Args:
        values: at each revision, shape (T,).
        samples: seen until then, ascending, shape (T,); above 0 from the early window on.
        early, late: whether a revision is in the window, shape (T,).

    Returns:
        ``octaves``, log2 of ``samples`` at the half; ``start``, ``end``, the means in the windows; ``causes``. The
        first two are NaN if the number does not rise, or is undefined at a revision.

    Raises:
        MetricError: different lengths, an empty window, samples that do not ascend.

    Examples:
        >>> from hf_clipdyn.metrics.phases import half_rise
        >>> result = half_rise([0.2, 0.3, 0.7, 0.8], [1, 2, 4, 8], [1, 0, 0, 0], [0, 0, 0, 1])
        >>> result["octaves"]
        1.5
    """
    curve, place = _trajectories(values, samples)
    windows = [np.asarray(one, np.bool_) for one in (early, late)]
    if len(curve) != 1 or any(one.shape != place.shape or not one.any() for one in windows):
        raise MetricError("early and late must choose revisions of one trajectory, at least one each.")
    start, end = (float(curve[0, one].mean()) for one in windows)
    part = slice(int(windows[0].argmax()), len(place) - int(windows[1][::-1].argmax()))
    seen, rising = place[part], curve[0, part]
    if not len(seen) or seen[0] <= 0:
        raise MetricError(
            "samples must be above 0 from the early window on, and late must not come before early."
        )
    half, cause = (start + end) / 2, ""
    if np.isnan(rising).any():
        cause = "the number is undefined at a revision"
    elif not end > start:
        cause = "the number does not rise from the early window to the late one"
    at = {"octaves": math.nan, "samples": math.nan}
    if not cause:
        octaves = _crossing(np.log2(seen), np.asarray(isotonic_regression(rising).x), half)
        at = {"octaves": octaves, "samples": 2.0**octaves}
    return {**at, "start": start, "end": end, "causes": dict.fromkeys(at, cause) if cause else {}}


def _crossing(x: Floats, rising: Floats, level: float) -> float:
    flat = np.isclose(rising, level, rtol=0, atol=1e-12)
    if flat.any():
        return float(x[flat][[0, -1]].mean())
    after = int(np.searchsorted(rising, level))
    share = (level - rising[after - 1]) / (rising[after] - rising[after - 1])
    return float(x[after - 1] + share * (x[after] - x[after - 1]))


def half_rise_lead(
    first: ArrayLike, second: ArrayLike, samples: ArrayLike, early: ArrayLike, late: ArrayLike
) -> dict[str, Any]:
    """By how many octaves of samples the half-rise of one number comes before that of another in one run.

    Args:
        first, second: such as the decodability of a cue and the answers for it, shape (T,) each.
        samples, early, late: see `half_rise`.

    Returns:
        ``lead`` in octaves, positive if the first rises earlier; ``first`` and ``second``, the octaves of each;
        ``causes`` of a NaN.

    Raises:
        MetricError: as for `half_rise`.

    Examples:
        >>> from hf_clipdyn.metrics.phases import half_rise_lead
        >>> curves = [0.2, 0.8, 0.8, 0.8], [0.2, 0.2, 0.2, 0.8]
        >>> half_rise_lead(*curves, [1, 2, 4, 8], [1, 0, 0, 0], [0, 0, 0, 1])["lead"]
        2.0
    """
    by_name = {
        name: half_rise(values, samples, early, late)
        for name, values in (("first", first), ("second", second))
    }
    octaves = {name: one["octaves"] for name, one in by_name.items()}
    causes = {name: one["causes"]["octaves"] for name, one in by_name.items() if one["causes"]}
    if causes:
        causes["lead"] = next(f"of the {name}, {cause}" for name, cause in causes.items())
    return {"lead": octaves["second"] - octaves["first"], **octaves, "causes": causes}


def settling(
    similarities: ArrayLike, samples: ArrayLike, influences: ArrayLike | None = None
) -> dict[str, Any]:
    """Do lower layers settle earlier? Mean progress of each layer over training, on an axis of octaves of samples.

    Args:
        similarities: of each layer at each revision with the same layer at the last one, such as the debiased CKA, or
            1 minus the angular distance over pi/2; at most 1; shape (layers, T), the lowest layer first.
        samples: seen until each revision, ascending, shape (T,). The first revision is the untrained model.
        influences: what each of n items contributes to the similarities, (layers, T, n).

    Returns:
        ``mean_progress`` of each layer, the mean of (c(t) - c(0))/(1 - c(0)) over revisions evenly spaced in the
        logarithm of the samples, with straight lines between those that are given: larger for a layer that settles
        earlier; NaN if c(0) is above 0.9 or undefined. ``lower_minus_upper``: the mean of the lower half of the layers
        minus that of the upper half; the middle one of an odd number is in neither. ``causes`` of a NaN. With
        influences, ``influences``: those on the means, (layers, n), and on the contrast, (n,).

    Raises:
        MetricError: other shapes, fewer than two trained revisions, samples that do not ascend.

    Examples:
        >>> from hf_clipdyn.metrics.phases import settling
        >>> result = settling([[0.2, 0.8, 1.0, 1.0], [0.2, 0.2, 0.6, 1.0]], [0, 1, 2, 4])
        >>> [round(one, 6) for one in result["mean_progress"]], round(result["lower_minus_upper"], 6)
        ([0.9375, 0.5], 0.4375)
    """
    curves, place = _trajectories(similarities, samples)
    if len(place) < 3 or place[0] < 0 or place[1] <= 0:
        raise MetricError(
            "samples must be those of the untrained model and of two trained revisions or more."
        )
    start, octaves = curves[:, :1], np.log2(place[1:])
    known = (start <= _SETTLED) & np.isfinite(curves).all(axis=1, keepdims=True)
    share = (curves[:, 1:] - start) / np.where(known, 1 - start, np.nan)
    means = trapezoid(share, octaves, axis=1) / (octaves[-1] - octaves[0])
    half = len(curves) // 2
    contrast = float(means[:half].mean() - means[len(means) - half :].mean()) if half else math.nan
    causes = {}
    if not half:
        causes["lower_minus_upper"] = "there is only one layer"
    if not known.all():
        cause = f"an untrained layer is above {_SETTLED} already, or a similarity is undefined"
        causes = {"mean_progress": cause} | ({"lower_minus_upper": cause} if math.isnan(contrast) else {})
    result = {"mean_progress": means.tolist(), "lower_minus_upper": contrast, "causes": causes}
    if influences is not None:
        of_share = progress_influences(curves, influences)[:, 1:]
        of_means = trapezoid(of_share, octaves, axis=1) / (octaves[-1] - octaves[0])
        of_contrast = (
            of_means[:half].mean(axis=0) - of_means[len(means) - half :].mean(axis=0)
            if half
            else np.full(of_means.shape[1], math.nan)
        )
        result["influences"] = {"mean_progress": of_means, "lower_minus_upper": of_contrast}
    return result


def _trajectories(values: ArrayLike, x: ArrayLike | None) -> tuple[Floats, Floats]:
    """Values as (seeds, T), one trajectory as the only seed, and their ascending places (T,)."""
    curves = np.atleast_2d(np.asarray(values, np.float64))
    place = np.arange(curves.shape[-1], dtype=np.float64) if x is None else np.asarray(x, np.float64)
    if curves.ndim != 2 or not curves.size or place.shape != curves.shape[1:]:
        raise MetricError(
            f"values must have the shape (seeds, {place.size}), one for each revision, but have {curves.shape}."
        )
    if not (np.diff(place) > 0).all():
        raise MetricError("The places of revisions must ascend: sort them, and give each once.")
    return curves, place
