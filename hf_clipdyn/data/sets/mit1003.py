"""MIT1003 (Judd et al. 2009): 1,003 photographs, 15 observers."""

from collections.abc import Iterator

import numpy as np

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.fixations import Fixation, FixationBuilder
from hf_clipdyn.data.gaze import detect_fixations
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import expecting, read_mat
from hf_clipdyn.errors import DatasetError


class Mit1003(FixationBuilder):
    """1,003 photographs, free viewing for three seconds; kind ``fixations``, split ``test``.

    Fixations are detected in the recordings ``DATA/<subject>/<image>.mat`` (`gaze`). They include each subject's first
    one, on the cross in the centre, which the authors drop. Without ``DATA`` there are only maps and no fixations.
    """

    metadata = DatasetMetadata(
        kind="fixations",
        title="MIT1003",
        rows={"test": 1003},
        licence="none stated",
        licence_id="unknown",
        where="people.csail.mit.edu/tjudd/WherePeopleLook (ALLSTIMULI.zip, DATA.zip, ALLFIXATIONMAPS.zip)",
        # As the authors blur their maps; their detection of fixations uses 34 (gaze.py).
        pixels_per_degree=35.0,
        drop_first=True,
        citation="""@inproceedings{judd2009learning,
  title = {Learning to predict where humans look},
  author = {Judd, Tilke and Ehinger, Krista and Durand, Fr{\\'e}do and Torralba, Antonio},
  booktitle = {IEEE International Conference on Computer Vision},
  pages = {2106--2113},
  year = {2009}
}""",
    )
    layout = ("ALLSTIMULI/", "ALLFIXATIONMAPS/|DATA/")
    recordings = "ALLFIXATIONMAPS or DATA"

    def rows(self, split: str) -> Rows:
        maps = self.files.folder_if_any("ALLFIXATIONMAPS")
        recordings = self._recordings()
        for image in self.files.folder("ALLSTIMULI").images():
            of_image = recordings.get(image.stem.lower(), [])
            fixations = [fixation for subject, file in of_image for fixation in _fixations(file, subject)]
            yield self.row(image, fixations if of_image else None, maps.image(f"{image.stem}_fixMap.jpg"))

    def _recordings(self) -> dict[str, list[tuple[str, SourceFile]]]:
        """Subjects and their recordings by image."""
        recordings: dict[str, list[tuple[str, SourceFile]]] = {}
        for file in self.files.folder_if_any("DATA").files:
            if file.suffix == ".mat" and len(file.parts) > 1:
                recordings.setdefault(file.stem.lower(), []).append((file.parts[-2], file))
        return recordings


def _fixations(file: SourceFile, subject: str) -> Iterator[Fixation]:
    """The recording is the only structure in the file; MATLAB truncates its name to 63 characters."""
    content = read_mat(file.path)
    structures = [value for value in content.values() if isinstance(value, np.ndarray) and value.dtype.names]
    with expecting("a recording with DATA.eyeData", file.path):
        (recording,) = structures
        samples = recording["DATA"].ravel()[0]["eyeData"].ravel()[0]
        gaze = np.asarray(samples, dtype=float)[:, :2]
    if gaze.shape[1] < 2:
        raise DatasetError(f"{file.path} contains positions without x and y: use the official file.")
    for x, y, duration in detect_fixations(gaze):
        yield x, y, duration, subject
