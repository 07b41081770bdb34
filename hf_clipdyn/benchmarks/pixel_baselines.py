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

QUALITY_BASELINES = ("psnr", "ssim")
_WINDOW = 7
Image = NDArray[np.uint8]


def psnr_distance(first: Image, second: Image) -> float:
    """Minus the PSNR in dB of two uint8 images, so that larger is farther; minus 100 for equal images."""
    error = float(np.square(first.astype(np.float64) - second).mean())
    return -100.0 if error == 0 else -float(10 * np.log10(255**2 / error))


def pixel_distance(first: Image, second: Image) -> float:
    """Euclidean distance of two uint8 images, over all pixels and channels."""
    return float(np.linalg.norm(first.astype(np.float64) - second))


def ssim(first: Image, second: Image) -> float:
    """SSIM of two (H, W, 3) images, scikit-image's default window of 7; it shrinks on smaller images.

    A window of one pixel, where a side has fewer than three, has no variance: only the luminance is compared.
    """
    from skimage.metrics import structural_similarity

    side = min(_WINDOW, *first.shape[:2])
    window = side if side % 2 else side - 1
    return float(
        structural_similarity(
            first, second, win_size=window, channel_axis=-1, data_range=255, use_sample_covariance=window > 1
        )
    )


def quality_baselines(first: Image, second: Image) -> tuple[float, ...]:
    """Distances by `QUALITY_BASELINES`: minus the PSNR, 1 - SSIM."""
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
        OSError: they cannot be written.
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
