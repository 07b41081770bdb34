"""CAT2000 (Borji and Itti 2015): 2,000 pictures in 20 categories, with the fixations of 24 observers each."""

import math
from pathlib import Path

import numpy as np

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.fixations import Fixation, FixationBuilder
from hf_clipdyn.data.images import size_of
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

    def rows(self, split: str) -> Rows:
        files = self.files.folder("trainSet") if self.files.has_folder("trainSet") else self.files
        maps, points = files.folder_if_any("FIXATIONMAPS"), files.folder_if_any("FIXATIONLOCS")
        located = {_key(key): path for key, path in points.items() if path.suffix == ".mat"}
        for key, image in files.folder("Stimuli").images().items():
            if "output" in key.lower().split("/"):
                continue  # the archive keeps blurred maps beside the stimuli
            path, category = located.get(_key(key)), key.split("/")[-2:-1]
            fixations = None if path is None else _fixations(path, size_of(image))
            yield self.row(image, fixations, maps.image(key), "/".join([*category, image.stem]))


def _fixations(path: Path, size: tuple[int, int]) -> list[Fixation]:
    """Fixations from a map that is nonzero where somebody looked."""
    binary = np.asarray(read_mat(path, "fixLocs")["fixLocs"])
    if binary.shape != size[::-1]:
        raise DatasetError(f"{path} has a map of {binary.shape[::-1]} pixels, its photograph {size}.")
    ys, xs = np.nonzero(binary)
    return [(float(x), float(y), math.nan, "") for x, y in zip(xs, ys, strict=True)]


def _key(key: str) -> str:
    """Category and number, in lower case."""
    return "/".join(key.lower().rpartition(".")[0].split("/")[-2:])
