"""Maps over the part of an image that a model saw: a coarse one laid over its pixels, and what no model predicts."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.metrics.checks import Floats

_GRAIN = 1e12  # what maps are rounded to, per largest value
_CELLS = 8


@dataclass(frozen=True)
class SeenPart:
    """The part of an image that the model saw, in the image's own pixels.

    Attributes:
        left, top, right, bottom: edges of the model's input, not whole numbers in general.
        first: column and row of the first pixel whose centre the model saw.
        size: (width, height) in pixels from there; all maps and fixations of the image are cut to it.
    """

    left: float
    top: float
    right: float
    bottom: float
    first: tuple[int, int]
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the maps."""
        return self.size[1], self.size[0]

    def cut(self, image_map: Floats) -> Floats:
        """The seen part of a map of the whole image."""
        (x, y), (width, height) = self.first, self.size
        return image_map[y : y + height, x : x + width]


def whole_view(width: int, height: int) -> SeenPart:
    """All of an image, which is squashed to the model's input."""
    return SeenPart(0.0, 0.0, float(width), float(height), (0, 0), (width, height))


def upsample_map(coarse: Floats, view: SeenPart, sigma: float | None = None) -> Floats:
    """A map over the model's input as a map of the pixels that it saw.

    Args:
        coarse: (rows, columns), from the upper left corner of the input; not negative.
        view: where the input lies.
        sigma: pixels; the map is blurred with this Gaussian, its border pixels repeated outwards, so that a
            constant map stays constant.

    Returns:
        (height, width) of the view, bilinear between the centres of the cells and constant beyond the outermost,
        in units of the largest value of ``coarse``; 0 for an empty map.
    """
    peak = float(coarse.max())
    if peak == 0.0:
        return np.zeros(view.shape)
    (x, y), (width, height) = view.first, view.size
    down = _interpolation(coarse.shape[0], view.top, view.bottom, y, height, sigma)
    across = _interpolation(coarse.shape[1], view.left, view.right, x, width, sigma)
    # Blurring acts on each axis alone, and so does interpolation: both are one matrix per axis. The product is
    # rounded because equal pixels must tie, and sums in another order differ in the last digits.
    fine = down @ (coarse / peak * _GRAIN) @ across.T
    np.rint(fine, out=fine)
    fine *= 1 / _GRAIN
    return fine


@lru_cache(maxsize=64)
def _interpolation(
    n_cells: int, start: float, end: float, first: int, length: int, sigma: float | None
) -> Floats:
    """(length, n_cells): what each pixel takes from each cell along one axis."""
    centres = np.arange(first, first + length) + 0.5
    at = np.clip((centres - start) / (end - start) * n_cells - 0.5, 0, n_cells - 1)
    below = np.minimum(at.astype(np.int64), max(n_cells - 2, 0))
    share = at - below
    matrix = np.zeros((length, n_cells))
    rows = np.arange(length)
    matrix[rows, below] = 1 - share
    matrix[rows, np.minimum(below + 1, n_cells - 1)] += share
    if sigma is not None:
        from scipy import ndimage

        matrix = ndimage.gaussian_filter1d(matrix, sigma, axis=0, mode="nearest")
    return matrix


def gradient_energy(pixels: NDArray[np.uint8]) -> Floats:
    """Squared gradient of the luma, averaged over 8 x 8 cells: what contrast alone predicts.

    Args:
        pixels: (H, W, 3).

    Returns:
        (8, 8), fewer cells if there are fewer pixels.
    """
    down, across = np.gradient(pixels @ np.array([0.299, 0.587, 0.114]))
    energy = down**2 + across**2
    for axis, length in enumerate(energy.shape):
        edges = np.linspace(0, length, min(_CELLS, length) + 1).astype(np.int64)
        sums = np.add.reduceat(energy, edges[:-1], axis=axis)
        energy = sums / np.expand_dims(np.diff(edges), 1 - axis)
    return np.asarray(energy)


def centre_gaussian(view: SeenPart) -> Floats:
    """A Gaussian in the middle of the view, its standard deviations a quarter of the sides."""
    down, across = (np.exp(-0.5 * np.square(np.linspace(-2, 2, 2 * n + 1)[1::2])) for n in view.shape)
    return np.asarray(np.outer(down, across))
