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
from hf_clipdyn.data.tables import read_csv
from hf_clipdyn.errors import DatasetError, naming, shown


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
_COLUMNS = ("subj", "object_response", "category", "condition", "imagename")


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


def stimulus_named(subset: str, name: str, condition: str | None = None) -> tuple[Stimulus, str]:
    """The stimulus that a file of that name shows, and its class."""
    fields = (name.rpartition(".")[0] or name).split("_")
    category = fields[4].lower() if len(fields) > 6 else ""
    identity = "_".join(fields[-2:]) if fields[-2:][0].startswith("n0") else fields[-1]
    official = _conditions(subset).get(_as_number(condition or fields[3])) if category else None
    if category not in CLASSES or official is None:
        raise DatasetError(
            f"{shown(name)} is not named like 0001_lp_dnn_0_knife_10_n03041632_8618.png, with one of the 16 classes "
            f"and a condition of {subset} ({', '.join(_conditions(subset).values())})."
        )
    return Stimulus(subset, official, identity.lower()), category


def read_answers(files: FileIndex) -> Iterator[Answer]:
    """All trials of people in files called ``<data set>_subject-01_session_1.csv``, those of networks left out."""
    seen: set[tuple[str, Stimulus]] = set()
    for path in files.values():
        match = _FILE.fullmatch(path.name)
        subset = subset_named(match["name"]) if match else None
        for row in read_csv(path, _COLUMNS) if match and subset else ():
            with naming(row.where, DatasetError):
                stimulus, _ = stimulus_named(subset or "", row["imagename"], row["condition"])
                response, category, observer = (
                    row["object_response"].lower(),
                    row["category"].lower(),
                    row["subj"],
                )
                if response not in (*CLASSES, "na") or category not in CLASSES:
                    raise DatasetError(
                        f"{shown(response)} or {shown(category)} is not one of the 16 classes."
                    )
                if (observer, stimulus) in seen:
                    raise DatasetError("this observer's answer to this image is there twice: remove a copy.")
                seen.add((observer, stimulus))
            yield Answer(stimulus, category, observer, response)
