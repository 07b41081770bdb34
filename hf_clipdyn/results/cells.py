"""The files of an evaluation: cells are the truth, and the table is derived from them.

::

    results.parquet                 all rows: what readers need
    results.cells/<key>.parquet     the rows of one cell
    results.trials/<key>.parquet    a row per stimulus of that cell

The key is `Cell.key`. Each file is replaced whole, trials before their cell, so a kill loses the cell in work and
nothing else. A cell costs the same whatever the folder holds, and several processes, also on several machines, may
fill one folder without a lock. The table is rebuilt from the cells at the end of a call, and in between at most once
a minute; its cells are in the order in which they were written. Rows of the table without a cell, as in a copy that
was downloaded, are kept and count as done.
"""

import json
import math
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.files import STAGING, write_atomically
from hf_clipdyn.results.parquet import read_metadata, read_parquet
from hf_clipdyn.results.row import CELL_KEY, SCHEMA, Cell, Row
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary
from hf_clipdyn.schema import load_json, parse_any, parse_json

__all__ = ["CellStore", "cells_folder", "list_cells", "newest", "read_trials", "trials_folder", "with_cell"]

_HEADER_KEY = b"hf_clipdyn.cell"
"""Key of a `_Header` in the metadata of a cell and of its trials."""
_FILES_KEY = b"hf_clipdyn.cells"
"""Key of the cells that a table was built from, in its metadata: key to time of writing, and mtime and size."""
_CELL = tuple(Cell.__annotations__)
_TRIALS_SCHEMA = pa.schema(
    [SCHEMA.field(name) for name in _CELL if name not in ("score_version", "versions", "seconds")]
)
_NAME = re.compile(r"[0-9a-f]{64}\.parquet")
_SECONDS_BETWEEN_TABLES = 60.0
_STALE = 3600.0  # seconds after which an unfinished file is litter of a kill


@dataclass(frozen=True)
class _Header:
    """What the metadata of a cell and of its trials says.

    Attributes:
        cell: its columns.
        written: when it was written, in seconds since 1970.
    """

    cell: Cell
    written: float

    def dumps(self) -> str:
        columns = {name: one for name, one in vars(self.cell).items() if one == one}  # no NaN
        return json.dumps({"cell": columns, "written": self.written}, sort_keys=True)


@dataclass(frozen=True)
class _Held:
    """The rows of one cell.

    Attributes:
        rows: in the columns of `SCHEMA`.
        written: when, in seconds since 1970; 0 if unknown.
        file: modification time (ns) and size (bytes) of the file that they were read from; None without a file.
    """

    rows: pa.Table
    written: float
    file: tuple[int, int] | None = None


def cells_folder(output: Path) -> Path:
    """Folder of the cells behind the table at ``output``."""
    return output.with_suffix(".cells")  # an output always ends in .parquet


def trials_folder(output: Path) -> Path:
    """Folder of the trials behind the table at ``output``."""
    return output.with_suffix(".trials")


