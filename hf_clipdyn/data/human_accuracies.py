"""How often people are right in each condition of the 17 data sets of model-vs-human (Geirhos et al. 2021).

`human_accuracies.csv` names its source. On other photographs than theirs these numbers are a rough reference only.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["HumanAccuracy", "human_accuracies"]


@dataclass(frozen=True, kw_only=True)
class HumanAccuracy:
    """People in one condition of one data set.

    Attributes:
        dataset: official name, such as ``uniform-noise``.
        condition: as in the names of the files, such as ``0.10`` or ``c50``; ``0`` if the data set has only one.
        level: the condition as a number, in the units that `human_accuracies.csv` names (``inf`` for high-pass images
            that were not filtered); None if it is none.
        summary: whether the official summary counts the condition: something was degraded, and people reached .2.
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
    lines = Path(__file__).with_suffix(".csv").read_text(encoding="utf-8").splitlines()
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
