"""What simple models see of images: pixels, amplitudes, colours; and images with amplitudes or phases alone."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.degradations import grey, to_pixels, with_amplitudes

__all__ = ["ALONE_TITLES", "SIMPLE_FEATURES", "SIMPLE_TITLES", "Alone"]

_MOST = 32  # pixels a side; larger images are averaged in blocks, since a linear model needs no more
_BINS = 4  # of each channel of colour
Images = NDArray[np.uint8]
Floats = NDArray[np.float64]


def _reduced(images: Images) -> Images:
    """Images (n, H, W, 3) averaged in square blocks, at most 32 pixels a side; rests are cut off."""
    n, height, width = images.shape[:3]
    block = -(-max(height, width) // _MOST)
    rows, columns = height // block, width // block
    cut = images[:, : rows * block, : columns * block]
    means = cut.reshape(n, rows, block, columns, block, 3).mean(axis=(2, 4))
    return np.asarray(np.rint(means), np.uint8)


def _pixels(images: Images) -> Floats:
    return _reduced(images).reshape(len(images), -1).astype(np.float64)


def _amplitudes(images: Images) -> Floats:
    """Amplitudes of the grey image around its mean, without the half that mirrors the other; edges are windowed."""
    values = np.stack([grey(one) for one in _reduced(images)])
    values -= values.mean(axis=(1, 2), keepdims=True)
    return np.abs(np.fft.rfft2(values * _window(*values.shape[1:]))).reshape(len(images), -1)


def _window(height: int, width: int) -> Floats:
    return np.asarray(np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1])


def _colours(images: Images) -> Floats:
    """Share of the pixels in each of 64 boxes of colour."""
    boxes = (_reduced(images) // (256 // _BINS)).astype(np.int64) @ [_BINS**2, _BINS, 1]
    return np.stack([np.bincount(one.reshape(-1), minlength=_BINS**3) / one.size for one in boxes])


SIMPLE_FEATURES: Mapping[str, Callable[[Images], Floats]] = {
    "pixels": _pixels,
    "amplitudes": _amplitudes,
    "colours": _colours,
}
"""Functions from images (n, H, W, 3) to rows (n, d)."""
SIMPLE_TITLES = {
    "pixels": "linear model on pixels",
    "amplitudes": "linear model on the amplitude spectrum",
    "colours": "linear model on the colour histogram",
}
ALONE_TITLES = {"amplitude_alone": "amplitudes alone", "phase_alone": "phases alone"}


class Alone:
    """Grey images of which only the amplitudes, or only the phases, are left; mean and RMS contrast stay.

    Edges are windowed. The phases are those of noise, drawn for each image; the amplitudes the mean over the images.

    Args:
        images: (n, H, W, 3), read one by one.
        rows: which of them count.
    """

    def __init__(self, images: Images, rows: NDArray[np.int64]) -> None:
        amplitudes = [np.abs(np.fft.fft2(self._windowed(grey(images[row])))) for row in rows.tolist()]
        self._mean: Floats = np.mean(amplitudes, axis=0)

    @staticmethod
    def _windowed(values: Floats) -> Floats:
        return np.asarray((values - values.mean()) * _window(*values.shape))

    def values(self, name: str, pixels: Images, row: int) -> Floats:
        """Grey values (H, W) of one image; some may be outside [0, 1].

        Args:
            name: ``amplitude_alone`` or ``phase_alone``.
            pixels: (H, W, 3).
            row: seed of its noise.
        """
        shown = grey(pixels)
        own = self._windowed(shown)
        if name == "phase_alone":
            changed = with_amplitudes(own, self._mean)
        else:
            noise = np.random.default_rng([0, row]).normal(size=shown.shape)
            changed = with_amplitudes(noise, np.abs(np.fft.fft2(own)))
        changed = changed - changed.mean()
        size = np.sqrt(np.square(changed).mean())
        return np.asarray(shown.mean() + changed * (shown.std() / size if size > 0 else 0.0))

    def __call__(self, name: str, pixels: Images, row: int) -> Images:
        """`values` as pixels (H, W, 3), clipped."""
        return to_pixels(self.values(name, pixels, row))
