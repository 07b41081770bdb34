"""The numbers of `ShapeBias`, from its trials alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import BY_IMAGE, BY_PERSON, NO_INTERVAL, Common, by_item, mean_by_item, number
from hf_clipdyn.benchmarks.heads import HEAD, at_head
from hf_clipdyn.metrics.bootstrap import clustered_share_interval
from hf_clipdyn.metrics.cue_preference import anchor_preference
from hf_clipdyn.metrics.error_consistency import observer_consistency
from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES, decision_influences, shape_bias
from hf_clipdyn.results.row import Number

TEXT_FREE, TEXT_FREE_ALL, CROSSED_PROBE, HUMAN = "text_free", "text_free_all", "crossed_probe", "human"
"""What the column ``protocol`` of the trials says; any other protocol is the head or a way of asking with prompts."""
CONFLICT, LINEAR_PROBE, OBSERVERS = "conflict", "linear_probe", "observers"
"""The subset of images with a conflict, the probe and the reference that rows name."""
ALL_CLASSES, GREY, UNTOUCHED = "all_classes", "grey", "none"
"""The subset of images of all classes where decisions are among some, and what was done to the images."""

OTHER_CUE = {"shape": "texture", "texture": "shape"}

NETWORKS = {
    "resnet50": ("ResNet-50 (Geirhos et al. 2019)", 162, 572),
    "alexnet": ("AlexNet (Geirhos et al. 2019)", 283, 376),
    "googlenet": ("GoogLeNet (Geirhos et al. 2019)", 228, 503),
    "vgg16": ("VGG-16 (Geirhos et al. 2019)", 130, 625),
}
"""Classifiers of ImageNet: title, and how many of `N_CONFLICTS` images they decided for the shape, for the texture.

Counted in the trials of rgeirhos/texture-vs-shape @ ccd0c01, in
raw-data/style-transfer-512-nomask-*-guessing-experiment and its -trained-CNNs.
"""
N_CONFLICTS = 1200
_ALL_IMAGES = "on all 1,280 images"
_BIASES = ("shape_bias", "texture_bias")
# Which columns of the table the results of the functions of `hf_clipdyn.metrics` belong to.
_DECISIONS: dict[str, dict[str, Any]] = {
    **{name: {"metric": name} for name in (*_BIASES, "cue_accuracy")},
    "null_cue_accuracy": {"metric": "cue_accuracy", "role": "null"},
    **{name: {"metric": name} for name in ("shape_accuracy", "texture_accuracy", "top_class_share")},
    **{f"null_{cue}_accuracy": {"metric": f"{cue}_accuracy", "role": "null"} for cue in ("shape", "texture")},
}
_OF_PEOPLE = (*_BIASES, "cue_accuracy", "shape_accuracy", "texture_accuracy")
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
    """Bias and accuracies of every prompt set, the text-free measures, consistency with people.

    All are smooth functions of means over images.
    """
    numbers: list[Number] = []
    conditions = trials["condition"].fillna(UNTOUCHED) if "condition" in trials else UNTOUCHED
    for condition, shown in trials.groupby(trials.assign(condition=conditions)["condition"], sort=False):
        numbers += [replace(one, condition=str(condition)) for one in _shown_numbers(shown, common)]
    if {one.metric for one in numbers} >= {"shape_bias"} and set(trials["shape"]) <= set(GEIRHOS_CLASSES):
        numbers += _published()
    return numbers


def _shown_numbers(trials: pd.DataFrame, common: Common) -> Iterator[Number]:
    """The numbers of the images as they are, or in grey."""
    parts = {str(protocol): rows for protocol, rows in trials.groupby("protocol", sort=False)}
    for protocol, rows in parts.items():
        if protocol in (TEXT_FREE, TEXT_FREE_ALL):
            yield replace(_preference(rows, common), subset=ALL_CLASSES if protocol == TEXT_FREE_ALL else "")
        elif protocol == CROSSED_PROBE:
            yield from _probes(rows, common)
        elif protocol == HUMAN:
            by_default = HEAD if HEAD in parts else ""
            yield from at_head(list(_consistency(parts[by_default], rows, common)), by_default)
            if TEXT_FREE_ALL in parts:  # the published numbers of people are those on all classes
                yield from _of_people(rows, common)
        else:
            variant = "" if protocol == HEAD else protocol
            yield from at_head(list(_decisions(variant, rows, common)), protocol)


def _published() -> Iterator[Number]:
    """What standard networks are published to have decided on these images."""
    for name, (_, shapes, textures) in NETWORKS.items():
        decided = shapes + textures
        known = {"shape_bias": shapes / decided, "texture_bias": textures / decided}
        for metric, value in (known | {"cue_accuracy": decided / N_CONFLICTS}).items():
            yield Number(
                metric=metric,
                role="baseline",
                reference=name,
                probe="",
                value=value,
                n=N_CONFLICTS,
                note=_ALL_IMAGES,
            )


def _decisions(prompts: str, rows: pd.DataFrame, common: Common) -> Iterator[Number]:
    predictions, shapes, textures = (rows[name].to_list() for name in ("decision", "shape", "texture"))
    result = shape_bias(predictions, shapes, textures, **_exemplars(rows), **common.resampling)
    influences = decision_influences(predictions, shapes, textures)
    place: dict[str, Any] = {"variant": prompts, "n_clusters": _n_clusters(rows)}
    flags = dict.fromkeys(_BIASES, bool(result["interpretable"]))
    flags |= {f"{cue}_accuracy": bool(result[f"{cue}_above_null"]) for cue in OTHER_CUE}
    for key, columns in _DECISIONS.items():
        known = by_item(influences[key], rows["item"])
        yield number(result, key, interpretable=flags.get(key), influence=known, **place, **columns)


def _of_people(answers: pd.DataFrame, common: Common) -> Iterator[Number]:
    """Bias and accuracies of all observers' answers together; each image counts as often as it was judged."""
    predictions, shapes, textures = (
        answers[name].fillna("na").to_list() for name in ("decision", "shape", "texture")
    )
    result = shape_bias(predictions, shapes, textures, **_exemplars(answers), **common.resampling)
    influences = decision_influences(predictions, shapes, textures)
    place: dict[str, Any] = {"probe": "", "role": "human", "reference": OBSERVERS}
    for key in _OF_PEOPLE:
        known = by_item(influences[key], answers["item"]).groupby(level="item").sum()
        yield number(result, key, n_clusters=_n_clusters(answers), influence=known, **place)


