"""The files of an evaluation: cells are the truth, and the table is derived from them.

::

    results.parquet                 all rows: what readers need
    results.cells/<key>.parquet     the rows of one cell
    results.trials/<key>.parquet    a row per stimulus of that cell
    results.influences/<key>.parquet    what each stimulus contributes to the numbers (`hf_clipdyn.results.influences`)

The key is `Cell.key`. Each file is replaced whole, trials before their cell, so a kill loses the cell in work and
nothing else. A cell costs the same whatever the folder holds, and several processes, also on several machines, may
fill one folder without a lock. The table is rebuilt from the cells at the end of a call, and in between at most once
a minute. Its cells are in the order in which they were measured; scoring them again does not change that order. Rows
of the table without a cell, as in a downloaded copy, are kept and count as done.
"""

import json
import math
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.data.cache import Entry, chosen_entries
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.files import STAGING, file_sha256, from_json, write_atomically
from hf_clipdyn.results.arrow import ENCODED_SCHEMA, SCHEMA
from hf_clipdyn.results.influences import Influences, influences_folder, stamp_of, write_influences
from hf_clipdyn.results.parquet import read_encoded, schema_of
from hf_clipdyn.results.provenance import (
    PROVENANCE_KEY,
    Package,
    Provenance,
    RunOrigin,
    Time,
    merged,
    package,
    utc_of,
)
from hf_clipdyn.results.row import CELL_KEY, Cell, Row
from hf_clipdyn.results.spans import Span, by_cell, encoded, joined, runs_of, write_encoded
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary
from hf_clipdyn.results.trials import KeptTrials, trials_folder

_HEADER_KEY = b"hf_clipdyn.cell"
"""Key of a `_Header` in the metadata of a cell and of its trials."""
_TRIALS_KEY = b"hf_clipdyn.trials"
"""Key of the SHA-256 of the file of a cell's trials, in the metadata of the cell; cells of 0.2.0 lack it."""
_FILES_KEY = b"hf_clipdyn.cells"
"""Key of the cells that a table was built from, in its metadata: a `_Stamp` by the cell's key."""
_CELL = tuple(Cell.__annotations__)
_TEXTS = [field.name for field in SCHEMA if pa.types.is_string(field.type)]
_TRIALS_SCHEMA = pa.schema(
    [SCHEMA.field(name) for name in _CELL if name not in ("score_version", "other", "versions", "seconds")]
)
_NAME = re.compile(r"[0-9a-f]{64}\.parquet")
_SECONDS_BETWEEN_TABLES = 60.0
_STALE = 3600.0  # seconds after which an unfinished file is litter of a kill


@dataclass(frozen=True)
class _Header:
    """The metadata of a cell and of its trials; the other fields are those of `_Stamp`."""

    cell: Cell
    measured: float
    package: Package = ""
    began: Time = ""

    def dumps(self) -> str:
        columns = {name: one for name, one in vars(self.cell).items() if one == one}  # no NaN
        return json.dumps({**vars(self), "cell": columns}, sort_keys=True)


@dataclass(frozen=True)
class _Stamp:
    """When and by what a cell was measured, and the state of the file that was read.

    Attributes:
        measured: when it was done, in seconds since 1970; 0 if unknown.
        file: modification time (ns) and size (bytes); None without a file.
        package: hf_clipdyn that measured it, or scored it last.
        began: when its run began.
    """

    measured: float = 0.0
    file: tuple[int, ...] | None = None
    package: Package = ""
    began: Time = ""


@dataclass(frozen=True)
class _Held:
    """A cell and its rows."""

    cell: Cell
    rows: Span
    stamp: _Stamp

    @property
    def origin(self) -> RunOrigin:
        seconds = 0.0 if math.isnan(self.cell.seconds) else self.cell.seconds
        return RunOrigin(
            run=self.cell.repo_id,
            packages=(self.stamp.package,),
            began=self.stamp.began,
            measured=utc_of(self.stamp.measured - seconds),
        )


