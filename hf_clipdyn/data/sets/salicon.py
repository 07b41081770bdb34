"""SALICON (Jiang et al. 2015): photographs of COCO, with attention measured by mouse movements."""

import math
from pathlib import Path

import numpy as np

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.fixations import Fixation, FixationBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import read_mat
from hf_clipdyn.errors import DatasetError, naming
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

    def splits(self) -> list[str]:
        splits = [split for split in _SPLITS if self._of_split(split, ".mat", ".png")]
        if not splits:
            raise DatasetError(
                f"{self.files.root} has no fixations in train/ or val/: unpack fixations.zip too."
            )
        return splits

    def _of_split(self, split: str, *suffixes: str) -> FileIndex:
        """The files in folders of that name, by their own names."""
        found = {
            path.name: path
            for key, path in self.files.items()
            if path.suffix.lower() in suffixes and split in key.lower().split("/")[:-1]
        }
        return FileIndex(self.files.root, found)

    def rows(self, split: str) -> Rows:
        recordings = {path.stem.lower(): path for path in self._of_split(split, ".mat").values()}
        maps = self._of_split(split, ".png")
        for image in self._of_split(split, ".jpg", ".jpeg").values():
            recording = recordings.get(image.stem.lower())
            yield self.row(image, _fixations(recording) if recording else None, maps.image(image.name))


def _fixations(path: Path) -> list[Fixation]:
    fixations: list[Fixation] = []
    with naming(path, DatasetError):
        gaze = np.ravel(read_mat(path, "gaze")["gaze"])
        for number, subject in enumerate(gaze, start=1):
            points = np.asarray(subject["fixations"], float).reshape(-1, 2)
            fixations += [(float(x) - 1, float(y) - 1, math.nan, str(number)) for x, y in points]
    return fixations
