"""Which spatial frequencies does recognition use? From noise in one octave at a time."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.corruptions import BANDS
from hf_clipdyn.benchmarks.noise_scores import CLEAN
from hf_clipdyn.benchmarks.relation import Relation, Seen, related
from hf_clipdyn.benchmarks.settings import Common
from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.critical_bands import critical_bands
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Term

__all__ = ["CriticalBands"]

_COLUMNS = ("item", "label", "condition", "level", "decision", "n_classes")
_OUTSIDE = {
    "above": "the loudest level leaves more than half of the accuracy above chance",
    "below": "the softest level leaves less than half of the accuracy above chance",
}
_NAMES = list(BANDS)


class CriticalBands(Relation):
    """The noise that each octave tolerates, and the channel that these thresholds form (Subramanian et al. 2023).

    It reads the conditions ``octave_0`` to ``octave_6`` of noise; they must have the same levels.
    """

    name = "critical_bands"
    terms = KindTerms(
        title="Critical bands",
        question="Which spatial frequencies does it use?",
        rank=235,
        terms={
            "tolerated_noise": Term(
                title="tolerated noise",
                meaning="Standard deviation of the noise in this octave at which the accuracy is halfway between that "
                "of the grey picture and chance, interpolated on a logarithmic axis. Undefined outside the levels.",
                unit="of the pixel range",
            ),
            "bandwidth": Term(
                title="bandwidth",
                meaning="Full width at half height of the Gaussian over octaves that fits the sensitivities.",
                unit="octaves",
            ),
            "centre": Term(
                title="centre of the channel",
                meaning="Spatial frequency of highest sensitivity.",
                unit="cycles per image",
                log=True,
            ),
            "bracketed": Term(
                title="octaves with a threshold",
                meaning="Number of octaves whose threshold lies between two levels; the channel needs three.",
            ),
        },
    )
    reads = ("noise",)

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterator[Number]:
        """The thresholds of each revision, and their channel."""
        for one in run:
            trials = one.trials(_COLUMNS)
            bands = [name for name in _NAMES if (trials["condition"] == name).any()]
            if bands:
                yield from _of_revision(trials, bands, one.cell.revision, common)


def _of_revision(trials: pd.DataFrame, bands: list[str], revision: str, common: Common) -> Iterator[Number]:
    place: dict[str, Any] = {"at": revision, "n": trials["item"].nunique()}
    whole = NumberKey(metric="", condition="")
    levels, right, shown = _cells(trials, bands)
    try:
        result = critical_bands(
            right, shown, levels, chance=1 / int(trials["n_classes"].iloc[0]), **common.resampling
        )
    except MetricError:
        yield related(whole, "bandwidth", math.nan, note="the octaves have different levels", **place)
        return
    undefined = result["causes"].get("thresholds", "")
    ends = result.get("thresholds_ci", [(math.nan, math.nan)] * len(bands))
    for at, name in enumerate(bands):
        value, note = result["thresholds"][at], undefined or _OUTSIDE.get(result["censored"][at], "")
        known = {} if note else _finite(ends[at], float(levels[1]), float(levels[-1]))
        key = NumberKey(metric="", condition=name)
        yield related(key, "tolerated_noise", math.nan if note else value, note=note, **known, **place)
    first = _NAMES.index(bands[0])
    centre = BANDS[bands[0]].frequency * 2 ** result["centre"]
    adjoining = bands == _NAMES[first : first + len(bands)]
    cause = (
        result["causes"].get("bandwidth", "") if adjoining else "an octave between the others was not shown"
    )
    for metric, value in (("bandwidth", result["bandwidth"]), ("centre", centre)):
        yield related(whole, metric, math.nan if cause else value, note=cause, **place)
    yield related(whole, "bracketed", result["n_bracketed"], **place)


def _finite(ends: Sequence[float], softest: float, loudest: float) -> dict[str, float]:
    """The interval within the levels that were shown."""
    low, high = np.clip(ends, softest, loudest)
    return {"ci_low": float(low), "ci_high": float(high)}


def _cells(
    trials: pd.DataFrame, bands: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The levels, and right answers and images by level and octave; the grey picture, else the clean one, is first."""
    of_bands = trials[trials["condition"].isin(bands)]
    right = (of_bands["decision"] == of_bands["label"]).astype(np.float64)
    cells = right.groupby([of_bands["level"], of_bands["condition"]]).agg(["sum", "count"])
    hits, shown = (cells[name].unstack(fill_value=0)[bands] for name in ("sum", "count"))
    if 0.0 not in hits.index:
        clean = trials[trials["condition"] == CLEAN]
        hits.loc[0.0], shown.loc[0.0] = (clean["decision"] == clean["label"]).sum(), len(clean)
    hits, shown = hits.sort_index(), shown.sort_index()
    return hits.index.to_numpy(np.float64), hits.to_numpy(np.float64), shown.to_numpy(np.float64)
