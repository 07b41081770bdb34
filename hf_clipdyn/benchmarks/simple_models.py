"""What simple models see of images: pixels, amplitudes, colours."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.degradations import luminance

_MOST = 32  # pixels a side; larger images are averaged in blocks, since a linear model needs no more
_BINS = 4  # of each channel of colour
Images = NDArray[np.uint8]
Floats = NDArray[np.float64]


def reduced(images: Images, most: int = _MOST) -> Images:
    """Images (n, H, W, 3) averaged in square blocks to at most `most` pixels a side; rests are cut off."""
    n, height, width = images.shape[:3]
    block = -(-max(height, width) // most)
    rows, columns = height // block, width // block
    cut = images[:, : rows * block, : columns * block]
    means = cut.reshape(n, rows, block, columns, block, 3).mean(axis=(2, 4))
    return np.asarray(np.rint(means), np.uint8)


def _pixels(images: Images) -> Floats:
    return reduced(images).reshape(len(images), -1).astype(np.float64)


def _amplitudes(images: Images) -> Floats:
    """Amplitudes of the grey image around its mean, without the half that mirrors the other; edges are windowed."""
    values = np.stack([luminance(image) for image in reduced(images)])
    values -= values.mean(axis=(1, 2), keepdims=True)
    return np.abs(np.fft.rfft2(values * _window(*values.shape[1:]))).reshape(len(images), -1)


def _window(height: int, width: int) -> Floats:
    return np.asarray(np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1])


def _colours(images: Images) -> Floats:
    """Share of the pixels in each of 64 boxes of colour."""
    boxes = (reduced(images) // (256 // _BINS)).astype(np.int64) @ [_BINS**2, _BINS, 1]
    return np.stack([np.bincount(one.reshape(-1), minlength=_BINS**3) / one.size for one in boxes])


SIMPLE_FEATURES: Mapping[str, Callable[[Images], Floats]] = {
    "pixels": _pixels,
    "amplitudes": _amplitudes,
    "colours": _colours,
}
"""Functions from images (n, H, W, 3) to rows (n, d)."""
