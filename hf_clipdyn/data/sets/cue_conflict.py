"""Texture-shape cue conflict (Geirhos et al. 2019): the shape of one class in the texture of another."""

import re
from collections import defaultdict

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.human_trials import CLASSES, read_answers
from hf_clipdyn.data.metadata import DatasetMetadata
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
    companions = ("{}-human-trials", "model-vs-human-trials")
    layout = ("|".join(f"{name}/" for name in CLASSES),)

    def rows(self, split: str) -> Rows:
        answers: dict[str, list[dict[str, str]]] = defaultdict(list)
        for answer in read_answers(self.files):
            if answer.stimulus.subset == "cue-conflict":
                given = {"subject": answer.observer, "response": answer.response}
                answers[answer.stimulus.image_id].append(given)
        for path in self.files.images().values():
            match, folder, image_id = _NAME.fullmatch(path.stem), path.parent.name.lower(), path.stem.lower()
            shape, texture = (match["shape"].lower(), match["texture"].lower()) if match else ("", "")
            if folder in CLASSES and (folder != shape or texture not in CLASSES):
                expected = "<shape>/<shape>N-<texture>M.png, such as cat/cat1-oven2.png"
                raise DatasetError(f"{path} does not have the layout of cue conflicts, {expected}.")
            if match and shape in CLASSES and texture in CLASSES:
                yield {
                    "image": path,
                    "image_id": image_id,
                    "shape": shape,
                    "texture": texture,
                    "shape_exemplar": f"{shape}{match['m']}",
                    "texture_exemplar": f"{texture}{match['n']}",
                    "human_responses": answers.get(image_id, []),
                }
