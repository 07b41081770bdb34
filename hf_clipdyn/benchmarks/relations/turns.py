"""Does a trajectory turn, when, and in every seed? Breaks and inverted U's, described and not tested."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.benchmarks.relation import Relation, Seen, related
from hf_clipdyn.benchmarks.settings import Common
from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.phases import seed_to_step_variance, segmented_regression, two_lines
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

__all__ = ["Turns"]

_SHARE: dict[str, Any] = {"limits": (0.0, 1.0)}
_SLOPE: dict[str, Any] = {"unit": "per octave", "neutral": 0.0, "neutral_title": "level"}
_SEEDS = "seeds"


class Turns(Relation):
    """Two straight lines in each trajectory of a main metric, over octaves of samples.

    It takes several seeds. A least-squares break always exists, so none of this is a test. Whether a number rises
    and then falls is asked of each seed around the peak of the other seeds (Simonsohn 2018), since a curve that
    saturates has an inverted U by any quadratic, and by its own peak.
    """

    name = "turns"
    terms = KindTerms(
        title="Turns of the trajectory",
        question="Do the curves turn, and in every seed?",
        rank=225,
        terms={
            "break": Term(
                title="place of the break",
                meaning="Octaves of samples at which two straight lines that meet fit the trajectory best.",
                unit="octaves",
            ),
            "slope_change": Term(
                title="change of the slope",
                meaning="Slope after the break minus that before it, in each octave of samples.",
                **_SLOPE,
            ),
            "same_sign": Term(
                title="seeds that turn alike",
                meaning="Share of the seeds whose change of the slope has the sign of the mean.",
                **_SHARE,
            ),
            "rise": Term(
                title="slope up to the peak of the other seeds",
                meaning="Mean over seeds of the slope in the revisions up to the peak of the other seeds.",
                **_SLOPE,
            ),
            "fall": Term(
                title="slope after the peak of the other seeds",
                meaning="Mean over seeds of the slope in the revisions after the peak of the other seeds.",
                **_SLOPE,
            ),
            "inverted_u": Term(
                title="seeds that rise and then fall",
                meaning="Share of the seeds with a positive slope up to the peak of the other seeds and a negative one "
                "after it.",
                **_SHARE,
            ),
            "seed_to_step_variance": Term(
                title="seeds against steps",
                meaning="Variance between seeds, divided by half the variance of the steps between neighbouring "
                "revisions: about 1 if seeds differ no more than revisions.",
                neutral=1.0,
                neutral_title="alike",
                log=True,
            ),
        },
        references=(Reference(role="value", name=_SEEDS, title="all seeds"),),
    )
    reads = ("distortion", "jnd", "quality", "retrieval", "shape_bias", "similarity", "zero_shot")

    @staticmethod
    def over_seeds(runs: Sequence[Sequence[Seen]], common: Common) -> Iterator[Number]:
        """The break over seeds, whether each seed rises and falls around the peak of the others, and their variance."""
        columns: dict[str, Any] = {"reference": _SEEDS, "n": len(runs), "n_clusters": len(runs)}
        for key, (curves, octaves) in _curves(runs).items():
            ratio = seed_to_step_variance(curves)
            note = "all steps are equal" if math.isnan(ratio) else ""
            yield related(key, "seed_to_step_variance", ratio, note=note, **columns)
            try:
                result = segmented_regression(curves, octaves, confidence_level=common.confidence_level)
            except MetricError:
                yield related(key, "break", math.nan, note="the runs have too few revisions", **columns)
                continue
            low, high = result["break_ci"]
            ends = {"ci_low": low, "ci_high": high} if common.n_resamples else {}
            yield related(key, "break", result["break_mean"], **columns, **ends)
            yield related(key, "slope_change", float(np.mean(result["slope_changes"])), **columns)
            yield related(key, "same_sign", result["share_with_sign"], **columns)
            yield from _around_the_peak(key, curves, octaves, columns)


def _around_the_peak(
    key: NumberKey, curves: NDArray[np.float64], octaves: NDArray[np.float64], columns: dict[str, Any]
) -> Iterator[Number]:
    slopes = []
    for seed, curve in enumerate(curves):
        peak = octaves[np.delete(curves, seed, axis=0).mean(axis=0).argmax()]
        try:
            result = two_lines(curve, octaves, peak)
        except MetricError:
            note = "the peak of the other seeds is at an end of training"
            yield related(key, "inverted_u", math.nan, note=note, **columns)
            return
        slopes.append((result["rises"][0], result["falls"][0]))
    rises, falls = np.array(slopes).T
    yield related(key, "rise", rises.mean(), **columns)
    yield related(key, "fall", falls.mean(), **columns)
    yield related(key, "inverted_u", ((rises > 0) & (falls < 0)).mean(), **columns)


def _curves(
    runs: Sequence[Sequence[Seen]],
) -> dict[NumberKey, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Of each main metric the values (seeds, revisions) where all are defined, and octaves of samples (revisions,)."""
    samples = [one.cell.samples_seen or 0 for one in runs[0]]
    trained = [at for at, seen in enumerate(samples) if seen > 0]
    tables = [[_values(run[at]) for at in trained] for run in runs]
    curves = {}
    for key in tables[0][0] if trained else ():
        values = np.array([[one.get(key, math.nan) for one in table] for table in tables])
        defined = np.isfinite(values).all(axis=0)
        if defined.sum() > 1:
            octaves = np.log2([samples[at] for at in trained])
            curves[key] = values[:, defined], octaves[defined]
    return curves


def _values(seen: Seen) -> dict[NumberKey, float]:
    """The main metrics of a revision; the variant says which one, if it has no other."""
    kind = kinds()[seen.cell.kind]
    main = {name for name, term in kind.terms.terms.items() if term.overview}
    return {
        NumberKey(
            **{field.name: getattr(one, field.name) for field in fields(NumberKey)}
            | {"metric": "", "variant": one.variant or one.metric}
        ): one.value
        for one in seen.numbers
        if one.role == "value" and one.metric in main
    }
