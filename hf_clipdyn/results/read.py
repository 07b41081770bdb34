"""Read tables of results: one or several Parquet files become one frame with its vocabulary."""

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.files import disk_errors, write_atomically
from hf_clipdyn.results.cells import cells_folder, newest
from hf_clipdyn.results.parquet import check_texts, read_encoded, schema_of
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, RunOrigin, merged, package
from hf_clipdyn.results.row import CELL_KEY, ENCODED_SCHEMA, NUMBER_KEY, ROLES, SCHEMA, Cell, Row, columns_of
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary

__all__ = ["Results", "check_frame", "is_combined", "load_results", "read_results", "write_results"]

_DEFAULTS = {one.name: one.default for one in fields(Row) if one.default is not MISSING}
_TABLE = "results.parquet"
_CELL = [one.name for one in fields(Cell)]
_TEXTS = [field.name for field in SCHEMA if pa.types.is_string(field.type)]


@dataclass(frozen=True, eq=False)
class Results:
    """The numbers of one or several tables, and their words.

    Attributes:
        rows: the columns of `Row` (texts "" and numbers NaN for nulls; the same text is one object); ``cell``, the key
            of the row's cell; and ``run``: the repo_id, with the file's name in brackets if two files have different
            commits under the same names (for example two seeds).
        vocabulary: the words of all tables.
        tables: their files; trials may lie beside them (`KeptTrials`).
        origins: where the numbers of each ``run`` come from, as far as its tables recorded it.
    """

    rows: pd.DataFrame
    vocabulary: Vocabulary
    tables: tuple[Path, ...] = ()
    origins: tuple[RunOrigin, ...] = ()


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
    tables, words, origins = [], [], []
    sources = _short_names(files)
    for path, source in zip(files, sources, strict=True):
        table, vocabulary, provenance = _read(path)
        tables.append(table)
        words.append(vocabulary)
        recorded = {one.run: one for one in provenance.runs}
        repositories = table["repo_id"].unique().to_pylist()
        origins += [(source, recorded.get(name, RunOrigin(run=name))) for name in repositories]
    lengths = [len(table) for table in tables]
    rows = _frame(tables)
    if rows.empty:
        names = ", ".join(str(path) for path in files)
        raise EvaluationError(f"{names} has no rows: nothing was evaluated, so there is nothing to report.")
    rows["source"] = pd.Categorical(np.repeat(np.array(sources, object), lengths))
    pa.default_memory_pool().release_unused()  # Arrow would keep what it decoded: as much as the rows themselves
    rows = _current(rows)
    return Results(rows, Vocabulary.merged(words), tuple(files), _of_runs(origins, rows))


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
        ['decodability', 'distortion', 'geometry', 'noise', 'psychophysics', 'shape_bias', 'simplicity', 'zero_shot']
        >>> accuracy = rows.query("kind == 'zero_shot' and metric == 'top1' and role == 'value' and texts == 'own'")
        >>> accuracy["revision"].tolist()
        ['epoch-000', 'epoch-001', 'epoch-002', 'epoch-003']
    """
    paths = [results] if isinstance(results, str | Path) else list(results)
    read = read_results([Path(one) for one in paths])
    read.rows.attrs["vocabulary"] = read.vocabulary.dumps()
    read.rows.attrs["provenance"] = Provenance(runs=read.origins).dumps()
    # The texts in the type that pandas gives them by itself.
    return read.rows.astype(dict.fromkeys([*_TEXTS, "cell", "run"], "str"))


def write_results(results: Results, output: Path, provenance: Provenance | None = None) -> None:
    """Write the rows of several tables as one, which every reader of tables takes; no cells or trials are beside it.

    Args:
        results: of the tables.
        output: the file.
        provenance: of the table, if claims judged it.

    Raises:
        EvaluationError: the file cannot be written.
    """
    table = pa.Table.from_pandas(results.rows[SCHEMA.names], schema=SCHEMA, preserve_index=False)
    repositories = dict(zip(results.rows["run"], results.rows["repo_id"], strict=True))
    origins = merged(
        replace(one, run=repositories[one.run]) for one in results.origins if one.run in repositories
    )
    facts = replace(provenance or Provenance(package=package()), runs=origins)
    table = table.replace_schema_metadata(
        {VOCABULARY_KEY: results.vocabulary.dumps(), PROVENANCE_KEY: facts.dumps()}
    )
    with disk_errors(EvaluationError, f"{output} cannot be written", "name another file"):
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


def _of_runs(origins: Iterable[tuple[str, RunOrigin]], rows: pd.DataFrame) -> tuple[RunOrigin, ...]:
    """The origins of repositories in each source, as those of runs."""
    runs = set(rows["run"])
    named = ((f"{one.run} ({source})", one) for source, one in origins)
    of_runs = merged(replace(one, run=name if name in runs else one.run) for name, one in named)
    return tuple(origin for origin in of_runs if origin.run in runs)


def _read(path: Path) -> tuple[pa.Table, Vocabulary, Provenance]:
    try:
        table = read_encoded(path, _TEXTS)
        check_texts(table)
        if "benchmark" in table.column_names and "kind" not in table.column_names:
            raise ConfigError(
                f"{path} was written by an earlier version of hf_clipdyn: evaluate again, into another --output."
            )
        if missing := _missing(table.column_names):
            raise ValueError(f"lacks the columns {', '.join(missing)}")
        columns = [_column(table, name) for name in SCHEMA.names]
        metadata = table.schema.metadata or {}
        words = Vocabulary.loads(metadata.get(VOCABULARY_KEY, b"{}"), str(path))
        provenance = Provenance.loads(metadata.get(PROVENANCE_KEY, b"{}"), str(path))
        return pa.table(columns, names=SCHEMA.names), words, provenance
    except EvaluationError as error:
        raise ConfigError(str(error)) from error
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} {error}: expected a table that `clipdyn evaluate` wrote.") from error


def _missing(columns: Iterable[str]) -> list[str]:
    """The columns that a table lacks and for which there is no default."""
    return [name for name in SCHEMA.names if name not in (*columns, *_DEFAULTS)]


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

    kind, default = SCHEMA.field(name).type, _DEFAULTS.get(name)
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


def _frame(tables: list[pa.Table]) -> pd.DataFrame:
    """The columns of the tables, which it empties; texts are categories, which are grouped fast."""
    table = pa.concat_tables(tables)
    tables.clear()
    columns = {}
    for name in SCHEMA.names:  # one by one, so that no more than one is there twice
        columns[name] = table[name].to_pandas()
        table = table.drop_columns(name)
    return pd.DataFrame(columns, copy=False)


def _texts(known: "pd.Series[Any] | pd.Index[Any]", places: Any) -> "pd.Series[Any]":
    """Known texts at these places."""
    return pd.Series(np.asarray(known, object)[places], dtype=object)


def _current(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the cells that count, with the columns ``run`` and ``cell``; the same text is one object."""
    rows["cell"] = rows.groupby(["source", *CELL_KEY], sort=False, dropna=False, observed=True).ngroup()
    cells = rows.drop_duplicates("cell").set_index("cell").astype(dict.fromkeys(_TEXTS, object))
    cells["key"] = cells["is_replaced"] = None
    for _, of_source in cells.groupby("source", sort=False, observed=True):
        rows_of_cells = of_source[_CELL].itertuples(index=False)
        own = [Cell(**dict(zip(_CELL, values, strict=True))) for values in rows_of_cells]
        counting = set(newest(own))
        cells.loc[of_source.index, "key"] = [cell.key for cell in own]
        cells.loc[of_source.index, "is_replaced"] = [cell not in counting for cell in own]
    cells = cells[~cells["is_replaced"].astype(bool)].drop_duplicates(list(CELL_KEY), keep="last")
    n_commits = cells.groupby(["repo_id", "revision"])["commit"].nunique()
    ambiguous = n_commits[n_commits > 1].index.get_level_values("repo_id")
    named = cells["repo_id"] + " (" + cells["source"].astype(str) + ")"
    runs = cells["repo_id"].where(~cells["repo_id"].isin(ambiguous), named)
    counts = rows["cell"].isin(cells.index) & ~rows.duplicated(["cell", *NUMBER_KEY], keep="last")
    kept = rows.drop(columns=["source", "cell"])
    if not counts.all():
        kept = kept[counts].reset_index(drop=True)
    for name in _TEXTS:
        kept[name] = _texts(kept[name].cat.categories, kept[name].cat.codes)
    places = cells.index.get_indexer(pd.Index(rows.loc[counts, "cell"]))
    return kept.assign(cell=_texts(cells["key"], places), run=_texts(runs, places))


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest names by which the files differ: stem, folder/stem, or the whole path."""
    stems = [path.stem for path in paths]
    with_folder = [f"{path.resolve().parent.name}/{path.stem}" for path in paths]
    for names in (stems, with_folder):
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
