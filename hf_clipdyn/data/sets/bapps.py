"""BAPPS (Zhang et al. 2018), the data of LPIPS: patches judged by two-alternative choice, and by same or different."""

import warnings
from functools import cached_property

from hf_clipdyn.data.base import DataBuilder, Rows, SubsetWarning, configs
from hf_clipdyn.data.files import FileIndex, SourceFile
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import number_of, read_npy
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

# By configuration: folder and column of the judgements, and columns of the images by their folders.
_COLUMNS = {
    "twoafc": ("judge", "judgement", {"ref": "reference", "p0": "image_0", "p1": "image_1"}),
    "jnd": ("same", "same", {"p0": "image_0", "p1": "image_1"}),
}
_SUBSETS = ("traditional", "cnn", "mix", "superres", "deblur", "color", "frameinterp")


class Bapps(DataBuilder):
    """Configurations ``twoafc`` (default; kind ``triplet``) and ``jnd`` (kind ``same_different``).

    Splits are those of the archive, ``train`` and ``val``; the subsets of a split (``traditional``, ``cnn``,
    ``superres``, ``deblur``, ``color``, ``frameinterp``; ``mix`` in train) are in the column ``subset``.
    A judgement without its images is dropped; one without its reference or with only one image is an error.
    """

    metadata = DatasetMetadata(
        kind="triplet",
        title="BAPPS",
        rows={"twoafc/val": 36_344, "jnd/val": 9_600},
        licence="BSD 2-clause for the code; none stated for the images",
        licence_id="unknown",
        where="github.com/richzhang/PerceptualSimilarity (scripts/download_dataset.sh)",
        citation=reference("zhang2018unreasonable"),
        config_kinds={"jnd": "same_different"},
    )
    layout = ("2afc/|twoafc/|jnd/",)
    BUILDER_CONFIGS = configs("twoafc", "jnd")
    DEFAULT_CONFIG_NAME = "twoafc"

    @cached_property
    def _splits(self) -> dict[str, FileIndex]:
        folder = self.config.name
        if folder == "twoafc" and self.files.has_folder("2afc"):
            folder = "2afc"  # the archive's name; names of configurations start with a letter
        files = self.files.folder(folder)
        return {name: files.folder(name) for name in ("train", "val") if files.has_folder(name)}

    def splits(self) -> list[str]:
        if not self._splits:
            raise DatasetError(
                f"{self.files.root} has neither train/ nor val/ for {self.config.name}: unpack both."
            )
        return list(self._splits)

    def rows(self, split: str) -> Rows:
        files = self._splits[split]
        for subset in (name for name in _SUBSETS if files.has_folder(name)):
            yield from self._judged(files.folder(subset), subset, split)

    def _judged(self, files: FileIndex, subset: str, split: str) -> Rows:
        judge, column, columns = _COLUMNS[self.config.name]
        places = [files.folder(name) for name in columns]
        kept = dropped = 0
        for file in files.folder(judge).files:
            if file.suffix != ".npy":
                continue
            images = [place.image(f"{file.stem}.png") for place in places]
            if images[-1] is None and images[-2] is None:
                dropped += 1
                continue
            for image, place in zip(images, places, strict=True):
                if image is None:
                    raise DatasetError(f"{place.root} has no image for {file.path}: unpack it too.")
            kept += 1
            paths = [self.image(image) for image in images if image is not None]
            yield {
                **dict(zip(columns.values(), paths, strict=True)),
                column: _proportion(file),
                "subset": subset,
            }
        if not kept:
            raise DatasetError(
                f"{files.root} has no {judge}/*.npy with existing images: unpack all its folders."
            )
        # If the official number of rows is known, it shows what is missing.
        if dropped and self.metadata.official_rows(self.config.name, split) is None:
            warnings.warn(
                f"{dropped:,} of the {kept + dropped:,} judgements of {files.root} have no images and are left out.",
                SubsetWarning,
                stacklevel=2,
            )


def _proportion(file: SourceFile) -> float:
    """A proportion of answers between 0 and 1, from an array of one number."""
    array = read_npy(file.path)
    if array.size != 1:
        raise DatasetError(
            f"{file.path} contains {array.size} numbers instead of one: use the official file."
        )
    proportion = number_of(array.ravel()[0], file.path)
    if not 0 <= proportion <= 1:
        raise DatasetError(
            f"{file.path} contains {proportion:g}, which is not between 0 and 1: use the official file."
        )
    return proportion
