"""Image quality: does the distance of a distorted image to its reference order images as people do?"""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import Common, digest, number
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView, Picture, shares_below
from hf_clipdyn.benchmarks.input_views import InputViews, input_views
from hf_clipdyn.benchmarks.kind import KindSettings
from hf_clipdyn.benchmarks.pair_tables import (
    DISTANCE_COLUMNS,
    DISTANCES,
    DROPPED_DIMENSIONS,
    PLACE_OF_DISTANCE,
    PROBES,
    DistanceKind,
    by_place,
    dropped_dimensions,
    pair_trials,
    places_of_distances,
)
from hf_clipdyn.benchmarks.pairs import Ints, mean_per_item, pair_distances
from hf_clipdyn.benchmarks.pixel_baselines import (
    QUALITY_BASELINES,
    cached_per_row,
    full_resolution,
    quality_baselines,
)
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.benchmarks.units import grouped
from hf_clipdyn.data.pixels import fingerprint_of
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.metrics.iqa_correlation import correlation_influences, iqa_correlation
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Overview, Reference, Term

__all__ = ["Quality", "QualitySettings"]

_COLUMNS = ["reference_id", "distortion", "score", "higher_is_better"]
_JOINS = ("metric", "condition")
_LEVEL = "level"
_ZERO: dict[str, Any] = {"neutral": 0.0, "neutral_title": "none", "perception": "low"}


class QualitySettings(KindSettings):
    """What a user may choose for the image quality benchmarks."""

    preprocess: Literal["processor", "squash", "tiles"] = "processor"
    """How images reach the model: processor (the model's own resizing and cropping), squash (the whole image, resized)
    or tiles (native resolution)."""


