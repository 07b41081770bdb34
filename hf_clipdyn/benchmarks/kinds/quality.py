"""Image quality: does the distance of a distorted image to its reference order images as people do?"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import (
    Benchmark,
    Measurement,
    Settings,
    chosen_preprocess,
    digest,
    measurement,
)
from hf_clipdyn.benchmarks.pairs import Ints, by_place, dropped_dimensions, pair_distances, place_group
from hf_clipdyn.benchmarks.pixel_baselines import (
    QUALITY_BASELINES,
    full_resolution,
    kept,
    quality_baselines,
)
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.shown import Shown, show
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.undefined import undefined_causes

__all__ = ["Quality"]

_COLUMNS = ["reference_id", "distortion", "score", "higher_is_better"]
# All but the alignment are signed by the direction of the scores, so that neither end is the better one.
_KEYS: dict[str, bool | None] = {
    "alignment": True,
    "srcc": None,
    "krcc": None,
    "plcc": None,
    "plcc_logistic": True,
    "rmse_logistic": False,
}


class Quality(Benchmark):
    """Correlation of distances with opinion scores, at the projection and every hidden state.

    At the projection and of the baselines as SRCC, KRCC and PLCC, raw and after a logistic fit of four parameters,
    overall and by distortion; of hidden states the alignment (SRCC, larger is closer to humans) alone. PSNR
    and SSIM stand beside it twice: of the pixels that the model sees (probe ``pixels``), and of the files (probe
    ``full_resolution``). With ``tiles`` every distance is the mean over the tiles.

    Trials: item, reference_id, distortion, score, higher_is_better, incomplete, probe, layer, distance, value,
    dropped_dimensions.
    """

    kind: ClassVar[str] = "quality"
    schemas = ("quality",)
    suites: ClassVar = {
        "paper": ("tid2013",),
        "full": ("tid2013", "tid2008", "kadid10k", "csiq", "live"),
    }
    needs_text: ClassVar[bool] = False
    reads_layers: ClassVar[bool] = True
    clusters = ("reference_id",)
    preprocesses = ("processor", "squash", "tiles")

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        self.preprocess = chosen_preprocess(type(self), settings)
        self._show_progress = settings.show_progress
        facts = source.dataset.select_columns(_COLUMNS).to_pandas()
        # A reference is shared by many rows: its first row stands for all.
        first = (~facts["reference_id"].duplicated()).to_numpy().nonzero()[0]
        position = {facts["reference_id"][row]: at for at, row in enumerate(first)}
        reference_of = facts["reference_id"].map(position).to_numpy()
        shown = (image_processor, settings)
        distorted = show(source.dataset, *shown, "distorted", self.preprocess)
        references = show(source.dataset.select(first), *shown, "reference", self.preprocess)

        broken = distorted.broken | references.broken[reference_of]
        rows = np.flatnonzero(~broken)
        _check_tiles(facts, rows, references.counts[reference_of], distorted.counts)
        self._facts = facts.iloc[rows].reset_index(drop=True).assign(item=rows)
        self._facts["incomplete"] = source.incomplete(len(rows))
        views = references.views(reference_of[rows]), distorted.views(rows)
        self._items = np.repeat(np.arange(len(rows)), distorted.counts[rows])
        self._references = Stimuli(references.array, views[0])
        self._distorted = Stimuli(distorted.array, views[1])
        self._baselines = {
            "pixels": self._seen(references, distorted, views, settings),
            "full_resolution": kept(
                "PSNR and SSIM of the files",
                [source.dataset._fingerprint],
                rows,
                lambda row: full_resolution(source.dataset, row),
                settings,
            ),
        }
        self.left_out = int(broken.sum())
        self.fingerprint = digest(
            self.kind, references.fingerprint, distorted.fingerprint, facts.to_dict("list")
        )

    def _seen(
        self, references: Shown, distorted: Shown, views: tuple[Ints, Ints], settings: Settings
    ) -> np.ndarray:
        def compare(pair: int) -> tuple[float, ...]:
            return quality_baselines(references.array[views[0][pair]], distorted.array[views[1][pair]])

        key = [references.fingerprint, distorted.fingerprint, *(side.tolist() for side in views)]
        values = kept("PSNR and SSIM of the input", key, np.arange(len(self._items)), compare, settings)
        sizes = np.bincount(self._items)
        return np.stack([np.bincount(self._items, column) / sizes for column in values.T], axis=1)

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distance of every distorted image to its reference, at every place."""
        distances = pair_distances(
            readout,
            self._references,
            self._distorted,
            items=self._items,
            show_progress=self._show_progress,
        )
        n = len(self._facts)
        baselines = [
            pd.DataFrame({"pair": np.arange(n), "probe": probe, "distance": name, "value": values[:, at]})
            for probe, values in self._baselines.items()
            for at, name in enumerate(QUALITY_BASELINES)
        ]
        table = pd.concat([distances, *(one.assign(dropped_dimensions=0) for one in baselines)])
        facts = self._facts.iloc[table["pair"]].reset_index(drop=True)
        places = table.drop(columns="pair").reset_index(drop=True)
        trials: pd.DataFrame = pd.concat([facts, places], axis=1)
        return trials

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Correlations with intervals over the references."""
        found: list[Measurement] = []
        for place, distance, rows in by_place(trials):
            hidden = place["probe"] == "hidden"
            keys = ["alignment"] if hidden else list(_KEYS)
            found += _correlations(rows, distance, keys, "", place, settings)
            for distortion, part in () if hidden else rows.groupby("distortion"):
                group = f"distortion={distortion}"
                found += _correlations(part, distance, keys, group, place, settings)
            found += dropped_dimensions(rows, distance, place)
        return found


def _check_tiles(facts: pd.DataFrame, rows: Ints, references: Ints, distorted: Ints) -> None:
    for row in rows:
        if references[row] != distorted[row]:
            raise DatasetError(
                f"A distorted image of {facts['reference_id'][row]} (row {row}) gives {distorted[row]} tiles and its "
                f"reference {references[row]}: use the official files, where both are of one size."
            )


def _correlations(
    rows: pd.DataFrame,
    distance: str,
    keys: Sequence[str],
    group: str,
    place: dict[str, Any],
    settings: Settings,
) -> Iterator[Measurement]:
    with undefined_causes() as causes:
        result = iqa_correlation(
            rows["value"],
            rows["score"],
            groups=rows["reference_id"].to_list(),
            higher_is_better=bool(rows["higher_is_better"].iloc[0]),
            logistic=4 if "plcc_logistic" in keys else None,
            kendall="krcc" in keys,
            **settings.resampling,
        )
    for key in keys:
        yield measurement(
            result,
            key,
            causes,
            metric=f"{key}/{distance}",
            group=place_group(rows, distance, group),
            n_groups=result["n_groups"],
            higher_is_better=_KEYS[key],
            **place,
        )
