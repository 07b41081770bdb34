"""The 17 data sets of model-vs-human (Geirhos et al. 2021): degraded and abstracted images, with people's answers."""

import re
from collections import defaultdict
from pathlib import Path

from hf_clipdyn.data.base import DataBuilder, Rows
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
from hf_clipdyn.errors import DatasetError, naming
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
        caution="Lines on white and silhouettes are far from photographs: compare with the accuracy on ordinary "
        "photographs of the same classes.",
    )
    also_called = ("geirhos-controls",)
    companions = ("{}-trials",)
    layout = ("|".join(f"{name}/" for name in FOLDERS),)
    exact_rows = False  # most users have some of the 17, and a few have the three unpublished ones

    def rows(self, split: str) -> Rows:
        answers: dict[Stimulus, list[Answer]] = defaultdict(list)
        for answer in read_answers(self.files):
            answers[answer.stimulus].append(answer)
        for key, path in self.files.images().items():
            # The data set of the innermost folder that names one.
            subset = next(filter(None, map(subset_named, reversed(key.split("/")[:-1]))), None)
            if subset is None:
                continue
            with naming(path, DatasetError):
                stimulus, category = _shown_by(path, subset)
                if any(trial.category != category for trial in answers[stimulus]):
                    raise DatasetError(f"the human trials name another class than {category}.")
            yield {
                "image": path,
                "image_id": stimulus.image_id,
                "subset": subset,
                "condition": stimulus.condition,
                "category": category,
                # The object that edges, silhouette and cue conflicts share (`cat7` of `cat7-oven2`); else the image.
                "exemplar": stimulus.image_id.partition("-")[0] if subset in _DRAWN else stimulus.image_id,
                "human_responses": [
                    {"subject": trial.observer, "response": trial.response} for trial in answers[stimulus]
                ],
            }


def _shown_by(path: Path, subset: str) -> tuple[Stimulus, str]:
    """What a file shows, and its class: from its folder, or from its name."""
    folder, image_id = path.parent.name.lower(), path.stem.lower()
    if subset not in _BY_CLASS or folder.startswith("session"):
        return stimulus_named(subset, path.name)
    match = _EXEMPLAR.match(image_id)
    if folder not in CLASSES or (subset in _DRAWN and (match is None or match["category"] != folder)):
        raise DatasetError(f"it is not named like {subset}/cat/cat1.png, of one of the 16 classes.")
    return Stimulus(subset, "0", image_id), folder
