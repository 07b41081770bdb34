"""Fixations from the samples of an eye tracker, by the rule of MIT1003's authors.

Their rule (Judd et al. 2009, ``checkFixations``): the samples between two saccades are one fixation, at the median of
their positions. A saccade begins where the speed over four samples rises by more than 6 degrees per second from one
sample to the next, and ends after it has fallen by as much. An interval of at most 50 ms between two saccades is not a
fixation. This is a new implementation of that description. It was never compared with theirs, since neither MATLAB nor
the recordings were available.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tracker", "detect_fixations"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tracker:
    """The settings of a recording.

    Attributes:
        rate: samples per second.
        pixels_per_degree: of visual angle.
        threshold: rise of speed that begins a saccade, in degrees per second.
        window: number of samples over which speed is measured.
        shortest: longest interval between two saccades that is not a fixation, in milliseconds.
        search: number of samples within which a saccade must slow down.
    """

    rate: float = 240.0
    pixels_per_degree: float = 34.0
    threshold: float = 6.0
    window: int = 4
    shortest: float = 50.0
    search: int = 25


def detect_fixations(gaze: Floats, tracker: Tracker | None = None) -> list[tuple[float, float, float]]:
    """Fixations as (x, y, duration in milliseconds), in their order in time.

    Args:
        gaze: positions in pixels, shape (samples, 2); NaN where the eye was lost.
        tracker: settings of the recording; default: those of MIT1003.

    Returns:
        The first fixation is where the eye was when the image appeared. Positions may lie outside the image.
    """
    tracker = tracker or Tracker()
    if not len(gaze):
        return []
    found = []
    for start, end in _between(_saccades(gaze, tracker), len(gaze)):
        samples = gaze[start:end]
        samples = samples[np.isfinite(samples).all(axis=1)]
        if len(samples):
            x, y = np.median(samples, axis=0)
            found.append((float(x), float(y), 1000.0 * (end - start) / tracker.rate))
    return found


def _saccades(gaze: Floats, tracker: Tracker) -> list[tuple[int, int]]:
    """First and last sample of every saccade."""
    rise = _acceleration(gaze, tracker)
    critical = tracker.threshold * tracker.pixels_per_degree
    saccades: list[tuple[int, int]] = []
    shortest = round(tracker.shortest * tracker.rate / 1000.0)
    for start, end in _runs(rise > critical):
        if end - start < 2 or (saccades and start <= saccades[-1][1]):
            continue  # a lone sample is noise
        slowing = np.flatnonzero(rise[end : end + tracker.search] < -critical)
        if len(slowing):
            stop = end + int(slowing[0])
            while stop + 1 < len(rise) and rise[stop + 1] < -critical:
                stop += 1
        elif end + tracker.search >= len(rise):
            stop = len(gaze) - 1  # the recording ends within the saccade
        else:
            continue
        if saccades and start - saccades[-1][1] <= shortest:
            saccades[-1] = (saccades[-1][0], stop)
        else:
            saccades.append((start, stop))
    return saccades


def _acceleration(gaze: Floats, tracker: Tracker) -> Floats:
    """Change of speed, in pixels per second, from the window of each sample to that of the next."""
    steps = np.concatenate([[0.0], np.hypot(*np.diff(gaze, axis=0).T)])
    steps = np.nan_to_num(steps)  # a lost eye is not a movement
    kernel = np.ones(tracker.window) / tracker.window
    smooth = np.convolve(steps, kernel)[: len(steps)]
    speed = np.convolve(smooth, np.ones(tracker.window + 1))[tracker.window :][: len(steps)]
    speed *= tracker.rate / tracker.window
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