class CellStore:
    """The cells, the trials and the table of one evaluation; what is there already is continued.

    Args:
        output: the table; None keeps all in memory.

    Raises:
        EvaluationError: the table or a cell cannot be read, is of an earlier version, or is something else.
    """

    def __init__(self, output: Path | None) -> None:
        self._output = output
        self._held: dict[str, _Held] = {}
        self._cells: dict[str, Cell] = {}
        self._trials: dict[str, pd.DataFrame] = {}  # only without an output
        self._vocabulary = Vocabulary()
        self._changed = False
        self._built = time.monotonic()
        if output is not None:
            if output.exists():
                self._held, self._cells, self._vocabulary = _read_table(output)
            self._refresh()

    def check_writable(self) -> None:
        """Make the folder, so that hours of work do not end at one that cannot be written.

        Raises:
            EvaluationError: it cannot be.
        """
        if self._output is None:
            return
        folder = cells_folder(self._output)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise EvaluationError(
                f"{self._output} cannot be written ({error.strerror}): choose another --output."
            ) from error

    def keys(self) -> set[str]:
        """The keys of the cells that are done, those that other processes wrote included."""
        if self._output is None:
            return set(self._held)
        return set(self._held) | set(_scan(cells_folder(self._output)))

    def cell(self, key: str) -> Cell:
        """The columns of a cell.

        Raises:
            KeyError: there is no such cell.
            EvaluationError: its file is broken.
        """
        if key not in self._cells:
            if self._output is None or not (file := _file(cells_folder(self._output), key)).exists():
                raise KeyError(key)
            self._cells[key] = _read_header(file).cell
        return self._cells[key]

    def cells(self) -> list[Cell]:
        """The cells that are done, in the order in which they were written."""
        if self._output is not None:
            self._refresh()
        return [self.cell(key) for key, _ in self._by_time()]

    def select(self, keys: Iterable[str]) -> pa.Table:
        """The rows of these cells, in this order; the metadata hold the vocabulary."""
        return self._table([self._held[key].rows for key in keys])

    def trials(self, key: str) -> pd.DataFrame | None:
        """The trials of a cell; None if there are none, as in a copy of the table alone.

        Raises:
            EvaluationError: the file is broken.
        """
        if self._output is None:
            return self._trials.get(key)
        file = _find_trials(self._output, key)
        return None if file is None else _read_trials_file(file)

    def write(
        self, cell: Cell, numbers: Sequence[Row], trials: pd.DataFrame | None, vocabulary: Vocabulary
    ) -> None:
        """Write a cell in place of what its key named before: first the trials, then the rows.

        Args:
            cell: its columns.
            numbers: its rows.
            trials: None keeps those that are there.
            vocabulary: of its kind and its data set.

        Raises:
            EvaluationError: the files cannot be written.
        """
        header = _Header(cell, time.time())
        rows = pa.Table.from_pylist([vars(one) for one in numbers], schema=SCHEMA)
        metadata = {_HEADER_KEY: header.dumps(), VOCABULARY_KEY: vocabulary.dumps()}
        held = _Held(rows, header.written)
        if self._output is None:
            if trials is not None:
                self._trials[cell.key] = trials
        else:
            if trials is not None:
                table = pa.Table.from_pandas(trials, preserve_index=False)
                kept = {**(table.schema.metadata or {}), _HEADER_KEY: header.dumps()}
                _write(table.replace_schema_metadata(kept), _file(trials_folder(self._output), cell.key))
            file = _file(cells_folder(self._output), cell.key)
            _write(rows.replace_schema_metadata(metadata), file)
            status = file.stat()
            held = _Held(rows, header.written, (status.st_mtime_ns, status.st_size))
        self._cells[cell.key] = cell
        self._held[cell.key] = held
        self._vocabulary = Vocabulary.merged([self._vocabulary, vocabulary])
        self._changed = True
        if time.monotonic() - self._built > _SECONDS_BETWEEN_TABLES:
            self._build()

    def rebuild(self) -> None:
        """Bring the table up to date with all cells in the folder; to be called at the end.

        Raises:
            EvaluationError: a cell is broken, or the table cannot be written.
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
        assert self._output is not None
        self._refresh()
        self._held = dict(self._by_time())
        table = self._table([one.rows for one in self._held.values()])
        files = {key: (one.written, one.file) for key, one in self._held.items()}
        _write(
            table.replace_schema_metadata({**table.schema.metadata, _FILES_KEY: json.dumps(files)}),
            self._output,
        )
        self._changed = False
        self._built = time.monotonic()

    def _by_time(self) -> list[tuple[str, _Held]]:
        return sorted(self._held.items(), key=lambda one: one[1].written)  # stable: unknown times come first

    def _table(self, parts: Sequence[pa.Table]) -> pa.Table:
        bare = [one.replace_schema_metadata(None) for one in parts]
        table = pa.concat_tables([SCHEMA.empty_table(), *bare])
        return table.replace_schema_metadata({VOCABULARY_KEY: self._vocabulary.dumps()})

    def _refresh(self) -> None:
        """Read the cells that this process has not seen as they are now."""
        assert self._output is not None
        folder = cells_folder(self._output)
        for key, status in _scan(folder).items():
            held = self._held.get(key)
            if held is not None and held.file == status:
                continue
            file = _file(folder, key)
            if held is not None and held.written == _read_header(file).written:  # the folder was copied
                self._held[key] = replace(held, file=status)
            else:
                rows, header, vocabulary = _read_cell(file)
                self._held[key] = _Held(rows, header.written, status)
                self._cells[key] = header.cell
                self._vocabulary = Vocabulary.merged([self._vocabulary, vocabulary])
            self._changed = True


def list_cells(output: Path) -> list[Cell]:
    """The cells of the table at ``output`` and of the files beside it, in the order in which they were written.

    Raises:
        EvaluationError: the table or a cell is broken.
    """
    return CellStore(output).cells()


def newest(cells: Iterable[Cell]) -> list[Cell]:
    """Of cells in the order in which they were written, those that no later one replaces.

    A revision that was trained again counts with the commit that was measured last. Of what was asked with the texts
    of the run's last revision, one text commit counts for all revisions of the run.
    """
    held = list(cells)
    commits = {(one.repo_id, one.revision): one.commit for one in held}
    text_commits = {_asked(one): one.text_commit for one in held}
    versions = {_asked(one): one.observe_version for one in held}
    return [
        one
        for one in held
        if commits[one.repo_id, one.revision] == one.commit
        and text_commits[_asked(one)] == one.text_commit
        and versions[_asked(one)] == one.observe_version
    ]


def _asked(cell: Cell) -> tuple[Any, ...]:
    """What all revisions of a run were asked alike."""
    one_revision = ("revision", "commit", "text_commit", "observe_version")
    return tuple(getattr(cell, name) for name in CELL_KEY if name not in one_revision)


def read_trials(output: str | Path, benchmark: str, *, texts: str = "own") -> pd.DataFrame:
    """The trials of one benchmark, of all revisions: a row per stimulus and condition.

    Args:
        output: the table; the trials are in the folder beside it.
        benchmark: ``kind/dataset``.
        texts: ``own``, or ``last`` for the answers to the texts of the run's last revision.

    Returns:
        The columns of `Cell` but for the last ones (`score_version`, `versions`, `seconds`), which concern the numbers;
        texts are categories. Then ``row``, ``file`` and the columns that the kind declares.

    Raises:
        EvaluationError: there are none, or they cannot be read.
    """
    path = Path(output)
    store = CellStore(path)
    asked = [one for one in store.cells() if (f"{one.kind}/{one.dataset}", one.texts) == (benchmark, texts)]
    kept = {cell: trials for cell in asked if (trials := store.trials(cell.key)) is not None}
    cells, frames = list(kept), list(kept.values())
    if not frames:
        raise EvaluationError(f"Beside {path} there are no trials of {benchmark} with the texts {texts!r}.")
    trials = pd.concat(frames, ignore_index=True)
    rows = pa.Table.from_pylist([vars(cell) for cell in cells], schema=_TRIALS_SCHEMA)
    facts = rows.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    names = [field.name for field in _TRIALS_SCHEMA if field.type == pa.string()]
    facts = facts.astype(dict.fromkeys(names, "category"))  # each text is repeated for every stimulus
    facts = facts.drop(columns=facts.columns.intersection(trials.columns))
    repeated = facts.loc[np.repeat(facts.index, [len(frame) for frame in frames])].reset_index(drop=True)
    found: pd.DataFrame = pd.concat([repeated, trials], axis=1)
    return found


def _find_trials(output: Path, key: str) -> Path | None:
    """The file of a cell's trials; in a copy from the Hub the folder has a subfolder for each benchmark."""
    folder = trials_folder(output)
    return next(
        (file for file in (_file(folder, key), *folder.glob(f"*/{key}.parquet")) if file.exists()), None
    )


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


