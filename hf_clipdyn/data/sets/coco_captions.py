"""COCO Captions (Chen et al. 2015)."""

import re
from collections.abc import Iterator
from typing import Any

from hf_clipdyn.data.captioned import CaptionListBuilder
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import read_json
from hf_clipdyn.errors import DatasetError

__all__ = ["CocoCaptions"]

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
        may_redistribute=False,
        where="cocodataset.org/#download",
        citation="""@article{chen2015microsoft,
  title = {Microsoft {COCO} Captions: Data Collection and Evaluation Server},
  author = {Chen, Xinlei and Fang, Hao and Lin, Tsung-Yi and Vedantam, Ramakrishna and Gupta, Saurabh and
            Doll{\\'a}r, Piotr and Zitnick, C. Lawrence},
  journal = {arXiv preprint arXiv:1504.00325},
  year = {2015}
}""",
    )
    layout = (
        "|".join(
            [
                "captions.txt",
                *(f"captions_{split}{year}.json" for split in ("train", "val") for year in (2014, 2017)),
            ]
        ),
        "*.jpg|*.jpeg|*.png|*.webp",
    )

    def _annotations(self) -> dict[str, SourceFile]:
        found: dict[str, SourceFile] = {}
        for file in self.files.files:
            match = _ANNOTATIONS.fullmatch(file.name)
            if match is None:
                continue
            split = match["split"].lower()
            if split in found:
                raise DatasetError(
                    f"{file.path} and {found[split].path} describe the same photographs: remove one."
                )
            found[split] = file
        return found

    def splits(self) -> list[str]:
        return sorted(self._annotations()) or [self.default_split]

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        annotations = self._annotations().get(split)
        if annotations is None:
            yield from super().rows(split)
            return
        folder = annotations.stem.rpartition("_")[
            2
        ]  # captions_train2017.json describes the images in train2017/
        photographs = self.files.folder(folder) if self.files.has_folder(folder) else self.files
        yield from self.captioned(photographs, _pairs(annotations.path), annotations.path)


def _pairs(path: str) -> Iterator[tuple[str, str]]:
    content = read_json(path)
    try:
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        for annotation in content["annotations"]:
            yield names[annotation["image_id"]], str(annotation["caption"])
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} is not structured like COCO's captions ({error!r}): use the official file."
        ) from error
