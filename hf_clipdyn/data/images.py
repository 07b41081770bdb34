"""The one place that opens images: only formats of data sets, only files, only as many pixels as a photograph has.

Pillow itself recognises a file by its content, whatever its name. Some of its formats run other programs (EPS starts
Ghostscript), others are parsers that no data set needs. Hence nothing else in this package opens an image.
"""

import io
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow as pa
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from hf_clipdyn.errors import DatasetError

if TYPE_CHECKING:
    import torch

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "SafeImage",
    "check_image",
    "decode",
    "decode_image",
    "decode_tensor",
    "open_image",
    "safe_images",
    "size_of",
]

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Pillow's names of the formats that are opened; the most frequent one first, since they are tried in order."""

MAX_PIXELS = 89_478_485
"""Most pixels of an image (9,459 x 9,459): where Pillow begins to warn of a decompression bomb."""

_TAIL = 4096  # cameras append notes behind the end marker of a JPEG
_TURNED = frozenset((5, 6, 7, 8))  # EXIF orientations that swap width and height


Source = str | os.PathLike[str] | bytes | Mapping[str, Any] | Image.Image
"""Path of a file, content of one, undecoded cell of an image column (``path`` and ``bytes``), or an opened image."""


def open_image(source: Source) -> Image.Image:
    """Open an image without decoding it; `decode` closes it.

    Raises:
        OSError: there is none, or it is no plain file, of none of `FORMATS`, damaged, or has more than `MAX_PIXELS`.
    """
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, Mapping):
        inner: str | bytes | None = source["path"] if source["bytes"] is None else source["bytes"]
        if inner is None:
            raise OSError("there is no image")
        source = inner
    if not isinstance(source, bytes) and not stat.S_ISREG(os.stat(source).st_mode):  # noqa: PTH116  # any path
        raise OSError("it is no plain file")  # a pipe hangs when it is opened, a device may never end
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with _as_os_error():
        image: Image.Image = Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise OSError(f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    return image


def decode(image: Image.Image) -> Image.Image:
    """The pixels of an opened image, turned as its EXIF orientation says, as `datasets` does; its file is closed.

    Raises:
        OSError: the file is not a whole image.
    """
    with _as_os_error(), image:
        image.load()
        return image if _orientation(image) is None else ImageOps.exif_transpose(image)


def decode_image(source: Source) -> Image.Image:
    """RGB image of a file, of an undecoded cell of an image column, or of a PIL image, upright as `decode` gives it.

    Raises:
        OSError: as `open_image`, or the file is not a whole image.
    """
    return decode(open_image(source)).convert("RGB")


def decode_tensor(source: Source) -> "torch.Tensor":
    """The pixels of `decode_image` as a (3, height, width) uint8 tensor.

    Upright JPEGs in RGB or grey are decoded by torchvision, without the way through a PIL image; Pillow opens all
    others, and those that torchvision refuses.

    Raises:
        OSError: as `decode_image`.
    """
    from torchvision.transforms.v2.functional import pil_to_tensor

    pixels = None if isinstance(source, Image.Image) or not _is_plain_jpeg(source) else _jpeg_tensor(source)
    if pixels is None:
        upright: torch.Tensor = pil_to_tensor(decode_image(source))
        return upright
    return pixels


def _is_plain_jpeg(source: Source) -> bool:
    with _as_os_error(), open_image(source) as image:
        plain = image.format == "JPEG" and image.mode in ("RGB", "L")
        return plain and _orientation(image) in (None, 1)


def _jpeg_tensor(source: str | os.PathLike[str] | bytes | Mapping[str, Any]) -> "torch.Tensor | None":
    """RGB pixels of a JPEG that Pillow has recognised and measured; None where torchvision cannot decode it."""
    import numpy as np
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    inner: Any = source
    if isinstance(source, Mapping):
        inner = source["path"] if source["bytes"] is None else source["bytes"]
    is_content = isinstance(inner, bytes)  # torch takes no read-only memory, hence the copy
    content = np.frombuffer(bytearray(inner), np.uint8) if is_content else np.fromfile(inner, np.uint8)
    with suppress(RuntimeError):
        pixels: torch.Tensor = decode_jpeg(torch.from_numpy(content), mode=ImageReadMode.RGB)
        return pixels
    return None


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Whatever Pillow's parsers raise on a broken or hostile file (SyntaxError, struct.error, …) as an OSError."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise OSError(str(error) or type(error).__name__) from error


def size_of(source: Source) -> tuple[int, int]:
    """Width and height in pixels of the image that `decode` gives, where possible from the header alone.

    Raises:
        OSError: as `open_image`.
    """
    with _as_os_error(), open_image(source) as image:
        return _shown_size(image)


def _orientation(image: Image.Image) -> int | None:
    """The EXIF orientation; None where there is none, or where the EXIF data are damaged but the pixels are not."""
    with suppress(Exception):
        return image.getexif().get(ExifTags.Base.Orientation)
    return None


def _shown_size(image: Image.Image) -> tuple[int, int]:
    # Asked for its orientation, a PNG that has none before its pixels is decoded; a TIFF turns itself.
    if image.format == "PNG" and not {"exif", "xmp", "Raw profile type exif"} & set(image.info):
        return image.size
    if image.format == "TIFF":
        image.load()
        return image.size
    width, height = image.size
    return (height, width) if _orientation(image) in _TURNED else (width, height)


def check_image(path: str) -> tuple[int, int]:
    """Width and height of an image in pixels, read from its header.

    The end is checked as well. A PNG without its last chunk is cut; where the marker of a JPEG or the length of a
    BMP is not as it should be the image is decoded, since some programs write them wrongly and all pixels are
    there. Damage in the middle shows when decoding.

    Raises:
        DatasetError: the file is empty, cut, no image of a known format, or has more than `MAX_PIXELS`.
    """
    try:
        with _as_os_error(), open_image(path) as image:
            size = _shown_size(image)
            if not _is_closed(Path(path), image.format or ""):
                if image.format == "PNG":
                    raise OSError("its last chunk is missing")
                image.load()
            return size
    except UnidentifiedImageError as error:
        empty = Path(path).stat().st_size == 0
        state = "is empty" if empty else f"is no image in one of the formats {', '.join(FORMATS)}"
        raise DatasetError(f"{path} {state}: unpack this file from the archive once more.") from error
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be used as an image ({error}): unpack this file from the archive once more, or replace it."
        ) from error


