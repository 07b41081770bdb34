"""Texture-shape cue conflict (Geirhos et al. 2019): the shape of one class in the texture of another."""

import re
from collections import defaultdict
from typing import ClassVar

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.human_trials import CLASSES, read_answers
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import check_new
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

_NAME = re.compile(r"(?P<shape>[a-z]+)(?P<m>\d+)-(?P<texture>[a-z]+)(?P<n>\d+)", re.IGNORECASE)


class CueConflict(DataBuilder):
    """1,280 images, 16 shape classes x 80; kind ``cue_conflict``, split ``test``.

    The official folder is ``<shape>/<shape>N-<texture>M.png``; the 80 images whose texture and shape are of one
    class are included. The trials of the human observers (``cue-conflict_subject-01_session_1.csv``, model-vs-human's
    ``raw-data/cue-conflict``) are read from the folder, or from ``<folder>-human-trials`` or
    ``model-vs-human-trials`` beside it, if they exist.
    """

    metadata = DatasetMetadata(
        kind="cue_conflict",
        title="Texture-shape cue conflict",
        # Ten observers pooled: 9,236 shape and 398 texture decisions (Geirhos et al. 2019).
        human_reference={"shape_bias": 0.9587},
        rows={"test": 1280},
        licence="CC BY 4.0",
        licence_id="cc-by-4.0",
        may_redistribute=True,
        where="the release v0.1 of github.com/bethgelab/model-vs-human, cue-conflict.tar.gz",
        citation=reference("geirhos2019imagenettrained"),
        templates=("a photo of a {}.",),
    )
    companion = "-human-trials|/model-vs-human-trials"
    layout: ClassVar[tuple[str, ...]] = ("|".join(f"{name}/" for name in CLASSES),)

    def rows(self, split: str) -> Rows:
        yield from self.conflicts(self.files)

    def conflicts(self, files: FileIndex) -> Rows:
        """The rows of the images among these files, with the trials among all files."""
        answers = _human_answers(self.files)
        seen: dict[str, str] = {}
        for file in files.images():
            match = _NAME.fullmatch(file.stem)
            folder = file.parts[-2].lower() if len(file.parts) > 1 else ""
            if match is None:
                if folder in CLASSES:
                    raise self._misnamed(file.path)
                continue
            image_id = file.stem.lower()
            shape, texture = match["shape"].lower(), match["texture"].lower()
            strange = [name for name in (shape, texture) if name not in CLASSES]
            if strange:
                raise DatasetError(
                    f"{file.path}: {strange[0]!r} is not one of the 16 classes: rename the file."
                )
            if folder in CLASSES and folder != shape:
                raise DatasetError(
                    f"{file.path} shows the shape {shape!r} in the folder {folder!r}: move it."
                )
            check_new(seen, image_id, file.path)
            yield {
                "image": self.image(file),
                "image_id": image_id,
                "shape": shape,
                "texture": texture,
                "shape_exemplar": f"{shape}{match['m']}",
                "texture_exemplar": f"{texture}{match['n']}",
                "human_responses": answers.get(image_id, []),
            }

    def _misnamed(self, path: str) -> DatasetError:
        expected = "<shape>/<shape>N-<texture>M.png, such as cat/cat1-oven2.png"
        if not any(_NAME.fullmatch(file.stem) for file in self.files.images()):
            return DatasetError(
                f"{self.files.root} does not have the layout of the cue conflict images ({expected}): give the "
                f"folder from {self.metadata.where}."
            )
        return DatasetError(f"{path} is not named like a cue conflict image: rename it to {expected}.")


def _human_answers(files: FileIndex) -> dict[str, list[dict[str, str]]]:
    """The answers of the observers by image; ``na`` if there was none in time."""
    answers: dict[str, list[dict[str, str]]] = defaultdict(list)
    for answer in read_answers(files):
        if answer.stimulus.subset == "cue-conflict":
            answers[answer.stimulus.image_id].append(
                {"subject": answer.observer, "response": answer.response}
            )
    return answers
