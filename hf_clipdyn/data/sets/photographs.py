"""Any folder of photographs, distorted step by step: what a study without human scores can be tried on."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.facts import DatasetFacts
from hf_clipdyn.data.synthetic_distortions import distortion_ladder, load_photograph
from hf_clipdyn.errors import DatasetError

__all__ = ["Photographs", "PhotographsConfig"]


@dataclass
class PhotographsConfig(datasets.BuilderConfig):  # type: ignore[misc]  # datasets has no types
    """What is made of a folder: ``Photographs(data_dir=…, references=500)``.

    Attributes:
        references: photographs that get ladders, drawn from all; 25 distorted images each. From 50 on
            intervals are those of the bootstrap.
        side: the shorter side in pixels to which larger ones are reduced, so that a level means the same on all.
        seed: of the draw and of the noise.
    """

    references: int = 50
    side: int = 224
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.references < 1 or self.side < 1:
            raise DatasetError(
                f"references is {self.references} and side is {self.side}: both must be 1 or more."
            )


class Photographs(DataBuilder):
    """Every image of a folder and of those below it may be a reference; kind ``distortion_ladder``, split ``test``.

    Of more than ``references`` photographs so many are drawn. The noise hangs on a photograph's pixels: it stays the
    same whatever else lies in the folder. The distorted images are made when the table is prepared, and the folder
    is not copied: 50 large photographs take some 250 MB of cache.
    """

    BUILDER_CONFIG_CLASS = PhotographsConfig

    facts = DatasetFacts(
        kind="distortion_ladder",
        title="A folder of photographs, distorted synthetically",
        rows={},
        licence="that of the folder",
        licence_id="unknown",
        may_redistribute=False,
        where="your own disk: images, in sub-folders or not",
        citation="",
    )
    layout = ("*.jpg|*.jpeg|*.png|*.bmp|*.webp|*.tif|*.tiff",)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        del split  # there is one
        files = list(self.files.images())
        folders = zip(*(file.parts[:-1] for file in files), strict=False)
        # One folder more around them all changes no name.
        nested = len(list(itertools.takewhile(lambda names: len(set(names)) == 1, folders)))
        order = np.random.default_rng(self.config.seed).permutation(len(files))
        for index in sorted(order[: self.config.references]):
            reference = load_photograph(files[index].path, self.config.side)
            own = int.from_bytes(hashlib.sha256(reference.tobytes()).digest()[:8], "big")
            rng = np.random.default_rng([self.config.seed, own])
            yield from distortion_ladder(reference, "/".join(files[index].parts[nested:]), rng)
