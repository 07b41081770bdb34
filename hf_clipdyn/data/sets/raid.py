"""RAID (Daudén-Oliver et al. 2026): 24 photographs under rotation, translation, scaling and Gaussian noise."""

from collections.abc import Iterator

from hf_clipdyn.data.base import configs
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating
from hf_clipdyn.data.tables import read_csv
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.references import reference

# By the prefix of the file names.
_NAME_OF = {"rot": "rotation", "trans": "translation", "scale": "scaling", "gn": "Gaussian noise"}
# One JOD is a difference that 75 % of the answers see: the scale over its noise, in units of this normal quantile.
_JOD = 0.6744898
_SCALES = ("responses.csv", "raid_jod.csv")


class Raid(QualityBuilder):
    """24 photographs, four distortions, ten levels; level 1 is the original; split ``test``.

    Its configuration ``jod`` has the 864 images of levels 2 to 10 with their distance from the original in JOD. The
    table comes from the authors' repository (``responses.csv``), or has the same values as ``raid_jod.csv``.
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
        "correlation over all distortions shows little more than a distance that grows with the level. Two halves of "
        "the human observers' answers give scales that correlate 0.860.",
    )
    layout = ("|".join(_SCALES),)
    BUILDER_CONFIGS = configs("jod")
    DEFAULT_CONFIG_NAME = "jod"
    higher_is_better = False

    def stimuli(self) -> tuple[FileIndex, FileIndex]:
        return self.files, self.files

    def ratings(self) -> Iterator[Rating]:
        for row in read_csv(self.files.file(*_SCALES), []):
            with naming(row.where, DatasetError):
                reference = row.get("reference") or row["reference_file"]
                distorted = row.get("distorted") or row["distorted_file"]
                prefix, _, rest = distorted.partition("_")
                stem, _, level = rest.rpartition(".")[0].rpartition("_level_")
                if f"{stem}." not in reference or not 1 <= int(level) <= 10:
                    raise DatasetError(
                        f"{distorted} is not named like rot_img_01_level_02.png of {reference}."
                    )
                score = row.number("percept_scale" if "percept_scale" in row else "response") / _JOD
                distortion = _NAME_OF[prefix]
            if int(level) > 1:
                yield Rating(distorted, reference, distortion, int(level), score)
