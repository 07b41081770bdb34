"""Fixations from the samples of an eye tracker, by the rule of MIT1003's authors.

Their rule (Judd et al. 2009, ``checkFixations``): the samples between two saccades are one fixation, at the median of
their positions. A saccade begins where the speed over four samples rises by more than 6 degrees per second from one
sample to the next, and ends after it has fallen by as much. An interval of at most 50 ms between two saccades is not a
fixation. This is a new implementation of that description. It was never compared with theirs, since neither MATLAB nor
the recordings were available.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["detect_fixations"]

Floats = NDArray[np.float64]

# The settings of MIT1003's recordings and of its authors' rule.
_RATE = 240.0  # samples per second
_PIXELS_PER_DEGREE = 34.0
_THRESHOLD = 6.0  # rise of speed that begins a saccade, in degrees per second
_WINDOW = 4  # samples over which speed is measured
_SHORTEST = round(0.05 * _RATE)  # most samples between two saccades that are not a fixation: 50 ms
_SEARCH = 25  # samples within which a saccade must slow down


def detect_fixations(gaze: Floats, threshold: float = _THRESHOLD) -> list[tuple[float, float, float]]:
    """Fixations as (x, y, duration in milliseconds), in their order in time.

    Args:
        gaze: positions in pixels, shape (samples, 2); NaN where the eye was lost.
        threshold: rise of speed that begins a saccade, in degrees per second.

    Returns:
        The first fixation is where the eye was when the image appeared. Positions may lie outside the image.
    """
    if not len(gaze):
        return []
    fixations = []
    for start, end in _between(_saccades(gaze, threshold), len(gaze)):
        samples = gaze[start:end]
        samples = samples[np.isfinite(samples).all(axis=1)]
        if len(samples):
            x, y = np.median(samples, axis=0)
            fixations.append((float(x), float(y), 1000.0 * (end - start) / _RATE))
    return fixations


def _saccades(gaze: Floats, threshold: float) -> list[tuple[int, int]]:
    """First and last sample of every saccade."""
    rise = _acceleration(gaze)
    critical = threshold * _PIXELS_PER_DEGREE
    saccades: list[tuple[int, int]] = []
    for start, end in _runs(rise > critical):
        if end - start < 2 or (saccades and start <= saccades[-1][1]):
            continue  # a lone sample is noise
        slowing = np.flatnonzero(rise[end : end + _SEARCH] < -critical)
        if len(slowing):
            stop = end + int(slowing[0])
            while stop + 1 < len(rise) and rise[stop + 1] < -critical:
                stop += 1
        elif end + _SEARCH >= len(rise):
            stop = len(gaze) - 1  # the recording ends within the saccade
        else:
            continue
        if saccades and start - saccades[-1][1] <= _SHORTEST:
            saccades[-1] = (saccades[-1][0], stop)
        else:
            saccades.append((start, stop))
    return saccades


def _acceleration(gaze: Floats) -> Floats:
    """Change of speed, in pixels per second, from the window of each sample to that of the next."""
    steps = np.concatenate([[0.0], np.hypot(*np.diff(gaze, axis=0).T)])
    steps = np.nan_to_num(steps)  # a lost eye is not a movement
    kernel = np.ones(_WINDOW) / _WINDOW
    smooth = np.convolve(steps, kernel)[: len(steps)]
    speed = np.convolve(smooth, np.ones(_WINDOW + 1))[_WINDOW:][: len(steps)]
    speed *= _RATE / _WINDOW
    return np.append(np.diff(speed), 0.0)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end (exclusive) of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _between(saccades: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """Start and end (exclusive) of the intervals between saccades."""
    starts = [0, *(stop + 1 for _, stop in saccades)]
    ends = [*(start for start, _ in saccades), length]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end > start]
