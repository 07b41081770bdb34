"""CAT2000 (Borji and Itti 2015): 2,000 pictures in 20 categories, with the fixations of 24 observers each."""

import math

import numpy as np

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.fixations import Fixation, FixationBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import read_mat
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference


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
        where="saliency.mit.edu/results_cat2000.html (trainSet.zip)",
        # From memory, not verified: a 42-inch screen of 1,920 pixels at 106 cm.
        pixels_per_degree=38.0,
        citation=reference("borji2015cat2000"),
    )
    layout = ("Stimuli/", "FIXATIONLOCS/|FIXATIONMAPS/")
    default_split = "train"
    recordings = "FIXATIONLOCS or FIXATIONMAPS"

    def rows(self, split: str) -> Rows:
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
            fixations = None if points is None else _fixations(points, self.size(image))
            yield self.row(image, fixations, fixation_map, "/".join((*image.parts[-2:-1], image.stem)))


def _fixations(file: SourceFile, size: tuple[int, int]) -> list[Fixation]:
    """Fixations from a map that is nonzero where somebody looked."""
    binary = np.asarray(read_mat(file.path, "fixLocs")["fixLocs"])
    if binary.shape != size[::-1]:
        raise DatasetError(
            f"{file.path} contains a map of the shape {binary.shape}, but its photograph has {size} pixels: "
            "use the official files."
        )
    ys, xs = np.nonzero(binary)
    return [(float(x), float(y), math.nan, "") for x, y in zip(xs, ys, strict=True)]


def _key(parts: tuple[str, ...]) -> tuple[str, str]:
    """Category and number, in lower case."""
    return (parts[-2].lower() if len(parts) > 1 else "", parts[-1].rpartition(".")[0].lower())
