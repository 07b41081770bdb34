"""Just-noticeable differences: is the distance small where human observers see no difference (Zhang et al. 2018)?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.kind import Common, KindSettings, digest, number, share, words
from hf_clipdyn.benchmarks.places import DISTANCES, DROPPED_DIMENSIONS, PROBES, PairKind
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_JOINS = ("metric", "subset")


class Jnd(PairKind):
    """Average precision of small distances for pairs that look the same, per subset and pooled.

    Chance is the mean share of "same" answers: the score of an uninformative distance. The baseline ``pixels`` is
    the Euclidean distance between the pixels that the model sees.

    Trials: item, cluster (a number, equal for pairs that are connected by shared images), same (share of "same"
    answers), subset, probe (projection, hidden, or the baseline), layer, distance, dropped_dimensions, value.
    """

    name = "jnd"
    schemas = ("same_different",)
    images = ("image_0", "image_1")
    clusters = ("cluster",)
    score_version = 2
    terms = words(
        "Just-noticeable differences",
        80,
        share(
            "jnd_map",
            "mAP of just-noticeable differences",
            "Average precision of small distances for pairs that human observers judged to be the same.",
            perception="low",
        ),
        DROPPED_DIMENSIONS,
        variants=DISTANCES,
        probes=PROBES,
        references=(
            Reference(role="chance", title="chance", joins=_JOINS),
            Reference(role="baseline", name="pixels", title="pixels", joins=_JOINS),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        from hf_clipdyn.metrics.shared_images import connected_rows

        super().__init__(source, image_processor, settings, common)
        self.table["cluster"] = connected_rows(self.numbers)
        judged = self.described[["same", "subset"]].to_dict("list")
        self.fingerprint = digest(self.name, *(column.fingerprint for column in self.pixels), judged)

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Distance of the two images of each pair, at every place."""
        return self.trials(readout, ["cluster", "same", "subset"])

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Average precision of every place, pooled and per subset."""
        from hf_clipdyn.benchmarks.places import by_place, by_subset, dropped_dimensions
        from hf_clipdyn.benchmarks.units import grouped
        from hf_clipdyn.metrics.jnd_map import jnd_map
        from hf_clipdyn.metrics.scores import mean

        for place, rows in by_place(trials):
            for subset, part in by_subset(rows):
                codes, groups = grouped(part["cluster"])
                found = jnd_map(part["value"], part["same"], groups=codes)["jnd_map"]
                n_clusters = part["cluster"].nunique()
                yield number("jnd_map", found, groups, **place, subset=subset, n_clusters=n_clusters)
            yield from dropped_dimensions(rows, place)
        for subset, part in by_subset(trials.drop_duplicates("item")):
            yield number("jnd_map", mean(part["same"]), role="chance", probe="", subset=subset)
