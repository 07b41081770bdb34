"""MIT1003 (Judd et al. 2009): 1,003 photographs, 15 observers.

Fixations are detected in the samples of the eye tracker by the authors' rule (``checkFixations``): the samples between
two saccades are one fixation, at the median of their positions. A saccade begins where the speed over four samples
rises by more than 6 degrees per second from one sample to the next, and ends after it has fallen by as much. An
interval of at most 50 ms between two saccades is not a fixation. This is a new implementation of that description. It
was never compared with theirs, since neither MATLAB nor the recordings were available.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.fixations import Fixation, FixationBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import expecting, read_mat
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference


class Mit1003(FixationBuilder):
    """1,003 photographs, free viewing for three seconds; kind ``fixations``, split ``test``.

    Fixations are detected in the recordings ``DATA/<subject>/<image>.mat``. They include each subject's first one, on
    the cross in the centre, which the authors drop. Without ``DATA`` there are only maps and no fixations.
    """

    metadata = DatasetMetadata(
        kind="fixations",
        title="MIT1003",
        rows={"test": 1003},
        licence="none stated",
        licence_id="unknown",
        where="people.csail.mit.edu/tjudd/WherePeopleLook (ALLSTIMULI.zip, DATA.zip, ALLFIXATIONMAPS.zip)",
        # As the authors blur their maps; their detection of fixations uses 34 (below).
        pixels_per_degree=35.0,
        drop_first=True,
        citation=reference("judd2009learning"),
    )
    layout = ("ALLSTIMULI/", "ALLFIXATIONMAPS/|DATA/")
    recordings = "ALLFIXATIONMAPS or DATA"

    def rows(self, split: str) -> Rows:
        maps = self.files.folder_if_any("ALLFIXATIONMAPS")
        recordings = self._recordings()
        for image in self.files.folder("ALLSTIMULI").images():
            of_image = recordings.get(image.stem.lower(), [])
            fixations = [fixation for subject, file in of_image for fixation in _fixations(file, subject)]
            yield self.row(image, fixations if of_image else None, maps.image(f"{image.stem}_fixMap.jpg"))

    def _recordings(self) -> dict[str, list[tuple[str, SourceFile]]]:
        """Subjects and their recordings by image."""
        recordings: dict[str, list[tuple[str, SourceFile]]] = {}
        for file in self.files.folder_if_any("DATA").files:
            if file.suffix == ".mat" and len(file.parts) > 1:
                recordings.setdefault(file.stem.lower(), []).append((file.parts[-2], file))
        return recordings


def _fixations(file: SourceFile, subject: str) -> Iterator[Fixation]:
    """The recording is the only structure in the file; MATLAB truncates its name to 63 characters."""
    content = read_mat(file.path)
    structures = [value for value in content.values() if isinstance(value, np.ndarray) and value.dtype.names]
    with expecting("a recording with DATA.eyeData", file.path):
        (recording,) = structures
        samples = recording["DATA"].ravel()[0]["eyeData"].ravel()[0]
        gaze = np.asarray(samples, dtype=float)[:, :2]
    if gaze.shape[1] < 2:
        raise DatasetError(f"{file.path} contains positions without x and y: use the official file.")
    for x, y, duration in detect_fixations(gaze):
        yield x, y, duration, subject


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
