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
import os
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from itertools import compress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import EvaluationError, naming
from hf_clipdyn.files import STAGING, file_sha256, write_atomically
from hf_clipdyn.results.arrow import ENCODED_SCHEMA, SCHEMA, schema_of
from hf_clipdyn.results.cell_files import (
    FILES_KEY,
    HEADER_KEY,
    Header,
    KeptCell,
    Span,
    Stamp,
    in_one_piece,
    joined,
    read_cell,
    read_table,
    spans_of,
    write_encoded,
)
from hf_clipdyn.results.influences import Influences, influences_folder, stamp_of, write_influences
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, merged, package
from hf_clipdyn.results.row import CELL_KEY, Cell, Row
from hf_clipdyn.results.table import are_newest
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary
from hf_clipdyn.results.trials import KeptTrials, trials_folder

_TRIALS_KEY = b"hf_clipdyn.trials"
"""Key of the SHA-256 of the file of a cell's trials, in the metadata of the cell; cells of 0.2.0 lack it."""
_NAME = re.compile(r"[0-9a-f]{64}\.parquet")
_SECONDS_BETWEEN_TABLES = 60.0
_STALE = 3600.0  # seconds after which an unfinished file is litter of a kill


def cells_folder(output: Path) -> Path:
    """Folder of the cells behind the table at ``output``."""
    return output.with_suffix(".cells")  # an output always ends in .parquet


def is_combined(path: Path) -> bool:
    """Whether a file is a table that `write_results` may have written: of results, without cells beside it."""
    return set(CELL_KEY) <= set(schema_of(path).names) and not cells_folder(path).exists()


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
        self._held: dict[str, KeptCell] = {}
        self._trials: dict[str, pd.DataFrame] = {}  # only without an output
        self._vocabulary = Vocabulary()
        self._changed = False
        self._built = time.monotonic()
        if self._output is not None and self._output.exists():
            self._held, self._vocabulary = read_table(self._output)
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
        recorded = (schema_of(_file(cells_folder(self._output), key)).metadata or {}).get(_TRIALS_KEY)
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
        stamp = Stamp(measured, None, self._package, began or ("" if before is None else before.stamp.began))
        header = Header(cell, measured, stamp.package, stamp.began).dumps()
        rows = pa.Table.from_pylist([vars(one) for one in numbers], schema=SCHEMA)
        if self._output is not None:
            path = _file(cells_folder(self._output), cell.key)
            of_trials = (schema_of(path).metadata or {}).get(_TRIALS_KEY)
            if trials is not None:
                table = pa.Table.from_pandas(trials, preserve_index=False, nthreads=1)  # threads cost more
                kept = _file(trials_folder(self._output), cell.key)
                _write(
                    table.replace_schema_metadata({**(table.schema.metadata or {}), HEADER_KEY: header}), kept
                )
                of_trials = file_sha256(kept).encode()
            recorded = {} if of_trials is None else {_TRIALS_KEY: of_trials}
            metadata = {HEADER_KEY: header, VOCABULARY_KEY: vocabulary.dumps(), **recorded}
            _write(rows.replace_schema_metadata(metadata), path)
            if influences is not None:  # of a relation, no folder is searched for trials
                of = None if is_new and trials is None else KeptTrials([self._output]).file(cell.key)
                kept = _file(influences_folder(self._output), cell.key)
                write_influences(kept, {cell.key: influences}, stamp_of(of, cell.score_version) if of else "")
            stamp = replace(stamp, file=_state(path.stat()))
        elif trials is not None:
            self._trials[cell.key] = trials
        self._hold(KeptCell(cell, Span(rows.cast(ENCODED_SCHEMA), 0, len(rows)), stamp), vocabulary)
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
        held = self._in_order()
        rows = joined(one.rows for one in held)  # many small tables take much memory
        spans = spans_of(rows, (one.rows.end - one.rows.start for one in held))
        self._held = {one.cell.key: replace(one, rows=span) for one, span in zip(held, spans, strict=True)}
        facts = Provenance(package=self._package, runs=merged(one.origin for one in held))
        metadata = {
            VOCABULARY_KEY: self._vocabulary.dumps(),
            FILES_KEY: json.dumps({one.cell.key: asdict(one.stamp) for one in held}),
            PROVENANCE_KEY: facts.dumps(),
        }
        write_atomically(self._output, partial(write_encoded, rows.replace_schema_metadata(metadata)))
        self._changed = False
        self._built = time.monotonic()

    def _in_order(self) -> list[KeptCell]:
        # The sort is stable, so unknown times come first.
        return sorted(self._held.values(), key=lambda one: one.stamp.measured)

    def _scan(self) -> dict[str, tuple[int, ...]]:
        """The state of each cell's file, by its key."""
        folder = None if self._output is None else cells_folder(self._output)
        if folder is None or not folder.is_dir():
            return {}
        with naming(folder, EvaluationError), os.scandir(folder) as entries:
            files = sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name))
            return {name.removesuffix(".parquet"): _state((folder / name).stat()) for name in files}

    def _refresh(self) -> None:
        """Read the cells that are new or have changed."""
        known = {key: one.stamp.file for key, one in self._held.items()}
        states = {key: state for key, state in self._scan().items() if known.get(key) != state}
        if self._output is None or not states:
            return
        folder, parsed = cells_folder(self._output), dict[bytes, Vocabulary]()
        files = [read_cell(_file(folder, key), parsed) for key in states]
        tables = [table for *_, table in files]
        spans = spans_of(in_one_piece(tables), map(len, tables))
        for (header, words, _), state, span in zip(files, states.values(), spans, strict=True):
            stamp = Stamp(header.measured, state, header.package, header.began)
            self._hold(KeptCell(header.cell, span, stamp), words)

    def _hold(self, held: KeptCell, vocabulary: Vocabulary) -> None:
        self._held[held.cell.key] = held
        self._vocabulary = Vocabulary.merged([self._vocabulary, vocabulary])
        self._changed = True


def newest(cells: Iterable[Cell]) -> list[Cell]:
    """The cells that no later one replaces (`are_newest`), given in the order in which they were measured."""
    given = list(cells)
    return list(compress(given, are_newest(pd.DataFrame(map(vars, given), columns=list(CELL_KEY)))))


def _file(folder: Path, key: str) -> Path:
    return folder / f"{key}.parquet"


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size


def _write(table: pa.Table, path: Path) -> None:
    write_atomically(path, partial(pq.write_table, table))


def _remove_litter(folder: Path) -> None:
    """Delete what killed processes left unfinished."""
    for file in folder.glob(f".*{STAGING}"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _STALE:
                file.unlink()
