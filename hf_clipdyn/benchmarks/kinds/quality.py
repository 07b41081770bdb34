"""Image quality: does the distance of a distorted image to its reference order images as human observers do?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from hf_clipdyn.benchmarks.kind import Common, KindSettings, number, term, words
from hf_clipdyn.benchmarks.places import DISTANCES, DROPPED_DIMENSIONS, PROBES, ReferenceKind
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Overview, Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_JOINS = ("metric", "condition")
_LEVEL = "level"
_ZERO: dict[str, Any] = {"neutral": 0.0, "neutral_title": "none", "perception": "low"}


class QualitySettings(KindSettings):
    """What a user may choose for the image quality benchmarks."""

    preprocess: Literal["processor", "squash"] = "processor"
    """How images reach the model: processor (the model's own resizing and cropping) or squash (the whole image,
    resized)."""


class Quality(ReferenceKind[QualitySettings]):
    """Correlation of distances with opinion scores, for the projection and every hidden state.

    The condition of a number is the data set's own name for a distortion; it is empty for all distortions together. The
    projection and the baselines have SRCC, KRCC and PLCC, raw and after a logistic fit with four parameters, pooled
    and by distortion. Hidden states have only the pooled alignment (SRCC; larger is closer to observers). The baselines
    ``pixels`` are PSNR and SSIM of the pixels that the model sees. If the data set numbers the levels of its
    distortions, the level is another baseline, for the alignment only.

    Trials: item, reference_id, distortion, score, higher_is_better, probe (projection, hidden, or a baseline), layer,
    distance, dropped_dimensions, value.
    """

    name = "quality"
    settings = QualitySettings
    schemas = ("quality",)
    reads_layers = True
    judged = ("reference_id", "distortion", "score", "higher_is_better")
    score_version = 2
    terms = words(
        "Image quality",
        50,
        # All but the alignment and the fits are signed by the direction of the scores: neither end is better.
        term(
            "alignment",
            "alignment with human observers",
            "Spearman's rank correlation between distance and human judgement, over all pairs; larger is closer to "
            "human observers.",
            better="high",
            overview=Overview(rank=60),
            **_ZERO,
        ),
        term("srcc", "SRCC, signed", "Spearman's correlation between distance and score.", **_ZERO),
        term("krcc", "KRCC, signed", "Kendall's tau-b between distance and score.", **_ZERO),
        term("plcc", "PLCC, signed", "Pearson's correlation between distance and score.", **_ZERO),
        term(
            "plcc_logistic",
            "PLCC after a logistic fit",
            "Pearson's correlation between fitted distance and score.",
            better="high",
            **_ZERO,
        ),
        term(
            "rmse_logistic",
            "RMSE after a logistic fit",
            "In units of the score; smaller is closer to human observers.",
            better="low",
            perception="low",
        ),
        DROPPED_DIMENSIONS,
        variants=DISTANCES | {"psnr": "PSNR", "ssim": "SSIM"},
        probes=PROBES,
        references=(
            Reference(role="baseline", name="pixels", title="pixels", joins=_JOINS),
            Reference(role="baseline", name=_LEVEL, title="level of the distortion", joins=_JOINS),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: QualitySettings, common: Common
    ) -> None:
        import numpy as np

        from hf_clipdyn.benchmarks.pixel_baselines import cached_per_row, quality_baselines

        super().__init__(source, image_processor, settings, common)
        self.preprocess = settings.preprocess
        references, distorted = (column.array for column in self.pixels)
        values = cached_per_row(
            "PSNR and SSIM of the input",
            [column.fingerprint for column in self.pixels],
            np.arange(len(self.shown)),
            lambda at: quality_baselines(references[self.reference_of[at]], distorted[self.shown[at]]),
            common,
        )
        self._baselines = {("pixels", "psnr"): values[:, 0], ("pixels", "ssim"): values[:, 1]}
        levels = np.array(source.dataset["level"], np.float64)
        if not np.isnan(levels).any():
            self._baselines[_LEVEL, ""] = levels[self.shown]
        self._show_progress = common.show_progress

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Distance of every distorted image to its reference, at every place."""
        from hf_clipdyn.benchmarks.pairs import pair_distances
        from hf_clipdyn.benchmarks.places import beside_each_distance

        model = pair_distances(readout, *self.stimuli, show_progress=self._show_progress)
        return beside_each_distance(self.table[["item", *self.judged]], model, self._baselines)

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Correlations with what each reference contributes: pooled, and by distortion."""
        from hf_clipdyn.benchmarks.places import by_place, dropped_dimensions
        from hf_clipdyn.benchmarks.units import grouped
        from hf_clipdyn.metrics.iqa_correlation import iqa_correlation

        for place, rows in by_place(trials):
            is_brief = place["probe"] == "hidden" or place.get("reference") == _LEVEL
            parts = [("", rows), *(() if is_brief else rows.groupby("distortion"))]
            for condition, part in parts:
                codes, groups = grouped(part["reference_id"])
                higher = bool(part["higher_is_better"].iloc[0])
                how: dict[str, Any] = {
                    "groups": codes,
                    "higher_is_better": higher,
                    "only_alignment": is_brief,
                }
                found = iqa_correlation(part["value"], part["score"], logistic=None if is_brief else 4, **how)
                columns = {**place, "condition": str(condition), "n_clusters": part["reference_id"].nunique()}
                for metric, score in found.items():
                    yield number(metric, score, groups, **columns)
            yield from dropped_dimensions(rows, {**place, "condition": ""})
