"""Base class of eye-tracking data sets: photographs, and where observers looked."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.errors import DatasetError

Fixation = tuple[float, float, float, str]
"""x and y in pixels from the top left corner, duration in milliseconds (NaN: unknown), subject ("": unknown)."""


class FixationBuilder(DataBuilder):
    """Rows from fixations, including those outside the image (glances at the frame).

    They are kept, since a subject's first fixation, which may be dropped, can lie outside; scoring ignores all others.

    Attributes:
        recordings: what contains the fixations and the maps, for messages.
    """

    rows_version = 2
    recordings: ClassVar[str] = ""

    def row(
        self,
        image: SourceFile,
        fixations: Iterable[Fixation] | None,
        fixation_map: SourceFile | None = None,
        image_id: str | None = None,
    ) -> dict[str, Any]:
        """One row; ``fixations`` is None if there is no recording.

        Raises:
            DatasetError: there is neither a recording nor a map, their sizes differ, or a file is broken.
        """
        if fixations is None and fixation_map is None:
            raise DatasetError(
                f"{image.path} has neither fixations nor a fixation map: unpack {self.recordings} too."
            )
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
                for x, y, duration, subject in fixations or ()
                if math.isfinite(x) and math.isfinite(y)  # otherwise the eye was lost
            ],
            "fixation_map": None if fixation_map is None else self.image(fixation_map),
        }