@dataclass(frozen=True)
class _CellFile:
    """The file of a cell as it was read; ``table`` has its texts as dictionaries."""

    path: Path
    header: _Header
    words: Vocabulary
    table: pa.Table


def cells_folder(output: Path) -> Path:
    """Folder of the cells behind the table at ``output``."""
    return output.with_suffix(".cells")  # an output always ends in .parquet


class CellStore:
    """The cells, the trials and the table of one evaluation; what is there already is continued.

    Args:
        output: the table; None keeps all in memory.

    Raises:
        EvaluationError: the table or a cell cannot be read, is of an earlier version, or is something else.
    """

    def __init__(self, output: str | Path | None) -> None:
        self._package = package()
        self._output = None if output is None else Path(output)
        self._held: dict[str, _Held] = {}
        self._trials: dict[str, pd.DataFrame] = {}  # only without an output
        self._vocabulary = Vocabulary()
        self._parsed: dict[bytes, Vocabulary] = {}  # by their JSON: most cells have the same words
        self._changed = False
        self._built = time.monotonic()
        if self._output is not None and self._output.exists():
            self._held, self._vocabulary = _read_table(self._output)
        self._refresh()

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of its kinds and data sets."""
        return self._vocabulary

    def check_writable(self) -> None:
        """Make the folder, so that hours of work do not end at one that cannot be written.

        Raises:
            OSError: it cannot be.
        """
        if self._output is None:
            return
        folder = cells_folder(self._output)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass

    def keys(self) -> set[str]:
        """The keys of the cells that are done, including those that other processes wrote."""
        return {*self._held, *self._scan()}

    def cells(self) -> list[Cell]:
        """The cells that are done, in the order in which they were measured."""
        self._refresh()
        return [one.cell for one in self._in_order()]

    def measured(self, key: str) -> float:
        """When a cell was measured, in seconds since 1970; 0 if that is unknown, or there is none."""
        return self._held[key].stamp.measured if key in self._held else 0.0

    def rows(self, key: str) -> pa.Table | None:
        """The rows of a cell in the columns of `SCHEMA`; None if it is not done."""
        return joined([self._held[key].rows]).cast(SCHEMA) if key in self._held else None

    def select(self, keys: Iterable[str]) -> pa.Table:
        """The rows of these cells, in this order; the metadata hold the vocabulary."""
        rows = joined(self._held[key].rows for key in keys).cast(SCHEMA)
        return rows.replace_schema_metadata({VOCABULARY_KEY: self._vocabulary.dumps()})

    def trials(self, key: str) -> pd.DataFrame | None:
        """The trials of a cell; None if there are none, as in a copy of the table alone.

        Raises:
            EvaluationError: the file is broken.
        """
        if self._output is None:
            return self._trials.get(key)
        return KeptTrials([self._output]).of(key)

    def are_as_measured(self, key: str) -> bool | None:
        """Whether the file of a cell's trials is the one that was written with them; None if that was not recorded."""
        if self._output is None:
            return None
        recorded = _recorded_hash(_file(cells_folder(self._output), key))
        file = KeptTrials([self._output]).file(key)
        return None if recorded is None or file is None else file_sha256(file).encode() == recorded

    def write(
        self,
        cell: Cell,
        numbers: Sequence[Row],
        trials: pd.DataFrame | None,
        vocabulary: Vocabulary,
        began: str = "",
        influences: Influences | None = None,
        *,
        is_new: bool = False,
    ) -> None:
        """Write a cell in place of what its key named before: first the trials, then the rows.

        Args:
            cell: its columns.
            numbers: its rows.
            trials: None keeps those that are there, and the cell's place in the order.
            vocabulary: of its kind and its data set.
            began: when its run began; empty if unknown.
            influences: on its numbers; None leaves them to the first report.
            is_new: it was measured now, though it has no trials: a relation.

        Raises:
            OSError: the files cannot be written.
        """
        before = self._held.get(cell.key)
        measured = time.time() if is_new or trials is not None or before is None else before.stamp.measured
        stamp = _Stamp(measured, None, self._package, began or ("" if before is None else before.stamp.began))
        header = _Header(cell, measured, stamp.package, stamp.began).dumps()
        rows = pa.Table.from_pylist([vars(one) for one in numbers], schema=SCHEMA)
        if self._output is not None:
            path = _file(cells_folder(self._output), cell.key)
            if trials is None:
                of_trials = _recorded_hash(path)
            else:
                table = pa.Table.from_pandas(trials, preserve_index=False)
                metadata = {**(table.schema.metadata or {}), _HEADER_KEY: header}
                kept = _file(trials_folder(self._output), cell.key)
                _write(table.replace_schema_metadata(metadata), kept)
                of_trials = file_sha256(kept).encode()
            metadata = {_HEADER_KEY: header, VOCABULARY_KEY: vocabulary.dumps()}
            if of_trials is not None:
                metadata[_TRIALS_KEY] = of_trials
            _write(rows.replace_schema_metadata(metadata), path)
            if influences is not None:
                has_none = is_new and trials is None  # a relation: its folder is not searched
                of = None if has_none else KeptTrials([self._output]).file(cell.key)
                kept = _file(influences_folder(self._output), cell.key)
                stamp_of_trials = stamp_of(of, cell.score_version) if of else ""
                write_influences(kept, {cell.key: influences}, stamp_of_trials)
            stamp = replace(stamp, file=_state(path.stat()))
        elif trials is not None:
            self._trials[cell.key] = trials
        self._hold(_Held(cell, Span(rows.cast(ENCODED_SCHEMA), 0, len(rows)), stamp), vocabulary)
        if time.monotonic() - self._built > _SECONDS_BETWEEN_TABLES:
            self._build()

    def rebuild(self) -> None:
        """Bring the table up to date with all cells in the folder; to be called at the end.

        Raises:
            EvaluationError: a cell is broken.
        """
        if self._output is None:
            return
        self._refresh()
        while self._changed or (self._held and not self._output.exists()):
            self._build()
            # Another process may have replaced the table by one without our last cells, or the other way round.
            self._refresh()
        for folder in (cells_folder(self._output), trials_folder(self._output)):
            _remove_litter(folder)

    def _build(self) -> None:
        if self._output is None:
            return
        self._refresh()
        self._gather()
        files = {key: asdict(one.stamp) for key, one in self._held.items()}
        origins = merged(one.origin for one in self._held.values())
        facts = Provenance(package=self._package, runs=origins)
        metadata = {
            VOCABULARY_KEY: self._vocabulary.dumps(),
            _FILES_KEY: json.dumps(files),
            PROVENANCE_KEY: facts.dumps(),
        }
        rows = joined(one.rows for one in self._held.values())
        _write(rows.replace_schema_metadata(metadata), self._output, write_encoded)
        self._changed = False
        self._built = time.monotonic()

    def _in_order(self) -> list[_Held]:
        return sorted(
            self._held.values(), key=lambda one: one.stamp.measured
        )  # stable: unknown times come first

    def _gather(self) -> None:
        """Bring all rows into one table, the cells in their order: many small tables take much memory."""
        held = self._in_order()
        rows = joined(one.rows for one in held)
        ends = np.cumsum([one.rows.end - one.rows.start for one in held]).tolist()
        self._held = {
            one.cell.key: replace(one, rows=Span(rows, start, end))
            for one, (start, end) in zip(held, pairwise([0, *ends]), strict=True)
        }

    def _scan(self) -> dict[str, tuple[int, ...]]:
        return {} if self._output is None else _scan(cells_folder(self._output))

    def _refresh(self) -> None:
        """Read the cells that are new or have changed."""
        known = {key: one.stamp.file for key, one in self._held.items()}
        states = {key: state for key, state in self._scan().items() if known.get(key) != state}
        if self._output is None or not states:
            return
        folder = cells_folder(self._output)
        files = [_read_cell(_file(folder, key), self._parsed) for key in states]
        for file, rows, state in zip(files, _rows_of(files), states.values(), strict=True):
            header = file.header
            stamp = _Stamp(header.measured, state, header.package, header.began)
            self._hold(_Held(header.cell, rows, stamp), file.words)

    def _hold(self, held: _Held, vocabulary: Vocabulary) -> None:
        self._held[held.cell.key] = held
        self._vocabulary = Vocabulary.merged([self._vocabulary, vocabulary])
        self._changed = True


