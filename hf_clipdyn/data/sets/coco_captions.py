"""COCO Captions (Chen et al. 2015)."""

import re
from pathlib import Path

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.captioned import CaptionListBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import read_json
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.references import reference

_ANNOTATIONS = re.compile(r"captions_(?P<split>train|val)(?P<year>2014|2017)\.json", re.IGNORECASE)


class CocoCaptions(CaptionListBuilder):
    """123,287 photographs with five captions each; kind ``captions``, splits ``train`` and ``val``.

    There are two layouts: the official ``annotations/captions_train2017.json`` and ``train2017/`` (also val, and 2014),
    or Flickr8k's ``Images/`` and ``captions.txt``, which become the split ``train``.
    """

    metadata = DatasetMetadata(
        kind="captions",
        title="COCO Captions",
        rows={"total": 123_287},
        licence="CC BY 4.0 for the captions; the photographs belong to their authors on Flickr",
        where="cocodataset.org/#download",
        citation=reference("chen2015microsoft"),
    )
    layout = (
        "captions.txt|captions_train2014.json|captions_train2017.json|captions_val2014.json|captions_val2017.json",
        "*.jpg|*.jpeg|*.png|*.webp",
    )

    def _annotations(self) -> dict[str, Path]:
        annotations: dict[str, Path] = {}
        for path in self.files.values():
            match = _ANNOTATIONS.fullmatch(path.name)
            if match and annotations.setdefault(match["split"].lower(), path) != path:
                raise DatasetError(f"{path} describes the same photographs as another file: remove one.")
        return annotations

    def splits(self) -> list[str]:
        return sorted(self._annotations()) or [self.default_split]

    def rows(self, split: str) -> Rows:
        path = self._annotations().get(split)
        if path is None:
            yield from super().rows(split)
            return
        folder = path.stem.rpartition("_")[2]  # captions_train2017.json describes the images in train2017/
        photographs = self.files.folder(folder) if self.files.has_folder(folder) else self.files
        yield from self.captioned(photographs, _pairs(path), path)


def _pairs(path: Path) -> list[tuple[str, str]]:
    content = read_json(path)
    with naming(path, DatasetError):
        names = {image["id"]: image["file_name"] for image in content["images"]}
        annotations = content["annotations"]
        return [(names[annotation["image_id"]], annotation["caption"]) for annotation in annotations]
