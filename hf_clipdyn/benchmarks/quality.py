"""Image quality: does the distance of a distorted image to its reference order images as people do?"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import Benchmark, Measurement, Settings, decode, digest, measurement
from hf_clipdyn.benchmarks.distortion import ssim
from hf_clipdyn.benchmarks.pairs import by_place, pair_distances
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.undefined import undefined_causes

__all__ = ["Quality", "psnr_distance"]

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


def psnr_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Minus the PSNR in dB of two uint8 images, that larger is farther; minus 100 for equal images."""
    error = float(np.square(first.astype(np.float64) - second).mean())
    return -100.0 if error == 0 else -float(10 * np.log10(255**2 / error))


class Quality(Benchmark):
    """Correlation of distances with opinion scores, at the projection and every hidden state.

    At the projection also by distortion, and as SRCC, KRCC and PLCC, raw and after a logistic fit of
    four parameters; elsewhere the alignment (SRCC, larger is closer to humans) alone. PSNR and SSIM of the
    pixels that the model sees stand beside it, under the probe ``pixels``.

    Trials: item, reference_id, distortion, score, higher_is_better, probe, layer, distance, value.
    """

    kind: ClassVar[str] = "quality"
    schemas = ("quality",)
    suites: ClassVar = {
        "paper": ("tid2013",),
        "full": ("tid2013", "tid2008", "kadid10k", "csiq", "live"),
    }
    needs_text: ClassVar[bool] = False
    clusters = ("reference_id",)

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        facts = source.dataset.select_columns(_COLUMNS).to_pandas()
        distorted = decode(source.dataset, image_processor, settings, "distorted")
        first = (~facts["reference_id"].duplicated()).to_numpy().nonzero()[0]
        references = decode(source.dataset.select(first), image_processor, settings, "reference")
        position = {facts["reference_id"][row]: at for at, row in enumerate(first)}
        reference_rows = facts["reference_id"].map(position).to_numpy()

        broken = distorted.broken | references.broken[reference_rows]
        rows = np.flatnonzero(~broken)
        self._facts = facts.iloc[rows].reset_index(drop=True).assign(item=rows)
        self._references = Stimuli(references.array, reference_rows[rows])
        self._distorted = Stimuli(distorted.array, rows)
        pairs = [
            (references.array[a], distorted.array[b]) for a, b in zip(reference_rows[rows], rows, strict=True)
        ]
        self._baselines = {
            "psnr": [psnr_distance(a, b) for a, b in pairs],
            "ssim": [1 - ssim(a, b) for a, b in pairs],
        }
        self.left_out = int(broken.sum())
        self.fingerprint = digest(
            self.kind, references.fingerprint, distorted.fingerprint, facts.to_dict("list")
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distance of every distorted image to its reference, at every place."""
        distances = pair_distances(readout, self._references, self._distorted)
        n = len(self._facts)
        baselines = [
            pd.DataFrame({"pair": np.arange(n), "probe": "pixels", "distance": name, "value": values})
            for name, values in self._baselines.items()
        ]
        table = pd.concat([distances, *baselines], ignore_index=True)
        facts = self._facts.iloc[table["pair"]].reset_index(drop=True)
        trials: pd.DataFrame = pd.concat([facts, table.drop(columns="pair")], axis=1)
        return trials

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Correlations with intervals over the references."""
        found: list[Measurement] = []
        for place, distance, rows in by_place(trials):
            keys = list(_KEYS) if place["probe"] == "projection" else ["alignment"]
            found += _correlations(rows, distance, keys, "", place, settings)
            if place["probe"] == "projection":
                for distortion, part in rows.groupby("distortion"):
                    group = f"distortion={distortion}"
                    found += _correlations(part, distance, ["alignment"], group, place, settings)
        return found


def _correlations(
    rows: pd.DataFrame,
    distance: str,
    keys: list[str],
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
            **settings.resampling,
        )
    for key in keys:
        yield measurement(
            result,
            key,
            causes,
            metric=f"{key}/{distance}",
            group=group,
            n_groups=result["n_groups"],
            higher_is_better=_KEYS[key],
            **place,
        )
