"""Base class of image quality data sets: distorted images, their references, and human scores."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.tables import check_new, number_of
from hf_clipdyn.errors import DatasetError, shown

_CODED_NAME = re.compile(r"(?P<reference>i\d+)_(?P<distortion>\d+)_(?P<level>\d+)\.\w+", re.IGNORECASE)


@dataclass(frozen=True)
class Rating:
    """One entry of a score list.

    Attributes:
        distorted, reference: names of the images, relative to their folders.
        distortion: as the archive calls it.
        level: step of the distortion; None if the archive has no steps.
        score: on the scale and in the direction of the archive, as the list contains it.
        where: file and line of the entry, for messages.
        score_std: standard deviation over the observers; None or "" if it was not published.
    """

    distorted: str
    reference: str
    distortion: str
    level: int | None
    score: object
    where: str
    score_std: object = None


def parse_name(name: str, distortions: Sequence[str], where: str) -> tuple[str, str, int]:
    """Reference, distortion and level of an image that is named ``I01_08_3.bmp``, as in TID and KADID-10k."""
    match = _CODED_NAME.fullmatch(name)
    code = int(match["distortion"]) if match else 0
    if match is None or not 1 <= code <= len(distortions):
        raise DatasetError(
            f"{where}: {shown(name)} is not a name like I01_08_3.bmp with a distortion from 1 to {len(distortions)}: "
            "correct that line."
        )
    return match["reference"], distortions[code - 1], int(match["level"])


class QualityBuilder(DataBuilder):
    """Rows from ratings.

    A rating without its distorted image is dropped; the count of rows then shows it. Errors are: a distorted image
    without its reference, two ratings of one image, a score outside the scale, and a list without any existing image.

    Attributes:
        higher_is_better: the direction of the scores.
        scale: smallest and largest possible score.
    """

    higher_is_better: ClassVar[bool]
    scale: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    def ratings(self) -> Iterator[Rating]:
        """The score list."""
        raise NotImplementedError

    def stimuli(self) -> tuple[FileIndex, FileIndex]:
        """The distorted and the reference images."""
        raise NotImplementedError

    def rows(self, split: str) -> Rows:
        distorted, references = self.stimuli()
        rated: dict[str, str] = {}
        source, kept = self.files.root, 0
        low, high = self.scale
        for rating in self.ratings():
            source = rating.where
            check_new(rated, rating.distorted.lower(), source)
            score = number_of(rating.score, source)
            if not low <= score <= high:
                raise DatasetError(
                    f"{source}: the score {score:g} is outside {low:g} to {high:g}: correct that entry."
                )
            is_published = rating.score_std not in (None, "")
            score_std = number_of(rating.score_std, source) if is_published else math.nan
            image = distorted.image(rating.distorted)
            if image is None:
                continue
            reference = references.image(rating.reference)
            if reference is None:
                raise DatasetError(
                    f"{image.path} has no reference {rating.reference} under {references.root}: "
                    "unpack the reference images too."
                )
            kept += 1
            yield {
                "reference": self.image(reference),
                "distorted": self.image(image),
                "reference_id": reference.stem,
                "distortion": rating.distortion,
                "level": rating.level,
                "score": score,
                "score_std": score_std,
                "higher_is_better": self.higher_is_better,
            }
        if rated and not kept:
            raise DatasetError(
                f"None of the {len(rated):,} images in {source} exists in {distorted.root}: "
                "unpack the distorted images too."
            )
