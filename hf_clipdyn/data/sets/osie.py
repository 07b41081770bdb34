"""OSIE (Xu et al. 2014): 700 photographs rich in objects, 15 observers."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.fixations import Fixation, FixationBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import read_mat
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.references import reference


class Osie(FixationBuilder):
    """700 photographs of 800 x 600 pixels, free viewing for three seconds; kind ``fixations``, split ``test``.

    Subjects are numbered "1" to "15" as in the file. There are no fixation maps.
    """

    metadata = DatasetMetadata(
        kind="fixations",
        title="OSIE",
        rows={"test": 700},
        licence="MIT",
        licence_id="mit",
        may_redistribute=True,
        where="github.com/NUS-VIP/predicting-human-gaze-beyond-pixels (data/)",
        pixels_per_degree=24.0,
        citation=reference("xu2014predicting"),
    )
    layout = ("stimuli/", "fixations.mat")

    def rows(self, split: str) -> Rows:
        path, stimuli = self.files.file("fixations.mat"), self.files.folder("stimuli")
        for entry in read_mat(path, "fixations")["fixations"]:
            with naming(path, DatasetError):
                image = stimuli.image(entry["img"])
                subjects = enumerate(entry["subjects"], start=1)
                fixations = [*chain(*(_fixations(subject, str(number)) for number, subject in subjects))]
            if image is not None:
                yield self.row(image, fixations)


def _fixations(subject: Any, number: str) -> Iterator[Fixation]:
    columns = [np.ravel(subject[name]).astype(float) for name in ("fix_x", "fix_y", "fix_duration")]
    for x, y, duration in zip(*columns, strict=True):
        yield float(x), float(y), float(duration), number
