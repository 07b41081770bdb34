"""What kinds that compare pairs of images share: words, images and their distances, trials and their parts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import Common, Kind, KindSettings, S, decode
from hf_clipdyn.benchmarks.gallery import shares_below
from hf_clipdyn.benchmarks.pairs import pair_distances
from hf_clipdyn.benchmarks.pixel_baselines import cached_per_row, pixel_distance
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Term

DISTANCES = {
    "cosine": "cosine",
    "euclidean": "Euclidean",
    "normalised_euclidean": "normalised Euclidean",
}
"""Variants of a model's numbers, with their titles."""
PROBES = {"projection": "projection", "hidden": "hidden states"}
"""Where a model's distances are taken, with their titles; any other probe in the trials is a baseline."""
DROPPED_DIMENSIONS = Term(
    title="dropped dimensions",
    meaning="Dimensions without a scale in the normalised Euclidean distance, since they are equal in all "
    "pairs.",
)
DISTANCE_COLUMNS = {"probe": "str", "layer": "Int64", "distance": "str", "dropped_dimensions": "int64"}
"""Columns of the trials that name a distance, with their types."""


PLACE_OF_DISTANCE = "rank of the model's distance among all pairs"
"""What a value of `places_of_distances` is."""


class DistanceKind(Kind[S]):
    """Base of kinds that compare images at the projection and at every hidden state, and never ask with text."""

    needs_text = False
    reads_layers = True


class PairKind(DistanceKind[KindSettings]):
    """Base of kinds in which people compared images of a row: the first one with each of the others.

    Attributes:
        image_columns: columns of images.
        answer_columns: columns of people's answers.
        numbers: of the images in the rows that are shown, (n, columns); one number for one image, in any column.
        fingerprints: of the pixels of each column.
        answered: the answers of all rows.
        judged: the answers and ``item``, of the rows that are shown: those whose images can all be decoded.
    """

    image_columns: ClassVar[tuple[str, ...]]
    answer_columns: ClassVar[tuple[str, ...]]

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        del settings
        pixels = [decode(source.dataset, image_processor, common, name) for name in self.image_columns]
        broken = np.any([one.broken for one in pixels], axis=0)
        first, *others = (one.array for one in pixels)
        rows = np.flatnonzero(~broken)
        self.left_out = int(broken.sum())
        self.fingerprints = [one.fingerprint for one in pixels]
        # One list of pairs, so that the unit of the normalised distance is pooled over all of them.
        starts = len(broken) * np.arange(len(others))
        self._first = Stimuli(first, np.tile(rows, len(others)))
        self._others = Stimuli(Stacked(others), np.add.outer(starts, rows).ravel())
        keys = [*self._first.keys[: len(rows)], *self._others.keys]
        numbers = pd.factorize(np.array(keys, dtype=object))[0]
        self.numbers = numbers.reshape(len(pixels), len(rows)).T
        self._of_pixels = cached_per_row(
            "distances of pixels",
            self.fingerprints,
            rows,
            lambda row: tuple(pixel_distance(first[row], other[row]) for other in others),
            common,
        )
        self._show_progress = common.show_progress
        self.answered = source.dataset.select_columns(list(self.answer_columns)).to_pandas()
        self.judged = self.answered.iloc[rows].assign(item=rows)
        self.facts = source.incomplete(len(rows))

    def distances(self, readout: Readout, names: Sequence[str]) -> list[pd.DataFrame]:
        """Distances of the model and of the baseline ``pixels``, for `pair_trials`.

        Args:
            names: columns for the distance to each of the other images.
        """
        table = pair_distances(readout, self._first, self._others, show_progress=self._show_progress)
        n = len(self.judged)
        sides = [table[table["pair"] // n == at].reset_index(drop=True) for at in range(len(names))]
        model = sides[0].assign(**{name: side["value"] for name, side in zip(names, sides, strict=True)})
        pixels = pd.DataFrame(self._of_pixels, columns=list(names))
        return [model, pixels.assign(pair=np.arange(n), probe="pixels", distance="euclidean")]


class Stacked:
    """Memory maps of equal shape as one array of rows, without a copy."""

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, rows: Any) -> np.ndarray:
        if np.ndim(rows):
            return np.stack([self[row] for row in rows])
        part, row = divmod(int(rows), len(self._parts[0]))
        return np.asarray(self._parts[part][row])


def pair_trials(
    judged: pd.DataFrame, distances: Sequence[pd.DataFrame], columns: Mapping[str, str]
) -> pd.DataFrame:
    """What people answered for each item, beside each of its distances.

    Args:
        judged: one row per item, in the order of the items' numbers.
        distances: of the model (`pair_distances`) and of the baselines, with the items' numbers in ``pair``.
        columns: names and types of the result.
    """
    table = pd.concat(distances, ignore_index=True)
    items = judged.iloc[table["pair"]].reset_index(drop=True)
    trials = pd.concat([items, table.drop(columns="pair").fillna({"dropped_dimensions": 0})], axis=1)
    return trials[list(columns)].astype(dict(columns))


def places_of_distances(trials: pd.DataFrame) -> dict[str, pd.Series]:
    """Places (`shares_below`) of the distances at the projection, by item; by the title of the distance."""
    projected = trials[trials["probe"] == "projection"]
    return {
        DISTANCES.get(str(name), str(name)): shares_below(rows.set_index("item")["value"])
        for name, rows in projected.groupby("distance", sort=False)
    }


def by_place(trials: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Cut trials by what gave the distances: (columns of a number, rows)."""
    for (probe, distance), rows in trials.groupby(["probe", "distance"], sort=False):
        columns: dict[str, Any] = {"probe": str(probe), "variant": str(distance)}
        if probe not in PROBES:
            columns |= {"probe": "", "role": "baseline", "reference": str(probe)}
        layer: Any
        for layer, part in rows.groupby("layer", sort=False, dropna=False):
            yield columns | {"layer": None if pd.isna(layer) else int(layer)}, part


def by_subset(part: pd.DataFrame, whole: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Cut rows into (subset, rows): all of them, then each subset if the whole data set has several."""
    yield "", part
    if whole["subset"].nunique() > 1:
        for subset, inside in part.groupby("subset"):
            yield str(subset), inside


def dropped_dimensions(rows: pd.DataFrame, columns: Mapping[str, Any]) -> list[Number]:
    """How many dimensions have no unit: beside each normalised distance.

    Args:
        rows: trials of one place.
        columns: of the number, from `by_place`.
    """
    if columns["variant"] != "normalised_euclidean":
        return []
    value = float(rows["dropped_dimensions"].iloc[0])
    return [
        Number(metric="dropped_dimensions", value=value, n=len(rows), **{**columns, "role": "diagnostic"})
    ]
