"""The trials of kinds that compare pairs of images: put together, cut into the parts of one number each, in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Term

__all__ = [
    "DISTANCES",
    "DISTANCE_COLUMNS",
    "DROPPED_DIMENSIONS",
    "PROBES",
    "by_place",
    "by_subset",
    "dropped_dimensions",
    "pair_trials",
]

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
    meaning="Dimensions that have no unit in the normalised Euclidean distance, since no pair differs in them.",
)
DISTANCE_COLUMNS = {"probe": "str", "layer": "Int64", "distance": "str", "dropped_dimensions": "int64"}
"""Columns of the trials that name a distance, with their types."""


def pair_trials(
    judged: pd.DataFrame, distances: Sequence[pd.DataFrame], columns: Mapping[str, str]
) -> pd.DataFrame:
    """What people said of each item beside each of its distances.

    Args:
        judged: one row per item, in the order of the items' numbers.
        distances: of the model (`pair_distances`) and of the baselines, with the items' numbers in ``pair``.
        columns: names and types of the result.
    """
    table = pd.concat(distances, ignore_index=True)
    items = judged.iloc[table["pair"]].reset_index(drop=True)
    trials = pd.concat([items, table.drop(columns="pair").fillna({"dropped_dimensions": 0})], axis=1)
    return trials[list(columns)].astype(dict(columns))


def by_place(trials: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Cut trials by what gave the distances: (columns of a number, rows)."""
    for (probe, distance), rows in trials.groupby(["probe", "distance"], sort=False):
        columns: dict[str, Any] = {"probe": str(probe), "variant": str(distance)}
        if probe not in PROBES:
            columns |= {"probe": "", "role": "baseline", "reference": str(probe)}
        for layer in rows["layer"].unique():
            known = not pd.isna(layer)
            part = rows[rows["layer"] == layer] if known else rows[rows["layer"].isna()]
            yield columns | {"layer": int(layer) if known else None}, part


def by_subset(part: pd.DataFrame, whole: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Cut rows into (subset, rows): all of them, then each sub-set if the whole data set has several."""
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
