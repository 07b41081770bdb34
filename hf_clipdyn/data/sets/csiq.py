"""CSIQ (Larson and Chandler 2010): 30 photographs, six distortions, four or five levels."""

from collections.abc import Iterator

from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating
from hf_clipdyn.data.tables import integer_of, read_xlsx
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

# Names of the distortions in the workbook, and those in folders and file names.
_ARCHIVE_NAMES = {
    "noise": "AWGN",
    "blur": "BLUR",
    "contrast": "contrast",
    "fnoise": "fnoise",
    "jpeg": "JPEG",
    "jpeg 2000": "jpeg2000",
}


class Csiq(QualityBuilder):
    """866 distorted images; DMOS from 0 to 1, **lower is better**; split ``test``.

    ``csiq.DMOS.xlsx`` is read with openpyxl (``pip install openpyxl``), from the first sheet with its columns.
    """

    metadata = DatasetMetadata(
        kind="quality",
        title="CSIQ",
        rows={"test": 866},
        licence="none stated",
        licence_id="unknown",
        where="s2.smu.edu/~eclarson/csiq.html (src_imgs.zip, dst_imgs.zip, csiq.DMOS.xlsx)",
        citation=reference("larson2010most"),
    )
    layout = ("src_imgs/", "dst_imgs/|dst_imgs_all/", "csiq.DMOS.xlsx")
    higher_is_better = False
    scale = (0.0, 1.0)

    def stimuli(self) -> tuple[FileIndex, FileIndex]:
        folder = "dst_imgs" if self.files.has_folder("dst_imgs") else "dst_imgs_all"
        return self.files.folder(folder), self.files.folder("src_imgs")

    def ratings(self) -> Iterator[Rating]:
        path = self.files.file("csiq.DMOS.xlsx").path
        for where, row in read_xlsx(path, ["image", "dst_type", "dst_lev", "dmos"]):
            distortion = _ARCHIVE_NAMES.get(str(row["dst_type"]).strip().lower())
            if distortion is None:
                raise DatasetError(
                    f"{where}: {row['dst_type']!r} is not a distortion of CSIQ: correct that entry."
                )
            # A sheet contains the name 1600 as a number.
            image = str(row["image"]).strip().removesuffix(".0")
            level = integer_of(row["dst_lev"], where)
            yield Rating(
                distorted=f"{image}.{distortion}.{level}.png",
                reference=f"{image}.png",
                distortion=distortion,
                level=level,
                score=row["dmos"],
                where=where,
                score_std=row.get("dmos_std"),
            )
