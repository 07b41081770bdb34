"""LIVE, release 2 (Sheikh et al. 2006): 29 photographs, five distortions."""

from collections.abc import Iterator

import numpy as np

from hf_clipdyn.data.base import configs
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating
from hf_clipdyn.data.tables import read_mat
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

# The scores are one row of numbers: first for the first folder, img1.bmp to img227.bmp, and so on.
_FOLDERS = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}
_IMAGES = sum(_FOLDERS.values())


class Live(QualityBuilder):
    """779 distorted images; DMOS, **lower is better**; split ``test``.

    The 203 undistorted originals in the archive (``orgs == 1``) are left out. The configuration ``dmos`` (default)
    reads ``dmos.mat``, ``realigned`` the later ``dmos_realigned.mat`` with its standard deviations. The archive has no
    levels.
    """

    metadata = DatasetMetadata(
        kind="quality",
        title="LIVE",
        rows={"test": 779},
        licence="University of Texas: use, copying and distribution are free under its copyright notice",
        may_redistribute=True,
        where="live.ece.utexas.edu/research/quality/subjective.htm (release 2)",
        citation=reference("sheikh2006statistical"),
    )
    layout = (
        "refimgs/",
        *(f"{name}/" for name in _FOLDERS),
        "dmos.mat|dmos_realigned.mat",
        "refnames_all.mat",
    )
    BUILDER_CONFIGS = configs("dmos", "realigned")
    DEFAULT_CONFIG_NAME = "dmos"
    higher_is_better = False

    def stimuli(self) -> tuple[FileIndex, FileIndex]:
        return self.files.beside("refnames_all.mat"), self.files.folder("refimgs")

    def ratings(self) -> Iterator[Rating]:
        is_realigned = self.config.name == "realigned"
        file, variable = ("dmos_realigned.mat", "dmos_new") if is_realigned else ("dmos.mat", "dmos")
        path, names_path = self.files.file(file), self.files.file("refnames_all.mat")
        content = read_mat(path, variable, "orgs")
        names = read_mat(names_path, "refnames_all")["refnames_all"]
        columns = [np.ravel(column) for column in (content[variable], content["orgs"], names)]
        if {_IMAGES} != set(map(len, columns)):
            raise DatasetError(
                f"{path} and {names_path} need {_IMAGES} entries each: use the official files."
            )
        deviations = np.ravel(content.get("dmos_std", [])).tolist()
        if len(deviations) != _IMAGES:
            deviations = [None] * _IMAGES
        images = ((folder, number) for folder, count in _FOLDERS.items() for number in range(1, count + 1))
        for (folder, number), score, is_original, name, deviation in zip(
            images, *columns, deviations, strict=True
        ):
            if not is_original:
                deviation = None if deviation is None or np.isnan(deviation) else deviation
                yield Rating(f"{folder}/img{number}.bmp", str(name), folder, None, score, deviation)
