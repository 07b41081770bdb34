"""A study of planted observers with its trials: made-up answers, scored and stored as `clipdyn evaluate` does it."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from kept_cells import keep
from made_trials import noise, psychophysics_trials, shape_bias, zero_shot
from result_rows import cell

from hf_clipdyn.results.cells import CellStore

EPOCHS = 4
SIGMAS = {"none": (0.0,), "gaussian": (0.05, 0.1, 0.2, 0.4)}


def cue_conflict_trials(seed: int, shape: float) -> pd.DataFrame:
    """Decisions for the shape with this probability by prompts, and of people, who prefer the shape."""
    trials = shape_bias(np.random.default_rng(seed), shape)
    return trials[trials["protocol"].isin(["", "text_free", "human"])]


def _planted(run: int, epoch: int) -> dict[str, pd.DataFrame]:
    seed, grown = 10 * run + epoch, epoch / (EPOCHS - 1)
    rng = np.random.default_rng(seed)
    return {
        "shape_bias/cue_conflict": cue_conflict_trials(seed, 0.2 + 0.6 * grown),
        "zero_shot/cifar10": zero_shot(rng, 0.1 + 0.8 * grown, 400),
        "noise/cifar10": noise(rng, 0.12 + 0.8 * grown, levels=SIGMAS),
        "psychophysics/procedural": psychophysics_trials(epoch),
    }


def write_study(
    folder: Path,
    *,
    runs: Sequence[str] = ("me/planted",),
    epochs: Sequence[int] = range(EPOCHS),
) -> Path:
    """The table of some runs on four benchmarks, with cells and trials beside it."""
    output = folder / "results.parquet"
    store = CellStore(output)
    for (number, run), epoch in product(enumerate(runs), epochs):
        at = {"epoch": epoch, "step": 100 * epoch, "samples_seen": 6400 * epoch}
        for benchmark, trials in _planted(number, epoch).items():
            commit = f"{number}{epoch}" * 20
            keep(store, cell(f"epoch-{epoch:03d}", benchmark, repo_id=run, commit=commit, **at), trials)
    store.rebuild()
    return output
