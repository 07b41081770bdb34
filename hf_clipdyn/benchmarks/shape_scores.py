"""The numbers of `ShapeBias`, from its trials alone: one function for each way of asking."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import Influence, Measurement, Settings, check_columns, measurement
from hf_clipdyn.metrics.bootstrap import clustered_share_interval
from hf_clipdyn.metrics.cue_preference import anchor_preference
from hf_clipdyn.metrics.error_consistency import consistency_influences, observer_consistency
from hf_clipdyn.metrics.shape_bias import decision_influences, shape_bias
from hf_clipdyn.metrics.undefined import undefined_causes

__all__ = [
    "OTHER_CUE",
    "consistency_influences_of",
    "decision_influences_of",
    "preference_influences",
    "probe_influences",
    "score_consistency",
    "score_decisions",
    "score_preference",
    "score_probe",
]

# Neither end of a bias is better; more cue decisions and a quiet class prior are what makes it readable.
_KEYS: dict[str, bool | None] = {
    "shape_bias": None,
    "texture_bias": None,
    "cue_accuracy": True,
    "null_cue_accuracy": None,
    "shape_accuracy": None,
    "texture_accuracy": None,
    "interpretable": None,
    "top_class_share": None,
}
OTHER_CUE = {"shape": "texture", "texture": "shape"}


def score_decisions(protocol: str, rows: pd.DataFrame, settings: Settings) -> list[Measurement]:
    """Bias and accuracies of the decisions with one prompt set ("" is the default one)."""
    with undefined_causes() as causes:
        result = shape_bias(
            rows["decision"].to_list(),
            rows["shape"].to_list(),
            rows["texture"].to_list(),
            **_exemplars(rows),
            **settings.resampling,
        )
    suffix = f"/{protocol}" if protocol else ""
    return [
        measurement(
            result, key, causes, metric=key + suffix, n_groups=_n_groups(rows), higher_is_better=better
        )
        for key, better in _KEYS.items()
    ]


def decision_influences_of(protocol: str, rows: pd.DataFrame) -> Iterator[Influence]:
    """What each image contributes to the error of the numbers of `score_decisions`."""
    found = decision_influences(*(rows[name].to_list() for name in ("decision", "shape", "texture")))
    suffix = f"/{protocol}" if protocol else ""
    for name, values in found.items():
        yield Influence(name + suffix, pd.Series(values, index=rows["item"]))


def score_preference(rows: pd.DataFrame, settings: Settings) -> list[Measurement]:
    """The share of the triplets that the shape mate wins."""
    rows = _with_mates(rows)
    if rows["preference"].isna().all():
        return [
            Measurement("shape_preference", float("nan"), note="no image has both a shape and a texture mate")
        ]
    result = anchor_preference(
        rows["preference"], rows["mate_effect"], **_exemplars(rows), **settings.resampling
    )
    return [measurement(result, "shape_preference", {}, n_groups=_n_groups(rows))]


def preference_influences(rows: pd.DataFrame) -> Iterator[Influence]:
    """What each image contributes to the error of the text-free preference, as anchor and as mate."""
    rows = _with_mates(rows)
    preference = rows["preference"]
    n_anchors = int(preference.notna().sum())
    if n_anchors:
        as_anchor = (preference - preference.mean()).fillna(0.0)
        values = (as_anchor + rows["mate_effect"]) / n_anchors
        yield Influence("shape_preference", values.set_axis(rows["item"]))


def _with_mates(rows: pd.DataFrame) -> pd.DataFrame:
    """The images that are anchor or mate of any triplet."""
    check_columns("shape_bias", rows, ["mate_effect"])
    return rows[rows["preference"].notna() | (rows["mate_effect"] != 0)]


def score_probe(rows: pd.DataFrame, settings: Settings, *, has_chance: bool) -> list[Measurement]:
    """Accuracy of the linear probes for shape and for texture, and chance: what an embedding holds of either cue.

    Nothing forces one to fall where the other rises, unlike the decisions with prompts. A guess is among all classes
    of the cue but the image's class of the other cue (`decide_crossed`).

    Args:
        has_chance: False for the trials of an earlier probe, whose floor is not known: no chance is given.
    """
    measurements, chances = [], set()
    for cue in ("shape", "texture"):
        asked = rows[rows["cue"] == cue]
        decided = asked[asked["decision"].notna()]
        n, groups = len(decided), 0 if decided.empty else _n_groups(decided)
        value, low, high, note = float("nan"), float("nan"), float("nan"), ""
        if decided.empty:
            note = (
                "fewer than two classes have two exemplars, of which one could be held out, "
                "or no exemplar of the other cue is shared by two classes"
            )
        else:
            hits = np.asarray(decided["decision"] == decided[cue], dtype=np.float64)
            value = float(hits.mean())
            candidates = decided[cue].nunique() - decided[OTHER_CUE[cue]].isin(decided[cue])
            chances.add(float((1 / candidates).mean()))
            if settings.n_resamples:
                ways = [pd.factorize(decided[f"{way}_exemplar"])[0] for way in ("shape", "texture")]
                low, high = clustered_share_interval(hits, np.ones(n), ways, settings.confidence_level)
        measurements.append(
            Measurement(
                *(f"{cue}_accuracy", value, low, high, n, groups),
                probe="linear_probe",
                higher_is_better=True,
                note=note,
            )
        )
    if has_chance and len(chances) == 1:
        measurements.append(Measurement("chance", chances.pop(), n=len(rows) // 2, probe="linear_probe"))
    return measurements


def probe_influences(rows: pd.DataFrame) -> Iterator[Influence]:
    """What each image contributes to the error of the numbers of `score_probe`; chance has none."""
    for cue in ("shape", "texture"):
        decided = rows[(rows["cue"] == cue) & rows["decision"].notna()]
        hits = np.asarray(decided["decision"] == decided[cue], dtype=np.float64)
        if len(hits):
            values = pd.Series((hits - hits.mean()) / len(hits), index=decided["item"])
            yield Influence(f"{cue}_accuracy", values, probe="linear_probe")
    items = rows["item"].unique()
    yield Influence("chance", pd.Series(0.0, index=items), probe="linear_probe")


def score_consistency(decisions: pd.DataFrame, humans: pd.DataFrame, settings: Settings) -> list[Measurement]:
    """Mean kappa of the model with each human observer, its possible range, and that of the observers in pairs.

    Correct is who answers the class of the shape. Both sets of images are in use, and they differ: all of them, and
    those whose cues are in conflict.
    """
    measurements = []
    for group, images, observers, correct in _beside_people(decisions, humans):
        exemplars = _exemplars(images)
        groups = _n_groups(images)
        common: dict[str, Any] = {"group": group, "n_groups": groups}
        keywords: dict[str, Any] = {
            "n_resamples": settings.n_resamples,
            "confidence_level": settings.confidence_level,
        }
        with undefined_causes() as causes:
            model = observer_consistency(observers, correct, **exemplars, **keywords)
        for key, name in (("kappa", ""), ("kappa_min", "_min"), ("kappa_max", "_max")):
            measurements.append(
                measurement(
                    model,
                    key,
                    causes,
                    metric=f"error_consistency{name}",
                    higher_is_better=None if name else True,
                    **common,
                )
            )
        if observers.shape[1] > 1:
            with undefined_causes() as causes:
                human = observer_consistency(observers, **exemplars, **keywords)
            measurements.append(
                measurement(human, "kappa", causes, metric="error_consistency", probe="human", **common)
            )
    return measurements


def consistency_influences_of(decisions: pd.DataFrame, humans: pd.DataFrame) -> Iterator[Influence]:
    """What each image contributes to the error of the numbers of `score_consistency`."""
    for group, images, observers, correct in _beside_people(decisions, humans):
        items = images["item"]
        for key, values in consistency_influences(observers, correct).items():
            name = key.replace("kappa", "error_consistency")
            yield Influence(name, pd.Series(values, index=items), group=group)
        if observers.shape[1] > 1:
            values = consistency_influences(observers)["kappa"]
            yield Influence("error_consistency", pd.Series(values, index=items), group=group, probe="human")


def _beside_people(
    decisions: pd.DataFrame, humans: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame, NDArray[np.float64], NDArray[np.bool_]]]:
    """Group, its images, whether each observer named the shape, and whether the model did."""
    conflict = decisions["shape"] != decisions["texture"]
    for group, images in (("images=all", decisions), ("images=conflict", decisions[conflict])):
        observers = _answers(images, humans)
        if observers.size and len(images):
            yield group, images, observers, np.asarray(images["decision"] == images["shape"], dtype=bool)


def _answers(images: pd.DataFrame, humans: pd.DataFrame) -> NDArray[np.float64]:
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
    return {f"{cue}_exemplars": rows[f"{cue}_exemplar"].to_list() for cue in ("shape", "texture")}


def _n_groups(rows: pd.DataFrame) -> int:
    return min(int(rows["shape_exemplar"].nunique()), int(rows["texture_exemplar"].nunique()))