class Quality(DistanceKind[QualitySettings]):
    """Correlation of distances with opinion scores, for the projection and every hidden state.

    The condition of a number is the data set's own name for a distortion; it is empty for all distortions together. The
    projection and the baselines have SRCC, KRCC and PLCC, raw and after a logistic fit with four parameters, pooled
    and by distortion. Hidden states have only the pooled alignment (SRCC; larger is closer to people). The baselines
    are PSNR and SSIM, computed twice: ``pixels`` compares the pixels that the model sees, ``full_resolution`` compares
    the pixels of the files. If the data set numbers the levels of its distortions, the level is a third baseline, for
    the alignment only. With ``tiles``, every distance is the mean over the tiles.

    Trials: item, reference_id, distortion, score, higher_is_better, probe (projection, hidden, or a baseline), layer,
    distance, value, dropped_dimensions.
    """

    name = "quality"
    settings = QualitySettings
    schemas = ("quality",)
    terms = KindTerms(
        title="Image quality",
        rank=50,
        terms={
            # All but the alignment and the fits are signed by the direction of the scores: neither end is better.
            "alignment": Term(
                title="alignment with people",
                meaning="Spearman's rank correlation between distance and human judgement, over all "
                "pairs; larger is closer to people.",
                better="high",
                overview=Overview(rank=60),
                **_ZERO,
            ),
            "srcc": Term(
                title="SRCC, signed", meaning="Spearman's correlation between distance and score.", **_ZERO
            ),
            "krcc": Term(
                title="KRCC, signed", meaning="Kendall's tau-b between distance and score.", **_ZERO
            ),
            "plcc": Term(
                title="PLCC, signed", meaning="Pearson's correlation between distance and score.", **_ZERO
            ),
            "plcc_logistic": Term(
                title="PLCC after a logistic fit",
                meaning="Pearson's correlation between fitted distance and score.",
                better="high",
                **_ZERO,
            ),
            "rmse_logistic": Term(
                title="RMSE after a logistic fit",
                meaning="In units of the score; smaller is closer to people.",
                better="low",
                perception="low",
            ),
            "dropped_dimensions": DROPPED_DIMENSIONS,
        },
        variants=DISTANCES | {"psnr": "PSNR", "ssim": "SSIM"},
        probes=PROBES,
        references=(
            Reference(role="baseline", name="pixels", title="pixels", joins=_JOINS),
            Reference(role="baseline", name="full_resolution", title="full resolution", joins=_JOINS),
            Reference(role="baseline", name=_LEVEL, title="level of the distortion", joins=_JOINS),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "reference_id": "str",
        "distortion": "str",
        "score": "float64",
        "higher_is_better": "bool",
        **DISTANCE_COLUMNS,
        "value": "float64",
    }
    clusters = ("reference_id",)

    def __init__(
        self, source: Source, image_processor: Any, settings: QualitySettings, common: Common
    ) -> None:
        self.preprocess = settings.preprocess
        self._show_progress = common.show_progress
        judged = source.dataset.select_columns(_COLUMNS).to_pandas()
        levels = source.dataset.select_columns(["level"]).to_pandas()["level"].to_numpy(np.float64)
        # Many rows share a reference: the first of them gives its image.
        reference_of = pd.factorize(judged["reference_id"])[0]
        first = np.unique(reference_of, return_index=True)[1]
        how = (image_processor, common)
        distorted = input_views(source.dataset, *how, "distorted", self.preprocess)
        references = input_views(source.dataset.select(first), *how, "reference", self.preprocess)
        broken = distorted.broken | references.broken[reference_of]
        rows = np.flatnonzero(~broken)
        uneven = rows[references.counts[reference_of[rows]] != distorted.counts[rows]]
        if len(uneven):
            row = uneven[0]
            raise DatasetError(
                f"A distorted image of {judged['reference_id'][row]} (row {row}) gives "
                f"{distorted.counts[row]} tiles, but its reference gives "
                f"{references.counts[reference_of[row]]}: use the official files, in which both have the "
                "same size."
            )
        self._judged = judged.iloc[rows].assign(item=rows)
        self._levels = None if np.isnan(levels).any() else levels[rows]
        views = references.of_rows(reference_of[rows]), distorted.of_rows(rows)
        self._items = np.repeat(np.arange(len(rows)), distorted.counts[rows])
        self._references = Stimuli(references.array, views[0])
        self._distorted = Stimuli(distorted.array, views[1])
        self._baselines = {
            "pixels": self._of_input(references, distorted, views, common),
            "full_resolution": cached_per_row(
                "PSNR and SSIM of the files",
                [fingerprint_of(source.dataset)],
                rows,
                lambda row: full_resolution(source.dataset, row),
                common,
            ),
        }
        self.left_out = int(broken.sum())
        self.facts = source.incomplete(len(rows))
        self.fingerprint = digest(
            self.name, references.fingerprint, distorted.fingerprint, judged.to_dict("list")
        )

    def _of_input(
        self, references: InputViews, distorted: InputViews, views: tuple[Ints, Ints], common: Common
    ) -> np.ndarray:
        """The baselines of the pixels that the model sees, (items, baselines)."""

        def compare(pair: int) -> tuple[float, ...]:
            return quality_baselines(references.array[views[0][pair]], distorted.array[views[1][pair]])

        key = [references.fingerprint, distorted.fingerprint, *(side.tolist() for side in views)]
        values = cached_per_row(
            "PSNR and SSIM of the input", key, np.arange(len(self._items)), compare, common
        )
        return mean_per_item(values, self._items)

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distance of every distorted image to its reference, at every place."""
        distances = pair_distances(
            readout,
            self._references,
            self._distorted,
            items=self._items,
            show_progress=self._show_progress,
        )
        baselines = [
            pd.DataFrame(
                {"pair": np.arange(len(values)), "probe": name, "distance": distance, "value": values[:, at]}
            )
            for name, values in self._baselines.items()
            for at, distance in enumerate(QUALITY_BASELINES)
        ]
        if self._levels is not None:
            values = {
                "pair": np.arange(len(self._levels)),
                "probe": _LEVEL,
                "distance": "",
                "value": self._levels,
            }
            baselines.append(pd.DataFrame(values))
        return pair_trials(self._judged, [distances, *baselines], self.trial_columns)

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """Pairs: the place of people's score, from the best to the worst, and that of the model's distance."""
        shown = trials.drop_duplicates("item").set_index("item")
        worse = -shown["score"] if shown["higher_is_better"].iloc[0] else shown["score"]
        return Gallery(
            pictures=(
                Picture(title="reference", column="reference"),
                Picture(title="distorted", column="distorted"),
            ),
            answer="value",
            answers=places_of_distances(trials),
            value_title=PLACE_OF_DISTANCE,
            people=shares_below(worse),
            people_title="rank of people's judgement, 1 for the worst",
            groups=shown["distortion"],
            group_title="distortion",
            check=shown[["reference_id", "distortion", "score"]],
        )

    views = (GalleryView(("item", *_COLUMNS, "probe", "distance", "value"), gallery),)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Correlations with intervals over the references."""
        numbers: list[Number] = []
        for columns, keys, part in _parts(trials):
            x, y = part["value"], part["score"]
            how: dict[str, Any] = {
                "higher_is_better": bool(part["higher_is_better"].iloc[0]),
                "logistic": 4 if len(keys) > 1 else None,
                "kendall": len(keys) > 1,
            }
            result = iqa_correlation(x, y, groups=part["reference_id"].to_list(), **how, **common.resampling)
            groups, names = grouped(part["reference_id"])
            influences = correlation_influences(x, y, groups, **how)
            for key in keys:
                influence = pd.Series(influences[key], index=names) if key in influences else None
                counted = columns | {"n_clusters": result["n_groups"], "influence": influence}
                numbers.append(number(result, key, **counted))
            if not columns["condition"]:
                numbers += dropped_dimensions(part, columns)
        return numbers


def _parts(trials: pd.DataFrame) -> Iterator[tuple[dict[str, Any], list[str], pd.DataFrame]]:
    """Columns of numbers, their metrics and their trials: every place, pooled and by distortion."""
    every = [key for key, term in Quality.terms.terms.items() if term is not DROPPED_DIMENSIONS]
    for columns, rows in by_place(trials):
        one_number = columns["probe"] == "hidden" or columns.get("reference") == _LEVEL
        keys = ["alignment"] if one_number else every
        yield columns | {"condition": ""}, keys, rows
        for condition, part in () if one_number else rows.groupby("distortion"):
            yield columns | {"condition": str(condition)}, keys, part
