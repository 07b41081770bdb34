"""Low-level sensitivity on a ladder of distortions, without human scores.

The severity of a ladder is a synthetic order and SSIM a formula: both are proxies, neither is human.
"""

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from hf_clipdyn.benchmarks.base import (
    Benchmark,
    Measurement,
    Settings,
    cosine_distance,
    decode,
    digest,
    measurement,
)
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.undefined import undefined_causes

__all__ = ["Distortion", "column_ssim", "ssim"]

_WINDOW = 7
_PART = 256  # images that are read from the cache at a time
_COLUMN_VALUES = 2**18  # in one call; more would leave the processor's cache


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """SSIM of two (H, W, 3) images, scikit-image's default window of 7; it shrinks on smaller images.

    A window of one pixel, where a side has fewer than three, has no spread: only the luminance is compared.
    """
    side = min(_WINDOW, *first.shape[:2])
    window = side if side % 2 else side - 1
    return float(
        structural_similarity(
            first, second, win_size=window, channel_axis=-1, data_range=255, use_sample_covariance=window > 1
        )
    )


def column_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """`ssim` of each pair of (n, H, W, 3) images, small ones many at a time.

    Small images stand above each other in one column: a call of scikit-image costs more than a small image. Its
    mean leaves out the pixels whose window leaves the image, and these are all whose window meets a neighbour.
    The column's running sums round differently, hence the 12 digits: equal pairs must tie.
    """
    n, height, width = first.shape[:3]
    side = min(_WINDOW, height, width)
    window = side if side % 2 else side - 1
    edge = window // 2
    found = np.empty(n)
    step = max(1, _COLUMN_VALUES // first[0].size)
    for start in range(0, n, step):
        columns = [one[start : start + step].reshape(-1, width, 3) for one in (first, second)]
        _, values = structural_similarity(
            *columns,
            win_size=window,
            channel_axis=-1,
            data_range=255,
            use_sample_covariance=window > 1,
            full=True,
        )
        inner = values.reshape(-1, height, width, 3)[:, edge : height - edge, edge : width - edge]
        found[start : start + step] = inner.mean(axis=(1, 2, 3))
    return np.round(found, 12)


class Distortion(Benchmark):
    """Rank correlation of the embedding distance with 1 - SSIM, and with the level of the distortion.

    Both are pooled over all distortions: within one type the order is close to perfect even for an
    untrained model. SSIM is that of the pixels that the model sees.

    Trials: item, reference_id, distortion, level, distance (cosine, to the reference), dissimilarity
    (1 - SSIM).
    """

    kind: ClassVar[str] = "distortion"
    schemas = ("distortion_ladder",)
    suites: ClassVar = {"embedded": ("procedural",)}
    needs_text: ClassVar[bool] = False
    clusters = ("reference_id",)

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        facts = source.dataset.select_columns(["reference_id", "distortion", "level"]).to_pandas()
        distorted = decode(source.dataset, image_processor, settings, "distorted")
        # A reference is shared by many rows: its first row stands for all.
        first = (~facts["reference_id"].duplicated()).to_numpy().nonzero()[0]
        references = decode(source.dataset.select(first), image_processor, settings, "reference")
        row_of = {facts["reference_id"][row]: position for position, row in enumerate(first)}
        reference_rows = facts["reference_id"].map(row_of).to_numpy()

        broken = distorted.broken | references.broken[reference_rows]
        rows = np.flatnonzero(~broken)
        self._references = Stimuli(references.array, reference_rows[rows])
        self._distorted = Stimuli(distorted.array, rows)
        self._facts = facts.iloc[rows].reset_index(drop=True).assign(item=rows)
        parts = [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
        self._facts["dissimilarity"] = 1 - np.concatenate(
            [column_ssim(references.array[reference_rows[part]], distorted.array[part]) for part in parts]
        )
        self.left_out = int(broken.sum())
        self.fingerprint = digest(
            self.kind, references.fingerprint, distorted.fingerprint, facts.to_dict("list")
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distance of every distorted image to its reference."""
        distances = cosine_distance(readout.images(self._references), readout.images(self._distorted))
        trials: pd.DataFrame = self._facts.assign(distance=distances)
        return trials

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Both correlations, with intervals over the references."""
        measurements = []
        for metric, column in (
            ("alignment_ssim/cosine", "dissimilarity"),
            ("alignment_severity/cosine", "level"),
        ):
            with undefined_causes() as causes:
                result = iqa_correlation(
                    trials["distance"],
                    trials[column],
                    groups=trials["reference_id"].to_list(),
                    higher_is_better=False,
                    **settings.resampling,
                )
            measurements.append(
                measurement(
                    result,
                    "alignment",
                    causes,
                    metric=metric,
                    n_groups=result["n_groups"],
                    higher_is_better=True,
                )
            )
        return measurements
