"""The only place that opens images: in the formats of data sets, of at most the pixels that Pillow allows.

Pillow recognises a file by its content, not its name. Some of its formats run other programs (EPS starts Ghostscript),
others are parsers that no data set needs. Therefore nothing else in this package opens an image.
"""

import io
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow as pa
from PIL import ExifTags, Image, ImageOps

if TYPE_CHECKING:
    import torch

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Pillow's names of the accepted formats, the most frequent one first, since they are tried in order."""

_TURNED = frozenset((5, 6, 7, 8))  # EXIF orientations that swap width and height

_Stored = str | os.PathLike[str] | bytes
Source = _Stored | Mapping[str, Any] | Image.Image | None
"""Path of a file, its content, an undecoded cell of an image column (``path`` and ``bytes``, or None), or
an opened image."""


def open_image(source: Source) -> Image.Image:
    """Open an image without decoding it; `decode` closes it.

    Raises:
        OSError: there is no image, or it has none of the `FORMATS`, is damaged, or has more pixels than Pillow allows.
    """
    if isinstance(source, Image.Image):
        return source
    stored = _stored(source)
    with _as_os_error():
        return Image.open(io.BytesIO(stored) if isinstance(stored, bytes) else stored, formats=FORMATS)


def _stored(source: _Stored | Mapping[str, Any] | None) -> _Stored:
    """The path or the content of an image."""
    cell = source if isinstance(source, Mapping) else {"path": source, "bytes": None}
    stored: _Stored | None = cell["path"] if cell["bytes"] is None else cell["bytes"]
    if stored is None:
        raise OSError("there is no image")
    if not isinstance(stored, bytes) and not stat.S_ISREG(os.stat(stored).st_mode):  # noqa: PTH116  # any path
        raise OSError("it is not a regular file")  # opening a pipe hangs, a device may never end
    return stored


def decode(image: Image.Image) -> Image.Image:
    """Decode an opened image, apply its EXIF orientation as `datasets` does, and close its file."""
    with _as_os_error():
        try:
            return _upright(image)
        finally:
            with suppress(ValueError), image:  # Pillow 10.3 cannot close the file of an image twice
                pass


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    return image if _orientation(image) is None else ImageOps.exif_transpose(image)


def decode_image(source: Source) -> Image.Image:
    """RGB image of any source, in the orientation of `decode`; an image that the caller opened stays open."""
    if not isinstance(source, Image.Image):
        return decode(open_image(source)).convert("RGB")
    with _as_os_error():
        return _upright(source).convert("RGB")


def decode_tensor(source: Source) -> "torch.Tensor":
    """The pixels of `decode_image` as a (3, height, width) uint8 tensor.

    Upright JPEGs in RGB or grey are decoded by torchvision, without the way through a PIL image; Pillow opens all
    others, and those that torchvision refuses.
    """
    from torchvision.transforms.v2.functional import pil_to_tensor

    pixels = None
    if not isinstance(source, Image.Image) and _is_plain_jpeg(source):
        pixels = _jpeg_tensor(source)
    if pixels is None:
        upright: torch.Tensor = pil_to_tensor(decode_image(source))
        return upright
    return pixels


def _is_plain_jpeg(source: Source) -> bool:
    with _as_os_error(), open_image(source) as image:
        plain = image.format == "JPEG" and image.mode in ("RGB", "L")
        return plain and _orientation(image) in (None, 1)


def _jpeg_tensor(source: _Stored | Mapping[str, Any] | None) -> "torch.Tensor | None":
    """RGB pixels of a JPEG that Pillow has recognised and measured; None where torchvision cannot decode it."""
    import numpy as np
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    stored = _stored(source)
    # Torch takes no read-only memory, hence the copy.
    content = np.array(
        np.frombuffer(stored, np.uint8) if isinstance(stored, bytes) else np.fromfile(stored, np.uint8)
    )
    with suppress(RuntimeError):
        pixels: torch.Tensor = decode_jpeg(torch.from_numpy(content), mode=ImageReadMode.RGB)
        return pixels
    return None


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Errors of Pillow's parsers on broken files (SyntaxError, struct.error, a bomb, …) as an OSError."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise OSError(str(error) or type(error).__name__) from error


def size_of(source: Source) -> tuple[int, int]:
    """Width and height in pixels of the image that `decode` gives, if possible from the header alone."""
    with _as_os_error(), open_image(source) as image:
        # Reading the orientation of a PNG decodes it if no EXIF data precede the pixels; Pillow rotates a TIFF itself.
        if image.format == "PNG" and not {"exif", "xmp", "Raw profile type exif"} & set(image.info):
            return image.size
        if image.format == "TIFF":
            image.load()
            return image.size
        width, height = image.size
        return (height, width) if _orientation(image) in _TURNED else (width, height)


def _orientation(image: Image.Image) -> int | None:
    """The EXIF orientation; None if there is none, or if only the EXIF data are damaged."""
    with suppress(Exception):
        return image.getexif().get(ExifTags.Base.Orientation)
    return None


class SafeImage(datasets.Image):  # type: ignore[misc]  # datasets carries no types
    """A `datasets.Image` that opens files with `open_image`. It equals `datasets.Image` and is stored as one.

    Images are decoded when a row is read. The feature of `datasets` opens every format that Pillow knows: it would
    start Ghostscript on an EPS file that is called ``000.jpg``.
    """

    def decode_example(
        self, value: Any, token_per_repo_id: Mapping[str, str | bool | None] | None = None
    ) -> Image.Image:
        """The decoded image in its EXIF orientation."""
        if not self.decode or not isinstance(value, dict):
            image: Image.Image = super().decode_example(value, token_per_repo_id)
            return image
        if value["bytes"] is None and "://" in (value["path"] or ""):  # on the Hub: fetch its bytes
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
    """The same `datasets` object, or dictionary of them, with `SafeImage` as the feature of its images."""
    if isinstance(dataset, dict):
        return type(dataset)({split: safe_images(part) for split, part in dataset.items()})
    for name, feature in (dataset.features or {}).items():
        if type(feature) is datasets.Image:
            dataset = dataset.cast_column(name, SafeImage(mode=feature.mode, decode=feature.decode))
    return dataset
