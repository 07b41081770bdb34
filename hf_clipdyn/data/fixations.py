"""Base class of eye-tracking data sets: photographs, and where observers looked."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.images import size_of
from hf_clipdyn.errors import DatasetError, naming

Fixation = tuple[float, float, float, str]
"""x and y in pixels from the top left corner, duration in milliseconds (NaN: unknown), subject ("": unknown)."""


class FixationBuilder(DataBuilder):
    """Rows from fixations, including those outside the image (glances at the frame).

    They are kept, since a subject's first fixation, which may be dropped, can lie outside; scoring ignores all others.
    """

    rows_version = 2

    def row(
        self,
        image: Path,
        fixations: Iterable[Fixation] | None,
        fixation_map: Path | None = None,
        image_id: str | None = None,
    ) -> dict[str, Any]:
        """One row; ``fixations`` is None if there is no recording.

        Raises:
            DatasetError: there is neither a recording nor a map, their sizes differ, or a file is broken.
        """
        with naming(image, DatasetError):
            if fixations is None and fixation_map is None:
                raise DatasetError("it has neither fixations nor a fixation map: unpack the recordings too.")
            width, height = size_of(image)
            if fixation_map is not None and size_of(fixation_map) != (width, height):
                raise DatasetError(f"it has another size than {fixation_map}.")
        return {
            "image": image,
            "image_id": image_id or image.stem,
            "width": width,
            "height": height,
            "fixations": [
                {"x": x, "y": y, "duration": duration, "subject": subject}
                for x, y, duration, subject in fixations or ()
                if math.isfinite(x) and math.isfinite(y)  # otherwise the eye was lost
            ],
            "fixation_map": fixation_map,
        }
