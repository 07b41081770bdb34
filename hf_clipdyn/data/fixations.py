"""Base class of eye-tracking data sets: photographs, and where observers looked."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.errors import DatasetError

__all__ = ["Fixation", "FixationBuilder", "points_of"]

Fixation = tuple[float, float, float, str]
"""x and y in pixels from the top left corner, duration in milliseconds (NaN: unknown), subject ("": unknown)."""


class FixationBuilder(DataBuilder):
    """Rows from fixations, including those outside the image (glances at the frame).

    They are kept, since a subject's first fixation, which may be dropped, can lie outside; scoring ignores all others.
    """

    rows_version = 2

    def row(
        self,
        image: SourceFile,
        fixations: Iterable[Fixation],
        fixation_map: SourceFile | None = None,
        image_id: str | None = None,
    ) -> dict[str, Any]:
        """One row.

        Raises:
            DatasetError: the sizes of map and image differ, or a file is broken.
        """
        width, height = self.size(image)
        if fixation_map is not None and self.size(fixation_map) != (width, height):
            raise DatasetError(
                f"{fixation_map.path} has {self.size(fixation_map)} pixels, but its photograph has "
                f"{(width, height)}: use the official files."
            )
        return {
            "image": self.image(image),
            "image_id": image_id or image.stem,
            "width": width,
            "height": height,
            "fixations": [
                {"x": x, "y": y, "duration": duration, "subject": subject}
                for x, y, duration, subject in fixations
                if math.isfinite(x) and math.isfinite(y)  # otherwise the eye was lost
            ],
            "fixation_map": None if fixation_map is None else self.image(fixation_map),
        }


def points_of(binary: NDArray[Any], where: str, size: tuple[int, int]) -> list[Fixation]:
    """Fixations from a map that is nonzero where somebody looked; order, duration and subject are unknown.

    Args:
        binary: shape (height, width).
        where: the file, for messages.
        size: width and height of the photograph.

    Raises:
        DatasetError: the map and the photograph differ in size.
    """
    if binary.ndim != 2 or binary.shape != (size[1], size[0]):
        raise DatasetError(
            f"{where} contains a map of the shape {binary.shape}, but its photograph has {size} pixels: "
            "use the official files."
        )
    ys, xs = np.nonzero(binary)
    return [(float(x), float(y), math.nan, "") for x, y in zip(xs, ys, strict=True)]
