"""Any folder of photographs, distorted in steps: for studies without human scores."""

import hashlib
import itertools
from dataclasses import dataclass

import datasets
import numpy as np

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.synthetic_distortions import distortion_ladder, load_photograph
from hf_clipdyn.errors import DatasetError


@dataclass
class PhotographsConfig(datasets.BuilderConfig):  # type: ignore[misc]  # datasets has no types
    """Settings: ``Photographs(data_dir=…, references=500)``.

    Attributes:
        references: number of photographs that are drawn and distorted, with 25 distorted images each. At least 50 are
            needed for bootstrap intervals.
        side: pixels to which longer shorter sides are reduced, so that levels mean the same on all photographs.
        seed: of the draw and the noise.
    """

    references: int = 50
    side: int = 224
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.references < 1 or self.side < 1:
            raise DatasetError(
                f"references is {self.references} and side is {self.side}: both must be at least 1."
            )


class Photographs(DataBuilder):
    """References are drawn from all images in a folder and below; kind ``distortion_ladder``, split ``test``.

    A seed draws 50 images, reduces their shorter sides to 224 pixels, and distorts each in five ways at five levels.
    Nobody judged them. For more images: ``Photographs(data_dir=…, references=500)``.

    The noise is seeded by a photograph's pixels, so it does not depend on the other files in the folder. The distorted
    images are made when the table is prepared: 50 large photographs take about 250 MB of cache. The photographs are
    real and only their distortions are drawn here, so the data set is not ``synthetic``.
    """

    BUILDER_CONFIG_CLASS = PhotographsConfig

    metadata = DatasetMetadata(
        kind="distortion_ladder",
        title="A folder of photographs, distorted synthetically",
        licence="depends on the folder",
        licence_id="unknown",
        where="your own disk: images, in sub-folders or not",
    )
    layout = ("*.jpg|*.jpeg|*.png|*.bmp|*.webp|*.tif|*.tiff",)

    def rows(self, split: str) -> Rows:
        files = list(self.files.images())
        folders = zip(*(file.parts[:-1] for file in files), strict=False)
        # Folders that contain all photographs are not part of their names.
        nested = len(list(itertools.takewhile(lambda names: len(set(names)) == 1, folders)))
        order = np.random.default_rng(self.config.seed).permutation(len(files))
        for index in sorted(order[: self.config.references]):
            reference = load_photograph(files[index].path, self.config.side)
            own = int.from_bytes(hashlib.sha256(reference.tobytes()).digest()[:8], "big")
            rng = np.random.default_rng([self.config.seed, own])
            yield from distortion_ladder(reference, "/".join(files[index].parts[nested:]), rng)
