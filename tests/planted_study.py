"""A study of planted observers with its trials: made-up answers, scored and stored as `clipdyn evaluate` does it."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kept_cells import keep_scored
from result_rows import cell

from hf_clipdyn.benchmarks.gratings import TESTS, grating_items
from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias
from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot
from hf_clipdyn.results.cells import CellStore

EPOCHS = 4


def cue_conflict_trials(seed: int, shape: float) -> pd.DataFrame:
    """Decisions for the shape with this probability, for the texture in most other cases; people prefer the shape.

    Images without a conflict are among them.
    """
    classes = ("boat", "car", "cat", "dog")
    images = pd.DataFrame(
        [
            (a, b, f"{a}{i}", f"{b}{j}")
            for a in classes
            for b in classes
            for i in range(3)
            for j in range(3)
            if a != b or i == j
        ],
        columns=["shape", "texture", "shape_exemplar", "texture_exemplar"],
    )
    images = images.assign(item=np.arange(len(images)), image_id=[f"image{i}" for i in range(len(images))])

    def decided(p: float, rng: np.random.Generator) -> pd.DataFrame:
        draw, guess = rng.random(len(images)), rng.choice(classes, len(images))
        cue = np.where(
            draw < p, images["shape"], np.where(draw < p + 0.8 * (1 - p), images["texture"], guess)
        )
        return images.assign(decision=cue)

    model = decided(shape, np.random.default_rng(seed)).assign(protocol="")
    people = [
        decided(0.9, np.random.default_rng([99, k])).assign(protocol="human", observer=f"subject-{k:02d}")
        for k in (1, 2, 3)
    ]
    free = images.assign(protocol="text_free", preference=np.nan, mate_effect=0.0)
    trials = pd.concat([free, model, *people], ignore_index=True)
    return trials.assign(cue=None, condition=None)


def zero_shot_trials(seed: int, right: float, n_classes: int = 10, n: int = 400) -> pd.DataFrame:
    """First choices that are right with this probability, else among the next three classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    first = np.where(rng.random(n) < right, labels, (labels + rng.integers(1, 4, n)) % n_classes)
    ranking = [[int(one), *((one + k) % n_classes for k in range(1, 5))] for one in first]
    return pd.DataFrame({"item": np.arange(n), "label": labels, "ranking": ranking, "n_classes": n_classes})


def noise_trials(seed: int, clean: float, n: int = 300, n_classes: int = 10) -> pd.DataFrame:
    """Decisions that get worse with the noise, by prompts and by a probe."""
    rng = np.random.default_rng(seed)
    labels, ease = np.arange(n) % n_classes, rng.random(n)
    blocks = []
    for condition, level in (("none", 0.0), *(("gaussian", one) for one in (0.05, 0.1, 0.2, 0.4))):
        accuracy = 0.1 + (clean - 0.1) * np.exp(-4 * level)
        wrong = (labels + rng.integers(1, n_classes, n)) % n_classes
        decision = np.where(ease < accuracy, labels, wrong)
        columns = {"item": np.arange(n), "label": labels, "condition": condition, "level": level}
        columns |= {"decision": decision, "probe_decision": decision}
        columns |= {"n_classes": n_classes, "human_accuracy": np.nan, "protocol": ""}
        blocks.append(pd.DataFrame(columns).astype({"probe_decision": "Int64"}))
    return pd.concat(blocks, ignore_index=True)


def psychophysics_trials(epoch: int) -> pd.DataFrame:
    """Distances that grow with the contrast, more flatly under a mask in later epochs; layer 1 is silent at first."""
    items = grating_items()
    items = items[items["test"] == "masking_contrast"]
    rows = [
        (item, contrast, exemplar)
        for item, one in items.iterrows()
        for contrast in ((one["criterion"],) if one["is_criterion"] else TESTS["masking_contrast"].contrasts)
        for exemplar in range(8)
    ]
    shown = pd.DataFrame(rows, columns=["item", "contrast", "exemplar"])
    judged = items.loc[shown["item"]].reset_index(drop=True).assign(**shown, highest_frequency=8.0)
    steep = judged["contrast"] / (0.02 + 0.1 * epoch * judged["level"])
    value = steep**1.3 * (1 + 0.02 * judged["exemplar"])
    places: list[tuple[str, int | None, str, Any]] = [
        ("projection", None, "cosine", value),
        ("hidden", 0, "cosine", value**0.9),
        ("hidden", 1, "cosine", value * (epoch > 0)),
        ("pixels", None, "rmse", judged["contrast"]),
    ]
    blocks = [
        judged.assign(probe=probe, layer=layer, distance=distance, value=values, dropped_dimensions=0)
        for probe, layer, distance, values in places
    ]
    return pd.concat([one.astype({"layer": "Int64"}) for one in blocks], ignore_index=True)


def _planted(run: int, epoch: int) -> Iterator[tuple[type[Kind[Any]], str, pd.DataFrame]]:
    seed, grown = 10 * run + epoch, epoch / (EPOCHS - 1)
    yield ShapeBias, "cue_conflict", cue_conflict_trials(seed, 0.2 + 0.6 * grown)
    yield ZeroShot, "cifar10", zero_shot_trials(seed, 0.1 + 0.8 * grown)
    yield Noise, "cifar10", noise_trials(seed, 0.12 + 0.8 * grown)
    yield Psychophysics, "procedural", psychophysics_trials(epoch)


def write_study(
    folder: Path,
    *,
    runs: Sequence[str] = ("me/planted",),
    epochs: Sequence[int] = range(EPOCHS),
) -> Path:
    """The table of some runs on four benchmarks, with cells and trials beside it."""
    output = folder / "results.parquet"
    store = CellStore(output)
    for number, run in enumerate(runs):
        for epoch in epochs:
            for kind, dataset, trials in _planted(number, epoch):
                one = cell(
                    f"epoch-{epoch:03d}",
                    f"{kind.name}/{dataset}",
                    repo_id=run,
                    commit=f"{number}{epoch}" * 20,
                    epoch=epoch,
                    step=100 * epoch,
                    samples_seen=6400 * epoch,
                    score_version=kind.score_version,
                    seconds=math.nan,
                )
                keep_scored(store, one, trials)
    store.rebuild()
    return output
