"""Low-level alignment on images distorted at ascending levels, without human scores.

The level is a synthetic order and SSIM a formula: both are proxies, neither is a human judgement.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.kind import Common, KindSettings, number, term, words
from hf_clipdyn.benchmarks.places import ReferenceKind
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Overview

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_PART = 256  # images that are read from the cache at a time
_ALIGNMENT: dict[str, Any] = {"better": "high", "perception": "low", "neutral": 0.0, "neutral_title": "none"}
_JUDGED_BY = {"alignment_ssim": "dissimilarity", "alignment_severity": "level"}
"""Column of the trials for each metric."""


class Distortion(ReferenceKind[KindSettings]):
    """Rank correlation of the embedding distance with 1 - SSIM, and with the level of the distortion.

    Both are pooled over all distortions: within one type, even an untrained model orders the levels almost perfectly.
    SSIM is computed from the pixels that the model sees.

    Trials: item, reference_id, distortion, level, distance (cosine, to the reference), dissimilarity
    (1 - SSIM).
    """

    name = "distortion"
    schemas = ("distortion_ladder",)
    judged = ("reference_id", "distortion", "level")
    score_version = 2
    terms = words(
        "Low-level alignment (proxies)",
        60,
        term(
            "alignment_ssim",
            "low-level alignment (proxy)",
            "Spearman's rank correlation of the embedding distance with 1 - SSIM, over all pairs. A proxy: no human "
            "judged these images.",
            overview=Overview(rank=70),
            **_ALIGNMENT,
        ),
        term(
            "alignment_severity",
            "alignment with severity (proxy)",
            "Spearman's rank correlation of the embedding distance with the level of the distortion, over all pairs. "
            "A proxy: no human judged these images.",
            **_ALIGNMENT,
        ),
        proxy=True,
        variants={"cosine": "cosine"},
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        import numpy as np

        from hf_clipdyn.benchmarks.pixel_baselines import column_ssim

        super().__init__(source, image_processor, settings, common)
        self.facts = {}
        references, distorted = (column.array for column in self.pixels)
        parts = np.split(np.arange(len(self.shown)), range(_PART, len(self.shown), _PART))
        ssims = [column_ssim(references[self.reference_of[at]], distorted[self.shown[at]]) for at in parts]
        self.table["dissimilarity"] = 1 - np.concatenate(ssims)

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Distance of every distorted image to its reference."""
        from hf_clipdyn.benchmarks.vectors import cosine_distance

        distances = cosine_distance(*map(readout.images, self.stimuli))
        trials: pd.DataFrame = self.table.reset_index(drop=True).assign(distance=distances)
        return trials[["item", *self.judged, "distance", "dissimilarity"]]

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Both correlations, with what each reference contributes."""
        from hf_clipdyn.benchmarks.units import grouped
        from hf_clipdyn.metrics.iqa_correlation import iqa_correlation

        codes, groups = grouped(trials["reference_id"])
        columns = {"variant": "cosine", "condition": "", "n_clusters": trials["reference_id"].nunique()}
        for metric, column in _JUDGED_BY.items():
            how: dict[str, Any] = {"groups": codes, "higher_is_better": False, "only_alignment": True}
            found = iqa_correlation(trials["distance"], trials[column], **how)
            yield number(metric, found["alignment"], groups, **columns)
