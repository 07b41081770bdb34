"""Perceptual similarity: does the distance choose as people do, and does it see what they see?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import (
    Benchmark,
    Influence,
    Measurement,
    Settings,
    check_columns,
    decode,
    digest,
    measurement,
)
from hf_clipdyn.benchmarks.pairs import by_place, by_subset, dropped_dimensions, pair_distances, place_group
from hf_clipdyn.benchmarks.pixel_baselines import kept, pixel_distance
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.shared_images import image_clusters
from hf_clipdyn.metrics.two_afc import TWO_AFC_VALUES, two_afc, two_afc_rows
from hf_clipdyn.metrics.undefined import undefined_causes

__all__ = ["Similarity"]

_MANY_VOTES = 6
_IMAGES = ("reference", "image_0", "image_1")


class Similarity(Benchmark):
    """Two-alternative forced choice, per sub-set and pooled, with the human reference and the ceiling.

    Where rows rest on different numbers of votes, those with six or more (NIGHTS' benchmark) are a group too. The
    choice of the Euclidean distance between the pixels that the model sees stands beside it (probe ``pixels``).

    Trials: item, reference, image_0 and image_1 (numbers of the images shown, by their pixels; one number for one
    image, whatever its column), judgement (share that preferred image_1), votes, subset, incomplete, probe, layer,
    distance, value_0 and value_1 (of the reference to each candidate), dropped_dimensions.
    """

    kind: ClassVar[str] = "similarity"
    schemas = ("triplet",)
    suites: ClassVar = {
        "paper": ("nights",),
        "full": ("nights", "bapps", "material_similarity"),
    }
    needs_text: ClassVar[bool] = False
    reads_layers: ClassVar[bool] = True
    clusters = _IMAGES
    clusters_alike = True

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        self._show_progress = settings.show_progress
        facts = source.dataset.select_columns(["judgement", "votes", "subset"]).to_pandas()
        pixels = {name: decode(source.dataset, image_processor, settings, name) for name in _IMAGES}
        broken = np.any([one.broken for one in pixels.values()], axis=0)
        rows = np.flatnonzero(~broken)
        reference, *candidates = (one.array for one in pixels.values())
        # One list of pairs, so that the normaliser of the distance is pooled over both candidates.
        twice = np.concatenate([rows, rows])
        self._references = Stimuli(reference, twice)
        self._candidates = Stimuli(_Stacked(*candidates), np.concatenate([rows, rows + len(broken)]))
        n = len(rows)
        keys = (self._references.keys[:n], self._candidates.keys[:n], self._candidates.keys[n:])
        shown = pd.factorize(np.concatenate([np.array(one, dtype=object) for one in keys]))[0]
        self._facts = (
            facts.iloc[rows]
            .reset_index(drop=True)
            .assign(
                item=rows,
                **dict(zip(_IMAGES, shown.reshape(3, n), strict=True)),
                incomplete=source.incomplete(n),
            )
        )
        fingerprints = [one.fingerprint for one in pixels.values()]
        self._pixel_distances = kept(
            "distances of pixels",
            fingerprints,
            rows,
            lambda row: tuple(pixel_distance(reference[row], candidate[row]) for candidate in candidates),
            settings,
        )
        self.left_out = int(broken.sum())
        self.fingerprint = digest(self.kind, fingerprints, facts.to_dict("list"))

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distances of the reference to both candidates, at every place."""
        distances = pair_distances(
            readout, self._references, self._candidates, show_progress=self._show_progress
        )
        n = len(self._facts)
        first = distances[distances["pair"] < n].reset_index(drop=True)
        second = distances[distances["pair"] >= n].reset_index(drop=True)
        places = first[["probe", "layer", "distance", "dropped_dimensions"]].assign(
            value_0=first["value"], value_1=second["value"]
        )
        facts = self._facts.iloc[first["pair"]].reset_index(drop=True)
        model = pd.concat([facts, places], axis=1)
        values = dict(zip(("value_0", "value_1"), self._pixel_distances.T, strict=True))
        pixels = self._facts.assign(probe="pixels", distance="euclidean", dropped_dimensions=0, **values)
        trials: pd.DataFrame = pd.concat([model, pixels], ignore_index=True)
        return trials

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """2AFC of every place, pooled and per sub-set; the human rows once."""
        found = [_choice(number, settings) for number in _numbers(trials)]
        for place, distance, rows in by_place(trials):
            found += dropped_dimensions(rows, distance, place)
        return found

    @staticmethod
    def influences(trials: pd.DataFrame) -> Iterator[Influence]:
        """All numbers are means over the triplets."""
        for number in _numbers(trials):
            rows = number.rows
            scores = two_afc_rows(
                *(rows[name].to_numpy(np.float64) for name in ("value_0", "value_1", "judgement"))
            )[:, TWO_AFC_VALUES.index(number.key)]
            values = pd.Series((scores - scores.mean()) / len(scores), index=rows["item"])
            yield Influence(metric=number.metric, group=number.group, values=values, **number.place)


class _Stacked:
    """Two memory maps of equal shape as one array of rows, without a copy."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._parts = (first, second)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, rows: Any) -> np.ndarray:
        split = len(self._parts[0])
        if np.ndim(rows) == 0:
            return np.asarray(self._parts[int(rows) // split][int(rows) % split])
        return np.stack([self[row] for row in rows])


def _parts(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    certain = rows["votes"] >= _MANY_VOTES
    kinds = {"": rows}
    if 0 < certain.sum() < len(rows):
        kinds[f"votes>={_MANY_VOTES}"] = rows[certain]
    for group, part in kinds.items():
        for subset, inside in by_subset(part, rows):
            yield ",".join(filter(None, (group, subset))), inside


@dataclass(frozen=True)
class _Number:
    """One number: the key of `two_afc`'s result, its names in the table, and the trials behind it."""

    key: str
    metric: str
    group: str
    place: dict[str, Any]
    rows: pd.DataFrame


def _numbers(trials: pd.DataFrame) -> Iterator[_Number]:
    check_columns(Similarity.kind, trials, _IMAGES)
    for place, distance, rows in by_place(trials):
        for group, part in _parts(rows):
            group = place_group(rows, distance, group)
            yield _Number("two_afc", f"two_afc/{distance}", group, place, part)
    for group, part in _parts(trials.drop_duplicates("item")):
        for key in ("human", "ceiling"):
            yield _Number(key, key, group, {"probe": "human", "layer": None}, part)


def _choice(number: _Number, settings: Settings) -> Measurement:
    rows, key = number.rows, number.key
    images = rows[list(_IMAGES)].to_numpy(np.int64)
    with undefined_causes() as causes:
        result = two_afc(
            rows["value_0"], rows["value_1"], rows["judgement"], images=images, **settings.resampling
        )
    return measurement(
        result,
        key,
        causes,
        metric=number.metric,
        group=number.group,
        n_groups=image_clusters(images)[1],
        higher_is_better=True if key == "two_afc" else None,
        **number.place,
    )
