"""The second stage: show the stimuli of a benchmark to a revision, whose answers are the trials."""

from typing import Any, cast

import pandas as pd
from accelerate import PartialState

from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.readout import Readout, map_over_processes
from hf_clipdyn.evaluation.plan import PlannedCell
from hf_clipdyn.results.row import Cell


def observe(planned: PlannedCell, readout: Readout) -> pd.DataFrame:
    """The trials of one cell: ``split``, ``row`` and ``file`` of the stimulus, then the columns of the kind.

    Every process calls it, and each gets all trials.

    Returns:
        A row per stimulus and condition. ``row`` is the row in the data set, ``file`` the image's file name ("" if
        unknown).
    """
    if planned.texts is not None:
        readout = readout.with_texts(planned.texts)
    trials = planned.kind.observe(readout)
    _check_columns(type(planned.kind), trials)
    counts = map_over_processes(range(PartialState().num_processes), lambda _: len(trials))
    assert set(counts) == {len(trials)}, f"the processes saw unequal numbers of stimuli: {counts}"
    items = trials["item"].to_numpy()
    rows = items if planned.kind.rows is None else planned.kind.rows[items]
    place = {"split": planned.cell.split, "row": rows, "file": planned.files[rows]}
    return pd.concat([pd.DataFrame(place, index=trials.index), trials], axis=1)


def _check_columns(kind: type[Kind[Any]], trials: pd.DataFrame) -> None:
    returned = {str(name): str(dtype) for name, dtype in trials.dtypes.items()}
    declared = {
        name: str(pd.Series([], dtype=cast("Any", of)).dtype) for name, of in kind.trial_columns.items()
    }
    assert not declared or returned == declared, (
        f"{kind.name} declares the trial columns {declared} and returned {returned}"
    )
    assert "item" in returned, f"the trials of {kind.name} lack the column item"
    taken = set(returned) & (
        {"row", "file", *Cell.__annotations__} - {"other"}
    )  # trials have no other revision
    assert not taken, f"the trials of {kind.name} have columns with reserved names: {taken}"
