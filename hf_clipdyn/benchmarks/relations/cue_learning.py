"""Does training change the decision, or what is represented? Answers for shape and texture, and their half-rises."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.relation import Relation, Scored, Seen, mean_of_seeds, related
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
from hf_clipdyn.metrics.scores import Score, mean
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_EARLY, _LATE = (0.1, 0.2), (0.9, 1.0)  # shares of the samples of the run
_ANSWERS = {"shape": "the shape", "texture": "the texture", "other": "another class"}
_COLUMNS = (
    *("item", "shape", "texture", "shape_exemplar", "texture_exemplar"),
    *("protocol", "decision", "cue", "observer", "condition"),
)
_SHARE: dict[str, Any] = {"limits": (0.0, 1.0)}
_JOINS = ("metric", "variant")

_Curves: TypeAlias = dict[NumberKey, dict[str, list[float]]]
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
                    meaning=f"Share of the images whose answer is {title}.",
                    **_SHARE,
                )
                for name, title in _ANSWERS.items()
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
                    meaning=f"Half-rise of the answers for the {cue} minus half-rise of its decodability, in octaves "
                    "of samples: positive if the representation comes first.",
                    unit="octaves",
                    neutral=0.0,
                    neutral_title="at once",
                )
                for cue in OTHER_CUE
            },
        },
        references=(
            Reference(role="chance", title="the same answers in random order", joins=_JOINS),
            Reference(role="human", name=OBSERVERS, title="human observers", joins=("metric",)),
            Reference(role="value", name="seeds", title="all seeds"),
        ),
    )
    reads = ("shape_bias", "decodability")
    score_version = 2

    @classmethod
    def trace(cls, run: Sequence[Seen], seed: int) -> Iterator[Scored]:
        """The shares of each revision, and the half-rises of the run."""
        del seed
        if run[0].cell.kind == "shape_bias":
            yield from _shares(run)
        curves = _curves(run)
        for key, by_cue in curves.items():
            for cue, values in by_cue.items():
                yield related(key, f"{cue}_half_rise", _half_rise(run, values), n=0)
        for key, leads in _leads(run, curves).items():
            for cue, lead in leads.items():
                yield related(key, f"{cue}_lead", lead)

    @classmethod
    def over_seeds(cls, runs: Sequence[Sequence[Seen]], seed: int) -> Iterator[Scored]:
        """The mean lead over seeds, whose interval is that of the seeds."""
        del seed
        each = [_leads(run, _curves(run)) for run in runs]
        for key, by_cue in each[0].items():
            for cue in by_cue:
                leads = [one[key][cue].value if key in one else math.nan for one in each]
                yield mean_of_seeds(key, f"{cue}_lead", leads)


def _shares(run: Sequence[Seen]) -> Iterator[Scored]:
    trials = _trials(run[0])
    people = _answers(trials[trials["protocol"] == HUMAN])[1]
    for revision in run:
        for protocol, rows in _asked(_trials(revision)):
            key, at = NumberKey(metric="", variant=protocol), revision.cell.revision
            items, scores, chance = _answers(rows)
            for name, score in scores.items():
                yield related(key, f"{name}_share", score, items, at=at)
            for name, value in chance.items():
                yield related(key, f"{name}_share", value, role="chance", n=len(items), at=at)
                if not protocol and people[name].n:
                    of_people = Score(people[name].value, n=people[name].n)
                    asked: dict[str, Any] = {"role": "human", "reference": OBSERVERS}
                    yield related(key, f"{name}_share", of_people, at=at, **asked)


def _answers(rows: pd.DataFrame) -> tuple[NDArray[Any], dict[str, Score], dict[str, float]]:
    """Items whose cues are in conflict, the shares of their answers, and those of the same answers in random order."""
    known = set(rows["shape"]) | set(rows["texture"])
    rows = rows[rows["shape"] != rows["texture"]]
    hits = {cue: (rows["decision"] == rows[cue]).to_numpy() for cue in OTHER_CUE}
    hits["other"] = ~(hits["shape"] | hits["texture"])
    hits["unclassified"] = ~rows["decision"].isin(known).to_numpy()
    decided = rows["decision"].value_counts(normalize=True)
    chance = {
        cue: float(decided.mul(rows[cue].value_counts(normalize=True), fill_value=0).sum())
        for cue in OTHER_CUE
    }
    cause = "no row has a texture other than its shape"
    scores = {name: mean(values, "count", cause) for name, values in hits.items()}
    return rows["item"].to_numpy(), scores, chance | {"other": 1 - sum(chance.values())}


def _trials(revision: Seen) -> pd.DataFrame:
    """The trials of a revision, without those of grey images."""
    trials = revision.trials(_COLUMNS)
    return trials[is_untouched(trials)]


def _asked(trials: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The trials of each way of asking with prompts."""
    asked = trials[~trials["protocol"].isin([TEXT_FREE, TEXT_FREE_ALL, CROSSED_PROBE, HUMAN])]
    return ((str(protocol), rows) for protocol, rows in asked.groupby("protocol", sort=False))


