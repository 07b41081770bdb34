"""Any folder of images: with a ``metadata.csv`` or ``metadata.jsonl`` with their captions, or in folders by class."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from hf_clipdyn.data.base import Rows, configs
from hf_clipdyn.data.captioned import CaptionedBuilder, split_in
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.mirrors import CAPTION_COLUMNS
from hf_clipdyn.data.tables import read_csv, read_json_lines
from hf_clipdyn.errors import DatasetError

_METADATA = ("metadata.csv", "metadata.jsonl")


class Imagefolder(CaptionedBuilder):
    """The layouts of ``imagefolder`` in `datasets`; configurations ``captions`` (default) and ``labels``.

    ``captions`` has a ``file_name`` and a caption in each line of its metadata file. File names are relative to that
    file. A metadata file below a folder named like a split (``train/``, ``test/``) makes that split, any other is
    ``train``. Lines with the same file name are captions of one image; in JSON Lines the caption may be a list.

    ``labels`` takes the name of an image's folder as its class. A folder above it that is named like a split makes
    that split; without one the images are the split ``test``. Images outside of any folder are left out.
    """

    metadata = DatasetMetadata(
        kind="captions",
        title="A folder of captioned or labelled images",
        licence="depends on the folder",
        licence_id="unknown",
        where="your own disk: images, and metadata.csv or metadata.jsonl with file_name and caption, or class folders",
        config_kinds={"labels": "labels"},
    )
    BUILDER_CONFIGS = configs("captions", "labels")
    DEFAULT_CONFIG_NAME = "captions"
    layout = ("*.jpg|*.jpeg|*.png|*.bmp|*.gif|*.webp|*.tif|*.tiff|metadata.csv|metadata.jsonl",)

    @cached_property
    def _labelled(self) -> list[tuple[str, str, Path]]:
        """Split, class and file of the images in class folders."""
        found = []
        for key, path in self.files.images().items():
            *above, _ = key.split("/")
            if above:
                found.append((split_in(above[:-1]) or "test", above[-1], path))
        return found

    def class_names(self) -> Sequence[str]:
        return sorted({label for _, label, _ in self._labelled}) if self.config.name == "labels" else ()

    def _caption_files(self) -> dict[str, str]:
        """The metadata file of each split."""
        lists: dict[str, str] = {}
        for key, path in self.files.items():
            if path.name.lower() in _METADATA:
                split = split_in(key.split("/")[:-1]) or self.default_split
                if lists.setdefault(split, key) != key:
                    raise DatasetError(
                        f"{path} and {self.files[lists[split]]} both describe {split!r}: remove one."
                    )
        return lists

    def splits(self) -> list[str]:
        if self.config.name == "labels":
            return sorted({split for split, _, _ in self._labelled})
        if not self._caption_files():
            raise DatasetError(
                f"{self.files.root} has neither {' nor '.join(_METADATA)}, which name the captions."
            )
        return list(self._caption_files())

    def rows(self, split: str) -> Rows:
        if self.config.name == "labels":
            yield from (
                {"image": path, "label": label} for part, label, path in self._labelled if part == split
            )
            return
        key = self._caption_files()[split]
        files = self.files.within(key.rpartition("/")[0])
        yield from self.captioned(files, _pairs(self.files[key]), self.files[key])


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    rows = list(read_json_lines(path) if path.suffix.lower() == ".jsonl" else read_csv(path, ["file_name"]))
    columns = set(rows[0]) if rows else set()
    column = next((name for name in CAPTION_COLUMNS if name in columns), None)
    if column is None:
        raise DatasetError(
            f"{path} has the columns {sorted(columns)}, but none for the caption: "
            f"name it one of {', '.join(CAPTION_COLUMNS)}."
        )
    for row in rows:
        name, captions = row.get("file_name"), row.get(column)
        texts = captions if isinstance(captions, list) else [captions]
        if not all(isinstance(text, str) for text in (name, *texts)):
            raise DatasetError(
                f"{row.where} needs file_name and {column}: a name, and a text or a list of texts."
            )
        yield from ((str(name), str(text)) for text in texts)
