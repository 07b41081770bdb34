"""Which samples a run showed between two revisions: its sampler, asked again with the run's recipe and data.

The order follows from the seed, the rows and the size of a batch. A run's folder keeps what its recipe does not say of
them in `training_data.json`. NumPy does not promise the same random numbers in all versions.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from accelerate.utils import gather_object
from numpy.typing import NDArray

from hf_clipdyn.errors import ConfigError, RevisionError, TrainingError, UnknownNameError, shown
from hf_clipdyn.files import write_atomically
from hf_clipdyn.options import read_yaml
from hf_clipdyn.revisions import open_series
from hf_clipdyn.schema import CommitId, Count, Matches, Within, read_json
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.inputs import open_rows
from hf_clipdyn.training.loop import Callback, Training
from hf_clipdyn.training.mapped import Order

RECORD_FILE = "training_data.json"


class Samples(NamedTuple):
    """What a run showed in successive steps of one epoch.

    Attributes:
        epoch: counted from 1.
        first_step: steps that the run had taken before the first of these.
        rows: int64, (steps, global batch) rows of the split. An image that replaced a broken one counts, the broken one
            does not.
        captions: int64, (steps, global batch) the index of the caption among those of the image.

    Examples:
        >>> from hf_clipdyn import samples_between
        >>> samples = next(samples_between("runs/demo", "epoch-001", "epoch-002"))
        >>> samples.epoch, samples.first_step, samples.rows.shape
        (2, 46, (46, 64))
    """

    epoch: int
    first_step: int
    rows: NDArray[np.int64]
    captions: NDArray[np.int64]


@dataclass(frozen=True)
class DataRecord:
    """The content of `training_data.json`.

    Attributes:
        fingerprint: see `hf_clipdyn.training.inputs.Rows`; None for a stream.
        commit: of a data set on the Hub; None for other data, or if the Hub did not answer.
        global_batch_size: images of a step over all processes.
        left_out: rows that were known to be broken before the training.
        broken: rows that were found broken while training.
    """

    fingerprint: Annotated[str, Matches("[0-9a-f]{64}", "a SHA-256, 64 hexadecimal digits")] | None
    commit: CommitId | None
    global_batch_size: Annotated[int, Within(1, 2**40)]
    left_out: tuple[Count, ...] = ()
    broken: tuple[Count, ...] = ()


class RecordData(Callback):
    """Keeps the record of a run's data in its folder, complete before anything is published.

    Args:
        folder: of the run.
        record: without what training finds broken.
        steps: that become revisions inside epochs.
        name: of the data set.
    """

    def __init__(self, folder: Path, record: DataRecord, steps: set[int], name: str = "") -> None:
        self._path, self._record, self._steps, self._name = folder / RECORD_FILE, record, steps, name

    def load_state(self, training: Training, folder: Path) -> None:  # noqa: ARG002  (as every callback)
        path = folder.resolve().parents[1] / RECORD_FILE
        if not path.is_file():  # of an earlier version
            return
        was, now = read_json(DataRecord, path, error=TrainingError), self._record
        if None not in (was.commit, now.commit) and was.commit != now.commit:
            raise ConfigError(
                f"The run of {folder} began with its data set at commit {was.commit}, which is at {now.commit} now: go "
                f"on with the dataset_name {self._name}@{was.commit}, or start a new run in another output_dir."
            )
        if was.fingerprint != now.fingerprint:
            raise ConfigError(
                f"The training data have changed since the run of {folder} began: restore them, or start a new run in "
                "another output_dir."
            )
        self._record = replace(now, broken=was.broken)

    def run_begins(self, training: Training) -> None:
        self._keep(training)

    def step_ends(self, training: Training) -> None:
        if training.step in self._steps:
            self._keep(training)

    def epoch_ends(self, training: Training) -> None:
        self._keep(training)

    def run_ends(self, training: Training) -> None:
        self._keep(training)

    def _keep(self, training: Training) -> None:
        found: set[int] = set().union(self._record.broken, *gather_object([training.source.broken]))
        self._record = replace(self._record, broken=tuple(sorted(found)))
        if training.accelerator.is_main_process:
            write_atomically(self._path, json.dumps(asdict(self._record)) + "\n")


def samples_between(run: str | Path, first: str, last: str) -> Iterator[Samples]:
    """The samples that a run showed after one revision and up to another one, by epoch.

    It reads the captions of the run's data, not its images.

    Args:
        run: folder of a run of `clipdyn train`, which did not read a stream.
        first, last: names of revisions; ``epoch-000`` is the beginning.

    Returns:
        `Samples` for each epoch that has steps in between.

    Raises:
        UnknownNameError: there is no such revision.
        ConfigError: ``last`` is earlier than ``first``, or the run read a stream.
        RevisionError: the folder has no record of its data, or they have changed.

    Examples:
        >>> from hf_clipdyn import samples_between
        >>> for samples in samples_between("runs/demo", "epoch-001", "epoch-003"):
        ...     samples.epoch, samples.rows.shape
        (2, (46, 64))
        (3, (46, 64))
    """
    start, end = _steps(run, first, last)
    if end < start:
        raise ConfigError(
            f"{last} (step {end}) is earlier than {first} (step {start}): exchange the two revisions."
        )
    record, order, _ = _replay(Path(run))
    return _shown(record, order, start, end)


def times_seen(run: str | Path, revision: str) -> NDArray[np.int64]:
    """How often a run had shown each image before a revision.

    Args:
        run: as for `samples_between`.
        revision: its name.

    Returns:
        (rows of the data set,) int64.

    Raises:
        UnknownNameError, ConfigError, RevisionError: as `samples_between` does.

    Examples:
        >>> from hf_clipdyn import times_seen
        >>> int(times_seen("runs/demo", "epoch-002").max())
        2
    """
    (end,) = _steps(run, revision)
    record, order, rows = _replay(Path(run))
    shown = [samples.rows.ravel() for samples in _shown(record, order, 0, end)]
    return np.bincount(np.concatenate([np.empty(0, np.int64), *shown]), minlength=rows)


def _steps(run: str | Path, *names: str) -> list[int]:
    """The steps of these revisions."""
    if not (Path(run) / RECORD_FILE).is_file():
        raise RevisionError(
            f"{shown(str(run))} has no {RECORD_FILE}: name the folder of a run of `clipdyn train`, of version 0.4 or "
            "newer."
        )
    steps = {revision.name: revision.step for revision in open_series(run).revisions()}
    for name in names:
        if steps.get(name) is None:
            raise UnknownNameError("revision", name, steps)
    return [step for name in names if (step := steps[name]) is not None]


def _replay(folder: Path) -> tuple[DataRecord, Order, int]:
    """The record of a run, its order, and the number of its rows. Plug-ins of the run are not loaded."""
    config = TrainingConfig(**read_yaml(folder / "config.yaml") | {"plugin": ()})
    record = read_json(DataRecord, folder / RECORD_FILE, error=RevisionError)
    if config.streaming:
        raise ConfigError(
            f"The run of {folder} read a stream, whose order is not replayed: ask for a run with `reading` cached or "
            "decoded."
        )
    rows = open_rows(
        config if record.commit is None else config.but(dataset_name=f"{config.dataset[0]}@{record.commit}")
    )
    if rows.fingerprint != record.fingerprint:
        raise RevisionError(
            f"The training data of {folder} have changed since the run began: restore them to replay their order."
        )
    first = np.cumsum([0, *map(len, rows.captions)])
    drawn = np.setdiff1d(np.arange(len(rows.captions)), record.left_out)
    return record, Order(drawn, first, config.order_seed), len(rows.captions)


def _shown(record: DataRecord, order: Order, start: int, end: int) -> Iterator[Samples]:
    """What the steps from ``start``, included, to ``end``, excluded, showed."""
    size = record.global_batch_size
    per_epoch = len(order.rows) // size
    while start < end:
        epoch, skipped = start // per_epoch + 1, start % per_epoch
        steps = min(per_epoch - skipped, end - start)
        part = slice(skipped * size, (skipped + steps) * size)
        rows, captions = (drawn[part].copy() for drawn in order.of_epoch(epoch))
        for i in np.flatnonzero(np.isin(rows, record.broken)):
            candidates = order.in_place_of(epoch, int(rows[i]), int(captions[i]))
            whole = (one for one in candidates if one[0] not in record.broken)
            rows[i], captions[i] = next(whole, (rows[i], captions[i]))
        captions -= order.first[rows]
        yield Samples(epoch, start, rows.reshape(steps, size), captions.reshape(steps, size))
        start += steps