def _curves(run: Sequence[Seen]) -> _Curves:
    """Of the answers with each set of prompts, and of the linear probes; only what all revisions have."""
    curves: _Curves = {}
    for revision in run:
        for key, cue, value in _points(revision):
            curves.setdefault(key, {}).setdefault(cue, []).append(value)
    return {
        key: by_cue
        for key, by_cue in curves.items()
        if all(len(values) == len(run) for values in by_cue.values())
    }


def _points(revision: Seen) -> Iterator[tuple[NumberKey, str, float]]:
    """The numbers of one revision of which curves are made."""
    if revision.cell.kind == "decodability":
        for number in revision.numbers:
            if number.role == "value" and number.metric in OTHER_CUE:
                key = NumberKey(metric="", probe=number.probe, layer=number.layer)
                yield key, number.metric, number.value
        return
    trials = _trials(revision)
    for protocol, rows in _asked(trials):
        conflict = rows[rows["shape"] != rows["texture"]]
        for cue in OTHER_CUE:
            value = float((conflict["decision"] == conflict[cue]).mean())
            yield NumberKey(metric="", variant=protocol), cue, value
    probed = trials[(trials["protocol"] == CROSSED_PROBE) & trials["decision"].notna()]
    for name, rows in probed.groupby("cue", sort=False):
        value = float((rows["decision"] == rows[name]).mean())
        yield NumberKey(metric="", probe=LINEAR_PROBE), str(name), value


def _half_rise(run: Sequence[Seen], values: Sequence[float]) -> Score:
    samples = [revision.cell.samples_seen for revision in run]
    if any(one is None for one in samples):
        return Score(math.nan, cause="the samples that were seen are unknown")
    seen = np.array(samples, np.float64)
    early, late = ((seen >= low * seen[-1]) & (seen <= high * seen[-1]) for low, high in (_EARLY, _LATE))
    try:
        return half_rise(values, seen, early, late)
    except MetricError:
        return Score(math.nan, cause="the run has no revision at 10 to 20 % of its samples")


def _leads(run: Sequence[Seen], curves: _Curves) -> Mapping[NumberKey, Mapping[str, Score]]:
    """Of each way of asking, from the half-rise of the probe to that of the answers."""
    probed = curves.get(NumberKey(metric="", probe=LINEAR_PROBE), {})
    leads: dict[NumberKey, dict[str, Score]] = {}
    for key, by_cue in curves.items():
        for cue in probed if key.probe != LINEAR_PROBE else ():
            first, second = (_half_rise(run, of_cue[cue]) for of_cue in (probed, by_cue))
            note = f"decodability: {first.cause}" if first.cause else ""
            note = note or (f"answers: {second.cause}" if second.cause else "")
            leads.setdefault(key, {})[cue] = Score(second.value - first.value, cause=note)
    return leads
