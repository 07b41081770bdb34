"""Small pictures in real file formats."""

import io
from functools import cache
from pathlib import Path

from PIL import Image

_FORMATS = {".bmp": "BMP", ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


@cache
def image_bytes(suffix: str, size: tuple[int, int] = (8, 6), colour: int = 0) -> bytes:
    """A picture of two colours; ``colour`` tells pictures apart."""
    image = Image.new("RGB", size, ((colour * 37) % 256, (colour * 91) % 256, 128))
    image.putpixel((0, 0), (255, 255, 255))
    buffer = io.BytesIO()
    image.save(buffer, _FORMATS[suffix.lower()])
    return buffer.getvalue()


def write_image(path: Path, size: tuple[int, int] = (8, 6), colour: int = 0) -> Path:
    """Write a picture in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_bytes(path.suffix, size, colour))
    return path
