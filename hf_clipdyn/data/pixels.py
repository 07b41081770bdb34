"""A cache of decoded pixels: every image passes once through the model's image processor and is kept as uint8.

Decoding a JPEG and resizing it costs more than a small model's forward pass. The cache contains the output of the image
processor before it rescales and normalises, so that training and every evaluated revision read the numbers that
`CLIPProcessor` would give a user.
"""

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import datasets
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from hf_clipdyn.data.caches import cache_folder, new_entry, touch
from hf_clipdyn.data.images import decode_image, decode_tensor, open_image
from hf_clipdyn.errors import DatasetError, readable_size
from hf_clipdyn.files import blaming
from hf_clipdyn.machine import usable_cores
from hf_clipdyn.preprocess import direct_fit, processor_identity, resize_and_crop, square_processor

if TYPE_CHECKING:
    import torch

_BATCH = 64
_PIXELS_AT_ONCE = 2**26  # in memory at a time: 200 MB in RGB; 64 photographs of a megapixel
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
    folder = _place(dataset, image_processor, column, cache_dir, distort_key)
    if not (folder / "fingerprint").is_file():
        batches = _processed(dataset, image_processor, column, distort, desc or column, disable_tqdm)
        with blaming(folder.parent):
            _build(folder, batches, len(dataset), _origin(dataset, column, distort_key))
    touch(folder)
    pixels = Pixels(
        array=np.load(folder / "pixels.npy", mmap_mode="r"),
        broken=np.load(folder / "broken.npy"),
        fingerprint=(folder / "fingerprint").read_text(encoding="ascii"),
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
    folder = _place(dataset, square_processor(image_processor), column, cache_dir, "")
    return (folder / "fingerprint").is_file()


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
    name = hashlib.sha256(json.dumps(["drawn", key, n]).encode()).hexdigest()[:32]
    folder = cache_folder("pixels", cache_dir) / name
    if not (folder / "pixels.npy").is_file():
        with (
            blaming(folder.parent),
            new_entry(folder, last="pixels.npy") as entry,
            tqdm(total=n, desc=origin, unit="img", disable=disable_tqdm, leave=False) as bar,
        ):
            _write_drawn(entry, draw, n, bar.update)
            (entry / "origin").write_text(origin, encoding="utf-8")
    touch(folder)
    drawn: NDArray[D] = np.load(folder / "pixels.npy", mmap_mode="r")
    return drawn


def fingerprint_of(dataset: datasets.Dataset) -> str:
    """What `datasets` identifies the rows of a data set by: its files and every change since they were read."""
    return str(dataset._fingerprint)  # the library has no public name for it


def _place(
    dataset: datasets.Dataset,
    image_processor: Any,
    column: str,
    cache_dir: str | os.PathLike[str] | None,
    distort_key: str,
) -> Path:
    """The folder of what `decode_pixels` gives."""
    parts = [_DECODER, fingerprint_of(dataset), column, processor_identity(image_processor), distort_key]
    return cache_folder("pixels", cache_dir) / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _origin(dataset: datasets.Dataset, column: str, distort_key: str) -> str:
    """Data set, split and column, for the list of the caches."""
    parts = [
        dataset.info.dataset_name or dataset.info.builder_name or "rows",
        str(dataset.split or ""),
        column,
    ]
    return " ".join(filter(None, [*parts, distort_key[:40]]))


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
    fit = direct_fit(image_processor)
    with (
        ThreadPoolExecutor(usable_cores()) as pool,
        tqdm(total=len(raw), desc=desc, unit="img", disable=disable_tqdm, leave=False) as bar,
    ):
        for start in range(0, len(raw), _BATCH):
            cells = raw[start : start + _BATCH][column]
            if fit is None:
                batches = _by_processor(pool, cells, start, image_processor, distort)
            else:
                batches = _fitted(pool, cells, start, fit, distort)
            for pixels, broken in batches:
                yield pixels, broken
                bar.update(len(broken))
                del pixels


def _fitted(
    pool: ThreadPoolExecutor,
    cells: Sequence[Any],
    first: int,
    fit: Callable[["torch.Tensor"], "torch.Tensor"],
    distort: Distortion | None,
) -> _Batches:
    """One batch, whose images are decoded and resized one by one."""
    import torch

    def fitted(index: int, cell: Any) -> NDArray[np.uint8] | None:
        with suppress(OSError):
            whole = decode_tensor(cell)
            if distort is not None:
                changed = distort(np.ascontiguousarray(whole.permute(1, 2, 0).numpy()), index)
                whole = torch.from_numpy(np.require(changed, requirements=("C", "W"))).permute(2, 0, 1)
            return fit(whole).permute(1, 2, 0).numpy()
        return None

    shown = list(pool.map(fitted, range(first, first + len(cells)), cells))
    intact = [image for image in shown if image is not None]
    yield np.stack(intact) if intact else None, np.array([image is None for image in shown])


def _by_processor(
    pool: ThreadPoolExecutor,
    cells: Sequence[Any],
    first: int,
    image_processor: Any,
    distort: Distortion | None,
) -> _Batches:
    """Batches of images that fit into memory, which the processor takes together."""

    def opened(cell: Any) -> Image.Image | None:
        with suppress(OSError):
            return open_image(cell)
        return None

    def decoded(index: int, image: Image.Image | None) -> Image.Image | NDArray[np.uint8] | None:
        if image is None:
            return None
        with suppress(OSError):
            whole = decode_image(image)
            return whole if distort is None else distort(np.asarray(whole), index)
        return None

    for offset, files in _groups(list(pool.map(opened, cells))):
        start = first + offset
        images = list(pool.map(decoded, range(start, start + len(files)), files))
        files.clear()  # they keep their pixels in memory
        whole = [image for image in images if image is not None]
        pixels = resize_and_crop(image_processor, whole) if whole else None
        yield pixels, np.array([image is None for image in images])
        del images, whole, pixels


def _groups(files: list[Image.Image | None]) -> Iterator[tuple[int, list[Image.Image | None]]]:
    """The opened images in groups that fit into memory, each with the position of its first image."""
    group: list[Image.Image | None] = []
    pixels = first = 0
    for place in range(len(files)):
        file, files[place] = files[place], None  # only the group refers to it
        own = 0 if file is None else file.width * file.height
        if group and pixels + own > _PIXELS_AT_ONCE:
            yield first, group
            group, pixels, first = [], 0, place
        group.append(file)
        pixels += own
    yield first, group


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"they take {readable_size(needed)}, and the disk has {readable_size(free)} free (HF_HOME and "
            "cache_dir name another folder)",
        )