def _preference(rows: pd.DataFrame, common: Common) -> Number:
    """The share of the triplets that the shape mate wins; each image counts as anchor and as mate."""
    rows = rows[rows["preference"].notna() | (rows["mate_effect"] != 0)]
    preference = rows["preference"]
    n_anchors = int(preference.notna().sum())
    if not n_anchors:
        note = "no image has both a shape and a texture mate"
        return Number(metric="shape_preference", value=float("nan"), note=note)
    result = anchor_preference(preference, rows["mate_effect"], **_exemplars(rows), **common.resampling)
    as_anchor = (preference - preference.mean()).fillna(0.0)
    values = (as_anchor + rows["mate_effect"]) / n_anchors
    known = by_item(values, rows["item"])
    return number(result, "shape_preference", n_clusters=_n_clusters(rows), influence=known)


def _probes(rows: pd.DataFrame, common: Common) -> Iterator[Number]:
    """Accuracy of the linear probes for shape and for texture, and chance: how much an embedding tells about each cue.

    Nothing forces one to fall where the other rises, unlike the decisions with prompts. A guess is among all classes
    of the cue but the image's class of the other cue (`decide_crossed`).
    """
    for cue, other in OTHER_CUE.items():
        columns: dict[str, Any] = {"metric": f"{cue}_accuracy", "probe": LINEAR_PROBE}
        asked = rows[rows["cue"] == cue]
        decided = asked[asked["decision"].notna()]
        if decided.empty:
            note = (
                "fewer than two classes have a second exemplar that can be held out, or no exemplar of "
                "the other cue is shared by two classes"
            )
            yield Number(value=float("nan"), note=note, **columns)
            continue
        hits, ends = np.asarray(decided["decision"] == decided[cue], dtype=np.float64), NO_INTERVAL
        if common.n_resamples:
            ways = [pd.factorize(decided[f"{way}_exemplar"])[0] for way in OTHER_CUE]
            ends = clustered_share_interval(hits, np.ones(len(hits)), ways, common.confidence_level)
        result = {cue: hits.mean(), f"{cue}_ci": ends, "n": len(hits)}
        known = mean_by_item(hits, decided["item"])
        yield number(result, cue, n_clusters=_n_clusters(decided), influence=known, **columns)
        candidates = decided[cue].nunique() - decided[other].isin(decided[cue])
        chance = float((1 / candidates).mean())
        yield Number(role="chance", value=chance, n=len(asked), **columns)


