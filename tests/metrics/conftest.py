"""Human trials on the cue-conflict images, and what several tests of the metrics ask."""

import csv
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from hf_clipdyn.metrics.scores import Scores

sys.path.insert(0, str(Path(__file__).parent))  # tests/metrics/recipes.py

# The same examples in every run, and no time limit for one of them: the machines are shared.
settings.register_profile("metrics", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("metrics")

# 0001_s5n_s01_0_bird_00_bird3-bird2.png: a prefix of six parts, then the name of the image.
PREFIX = re.compile(r"^\d+_[^_]+_[^_]+_[^_]+_[^_]+_[^_]+_")


@dataclass(frozen=True)
class Trials:
    """Decisions of one or more people, a row each."""

    observers: np.ndarray
    predictions: np.ndarray
    images: np.ndarray
    shape_exemplars: np.ndarray
    texture_exemplars: np.ndarray

    @property
    def shapes(self) -> np.ndarray:
        return np.array([name.rstrip("0123456789") for name in self.shape_exemplars])

    @property
    def textures(self) -> np.ndarray:
        return np.array([name.rstrip("0123456789") for name in self.texture_exemplars])

    def of(self, observer: int) -> "Trials":
        """The trials of one person, sorted by image."""
        rows = np.flatnonzero(self.observers == observer)
        rows = rows[np.argsort(self.images[rows])]
        return Trials(*(getattr(self, name)[rows] for name in Trials.__dataclass_fields__))


@pytest.fixture(scope="session")
def human_trials(real_data: Callable[[str], Path]) -> Trials:
    """All trials of the ten people on all 1,280 images."""
    rows = []
    for path in sorted(real_data("cue-conflict-human-trials").glob("*.csv")):
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines):
                image = PREFIX.sub("", row["imagename"]).removesuffix(".png")
                observer = int(row["subj"].removeprefix("subject-"))
                rows.append((observer, row["object_response"], image, *image.split("-")))
    return Trials(*(np.array(column) for column in zip(*rows, strict=True)))


@pytest.fixture(scope="session")
def agree() -> Callable[[Scores | dict, Scores | dict], None]:
    """`agree(first, second)`: two results have the same keys and, up to rounding, the same values.

    The modules of `evaluate` warn of the causes that the functions return, and leave out the influences.
    """
    hidden = {"causes", "influences"}

    def check(*results: Scores | dict) -> None:
        first, second = (one.report() if isinstance(one, Scores) else one for one in results)
        assert first.keys() | hidden == second.keys() | hidden
        for key in first.keys() & second.keys():
            value = first[key]
            if isinstance(value, str | dict | None):
                assert value == second[key], key
            else:
                np.testing.assert_allclose(value, second[key], rtol=1e-9, atol=1e-9, err_msg=key)

    return check
