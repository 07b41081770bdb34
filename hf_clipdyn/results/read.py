"""Read tables of results: one or several Parquet files become `Results`, or one frame, with their vocabulary.

Files are read in parts, and each part is taken apart at once: a table is never in memory with all its columns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.files import write_atomically
from hf_clipdyn.results.arrow import ENCODED_SCHEMA, SCHEMA
from hf_clipdyn.results.cells import cells_folder, newest
from hf_clipdyn.results.parquet import check_texts, read_batches, schema_of
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, RunOrigin, merged, package
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY, ROLES, Cell, Row, columns_of
from hf_clipdyn.results.spans import cells_of
from hf_clipdyn.results.table import DEFAULTS, VALUES, Results
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary

_TABLE = "results.parquet"
_TEXTS = [field.name for field in SCHEMA if pa.types.is_string(field.type)]
_CELL_SCHEMA = pa.schema([SCHEMA.field(name) for name in Cell.__annotations__])
_KEY_SCHEMA = pa.schema([SCHEMA.field(name) for name in NUMBER_KEY])


def read_results(paths: Path | Sequence[Path]) -> Results:
    """Read tables of results and name their runs.

    Each cell counts once, and only the `newest` cells of each file count.

    Args:
        paths: Parquet files that ``clipdyn evaluate`` wrote, or folders with a `results.parquet`. Columns for which
            `Row` has a default may be missing.

    Raises:
        ConfigError: no path was given, or a file does not exist, is not a table of results, or has an earlier version.
        EvaluationError: the files have no row.
    """
    files = [_table_of(path) for path in ([paths] if isinstance(paths, Path) else paths)]
    if not files:
        raise ConfigError(
            "No results were given: name at least one Parquet file that `clipdyn evaluate` wrote."
        )
    rows, words, origins = _Rows(), [], []
    sources = _short_names(files)
    for path, source in zip(files, sources, strict=True):
        vocabulary, provenance = rows.add(path)
        words.append(vocabulary)
        recorded = {one.run: one for one in provenance.runs}
        repositories = dict.fromkeys(cell.repo_id for cell in rows.cells[-1])
        origins += [(source, recorded.get(name, RunOrigin(run=name))) for name in repositories]
    if not any(rows.cells):
        names = ", ".join(str(path) for path in files)
        raise EvaluationError(f"{names} has no rows: nothing was evaluated, so there is nothing to report.")
    results = replace(rows.results(sources), vocabulary=Vocabulary.merged(words), tables=tuple(files))
    pa.default_memory_pool().release_unused()  # Arrow would keep what it decoded: as much as the rows themselves
    return replace(results, origins=_of_runs(origins, results.cells["run"]))


def load_results(results: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Read tables of results into one pandas frame.

    Args:
        results: Parquet files that `clipdyn evaluate` wrote, or folders with a `results.parquet`.

    Returns:
        One row per number, with the columns of `hf_clipdyn.results.row.Row`; ``run``, the name of the run in figures;
        and ``cell``, the name of the cell's files. ``attrs["vocabulary"]`` (JSON) explains the names, and
        ``attrs["provenance"]`` (JSON) says when the runs began and which hf_clipdyn measured them. `plot` and
        `write_report` take the frame, too, or a part of it.

    Raises:
        ConfigError: a file does not exist, is not a table of results, or is of an earlier version.
        EvaluationError: the files have no row.

    Examples:
        >>> from hf_clipdyn import load_results
        >>> rows = load_results("runs/demo/results.parquet")
        >>> sorted(rows[rows["other"] == ""]["kind"].unique())
        ['decodability', 'distortion', 'geometry', 'noise', 'psychophysics', 'shape_bias', 'training', 'zero_shot']
        >>> accuracy = rows.query("kind == 'zero_shot' and metric == 'top1' and role == 'value' and texts == 'own'")
        >>> accuracy["revision"].tolist()
        ['epoch-000', 'epoch-001', 'epoch-002', 'epoch-003']
    """
    paths = [results] if isinstance(results, str | Path) else list(results)
    read = read_results([Path(one) for one in paths])
    # The texts in the type that pandas gives them by itself.
    rows = read.rows.astype(dict.fromkeys([*_TEXTS, "cell", "run"], "str"))
    rows.attrs["vocabulary"] = read.vocabulary.dumps()
    rows.attrs["provenance"] = Provenance(runs=read.origins).dumps()
    return rows


def write_results(results: Results, output: Path, provenance: Provenance | None = None) -> None:
    """Write the rows of several tables as one, which every reader of tables takes; no cells or trials are beside it.

    Args:
        results: of the tables.
        output: the file.
        provenance: of the table, if claims judged it.

    Raises:
        OSError: the file cannot be written.
    """
    table = pa.Table.from_pandas(results.rows[SCHEMA.names], schema=SCHEMA, preserve_index=False)
    repositories = dict(zip(results.cells["run"], results.cells["repo_id"], strict=True))
    origins = merged(
        replace(one, run=repositories[one.run]) for one in results.origins if one.run in repositories
    )
    facts = replace(provenance or Provenance(package=package()), runs=origins)
    table = table.replace_schema_metadata(
        {VOCABULARY_KEY: results.vocabulary.dumps(), PROVENANCE_KEY: facts.dumps()}
    )
    write_atomically(output, lambda staging: pq.write_table(table, staging))


