"""CAT2000 (Borji and Itti 2015): 2,000 pictures in 20 categories, with the fixations of 24 observers each."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.fixations import Fixation, FixationBuilder, points_of
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import read_mat
from hf_clipdyn.errors import DatasetError

__all__ = ["Cat2000"]


class Cat2000(FixationBuilder):
    """2,000 pictures of 1920 x 1080 pixels; kind ``fixations``, split ``train``, the only one with human data.

    ``FIXATIONLOCS`` contains one map of points for all observers: order, duration and subject are unknown. Numbers
    repeat in every category, so an ``image_id`` is ``Action/001``.
    """

    metadata = DatasetMetadata(
        kind="fixations",
        title="CAT2000",
        rows={"train": 2000},
        licence="none stated",
        licence_id="unknown",
        may_redistribute=False,
        where="saliency.mit.edu/results_cat2000.html (trainSet.zip)",
        # From memory, not verified: a 42-inch screen of 1,920 pixels at 106 cm.
        pixels_per_degree=38.0,
        citation="""@article{borji2015cat2000,
  title = {{CAT2000}: A Large Scale Fixation Dataset for Boosting Saliency Research},
  author = {Borji, Ali and Itti, Laurent},
  journal = {arXiv preprint arXiv:1505.03581},
  year = {2015}
}""",
    )
    layout = ("Stimuli/", "FIXATIONLOCS/|FIXATIONMAPS/")
    default_split = "train"

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        del split  # there is one
        files = self.files.folder("trainSet") if self.files.has_folder("trainSet") else self.files
        located = {
            _key(file.parts): file
            for file in files.folder_if_any("FIXATIONLOCS").files
            if file.suffix == ".mat"
        }
        maps = files.folder_if_any("FIXATIONMAPS")
        for image in files.folder("Stimuli").images():
            if "output" in map(str.lower, image.parts):
                continue  # the archive keeps blurred maps beside the stimuli
            points = located.get(_key(image.parts))
            fixation_map = maps.image("/".join(image.parts))
            if points is None and fixation_map is None:
                raise DatasetError(
                    f"{image.path} has no fixations in FIXATIONLOCS or FIXATIONMAPS: unpack them too."
                )
            fixations = _fixations(points, self.size(image)) if points else []
            yield self.row(image, fixations, fixation_map, "/".join((*image.parts[-2:-1], image.stem)))


def _fixations(file: SourceFile, size: tuple[int, int]) -> list[Fixation]:
    return points_of(np.asarray(read_mat(file.path, "fixLocs")["fixLocs"]), file.path, size)


def _key(parts: tuple[str, ...]) -> tuple[str, str]:
    """Category and number, in lower case."""
    return (parts[-2].lower() if len(parts) > 1 else "", parts[-1].rpartition(".")[0].lower())
