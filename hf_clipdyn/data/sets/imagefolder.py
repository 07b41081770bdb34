"""Any folder of images, with a ``metadata.csv`` or ``metadata.jsonl`` with their captions."""

from collections.abc import Iterator
from typing import Any

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.captioned import CaptionedBuilder, split_in
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.mirrors import CAPTION_COLUMNS
from hf_clipdyn.data.tables import read_csv, read_json_lines
from hf_clipdyn.errors import DatasetError

_METADATA = ("metadata.csv", "metadata.jsonl")


class Imagefolder(CaptionedBuilder):
    """The layout of ``imagefolder`` in `datasets`: a ``file_name`` and a caption in each line; kind ``captions``.

    File names are relative to the metadata file. A metadata file below a folder named like a split (``train/``,
    ``test/``) makes that split, any other is ``train``. Lines with the same file name are captions of one image; in
    JSON Lines the caption may be a list.
    """

    metadata = DatasetMetadata(
        kind="captions",
        title="A folder of captioned images",
        licence="depends on the folder",
        licence_id="unknown",
        where="your own disk: images, and metadata.csv or metadata.jsonl with file_name and caption",
    )
    layout = ("|".join(_METADATA),)

    def _caption_files(self) -> dict[str, SourceFile]:
        lists: dict[str, SourceFile] = {}
        for file in self.files.named(*_METADATA):
            split = split_in(file.parts[:-1]) or self.default_split
            if split in lists:
                raise DatasetError(
                    f"{file.path} and {lists[split].path} both describe {split!r}: remove one."
                )
            lists[split] = file
        return lists

    def splits(self) -> list[str]:
        return list(self._caption_files())

    def rows(self, split: str) -> Rows:
        file = self._caption_files()[split]
        yield from self.captioned(self.files.beside(file), _pairs(file.path), file.path)


def _pairs(path: str) -> Iterator[tuple[str, str]]:
    is_lines = path.lower().endswith(".jsonl")
    rows = list(read_json_lines(path) if is_lines else read_csv(path, ["file_name"]))
    columns = set(rows[0][1]) if rows else set()
    column = next((name for name in CAPTION_COLUMNS if name in columns), None)
    if column is None:
        raise DatasetError(
            f"{path} has the columns {sorted(columns)}, but none for the caption: "
            f"name it one of {', '.join(CAPTION_COLUMNS)}."
        )
    for where, row in rows:
        name, captions = row.get("file_name"), row.get(column)
        texts: list[Any] = captions if isinstance(captions, list) else [captions]
        if not (isinstance(name, str) and all(isinstance(text, str) for text in texts)):
            raise DatasetError(
                f"{where} needs file_name and {column}: give a name, and a text or a list of texts."
            )
        for text in texts:
            yield name, text