def is_combined(path: Path) -> bool:
    """Whether a file is a table that `write_results` may have written: of results, without cells beside it."""
    return set(CELL_KEY) <= set(schema_of(path).names) and not cells_folder(path).exists()


def _table_of(path: Path) -> Path:
    """The table that is meant by the folder of a run, of a Trainer or of a model; any other path is itself."""
    table = path / _TABLE
    if path.is_dir() and not table.exists():
        raise ConfigError(
            f"{path} is a folder without {_TABLE}: name a table that `clipdyn evaluate` wrote, or write "
            f"this one with `clipdyn evaluate {path} --output {table}`."
        )
    return table if path.is_dir() else path


def _of_runs(origins: Iterable[tuple[str, RunOrigin]], names: Iterable[str]) -> tuple[RunOrigin, ...]:
    """The origins of repositories in each source, as those of the runs with these names."""
    runs = set(names)
    named = ((f"{one.run} ({source})", one) for source, one in origins)
    of_runs = merged(replace(one, run=name if name in runs else one.run) for name, one in named)
    return tuple(origin for origin in of_runs if origin.run in runs)


class _Rows:
    """The rows of some files: the cells and the names of the numbers once each.

    Attributes:
        cells: those of each file, in its order.
    """

    def __init__(self) -> None:
        self.cells: list[list[Cell]] = []
        self._keys: dict[tuple[Any, ...], int] = {}
        self._at_cell: list[NDArray[np.int32]] = []
        self._at_key: list[NDArray[np.int32]] = []
        self._values: list[pa.Table] = []

    def add(self, path: Path) -> tuple[Vocabulary, Provenance]:
        """Read a file.

        Raises:
            ConfigError: it is not a table of results.
        """
        try:
            metadata = self._add(path)
            words = Vocabulary.loads(metadata.get(VOCABULARY_KEY, b"{}"), str(path))
            return words, Provenance.loads(metadata.get(PROVENANCE_KEY, b"{}"), str(path))
        except EvaluationError as error:
            raise ConfigError(str(error)) from error
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{path} {error}: expected a table that `clipdyn evaluate` wrote.") from error

    def _add(self, path: Path) -> dict[bytes, bytes]:
        metadata: dict[bytes, bytes] = {}
        first, own, places = sum(map(len, self.cells)), list[Cell](), dict[str, int]()
        for part in read_batches(path, _TEXTS):
            rows, metadata = _checked(part, path), part.schema.metadata or {}
            of_row, cells = _different(rows, CELL_KEY)
            at = []
            for cell in cells_of(cells):
                if cell.key not in places:
                    places[cell.key] = first + len(own)
                    own.append(cell)
                at.append(places[cell.key])
            self._at_cell.append(np.array(at, np.int32)[of_row])
            of_row, keys = _different(rows, NUMBER_KEY)
            columns = (_without_nan(keys[name].to_pylist()) for name in NUMBER_KEY)
            at = [self._keys.setdefault(key, len(self._keys)) for key in zip(*columns, strict=True)]
            self._at_key.append(np.array(at, np.int32)[of_row])
            self._values.append(rows.select(VALUES))
        self.cells.append(own)
        return metadata

    def results(self, sources: Sequence[str]) -> Results:
        """The rows that count, without words; no row stays here.

        Args:
            sources: a name for each file.
        """
        at_cell, at_key = (np.concatenate(parts) for parts in (self._at_cell, self._at_key))
        table = pa.concat_tables(self._values)
        self._values.clear()
        columns = {}
        for name in VALUES:  # one by one, so that no more than one is there twice
            columns[name] = table[name].to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
            table = table.drop_columns(name)
        values = pd.DataFrame({**columns, "at_cell": at_cell, "at_key": at_key}, copy=False)
        keys = pa.Table.from_pylist(
            [dict(zip(NUMBER_KEY, key, strict=True)) for key in self._keys], _KEY_SCHEMA
        )
        cells, counts = _current(self.cells, sources)
        numbers = at_cell.astype(np.int64) * len(keys) + at_key
        counting = counts[at_cell] & ~pd.Series(numbers).duplicated(keep="last").to_numpy()
        everything = Results(cells, _frame(keys), values, Vocabulary())
        return everything if counting.all() else everything.select(counting)


def _without_nan(values: list[Any]) -> list[Any]:
    """The values, with None for NaN: a NaN does not equal another, so that it cannot be a key."""
    return [value if value == value else None for value in values]