def _consistency(decisions: pd.DataFrame, humans: pd.DataFrame, common: Common) -> Iterator[Number]:
    """Mean kappa of the model with each human observer, its possible range, and that of the observers in pairs.

    Correct is who answers the class of the shape. Both sets of images are in use, and they differ: all of them, and
    those whose cues are in conflict.
    """
    conflict = decisions["shape"] != decisions["texture"]
    for subset, images in (("", decisions), (CONFLICT, decisions[conflict])):
        observers = right_by_observer(images, humans, "shape")
        if not (observers.size and len(images)):
            continue
        place: dict[str, Any] = {"subset": subset, "n_clusters": _n_clusters(images)}
        exemplars = list(_exemplars(images).values())
        groups = np.stack([np.asarray(one, str) for one in exemplars], axis=1) if exemplars else None
        correct = np.asarray(images["decision"] == images["shape"], dtype=bool)
        asked: list[tuple[Any, dict[str, dict[str, Any]]]] = [(correct, _CONSISTENCY)]
        if observers.shape[1] > 1:
            asked.append((None, {"kappa": _BETWEEN_HUMANS}))
        for answers, keys in asked:
            found = observer_consistency(observers, answers)
            result = found.report(groups, common.confidence_level)
            for key, columns in keys.items():
                influence = found[key].influence
                known = None if influence is None else by_item(influence, images["item"])
                yield number(result, key, influence=known, **columns, **place)


def numbers_of_people(trials: pd.DataFrame) -> list[Number]:
    """The mean of people's own shape biases, once with what each image and once with what each person contributes.

    What is particular to a person and an image is in both, so the sum of their variances is a little too large.

    Args:
        trials: of the kind `shape_bias`.

    Returns:
        Nothing if fewer than two persons decided for a cue.
    """
    rows = trials[trials["protocol"] == HUMAN]
    shape = (rows["decision"] == rows["shape"]).astype(float)
    either = shape + (rows["decision"] == rows["texture"]).astype(float)
    kept = rows.assign(shape_decision=shape, either=either)[rows["shape"] != rows["texture"]]
    sums = kept.groupby("observer")[["shape_decision", "either"]].sum()
    own = (sums["shape_decision"] / sums["either"].where(sums["either"] > 0)).dropna()
    if len(own) < 2:
        return []
    kept = kept[kept["observer"].isin(own.index)]
    share, total = (kept["observer"].map(one) for one in (own, sums["either"]))
    of_answers = (kept["shape_decision"] - share * kept["either"]) / total / len(own)
    by_image, by_person = of_answers.groupby(kept["item"]).sum(), (own - own.mean()) / len(own)
    return [
        Number(
            metric="shape_bias",
            probe="",
            role="human",
            reference=reference,
            value=float(own.mean()),
            influence=influence,
        )
        for reference, influence in ((BY_IMAGE, by_image), (BY_PERSON, by_person))
    ]


def is_untouched(trials: pd.DataFrame) -> "pd.Series[bool]":
    """Which trials are of images that were not shown in grey; trials of earlier versions do not say so."""
    if "condition" not in trials:
        return pd.Series(True, index=trials.index)
    return trials["condition"].isna()


def right_by_observer(images: pd.DataFrame, humans: pd.DataFrame, category: str) -> NDArray[np.float64]:
    """Whether each observer named the class in the column ``category``; NaN for an image that one did not see.

    Args:
        images: a row for each image, with its item.
        humans: a row for each answer, with item, observer and decision.

    Returns:
        (images, observers), the observers sorted by name; those who saw none of the images are left out.
    """
    observers, names = pd.factorize(humans["observer"], sort=True)
    table = np.full((len(images), len(names)), np.nan)
    rows = pd.Index(images["item"]).get_indexer(humans["item"])
    seen = rows >= 0
    right = np.asarray(humans["decision"] == humans[category], dtype=np.float64)
    table[rows[seen], observers[seen]] = right[seen]
    answered = ~np.isnan(table).all(axis=0)
    return table[:, answered]


def _exemplars(rows: pd.DataFrame) -> dict[str, Any]:
    return {f"{cue}_exemplars": rows[f"{cue}_exemplar"].to_list() for cue in OTHER_CUE}


def _n_clusters(rows: pd.DataFrame) -> int:
    return min(int(rows[f"{cue}_exemplar"].nunique()) for cue in OTHER_CUE)
