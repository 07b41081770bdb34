"""Low-level alignment on images distorted at ascending levels, without human scores.

The level is a synthetic order and SSIM a formula: both are proxies, neither is a human judgement.
"""

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import Common, Kind, KindSettings, cosine_distance, decode, digest, number
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView, Picture, shares_below
from hf_clipdyn.benchmarks.pair_tables import PLACE_OF_DISTANCE
from hf_clipdyn.benchmarks.pixel_baselines import column_ssim
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.benchmarks.units import grouped
from hf_clipdyn.metrics.iqa_correlation import correlation_influences, iqa_correlation
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Overview, Term

_PART = 256  # images that are read from the cache at a time
# Metric to column of the trials.
_JUDGED_BY = {"alignment_ssim": "dissimilarity", "alignment_severity": "level"}
_ALIGNMENT: dict[str, Any] = {"better": "high", "perception": "low", "neutral": 0.0, "neutral_title": "none"}


class Distortion(Kind[KindSettings]):
    """Rank correlation of the embedding distance with 1 - SSIM, and with the level of the distortion.

    Both are pooled over all distortions: within one type, even an untrained model orders the levels almost perfectly.
    SSIM is computed from the pixels that the model sees.

    Trials: item, reference_id, distortion, level, distance (cosine, to the reference), dissimilarity
    (1 - SSIM).
    """

    name = "distortion"
    schemas = ("distortion_ladder",)
    terms = KindTerms(
        title="Low-level alignment (proxies)",
        rank=60,
        proxy=True,
        terms={
            "alignment_ssim": Term(
                title="low-level alignment (proxy)",
                meaning="Spearman's rank correlation of the embedding distance with 1 - SSIM, over all "
                "pairs. A proxy: no human judged these images.",
                overview=Overview(rank=70),
                **_ALIGNMENT,
            ),
            "alignment_severity": Term(
                title="alignment with severity (proxy)",
                meaning="Spearman's rank correlation of the embedding distance with the level of the "
                "distortion, over all pairs. A proxy: no human judged these images.",
                **_ALIGNMENT,
            ),
        },
        variants={"cosine": "cosine"},
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "reference_id": "str",
        "distortion": "str",
        "level": "int64",
        "distance": "float64",
        "dissimilarity": "float64",
    }
    needs_text = False
    clusters = ("reference_id",)

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        pairs = source.dataset.select_columns(["reference_id", "distortion", "level"]).to_pandas()
        distorted = decode(source.dataset, image_processor, common, "distorted")
        # Many rows share a reference: only its first row is decoded.
        reference_rows = pd.factorize(pairs["reference_id"])[0]
        first = np.unique(reference_rows, return_index=True)[1]
        references = decode(source.dataset.select(first), image_processor, common, "reference")
        broken = distorted.broken | references.broken[reference_rows]
        rows = np.flatnonzero(~broken)
        self._references = Stimuli(references.array, reference_rows[rows])
        self._distorted = Stimuli(distorted.array, rows)
        parts = [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
        ssims = [column_ssim(references.array[reference_rows[part]], distorted.array[part]) for part in parts]
        judged = pairs.iloc[rows].assign(item=rows, distance=np.nan, dissimilarity=1 - np.concatenate(ssims))
        self._pairs = judged.reset_index(drop=True)[list(self.trial_columns)].astype(self.trial_columns)
        self.left_out = int(broken.sum())
        self.fingerprint = digest(
            self.name, references.fingerprint, distorted.fingerprint, pairs.to_dict("list")
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distance of every distorted image to its reference."""
        distances = cosine_distance(readout.images(self._references), readout.images(self._distorted))
        trials: pd.DataFrame = self._pairs.assign(distance=distances)
        return trials

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """Pairs with the place of the model's distance; nobody judged them."""
        shown = trials.set_index("item")
        return Gallery(
            pictures=(
                Picture(title="reference", column="reference"),
                Picture(title="distorted", column="distorted"),
            ),
            answer="value",
            answers={"cosine": shares_below(shown["distance"])},
            value_title=PLACE_OF_DISTANCE,
            groups=shown["distortion"] + ", level " + shown["level"].astype(str),
            group_title="distortion",
            check=shown[["reference_id", "distortion", "level"]],
        )

    views = (GalleryView(("item", "reference_id", "distortion", "level", "distance"), gallery),)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Both correlations, with intervals over the references."""
        numbers = []
        groups = pd.factorize(trials["reference_id"], sort=True)[0]
        merged, names = grouped(trials["reference_id"])
        how: dict[str, Any] = {
            "higher_is_better": False,
            "kendall": False,
        }  # Kendall's is not a number of this kind
        for metric, column in _JUDGED_BY.items():
            x, y = trials["distance"], trials[column]
            result = iqa_correlation(x, y, groups=groups, **how, **common.resampling)
            known = correlation_influences(x, y, merged, **how)
            columns = {
                "variant": "cosine",
                "condition": "",
                "n_clusters": result["n_groups"],
                "influence": pd.Series(known["alignment"], index=names) if known else None,
            }
            numbers.append(number(result, "alignment", metric=metric, **columns))
        return numbers
