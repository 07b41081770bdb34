"""Image quality: does the distance of a distorted image to its reference order images as people do?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from hf_clipdyn.benchmarks.kind import Common, KindSettings, number, term, words
from hf_clipdyn.benchmarks.places import DISTANCES, DROPPED_DIMENSIONS, PROBES, DistortedKind
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Overview, Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_JOINS = ("metric", "condition")
_ZERO: dict[str, Any] = {"neutral": 0.0, "neutral_title": "none", "perception": "low"}
_FORMER = "full_resolution"  # a baseline in trials of 0.3


class QualitySettings(KindSettings):
    """What a user may choose for the image quality benchmarks."""

    preprocess: Literal["processor", "squash"] = "processor"
    """How images reach the model: processor (the model's own resizing and cropping) or squash (the whole image,
    resized)."""


class Quality(DistortedKind[QualitySettings]):
    """Correlation of distances with opinion scores, for the projection and every hidden state.

    The condition of a number is the data set's own name for a distortion; it is empty for all distortions together. The
    projection and the baseline have SRCC, KRCC and PLCC, raw and after a logistic fit with four parameters, pooled
    and by distortion. Hidden states have only the pooled alignment (SRCC; larger is closer to people). The baseline
    ``pixels`` is PSNR and SSIM of the pixels that the model sees. If the data set numbers the levels of its
    distortions, the level is a second baseline, for the alignment only.

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
            "alignment with people",
            "Spearman's rank correlation between distance and human judgement, over all "
            "pairs; larger is closer to people.",
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
            "In units of the score; smaller is closer to people.",
            better="low",
            perception="low",
        ),
        DROPPED_DIMENSIONS,
        variants=DISTANCES | {"psnr": "PSNR", "ssim": "SSIM"},
        probes=PROBES,
        references=(
            Reference(role="baseline", name="pixels", title="pixels", joins=_JOINS),
            Reference(role="baseline", name="level", title="level of the distortion", joins=_JOINS),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: QualitySettings, common: Common
    ) -> None:
        import numpy as np

        from hf_clipdyn.benchmarks.pixel_baselines import quality_baselines

        self.preprocess = settings.preprocess
        self._show_progress = common.show_progress
        super().__init__(source, image_processor, settings, common)
        self._of_pixels = self.of_pixels("PSNR and SSIM of the input", quality_baselines, common)
        self._levels = np.asarray(source.dataset["level"][:], np.float64)

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Distance of every distorted image to its reference, at every place."""
        import numpy as np

        from hf_clipdyn.benchmarks.pairs import pair_distances
        from hf_clipdyn.benchmarks.pixel_baselines import QUALITY_BASELINES
        from hf_clipdyn.benchmarks.places import of_baseline, with_judgements

        distances = [pair_distances(readout, *self.stimuli, show_progress=self._show_progress)]
        for name, values in zip(QUALITY_BASELINES, self._of_pixels.T, strict=True):
            distances.append(of_baseline("pixels", name, value=values))
        if not np.isnan(self._levels).any():
            distances.append(of_baseline("level", "", value=self._levels[self.shown]))
        return with_judgements(self.table[["item", *self.judged]], distances)

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Correlations with what each reference contributes: pooled, and by distortion."""
        from hf_clipdyn.benchmarks.places import by_place, dropped_dimensions

        for place, rows in by_place(trials[trials["probe"] != _FORMER]):
            alone = place["probe"] == "hidden" or place.get("reference") == "level"
            yield from _numbers(rows, alone, place | {"condition": ""})
            for condition, part in () if alone else rows.groupby("distortion"):
                yield from _numbers(part, alone, place | {"condition": str(condition)})
            yield from dropped_dimensions(rows, place | {"condition": ""})


def _numbers(rows: "pd.DataFrame", alone: bool, columns: dict[str, Any]) -> "Iterator[tuple[Number, Scale]]":
    """The alignment alone, or all correlations of these rows."""
    from hf_clipdyn.benchmarks.units import grouped
    from hf_clipdyn.metrics.iqa_correlation import iqa_correlation, spearman

    codes, groups = grouped(rows["reference_id"])
    higher_is_better = bool(rows["higher_is_better"].iloc[0])
    x, y = rows["value"], rows["score"]
    if alone:
        found = {"alignment": spearman(-x if higher_is_better else x, y, groups=codes)}
    else:
        found = iqa_correlation(x, y, groups=codes, higher_is_better=higher_is_better, logistic=4)
    for metric, score in found.items():
        yield number(metric, score, groups, n_clusters=rows["reference_id"].nunique(), **columns)
