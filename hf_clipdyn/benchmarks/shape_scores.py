"""The words and the numbers of `ShapeBias`, from its trials alone."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.heads import HEAD, probe_of
from hf_clipdyn.benchmarks.kind import number
from hf_clipdyn.results.row import Number

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from hf_clipdyn.metrics.scores import Scale

    Scored = tuple[Number, Scale]

TEXT_FREE, TEXT_FREE_ALL, CROSSED_PROBE, HUMAN = "text_free", "text_free_all", "crossed_probe", "human"
"""What the column ``protocol`` of the trials says; any other protocol is the head or a way of asking with prompts."""
LINEAR_PROBE, OBSERVERS = "linear_probe", "observers"
"""The probe and the reference that rows name."""
BY_IMAGE, BY_PERSON = "people by image", "people by person"
"""References of the mean of people's own shape biases, with what each image and with what each person contributes."""
ALL_CLASSES, GREY, UNTOUCHED = "all_classes", "grey", "none"
"""The subset of images of all classes where decisions are among some, and what was done to the images."""
ASKED = ("", "name", HEAD)
"""Ways of asking for a class that are scored: the default prompts, the name alone, the head of a classifier."""

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
_ACCURACIES = ("cue_accuracy", "shape_accuracy", "texture_accuracy")
_PEOPLE: dict[str, Any] = {"probe": "", "role": "human"}


def shape_numbers(trials: "pd.DataFrame", seed: int) -> "Iterator[Scored]":
    """Bias and accuracies of every way of asking, the text-free measures, and those of people.

    All are smooth functions of means over images.
    """
    from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

    conditions = trials["condition"].fillna(UNTOUCHED) if "condition" in trials else UNTOUCHED
    for condition, shown in trials.groupby(trials.assign(condition=conditions)["condition"], sort=False):
        place = {"condition": str(condition)}
        parts = {str(protocol): rows for protocol, rows in shown.groupby("protocol", sort=False)}
        for protocol, rows in parts.items():
            if protocol in ASKED:
                yield from _decisions(rows, protocol, place, seed)
            elif protocol in (TEXT_FREE, TEXT_FREE_ALL):
                yield _preference(rows, place | {"subset": ALL_CLASSES if protocol == TEXT_FREE_ALL else ""})
            elif protocol == CROSSED_PROBE:
                yield from _probes(rows, place)
            elif protocol == HUMAN:
                yield from _own_biases(rows)
                if TEXT_FREE_ALL in parts:  # the published numbers of people are those on all classes
                    yield from _of_people(rows, seed)
    if set(trials["protocol"]) & set(ASKED) and set(trials["shape"]) <= set(GEIRHOS_CLASSES):
        yield from _published()


def _decisions(
    rows: "pd.DataFrame", protocol: str, place: Mapping[str, Any], seed: int
) -> "Iterator[Scored]":
    from hf_clipdyn.metrics.shape_bias import shape_bias

    found = shape_bias(rows["decision"].to_list(), rows["shape"], rows["texture"], seed=seed)
    named = {**place, "variant": "" if protocol == HEAD else protocol, "probe": probe_of(protocol)}
    flags = {"shape_bias": found.facts["interpretable"]}
    flags |= {f"{cue}_accuracy": found.facts[f"{cue}_above_null"] for cue in OTHER_CUE}
    for metric in ("shape_bias", *_ACCURACIES):
        yield number(metric, found[metric], rows["item"], interpretable=flags.get(metric), **named)
    for metric in _ACCURACIES:
        yield number(metric, found[f"null_{metric}"], rows["item"], role="null", **named)


def _of_people(answers: "pd.DataFrame", seed: int) -> "Iterator[Scored]":
    """Bias and accuracies of all observers' answers together; each image counts as often as it was judged."""
    from hf_clipdyn.metrics.shape_bias import shape_bias

    found = shape_bias(
        answers["decision"].fillna("na").to_list(), answers["shape"], answers["texture"], seed=seed
    )
    for metric in ("shape_bias", *_ACCURACIES):
        of_answers, scale = number(metric, found[metric], answers["item"], reference=OBSERVERS, **_PEOPLE)
        of_images = of_answers.influence.groupby(level="item").sum()
        yield replace(of_answers, influence=of_images), scale


