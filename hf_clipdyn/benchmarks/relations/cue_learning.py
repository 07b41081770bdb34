"""Does training change the decision, or what is represented? Answers for shape and texture, and their half-rises."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import mean_by_item
from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.kinds.decodability import Decodability
from hf_clipdyn.benchmarks.relation import Relation, Seen, mean_of_seeds, related
from hf_clipdyn.benchmarks.shape_scores import (
    CROSSED_PROBE,
    HUMAN,
    LINEAR_PROBE,
    OBSERVERS,
    OTHER_CUE,
    TEXT_FREE,
    TEXT_FREE_ALL,
    is_untouched,
)
from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.phases import half_rise
from hf_clipdyn.metrics.shape_bias import answer_shares
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_EARLY, _LATE = (0.1, 0.2), (0.9, 1.0)  # shares of the samples of the run
_SEEDS = "seeds"
_ANSWERS = ("shape", "texture", "other")
_EXEMPLARS = ("shape_exemplar", "texture_exemplar")
_COLUMNS = ("item", "shape", "texture", *_EXEMPLARS, "protocol", "decision", "cue", "observer", "condition")
_SHARE: dict[str, Any] = {"limits": (0.0, 1.0)}
_JOINS = ("metric", "variant")

_Curves = dict[NumberKey, dict[str, list[float]]]
"""By probe, layer and prompts, the trajectories of shape and of texture."""


class CueLearning(Relation):
    """The shares of answers for the shape, the texture and anything else, and when answers and layers are halfway.

    The half-rise is where a trajectory is halfway between its mean over 10 to 20 % of the samples and that over the
    last 10 %. If what is decodable rises before the answers do, training changes the use of what is represented.
    """

    name = "cue_learning"
    terms = KindTerms(
        title="Learning of shape and texture",
        question="When do answers turn from texture to shape?",
        rank=215,
        terms={
            **{
                f"{name}_share": Term(
                    title=f"answers for {title}",
                    meaning=f"Share of the images whose answer is {title}. The intervals of the three shares hold "
                    "together (Goodman 1965).",
                    **_SHARE,
                )
                for name, title in zip(_ANSWERS, ("the shape", "the texture", "another class"), strict=True)
            },
            "unclassified_share": Term(
                title="answers outside the classes",
                meaning="Share of the images whose answer is none of the classes; they are among the other answers.",
                **_SHARE,
            ),
            **{
                f"{cue}_half_rise": Term(
                    title=f"half-rise of {cue}",
                    meaning=f"Samples, in octaves, until the answers for the {cue}, or what a linear probe reads of "
                    "it, are halfway from their early to their late share.",
                    unit="octaves",
                )
                for cue in OTHER_CUE
            },
            **{
                f"{cue}_lead": Term(
                    title=f"lead of the representation of {cue}",
                    meaning=f"Octaves of samples from the half-rise of the {cue}'s decodability to that of the answers "
                    "for it: positive if the representation comes first.",
                    unit="octaves",
                    neutral=0.0,
                    neutral_title="at once",
                )
                for cue in OTHER_CUE
            },
        },
        references=(
            Reference(role="chance", title="the same answers in random order", joins=_JOINS),
            Reference(role="human", name=OBSERVERS, title="people", joins=("metric",)),
            Reference(role="value", name=_SEEDS, title="all seeds"),
        ),
    )
    reads = ("shape_bias", "decodability")

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterator[Number]:
        """The shares of each revision, and the half-rises of the run."""
        if run[0].cell.kind == "shape_bias":
            yield from _shares(run, common)
        curves = _curves(run)
        for key, by_cue in curves.items():
            for cue, values in by_cue.items():
                at, note = _half_rise(run, values)
                yield related(key, f"{cue}_half_rise", at, note=note)
        for key, leads in _leads(run, curves).items():
            for cue, (lead, note) in leads.items():
                yield related(key, f"{cue}_lead", lead, note=note)

    @staticmethod
    def over_seeds(runs: Sequence[Sequence[Seen]], common: Common) -> Iterator[Number]:
        """The mean lead over seeds, whose interval is that of the seeds."""
        each = [_leads(run, _curves(run)) for run in runs]
        for key, by_cue in each[0].items():
            for cue in by_cue:
                leads = [one[key][cue][0] if key in one else math.nan for one in each]
                yield mean_of_seeds(key, f"{cue}_lead", leads, common)


def _shares(run: Sequence[Seen], common: Common) -> Iterator[Number]:
    first = _trials(run[0])
    people = first[first["protocol"] == HUMAN]
    of_people = _answer_shares(people, common) if len(people) else None
    for one in run:
        for protocol, rows in _asked(_trials(one)):
            key, result = NumberKey(metric="", variant=protocol), _answer_shares(rows, common)
            shown: dict[str, Any] = {"at": one.cell.revision, "n": result["n"]}
            conflict = rows[rows["shape"] != rows["texture"]]
            hits = {cue: (conflict["decision"] == conflict[cue]).to_numpy() for cue in OTHER_CUE}
            hits["other"] = ~(hits["shape"] | hits["texture"])
            n_clusters = min(int(conflict[name].nunique()) for name in _EXEMPLARS)
            for name in _ANSWERS:
                metric, (low, high) = f"{name}_share", result[f"{name}_ci"]
                ends = {"ci_low": low, "ci_high": high} if common.n_resamples else {}
                known = mean_by_item(hits[name], conflict["item"])
                yield related(
                    key, metric, result[name], influence=known, n_clusters=n_clusters, **ends, **shown
                )
                yield related(key, metric, result[f"{name}_chance"], role="chance", **shown)
                if of_people and not protocol:
                    place = shown | {"n": of_people["n"], "role": "human", "reference": OBSERVERS}
                    yield related(key, metric, of_people[name], **place)
            yield related(key, "unclassified_share", result["unclassified"], **shown)


def _trials(one: Seen) -> pd.DataFrame:
    """The trials of a revision, without those of grey images."""
    trials = one.trials(_COLUMNS)
    return trials[is_untouched(trials)]


def _asked(trials: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The trials of each way of asking with prompts."""
    asked = trials[~trials["protocol"].isin([TEXT_FREE, TEXT_FREE_ALL, CROSSED_PROBE, HUMAN])]
    return ((str(protocol), rows) for protocol, rows in asked.groupby("protocol", sort=False))


