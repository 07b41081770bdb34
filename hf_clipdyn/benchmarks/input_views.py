"""One image column as the model sees it: cropped, squashed, in tiles, or corrupted.

Tiles keep the native resolution: the image is cut into a grid of the model's input size, whose last row and
column are shifted inwards, so that every pixel is covered and none is invented. An image that is smaller than
a tile on one side is first enlarged (bicubic, aspect ratio kept) until it fills it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.benchmarks.base import Common, decode, digest
from hf_clipdyn.benchmarks.readout import Change, Stimuli
from hf_clipdyn.data.images import size_of
from hf_clipdyn.data.pixels import Pixels, draw_pixels
from hf_clipdyn.preprocess import input_size, tile_processor

Ints = NDArray[np.int64]
Size = tuple[int, int]


@dataclass(frozen=True)
class InputViews:
    """What the model sees of each row of an image column: one view, or one per tile.

    Attributes:
        array: (views, H, W, 3) uint8.
        starts: (rows + 1,) the views of row i are those from ``starts[i]`` to ``starts[i + 1]``.
        broken: (rows,) whether the image could not be decoded.
        fingerprint: SHA-256 of the pixels.
    """

    array: NDArray[np.uint8]
    starts: Ints
    broken: NDArray[np.bool_]
    fingerprint: str

    @property
    def counts(self) -> Ints:
        """Number of views of each row."""
        return np.diff(self.starts)

    def of_rows(self, rows: Sequence[int] | Ints) -> Ints:
        """Numbers of all views of these rows, one row after the other."""
        return np.concatenate([np.arange(self.starts[row], self.starts[row + 1]) for row in rows])


def input_views(
    dataset: datasets.Dataset, image_processor: Any, common: Common, column: str, preprocess: str
) -> InputViews:
    """Decode a column with one of `settings.PREPROCESSES`, with the cache of decoded pixels."""
    if preprocess != "tiles":
        pixels = decode(dataset, image_processor, common, column, squash=preprocess == "squash")
        return InputViews(pixels.array, np.arange(len(pixels) + 1), pixels.broken, pixels.fingerprint)
    tile = input_size(image_processor)
    counts = [len(tile_corners(size, tile)) for size in _sizes(dataset, column)]
    starts = np.cumsum([0, *counts])
    number = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
    pixels = decode(
        dataset.select(np.repeat(np.arange(len(dataset)), counts)),
        tile_processor(image_processor),
        common,
        column,
        distort=lambda image, view: cut_tile(image, int(number[view]), tile),
        distort_key="tile {}x{}".format(*tile),
    )
    broken = np.logical_or.reduceat(pixels.broken, starts[:-1])
    return InputViews(pixels.array, starts, broken, pixels.fingerprint)


def corrupted(pixels: Pixels, rows: Ints, change: Change, change_key: str, common: Common) -> Stimuli:
    """Some rows of decoded images, corrupted once for all revisions and kept in the cache of pixels.

    Args:
        pixels: from `decode`.
        rows: those that are shown, at least one.
        change: alters the pixels (H, W, 3) of row ``i``; must be deterministic.
        change_key: names what ``change`` does to these pixels and rows.
        common: its folder of the cache, and whether to show a progress bar.
    """
    drawn = draw_pixels(
        lambda place: change(pixels.array[rows[place]], int(rows[place])),
        len(rows),
        digest(pixels.fingerprint, rows.tolist(), change_key),
        origin=f"inputs under {change_key}",
        cache_dir=common.cache_dir,
        disable_tqdm=not common.show_progress,
    )
    return Stimuli(drawn)


def tile_corners(size: Size, tile: Size) -> list[Size]:
    """Top left corners (y, x) of the tiles of an image of (height, width) ``size``, row by row."""
    height, width = _enlarged(size, tile)
    return [(y, x) for y in _starts(height, tile[0]) for x in _starts(width, tile[1])]


def cut_tile(image: NDArray[np.uint8], number: int, tile: Size) -> NDArray[np.uint8]:
    """Tile of that number of an (H, W, 3) image."""
    size = (image.shape[0], image.shape[1])
    height, width = _enlarged(size, tile)
    if (height, width) != size:
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    y, x = tile_corners(size, tile)[number]
    return image[y : y + tile[0], x : x + tile[1]].copy()


def _enlarged(size: Size, tile: Size) -> Size:
    scale = max(tile[0] / size[0], tile[1] / size[1], 1.0)
    return max(tile[0], round(size[0] * scale)), max(tile[1], round(size[1] * scale))


def _starts(length: int, tile: int) -> list[int]:
    return [min(step * tile, length - tile) for step in range(math.ceil(length / tile))]


def _sizes(dataset: datasets.Dataset, column: str) -> list[Size]:
    """Height and width of every image, from the head of its file; (1, 1) if that is broken."""
    raw = dataset.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    sizes: list[Size] = []
    for row in raw:
        try:
            width, height = size_of(row[column])
            sizes.append((height, width))
        except OSError:
            sizes.append((1, 1))
    return sizes