def _scan(folder: Path) -> dict[str, tuple[int, int]]:
    """Modification time (ns) and size of each cell's file, by its key."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if _NAME.fullmatch(entry.name)]
            stats = {entry.name.removesuffix(".parquet"): entry.stat() for entry in found}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise EvaluationError(f"{folder} cannot be read ({error.strerror}).") from error
    return {key: (one.st_mtime_ns, one.st_size) for key, one in sorted(stats.items())}


def _read_header(file: Path) -> _Header:
    try:
        return _parse_header(read_metadata(file), file)
    except ValueError as error:
        raise _broken(file, error) from error


def _parse_header(metadata: Mapping[bytes, bytes], file: Path) -> _Header:
    if _HEADER_KEY not in metadata:
        raise ValueError("does not say which cell it is")
    header = parse_json(_Header, metadata[_HEADER_KEY], where=str(file), error=EvaluationError)
    if header.cell.key != file.stem:
        raise ValueError("is the cell of another name")
    return header


def _read_cell(file: Path) -> tuple[pa.Table, _Header, Vocabulary]:
    try:
        table = read_parquet(file)
        metadata = table.schema.metadata or {}
        header = _parse_header(metadata, file)
        rows = _typed(table)
        if any(cell.key != header.cell.key for cell, _ in _runs(rows)):
            raise ValueError("holds rows of another cell")
    except ValueError as error:
        raise _broken(file, error) from error
    return rows, header, Vocabulary.loads(metadata.get(VOCABULARY_KEY, b"{}"), str(file))


def _broken(file: Path, error: ValueError) -> EvaluationError:
    return EvaluationError(f"{file} {error}: delete it, then evaluate again.")


def _read_trials_file(file: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = read_parquet(file).to_pandas()
    except ValueError as error:
        raise _broken(file, error) from error
    return frame


def _read_table(path: Path) -> tuple[dict[str, _Held], dict[str, Cell], Vocabulary]:
    """The rows of each cell, the cells and the words of the table at ``path``, in its order."""
    try:
        table = read_parquet(path)
        if "benchmark" in table.column_names:
            raise EvaluationError(
                f"{path} was written by an earlier version, whose columns differ: evaluate again into another --output."
            )
        rows = _typed(table)
        found: dict[str, list[pa.Table]] = {}
        cells: dict[str, Cell] = {}
        for cell, part in _runs(rows):
            key = cell.key
            cells.setdefault(key, cell)
            found.setdefault(key, []).append(part)
    except ValueError as error:
        raise EvaluationError(
            f"{path} {error}, so it is not a table of results: move it away or choose another --output."
        ) from error
    metadata = table.schema.metadata or {}
    files = _read_files(metadata.get(_FILES_KEY, b"{}"), path)
    held = {key: _Held(pa.concat_tables(parts), *files.get(key, (0.0, None))) for key, parts in found.items()}
    return held, cells, Vocabulary.loads(metadata.get(VOCABULARY_KEY, b"{}"), str(path))


def _read_files(text: bytes, path: Path) -> dict[str, tuple[float, tuple[int, int] | None]]:
    listed = load_json(
        dict[str, tuple[Any, ...]],
        parse_any(text, where=str(path), error=EvaluationError),
        where=f"the list of cells of {path}",
        error=EvaluationError,
    )
    found: dict[str, tuple[float, tuple[int, int] | None]] = {}
    for key, value in listed.items():
        match value:
            case (float() | int() as written, [int() as mtime, int() as size]):
                found[key] = (written, (mtime, size))
            case (float() | int() as written, None):
                found[key] = (written, None)
            case _:
                raise EvaluationError(
                    f"The list of cells of {path} cannot be read: evaluate into another --output."
                )
    return found


def _typed(table: pa.Table) -> pa.Table:
    """The table in the columns and types of `SCHEMA`.

    Raises:
        ValueError: something that it holds would be lost, or the names of its cells are incomplete.
    """
    known = (*SCHEMA.names, "__index_level_0__")  # where pandas wrote a part of it
    foreign = [name for name in table.column_names if name not in known]
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if foreign:
        raise ValueError(f"also has the columns {', '.join(foreign)}")
    if missing:
        raise ValueError(f"lacks the columns {', '.join(missing)}")
    try:
        rows = table.select(SCHEMA.names).replace_schema_metadata(None).cast(SCHEMA)
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(f"has values of other types ({str(error).splitlines()[0]})") from error
    unnamed = [name for name in CELL_KEY if rows[name].null_count]
    if unnamed:
        raise ValueError(f"has rows without their {', '.join(unnamed)}")
    return rows


def _runs(rows: pa.Table) -> list[tuple[Cell, pa.Table]]:
    """Each stretch of rows of one cell."""
    rows = rows.combine_chunks()
    change = np.zeros(max(rows.num_rows - 1, 0), bool)
    for name in CELL_KEY:
        codes = rows[name].combine_chunks().dictionary_encode().indices.to_numpy()
        change |= np.diff(codes) != 0
    starts = [0, *(np.flatnonzero(change) + 1).tolist()] if rows.num_rows else []
    firsts = rows.select(_CELL).take(starts).to_pylist()
    parts = [rows.slice(start, end - start) for start, end in pairwise([*starts, rows.num_rows])]
    return [(_cell(first), part) for first, part in zip(firsts, parts, strict=True)]


def _cell(columns: dict[str, Any]) -> Cell:
    if columns["seconds"] is None:
        columns["seconds"] = math.nan
    return Cell(**columns)


def _write(table: pa.Table, path: Path) -> None:
    try:
        write_atomically(path, lambda staging: pq.write_table(table, staging))
    except OSError as error:
        raise EvaluationError(
            f"{path} cannot be written ({error.strerror or error}) and is unchanged: "
            "free some space or choose another --output, then repeat the command; it continues."
        ) from error


def _remove_litter(folder: Path) -> None:
    """Delete what killed processes left unfinished."""
    for file in folder.glob(f".*{STAGING}"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _STALE:
                file.unlink()
