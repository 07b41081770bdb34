"""The order of the training data: what a run records of it, and which samples it showed between two revisions.

`data_order.json` is published with each revision, beside `revisions.json`. It has no list of samples: the order follows
from a seed, from the sizes of the data and from what was found broken, and is computed again where somebody asks. NumPy
does not promise the same random numbers in all versions, so the file has a hash of each epoch. An order with another
hash is refused.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from accelerate.utils import gather_object
from numpy.typing import NDArray

from hf_clipdyn.errors import ConfigError, RevisionError, TrainingError, UnknownNameError
from hf_clipdyn.revisions.listing import Revision, open_series
from hf_clipdyn.revisions.names import Name, Series
from hf_clipdyn.schema import CommitId, Count, Matches, Within, parse_json, read_json
from hf_clipdyn.training.loop import Callback, Training
from hf_clipdyn.training.mapped import Order
from hf_clipdyn.training.source import Found
from hf_clipdyn.training.stream_order import (
    ROW_BITS,
    Block,
    RecordedShards,
    Shuffle,
    Stream,
    drawn_caption,
    shown_samples,
)

__all__ = [
    "ORDER_FILE",
    "DataOrder",
    "DataSet",
    "EpochOrder",
    "OrderRecord",
    "Samples",
    "Streams",
    "read_order",
    "run_lengths",
    "samples_between",
    "shown_between",
    "times_seen",
]

ORDER_FILE = "data_order.json"
_FORMAT_VERSION = 1
_MOST_LISTED = 200_000  # numbers in a list of the file; what has more is not recorded

_Number = Annotated[int, Within(1, 2**40)]
_Rows = Annotated[int, Within(0, 2**32 - 1)]
_Sha256 = Annotated[str, Matches("[0-9a-f]{64}", "a SHA-256, 64 hexadecimal digits")]
_Batch = tuple[NDArray[np.int64], NDArray[np.int64] | None]


class Samples(NamedTuple):
    """What a run showed in successive steps of one epoch.

    Attributes:
        epoch: counted from 1.
        first_step: steps that the run had taken before the first of these.
        rows: int64, (steps, global batch) rows of the split; of a stream (steps, global batch, 2), the number of the
            shard and the row in it. An image that replaced a broken one counts, the broken one does not.
        captions: int64, (steps, global batch) the index of the caption among those of the image; None for a stream
            whose images have different numbers of captions, which are not recorded.

    Examples:
        >>> from hf_clipdyn import samples_between
        >>> samples = next(samples_between("runs/demo", "epoch-001", "epoch-002"))
        >>> samples.epoch, samples.first_step, samples.rows.shape
        (2, 46, (46, 64))
    """

    epoch: int
    first_step: int
    rows: NDArray[np.int64]
    captions: NDArray[np.int64] | None


@dataclass(frozen=True)
class DataSet:
    """The training data, whose rows the order names.

    Attributes:
        name, config, split: as in the recipe; of a folder its last name.
        revision: commit of a data set on the Hub; None for other data, or if the Hub did not answer.
        fingerprint: of `datasets`; None for a stream.
        rows: of the part of the split that the run reads; None for a stream.
        id_column: the column that names an image; None if there is none.
    """

    name: str
    config: str | None
    split: str
    revision: CommitId | None = None
    fingerprint: str | None = None
    rows: _Rows | None = None
    id_column: str | None = None


@dataclass(frozen=True)
class Streams:
    """What the order of a stream depends on.

    Attributes:
        names: of the files, one for each shard; empty if they are unknown.
        shards: their number.
        samples: with a caption, by shard; None for a shard that was not read to its end.
        without_caption: `Sample.index` of the rows that were skipped.
        shuffle_shards, shuffle_samples, streams_per_process: as in the recipe.
        processes: number of training processes.
        caption_numbers: the different numbers of captions that the samples have.
    """

    names: tuple[str, ...]
    shards: Annotated[int, Within(1, _MOST_LISTED)]
    samples: tuple[Count | None, ...]
    without_caption: tuple[Count, ...]
    shuffle_shards: _Number
    shuffle_samples: _Number
    streams_per_process: _Number
    processes: _Number
    caption_numbers: tuple[_Number, ...] = ()


@dataclass(frozen=True)
class EpochOrder:
    """The hash of an epoch's order.

    Attributes:
        epoch: counted from 1.
        steps: the number of its steps that are hashed.
        numpy: the version that drew the order.
        rows, captions: SHA-256 of `Samples.rows` and `Samples.captions` as little-endian int64; a stream has none of
            captions, which take longer to draw than the rows.
    """

    epoch: _Number
    steps: _Number
    numpy: str
    rows: _Sha256
    captions: _Sha256 | None = None


@dataclass(frozen=True)
class DataOrder:
    """The content of `data_order.json`.

    Attributes:
        dataset: the data.
        reading: ``cached``, ``decoded`` or ``streamed``.
        order_seed: of all permutations.
        global_batch_size: images of a step over all processes.
        steps_per_epoch: an incomplete last batch is not shown.
        all_captions: whether an epoch shows each pair of image and caption.
        max_train_samples, validation_size: as in the recipe.
        caption_counts: the number of captions of each row, as (number, rows in succession that have it).
        left_out: rows that were known to be broken before the training.
        broken: rows that were found broken while training; in a stream `Sample.index`.
        streams: of a stream.
        epochs: those that have begun.
    """

    dataset: DataSet
    reading: str
    order_seed: Count
    global_batch_size: _Number
    steps_per_epoch: _Number
    all_captions: bool = False
    max_train_samples: Count | None = None
    validation_size: Count = 0
    caption_counts: tuple[tuple[Count, ...], ...] = ()
    left_out: tuple[Count, ...] = ()
    broken: tuple[Count, ...] = ()
    streams: Streams | None = None
    epochs: tuple[EpochOrder, ...] = ()
    format_version: Count = field(default=_FORMAT_VERSION, kw_only=True)

    def __post_init__(self) -> None:
        if self.format_version != _FORMAT_VERSION:
            raise RevisionError(
                f"the format version is {self.format_version}, this package reads {_FORMAT_VERSION}: update hf-clipdyn."
            )
        if not (self._fits_rows() if self.streams is None else self._fits_streams(self.streams)):
            raise RevisionError("its numbers do not fit together.")
        if any(epoch.steps > self.steps_per_epoch for epoch in self.epochs):
            raise RevisionError("an epoch has more steps than steps_per_epoch.")

    def _fits_rows(self) -> bool:
        runs, rows = self.caption_counts, self.dataset.rows or 0
        samples = sum(run[0] * run[1] for run in runs if len(run) == 2) if self.all_captions else rows
        return (
            all(len(run) == 2 and run[0] > 0 for run in runs)
            and sum(run[1] for run in runs) == (rows if runs or self.epochs else 0)
            and all(row < rows for row in (*self.left_out, *self.broken))
            and self.global_batch_size * self.steps_per_epoch <= max(samples, rows)
        )

    def _fits_streams(self, streams: Streams) -> bool:
        return (
            len(streams.samples) == streams.shards
            and streams.streams_per_process * streams.processes <= streams.shards
            and self.global_batch_size % streams.processes == 0
        )

    def dumps(self) -> str:
        """The text of the file: the same order gives the same bytes."""
        return json.dumps({"format_version": _FORMAT_VERSION, **asdict(self)}, ensure_ascii=False) + "\n"

    @property
    def found(self) -> Found:
        """What was found while training."""
        if self.streams is None:
            return Found(set(self.broken))
        streams = self.streams
        samples = {shard: n for shard, n in enumerate(streams.samples) if n is not None}
        return Found(set(self.broken), set(streams.without_caption), samples, set(streams.caption_numbers))

    def with_found(self, found: Found) -> "DataOrder":
        """The same with what was found, as far as the file can list it."""
        order = replace(self, broken=tuple(sorted(found.broken))[:_MOST_LISTED])
        if self.streams is not None:
            samples = tuple(found.samples.get(shard) for shard in range(self.streams.shards))
            skipped = tuple(sorted(found.without_caption))
            streams = replace(
                self.streams,
                samples=samples,
                without_caption=skipped[:_MOST_LISTED],
                caption_numbers=tuple(sorted(found.caption_numbers)),
            )
            order = replace(order, streams=streams)
        return order

    def can_list(self, found: Found) -> bool:
        """Whether the file lists all that the order depends on."""
        most = max(len(found.broken), len(found.without_caption))
        return most <= _MOST_LISTED and bool(self.caption_counts or self.streams)

    def batches(self, epoch: int, found: Found) -> Iterator[_Batch]:
        """The rows and captions of each step of an epoch, see `Samples`.

        Args:
            epoch: counted from 1.
            found: needs to be complete only as far as the epoch is read; it may grow meanwhile.
        """
        return (
            self._by_row(epoch, found) if self.streams is None else self._streamed(self.streams, epoch, found)
        )

    def _by_row(self, epoch: int, found: Found) -> Iterator[_Batch]:
        counts = np.repeat(*np.array(self.caption_counts, np.int64).T)
        first = np.concatenate([[0], np.cumsum(counts)])
        kept = np.ones(len(counts), bool)
        kept[list(self.left_out)] = False
        order = Order(np.flatnonzero(kept), first, self.order_seed, self.all_captions)
        all_rows, all_captions = order.of_epoch(epoch)
        size = self.global_batch_size
        for start in range(0, self.steps_per_epoch * size, size):
            shown, captions = all_rows[start : start + size].copy(), all_captions[start : start + size].copy()
            for i in np.flatnonzero(np.isin(shown, list(found.broken))) if found.broken else ():
                candidates = order.in_place_of(epoch, int(shown[i]), int(captions[i]))
                whole = ((row, caption) for row, caption in candidates if row not in found.broken)
                shown[i], captions[i] = next(whole, (shown[i], captions[i]))
            yield shown, captions - first[shown]

    def _streamed(self, streams: Streams, epoch: int, found: Found) -> Iterator[_Batch]:
        shuffle = Shuffle(self.order_seed, streams.shuffle_shards, streams.shuffle_samples)
        shards = RecordedShards(self.dataset.name, streams.shards, found)
        per_process, total = streams.streams_per_process, streams.streams_per_process * streams.processes
        flows = [_Flow(Stream(shards, shuffle, epoch, index, total), found.broken) for index in range(total)]
        size = self.global_batch_size // streams.processes
        for step in range(self.steps_per_epoch):
            turn = [flows[p * per_process + step % per_process] for p in range(streams.processes)]
            indices = np.concatenate([flow.take(size) for flow in turn])
            yield np.stack([indices >> ROW_BITS, indices & (2**ROW_BITS - 1)], axis=-1), None


class _Flow:
    """The samples of one stream, some at a time."""

    def __init__(self, stream: Stream[int], broken: set[int]) -> None:
        self._blocks, self._broken = stream.blocks(), broken
        self._block: Block[int] | None = None
        self._place = 0

    def take(self, size: int) -> NDArray[np.int64]:
        """The next samples, with substitutes in place of broken ones."""
        places: list[tuple[Block[int], int]] = []
        shown: list[Any] = []
        while len(places) < size:
            if self._block is None or self._place == len(self._block.samples):
                self._block, self._place = next(self._blocks)
            stop = min(len(self._block.samples), self._place + size - len(places))
            shown.append(np.asarray(self._block.samples)[self._block.order[self._place : stop]])
            places += [(self._block, place) for place in range(self._place, stop)]
            self._place = stop
        indices: NDArray[np.int64] = np.concatenate(shown)
        if self._broken.isdisjoint(indices.tolist()):
            return indices
        whole = shown_samples(places, lambda index: None if int(index) in self._broken else True)
        return np.array([index for index, _ in whole])


class _Walk:
    """The steps of an epoch from its first one on, and the hash of those that were taken."""

    def __init__(self, order: DataOrder, epoch: int, found: Found) -> None:
        self.epoch, self.steps = epoch, 0
        self._batches = order.batches(epoch, found)
        self._rows, self._captions = hashlib.sha256(), hashlib.sha256()
        self._has_captions = order.streams is None

    def to(self, steps: int) -> Iterator[_Batch]:
        """The batches up to this step of the epoch."""
        while self.steps < steps:
            rows, captions = next(self._batches)
            self._rows.update(rows.astype("<i8").tobytes())
            if captions is not None:
                self._captions.update(captions.astype("<i8").tobytes())
            self.steps += 1
            yield rows, captions

    def hashed(self) -> EpochOrder:
        """The steps so far, as they are recorded."""
        captions = self._captions.hexdigest() if self._has_captions else None
        return EpochOrder(self.epoch, self.steps, np.__version__, self._rows.hexdigest(), captions)

    def differs(self, recorded: EpochOrder) -> bool:
        """Whether the hash is another one than that in a record."""
        return self.hashed() != replace(recorded, numpy=np.__version__)


# --- recording ---


class OrderRecord(Callback):
    """Records the order of the data while training. `PublishStates` publishes it, and each checkpoint has it.

    Args:
        order: without epochs.
    """

    def __init__(self, order: DataOrder) -> None:
        self._order, self._found = order, order.found
        self._first = 1  # epoch whose beginning this record has seen
        self._walk: _Walk | None = None
        self._written = (-1, "")

    def dumps(self, training: Training) -> str:
        """The text of `data_order.json` at the current step; all processes call this, the main one gets the text."""
        if self._written[0] != training.step:
            for found in gather_object([training.source.found()]):
                self._found.add(found)
            text = self._record(training) if training.accelerator.is_main_process else ""
            self._written = (training.step, text)
        return self._written[1]

    def _record(self, training: Training) -> str:
        epoch = -(-training.step // self._order.steps_per_epoch)
        steps = training.step - (epoch - 1) * self._order.steps_per_epoch
        order = self._order.with_found(self._found)
        if not order.can_list(self._found):
            order = replace(order, epochs=())
        elif epoch >= self._first:
            if self._walk is None or self._walk.epoch != epoch:
                self._walk = _Walk(order, epoch, self._found)
            for _ in self._walk.to(steps):
                pass
            earlier = tuple(known for known in order.epochs if known.epoch < epoch)
            order = replace(order, epochs=(*earlier, self._walk.hashed()))
        self._order = order
        return order.dumps()

    def save_state(self, training: Training, folder: Path) -> None:
        text = self.dumps(training)
        if training.accelerator.is_main_process:
            (folder / ORDER_FILE).write_text(text, encoding="utf-8")

    def load_state(self, training: Training, folder: Path) -> None:
        path = folder / ORDER_FILE
        if not path.is_file():  # of 0.2.0
            self._first = training.epoch + 1 + (training.step_in_epoch > 0)
            return
        recorded = read_json(DataOrder, path, error=TrainingError)
        _check_commit(recorded.dataset, self._order.dataset, folder)
        self._found.add(recorded.found)
        self._first = min((known.epoch for known in recorded.epochs), default=training.epoch + 1)
        self._order = replace(self._order.with_found(self._found), epochs=recorded.epochs)
        if recorded.epochs:
            last = recorded.epochs[-1]
            self._walk = _Walk(self._order, last.epoch, self._found)
            for _ in self._walk.to(last.steps):
                pass
            if self._walk.differs(last):
                raise ConfigError(
                    f"The checkpoint {folder} has recorded another order of the data in epoch {last.epoch}: the data "
                    f"have changed, or NumPy {np.__version__} draws other numbers than {last.numpy}. Restore the data "
                    f"or install numpy=={last.numpy}, or start a new run in another output_dir."
                )


def _check_commit(recorded: DataSet, now: DataSet, folder: Path) -> None:
    if None not in (recorded.revision, now.revision) and recorded.revision != now.revision:
        raise ConfigError(
            f"The checkpoint {folder} was written with {recorded.name} at commit {recorded.revision}, which is at "
            f"{now.revision} now: go on with --dataset_revision {recorded.revision}, or start a new run in another "
            "output_dir."
        )


def run_lengths(values: Sequence[int] | NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """(value, how often it is repeated) for each stretch of equal values; none if there are too many for the file."""
    array = np.asarray(values)
    starts = np.flatnonzero(np.diff(array, prepend=array[:1] - 1))
    if len(starts) > _MOST_LISTED:
        return ()
    return tuple(zip(array[starts].tolist(), np.diff([*starts.tolist(), len(array)]).tolist(), strict=True))


# --- reading ---


def samples_between(
    run: Name, first: str, last: str, store: Name | None = None, token: str | None = None
) -> Iterator[Samples]:
    """The samples that a run showed after one revision and up to another one, by epoch.

    Args:
        run: as for `list_revisions`: `owner/name`, or the folder of a run.
        first, last: names of revisions; ``epoch-000`` is the beginning.
        store: folder of a local store; None asks the Hub, or a run below `./runs` that was not pushed.
        token: token of the Hub; None for the stored one.

    Returns:
        `Samples` for each epoch that has steps in between, checked by the hashes of `data_order.json`.

    Raises:
        UnknownNameError: there is no such revision.
        ConfigError: ``last`` is earlier than ``first``.
        RevisionError: the order was not recorded, or this NumPy draws another one.

    Examples:
        >>> from hf_clipdyn import samples_between
        >>> for samples in samples_between("runs/demo", "epoch-001", "epoch-003"):
        ...     samples.epoch, samples.rows.shape
        (2, (46, 64))
        (3, (46, 64))
    """
    order, samples = shown_between(open_series(run, store, token), first, last)
    return (replaced for of_epoch in samples for replaced in [_with_captions(order, of_epoch)])


def _with_captions(order: DataOrder, samples: Samples) -> Samples:
    """Of a stream: with the captions that were shown, if all samples have as many."""
    numbers = () if order.streams is None else order.streams.caption_numbers
    if len(numbers) != 1:
        return samples
    drawn_by = next(known.numpy for known in order.epochs if known.epoch == samples.epoch)
    if numbers[0] > 1 and drawn_by != np.__version__:  # no hash would tell
        raise RevisionError(
            f"The captions of epoch {samples.epoch} were drawn by NumPy {drawn_by}, and NumPy {np.__version__} may "
            f"draw others: install numpy=={drawn_by}."
        )
    indices = samples.rows[..., 0] << ROW_BITS | samples.rows[..., 1]
    drawn = [
        drawn_caption(order.order_seed, samples.epoch, index, numbers[0])
        for index in indices.ravel().tolist()
    ]
    return samples._replace(captions=np.array(drawn, np.int64).reshape(indices.shape))


def shown_between(series: Series, first: str, last: str) -> tuple[DataOrder, Iterator[Samples]]:
    """The order of a run, and what `samples_between` says but for the captions of a stream."""
    revisions = _named(series, first, last)
    start, end = map(_step, revisions)
    if end < start:
        raise ConfigError(
            f"{last} (step {end}) is earlier than {first} (step {start}): exchange the two revisions."
        )
    order = read_order(series, revisions[-1])
    epochs = _epochs(order, start, end)
    return order, (samples for epoch in epochs for samples in _shown(order, epoch, start, end))


def times_seen(
    run: Name, revision: str, store: Name | None = None, token: str | None = None
) -> NDArray[np.int64]:
    """How often a run had shown each image before a revision.

    Args:
        run: as for `list_revisions`: `owner/name`, or the folder of a run.
        revision: its name.
        store: folder of a local store; None asks the Hub, or a run below `./runs` that was not pushed.
        token: token of the Hub; None for the stored one.

    Returns:
        (rows of the data set,) int64; of a stream (shards, rows), as far as rows were shown.

    Raises:
        UnknownNameError: there is no such revision.
        RevisionError: the order was not recorded, or this NumPy draws another one.

    Examples:
        >>> from hf_clipdyn import times_seen
        >>> int(times_seen("runs/demo", "epoch-002").max())
        2
    """
    series = open_series(run, store, token)
    (named,) = _named(series, revision)
    end, order = _step(named), read_order(series, named)
    shown = [
        samples.rows.reshape(-1, *samples.rows.shape[2:])
        for epoch in _epochs(order, 0, end)
        for samples in _shown(order, epoch, 0, end)
    ]
    if order.streams is None:
        rows = np.concatenate([np.empty(0, np.int64), *shown])
        return np.bincount(rows, minlength=order.dataset.rows or 0)
    pairs = np.concatenate([np.empty((0, 2), np.int64), *shown])
    times = np.zeros((order.streams.shards, int(pairs[:, 1].max(initial=-1)) + 1), np.int64)
    np.add.at(times, tuple(pairs.T), 1)
    return times


def _named(series: Series, *names: str) -> list[Revision]:
    by_name = {revision.name: revision for revision in series.revisions()}
    for name in names:
        if name not in by_name:
            raise UnknownNameError("revision", name, by_name)
    return [by_name[name] for name in names]


def _step(revision: Revision) -> int:
    if revision.step is None:
        raise RevisionError(
            f"The step of {revision.name} is unknown: name a revision that `clipdyn train` published."
        )
    return revision.step


def read_order(series: Series, revision: Revision) -> DataOrder:
    """The record of a revision.

    Raises:
        RevisionError: it has none, or it cannot be read.
    """
    repository, commit = series.repository, revision.commit
    if ORDER_FILE not in repository.files(commit):
        raise RevisionError(
            f"{revision.name} of {repository.where} has no {ORDER_FILE}: only `clipdyn train` records the order of "
            "the data, from version 0.3 on."
        )
    where = f"{ORDER_FILE} of {revision.name} in {repository.where}"
    return parse_json(DataOrder, repository.read(commit, ORDER_FILE), where=where, error=RevisionError)


def _epochs(order: DataOrder, start: int, end: int) -> Iterable[int]:
    """The epochs of the steps from ``start``, included, to ``end``, excluded."""
    if start == end:
        return ()
    return range(start // order.steps_per_epoch + 1, (end - 1) // order.steps_per_epoch + 2)


def _shown(order: DataOrder, epoch: int, start: int, end: int) -> Iterator[Samples]:
    """What the epoch showed in these steps of the run."""
    recorded = next((known for known in order.epochs if known.epoch == epoch), None)
    before = (epoch - 1) * order.steps_per_epoch
    begin, stop = max(start - before, 0), min(end - before, order.steps_per_epoch)
    if recorded is None or recorded.steps < stop:
        raise RevisionError(
            f"The order of epoch {epoch} was not recorded: the run began with an earlier version, or it skipped more "
            "samples than the record can list. Ask for later revisions."
        )
    walk = _Walk(order, epoch, order.found)
    batches = list(walk.to(recorded.steps))
    if walk.differs(recorded):
        raise RevisionError(
            f"The order of epoch {epoch} is not the one that the run recorded: NumPy {np.__version__} draws other "
            f"numbers than {recorded.numpy}, or {ORDER_FILE} was changed. Install numpy=={recorded.numpy}."
        )
    rows = np.stack([shown for shown, _ in batches[begin:stop]])
    captions = [chosen for _, chosen in batches[begin:stop] if chosen is not None]
    yield Samples(epoch, before + begin, rows, np.stack(captions) if captions else None)
