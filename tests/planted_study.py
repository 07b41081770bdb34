"""A study of planted observers with its trials: made-up answers, scored and stored as `clipdyn evaluate` does it."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kept_cells import keep
from made_trials import noise, psychophysics_trials, shape_bias, zero_shot
from result_rows import cell

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias
from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot
from hf_clipdyn.results.cells import CellStore

EPOCHS = 4
SIGMAS = {"none": (0.0,), "gaussian": (0.05, 0.1, 0.2, 0.4)}


def cue_conflict_trials(seed: int, shape: float) -> pd.DataFrame:
    """Decisions for the shape with this probability by prompts, and of people, who prefer the shape."""
    trials = shape_bias(np.random.default_rng(seed), shape)
    return trials[trials["protocol"].isin(["", "text_free", "human"])]


def _planted(run: int, epoch: int) -> Iterator[tuple[type[Kind[Any]], str, pd.DataFrame]]:
    seed, grown = 10 * run + epoch, epoch / (EPOCHS - 1)
    yield ShapeBias, "cue_conflict", cue_conflict_trials(seed, 0.2 + 0.6 * grown)
    rng = np.random.default_rng(seed)
    yield ZeroShot, "cifar10", zero_shot(rng, 0.1 + 0.8 * grown, 400)
    yield Noise, "cifar10", noise(rng, 0.12 + 0.8 * grown, levels=SIGMAS)
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
                keep(store, one, trials)
    store.rebuild()
    return output