def newest(cells: Iterable[Cell]) -> list[Cell]:
    """The cells that no later one replaces, given in the order in which they were measured.

    A revision that was trained again counts with the commit that was measured last. Among the cells that are left,
    one version of the observation and one text commit count for all revisions of a run: those of the last cell. Of the
    relations of a revision with others that have changed, as when a run goes on, the last one counts.
    """
    held = list(cells)
    commits = {(one.repo_id, one.revision): one.commit for one in held}
    current = [(one, _asked(one)) for one in held if commits[one.repo_id, one.revision] == one.commit]
    last = {asked: (one.observe_version, one.text_commit) for one, asked in current}
    others = {(asked, one.revision): one.other for one, asked in current}
    return [
        one
        for one, asked in current
        if (one.observe_version, one.text_commit) == last[asked] and one.other == others[asked, one.revision]
    ]


def _asked(cell: Cell) -> tuple[Any, ...]:
    """What all revisions of a run were asked alike."""
    one_revision = ("revision", "commit", "text_commit", "observe_version", "other")
    return tuple(getattr(cell, name) for name in CELL_KEY if name not in one_revision)


def kept_trials(tables: Iterable[Path]) -> dict[Entry, list[Path]]:
    """The files of the trials beside tables, by run and benchmark, the largest first.

    Raises:
        EvaluationError: there is no such table, or it cannot be read.
    """
    found = {}
    for table in tables:
        if not table.is_file():
            raise EvaluationError(f"{table} is not a table of results: name a results.parquet.")
        trials, files = KeptTrials([table]), defaultdict(list)
        for cell in CellStore(table).cells():
            if (file := trials.file(cell.key)) is not None:
                files[cell.kind, f"{cell.dataset}, {cell.repo_id}"].append(file)
        for (kind, origin), of in files.items():
            states = [file.stat() for file in of]
            size, used = sum(one.st_size for one in states), max(one.st_mtime for one in states)
            found[Entry(kind, origin, trials_folder(table), size, used)] = of
    return dict(sorted(found.items(), key=lambda item: -item[0].size))


