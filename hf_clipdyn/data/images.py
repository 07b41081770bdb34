"""Is this file a whole image? Asked of its header and its end, so that thousands take a second."""

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from hf_clipdyn.errors import DatasetError

__all__ = ["IMAGE_SUFFIXES", "check_image"]

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))

_TAIL = 4096  # cameras append notes behind the end marker of a JPEG


def check_image(path: str) -> tuple[int, int]:
    """Width and height of an image in pixels, read from its header.

    The end is checked as well. A PNG without its last chunk is cut; where the marker of a JPEG or the length of a
    BMP is not as it should be the image is decoded, since some programs write them wrongly and all pixels are
    there. Damage in the middle shows when decoding.

    Raises:
        DatasetError: the file is empty, cut, no image, or declares more pixels than Pillow's limit.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                size = image.size
                if not _is_closed(Path(path), image.format or ""):
                    if image.format == "PNG":
                        raise OSError("its last chunk is missing")
                    image.load()
                return size
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} declares too many pixels ({error}): replace this file.") from error
    except UnidentifiedImageError as error:
        state = "is empty" if Path(path).stat().st_size == 0 else "is no image that Pillow knows"
        raise DatasetError(f"{path} {state}: unpack this file from the archive once more.") from error
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow reports a broken PNG as a SyntaxError, and a cut file of any format as an OSError.
        raise DatasetError(
            f"{path} is truncated or damaged ({error}): unpack this file from the archive once more."
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
