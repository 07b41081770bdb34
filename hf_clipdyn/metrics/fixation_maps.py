"""Fixations and maps of one image: their checks, the density, and the other images' fixations."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints

__all__ = [
    "as_fixations",
    "as_map",
    "blurred_fixations",
    "fixation_density",
    "fixation_pixels",
    "fixations_of_others",
    "map_and_limits",
    "rescaled",
]

_CUT_OFF = 4.0  # standard deviations, SciPy's own default


def as_map(name: str, values: ArrayLike) -> Floats:
    """``values`` as a float64 map.

    Args:
        name: name of the argument, for the message of an error.
        values: shape (H, W), any unit.

    Returns:
        Shape (H, W), all finite.

    Raises:
        MetricError: another shape, or a pixel that is not finite.

    Examples:
        >>> from hf_clipdyn.metrics.fixation_maps import as_map
        >>> as_map("saliency_map", [[0, 1], [2, 3]]).dtype
        dtype('float64')
    """
    return map_and_limits(name, values)[0]


def map_and_limits(name: str, values: ArrayLike) -> tuple[Floats, tuple[float, float]]:
    """A map as `as_map` returns it, with its smallest and its largest value.

    Args:
        name, values: as for `as_map`.

    Returns:
        The map (H, W), and the two limits.

    Raises:
        MetricError: as for `as_map`.

    Examples:
        >>> from hf_clipdyn.metrics.fixation_maps import map_and_limits
        >>> map_and_limits("saliency_map", [[0, 1], [2, 3]])[1]
        (0.0, 3.0)
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise MetricError(f"{name} must be a map of numbers with rows of equal length.") from None
    if array.ndim != 2 or array.size == 0:
        raise MetricError(f"{name} must be a map of shape (H, W), but has the shape {array.shape}.")
    limits = float(array.min()), float(array.max())  # NaN is the smallest of any values
    if not np.isfinite(limits).all():
        raise MetricError(f"{name} must be finite, but some pixels are NaN or infinite.")
    return array, limits


def as_fixations(fixations: ArrayLike) -> Floats:
    """Fixations as a float64 array.

    Args:
        fixations: x, y in pixels, shape (n, 2); empty for no fixation.

    Returns:
        Shape (n, 2), all finite.

    Raises:
        MetricError: another shape, or a coordinate that is not finite.

    Examples:
        >>> from hf_clipdyn.metrics.fixation_maps import as_fixations
        >>> as_fixations([[10, 20], [30, 40]]).shape, as_fixations([]).shape
        ((2, 2), (0, 2))
    """
    try:
        points = np.asarray(fixations, dtype=np.float64)
    except (TypeError, ValueError):
        raise MetricError("fixations must be a list of [x, y] in pixels.") from None
    if points.size == 0:
        return np.empty((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise MetricError(f"fixations must be a list of [x, y] in pixels, but have the shape {points.shape}.")
    if not np.isfinite(points).all():
        raise MetricError("fixations must be finite, but some are NaN or infinite: leave those out.")
    return points


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
    points = as_fixations(fixations)
    height, width = shape
    x, y = points.T
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    if outside.any():
        first = points[int(outside.argmax())]
        raise MetricError(
            f"{int(outside.sum())} of {len(points)} fixations are outside their map of {width} x {height} "
            f"pixels, the first at x {first[0]:g}, y {first[1]:g}: leave them out, or rescale them with the map."
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
    total = density.sum()
    return np.asarray(density / total if total > 0 else density)


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
    pixels = fixation_pixels(fixations, shape)
    height, width = shape
    radius = int(_CUT_OFF * sigma + 0.5)
    if len(pixels) > 4 * radius:
        from scipy import ndimage

        counts = np.bincount(pixels, minlength=height * width).reshape(shape).astype(np.float64)
        blurred = ndimage.gaussian_filter(counts, sigma, mode="constant", truncate=_CUT_OFF)
        return np.asarray(blurred)
    # Few points: one product of their profiles along the axes costs an eighth of filtering the image.
    kernel = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sigma))
    kernel = np.pad(kernel / kernel.sum(), 1)  # what lies farther away than the radius is 0

    def profiles(centres: Ints, length: int) -> Floats:
        offsets = np.arange(length) - centres[:, None]
        return np.asarray(kernel[np.clip(offsets, -radius - 1, radius + 1) + radius + 1])

    rows, columns = profiles(pixels // width, height).T, profiles(pixels % width, width)
    blurred = np.zeros(shape)
    for start in range(0, height, radius):  # a point reaches few of these bands
        band = rows[start : start + radius]
        near = band.any(axis=0)
        np.matmul(band[:, near], columns[near], out=blurred[start : start + radius])
    return blurred


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
    points = [as_fixations(one) for one in fixations]
    ends = np.cumsum([0, *(len(one) for one in points)])
    everything = np.concatenate([np.empty((0, 2)), *points])
    home = np.repeat(np.asarray(sizes, dtype=np.float64).reshape(-1, 2), np.diff(ends), axis=0)
    for i, size in enumerate(sizes):
        others = np.r_[0 : ends[i], ends[i + 1] : len(everything)]
        yield rescaled(everything[others], home[others], size)


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
    target = np.asarray(size, dtype=np.float64)
    # Rescaling must not carry a point onto the far edge, where there is no pixel.
    moved: Floats = np.minimum(points * (target / np.asarray(sizes)), np.nextafter(target, 0.0))
    return moved
