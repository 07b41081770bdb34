"""Base class of image quality data sets: distorted images, their references, and human scores."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.tables import finite
from hf_clipdyn.errors import DatasetError, naming, shown

_CODED_NAME = re.compile(r"(?P<reference>i\d+)_(?P<distortion>\d+)_(?P<level>\d+)\.\w+", re.IGNORECASE)


@dataclass(frozen=True)
class Rating:
    """One entry of a score list.

    Attributes:
        distorted, reference: names of the images, relative to their folders.
        distortion: as the archive calls it.
        level: step of the distortion; None if the archive has no steps.
        score: on the scale and in the direction of the archive, as the list contains it.
        score_std: standard deviation over the observers; None or "" if it was not published.
    """

    distorted: str
    reference: str
    distortion: str
    level: int | None
    score: Any
    score_std: Any = None


def names_in(text: str) -> tuple[str, ...]:
    """The names in a text, which commas separate."""
    return tuple(" ".join(text.split()).split(", "))


def parse_name(name: str, distortions: Sequence[str]) -> tuple[str, str, int]:
    """Reference, distortion and level of an image that is named ``I01_08_3.bmp``, as in TID and KADID-10k."""
    match = _CODED_NAME.fullmatch(name)
    code = int(match["distortion"]) if match else 0
    if match is None or not 1 <= code <= len(distortions):
        raise DatasetError(f"{shown(name)} is not like I01_08_3.bmp, of distortion 1 to {len(distortions)}.")
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
        rated: set[str] = set()
        low, high = self.scale
        for rating in self.ratings():
            with naming(f"the rating of {rating.distorted}", DatasetError):
                score = finite(rating.score)
                score_std = math.nan if rating.score_std in (None, "") else finite(rating.score_std)
                if rating.distorted.lower() in rated:
                    raise DatasetError("there are two.")
                rated.add(rating.distorted.lower())
                if not low <= score <= high:
                    raise DatasetError(f"the score {score:g} is outside {low:g} to {high:g}.")
                image, reference = distorted.image(rating.distorted), references.image(rating.reference)
                if image is not None and reference is None:
                    raise DatasetError(f"{references.root} has no reference {rating.reference}.")
            if image is None or reference is None:
                continue
            yield {
                "reference": reference,
                "distorted": image,
                "reference_id": reference.stem,
                "distortion": rating.distortion,
                "level": rating.level,
                "score": score,
                "score_std": score_std,
                "higher_is_better": self.higher_is_better,
            }
