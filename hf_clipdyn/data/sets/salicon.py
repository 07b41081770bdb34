"""SALICON (Jiang et al. 2015): photographs of COCO, with attention measured by mouse movements."""

import math
from collections.abc import Iterator

import numpy as np

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.files import FileIndex, SourceFile
from hf_clipdyn.data.fixations import Fixation, FixationBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import expecting, read_mat
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

_SPLITS = ("train", "val")


class Salicon(FixationBuilder):
    """10,000 training and 5,000 validation photographs of 640 x 480 pixels; kind ``fixations``.

    The test photographs have no human data and are left out. Subjects are numbered within each image, since the archive
    does not identify them across images. The authors inferred the fixations from mouse movements, without durations.
    The archive counts pixels from 1, the rows from 0.
    """

    metadata = DatasetMetadata(
        kind="fixations",
        title="SALICON",
        rows={"train": 10_000, "val": 5_000},
        licence="CC BY 4.0 for the annotations; the photographs belong to their authors on Flickr",
        where="salicon.net/challenge-2017, or Jasonzhangggg/salicon on the Hub",
        # The SALICON API blurs its maps with a sigma of 19 pixels; a mouse has no visual angle.
        pixels_per_degree=19.0,
        citation=reference("jiang2015salicon"),
    )
    layout = ("images/|*.jpg", "train/|val/", "*.mat|*.png")
    recordings = "fixations.zip"

    def splits(self) -> list[str]:
        splits = [split for split in _SPLITS if any(self._of_split(split, ".mat", ".png"))]
        if not splits:
            raise DatasetError(
                f"{self.files.root} has no fixations in train/ or val/: unpack fixations.zip too."
            )
        return splits

    def _of_split(self, split: str, *suffixes: str) -> Iterator[SourceFile]:
        return (
            file
            for file in self.files.files
            if file.suffix in suffixes and split in map(str.lower, file.parts[:-1])
        )

    def rows(self, split: str) -> Rows:
        recordings = {file.stem.lower(): file for file in self._of_split(split, ".mat")}
        maps = FileIndex(
            self.files.root, (SourceFile(f.path, (f.name,)) for f in self._of_split(split, ".png"))
        )
        for image in self._of_split(split, ".jpg", ".jpeg"):
            recording = recordings.get(image.stem.lower())
            yield self.row(image, _fixations(recording) if recording else None, maps.image(image.name))


def _fixations(file: SourceFile) -> list[Fixation]:
    gaze = read_mat(file.path, "gaze")["gaze"]
    fixations: list[Fixation] = []
    with expecting("structured like SALICON's", file.path):
        for number, subject in enumerate(gaze.ravel(), start=1):
            points = np.asarray(subject["fixations"], dtype=float).reshape(-1, 2)
            fixations.extend((float(x) - 1, float(y) - 1, math.nan, str(number)) for x, y in points)
    return fixations