def delete_trials(
    trials: Mapping[Entry, Sequence[Path]], kinds: Sequence[str], older_than: float = 0.0
) -> list[Entry]:
    """Delete the trials of some kinds of benchmarks, or of ``all``, and return their entries.

    The cells with their numbers and influences stay.

    Args:
        trials: see `kept_trials`.
        kinds: of benchmarks.
        older_than: delete only what did not change for this number of days.

    Raises:
        UnknownNameError, ConfigError: see `chosen_entries`.
    """
    known = list(dict.fromkeys(entry.kind for entry in trials))
    chosen = chosen_entries(trials, kinds, known, older_than)
    for file in (file for entry in chosen for file in trials[entry]):
        file.unlink(missing_ok=True)
    return chosen


def with_cell(trials: pd.DataFrame, cell: Cell) -> pa.Table:
    """Trials as a table that explains itself: the cell's columns first, typed as in `SCHEMA`."""
    answers = pa.Table.from_pandas(trials, preserve_index=False)
    columns = {
        one.name: pa.repeat(pa.scalar(getattr(cell, one.name), one.type), len(trials))
        for one in _TRIALS_SCHEMA
    }
    own = {name: answers[name] for name in answers.column_names}
    return pa.table(columns | own).replace_schema_metadata(answers.schema.metadata)


def _file(folder: Path, key: str) -> Path:
    return folder / f"{key}.parquet"


