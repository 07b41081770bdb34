"""The second stage: show a revision the stimuli of a benchmark; its answers are the trials."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd
from accelerate import PartialState

from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.readout import Readout, map_over_processes
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.plan import PlannedCell
from hf_clipdyn.evaluation.precision import PrecisionCheck
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.results.row import Cell

__all__ = ["new_readout", "observe"]


def new_readout(
    encoder: Encoder, folder: Path, name: str, config: EvaluationConfig, say: Callable[[str], Any]
) -> Readout:
    """What benchmarks read of one revision; a lower precision is compared with float32 on the first batch.

    Args:
        encoder: holds the revision's weights.
        folder: with its files.
        name: of the revision.
        config: how.
        say: told how far the precision is from float32.
    """
    check = None
    if config.dtype != "float32":
        check = PrecisionCheck(folder, name, config.device or str(encoder.device), say)
    return Readout(encoder, batch_size=config.batch_size, check=check, name=name)


def observe(planned: PlannedCell, readout: Readout) -> pd.DataFrame:
    """The trials of one cell: ``split``, ``row`` and ``file`` of the stimulus, then the columns of the kind.

    With several processes each calls it, and each gets all trials.

    Returns:
        A row per stimulus and condition. ``row`` is that of the data set, ``file`` the name of the image's file, ""
        if unknown.
    """
    if planned.texts is not None:
        readout = readout.with_texts(planned.texts)
    trials = planned.kind.observe(readout)
    _check_columns(type(planned.kind), trials)
    counts = map_over_processes(range(PartialState().num_processes), lambda _: len(trials))
    assert set(counts) == {len(trials)}, f"the processes saw unequal numbers of stimuli: {counts}"
    rows = trials["item"].to_numpy()
    place = {"split": planned.cell.split, "row": rows, "file": planned.files[rows]}
    return pd.concat([pd.DataFrame(place, index=trials.index), trials], axis=1)


def _check_columns(kind: type[Kind[Any]], trials: pd.DataFrame) -> None:
    found = {str(name): str(dtype) for name, dtype in trials.dtypes.items()}
    declared = {
        name: str(pd.Series([], dtype=cast("Any", of)).dtype) for name, of in kind.trial_columns.items()
    }
    assert found == declared, f"{kind.name} declares the trial columns {declared} and returned {found}"
    assert "item" in found, f"the trials of {kind.name} lack the column item, the row of the data set"
    taken = set(found) & {"row", "file", *Cell.__annotations__}
    assert not taken, f"the trials of {kind.name} have columns with the names of others: {taken}"
