"""SSIM of one pair of images, and of many small ones at a time."""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

__all__ = ["column_ssim", "ssim"]

_WINDOW = 7
_COLUMN_VALUES = 2**18  # in one call; more would leave the processor's cache


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """SSIM of two (H, W, 3) images, scikit-image's default window of 7; it shrinks on smaller images.

    A window of one pixel, where a side has fewer than three, has no variance: only the luminance is compared.
    """
    window = _window(*first.shape[:2])
    return float(
        structural_similarity(
            first, second, win_size=window, channel_axis=-1, data_range=255, use_sample_covariance=window > 1
        )
    )


def column_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """`ssim` of each pair of (n, H, W, 3) images, small ones many at a time.

    Small images are stacked in one column: a call of scikit-image costs more than a small image. Its mean leaves
    out the pixels whose window leaves the image, and these are all whose window meets a neighbour. The column's
    running sums round differently, hence the 12 digits: equal pairs must tie.
    """
    n, height, width = first.shape[:3]
    window = _window(height, width)
    edge = window // 2
    found = np.empty(n)
    step = max(1, _COLUMN_VALUES // first[0].size)
    for start in range(0, n, step):
        columns = [one[start : start + step].reshape(-1, width, 3) for one in (first, second)]
        _, values = structural_similarity(
            *columns,
            win_size=window,
            channel_axis=-1,
            data_range=255,
            use_sample_covariance=window > 1,
            full=True,
        )
        inner = values.reshape(-1, height, width, 3)[:, edge : height - edge, edge : width - edge]
        found[start : start + step] = inner.mean(axis=(1, 2, 3))
    return np.round(found, 12)


def _window(height: int, width: int) -> int:
    """Side of the window, odd."""
    side = min(_WINDOW, height, width)
    return side if side % 2 else side - 1
