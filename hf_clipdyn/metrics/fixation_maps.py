"""Fixations of one image: their pixels, their density, and the fixations on other images."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, Ints

KEPT_MAP = (12, 16)
"""Rows and columns of a map that is kept with the trials; it lies over the whole image, whatever its shape."""
# Subtracting all parts from a sum leaves 1e-16 of it, far below the edge of any Gaussian.
_RESIDUE = 1e-13
_CUT_OFF = 4.0  # standard deviations, SciPy's own default


def as_fixations(fixations: ArrayLike) -> Floats:
    """Fixations as float64, x and y in pixels, shape (n, 2); empty for none."""
    try:
        points = np.asarray(fixations, np.float64)
        return points.reshape((0, 2) if points.size == 0 else (len(points), 2))
    except (TypeError, ValueError):
        raise MetricError("fixations must be a list of [x, y] in pixels.") from None


def fixation_pixels(fixations: ArrayLike, shape: tuple[int, ...]) -> Ints:
    """Index of each fixation's pixel in the flattened map. Pixel (i, j) spans x in [j, j + 1) and y in [i, i + 1).

    Args:
        fixations: x, y in pixels, shape (n, 2).
        shape: (H, W) of the map.

    Returns:
        Shape (n,), in [0, H W).

    Raises:
        MetricError: a fixation outside the map.

    Examples:
        >>> from hf_clipdyn.metrics.fixation_maps import fixation_pixels
        >>> fixation_pixels([[0.5, 0.5], [2.9, 1.0]], (2, 3)).tolist()
        [0, 5]
    """
    (height, width), (x, y) = shape, as_fixations(fixations).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if not inside.all():  # NaN is not inside either
        first = int(inside.argmin())
        raise MetricError(
            f"{int((~inside).sum())} of {len(x)} fixations are outside their map of {width} x {height} pixels, the "
            f"first at x {x[first]:g}, y {y[first]:g}: leave them out, or rescale them with the map."
        )
    return np.asarray(y.astype(np.int64) * width + x.astype(np.int64))


def fixation_density(fixations: ArrayLike, shape: tuple[int, int], sigma: float) -> Floats:
    """Fixations blurred with a Gaussian: the density that CC, SIM and KL compare a map with.

    Args:
        fixations: x, y in pixels, shape (n, 2).
        shape: (H, W) of the map.
        sigma: standard deviation of the Gaussian in pixels, > 0; one degree of visual angle by
            custom (about 35 px for MIT1003, 24 px for OSIE). It is cut off at the map's border.

    Returns:
        Shape (H, W), non-negative, sums to 1; all zero without fixations.

    Raises:
        MetricError: a fixation outside the map, a sigma that is not positive.

    Examples:
        >>> from hf_clipdyn.metrics.fixation_maps import fixation_density
        >>> density = fixation_density([[2.5, 2.5]], (5, 5), sigma=1.0)
        >>> round(float(density.sum()), 6), round(float(density[2, 2]), 3)
        (1.0, 0.162)
    """
    density = blurred_fixations(fixations, shape, sigma)
    return density / (density.sum() or 1.0)


def blurred_fixations(fixations: ArrayLike, shape: tuple[int, int], sigma: float) -> Floats:
    """The sum of a Gaussian at every fixation: a density before it is scaled. Sums of these maps are such maps, too.

    Args:
        fixations, shape, sigma: as of `fixation_density`.

    Returns:
        Shape (H, W), non-negative. Each fixation adds 1, less the part of its Gaussian that lies beyond the border.

    Raises:
        MetricError: as of `fixation_density`.

    Examples:
        >>> from hf_clipdyn.metrics.fixation_maps import blurred_fixations
        >>> blurred = blurred_fixations([[2.5, 2.5], [0.5, 0.5]], (5, 5), sigma=1.0)
        >>> round(float(blurred.sum()), 2)
        1.47
    """
    if not sigma > 0:
        raise MetricError(f"sigma must be a positive number of pixels, but is {sigma}.")
    (height, width), pixels = shape, fixation_pixels(fixations, shape)
    radius = int(_CUT_OFF * sigma + 0.5)
    kernel = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sigma))
    kernel = np.pad(kernel / kernel.sum(), 1)  # what lies farther away than the radius is 0

    def profiles(centres: Ints, length: int) -> Floats:
        offsets = np.arange(length) - centres[:, None]
        return np.asarray(kernel[np.clip(offsets, -radius - 1, radius + 1) + radius + 1])

    if len(pixels) < min(shape):  # a Gaussian is the product of its profiles along the axes
        return profiles(pixels // width, height).T @ profiles(pixels % width, width)
    counts = np.bincount(pixels, minlength=height * width).reshape(shape).astype(np.float64)
    return profiles(np.arange(height), height).T @ counts @ profiles(np.arange(width), width)


def without(total: Floats, part: Floats) -> Floats:
    """A sum of densities without one of its parts; residues of rounding become 0."""
    rest = total - part
    rest[rest < _RESIDUE * total.max()] = 0.0
    return rest


def fixations_of_others(fixations: Sequence[ArrayLike], sizes: Sequence[tuple[int, int]]) -> Iterator[Floats]:
    """For each image the fixations of all other images, rescaled to it: negatives of the shuffled AUC.

    Fixations of other images have the same central tendency, so that a centre-biased map gains nothing.

    Args:
        fixations: of each image, x, y in pixels, shape (n_i, 2).
        sizes: (width, height) of each image in pixels.

    Yields:
        Shape (n - n_i, 2), x, y in pixels of image i.

    Examples:
        >>> from hf_clipdyn.metrics.fixation_maps import fixations_of_others
        >>> others = fixations_of_others([[[10, 20]], [[4, 4], [8, 8]]], [(100, 100), (50, 50)])
        >>> [points.tolist() for points in others]
        [[[8.0, 8.0], [16.0, 16.0]], [[5.0, 10.0]]]
    """
    if len(fixations) != len(sizes):
        raise MetricError(f"fixations are given for {len(fixations)} images, but sizes for {len(sizes)}.")
    points = [as_fixations(image) for image in fixations]
    image_of = np.repeat(np.arange(len(points)), [len(image) for image in points])
    everything = np.concatenate([np.empty((0, 2)), *points])
    for image, size in enumerate(sizes):
        others = image_of != image
        yield rescaled(everything[others], np.asarray(sizes)[image_of[others]], size)


def rescaled(points: Floats, sizes: ArrayLike, size: tuple[int, int]) -> Floats:
    """Rescale points from images of one size to an image of another size.

    Args:
        points: x, y in pixels, shape (n, 2).
        sizes: (width, height) of the image of all points, or of each point, shape (n, 2).
        size: (width, height) of the new image.

    Returns:
        Shape (n, 2). Between images of the same size the points do not change.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.fixation_maps import rescaled
        >>> rescaled(np.array([[10.0, 20.0]]), (100, 100), (50, 200)).tolist()
        [[5.0, 40.0]]
    """
    target = np.asarray(size, np.float64)
    # Rescaling must not carry a point onto the far edge, where there is no pixel.
    moved: Floats = np.minimum(points * (target / np.asarray(sizes, np.float64)), np.nextafter(target, 0.0))
    return moved


def kept_map(fine: Floats, first: tuple[int, int], whole: tuple[int, int]) -> bytes:
    """A map of a part of an image, as one of `KEPT_MAP` over the whole image; 0 where the part is not.

    Args:
        fine: (height, width), not negative.
        first: column and row of its first pixel in the image.
        whole: width and height of the image.

    Returns:
        uint8 codes, row by row, 255 at the maximum.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.fixation_maps import KEPT_MAP, kept_map
        >>> kept = kept_map(np.ones((60, 40)), (40, 0), (80, 60))
        >>> np.frombuffer(kept, np.uint8).reshape(KEPT_MAP)[0].tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]
    """
    (x, y), (width, height) = first, whole
    full = np.zeros((height, width))
    full[y : y + fine.shape[0], x : x + fine.shape[1]] = fine
    cells = _cell_means(_cell_means(full, KEPT_MAP[0]).T, KEPT_MAP[1]).T
    peak = cells.max()
    return np.rint(255 * cells / peak if peak > 0 else cells).astype(np.uint8).tobytes()


def _cell_means(rows: Floats, n: int) -> Floats:
    """Means over ``n`` equal parts of the first axis; a part may begin within a row."""
    sums = np.vstack([np.zeros(rows.shape[1]), np.cumsum(rows, axis=0)])
    edges = np.linspace(0, len(rows), n + 1)
    below = np.minimum(edges.astype(np.int64), len(rows) - 1)
    at = sums[below] + (edges - below)[:, None] * rows[below]
    return np.asarray(np.diff(at, axis=0) * n / len(rows))
