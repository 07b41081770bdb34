"""KADID-10k (Lin et al. 2019): 81 photographs, 25 distortions, five levels."""

from collections.abc import Iterator

from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating, parse_name
from hf_clipdyn.data.tables import read_csv
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

_DISTORTIONS = (
    "Gaussian blur",
    "lens blur",
    "motion blur",
    "color diffusion",
    "color shift",
    "color quantization",
    "color saturation in HSV",
    "color saturation in Lab",
    "JPEG2000",
    "JPEG",
    "white noise",
    "white noise in color component",
    "impulse noise",
    "multiplicative noise",
    "denoise",
    "brighten",
    "darken",
    "mean shift",
    "jitter",
    "non-eccentricity patch",
    "pixelate",
    "quantization",
    "color block",
    "high sharpen",
    "contrast change",
)


class Kadid10k(QualityBuilder):
    """10,125 distorted images; the column ``dmos`` runs from 1 to 5 and is **higher-is-better** despite its name.

    The column ``var`` is read as a standard deviation, despite its name: integer ratings with a mean of 4.57 have a
    standard deviation of at least 0.495, and the official file gives 0.496 (the smallest possible variance is 0.245).
    """

    metadata = DatasetMetadata(
        kind="quality",
        title="KADID-10k",
        rows={"test": 10_125},
        licence="Pixabay licence for the photographs; research use",
        where="database.mmsp-kn.de/kadid-10k-database.html",
        citation=reference("lin2019kadid"),
    )
    layout = ("images/|distorted_images/", "dmos.csv")
    higher_is_better = True
    scale = (1.0, 5.0)

    def stimuli(self) -> tuple[FileIndex, FileIndex]:
        if self.files.has_folder("images"):
            images = self.files.folder("images")
            return images, images
        return self.files.folder("distorted_images"), self.files.folder("reference_images")

    def ratings(self) -> Iterator[Rating]:
        path = self.files.file("dmos.csv").path
        for where, row in read_csv(path, ["dist_img", "ref_img", "dmos"]):
            reference, distortion, level = parse_name(row["dist_img"], _DISTORTIONS, where)
            if row["ref_img"].lower().rsplit(".", 1)[0] != reference.lower():
                raise DatasetError(
                    f"{where}: {row['dist_img']} is made from {reference}, not from {row['ref_img']}: "
                    "correct that line."
                )
            yield Rating(
                distorted=row["dist_img"],
                reference=row["ref_img"],
                distortion=distortion,
                level=level,
                score=row["dmos"],
                where=where,
                score_std=row.get("var"),
            )
