"""CSIQ (Larson and Chandler 2010): 30 photographs, six distortions, four or five levels."""

import warnings
from collections.abc import Iterator
from pathlib import Path

from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating
from hf_clipdyn.data.tables import Row
from hf_clipdyn.errors import DatasetError, naming
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

_COLUMNS = ("image", "dst_type", "dst_lev", "dmos")


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
        return self.files.folder("dst_imgs", "dst_imgs_all"), self.files.folder("src_imgs")

    def ratings(self) -> Iterator[Rating]:
        for row in _lines(self.files.file("csiq.DMOS.xlsx")):
            # A sheet contains the name 1600 as a number.
            image = str(row["image"]).strip().removesuffix(".0")
            level = row.integer("dst_lev")
            with naming(row.where, DatasetError):
                distortion = _ARCHIVE_NAMES[str(row["dst_type"]).strip().lower()]
            distorted, std = f"{image}.{distortion}.{level}.png", row.get("dmos_std")
            yield Rating(distorted, f"{image}.png", distortion, level, row["dmos"], std)


def _lines(path: Path) -> Iterator[Row]:
    """The rows of the first sheet that has a line with the names of the columns, below that line."""
    with naming(path, DatasetError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that are irrelevant here
        from openpyxl import load_workbook

        book = load_workbook(path, read_only=True, data_only=True)
        sheets = [list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets]
        book.close()
    for sheet in sheets:
        header: list[str] = []
        for number, cells in enumerate(sheet, start=1):
            row = Row(dict(zip(header, cells, strict=False)), f"{path}, row {number}")
            if header and any(row[name] is not None for name in _COLUMNS):
                yield row
            elif not header and {*_COLUMNS} <= {str(cell).strip().lower() for cell in cells}:
                header = [str(cell).strip().lower() for cell in cells]
        if header:
            return
    raise DatasetError(f"{path} has no sheet with the columns {', '.join(_COLUMNS)}: use the official file.")
