"""RAID (Daudén-Oliver et al. 2026): 24 photographs under rotation, translation, scaling and Gaussian noise."""

from collections.abc import Iterator

from hf_clipdyn.data.base import configs
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating
from hf_clipdyn.data.tables import integer_of, number_of, read_csv
from hf_clipdyn.errors import DatasetError, shown
from hf_clipdyn.references import reference

# By the prefix of the file names.
_NAME_OF = {"rot": "rotation", "trans": "translation", "scale": "scaling", "gn": "Gaussian noise"}
_LEVELS = range(1, 11)
# One JOD is a difference that 75 % of the answers see: the scale over its noise, in units of this normal quantile.
_JOD = 0.6744898
_SCALES = ("responses.csv", "raid_jod.csv")


class Raid(QualityBuilder):
    """24 photographs, four distortions, ten levels; level 1 is the original; split ``test``.

    Its configuration ``jod`` has the 864 images of levels 2 to 10 with their distance from the original in JOD. The
    table is that of the authors' repository (``responses.csv``), or the same values as ``raid_jod.csv``.
    """

    metadata = DatasetMetadata(
        kind="quality",
        title="RAID",
        rows={"jod/test": 864},
        licence="CC BY 4.0",
        licence_id="cc-by-4.0",
        may_redistribute=True,
        where="huggingface.co/datasets/paudauo/Affine_Transformation_Database (images) and "
        "github.com/paudauo/BBDD_Affine_Transformations (answers)",
        citation=reference("daudenoliver2026raid"),
        caution="The number of the level alone correlates 0.865 with the published scale over all images: a "
        "correlation over all distortions says little more than that the distance grows with the level. Two halves of "
        "the people's answers give scales that correlate 0.860.",
    )
    layout = ("|".join(_SCALES),)
    BUILDER_CONFIGS = configs("jod")
    DEFAULT_CONFIG_NAME = "jod"
    higher_is_better = False

    def stimuli(self) -> tuple[FileIndex, FileIndex]:
        return self.files, self.files

    def ratings(self) -> Iterator[Rating]:
        path = self.files.file(*_SCALES).path
        for where, row in read_csv(path, []):
            row = {
                "reference": row.get("reference_file", ""),
                "distorted": row.get("distorted_file", ""),
            } | row
            value = row.get("percept_scale", row.get("response", ""))
            prefix, _, rest = row["distorted"].partition("_")
            stem, _, level = rest.rpartition(".")[0].rpartition("_level_")
            if prefix not in _NAME_OF or f"{stem}." not in row["reference"]:
                raise DatasetError(
                    f"{where}: {shown(row['distorted'])} is not a name like rot_img_01_level_02.png of "
                    f"{shown(row['reference'])}: use the official file."
                )
            number = integer_of(level, where)
            if number not in _LEVELS:
                raise DatasetError(f"{where}: the level {number} is outside 1 to 10: use the official file.")
            score = number_of(value, where) / _JOD
            if number > 1:
                yield Rating(
                    distorted=row["distorted"],
                    reference=row["reference"],
                    distortion=_NAME_OF[prefix],
                    level=number,
                    score=score,
                    where=where,
                )
