"""OSIE (Xu et al. 2014): 700 photographs rich in objects, 15 observers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.fixations import Fixation, FixationBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import check_new, expecting, read_mat
from hf_clipdyn.errors import DatasetError
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
        path = self.files.file("fixations.mat").path
        stimuli = self.files.folder("stimuli")
        any_image = False
        seen: dict[str, str] = {}
        entries = read_mat(path, "fixations")["fixations"].ravel()
        for position, entry in enumerate(entries, start=1):
            with expecting("structured like OSIE's", path):
                name = str(np.squeeze(entry["img"][0, 0]))
                subjects = entry["subjects"][0, 0].ravel()
                fixations = [
                    fixation
                    for number, subject in enumerate(subjects, start=1)
                    for fixation in _of_subject(subject, str(number))
                ]
            check_new(seen, name, f"{path}, entry {position}")
            image = stimuli.image(name)
            if image is not None:
                any_image = True
                yield self.row(image, fixations)
        if not any_image:
            raise DatasetError(
                f"None of the photographs of {path} is in {stimuli.root}: unpack stimuli/ too."
            )


def _of_subject(subject: Any, number: str) -> Iterator[Fixation]:
    columns = [np.ravel(subject[0, 0][name]).astype(float) for name in ("fix_x", "fix_y", "fix_duration")]
    for x, y, duration in zip(*columns, strict=True):
        yield float(x), float(y), float(duration), number
