"""A peak at a place that must be searched, by leaving one seed out: exploratory.

Where an extreme is searched and tested in the same numbers, noise passes for a peak. Halves of the items do not help:
the noise of a checkpoint is in both. So for each seed the place of the extreme comes from the other seeds, and the
seed that was left out says how much higher it is there than untrained, and than late.

Simulated on a flat truth with 5 seeds, 19 revisions, checkpoint noise of sd .02 and half-set item noise of sd .02, at
a nominal 5 % (one-sided; the mean of the last two revisions is late; 20,000 studies): cross-fitting over halves of the
items finds 49 % false declines and 25 % false rises with a decline, leaving one seed out 11 and 5 %. If the noise of
the items is common to all seeds, it also locates the extreme: then leaving one seed out finds 50 and 30 % without the
shared variance of the items in the standard error, and 13 and 4 % with it. Hence trials are needed, and even then a
searched peak is found too often, since the contrasts share the seeds that located them. A peak is confirmed by other
seeds in a window that was fixed before.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.statistics.alignment import Window, locate
from hf_clipdyn.statistics.contrasts import Contrast, Estimate, RunContrast, combine, run_contrasts
from hf_clipdyn.statistics.endpoints import Endpoint
from hf_clipdyn.statistics.influences import KeptInfluences
from hf_clipdyn.statistics.trajectories import Trajectory

__all__ = ["EXPLORATORY", "SearchedPeak", "search_peak"]

EXPLORATORY = "exploratory: the extreme was located in the data, for each seed in the other seeds"
"""A note of the estimates of a searched peak."""

_UNTRAINED = Window(name="0", untrained=True)
_LATE = Window(name="L", start=0.9, end=1.0)


@dataclass(frozen=True, kw_only=True)
class SearchedPeak:
    """An extreme that was searched.

    Attributes:
        rise: m(P) - m(0), with P from the other seeds; positive for a peak (for a trough both signs are turned).
        decline: m(P) - m(L).
        places: where the other seeds have their extreme, by the run that was left out.
        cause: why the extreme cannot be searched.
    """

    rise: Estimate
    decline: Estimate
    places: Mapping[str, Window]
    cause: str = ""


def search_peak(
    endpoint: Endpoint,
    runs: Iterable[Trajectory],
    influences: KeptInfluences | None = None,
    confidence_level: float = 0.95,
    *,
    highest: bool = True,
    start: float = 0.0,
    end: float = 0.85,
    untrained: Window = _UNTRAINED,
    late: Window = _LATE,
) -> SearchedPeak:
    """Search for a peak (or a trough), leaving one seed of each scale out at a time.

    Args:
        endpoint: the number.
        runs: trajectories of the runs, all of one arm.
        influences: from the trials; without them noise that the items bring to all seeds passes for a peak.
        confidence_level: of the intervals.
        highest: search for a maximum; else for a minimum.
        start, end: shares of the samples within which it is searched.
        untrained, late: the windows that the extreme is compared with.
    """
    seeds: dict[str, dict[str, list[Trajectory]]] = defaultdict(lambda: defaultdict(list))
    for one in runs:
        seeds[one.scale][one.run].append(one)
    alone = [scale for scale, of_scale in seeds.items() if len(of_scale) < 2]
    if alone or not seeds:
        where = f"scale {alone[0] or 'unknown'} has one" if alone else "there is no run"
        return _not_searched(
            f"a searched peak needs at least two seeds of each scale: {where}", confidence_level
        )
    sign = 1.0 if highest else -1.0
    compared: dict[str, list[RunContrast]] = {untrained.name: [], late.name: []}
    places: dict[str, Window] = {}
    for of_scale in seeds.values():
        for run, held in of_scale.items():
            others = [one for other, of_other in of_scale.items() if other != run for one in of_other]
            try:
                places[run] = locate("P", endpoint, others, highest=highest, start=start, end=end)
            except EvaluationError as error:
                return _not_searched(str(error), confidence_level)
            windows = [places[run], untrained, late]
            for name, found in compared.items():
                contrast = Contrast(
                    title=f"m(P) - m({name})",
                    endpoint=endpoint,
                    weights={"P": sign, name: -sign},
                    smallest_effect=math.inf,  # none is registered for a search
                )
                found += run_contrasts(contrast, windows, held, influences)
    rise, decline = (_explored(found, confidence_level) for found in compared.values())
    return SearchedPeak(rise=rise, decline=decline, places=places)


def _explored(runs: list[RunContrast], confidence_level: float) -> Estimate:
    found = combine(runs, confidence_level)
    return replace(found, notes=(EXPLORATORY, *found.notes))


def _not_searched(cause: str, confidence_level: float) -> SearchedPeak:
    nothing = Estimate(value=math.nan, confidence_level=confidence_level, cause=cause, notes=(EXPLORATORY,))
    return SearchedPeak(rise=nothing, decline=nothing, places={}, cause=cause)