def _recorded_hash(path: Path) -> bytes | None:
    """The hash of the trials in the metadata of a cell's file; None if there is none."""
    recorded: bytes | None = (schema_of(path).metadata or {}).get(_TRIALS_KEY)
    return recorded


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size


def _scan(folder: Path) -> dict[str, tuple[int, ...]]:
    """The state of each cell's file, by its key."""
    try:
        with os.scandir(folder) as entries:
            files = [entry for entry in entries if _NAME.fullmatch(entry.name)]
            states = {entry.name.removesuffix(".parquet"): _state(entry.stat()) for entry in files}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise EvaluationError(f"{folder} cannot be read ({error.strerror}).") from error
    return dict(sorted(states.items()))


def _read_cell(path: Path, parsed: dict[bytes, Vocabulary]) -> _CellFile:
    """A cell's file; its rows are checked by `_rows_of`."""
    try:
        table = read_encoded(path, _TEXTS)
        metadata = table.schema.metadata or {}
        if _HEADER_KEY not in metadata:
            raise ValueError("does not say which cell it is")
        header = from_json(_Header, metadata[_HEADER_KEY], path, EvaluationError)
        if header.cell.key != path.stem:
            raise ValueError("is named as another cell")
    except ValueError as error:
        raise _broken(path, error) from error
    words = metadata.get(VOCABULARY_KEY, b"{}")
    if words not in parsed:
        parsed[words] = Vocabulary.loads(words, str(path))
    return _CellFile(path, header, parsed[words], table.replace_schema_metadata(None))


def _rows_of(files: Sequence[_CellFile]) -> list[Span]:
    """The rows of each file in the columns of `SCHEMA`, checked for all files together, which is much faster."""
    try:
        rows = encoded(pa.concat_tables([one.table for one in files]))
        ends = np.cumsum([one.table.num_rows for one in files]).tolist()
        spans = [Span(rows, *ends) for ends in pairwise([0, *ends])]
        expected = [
            (one.path.stem, span) for one, span in zip(files, spans, strict=True) if one.table.num_rows
        ]
        if [(cell.key, span) for cell, span in runs_of(rows)] != expected:
            raise ValueError("contains rows of another cell")
    except ValueError as error:
        if len(files) == 1:
            raise _broken(files[0].path, error) from error
        return [rows for one in files for rows in _rows_of([one])]  # finds the broken one
    return spans


def _broken(file: Path, error: ValueError) -> EvaluationError:
    return EvaluationError(f"{file} {error}: delete it, then evaluate again.")


def _table_of(path: Path) -> pa.Table:
    table = read_encoded(path, _TEXTS)
    if _HEADER_KEY in (table.schema.metadata or {}):
        raise ValueError("belongs to one cell of another table")
    if "benchmark" in table.column_names:
        raise EvaluationError(
            f"{path} was written by an earlier version with different columns: evaluate again into "
            "another --output."
        )
    return table


def _read_table(path: Path) -> tuple[dict[str, _Held], Vocabulary]:
    """The cells and the words of the table at ``path``, in its order."""
    try:
        rows = encoded(_table_of(path))
        cells = by_cell(rows.replace_schema_metadata(None))
    except ValueError as error:
        raise EvaluationError(
            f"{path} {error}, so it is not a table of results: move it away or choose another --output."
        ) from error
    metadata = rows.schema.metadata or {}
    where = f"The list of cells of {path}"
    files = from_json(dict[str, _Stamp], metadata.get(_FILES_KEY, b"{}"), where, EvaluationError)
    held = {key: _Held(*one, files.get(key, _Stamp())) for key, one in cells.items()}
    return held, Vocabulary.loads(metadata.get(VOCABULARY_KEY, b"{}"), str(path))


def _write(table: pa.Table, path: Path, write: Callable[[pa.Table, Path], object] | None = None) -> None:
    write_atomically(path, partial(write or pq.write_table, table))


def _remove_litter(folder: Path) -> None:
    """Delete what killed processes left unfinished."""
    for file in folder.glob(f".*{STAGING}"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _STALE:
                file.unlink()
