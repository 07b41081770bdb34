"""A cache of decoded pixels: every image passes once through the model's image processor and is kept as uint8.

Decoding a JPEG and resizing it costs more than a small model's forward pass. The cache contains the output of the image
processor before it rescales and normalises, so that training and every evaluated revision read the numbers that
`CLIPProcessor` would give a user.
"""

import errno
import hashlib
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import datasets
import numpy as np
from numpy.typing import NDArray
from rich.filesize import decimal
from tqdm.auto import tqdm

from hf_clipdyn.data.cache import kept, kept_folder
from hf_clipdyn.data.images import Source, decode_image, decode_tensor
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.files import blaming
from hf_clipdyn.machine import usable_cores
from hf_clipdyn.preprocess import direct_fit, processor_identity, resize_and_crop, square_processor

_BATCH = 64
_WORTH_A_THREAD = 1e-3  # seconds an image: threads with less work than that wait for the lock of Python
_DECODER = 2  # to be raised if the same files are decoded to other pixels

D = TypeVar("D", np.uint8, np.float32)
Distortion = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
_Batches = Iterator[tuple[NDArray[np.uint8] | None, NDArray[np.bool_]]]


@dataclass(frozen=True)
class Pixels:
    """Images at the input size of a model.

    Attributes:
        array: (n, height, width, 3) uint8, memory-mapped and read-only; zeros where ``broken``.
        broken: (n,) bool, True where an image could not be decoded.
        fingerprint: SHA-256 of both, the same on every machine.
    """

    array: NDArray[np.uint8]
    broken: NDArray[np.bool_]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.array)


def decode_pixels(
    dataset: datasets.Dataset,
    image_processor: Any,
    column: str = "image",
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    distort: Distortion | None = None,
    distort_key: str = "",
    desc: str | None = None,
    disable_tqdm: bool = False,
) -> Pixels:
    """Decode and resize one image column, or read it from the cache.

    Args:
        dataset: a map-style data set; a broken image is marked and is not an error.
        image_processor: a transformers image processor; its rescaling and normalisation are skipped.
        column: the image column.
        cache_dir: folder of the cache; default: the cache of `datasets` under ``HF_HOME``.
        distort: changes the native (H, W, 3) uint8 pixels of row ``i`` before the processor sees them.
        distort_key: name, parameters and seed of ``distort``; part of the cache's key.
        desc: label of the progress bar.
        disable_tqdm: no progress bar.

    Returns:
        One entry for each row.

    Raises:
        DatasetError: the column is missing, all images are broken, or the cache cannot be written, or does not fit on
            the disk.
    """
    image_processor = square_processor(image_processor)
    if column not in dataset.column_names:
        raise DatasetError(
            f"The data set has no column {column!r}, only {', '.join(dataset.column_names)}: name the image column."
        )
    if (distort is None) != (distort_key == ""):
        raise ValueError("distort and distort_key go together")
    if len(dataset) == 0:
        raise DatasetError("The data set has no rows: give a split or a folder that contains images.")
    key = _key(dataset, image_processor, column, distort_key)
    with kept("pixels", cache_dir, *key) as entry:
        if entry.is_new:
            batches = _processed(dataset, image_processor, column, distort, desc or column, disable_tqdm)
            with blaming(entry.target.parent):
                _build(entry.folder, batches, len(dataset))
    pixels = Pixels(
        array=np.load(entry.target / "pixels.npy", mmap_mode="r"),
        broken=np.load(entry.target / "broken.npy"),
        fingerprint=(entry.target / "fingerprint").read_text(encoding="ascii"),
    )
    if pixels.broken.all():
        raise DatasetError(
            f"None of the {len(pixels)} images in column {column!r} can be decoded: check the files."
        )
    return pixels


def has_pixels(
    dataset: datasets.Dataset,
    image_processor: Any,
    column: str = "image",
    *,
    cache_dir: str | os.PathLike[str] | None = None,
) -> bool:
    """Whether an earlier call of `decode_pixels` has kept these pixels."""
    return kept_folder(
        "pixels", cache_dir, *_key(dataset, square_processor(image_processor), column, "")
    ).is_dir()


def draw_pixels(
    draw: Callable[[int], NDArray[D]],
    n: int,
    key: str,
    *,
    origin: str,
    cache_dir: str | os.PathLike[str] | None = None,
    disable_tqdm: bool = False,
) -> NDArray[D]:
    """Draw images at the size of a model's input, or read them from the cache.

    Args:
        draw: gives image ``i``, (height, width, channels), all of one shape and type: uint8 are grey levels, float32
            codes in [0, 1], which are never rounded to 8 bits.
        n: their number, at least 1.
        key: names everything that the images depend on.
        origin: what they are, for the list of the caches and the progress bar.
        cache_dir, disable_tqdm: as in `decode_pixels`.

    Returns:
        (n, height, width, channels), memory-mapped and read-only.

    Raises:
        DatasetError: the cache cannot be written, or does not fit on the disk.
    """
    with kept("pixels", cache_dir, origin, "drawn", key, n) as entry:
        if entry.is_new:
            with (
                blaming(entry.target.parent),
                tqdm(total=n, desc=origin, unit="img", disable=disable_tqdm, leave=False) as bar,
            ):
                _write_drawn(entry.folder, draw, n, bar.update)
    drawn: NDArray[D] = np.load(entry.target / "pixels.npy", mmap_mode="r")
    return drawn


