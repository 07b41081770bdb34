"""What captioned sets share: the images that a caption list names, one row an image."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.counts import SubsetWarning
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.tables import lines_of
from hf_clipdyn.errors import DatasetError

__all__ = ["MAX_ABSENT", "CaptionListBuilder", "CaptionedBuilder", "check_absent"]

MAX_ABSENT = 0.01
"""Share of the images that may be absent from a captions set; more is an unfinished copy."""

_PIPE = re.compile(r"(?P<image>[^|]+?)\s*\|\s*\d+\s*\|?\s*(?P<caption>.*)")
_TOKEN = re.compile(r"(?P<image>[^\t#]+)(?:#\d+)?\t(?P<caption>.*)")
_COMMA = re.compile(r"(?P<image>[^,]+),\s*(?P<caption>.*)")
_NUMBERED = re.compile(r"(?P<image>[^,]+),\s*\d+\s*,\s*(?P<caption>.*)")
_HEADERS = frozenset(("image", "image_name", "img", "file_name", "filename"))


class CaptionedBuilder(DataBuilder):
    """Rows from pairs of an image's name and a caption.

    A truncated image is no error here: training decodes, skips and counts it. An image that is absent is
    left out, and more than `MAX_ABSENT` of them are an error.
    """

    default_split = "train"
    exact_rows = False

    def captioned(
        self, files: FileIndex, pairs: Iterable[tuple[str, str]], source: str
    ) -> Iterator[dict[str, Any]]:
        """One row an image, in the order of its first caption.

        Args:
            files: where the images are.
            pairs: an image's name and one of its captions.
            source: the caption list, for messages.

        Raises:
            DatasetError: there are no captions, or too many images are absent.
        """
        captions: dict[str, list[str]] = {}
        for name, caption in pairs:
            if caption.strip():
                captions.setdefault(name, []).append(caption.strip())
        if not captions:
            raise DatasetError(f"{source} holds no captions: give the official caption list.")
        found = {name: file for name in captions if (file := files.image(name)) is not None}
        check_absent(len(captions) - len(found), len(captions), source, f"are absent from {files.root}")
        for name, file in found.items():
            yield {"image": file.path, "image_id": file.stem, "captions": captions[name]}


def check_absent(absent: int, total: int, source: str, lack: str) -> None:
    """Warn of a few images of ``source`` that ``lack`` something.

    Raises:
        DatasetError: more than `MAX_ABSENT` of ``total`` do.
    """
    message = f"{absent:,} of the {total:,} images of {source} {lack}"
    if absent > MAX_ABSENT * total:
        raise DatasetError(f"{message}: unpack all of them, or leave out of the list what is not meant.")
    if absent:
        warnings.warn(f"{message} and are left out.", SubsetWarning, stacklevel=2)


class CaptionListBuilder(CaptionedBuilder):
    """Photographs and one text that names them line by line, as Flickr8k and Flickr30k come.

    Read are ``captions.txt`` with the header ``image,caption`` (or with a column of numbers between the two),
    ``results.csv`` with ``|`` between the fields, and the original ``*.token`` lists (``name.jpg#0``, a tabulator,
    the caption).
    """

    layout = (
        "captions.txt|results.csv|flickr8k.token.txt|results_20130124.token",
        "*.jpg|*.jpeg|*.png|*.webp",
    )

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        del split  # there is one
        source = self.files.file(*self.layout[0].split("|")).path
        yield from self.captioned(self.files, _pairs(source), source)


def _pairs(path: str) -> Iterator[tuple[str, str]]:
    lines = lines_of(path)
    pattern, start = _form_of(lines[0])
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line.strip():
            continue
        match = pattern(line)
        if match is None:
            raise DatasetError(f"{path}, line {number} has no image and caption: correct that line.")
        yield match["image"].strip(), _unquoted(match["caption"])


def _form_of(first: str) -> tuple[Callable[[str], re.Match[str] | None], int]:
    """How lines are read, and the number of header lines."""
    if "\t" in first:
        return _TOKEN.fullmatch, 0
    cells = [cell.strip().lower() for cell in re.split(r"[,|]", first)]
    header = cells[0] in _HEADERS
    pattern = _PIPE if "|" in first else _NUMBERED if header and len(cells) > 2 else _COMMA
    return pattern.fullmatch, int(header)


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].replace('""', '"')
    return text
