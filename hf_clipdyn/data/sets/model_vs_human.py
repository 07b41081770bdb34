"""The 17 data sets of model-vs-human (Geirhos et al. 2021): degraded and abstracted images, with people's answers."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.files import FileIndex, SourceFile
from hf_clipdyn.data.human_trials import (
    CLASSES,
    FOLDERS,
    Answer,
    Stimulus,
    read_answers,
    stimulus_named,
    subset_named,
)
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import check_new
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

_BY_CLASS = ("edge", "silhouette", "cue-conflict", "original", "greyscale", "texture")
_DRAWN = ("edge", "silhouette", "cue-conflict", "original", "greyscale")
_EXEMPLAR = re.compile(r"(?P<category>[a-z]+)\d+")


class ModelVsHuman(DataBuilder):
    """18,080 images of 16 classes in 17 subsets; kind ``classification``, split ``test``.

    A folder with any of the official folders (``edge``, ``contrast``, …), each unpacked from its own archive; the
    column ``subset`` has the folder's name. There are two layouts:

    - ``<name>/<class>/<image>`` for edges, silhouettes and cue conflict; also for originals, greyscale images and
      textures, which were never published;
    - ``<name>/dnn/session-N/<file>`` for the others, with condition and class in the name of the file
      (`hf_clipdyn.data.human_trials`).

    Trials (``<name>_subject-01_session_1.csv``) are read from the folder, or from ``<folder>-trials`` beside it. They
    are joined on condition and image. The folders of github.com/rgeirhos/texture-vs-shape (``edges``,
    ``filled-silhouettes``) are read too.
    """

    metadata = DatasetMetadata(
        kind="classification",
        title="model-vs-human",
        rows={"test": 18080},
        licence="CC BY 4.0 (edge, silhouette, cue-conflict), MIT (sketch), ImageNet's terms (the others); none stated "
        "for the trials",
        where="the release v0.1 of github.com/bethgelab/model-vs-human, an archive for each data set; the trials are "
        "in raw-data/ of the repository",
        citation=reference("geirhos2021partial"),
        templates=("a photo of a {}.",),
        caution="Lines on white and silhouettes are far from photographs: read them beside the accuracy on ordinary "
        "photographs of the same classes.",
    )
    companion = "-trials"
    layout = ("|".join(f"{name}/" for name in FOLDERS),)
    distinctive = ("*_session_1.csv|*_session-1.csv", "*.png|*.jpg|*.jpeg")
    exact_rows = False  # most users have some of the 17, and a few have the three unpublished ones

    def rows(self, split: str) -> Rows:
        for file, row in classified(self.files):
            yield {"image": self.image(file), **row}


def classified(files: FileIndex) -> Iterator[tuple[SourceFile, dict[str, Any]]]:
    """The images among these files, each with the columns of the kind ``classification`` but ``image``."""
    answers: dict[Stimulus, list[Answer]] = defaultdict(list)
    for answer in read_answers(files):
        answers[answer.stimulus].append(answer)
    seen: dict[str, str] = {}
    for file in files.images():
        subset = _subset_of(file)
        if subset is None:
            continue
        stimulus, category = _shown_by(file, subset)
        check_new(seen, f"{subset}, condition {stimulus.condition}, image {stimulus.image_id}", file.path)
        _check_category(answers[stimulus], category, file.path)
        yield (
            file,
            {
                "image_id": stimulus.image_id,
                "subset": subset,
                "condition": stimulus.condition,
                "category": category,
                "exemplar": _exemplar(stimulus),
                "human_responses": [
                    {"subject": trial.observer, "response": trial.response} for trial in answers[stimulus]
                ],
            },
        )


def _subset_of(file: SourceFile) -> str | None:
    """The data set of the innermost folder that names one."""
    named = (subset_named(folder) for folder in reversed(file.parts[:-1]))
    return next((subset for subset in named if subset is not None), None)


def _shown_by(file: SourceFile, subset: str) -> tuple[Stimulus, str]:
    """What a file shows, and its class: from its folder, or from its name."""
    folder = file.parts[-2].lower()
    if subset not in _BY_CLASS or folder.startswith("session"):
        return stimulus_named(subset, file.name, file.path)
    if folder not in CLASSES:
        raise DatasetError(
            f"{file.path} is not in the folder of one of the 16 classes: move it, as to {subset}/cat/cat1.png."
        )
    image_id = file.stem.lower()
    match = _EXEMPLAR.match(image_id)
    if subset in _DRAWN and (match is None or match["category"] != folder):
        raise DatasetError(f"{file.path} is not named like an image of {folder!r}: move or rename it.")
    return Stimulus(subset, "0", image_id), folder


def _check_category(answers: list[Answer], category: str, path: str) -> None:
    for answer in answers:
        if answer.category != category:
            raise DatasetError(
                f"{answer.where}: the category is {answer.category!r}, but {path} shows {category!r}: correct either."
            )


def _exemplar(stimulus: Stimulus) -> str:
    """The object that edges, silhouette and cue conflicts share (``cat7`` of ``cat7-oven2``); else the image."""
    return stimulus.image_id.partition("-")[0] if stimulus.subset in _DRAWN else stimulus.image_id