def _build(
    folder: Path, batches: Iterator[tuple[NDArray[np.uint8] | None, NDArray[np.bool_]]], n: int, origin: str
) -> None:
    """Write an entry of the cache."""
    with new_entry(folder, last="fingerprint") as entry:
        broken = np.zeros(n, bool)
        row = 0
        shape: tuple[int, ...] | None = None
        digest = hashlib.sha256()
        # Written front to back, not through a memory map: on a full disk a write raises, a map kills.
        with (entry / "pixels.npy").open("wb") as file:
            for pixels, bad in batches:
                broken[row : row + len(bad)] = bad
                row += len(bad)
                if pixels is None and (shape is None and row < n):
                    continue  # the shape is known from the first intact image
                if shape is None:
                    shape = (1, 1, 3) if pixels is None else pixels.shape[1:]
                    _check_space(folder.parent, n * math.prod(shape))
                    header = {"descr": "|u1", "fortran_order": False, "shape": (n, *shape)}
                    np.lib.format.write_array_header_1_0(file, header)
                    digest.update(repr((n, *shape)).encode())
                    bad = broken[:row]  # including earlier batches that were all broken
                rows = np.zeros((len(bad), *shape), np.uint8)
                if pixels is not None:
                    rows[~bad] = pixels
                file.write(rows.data)
                digest.update(rows.data)
        np.save(entry / "broken.npy", broken)
        (entry / "origin").write_text(origin, encoding="utf-8")
        digest.update(broken.data)
        (entry / "fingerprint").write_text(digest.hexdigest(), encoding="ascii")


def _write_drawn(
    entry: Path, draw: Callable[[int], NDArray[np.generic]], n: int, advance: Callable[[int], Any]
) -> None:
    first = draw(0)
    stored = first.dtype.newbyteorder("<")
    _check_space(entry, first.nbytes * n)
    with (entry / "pixels.npy").open("wb") as file, ThreadPoolExecutor(usable_cores()) as pool:
        header = {"descr": stored.str, "fortran_order": False, "shape": (n, *first.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, _BATCH):
            numbers = range(start, min(start + _BATCH, n))
            for image in pool.map(draw, numbers):
                file.write(np.ascontiguousarray(image, stored).data)
            advance(len(numbers))
