"""BAPPS (Zhang et al. 2018), the data of LPIPS: patches judged by two-alternative choice, and by same or different."""

import warnings
from functools import cached_property

from hf_clipdyn.data.base import DataBuilder, Rows, SubsetWarning, configs
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import finite, read_npy
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.references import reference

# By configuration: folder and column of the judgements, and columns of the images by their folders.
_COLUMNS = {
    "twoafc": ("judge", "judgement", {"ref": "reference", "p0": "image_0", "p1": "image_1"}),
    "jnd": ("same", "same", {"p0": "image_0", "p1": "image_1"}),
}
_SUBSETS = ("traditional", "cnn", "mix", "superres", "deblur", "color", "frameinterp")


class Bapps(DataBuilder):
    """Configurations ``twoafc`` (default; kind ``triplet``) and ``jnd`` (kind ``same_different``).

    The archive has the splits ``train`` and ``val``; the subsets of a split (``traditional``, ``cnn``,
    ``superres``, ``deblur``, ``color``, ``frameinterp``; ``mix`` in train) are in the column ``subset``.
    A judgement without its images is dropped.
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
        # The archive calls it 2afc; names of configurations start with a letter.
        files = self.files.folder(*(("2afc", "twoafc") if self.config.name == "twoafc" else ("jnd",)))
        return {name: files.folder(name) for name in ("train", "val") if files.has_folder(name)}

    def splits(self) -> list[str]:
        if not self._splits:
            raise DatasetError(f"{self.files.root} has neither train/ nor val/: unpack both.")
        return list(self._splits)

    def rows(self, split: str) -> Rows:
        files = self._splits[split]
        for subset in filter(files.has_folder, _SUBSETS):
            yield from self._judged(files.folder(subset), subset, split)

    def _judged(self, files: FileIndex, subset: str, split: str) -> Rows:
        judge, column, columns = _COLUMNS[self.config.name]
        places = [files.folder(name) for name in columns]
        judgements = [path for path in files.folder(judge).values() if path.suffix.lower() == ".npy"]
        absent = 0
        for path in judgements:
            images = [place.image(f"{path.stem}.png") for place in places]
            if None in images:
                absent += 1
                continue
            with naming(path, DatasetError):
                share = finite(read_npy(path).item())
                if not 0 <= share <= 1:
                    raise DatasetError(f"{share:g} is not between 0 and 1.")
            yield {**dict(zip(columns.values(), images, strict=True)), column: share, "subset": subset}
        # If the official number of rows is known, it shows what is missing.
        if absent and self.metadata.official_rows(self.config.name, split) is None:
            warnings.warn(
                f"{absent:,} of the {len(judgements):,} judgements of {files.root} have no images: left out.",
                SubsetWarning,
                stacklevel=2,
            )
