"""Base classes of captioned data sets: one row for each image that a caption list names."""

import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import SubsetWarning
from hf_clipdyn.data.tables import lines_of
from hf_clipdyn.errors import DatasetError

MAX_ABSENT = 0.01
"""Largest proportion of missing images; more than that means an incomplete copy."""

MAX_CAPTION = 100_000
"""Largest number of characters of a caption. CLIP reads 77 tokens; a tokenizer takes 3 GB for 50 million characters."""

_PIPE = re.compile(r"(?P<image>[^|]+?)\s*\|\s*\d+\s*\|?\s*(?P<caption>.*)")
_TOKEN = re.compile(r"(?P<image>[^\t#]+)(?:#\d+)?\t(?P<caption>.*)")
_COMMA = re.compile(r"(?P<image>[^,]+),\s*(?P<caption>.*)")
_NUMBERED = re.compile(r"(?P<image>[^,]+),\s*\d+\s*,\s*(?P<caption>.*)")
_SPLITS = ("train", "validation", "valid", "val", "test")
_HEADERS = frozenset(("image", "image_name", "img", "file_name", "filename"))


class CaptionedBuilder(DataBuilder):
    """Rows from pairs of an image's name and a caption.

    A missing image is left out; more than `MAX_ABSENT` of them are an error.
    """

    default_split = "train"
    exact_rows = False

    def captioned(self, files: FileIndex, pairs: Iterable[tuple[str, str]], source: Path) -> Rows:
        """One row for each image, in the order of the first captions.

        Args:
            files: the images.
            pairs: name of an image and one of its captions.
            source: the caption list, for messages.

        Raises:
            DatasetError: there are no captions, or too many images are missing.
        """
        captions: dict[str, list[str]] = {}
        for name, caption in pairs:
            if caption.strip():
                captions.setdefault(name, []).append(caption.strip())
        if not captions:
            raise DatasetError(f"{source} contains no captions: use the official caption list.")
        photographs = {name: path for name in captions if (path := files.image(name)) is not None}
        absent = len(captions) - len(photographs)
        check_absent(absent, len(captions), f"images of {source} are missing in {files.root}")
        for name, path in photographs.items():
            yield {"image": path, "image_id": path.stem, "captions": captions[name]}


def check_absent(absent: int, total: int, problem: str) -> None:
    """Warn if a few of ``total`` images have a ``problem`` (``samples of 0.tar lack a text``)."""
    message = f"{absent:,} of the {total:,} {problem}"
    if absent > MAX_ABSENT * total:
        raise DatasetError(f"{message}: complete them, or remove them from the list.")
    if absent:
        warnings.warn(f"{message}; they are left out.", SubsetWarning, stacklevel=2)


def has_overlong(captions: Iterable[str]) -> bool:
    """Whether a caption of an image has more than `MAX_CAPTION` characters: the image counts as broken."""
    return any(len(text) > MAX_CAPTION for text in captions)


def split_in(names: Iterable[str]) -> str | None:
    """The first of these names that is a split's, in lower case."""
    return next((name.lower() for name in names if name.lower() in _SPLITS), None)


class CaptionListBuilder(CaptionedBuilder):
    """Photographs and one caption list with a line for each caption: the layout of Flickr8k and Flickr30k.

    The list is ``captions.txt`` with the header ``image,caption`` (or with a column of numbers between the two),
    ``results.csv`` with ``|`` between the fields, or an original ``*.token`` list (``name.jpg#0``, a tab, the caption).
    """

    layout = (
        "captions.txt|results.csv|flickr8k.token.txt|results_20130124.token",
        "*.jpg|*.jpeg|*.png|*.webp",
    )

    def rows(self, split: str) -> Rows:
        source = self.files.file(*self.layout[0].split("|"))
        yield from self.captioned(self.files, _pairs(source), source)


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    lines = lines_of(path)
    pattern, start = _form_of(lines[0])
    for number, line in enumerate(lines[start:], start=start + 1):
        match = pattern.fullmatch(line)
        if match is not None:
            yield match["image"].strip(), _unquoted(match["caption"])
        elif line.strip():
            raise DatasetError(f"{path}, line {number} has no image and caption: correct that line.")


def _form_of(first: str) -> tuple[re.Pattern[str], int]:
    """The pattern of a line, and the number of header lines."""
    if "\t" in first:
        return _TOKEN, 0
    cells = [cell.strip().lower() for cell in re.split(r"[,|]", first)]
    has_header = cells[0] in _HEADERS
    return _PIPE if "|" in first else _NUMBERED if has_header and len(cells) > 2 else _COMMA, int(has_header)


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].replace('""', '"')
    return text
