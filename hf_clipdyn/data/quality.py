"""Base class of image quality data sets: distorted images, their references, and human scores."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.errors import DatasetError

__all__ = ["CODED_NAME", "QualityBuilder", "Rating"]

CODED_NAME = re.compile(r"(?P<reference>i\d+)_(?P<distortion>\d+)_(?P<level>\d+)\.\w+", re.IGNORECASE)
"""``I01_08_3.bmp``: reference, code of the distortion and level, as in TID and KADID-10k."""


@dataclass(frozen=True)
class Rating:
    """One entry of a score list.

    Attributes:
        distorted, reference: names of the images, relative to their folders.
        distortion: as the archive calls it.
        level: step of the distortion; None if the archive has no steps.
        score: on the scale and in the direction of the archive.
        where: file and line of the entry, for messages.
        score_std: standard deviation over the observers; NaN if it was not published.
    """

    distorted: str
    reference: str
    distortion: str
    level: int | None
    score: float
    where: str
    score_std: float = math.nan


class QualityBuilder(DataBuilder):
    """Rows from ratings.

    A rating without its distorted image is dropped; the count of rows then shows it. Errors are: a distorted image
    without its reference, two ratings of one image, a score outside the scale, and a list without any existing image.

    Attributes (of the class):
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

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        del split  # there is one
        distorted, references = self.stimuli()
        rated: dict[str, str] = {}
        source, kept = self.files.root, 0
        for rating in self.ratings():
            name = rating.distorted.lower()
            source = rating.where
            if name in rated:
                raise DatasetError(
                    f"{rating.where} rates {rating.distorted} again (first: {rated[name]}): remove one entry."
                )
            rated[name] = rating.where
            low, high = self.scale
            if not low <= rating.score <= high:
                raise DatasetError(
                    f"{rating.where}: the score {rating.score:g} is outside {low:g} to {high:g}: correct that entry."
                )
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
                "score": rating.score,
                "score_std": rating.score_std,
                "higher_is_better": self.higher_is_better,
            }
        if rated and not kept:
            raise DatasetError(
                f"None of the {len(rated):,} images in {source} exists in {distorted.root}: "
                "unpack the distorted images too."
            )
