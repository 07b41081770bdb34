"""Perceptual similarity: does the distance choose as people do, and does it see what they see?"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import Common, KindSettings, digest, mean_by_item, number
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView, Picture
from hf_clipdyn.benchmarks.pair_tables import (
    DISTANCE_COLUMNS,
    DISTANCES,
    DROPPED_DIMENSIONS,
    PROBES,
    PairKind,
    by_place,
    by_subset,
    dropped_dimensions,
    pair_trials,
)
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.shared_images import image_clusters
from hf_clipdyn.metrics.two_afc import TWO_AFC_VALUES, two_afc, two_afc_rows
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Axis, KindTerms, Overview, Reference, Term

_MANY_VOTES = 6
_IMAGES = ("reference", "image_0", "image_1")
_VALUES = ("value_0", "value_1")
_JOINS = ("metric", "subset", "level")


class Similarity(PairKind):
    """Two-alternative forced choice, per subset and pooled, with the human reference and the ceiling.

    If the number of judgements varies, rows with six or more judgements (the benchmark of NIGHTS) also have their own
    score, with level 6. The baseline ``pixels`` is the choice of the Euclidean distance between the
    pixels that the model sees.

    Trials: item, reference, image_0 and image_1 (numbers of the images shown; images with equal pixels have one
    number, in any column), judgement (share that preferred image_1), votes, subset, probe (projection, hidden, or the
    baseline), layer, distance, value_0 and value_1 (of the reference to each candidate), dropped_dimensions.
    """

    name = "similarity"
    schemas = ("triplet",)
    terms = KindTerms(
        title="Perceptual similarity",
        rank=70,
        terms={
            "two_afc": Term(
                title="2AFC agreement",
                meaning="How often the model's closer candidate is the one that people chose, weighted by "
                "their votes.",
                limits=(0.0, 1.0),
                better="high",
                perception="middle",
                neutral=0.5,
                neutral_title="even",
                overview=Overview(rank=80),
            ),
            "dropped_dimensions": DROPPED_DIMENSIONS,
        },
        level=Axis(title="minimum number of judgements"),
        variants=DISTANCES,
        probes=PROBES,
        references=(
            Reference(role="human", name="observers", title="people", joins=_JOINS),
            Reference(role="ceiling", title="ceiling", joins=_JOINS),
            Reference(role="baseline", name="pixels", title="pixels", joins=_JOINS),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        **dict.fromkeys(_IMAGES, "int64"),
        "judgement": "float64",
        "votes": "Int64",
        "subset": "str",
        **DISTANCE_COLUMNS,
        **dict.fromkeys(_VALUES, "float64"),
    }
    image_columns = _IMAGES
    answer_columns = ("judgement", "votes", "subset")
    clusters = _IMAGES
    clusters_alike = True

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self.judged[list(_IMAGES)] = self.numbers
        self.fingerprint = digest(self.name, self.fingerprints, self.answered.to_dict("list"))

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distances of the reference to both candidates, at every place."""
        return pair_trials(self.judged, self.distances(readout, _VALUES), self.trial_columns)

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """A reference with two candidates: which one people chose, and which one is nearer at the projection."""
        shown = trials.drop_duplicates("item").set_index("item")
        judged = shown["judgement"]
        return Gallery(
            pictures=(
                Picture(title="reference", column="reference"),
                Picture(title="A", column="image_0"),
                Picture(title="B", column="image_1"),
            ),
            answer="picture",
            answers={
                DISTANCES.get(str(name), str(name)): _nearer(rows.set_index("item"))
                for name, rows in trials[trials["probe"] == "projection"].groupby("distance", sort=False)
            },
            people=(1 + (judged > 0.5)).where(judged != 0.5),
            people_share=judged.where(judged > 0.5, 1 - judged),
            groups=shown["subset"] if shown["subset"].nunique() > 1 else None,
            group_title="subset",
            check=shown[["judgement", "subset"]],
        )

    views = (GalleryView(("item", "judgement", "subset", "probe", "distance", *_VALUES), gallery),)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """2AFC of every place, pooled and per subset; people and the ceiling once."""
        numbers = []
        for key, columns, rows in _parts(trials):
            images = rows[list(_IMAGES)].to_numpy(np.int64)
            answers = [rows[name].to_numpy(np.float64) for name in (*_VALUES, "judgement")]
            result = two_afc(*answers, images=images, **common.resampling)
            scores = two_afc_rows(*answers)[:, TWO_AFC_VALUES.index(key)]
            counted = columns | {"n_clusters": image_clusters(images)[1]}
            counted["influence"] = mean_by_item(scores, rows["item"])
            numbers.append(number(result, key, metric="two_afc", **counted))
        for columns, rows in by_place(trials):
            numbers += dropped_dimensions(rows, columns)
        return numbers


def _nearer(rows: pd.DataFrame) -> pd.Series:
    """Position of the nearer candidate among the pictures; -1 for a tie."""
    first, second = rows["value_0"], rows["value_1"]
    return (1 + (second < first)).where(first != second, -1)


def _parts(trials: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any], pd.DataFrame]]:
    """For each number its key in the result of `two_afc`, its columns in the table, and its trials."""
    for columns, rows in by_place(trials):
        for selected, part in _selections(rows):
            yield "two_afc", columns | selected, part
    for selected, part in _selections(trials.drop_duplicates("item")):
        for key, reference in (("human", "observers"), ("ceiling", "")):
            yield key, {"probe": "", "role": key, "reference": reference, **selected}, part


def _selections(rows: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """All rows, and those with many votes if only some have; each of them whole and by subset."""
    certain = (rows["votes"] >= _MANY_VOTES).fillna(False).astype(bool)  # their number may be unknown
    levels: dict[float | None, pd.DataFrame] = {None: rows}
    if 0 < certain.sum() < len(rows):
        levels[float(_MANY_VOTES)] = rows[certain]
    for level, part in levels.items():
        for subset, inside in by_subset(part, rows):
            yield {"level": level, "subset": subset}, inside
