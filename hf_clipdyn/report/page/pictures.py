"""The pictures of stimuli, as small as the page shows them: from the data sets of this machine, if they may be shown.

Many small pictures stand in one image, which is smaller than one for each.
"""

import base64
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from PIL import Image

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.errors import ClipDynError, UnknownNameError
from hf_clipdyn.metrics.fixation_maps import KEPT_MAP
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.gallery import Gallery, Picture

if TYPE_CHECKING:
    from hf_clipdyn.data.metadata import DatasetMetadata

StimuliChoice = Literal["none", "thumbnails"]
"""What a report shows of the stimuli themselves; the answers to them are always shown."""

_MOST_MAPPED = 100  # revisions of a run whose maps are shown
_SIDE = 96  # pixels of a thumbnail; smaller images are kept as they are
_SMALL = 64
_N_VALUES = math.prod(KEPT_MAP)
_WEBP_QUALITY = 75
_TILE = (16, 32)  # blocks of 16 that WebP compresses, so that maps do not leak into each other
_GAMMA = 0.7  # of maps: low values are seen, too


@dataclass(eq=False)
class Pictures:
    """The pictures of a gallery, or ``why`` there are none, and the names of its classes by their number."""

    gallery: Gallery
    dataset: Any = None
    why: str = ""
    classes: Sequence[str] = ()
    _thumbnails: dict[str, Any] = field(default_factory=dict)
    _files: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        gallery: Gallery,
        items: pd.Index,
        cell: Any,
        stimuli: StimuliChoice,
        data_dirs: Mapping[str, str | Path],
    ) -> "Pictures":
        """Open the data set, if the pictures of these items may be shown or classes have numbers only.

        Args:
            gallery, items: what is shown.
            cell: where it was measured.
            stimuli: what the reader chose.
            data_dirs: folders of data sets, by name.
        """
        # They load `datasets`, which a report without trials does not need.
        from hf_clipdyn.benchmarks.sources import local_source
        from hf_clipdyn.data.registry import builder_class

        name = str(cell.dataset)
        try:
            builder = builder_class(name)
        except UnknownNameError:
            return cls(gallery, why=f"The data set {name} is not known here.")
        classes, why = getattr(builder, "classes", ()), forbidden(builder.metadata, stimuli)
        if why and (classes or gallery.facts.get("truth", pd.Series("")).dtype.kind not in "iu"):
            return cls(gallery, None, why, classes)
        images = f"The images of {builder.metadata.title}"
        folder = Path(data_dirs[name]) if name in data_dirs else None
        try:
            source = local_source(name, kinds()[cell.kind].schemas, folder)
        except ClipDynError:  # its message names a path of this machine, which is not for readers of the page
            return cls(gallery, None, why or f"{images} on this machine cannot be read.", classes)
        if source is None:
            asked = f"name their folder with --data_dir {name}=FOLDER, or set CLIPDYN_DATA"
            return cls(gallery, None, why or f"{images} are not on this machine: {asked}.", classes)
        if not why and (source.split != cell.split or not _fits(source.dataset, gallery, items)):
            why = f"{images} on this machine are not those that were measured."
        return cls(gallery, None if why else source.dataset, why, classes or source.class_names)

    def sheet(self, items: pd.Index) -> tuple[list[list[int | None]], dict[str, Any] | None]:
        """The thumbnails of these items in one image.

        Returns:
            For each item the number of each of its pictures in the sheet; and its ``uri`` and ``size``, with the box
            [x, y, width, height] of each picture, and by how much they are enlarged, pixel by pixel (``scale``).
        """
        keys = [[self._key(picture, item) for picture in self.gallery.pictures] for item in items]
        numbers = {key: at for at, key in enumerate(dict.fromkeys(key for own in keys for key in own if key))}
        places = [[numbers.get(key) for key in own] for own in keys]
        images = [self._thumbnails[key] for key in numbers]
        if not images:
            return places, None
        width, height = (max(image.size[axis] for image in images) for axis in (0, 1))
        columns = math.ceil(math.sqrt(len(images)))
        sheet = Image.new("RGB", (columns * width, math.ceil(len(images) / columns) * height))
        boxes = []
        for number, image in enumerate(images):
            corner = (number % columns) * width, (number // columns) * height
            sheet.paste(image, corner)
            boxes.append([*corner, *image.size])
        enlarged = 2 if len(self.gallery.pictures) > 1 else 3
        scale = enlarged if max(width, height) <= _SMALL else 1
        return places, {**_image(sheet), "boxes": boxes, "scale": scale}

    def _key(self, picture: Picture, item: int) -> str:
        """The name of a picture's thumbnail, the same for one file in any row and column; empty if there is none."""
        if self.dataset is None:
            return ""
        import datasets

        column = picture.column
        if column not in self._files:  # to read a row of it reads no other column, and decodes nothing
            alone = self.dataset.select_columns([column])
            self._files[column] = alone.cast_column(column, datasets.Image(decode=False))
        file = self._files[column][int(self.gallery.identity[picture.row][item])][column]
        content = b"" if file is None else file["bytes"] or str(file["path"]).encode()
        key = hashlib.sha256(content).hexdigest()
        if key not in self._thumbnails:
            self._thumbnails[key] = thumbnail(file)
        return key if self._thumbnails[key] else ""


def forbidden(facts: "DatasetMetadata", stimuli: StimuliChoice) -> str:
    """Why the images of a data set are not shown; empty if they are."""
    if stimuli == "none":
        return "The report was written without pictures (--stimuli none)."
    refused = f"The licence of {facts.title} ({facts.licence}) does not allow its images to be passed on."
    return "" if facts.may_redistribute else refused


def _fits(dataset: Any, gallery: Gallery, items: pd.Index) -> bool:
    """Whether a data set has what was shown in the rows of the items."""
    rows = gallery.identity.loc[items, [picture.row for picture in gallery.pictures]].to_numpy(np.int64)
    columns = {picture.column for picture in gallery.pictures} | set(gallery.check)
    if rows.min() < 0 or rows.max() >= len(dataset) or not columns <= set(dataset.column_names):
        return False
    there = dataset.select_columns(list(gallery.check)).select(rows[:, 0]).to_pandas()
    return all(_equal(there[name], gallery.identity.loc[items, name]) for name in there)


def _equal(there: "pd.Series[Any]", then: "pd.Series[Any]") -> bool:
    if pd.api.types.is_float_dtype(there):
        return bool(np.allclose(there.to_numpy(float), then.to_numpy(float), equal_nan=True))
    return there.astype(str).to_list() == then.astype(str).to_list()


def thumbnail(file: Mapping[str, Any] | None) -> Image.Image | None:
    """The small picture of an image of a data set; None if it is missing or cannot be decoded."""
    from hf_clipdyn.data.images import decode_image

    if file is None:
        return None
    try:
        image = decode_image(file).convert("RGB")
    except OSError:
        return None
    if max(image.size) > _SMALL:
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return image


def maps_sheet(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Small maps as a sheet: a row per stimulus, a column per revision; None if there is none.

    ``columns`` are the positions of the revisions that have a column, ``boxes`` the place [x, y, width, height] of each
    stimulus in the first column, None without any map, and ``step`` the distance of two columns.
    """
    columns, (down, across) = evenly(frame.shape[1], _MOST_MAPPED).tolist(), _TILE
    sheet = np.zeros((down * len(frame), across * len(columns)), np.uint8)
    edges = [((all_of - part) // 2,) * 2 for all_of, part in zip(_TILE, KEPT_MAP, strict=True)]
    boxes: list[list[int] | None] = []
    for row, given in enumerate(frame.iloc[:, columns].itertuples(index=False)):
        maps = {at: one for at, one in enumerate(given) if isinstance(one, bytes) and len(one) == _N_VALUES}
        for at, one in maps.items():
            tile = np.pad(np.frombuffer(one, np.uint8).reshape(KEPT_MAP), edges, mode="edge")
            shade = np.rint(255 * (tile / 255) ** _GAMMA).astype(np.uint8)
            sheet[down * row : down * (row + 1), across * at : across * (at + 1)] = shade
        place = [edges[1][0], down * row + edges[0][0], *KEPT_MAP[::-1]]
        boxes.append(place if maps else None)
    if not any(boxes):
        return None
    return {**_image(Image.fromarray(sheet)), "columns": columns, "boxes": boxes, "step": across}


def _image(image: Image.Image) -> dict[str, Any]:
    """An image as the smaller one of PNG and WebP: its ``uri`` and ``size``."""
    png, webp = io.BytesIO(), io.BytesIO()
    image.save(png, "PNG")  # optimize takes twice the time for one hundredth of the bytes
    image.convert("RGB").save(webp, "WEBP", quality=_WEBP_QUALITY, method=4)
    name, data = min((("png", png.getvalue()), ("webp", webp.getvalue())), key=lambda kept: len(kept[1]))
    uri = f"data:image/{name};base64,{base64.b64encode(data).decode('ascii')}"
    return {"uri": uri, "size": list(image.size)}
