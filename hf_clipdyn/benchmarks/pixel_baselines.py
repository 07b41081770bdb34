"""Pixel baselines: PSNR, SSIM and the Euclidean distance of two images, computed once and cached.

They are reported beside every model. SSIM of 3,000 pairs takes minutes.
"""

import importlib.metadata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.kept_tables import KeptTable
from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.machine import usable_cores

_WINDOW = 7
_COLUMN_VALUES = 2**18  # in one call; more would leave the processor's cache
Image = NDArray[np.uint8]


def psnr_distance(first: Image, second: Image) -> float:
    """Minus the PSNR in dB of two uint8 images, so that larger is farther; minus 100 for equal images."""
    error = float(np.square(first.astype(np.float64) - second).mean())
    return -100.0 if error == 0 else -float(10 * np.log10(255**2 / error))


def pixel_distance(first: Image, second: Image) -> float:
    """Euclidean distance of two uint8 images, over all pixels and channels."""
    return float(np.linalg.norm(first.astype(np.float64) - second))


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """SSIM of two (H, W, 3) images, scikit-image's default window of 7; it shrinks on smaller images.

    A window of one pixel, where a side has fewer than three, has no variance: only the luminance is compared.
    """
    from skimage.metrics import structural_similarity

    window = _window(*first.shape[:2])
    return float(
        structural_similarity(
            first, second, win_size=window, channel_axis=-1, data_range=255, use_sample_covariance=window > 1
        )
    )


def column_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """`ssim` of each pair of (n, H, W, 3) images, small ones many at a time.

    Small images are stacked in one column: a call of scikit-image costs more than a small image. Its mean leaves
    out the pixels whose window leaves the image: these are all pixels whose window meets a neighbour. The column's
    running sums round differently. Equal pairs must tie, so 12 digits are kept.
    """
    from skimage.metrics import structural_similarity

    n, height, width = first.shape[:3]
    window = _window(height, width)
    edge = window // 2
    means = np.empty(n)
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
        means[start : start + step] = inner.mean(axis=(1, 2, 3))
    return np.round(means, 12)


def _window(height: int, width: int) -> int:
    """Side of the window, odd."""
    side = min(_WINDOW, height, width)
    return side if side % 2 else side - 1


def quality_baselines(first: Image, second: Image) -> tuple[float, ...]:
    """Two distances: minus the PSNR, 1 - SSIM."""
    return psnr_distance(first, second), 1 - ssim(first, second)


def cached_per_row(
    what: str,
    key: Any,
    rows: NDArray[np.int64],
    compute: Callable[[int], tuple[float, ...]],
    common: Common,
) -> NDArray[np.float64]:
    """The values of ``compute`` for each row, from the cache or computed now with a progress bar.

    Args:
        what: names the values, also in the progress bar.
        key: everything that they depend on except the rows, as JSON can write it.
        rows: arguments of ``compute``.
        compute: from a row to values, the same number for every row.
        common: the folder of the cache, and whether to show a progress bar.

    Returns:
        (rows, values).

    Raises:
        DatasetError: they cannot be written.
    """
    version = importlib.metadata.version("scikit-image")
    kept = KeptTable(what, [key, version], {"item": "int64", "value": "float64"}, rows.tolist(), common)
    table = kept.read()
    if table is None:
        with ThreadPoolExecutor(usable_cores()) as pool:
            values = pool.map(compute, rows.tolist())
            hidden = not common.show_progress
            measured = list(
                tqdm(values, desc=what, total=len(rows), unit="pair", disable=hidden, leave=False)
            )
        columns = np.array(measured, np.float64).reshape(len(rows), -1)
        table = pd.DataFrame({"item": np.repeat(rows, columns.shape[1]), "value": columns.reshape(-1)})
        kept.write(table)
    return table["value"].to_numpy(np.float64).reshape(len(rows), -1)
