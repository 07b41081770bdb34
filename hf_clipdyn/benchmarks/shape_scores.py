"""The numbers of `ShapeBias`, from its trials alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import NO_INTERVAL, Common, Influence, number
from hf_clipdyn.metrics.bootstrap import clustered_share_interval
from hf_clipdyn.metrics.cue_preference import anchor_preference
from hf_clipdyn.metrics.error_consistency import consistency_influences, observer_consistency
from hf_clipdyn.metrics.shape_bias import decision_influences, shape_bias
from hf_clipdyn.results.row import Number

__all__ = [
    "CONFLICT",
    "CROSSED_PROBE",
    "HUMAN",
    "LINEAR_PROBE",
    "OBSERVERS",
    "OTHER_CUE",
    "TEXT_FREE",
    "shape_influences",
    "shape_numbers",
]

TEXT_FREE, CROSSED_PROBE, HUMAN = "text_free", "crossed_probe", "human"
"""What the column ``protocol`` of the trials says; any other protocol is a way of asking with prompts."""
CONFLICT, LINEAR_PROBE, OBSERVERS = "conflict", "linear_probe", "observers"
"""The subset of images with a conflict, the probe and the reference that rows name."""

OTHER_CUE = {"shape": "texture", "texture": "shape"}

_BIASES = ("shape_bias", "texture_bias")
# Which columns of the table the results of the functions of `hf_clipdyn.metrics` belong to.
_DECISIONS: dict[str, dict[str, Any]] = {
    **{name: {"metric": name} for name in (*_BIASES, "cue_accuracy")},
    "null_cue_accuracy": {"metric": "cue_accuracy", "role": "null"},
    **{name: {"metric": name} for name in ("shape_accuracy", "texture_accuracy", "top_class_share")},
}
_CONSISTENCY: dict[str, dict[str, Any]] = {
    "kappa": {"metric": "error_consistency"},
    "kappa_min": {"metric": "error_consistency", "role": "lower_bound"},
    "kappa_max": {"metric": "error_consistency", "role": "upper_bound"},
}
_BETWEEN_HUMANS: dict[str, Any] = {
    "metric": "error_consistency",
    "probe": "",
    "role": "human",
    "reference": OBSERVERS,
}


def shape_numbers(trials: pd.DataFrame, common: Common) -> list[Number]:
    """Bias and accuracies of every prompt set, the text-free measures, consistency with people."""
    parts = _by_protocol(trials)
    numbers: list[Number] = []
    for protocol, rows in parts.items():
        if protocol == TEXT_FREE:
            numbers += _score_preference(rows, common)
        elif protocol == CROSSED_PROBE:
            numbers += _score_probe(rows, common)
        elif protocol == HUMAN:
            numbers += _score_consistency(parts[""], rows, common)
        else:
            numbers += _score_decisions(protocol, rows, common)
    return numbers


def shape_influences(trials: pd.DataFrame) -> Iterator[Influence]:
    """What each image contributes to the error of each number: all are smooth functions of means over images."""
    parts = _by_protocol(trials)
    for protocol, rows in parts.items():
        if protocol == TEXT_FREE:
            yield from _preference_influences(rows)
        elif protocol == CROSSED_PROBE:
            yield from _probe_influences(rows)
        elif protocol == HUMAN:
            yield from _consistency_influences(parts[""], rows)
        else:
            yield from _decision_influences(protocol, rows)


def _by_protocol(trials: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(protocol): rows for protocol, rows in trials.groupby("protocol", sort=False)}


def _score_decisions(prompts: str, rows: pd.DataFrame, common: Common) -> list[Number]:
    result = shape_bias(
        rows["decision"].to_list(),
        rows["shape"].to_list(),
        rows["texture"].to_list(),
        **_exemplars(rows),
        **common.resampling,
    )
    return [
        number(
            result,
            key,
            variant=prompts,
            n_clusters=_n_clusters(rows),
            interpretable=bool(result["interpretable"]) if key in _BIASES else None,
            **columns,
        )
        for key, columns in _DECISIONS.items()
    ]


def _decision_influences(prompts: str, rows: pd.DataFrame) -> Iterator[Influence]:
    found = decision_influences(*(rows[name].to_list() for name in ("decision", "shape", "texture")))
    for key, values in found.items():
        yield Influence(values=pd.Series(values, index=rows["item"]), variant=prompts, **_DECISIONS[key])


def _score_preference(rows: pd.DataFrame, common: Common) -> list[Number]:
    """The share of the triplets that the shape mate wins."""
    rows = _with_mates(rows)
    if rows["preference"].isna().all():
        note = "no image has both a shape and a texture mate"
        return [Number(metric="shape_preference", value=float("nan"), note=note)]
    result = anchor_preference(
        rows["preference"], rows["mate_effect"], **_exemplars(rows), **common.resampling
    )
    return [number(result, "shape_preference", n_clusters=_n_clusters(rows))]


def _preference_influences(rows: pd.DataFrame) -> Iterator[Influence]:
    """Each image counts as anchor and as mate."""
    rows = _with_mates(rows)
    preference = rows["preference"]
    n_anchors = int(preference.notna().sum())
    if n_anchors:
        as_anchor = (preference - preference.mean()).fillna(0.0)
        values = (as_anchor + rows["mate_effect"]) / n_anchors
        yield Influence(metric="shape_preference", values=values.set_axis(rows["item"]))


def _with_mates(rows: pd.DataFrame) -> pd.DataFrame:
    """The images that are anchor or mate of any triplet."""
    return rows[rows["preference"].notna() | (rows["mate_effect"] != 0)]


def _score_probe(rows: pd.DataFrame, common: Common) -> list[Number]:
    """Accuracy of the linear probes for shape and for texture, and chance: how much an embedding tells about each cue.

    Nothing forces one to fall where the other rises, unlike the decisions with prompts. A guess is among all classes
    of the cue but the image's class of the other cue (`decide_crossed`).
    """
    numbers = []
    for cue, columns, asked, decided in _probed(rows):
        if decided.empty:
            note = (
                "fewer than two classes have two exemplars, of which one could be held out, "
                "or no exemplar of the other cue is shared by two classes"
            )
            numbers.append(Number(value=float("nan"), note=note, **columns))
            continue
        hits, ends = _hits(decided, cue), NO_INTERVAL
        if common.n_resamples:
            ways = [pd.factorize(decided[f"{way}_exemplar"])[0] for way in OTHER_CUE]
            ends = clustered_share_interval(hits, np.ones(len(hits)), ways, common.confidence_level)
        result = {cue: hits.mean(), f"{cue}_ci": ends, "n": len(hits)}
        candidates = decided[cue].nunique() - decided[OTHER_CUE[cue]].isin(decided[cue])
        chance = float((1 / candidates).mean())
        numbers += [
            number(result, cue, n_clusters=_n_clusters(decided), **columns),
            Number(role="chance", value=chance, n=len(asked), **columns),
        ]
    return numbers


def _probe_influences(rows: pd.DataFrame) -> Iterator[Influence]:
    """Chance has no error."""
    for cue, columns, asked, decided in _probed(rows):
        hits = _hits(decided, cue)
        if len(hits):
            values = pd.Series((hits - hits.mean()) / len(hits), index=decided["item"])
            yield Influence(values=values, **columns)
            yield Influence(values=pd.Series(0.0, index=asked["item"]), role="chance", **columns)


def _probed(rows: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any], pd.DataFrame, pd.DataFrame]]:
    """Each cue with the columns of its number, the images that its probe was asked about, and those it decided on."""
    for cue in OTHER_CUE:
        asked = rows[rows["cue"] == cue]
        yield (
            cue,
            {"metric": f"{cue}_accuracy", "probe": LINEAR_PROBE},
            asked,
            asked[asked["decision"].notna()],
        )


def _hits(decided: pd.DataFrame, cue: str) -> NDArray[np.float64]:
    return np.asarray(decided["decision"] == decided[cue], dtype=np.float64)


def _score_consistency(decisions: pd.DataFrame, humans: pd.DataFrame, common: Common) -> list[Number]:
    """Mean kappa of the model with each human observer, its possible range, and that of the observers in pairs.

    Correct is who answers the class of the shape. Both sets of images are in use, and they differ: all of them, and
    those whose cues are in conflict.
    """
    numbers = []
    for subset, images, observers, correct in _beside_people(decisions, humans):
        place: dict[str, Any] = {"subset": subset, "n_clusters": _n_clusters(images)}
        keywords = _exemplars(images) | {
            "n_resamples": common.n_resamples,
            "confidence_level": common.confidence_level,
        }
        model = observer_consistency(observers, correct, **keywords)
        numbers += [number(model, key, **columns, **place) for key, columns in _CONSISTENCY.items()]
        if observers.shape[1] > 1:
            human = observer_consistency(observers, **keywords)
            numbers.append(number(human, "kappa", **_BETWEEN_HUMANS, **place))
    return numbers


def _consistency_influences(decisions: pd.DataFrame, humans: pd.DataFrame) -> Iterator[Influence]:
    for subset, images, observers, correct in _beside_people(decisions, humans):
        found = [
            (values, _CONSISTENCY[key]) for key, values in consistency_influences(observers, correct).items()
        ]
        if observers.shape[1] > 1:
            found.append((consistency_influences(observers)["kappa"], _BETWEEN_HUMANS))
        for values, columns in found:
            yield Influence(values=pd.Series(values, index=images["item"]), subset=subset, **columns)


def _beside_people(
    decisions: pd.DataFrame, humans: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame, NDArray[np.float64], NDArray[np.bool_]]]:
    """Subset, its images, whether each observer named the shape, and whether the model did."""
    conflict = decisions["shape"] != decisions["texture"]
    for subset, images in (("", decisions), (CONFLICT, decisions[conflict])):
        observers = _named_shape(images, humans)
        if observers.size and len(images):
            yield subset, images, observers, np.asarray(images["decision"] == images["shape"], dtype=bool)


def _named_shape(images: pd.DataFrame, humans: pd.DataFrame) -> NDArray[np.float64]:
    """Whether each observer named the shape, (images, observers); NaN for an image that one did not see."""
    observers, names = pd.factorize(humans["observer"], sort=True)
    table = np.full((len(images), len(names)), np.nan)
    rows = pd.Index(images["item"]).get_indexer(humans["item"])
    seen = rows >= 0
    right = np.asarray(humans["decision"] == humans["shape"], dtype=np.float64)
    table[rows[seen], observers[seen]] = right[seen]
    answered = ~np.isnan(table).all(axis=0)
    return table[:, answered]


def _exemplars(rows: pd.DataFrame) -> dict[str, Any]:
    return {f"{cue}_exemplars": rows[f"{cue}_exemplar"].to_list() for cue in OTHER_CUE}


def _n_clusters(rows: pd.DataFrame) -> int:
    return min(int(rows[f"{cue}_exemplar"].nunique()) for cue in OTHER_CUE)