def _different(rows: pa.Table, names: Sequence[str]) -> tuple[NDArray[np.intp], pa.Table]:
    """The group of each row, those that are equal in these columns, and the first row of each group, in their order."""
    groups = rows.select(names).to_pandas().groupby(list(names), sort=False, dropna=False, observed=True)
    of_row = groups.ngroup().to_numpy()
    return of_row, rows.filter(pa.array(~pd.Series(of_row).duplicated()))


def _checked(table: pa.Table, path: Path) -> pa.Table:
    """A part of a table in the columns and types of `ENCODED_SCHEMA`.

    Raises:
        ConfigError: it is of an earlier version.
        ValueError: it is not a table of results; the message continues the file's name.
    """
    check_texts(table)
    if "benchmark" in table.column_names and "kind" not in table.column_names:
        raise ConfigError(
            f"{path} was written by an earlier version of hf_clipdyn: evaluate again, into another --output."
        )
    if missing := _missing(table.column_names):
        raise ValueError(f"lacks the columns {', '.join(missing)}")
    return pa.table([_column(table, name) for name in SCHEMA.names], schema=ENCODED_SCHEMA)


def _missing(columns: Iterable[str]) -> list[str]:
    """The columns that a table lacks and for which there is no default."""
    return [name for name in SCHEMA.names if name not in (*columns, *DEFAULTS)]


def check_frame(frame: pd.DataFrame) -> None:
    """Refuse a frame that is not, or not a part of, what `load_results` returns.

    Raises:
        ConfigError: it lacks columns.
        EvaluationError: it has no rows.
    """
    if missing := [*_missing(frame.columns), *({"run", "cell"} - set(frame.columns))]:
        names = ", ".join(sorted(missing)[:6])
        raise ConfigError(
            f"The frame lacks columns ({names}): give the result of `load_results`, or its rows."
        )
    if frame.empty:
        raise EvaluationError("The frame has no rows: filter it less.")


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A column in the type of `SCHEMA`, its default in place of nulls.

    Raises:
        ValueError: it has values of another type, or values that no row can have.
    """
    import pyarrow.compute as pc

    kind, default = SCHEMA.field(name).type, DEFAULTS.get(name)
    encoded = ENCODED_SCHEMA.field(name).type
    if name not in table.column_names:
        return pa.chunked_array([pa.repeat(pa.scalar(default, kind), len(table))]).cast(encoded)
    try:
        values = table[name] if table[name].type == encoded else table[name].cast(kind).cast(encoded)
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(f"has values in its column {name} that are not of the type {kind}") from error
    if columns_of(Row)[name]["filled"] and (values.null_count or pc.any(pc.equal(values, "")).as_py()):
        raise ValueError(f"has rows without a value in {name}")
    if pa.types.is_integer(kind) and (pc.min(values).as_py() or 0) < 0:
        raise ValueError(f"has negative numbers in its column {name}")
    if name == "role" and not set(pc.unique(values).to_pylist()) <= set(ROLES):
        raise ValueError(f"has roles other than {', '.join(ROLES)}")
    if values.null_count and name in _TEXTS:
        values = pc.fill_null(values, default or "")
    return values


def _current(
    cells: Sequence[Sequence[Cell]], sources: Sequence[str]
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """All cells, with the columns ``cell`` and ``run``, and which of them count."""
    frame = _frame(pa.Table.from_pylist([vars(cell) for own in cells for cell in own], _CELL_SCHEMA))
    frame["cell"] = pd.Series([cell.key for own in cells for cell in own], dtype=object)
    source = pd.Series(np.repeat(np.array(sources, object), list(map(len, cells))), dtype=object)
    counting = [set(newest(own)) for own in cells]
    counts = np.array(
        [cell in of_file for own, of_file in zip(cells, counting, strict=True) for cell in own], bool
    )
    counts[counts] = ~frame.loc[counts, list(CELL_KEY)].duplicated(keep="last")
    n_commits = frame[counts].groupby(["repo_id", "revision"])["commit"].nunique()
    ambiguous = n_commits[n_commits > 1].index.get_level_values("repo_id")
    named = frame["repo_id"] + " (" + source + ")"
    frame["run"] = _same(frame["repo_id"].where(~frame["repo_id"].isin(ambiguous), named))
    return frame, counts


def _frame(table: pa.Table) -> pd.DataFrame:
    """A small table with its texts as objects; the same text is one."""
    texts = {name: _same(table[name].to_pylist()) for name in table.column_names if name in _TEXTS}
    frame: pd.DataFrame = table.to_pandas()
    return frame.assign(**texts)


def _same(texts: Iterable[str]) -> "pd.Series[Any]":
    known: dict[str, str] = {}
    return pd.Series([known.setdefault(text, text) for text in texts], dtype=object)


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest names by which the files differ: stem, folder/stem, or the whole path."""
    stems = [path.stem for path in paths]
    with_folder = [f"{path.resolve().parent.name}/{path.stem}" for path in paths]
    for names in (stems, with_folder):
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
