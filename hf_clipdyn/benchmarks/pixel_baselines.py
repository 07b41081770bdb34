"""Pixel baselines: PSNR, SSIM and the Euclidean distance of two images, computed once and cached.

They are reported beside every model. SSIM of 3,000 pairs takes minutes, and a command is run again and again:
the values lie beside the decoded pixels, under a key of what they were computed from.
"""

import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.base import Common
from hf_clipdyn.benchmarks.ssim import ssim
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.errors import DatasetError

__all__ = [
    "QUALITY_BASELINES",
    "cached_per_row",
    "full_resolution",
    "pixel_distance",
    "psnr_distance",
    "quality_baselines",
]

QUALITY_BASELINES = ("psnr", "ssim")
Image = NDArray[np.uint8]


def psnr_distance(first: Image, second: Image) -> float:
    """Minus the PSNR in dB of two uint8 images, so that larger is farther; minus 100 for equal images."""
    error = float(np.square(first.astype(np.float64) - second).mean())
    return -100.0 if error == 0 else -float(10 * np.log10(255**2 / error))


def pixel_distance(first: Image, second: Image) -> float:
    """Euclidean distance of two uint8 images, over all pixels and channels."""
    return float(np.linalg.norm(first.astype(np.float64) - second))


def quality_baselines(first: Image, second: Image) -> tuple[float, ...]:
    """Distances by `QUALITY_BASELINES`: minus the PSNR, 1 - SSIM."""
    return psnr_distance(first, second), 1 - ssim(first, second)


def full_resolution(dataset: datasets.Dataset, row: int) -> tuple[float, ...]:
    """`quality_baselines` of the reference and the distorted image of a row, as they are in their files.

    Raises:
        DatasetError: they differ in size.
    """
    cells = dataset[row]
    first, second = (np.asarray(decode_image(cells[name])) for name in ("reference", "distorted"))
    if first.shape != second.shape:
        raise DatasetError(
            f"The distorted image {row} of {cells.get('reference_id')} is {second.shape[1]}x{second.shape[0]}, its "
            f"reference {first.shape[1]}x{first.shape[0]}: use the official files."
        )
    return quality_baselines(first, second)


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
    root = common.cache_dir if common.cache_dir is not None else Path(datasets.config.HF_DATASETS_CACHE)
    parts = json.dumps([what, key, rows.tolist(), importlib.metadata.version("scikit-image")]).encode()
    path = root / "clipdyn-baselines" / f"{hashlib.sha256(parts).hexdigest()[:32]}.npy"
    if path.is_file():
        return np.asarray(np.load(path))
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(rows), desc=what, unit="pair", disable=not common.show_progress, leave=False) as bar,
    ):
        found = []
        for values in pool.map(compute, rows.tolist()):
            found.append(values)
            bar.update()
    table = np.array(found, np.float64).reshape(len(rows), -1)
    try:
        _replace(path, table)
    except OSError as error:
        raise DatasetError(
            f"Values of the pixel baselines cannot be written to {path.parent} ({error.strerror or error}): "
            "free some space there, or set HF_HOME or cache_dir to another folder."
        ) from error
    return table


def _replace(path: Path, table: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        try:
            np.save(file, table)
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
