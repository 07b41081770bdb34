"""What kinds that compare pairs of images share: words, images and their distances, trials and their parts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from hf_clipdyn.benchmarks import places
from hf_clipdyn.benchmarks.gallery import shares_below
from hf_clipdyn.benchmarks.kind import Kind, S
from hf_clipdyn.benchmarks.places import DISTANCES as DISTANCES
from hf_clipdyn.benchmarks.places import PROBES as PROBES
from hf_clipdyn.results.row import Number

DROPPED_DIMENSIONS = places.DROPPED_DIMENSIONS[1]
DISTANCE_COLUMNS = {"probe": "str", "layer": "Int64", "distance": "str", "dropped_dimensions": "int64"}
"""Columns of the trials that name a distance, with their types."""


PLACE_OF_DISTANCE = "rank of the model's distance among all pairs"
"""What a value of `places_of_distances` is."""


class DistanceKind(Kind[S]):
    """Base of kinds that compare images at the projection and at every hidden state, and never ask with text."""

    needs_text = False
    reads_layers = True


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
