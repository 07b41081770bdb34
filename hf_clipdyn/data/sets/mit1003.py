"""MIT1003 (Judd et al. 2009): 1,003 photographs, 15 observers."""

import math
from pathlib import Path

import numpy as np

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.fixations import Fixation, FixationBuilder
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.references import reference


class Mit1003(FixationBuilder):
    """1,003 photographs, free viewing for three seconds; kind ``fixations``, split ``test``.

    ``ALLFIXATIONMAPS`` has a blurred map for each photograph (``_fixMap``) and one of its fixations (``_fixPts``),
    without the first of each subject and without order, durations and subjects. Without the latter there are no
    fixations.
    """

    metadata = DatasetMetadata(
        kind="fixations",
        title="MIT1003",
        rows={"test": 1003},
        licence="none stated",
        licence_id="unknown",
        where="people.csail.mit.edu/tjudd/WherePeopleLook (ALLSTIMULI.zip, ALLFIXATIONMAPS.zip)",
        # As the authors blur their maps.
        pixels_per_degree=35.0,
        drop_first=True,
        citation=reference("judd2009learning"),
    )
    layout = ("ALLSTIMULI/", "ALLFIXATIONMAPS/")
    rows_version = 3

    def rows(self, split: str) -> Rows:
        maps = self.files.folder("ALLFIXATIONMAPS")
        for image in self.files.folder("ALLSTIMULI").images().values():
            points = maps.image(f"{image.stem}_fixPts.jpg")
            fixations = None if points is None else _fixations(points)
            yield self.row(image, fixations, maps.image(f"{image.stem}_fixMap.jpg"))


def _fixations(points: Path) -> list[Fixation]:
    """Fixations from a picture that is white where somebody looked; as a JPEG, it is nearly black elsewhere."""
    with naming(points, DatasetError):
        white = np.asarray(decode_image(points).convert("L")) > 127
    return [(float(x), float(y), math.nan, "") for y, x in np.argwhere(white)]
