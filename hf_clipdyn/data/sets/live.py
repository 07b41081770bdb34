"""LIVE, release 2 (Sheikh et al. 2006): 29 photographs, five distortions."""

from collections.abc import Iterator

import numpy as np

from hf_clipdyn.data.base import configs
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating
from hf_clipdyn.data.tables import number_of, read_mat
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
        return self.files.beside(self.files.file("refnames_all.mat")), self.files.folder("refimgs")

    def ratings(self) -> Iterator[Rating]:
        realigned = self.config.name == "realigned"
        path = self.files.file("dmos_realigned.mat" if realigned else "dmos.mat").path
        variable = "dmos_new" if realigned else "dmos"
        scores = read_mat(path, variable, "orgs")
        values, originals = np.ravel(scores[variable]), np.ravel(scores["orgs"])
        deviations = np.ravel(scores.get("dmos_std", []))
        if len(deviations) != _IMAGES:
            deviations = np.full(_IMAGES, np.nan)
        names_path = self.files.file("refnames_all.mat").path
        names = read_mat(names_path, "refnames_all")["refnames_all"].ravel()
        for source, column in ((path, values), (path, originals), (names_path, names)):
            if len(column) != _IMAGES:
                raise DatasetError(
                    f"{source} has {len(column)} entries instead of {_IMAGES}: use the official file."
                )
        images = ((folder, n) for folder, count in _FOLDERS.items() for n in range(1, count + 1))
        for index, (folder, number) in enumerate(images):
            where = f"{path}, entry {index + 1} ({folder}/img{number}.bmp)"
            if number_of(originals[index], where):
                continue
            yield Rating(
                distorted=f"{folder}/img{number}.bmp",
                reference=str(np.squeeze(names[index])),
                distortion=folder,
                level=None,
                score=values[index],
                where=where,
                score_std=None if np.isnan(deviations[index]) else deviations[index],
            )