def _answer_shares(rows: pd.DataFrame, common: Common) -> Mapping[str, Any]:
    return answer_shares(
        *(rows[name].to_list() for name in ("decision", "shape", "texture")),
        **{f"{name}s": rows[name].to_list() for name in _EXEMPLARS},
        confidence_level=common.confidence_level,
    )


def _curves(run: Sequence[Seen]) -> _Curves:
    """Of the answers with each set of prompts, and of the linear probes; only what all revisions have."""
    curves: _Curves = {}
    for one in run:
        for key, cue, value in one.derived(_points).of_cues:
            curves.setdefault(key, {}).setdefault(cue, []).append(value)
    return {
        key: by_cue
        for key, by_cue in curves.items()
        if all(len(values) == len(run) for values in by_cue.values())
    }


@dataclass(frozen=True)
class _Points:
    """The numbers of one revision of which curves are made."""

    of_cues: tuple[tuple[NumberKey, str, float], ...]

    @property
    def nbytes(self) -> int:
        """Roughly."""
        return 500 * len(self.of_cues)


def _points(seen: Seen) -> _Points:
    return _Points(tuple(_shares_of_cues(seen)))


def _shares_of_cues(one: Seen) -> Iterator[tuple[NumberKey, str, float]]:
    if one.cell.kind == Decodability.name:
        for number in one.numbers:
            if number.role == "value" and number.metric in OTHER_CUE:
                yield (
                    NumberKey(metric="", probe=number.probe, layer=number.layer),
                    number.metric,
                    number.value,
                )
        return
    trials = _trials(one)
    for protocol, rows in _asked(trials):
        conflict = rows[rows["shape"] != rows["texture"]]
        for cue in OTHER_CUE:
            value = float((conflict["decision"] == conflict[cue]).mean())
            yield NumberKey(metric="", variant=protocol), cue, value
    probed = trials[(trials["protocol"] == CROSSED_PROBE) & trials["decision"].notna()]
    for name, rows in probed.groupby("cue", sort=False):
        value = float((rows["decision"] == rows[name]).mean())
        yield NumberKey(metric="", probe=LINEAR_PROBE), str(name), value


def _half_rise(run: Sequence[Seen], values: Sequence[float]) -> tuple[float, str]:
    samples = [one.cell.samples_seen for one in run]
    if any(one is None for one in samples):
        return math.nan, "the samples that were seen are unknown"
    seen = np.array(samples, np.float64)
    early, late = (_window(seen, *window) for window in (_EARLY, _LATE))
    try:
        result = half_rise(values, seen, early, late)
    except MetricError:
        return math.nan, "the run has no revision at 10 to 20 % of its samples"
    return result["octaves"], result["causes"].get("octaves", "")


def _window(seen: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((seen >= low * seen[-1]) & (seen <= high * seen[-1]))


def _leads(run: Sequence[Seen], curves: _Curves) -> dict[NumberKey, dict[str, tuple[float, str]]]:
    """Of each way of asking, from the half-rise of the probe to that of the answers, with the cause of a NaN."""
    probed = curves.get(NumberKey(metric="", probe=LINEAR_PROBE))
    if probed is None:
        return {}
    leads: dict[NumberKey, dict[str, tuple[float, str]]] = {}
    for key, by_cue in curves.items():
        if key.probe != LINEAR_PROBE:
            for cue in probed:
                (first, cause), (second, later) = (_half_rise(run, one[cue]) for one in (probed, by_cue))
                note = f"decodability: {cause}" if cause else f"answers: {later}" if later else ""
                leads.setdefault(key, {})[cue] = second - first, note
    return leads
