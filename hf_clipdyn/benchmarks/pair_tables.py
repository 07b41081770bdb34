"""What kinds that compare pairs of images share: words, images and their distances, trials and their parts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

<<<<<<< HEAD
from hf_clipdyn.benchmarks import places
from hf_clipdyn.benchmarks.gallery import shares_below
from hf_clipdyn.benchmarks.kind import Kind, S
=======
>>>>>>> w49-pairs
from hf_clipdyn.benchmarks.places import DISTANCES as DISTANCES
from hf_clipdyn.benchmarks.places import PROBES as PROBES

DISTANCE_COLUMNS = {"probe": "str", "layer": "Int64", "distance": "str", "dropped_dimensions": "int64"}
"""Columns of the trials that name a distance, with their types."""


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


def by_place(trials: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Cut trials by what gave the distances: (columns of a number, rows)."""
    for (probe, distance), rows in trials.groupby(["probe", "distance"], sort=False):
        columns: dict[str, Any] = {"probe": str(probe), "variant": str(distance)}
        if probe not in PROBES:
            columns |= {"probe": "", "role": "baseline", "reference": str(probe)}
        layer: Any
        for layer, part in rows.groupby("layer", sort=False, dropna=False):
            yield columns | {"layer": None if pd.isna(layer) else int(layer)}, part