def fingerprint_of(dataset: datasets.Dataset) -> str:
    """What `datasets` identifies the rows of a data set by: its files and every change since they were read."""
    return str(dataset._fingerprint)  # the library has no public name for it


def _key(dataset: datasets.Dataset, image_processor: Any, column: str, distort_key: str) -> list[Any]:
    """Data set, split and column, for the list of the cache; and all that `decode_pixels` depends on."""
    names = [
        dataset.info.dataset_name or dataset.info.builder_name or "rows",
        str(dataset.split or ""),
        column,
    ]
    origin = " ".join(filter(None, [*names, distort_key[:40]]))
    identity = processor_identity(image_processor)
    return [origin, _DECODER, fingerprint_of(dataset), column, identity, distort_key]


def _processed(
    dataset: datasets.Dataset,
    image_processor: Any,
    column: str,
    distort: Distortion | None,
    desc: str,
    disable_tqdm: bool,
) -> _Batches:
    """Batches of (pixels of the intact images or None, which rows are broken)."""
    raw = dataset.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    shown = _way_to_show(image_processor, distort)
    with (
        ThreadPoolExecutor(usable_cores()) as pool,
        tqdm(total=len(raw), desc=desc, unit="img", disable=disable_tqdm, leave=False) as bar,
    ):
        each: Callable[..., Iterable[NDArray[np.uint8] | None]] = map
        for start in range(0, len(raw), _BATCH):
            cells, began = raw[start : start + _BATCH][column], time.perf_counter()
            images = list(each(shown, cells, range(start, start + len(cells))))
            if time.perf_counter() - began > _WORTH_A_THREAD * len(cells):
                each = pool.map
            intact = [image for image in images if image is not None]
            yield np.stack(intact) if intact else None, np.array([image is None for image in images])
            bar.update(len(cells))


def _way_to_show(
    image_processor: Any, distort: Distortion | None
) -> Callable[[Source, int], NDArray[np.uint8] | None]:
    """From an image and its row to its pixels at the model's input, one image in memory for each core; None if broken.

    Where torchvision gives the numbers of the processor, it is not asked, and JPEGs need not become PIL images.
    """
    import torch

    fit = direct_fit(image_processor)

    def shown(cell: Source, row: int) -> NDArray[np.uint8] | None:
        try:
            whole: Any = decode_tensor(cell) if fit else decode_image(cell)
        except OSError:
            return None
        if distort is not None:
            native = whole.permute(1, 2, 0).numpy() if isinstance(whole, torch.Tensor) else np.asarray(whole)
            changed = distort(np.ascontiguousarray(native), row)
            whole = (
                torch.from_numpy(np.require(changed, requirements=("C", "W"))).permute(2, 0, 1)
                if fit
                else changed
            )
        if fit:
            return fit(whole).permute(1, 2, 0).numpy()
        pixels: NDArray[np.uint8] = resize_and_crop(image_processor, [whole])[0]
        return pixels

    return shown


def _header(file: IO[bytes], dtype: np.dtype[Any], n: int, shape: tuple[int, ...]) -> None:
    """Begin a file of NumPy, if it fits on the disk.

    It is written front to back, not through a memory map: on a full disk a write raises, a map kills.
    """
    needed, free = dtype.itemsize * n * math.prod(shape), shutil.disk_usage(Path(file.name).parent).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"they take {decimal(needed)}, and the disk has {decimal(free)} free (HF_HOME and "
            "cache_dir name another folder)",
        )
    header = {"descr": dtype.newbyteorder("<").str, "fortran_order": False, "shape": (n, *shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _build(folder: Path, batches: _Batches, n: int) -> None:
    """Write the pixels of all images, and which of them are broken."""
    broken = np.zeros(n, bool)
    row = 0
    shape: tuple[int, ...] | None = None
    digest = hashlib.sha256()
    with (folder / "pixels.npy").open("wb") as file:
        for pixels, bad in batches:
            broken[row : row + len(bad)] = bad
            row += len(bad)
            if pixels is None and shape is None and row < n:
                continue  # the shape is known from the first intact image
            if shape is None:
                shape = (1, 1, 3) if pixels is None else pixels.shape[1:]
                _header(file, np.dtype(np.uint8), n, shape)
                digest.update(repr((n, *shape)).encode())
                bad = broken[:row]  # including earlier batches that were all broken
            rows = np.zeros((len(bad), *shape), np.uint8)
            if pixels is not None:
                rows[~bad] = pixels
            file.write(rows.data)
            digest.update(rows.data)
    np.save(folder / "broken.npy", broken)
    digest.update(broken.data)
    (folder / "fingerprint").write_text(digest.hexdigest(), encoding="ascii")


def _write_drawn(
    folder: Path, draw: Callable[[int], NDArray[np.generic]], n: int, advance: Callable[[int], Any]
) -> None:
    first = draw(0)
    with (folder / "pixels.npy").open("wb") as file, ThreadPoolExecutor(usable_cores()) as pool:
        _header(file, first.dtype, n, first.shape)
        for start in range(0, n, _BATCH):
            numbers = range(start, min(start + _BATCH, n))
            for image in pool.map(draw, numbers):
                file.write(np.ascontiguousarray(image, first.dtype.newbyteorder("<")).data)
            advance(len(numbers))
