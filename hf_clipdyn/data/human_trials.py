"""People in model-vs-human (Geirhos et al. 2021): which of 16 classes an observer answered, and how often correctly.

`human_accuracies.csv` names the source of the accuracies in each condition. On other photographs than theirs these
numbers are a rough reference only.

Files and images are named alike in all of its data sets. A name has fields between underscores: running number,
abbreviation, ``dnn`` or the observer, condition, class, a number without meaning, image. Two fields name the image
if it is from ImageNet: ``0001_lp_dnn_0_knife_10_n03041632_8618.png``.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hf_clipdyn.data.files import FileIndex, plain
from hf_clipdyn.data.tables import check_new, read_csv
from hf_clipdyn.errors import DatasetError, shown


@dataclass(frozen=True, kw_only=True)
class HumanAccuracy:
    """People in one condition of one data set.

    Attributes:
        dataset: official name, such as ``uniform-noise``.
        condition: as in the names of the files, such as ``0.10`` or ``c50``; ``0`` if the data set has only one.
        level: the condition as a number, in the units that `human_accuracies.csv` names (``inf`` for high-pass images
            that were not filtered); None if it is none.
        summary: whether the official summary counts the condition: something was degraded, and people reached 0.2.
        observers: number of people.
        images: number of images; every observer saw all of them.
        accuracy: share of correct answers among 16 classes, mean over the observers, in [0, 1].
    """

    dataset: str
    condition: str
    level: float | None
    summary: bool
    observers: int
    images: int
    accuracy: float


@cache
def human_accuracies() -> tuple[HumanAccuracy, ...]:
    """All 78 conditions, those of one data set in the order of their strength."""
    lines = Path(__file__).with_name("human_accuracies.csv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return tuple(
        HumanAccuracy(
            dataset=row["dataset"],
            condition=row["condition"],
            level=float(row["level"]) if row["level"] else None,
            summary=row["summary"] == "yes",
            observers=int(row["observers"]),
            images=int(row["images"]),
            accuracy=float(row["accuracy"]),
        )
        for row in rows
    )


CLASSES = (
    *("airplane", "bear", "bicycle", "bird", "boat", "bottle", "car", "cat"),
    *("chair", "clock", "dog", "elephant", "keyboard", "knife", "oven", "truck"),
)
"""The 16 classes."""

_UNPUBLISHED = ("original", "greyscale", "texture")
_ALIASES = {  # names in github.com/rgeirhos/texture-vs-shape
    "edges": "edge",
    "filled-silhouettes": "silhouette",
    "silhouette-filled": "silhouette",
    "style-transfer-preprocessed-512": "cue-conflict",
    "grayscale": "greyscale",
}
FOLDERS: Mapping[str, str] = {
    **{accuracy.dataset: accuracy.dataset for accuracy in human_accuracies()},
    **{name: name for name in _UNPUBLISHED},
    **_ALIASES,
}
"""Data set by the names of its folder: 17 that are published, three that are not, and their older names."""

_SUBSETS = {plain(name): subset for name, subset in FOLDERS.items()}
_FILE = re.compile(
    r"(?P<name>.+?)(?:-experiment)?_(?P<observer>subject-\d+)_session[_-]\d+\.csv", re.IGNORECASE
)
_FEWEST_FIELDS = 7


@dataclass(frozen=True)
class Stimulus:
    """One image as an observer saw it; trials and files of one stimulus are equal in all of these.

    Attributes:
        subset: official name of its data set.
        condition: as in the official names of files.
        image_id: its last field, or its last two if the image is from ImageNet; in lower case, without the suffix.
    """

    subset: str
    condition: str
    image_id: str


@dataclass(frozen=True)
class Answer:
    """One trial; ``response`` is one of the classes, or ``na`` if there was none in time."""

    stimulus: Stimulus
    category: str
    observer: str
    response: str
    where: str


def subset_named(name: str) -> str | None:
    """The data set whose folder has this name, whatever its case; None if there is none."""
    return _SUBSETS.get(plain(name))


@cache
def _conditions(subset: str) -> Mapping[str, str]:
    """The official spelling of each condition of a data set."""
    known = [accuracy.condition for accuracy in human_accuracies() if accuracy.dataset == subset]
    return {_as_number(condition): condition for condition in known or ["0"]}


def _as_number(condition: str) -> str:
    """``0.90``, ``0.9`` and ``.9`` are one condition, and so are ``true`` and ``True``."""
    try:
        return repr(float(condition))
    except ValueError:
        return condition.lower()


def stimulus_named(subset: str, name: str, where: str, condition: str | None = None) -> tuple[Stimulus, str]:
    """The stimulus that a file of that name shows, and its class."""
    fields = (name.rpartition(".")[0] or name).split("_")
    if len(fields) < _FEWEST_FIELDS or not fields[0].isdigit():
        raise DatasetError(
            f"{where}: {shown(name)} is not named like an image of model-vs-human: rename it like "
            "0001_lp_dnn_0_knife_10_n03041632_8618.png."
        )
    category = fields[4].lower()
    check_class(category, where)
    identity = "_".join(fields[-2:]) if fields[-2].startswith("n0") else fields[-1]
    return Stimulus(
        subset, condition_named(subset, condition or fields[3], where), identity.lower()
    ), category


def check_class(name: str, where: str, *also: str) -> None:
    """Refuse a name that is none of the 16 classes, nor of the others that are allowed."""
    if name not in (*CLASSES, *also):
        raise DatasetError(f"{where}: {shown(name)} is not one of the 16 classes: correct that entry.")


def condition_named(subset: str, condition: str, where: str) -> str:
    """A condition in its official spelling."""
    known = _conditions(subset)
    official = known.get(_as_number(condition))
    if official is None:
        raise DatasetError(
            f"{where}: {shown(condition)} is not a condition of {subset}, which has {', '.join(known.values())}: "
            "correct that entry."
        )
    return official


def read_answers(files: FileIndex) -> Iterator[Answer]:
    """All trials of people in files called ``<data set>_subject-01_session_1.csv``, those of networks left out."""
    seen: dict[str, str] = {}
    for file in files.files:
        match = _FILE.fullmatch(file.name)
        subset = subset_named(match["name"]) if match else None
        if match is None or subset is None:
            continue
        columns = ["subj", "object_response", "category", "condition", "imagename"]
        for where, row in read_csv(file.path, columns):
            response, category = row["object_response"].lower(), row["category"].lower()
            if row["subj"].lower() != match["observer"].lower():
                raise DatasetError(
                    f"{where}: the observer is {shown(row['subj'])}, but the file belongs to {match['observer']}: "
                    "correct one of them."
                )
            check_class(response, where, "na")
            check_class(category, where)
            stimulus, _ = stimulus_named(subset, row["imagename"], where, row["condition"])
            again = f"{row['subj']} on {subset}, condition {stimulus.condition}, image {stimulus.image_id}"
            check_new(seen, again, where)
            yield Answer(stimulus, category, row["subj"], response, where)
