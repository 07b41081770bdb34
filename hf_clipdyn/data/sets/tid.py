"""TID2008 and TID2013 (Ponomarenko et al. 2009, 2015): 25 photographs, distorted at several levels."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating, parse_name
from hf_clipdyn.data.tables import lines_of, read_text
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference


class TidBuilder(QualityBuilder):
    """``mos_with_names.txt`` (``5.51429 I01_01_1.bmp``), and ``mos_std.txt`` (optional) with one number per line.

    Attributes:
        distortions: names in the order of their codes, from 01.
    """

    layout = ("distorted_images/", "reference_images/", "mos_with_names.txt")
    higher_is_better = True
    scale = (0.0, 9.0)
    distortions: ClassVar[Sequence[str]]

    def stimuli(self) -> tuple[FileIndex, FileIndex]:
        return self.files.folder("distorted_images"), self.files.folder("reference_images")

    def ratings(self) -> Iterator[Rating]:
        path = self.files.file("mos_with_names.txt").path
        lines = [line.split() for line in lines_of(path) if line.strip()]
        deviations = self._deviations(len(lines))
        for number, cells in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            if len(cells) != 2:
                raise DatasetError(
                    f"{where} has no score and name (5.51429 I01_01_1.bmp): correct that line."
                )
            reference, distortion, level = parse_name(cells[1], self.distortions, where)
            yield Rating(
                distorted=cells[1],
                reference=f"{reference}.bmp",
                distortion=distortion,
                level=level,
                score=cells[0],
                where=where,
                score_std=deviations[number - 1],
            )

    def _deviations(self, expected: int) -> Sequence[str | None]:
        """Standard deviations in the order of the scores."""
        files = self.files.named("mos_std.txt")
        if not files:
            return [None] * expected
        path = files[0].path
        cells = read_text(path).split()
        if len(cells) != expected:
            raise DatasetError(
                f"{path} has {len(cells):,} numbers for {expected:,} scores: use the official file, or remove it."
            )
        return cells


class Tid2013(TidBuilder):
    """3,000 distorted images with their mean opinion scores, 0 to 9, higher is better; split ``test``.

    The archive is a ``.rar``: unpack it by hand. ``mos_std.txt`` is optional.
    """

    name = "tid2013"
    metadata = DatasetMetadata(
        kind="quality",
        title="TID2013",
        rows={"test": 3000},
        licence="research use; no licence for redistribution stated",
        where="www.ponomarenko.info/tid2013.htm",
        citation=reference("ponomarenko2015image"),
    )
    distortions = (
        "additive Gaussian noise",
        "additive noise in color components",
        "spatially correlated noise",
        "masked noise",
        "high frequency noise",
        "impulse noise",
        "quantization noise",
        "Gaussian blur",
        "image denoising",
        "JPEG compression",
        "JPEG2000 compression",
        "JPEG transmission errors",
        "JPEG2000 transmission errors",
        "non eccentricity pattern noise",
        "local block-wise distortions",
        "mean shift",
        "contrast change",
        "change of color saturation",
        "multiplicative Gaussian noise",
        "comfort noise",
        "lossy compression of noisy images",
        "color quantization with dither",
        "chromatic aberrations",
        "sparse sampling and reconstruction",
    )


class Tid2008(TidBuilder):
    """1,700 distorted images with their mean opinion scores, 0 to 9, higher is better; split ``test``.

    The archive is a ``.rar``: unpack it by hand. ``mos_std.txt`` is optional.
    """

    name = "tid2008"
    metadata = DatasetMetadata(
        kind="quality",
        title="TID2008",
        rows={"test": 1700},
        licence="research use; no licence for redistribution stated",
        where="www.ponomarenko.info/tid2008.htm",
        citation=reference("ponomarenko2009tid2008"),
    )
    distortions = Tid2013.distortions[:17]
