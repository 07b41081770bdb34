"""Just-noticeable differences: is the distance small where people see no difference (Zhang et al. 2018)?"""

from typing import Any, ClassVar

import pandas as pd

from hf_clipdyn.benchmarks.base import Common, KindSettings, digest, number
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView, Picture
from hf_clipdyn.benchmarks.influence import grouped
from hf_clipdyn.benchmarks.pair_tables import (
    DISTANCE_COLUMNS,
    DISTANCES,
    DROPPED_DIMENSIONS,
    PLACE_OF_DISTANCE,
    PROBES,
    PairKind,
    by_place,
    by_subset,
    dropped_dimensions,
    pair_trials,
    places_of_distances,
)
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.jnd_map import jnd_influence, jnd_map
from hf_clipdyn.metrics.shared_images import connected_rows
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_JOINS = ("metric", "subset")


class Jnd(PairKind):
    """Average precision of small distances for pairs that look the same, per subset and pooled.

    Chance is the mean share of "same" answers: the score of an uninformative distance. The baseline ``pixels`` is
    the Euclidean distance between the pixels that the model sees.

    Trials: item, cluster (a number, equal for pairs that are connected by shared images), same (share of "same"
    answers), subset, probe (projection, hidden, or the baseline), layer, distance, value, dropped_dimensions.
    """

    name = "jnd"
    schemas = ("same_different",)
    terms = KindTerms(
        title="Just-noticeable differences",
        rank=80,
        terms={
            "jnd_map": Term(
                title="mAP of just-noticeable differences",
                meaning="Average precision of small distances for pairs that people judged to be the same.",
                limits=(0.0, 1.0),
                better="high",
                perception="low",
            ),
            "dropped_dimensions": DROPPED_DIMENSIONS,
        },
        variants=DISTANCES,
        probes=PROBES,
        references=(
            Reference(role="chance", title="chance", joins=_JOINS),
            Reference(role="baseline", name="pixels", title="pixels", joins=_JOINS),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "cluster": "int64",
        "same": "float64",
        "subset": "str",
        **DISTANCE_COLUMNS,
        "value": "float64",
    }
    image_columns = ("image_0", "image_1")
    answer_columns = ("same", "subset")
    clusters = ("cluster",)

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self.judged["cluster"] = connected_rows(self.numbers)
        self.fingerprint = digest(self.name, *self.fingerprints, self.answered.to_dict("list"))

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distance of the two images of each pair, at every place."""
        return pair_trials(self.judged, self.distances(readout, ["value"]), self.trial_columns)

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """Pairs: how many people saw a difference, and the place of the model's distance among all pairs."""
        shown = trials.drop_duplicates("item").set_index("item")
        return Gallery(
            pictures=(Picture(title="one", column="image_0"), Picture(title="other", column="image_1")),
            answer="value",
            answers=places_of_distances(trials),
            value_title=PLACE_OF_DISTANCE,
            people=1 - shown["same"],
            people_title="share of people who saw a difference",
            groups=shown["subset"] if shown["subset"].nunique() > 1 else None,
            group_title="subset",
            check=shown[["same", "subset"]],
        )

    views = (GalleryView(("item", "same", "subset", "probe", "distance", "value"), gallery),)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Average precision of every place, pooled and per subset."""
        numbers: list[Number] = []
        for columns, rows in by_place(trials):
            for subset, part in by_subset(rows, rows):
                # An interval sorts all pairs a thousand times: hidden states have one only for all subsets together.
                without = columns["probe"] == "hidden" and subset != ""
                resampling = common.resampling | ({"n_resamples": 0} if without else {})
                n_clusters = part["cluster"].nunique()
                groups = part["cluster"] if n_clusters < len(part) else None
                result = jnd_map(part["value"], part["same"], groups=groups, **resampling)
                merged, names = grouped(part["cluster"])
                known = pd.Series(jnd_influence(part["value"], part["same"], merged), index=names)
                counted = columns | {"subset": subset, "n_clusters": n_clusters, "influence": known}
                numbers.append(number(result, "jnd_map", **counted))
            numbers += dropped_dimensions(rows, columns)
        items = trials.drop_duplicates("item")
        for subset, part in by_subset(items, items):
            share = float(part["same"].mean())
            numbers.append(
                Number(metric="jnd_map", role="chance", probe="", subset=subset, value=share, n=len(part))
            )
        return numbers
