"""Which samples a run showed between two revisions: its order, asked again with the run's recipe and data.

The order follows from the seed, the rows and the size of a batch. A run's folder keeps what its recipe does not say of
them in `training_data.json`. NumPy does not promise the same random numbers in all versions.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from accelerate.utils import gather_object
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from hf_clipdyn.errors import ConfigError, RevisionError, TrainingError, check_known, naming
from hf_clipdyn.files import write_atomically
from hf_clipdyn.options import read_yaml
from hf_clipdyn.revisions import open_series
from hf_clipdyn.training.callbacks import Callback, Training
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.data import Data, Order, open_rows

RECORD_FILE = "training_data.json"


class Samples(NamedTuple):
    """What a run showed in successive steps of one epoch.

    Attributes:
        epoch: counted from 1.
        first_step: steps that the run had taken before the first of these.
        rows: int64, (steps, global batch) rows of the split. An image that replaced a broken one counts, the broken one
            does not.
        captions: int64, (steps, global batch) the index of the caption among the image's captions.

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


class DataRecord(BaseModel):
    """The content of `training_data.json`.

    Attributes:
        fingerprint: see `hf_clipdyn.training.data.Rows`; None for a stream.
        global_batch_size: images of a step over all processes.
        left_out: rows that were known to be broken before the training.
        broken: rows that were found broken while training.
        commit: of a data set on the Hub; None for other data, and in records of earlier versions.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    global_batch_size: Annotated[int, Field(ge=1, le=2**40)]
    left_out: tuple[NonNegativeInt, ...] = ()
    broken: tuple[NonNegativeInt, ...] = ()
    commit: str | None = None


def _read_record(folder: Path) -> DataRecord:
    with naming(folder / RECORD_FILE, RevisionError):
        return DataRecord.model_validate_json((folder / RECORD_FILE).read_bytes())


class RecordData(Callback):
    """Keeps the record of a run's data in its folder.

    Args:
        path: of the record.
        data: of the run.
        dataset: its name, without a commit.
        checkpoint: that the run continues; None for a new run.

    Raises:
        ConfigError: the run of the checkpoint began with other data.
    """

    def __init__(self, path: Path, data: Data, dataset: str, checkpoint: Path | None) -> None:
        self._path, self._record = (
            path,
            DataRecord(
                fingerprint=data.fingerprint,
                global_batch_size=data.source.global_batch_size,
                left_out=tuple(sorted(data.source.known_broken)),
                commit=data.commit,
            ),
        )
        if checkpoint is None:
            return
        run = checkpoint.resolve().parents[1]
        was = _read_record(run)
        if was.commit and data.commit and was.commit != data.commit:
            raise ConfigError(
                f"The run in {run} began with its data set at commit {was.commit}: continue with --dataset_name "
                f"{dataset}@{was.commit}, or start a new run."
            )
        if was.fingerprint != data.fingerprint:
            raise ConfigError(
                f"The training data have changed since the run of {checkpoint} began: restore them, or start a new "
                "run in another output_dir."
            )
        kept = {"broken": was.broken, "commit": data.commit or was.commit}
        self._record = self._record.model_copy(update=kept)

    def run_begins(self, training: Training) -> None:
        broken = set(self._record.broken).union(*gather_object([training.source.broken]))
        self._record = self._record.model_copy(update={"broken": tuple(sorted(broken))})
        if training.accelerator.is_main_process:
            with naming(self._path, TrainingError):
                write_atomically(self._path, self._record.model_dump_json() + "\n")

    epoch_ends = run_ends = run_begins


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
        raise ConfigError(f"{last} (step {end}) is earlier than {first} (step {start}): exchange the two.")
    record, order = _replay(Path(run))
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
    record, order = _replay(Path(run))
    times = np.zeros(len(order.first) - 1, np.int64)
    for samples in _shown(record, order, 0, end):
        times += np.bincount(samples.rows.ravel(), minlength=len(times))
    return times


def _steps(run: str | Path, *names: str) -> list[int]:
    """The steps of these revisions."""
    revisions = open_series(str(run)).revisions()
    steps = {revision.name: revision.step for revision in revisions if revision.step is not None}
    check_known("revision", names, steps)
    return [steps[name] for name in names]


def _replay(folder: Path) -> tuple[DataRecord, Order]:
    """The record of a run, and its order. Plug-ins of the run are not loaded."""
    record = _read_record(folder)
    config = TrainingConfig(**read_yaml(folder / "config.yaml") | {"plugin": ()})
    if config.streaming:
        raise ConfigError(
            f"The run of {folder} read a stream, whose order is not replayed: name another run."
        )
    rows = open_rows(config)
    if rows.fingerprint != record.fingerprint:
        raise RevisionError(
            f"The training data of {folder} have changed since the run began: restore them to replay their order."
        )
    first = np.cumsum([0, *map(len, rows.captions)])
    drawn = np.setdiff1d(np.arange(len(rows.captions)), record.left_out)
    return record, Order(drawn, first, config.order_seed)


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
            whole = (pair for pair in candidates if pair[0] not in record.broken)
            rows[i], captions[i] = next(whole, (rows[i], captions[i]))
        captions -= order.first[rows]
        yield Samples(epoch, start, rows.reshape(steps, size), captions.reshape(steps, size))
        start += steps