def _own_biases(answers: "pd.DataFrame") -> "Iterator[Scored]":
    """The mean of people's own shape biases, once with what each image and once with what each person contributes.

    What is particular to a person and an image is in both, so the sum of their variances is a little too large. Nothing
    if fewer than two persons decided for a cue.
    """
    from hf_clipdyn.metrics.scores import mean

    rows = answers[answers["shape"] != answers["texture"]]
    shape = (rows["decision"] == rows["shape"]).astype(float)
    rows = rows.assign(of_shape=shape, either=shape + (rows["decision"] == rows["texture"]).astype(float))
    sums = rows.groupby("observer")[["of_shape", "either"]].sum()
    own = (sums["of_shape"] / sums["either"].where(sums["either"] > 0)).dropna()
    if len(own) < 2:
        return
    rows = rows[rows["observer"].isin(own.index)]
    share, total = (rows["observer"].map(column) for column in (own, sums["either"]))
    of_answers = (rows["of_shape"] - share * rows["either"]) / total / len(own)
    by_image, by_person = of_answers.groupby(rows["item"]).sum(), mean(own, "share")
    for score, units, reference in (
        (replace(by_person, influence=by_image.to_numpy()), by_image.index, BY_IMAGE),
        (by_person, own.index, BY_PERSON),
    ):
        yield number("shape_bias", score, units, reference=reference, **_PEOPLE)


def _preference(rows: "pd.DataFrame", place: Mapping[str, Any]) -> "Scored":
    """The share of the triplets that the shape mate wins; each image counts as anchor and as mate."""
    from hf_clipdyn.metrics.cue_preference import anchor_preference

    kept = rows[rows["preference"].notna() | (rows["mate_effect"] != 0)]
    rows = kept if len(kept) else rows
    found = anchor_preference(rows["preference"], rows["mate_effect"])
    return number("shape_preference", found["shape_preference"], rows["item"], **place)


def _probes(rows: "pd.DataFrame", place: Mapping[str, Any]) -> "Iterator[Scored]":
    """Accuracy of the linear probes for shape and for texture, and chance: how much an embedding tells about each cue.

    Nothing forces one to fall where the other rises, unlike the decisions with prompts. A guess is among all classes
    of the cue but the image's class of the other cue (`decide_crossed`).
    """
    from hf_clipdyn.metrics.scores import Score, mean

    for cue, other in OTHER_CUE.items():
        named = {**place, "metric": f"{cue}_accuracy", "probe": LINEAR_PROBE}
        asked = rows[rows["cue"] == cue]
        decided = asked[asked["decision"].notna()]
        if decided.empty:
            cause = (
                "fewer than two classes have a second exemplar that can be held out, or no exemplar of "
                "the other cue is shared by two classes"
            )
            yield number(score=Score(float("nan"), cause=cause), **named)
            continue
        yield number(score=mean(decided["decision"] == decided[cue], "count"), units=decided["item"], **named)
        candidates = decided[cue].nunique() - decided[other].isin(decided[cue])
        chance = Score(float((1 / candidates).mean()), n=len(asked))
        yield number(score=chance, role="chance", **named)


def decided_by_probe(rows: Any, images: "pd.DataFrame", cue: str) -> "NDArray[np.object_]":
    """What a linear probe reads of one cue in each image, by its class's other exemplars; None if nothing was fitted.

    Args:
        rows: what the probe reads, (images, d).
        images: a row for each, with the class and the exemplar of both cues.
        cue: ``shape`` or ``texture``.
    """
    import numpy as np
    import pandas as pd

    from hf_clipdyn.metrics.linear_probe import decide_crossed

    other = OTHER_CUE[cue]
    classes, names = pd.factorize(images[cue], sort=True)
    others = pd.Index(names).get_indexer(images[other])
    decided = decide_crossed(rows, classes, images[f"{cue}_exemplar"], others, images[f"{other}_exemplar"])
    return np.array([*names, None], object)[decided]  # -1: nothing was fitted


def _published() -> "Iterator[Scored]":
    """What standard networks are published to have decided on these images."""
    from hf_clipdyn.metrics.scores import Score

    for name, (_, shapes, textures) in NETWORKS.items():
        decided = shapes + textures
        for metric, value in {"shape_bias": shapes / decided, "cue_accuracy": decided / N_CONFLICTS}.items():
            score = Score(value, n=N_CONFLICTS, cause="on all 1,280 images")
            yield number(metric, score, role="baseline", reference=name, probe="")


def is_untouched(trials: "pd.DataFrame") -> "pd.Series[bool]":
    """Which trials are of images that were not shown in grey; trials of earlier versions do not say so."""
    import pandas as pd

    if "condition" not in trials:
        return pd.Series(True, index=trials.index)
    return trials["condition"].isna()
