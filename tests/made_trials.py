"""Made-up trials of one revision, by kind: `TRIALS["shape_bias"](rng, skill)`; the same items for every revision."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.gratings import TESTS, grating_items

Rng = np.random.Generator
NAMES = ("boat", "car", "cat", "dog")


def _items(n: int) -> Rng:
    """Draws what all revisions share: what people say, and what is hard."""
    return np.random.default_rng(n)


def zero_shot(rng: Rng, skill: float, n: int = 60) -> pd.DataFrame:
    labels = np.arange(n) % 10
    first = np.where(_items(n).random(n) + rng.random(n) < 2 * skill, labels, (labels + 1) % 10)
    ranking = [[int(one), *((one + k) % 10 for k in range(1, 5))] for one in first]
    return pd.DataFrame({"item": np.arange(n), "label": labels, "ranking": ranking, "n_classes": 10})


LEVELS = {"none": (0.0,), "gaussian": (0.1, 0.2), "contrast": (0.5, 0.1), "grey": (np.nan,)}


def noise(
    rng: Rng, skill: float, n: int = 120, levels: Mapping[str, Sequence[float]] = LEVELS
) -> pd.DataFrame:
    """Hard images fail first, so the decisions of an image go together."""
    labels, ease = np.arange(n) % 10, _items(n).random(n)
    blocks = []
    for strength, (condition, level) in enumerate((c, one) for c in levels for one in levels[c]):
        right = ease + 0.2 * rng.random(n) < skill - 0.1 * strength
        probed = np.where(rng.random(n) < 0.7, labels, (labels + 1) % 10)
        block = {
            "item": np.arange(n),
            "label": labels,
            "condition": condition,
            "level": level,
            "decision": np.where(right, labels, (labels + 3) % 10),
            "probe_decision": pd.array(np.where(np.arange(n) == 3, -1, probed), "Int64"),
            "n_classes": 10,
            "human_accuracy": 0.9,
        }
        blocks.append(pd.DataFrame(block))
    return pd.concat(blocks, ignore_index=True)


def shape_bias(rng: Rng, skill: float) -> pd.DataFrame:
    """Images with every way of asking, most of them conflicts; ``skill`` is the share of decisions for the shape."""
    pairs = [
        (s, t, f"{s}{i}", f"{t}{j}")
        for s, t in product(NAMES, NAMES)
        for i, j in product(range(3), range(3))
        if s != t or i == j
    ]
    rows = pd.DataFrame(pairs, columns=["shape", "texture", "shape_exemplar", "texture_exemplar"])
    rows = rows.assign(item=range(len(rows)), image_id=[f"i{k}" for k in range(len(rows))])

    def decided(lean: float, draw: Rng) -> np.ndarray:
        # What is left goes to one class, so that no two are decided for most often.
        luck = draw.random(len(rows))
        for_texture = luck < lean + 0.8 * (1 - lean)
        return np.where(luck < lean, rows["shape"], np.where(for_texture, rows["texture"], NAMES[0]))

    effects, people = rng.normal(0, 0.02, len(rows)), _items(9)
    free = {"preference": rng.random(len(rows)), "mate_effect": effects - effects.mean()}
    blocks = [rows.assign(protocol=one, decision=decided(skill, rng)) for one in ("", "name")]
    blocks += [rows.assign(protocol="text_free", **free)]
    for cue in ("shape", "texture"):
        blocks += [rows.assign(protocol="crossed_probe", cue=cue, decision=decided(skill, rng))]
    for who in ("one", "two", "three"):
        blocks += [rows.assign(protocol="human", observer=who, decision=decided(0.9, people))]
    return pd.concat(blocks, ignore_index=True)


def similarity(rng: Rng, skill: float, n: int = 200) -> pd.DataFrame:
    """Triplets of 40 images, of which a model sees the depths."""
    shared = _items(n)
    images, depth = np.array([shared.choice(40, 3, replace=False) for _ in range(n)]), shared.normal(size=40)
    seen = depth + (1 - skill) * rng.normal(size=40)

    def distances(values: np.ndarray) -> list[np.ndarray]:
        return [np.abs(values[images[:, at]] - values[images[:, 0]]) for at in (1, 2)]

    near, far = distances(depth)
    columns = dict(zip(("reference", "image_0", "image_1"), images.T, strict=True))
    columns |= dict(zip(("value_0", "value_1"), distances(seen), strict=True))
    columns |= {"judgement": (far < near).astype(float), "votes": 5, "subset": "one", "probe": "projection"}
    place = {"distance": "cosine", "dropped_dimensions": 0, "layer": pd.array([None] * n, "Int64")}
    return pd.DataFrame({"item": range(n), **columns, **place})


def representation(rng: Rng, skill: float, n: int = 10) -> pd.DataFrame:
    """Dissimilarities of ten images by the projection and by four people."""
    first, second = np.triu_indices(n, 1)
    shared = _items(n)
    truth = shared.random(len(first))
    vectors = {("person", f"person_{at}", ""): truth + shared.normal(0, 0.3, len(first)) for at in range(4)}
    vectors["projection", "", "cosine"] = truth + rng.normal(0, 1 - skill, len(first))
    pairs = {"item": first, "partner": second, "category": "one", "partner_category": "one"}
    return pd.concat(
        [
            pd.DataFrame(pairs | {"probe": probe, "name": name, "distance": distance, "value": value}).assign(
                layer=pd.array([None] * len(first), "Int64")
            )
            for (probe, name, distance), value in vectors.items()
        ],
        ignore_index=True,
    )


def label_distribution(rng: Rng, skill: float, n: int = 60) -> pd.DataFrame:
    labels = np.repeat(np.arange(3), n // 3)
    counts = _items(n).multinomial(20, np.ones(3) / 3, n) + 20 * np.eye(3, dtype=int)[labels]
    human = counts / counts.sum(axis=1, keepdims=True)
    cosines = np.log(human + 0.05) + rng.normal(0, 1 - skill, human.shape)
    rows = {"item": np.arange(n), "label": labels, "counts": counts.tolist(), "cosines": cosines.tolist()}
    return pd.DataFrame(rows | {"logit_scale": 1.0})


def classification(rng: Rng, skill: float) -> pd.DataFrame:
    """Ten objects of each of four classes as edges, silhouettes and at a contrast, with two people."""
    places = (("edge", "0"), ("silhouette", "0"), ("contrast", "c30"))
    rows = pd.DataFrame(
        [(*place, name, f"{name}{k}") for place in places for name in NAMES for k in range(10)],
        columns=["subset", "condition", "category", "exemplar"],
    )
    rows = rows.assign(item=range(len(rows)), image_id=rows["exemplar"])
    hard, other = _items(3).random(len(rows)), np.roll(rows["category"], 7)

    def decided(lean: float, draw: Rng) -> np.ndarray:
        return np.where(hard + draw.random(len(rows)) < 2 * lean, rows["category"], other)

    people = _items(4)
    blocks = [rows.assign(protocol="", decision=decided(skill, rng), observer="")]
    blocks += [
        rows.assign(protocol="human", decision=decided(0.6, people), observer=who) for who in ("s1", "s2")
    ]
    return pd.concat(blocks, ignore_index=True)


def gratings(exemplars: int) -> pd.DataFrame:
    """What the test of masking shows: each grating at its contrasts, so many times."""
    items = grating_items()
    items = items[items["test"] == "masking_contrast"]
    rows = [
        (item, contrast, exemplar)
        for item, one in items.iterrows()
        for contrast in ((one["criterion"],) if one["is_criterion"] else TESTS["masking_contrast"].contrasts)
        for exemplar in range(exemplars)
    ]
    shown = pd.DataFrame(rows, columns=["item", "contrast", "exemplar"])
    return items.loc[shown["item"]].reset_index(drop=True).assign(**shown, dropped_dimensions=0)


def psychophysics_trials(epoch: int) -> pd.DataFrame:
    """Distances that grow with the contrast, more flatly under a mask in later epochs; layer 1 is silent at first."""
    judged = gratings(8).assign(highest_frequency=8.0)
    steep = judged["contrast"] / (0.02 + 0.1 * epoch * judged["level"])
    value = steep**1.3 * (1 + 0.02 * judged["exemplar"])
    places: list[tuple[str, int | None, str, Any]] = [
        ("projection", None, "cosine", value),
        ("hidden", 0, "cosine", value**0.9),
        ("hidden", 1, "cosine", value * (epoch > 0)),
        ("pixels", None, "rmse", judged["contrast"]),
    ]
    blocks = [
        judged.assign(probe=probe, layer=layer, distance=distance, value=values)
        for probe, layer, distance, values in places
    ]
    return pd.concat([one.astype({"layer": "Int64"}) for one in blocks], ignore_index=True)


TRIALS: dict[str, Callable[[Rng, Any], pd.DataFrame]] = {
    "classification/model_vs_human": classification,
    "label_distribution/cifar10h": label_distribution,
    "noise/cifar10": noise,
    "psychophysics/procedural": lambda rng, skill: psychophysics_trials(round(10 * skill)),
    "representation/objects92": representation,
    "shape_bias/cue_conflict": shape_bias,
    "similarity/material_similarity": similarity,
    "zero_shot/cifar10": zero_shot,
}