def _is_closed(path: Path, image_format: str) -> bool:
    """Whether the file ends as its format says; False where that cannot be told."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(14)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    if image_format in ("JPEG", "MPO"):
        return b"\xff\xd9" in tail
    if image_format == "PNG":
        return b"IEND" in tail
    if image_format == "BMP":
        declared = int.from_bytes(head[2:6], "little")
        return 0 < declared <= size
    return False


class SafeImage(datasets.Image):  # type: ignore[misc]  # datasets carries no types
    """`datasets.Image` that opens files with `open_image`; equal to it, and stored as it.

    Rows of data sets decode when they are read. The feature of `datasets` opens whatever Pillow recognises: it would
    start Ghostscript on an EPS file that is called ``000.jpg``.
    """

    def decode_example(
        self, value: Any, token_per_repo_id: Mapping[str, str | bool | None] | None = None
    ) -> Image.Image:
        """The decoded image, turned as its EXIF orientation says.

        Raises:
            OSError: as `open_image`.
        """
        if not self.decode or not isinstance(value, dict):
            image: Image.Image = super().decode_example(value, token_per_repo_id)
            return image
        if value["bytes"] is None and "://" in (value["path"] or ""):  # on the Hub: have its bytes fetched
            value = self.embed_storage(pa.array([value], type=self.pa_type), token_per_repo_id)[0].as_py()
        image = decode(open_image(value))
        return image.convert(self.mode) if self.mode and self.mode != image.mode else image

    def __eq__(self, other: object) -> bool:
        """Whether the other feature, of either class, has the same settings."""
        if not isinstance(other, datasets.Image):
            return False
        mine: tuple[Any, ...] = (self.mode, self.decode, self.id)
        return mine == (other.mode, other.decode, other.id)


def safe_images(dataset: Any) -> Any:
    """A `datasets` object, or a dictionary of them, whose images are opened by `SafeImage`."""
    if isinstance(dataset, dict):
        return type(dataset)({split: safe_images(part) for split, part in dataset.items()})
    for name, feature in (dataset.features or {}).items():
        if type(feature) is datasets.Image:
            dataset = dataset.cast_column(name, SafeImage(mode=feature.mode, decode=feature.decode))
    return dataset
