"""COCO Captions (Chen et al. 2015)."""

import re

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.captioned import CaptionListBuilder
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import expecting, read_json
from hf_clipdyn.errors import DatasetError
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

    def _annotations(self) -> dict[str, SourceFile]:
        annotations: dict[str, SourceFile] = {}
        for file in self.files.files:
            match = _ANNOTATIONS.fullmatch(file.name)
            if match is None:
                continue
            split = match["split"].lower()
            if split in annotations:
                raise DatasetError(
                    f"{file.path} and {annotations[split].path} describe the same photographs: remove one."
                )
            annotations[split] = file
        return annotations

    def splits(self) -> list[str]:
        return sorted(self._annotations()) or [self.default_split]

    def rows(self, split: str) -> Rows:
        annotations = self._annotations().get(split)
        if annotations is None:
            yield from super().rows(split)
            return
        # captions_train2017.json describes the images in train2017/
        folder = annotations.stem.rpartition("_")[2]
        photographs = self.files.folder(folder) if self.files.has_folder(folder) else self.files
        yield from self.captioned(photographs, _pairs(annotations.path), annotations.path)


def _pairs(path: str) -> list[tuple[str, str]]:
    content = read_json(path)
    with expecting("structured like COCO's captions", path):
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        annotations = content["annotations"]
        return [(names[annotation["image_id"]], str(annotation["caption"])) for annotation in annotations]
