"""KADID-10k (Lin et al. 2019): 81 photographs, 25 distortions, five levels."""

from collections.abc import Iterator

from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating, names_in, parse_name
from hf_clipdyn.data.tables import read_csv
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.references import reference

_DISTORTIONS = names_in("""
Gaussian blur, lens blur, motion blur, color diffusion, color shift, color quantization, color saturation in
HSV, color saturation in Lab, JPEG2000, JPEG, white noise, white noise in color component, impulse noise,
multiplicative noise, denoise, brighten, darken, mean shift, jitter, non-eccentricity patch, pixelate,
quantization, color block, high sharpen, contrast change
""")


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
        images, references = ("images", "distorted_images"), ("images", "reference_images")
        return self.files.folder(*images), self.files.folder(*references)

    def ratings(self) -> Iterator[Rating]:
        for row in read_csv(self.files.file("dmos.csv"), ["dist_img", "ref_img", "dmos"]):
            with naming(row.where, DatasetError):
                reference, distortion, level = parse_name(row["dist_img"], _DISTORTIONS)
                if row["ref_img"].lower().rpartition(".")[0] != reference.lower():
                    raise DatasetError(f"{row['dist_img']} is not made from {row['ref_img']}.")
            yield Rating(row["dist_img"], row["ref_img"], distortion, level, row["dmos"], row.get("var"))
