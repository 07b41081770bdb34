"""Many small pictures of a page as one image, which is smaller than one for each."""

import base64
import io
import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.data.images import decode_image
from hf_clipdyn.metrics.fixation_maps import KEPT_MAP
from hf_clipdyn.report.courses import evenly

_MOST_MAPPED = 100  # revisions of a run whose maps are shown
_SIDE = 96  # pixels of a thumbnail; smaller images are kept as they are
_SMALL = 64
_WEBP_QUALITY = 75
_TILE = 16  # side of the blocks that WebP compresses, so that maps do not leak into each other


def thumbnail(cell: Mapping[str, Any] | None) -> Image.Image | None:
    """The small picture of an image of a data set; None if it is missing or cannot be decoded."""
    if cell is None:
        return None
    try:
        image = decode_image(cell).convert("RGB")
    except OSError:
        return None
    return small(image)


def small(image: Image.Image) -> Image.Image:
    """The image, made small in place unless it is small already."""
    if max(image.size) > _SMALL:
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return image


class Sheet:
    """Thumbnails, by their key, in one image, which is smaller than one file for each."""

    def __init__(self, thumbnails: Mapping[str, Image.Image | None]) -> None:
        self._thumbnails = thumbnails
        self._keys: dict[str, int] = {}

    def place(self, key: str | None) -> int | None:
        """Number of a thumbnail in the sheet."""
        return None if key is None else self._keys.setdefault(key, len(self._keys))

    @property
    def _images(self) -> list[Image.Image]:
        return [cast("Image.Image", self._thumbnails[key]) for key in self._keys]

    @property
    def is_small(self) -> bool:
        """Whether the images are so small that they are shown enlarged, pixel by pixel."""
        return bool(self._keys) and max(max(image.size) for image in self._images) <= _SMALL

    def packed(self) -> dict[str, Any] | None:
        """The sheet as a data URI, and [x, y, width, height] of each thumbnail; None without any."""
        images = self._images
        if not images:
            return None
        width, height = (max(image.size[axis] for image in images) for axis in (0, 1))
        columns = math.ceil(math.sqrt(len(images)))
        sheet = Image.new("RGB", (columns * width, math.ceil(len(images) / columns) * height))
        boxes = []
        for number, image in enumerate(images):
            corner = (number % columns) * width, (number // columns) * height
            sheet.paste(image, corner)
            boxes.append([*corner, *image.size])
        return {"uri": data_uri(sheet), "boxes": boxes}


def maps_sheet(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Small maps as a sheet: a row per stimulus, a column per revision; None if there is none.

    ``columns`` are the positions of the revisions that have a column, ``missing`` the stimuli without any map.
    """
    n = frame.shape[1]
    columns = evenly(n, _MOST_MAPPED).tolist()
    sheet = np.zeros((_TILE * len(frame), _TILE * len(columns)), np.uint8)
    rows, across = KEPT_MAP
    missing = []
    for place in range(len(frame)):
        maps = [_map_of(frame.iat[place, column]) for column in columns]
        if all(small is None for small in maps):
            missing.append(place)
        for at, small in enumerate(maps):
            if small is not None:
                tile = np.pad(small, ((0, _TILE - rows), (0, _TILE - across)), mode="edge")
                sheet[_TILE * place : _TILE * (place + 1), _TILE * at : _TILE * (at + 1)] = tile
    if len(missing) == len(frame):
        return None
    uri, tiles = data_uri(Image.fromarray(sheet)), {"tile": _TILE, "width": across, "height": rows}
    return {"uri": uri, "columns": columns, "missing": missing, **tiles}


def _map_of(value: Any) -> NDArray[np.uint8] | None:
    """A map as it is kept; None for anything else."""
    if not isinstance(value, bytes) or len(value) != KEPT_MAP[0] * KEPT_MAP[1]:
        return None
    return np.frombuffer(value, np.uint8).reshape(KEPT_MAP)


def data_uri(image: Image.Image) -> str:
    """An image as the smaller one of PNG and WebP."""
    png, webp = io.BytesIO(), io.BytesIO()
    image.save(png, "PNG")  # optimize takes twice the time for one hundredth of the bytes
    image.convert("RGB").save(webp, "WEBP", quality=_WEBP_QUALITY, method=4)
    name, data = min((("png", png.getvalue()), ("webp", webp.getvalue())), key=lambda kept: len(kept[1]))
    return f"data:image/{name};base64,{base64.b64encode(data).decode('ascii')}"
