"""Which spatial frequencies does recognition use? From noise in one octave at a time."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.corruptions import BANDS
from hf_clipdyn.benchmarks.noise_scores import CLEAN
from hf_clipdyn.benchmarks.relation import Relation, Seen, related
from hf_clipdyn.benchmarks.settings import Common
from hf_clipdyn.data.critical_bands import find_band_tables, read_network_bands, read_people_bands
from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.critical_bands import critical_bands
from hf_clipdyn.results.row import Number, NumberKey, Role
from hf_clipdyn.results.terms import KindTerms, Reference, Term

__all__ = ["CriticalBands"]

_COLUMNS = ("item", "label", "condition", "level", "decision", "n_classes")
_OUTSIDE = {
    "above": "the loudest level leaves more than half of the accuracy above chance",
    "below": "the softest level leaves less than half of the accuracy above chance",
}
_NAMES = list(BANDS)
_OCTAVES = slice(1, 6)  # the published bands that are our first octaves
_PUBLISHED_CLASSES = 16


class CriticalBands(Relation):
    """The noise that each octave tolerates, and the channel that these thresholds form (Subramanian et al. 2023).

    It reads the conditions ``octave_0`` to ``octave_6`` of noise; they must have the same levels. If the folder
    ``critical-band`` in ``$CLIPDYN_DATA`` has the published tables, 14 people and 85 networks are beside it, for the
    octaves 0 to 4. Their pictures were of 16 classes of ImageNet, at a contrast of a fifth.
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
        references=(
            Reference(role="human", title="14 people", joins=("metric", "condition")),
            Reference(role="baseline", title="85 networks, median", joins=("metric", "condition")),
        ),
    )
    reads = ("noise",)

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterator[Number]:
        """The thresholds of each revision, and their channel, with those of people and networks."""
        folder = find_band_tables()
        published = [] if folder is None else _published(folder)
        for one in run:
            trials = one.trials(_COLUMNS)
            bands = [name for name in _NAMES if (trials["condition"] == name).any()]
            if bands:
                yield from _of_revision(trials, bands, one.cell.revision, common)
                beside = (other for other in published if other.condition in ("", *bands))
                yield from (replace(other, at=one.cell.revision) for other in beside)


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


@cache
def _published(folder: Path) -> list[Number]:
    """Of people, and the medians of the networks."""
    levels, accuracy = read_people_bands(folder)
    networks = read_network_bands(folder)
    shown = {"people": (levels, [accuracy], np.ones_like(accuracy))}
    shown["networks"] = networks.levels, list(networks.right.values()), networks.shown
    return [
        number
        for name, (at, right, n) in shown.items()
        for number in _medians(
            name,
            [
                critical_bands(
                    one[:, _OCTAVES], n[:, _OCTAVES], at, chance=1 / _PUBLISHED_CLASSES, n_resamples=0
                )
                for one in right
            ],
        )
    ]


def _medians(name: str, results: Sequence[Mapping[str, Any]]) -> Iterator[Number]:
    role: Role = "human" if name == "people" else "baseline"
    recognising = [one for one in results if "thresholds" not in one["causes"]]
    # The middle one, and no mean of two: a threshold may be infinite.
    thresholds = np.quantile([one["thresholds"] for one in recognising], 0.5, axis=0, method="nearest")
    for octave, value in zip(_NAMES, thresholds.tolist(), strict=False):
        note = _OUTSIDE["above"] if value == math.inf else _OUTSIDE["below"] if value == 0 else ""
        key = NumberKey(metric="", condition=octave, probe="", role=role, reference=name)
        yield related(key, "tolerated_noise", math.nan if note else value, note=note, n=len(recognising))
    whole = NumberKey(metric="", condition="", probe="", role=role, reference=name)
    known = [one for one in results if not math.isnan(one["bandwidth"])]
    first = BANDS[_NAMES[0]].frequency
    values = {
        "bandwidth": [one["bandwidth"] for one in known],
        "centre": [first * 2 ** one["centre"] for one in known],
    }
    for metric, of in values.items():
        note = "" if known else results[0]["causes"]["bandwidth"]
        yield related(whole, metric, float(np.median(of)) if known else math.nan, note=note, n=len(known))


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
