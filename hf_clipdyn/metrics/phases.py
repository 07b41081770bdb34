"""When a number turns, in every seed: descriptions of trajectories as arrays (seeds, revisions), no tests.

A least-squares break always exists, so each function gives how many seeds have it with the same sign. Say which axis x
is: samples, or their logarithm.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.integrate import trapezoid
from scipy.optimize import isotonic_regression

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.representation import progress_influences

__all__ = [
    "half_rise",
    "half_rise_lead",
    "seed_to_step_variance",
    "segmented_regression",
    "settling",
    "two_lines",
]

Floats = NDArray[np.float64]

_BREAKS = 101  # on the default grid
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


def segmented_regression(
    values: ArrayLike,
    x: ArrayLike,
    *,
    grid: ArrayLike | None = None,
    fewest: int = 3,
    confidence_level: float = 0.95,
) -> dict[str, Any]:
    """Two straight lines that meet, in each seed: y = b0 + b1 x + b2 max(0, x - c), with c from a grid.

    The squares of both fits do not make an F test, since c was searched.

    Args:
        values: shape (seeds, T).
        x: of the revisions, ascending, shape (T,).
        grid: candidates for c; None for 101 of them. Those with fewer than ``fewest`` revisions on a side (one at c
            counts for both) are left out.
        fewest: revisions on each side.
        confidence_level: of Student's interval of c over the seeds.

    Returns:
        By seed: ``breaks`` (c), ``slopes`` (b1), ``slope_changes`` (b2), ``squares`` and ``squares_straight``, the sums
        of squared residuals with a break and of one straight line. Over seeds: ``break_mean``, ``break_ci`` (NaN for
        one seed), ``break_common``, the c with the least sum over all seeds; ``share_with_sign``, the share of the
        seeds whose b2 has the sign of its mean; ``causes``.

    Raises:
        MetricError: other shapes, no candidate with enough revisions on both sides, values that are not finite.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.phases import segmented_regression
        >>> x = np.arange(9)
        >>> result = segmented_regression([np.minimum(x, 3), np.minimum(x, 4)], x, grid=[2, 3, 4, 5])
        >>> result["breaks"], result["break_mean"], result["share_with_sign"]
        ([3.0, 4.0], 3.5, 1.0)
    """
    curves, place = _trajectories(values, x)
    _check_finite(curves)
    sides = np.linspace(place[0], place[-1], _BREAKS) if grid is None else np.asarray(grid, np.float64)
    places = place[:, None]
    enough = ((places <= sides).sum(axis=0) >= fewest) & ((places >= sides).sum(axis=0) >= fewest)
    if not enough.any():
        raise MetricError(
            f"No break of the grid has {fewest} revisions on each side: give more revisions or another grid."
        )
    candidates = sides[enough]
    designs = [np.stack([np.ones_like(place), place, np.maximum(place - c, 0)], axis=1) for c in candidates]
    fits = [_least_squares(design, curves) for design in designs]
    squares = np.array([one for _, one in fits])
    best = squares.argmin(axis=0)
    seeds = np.arange(len(curves))
    coefficients = np.array([one for one, _ in fits])[best, :, seeds]
    breaks, changes = candidates[best], coefficients[:, 2]
    error = breaks.std(ddof=1) / math.sqrt(len(breaks)) if len(breaks) > 1 else math.nan
    half = float(special.stdtrit(max(len(breaks) - 1, 1), (1 + confidence_level) / 2)) * error
    middle = float(breaks.mean())
    return {
        "breaks": breaks.tolist(),
        "slopes": coefficients[:, 1].tolist(),
        "slope_changes": changes.tolist(),
        "squares": squares[best, seeds].tolist(),
        "squares_straight": _least_squares(designs[0][:, :2], curves)[1].tolist(),
        "break_mean": middle,
        "break_ci": [middle - half, middle + half],
        "break_common": float(candidates[squares.sum(axis=1).argmin()]),
        "share_with_sign": float((np.sign(changes) == np.sign(changes.mean())).mean()),
        "causes": {"break_ci": "there is only one seed"} if len(breaks) == 1 else {},
    }


def seed_to_step_variance(values: ArrayLike) -> float:
    """How much seeds differ, compared with neighbouring revisions of one seed.

    Args:
        values: shape (seeds, T).

    Returns:
        The mean over revisions of Var(y[t]) over seeds, by that of Var(y[t] - y[t - 1]) / 2; about 1 if seeds differ no
        more than neighbouring revisions. NaN for one seed or one revision, or if all steps are equal.

    Raises:
        MetricError: another shape, values that are not finite.

    Examples:
        >>> from hf_clipdyn.metrics.phases import seed_to_step_variance
        >>> round(seed_to_step_variance([[1.0, 2.0, 3.1], [2.0, 3.0, 4.0]]), 1)
        374.7
    """
    curves, _ = _trajectories(values, None)
    _check_finite(curves)
    if min(curves.shape) < 2:
        return math.nan
    steps = float(np.diff(curves, axis=1).var(axis=0, ddof=1).mean()) / 2
    return float(curves.var(axis=0, ddof=1).mean()) / steps if steps > 0 else math.nan


def two_lines(values: ArrayLike, x: ArrayLike, split: float) -> dict[str, Any]:
    """Does a number rise and then fall, in each seed? Two unconnected lines around a given break (Simonsohn 2018).

    A quadratic finds an inverted U in any curve that saturates; two lines do not. The break must come from other seeds.

    Args:
        values: shape (seeds, T).
        x: of the revisions, ascending, shape (T,): samples rather than an accuracy, which has errors of its own.
        split: the break; a revision there belongs to the left line.

    Returns:
        By seed: ``rises`` and ``falls``, the slopes on the left and on the right; ``jumps``, right minus left at the
        break. ``share_inverted``: share of the seeds that rise (slope > 0) and then fall (slope < 0).

    Raises:
        MetricError: other shapes, fewer than two revisions on a side, values that are not finite.

    Examples:
        >>> from hf_clipdyn.metrics.phases import two_lines
        >>> result = two_lines([[0.0, 1.0, 2.0, 2.5, 2.0]], [0, 1, 2, 3, 4], 2)
        >>> [round(result[name][0], 6) for name in ("rises", "falls", "jumps")], result["share_inverted"]
        ([1.0, -0.5, 1.0], 1.0)
    """
    curves, place = _trajectories(values, x)
    _check_finite(curves)
    right = place > split
    if min(right.sum(), (~right).sum()) < 2:
        raise MetricError(f"The break {split:g} needs two revisions on each side: give another one.")
    from_split = place - split
    design = np.stack([np.ones_like(place), from_split * ~right, from_split * right, right], axis=1)
    (_, rises, falls, jumps), _ = _least_squares(design, curves)
    return {
        "rises": rises.tolist(),
        "falls": falls.tolist(),
        "jumps": jumps.tolist(),
        "share_inverted": float(((rises > 0) & (falls < 0)).mean()),
    }


def _least_squares(design: Floats, curves: Floats) -> tuple[Floats, Floats]:
    """Coefficients (k, seeds), and the sum of squared residuals of each seed."""
    coefficients = np.asarray(np.linalg.lstsq(design, curves.T, rcond=None)[0])
    return coefficients, np.asarray(np.square(curves.T - design @ coefficients).sum(axis=0))


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


def _check_finite(curves: Floats) -> None:
    if not np.isfinite(curves).all():
        raise MetricError("values must be finite: leave out revisions at which a seed has no number.")
