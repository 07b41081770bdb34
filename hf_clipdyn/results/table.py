"""Tables of results in memory: one frame, sorted by course, which is one number of one run over its revisions.

Texts are categories, since settings, versions and fingerprints are long and the same in thousands of rows. Files are
read column by column: ten million rows take 2 GB, and no more than one column is there twice.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hf_clipdyn.errors import ConfigError, EvaluationError, naming
from hf_clipdyn.files import write_atomically
from hf_clipdyn.results.arrow import DEFAULTS, SCHEMA, Column, encoded, in_pandas, open_table
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, RunOrigin, merged, package
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY, Cell, cell_key
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary

TABLE = "results.parquet"
"""Name of a table in the folder of a run, of a Trainer or of a model."""
CELL = tuple(field.name for field in fields(Cell))
"""Columns that are constant within a cell."""
CLOCKS = ("samples_seen", "step", "epoch")
"""Columns that place a revision in training, the finest first."""
COURSE = (
    *("run", "kind", "dataset", "split", "data_fingerprint", "preprocess", "settings", "dtype", "texts"),
    *NUMBER_KEY,
)
"""Columns that name a course."""

_Ints: TypeAlias = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Table:
    """The numbers of one or several files, and their words.

    Attributes:
        rows: a row a number: the columns of `Row` (texts are categories, "" or their default for nulls; numbers that
            may be null are NaN); ``run``, the name of the run: its repo_id, with the file's name in brackets if two
            files have different commits under the same names, for example two seeds; ``cell``, the name of the cell's
            files; ``order``, the rank of the revision in its run, from 0; ``usable``, whether the number is defined and
            interpretable; ``course``, its place in `spans`. Sorted by course, then by order; the courses of a run
            follow one another, in the order of the files.
        words: of all files.
        files: trials may lie beside them (`hf_clipdyn.results.trials`); empty for a frame.
        origins: where the numbers of each ``run`` come from, as far as the files recorded it.
    """

    rows: pd.DataFrame
    words: Vocabulary
    files: tuple[Path, ...] = ()
    origins: tuple[RunOrigin, ...] = ()

    @classmethod
    def from_rows(
        cls,
        rows: pd.DataFrame,
        words: Vocabulary,
        files: Sequence[Path] = (),
        origins: Iterable[RunOrigin] = (),
    ) -> "Table":
        """From a frame of `load_results`, of all its rows or of some.

        Args:
            rows: columns for which `Row` has a default may be missing.
            words, files, origins: see the class.

        Raises:
            ConfigError: it lacks columns.
            EvaluationError: it has no rows.
        """
        if missing := sorted({"run", "cell", *SCHEMA.names} - {*rows, *DEFAULTS}):
            raise ConfigError(f"The frame lacks columns ({', '.join(missing[:6])}): use `load_results`.")
        if rows.empty:
            raise EvaluationError("The frame has no rows: filter it less.")
        given = pa.Table.from_pandas(rows[rows.columns.intersection(SCHEMA.names)], preserve_index=False)
        columns = {name: in_pandas(name, encoded(given, name)) for name in SCHEMA.names}
        at = _groups([rows["run"], rows["cell"], rows["revision"]])
        first = ~pd.Series(at).duplicated().to_numpy()
        names = {name: rows[name].to_numpy(object)[first] for name in ("run", "cell")}
        cells = pd.DataFrame({name: columns[name][first] for name in CELL} | names)
        known = tuple(one for one in origins if one.run in set(cells["run"]))
        return cls(_in_order(columns, cells, at), words, tuple(files), known)

    def with_rows(self, rows: pd.DataFrame) -> "Table":
        """The same files with other rows, such as some of them; orders and courses are counted again."""
        return Table.from_rows(rows, self.words, self.files, self.origins)

    @cached_property
    def spans(self) -> list[slice]:
        """The rows of each course."""
        ends = [*(np.flatnonzero(np.diff(self.rows["course"])) + 1).tolist(), len(self.rows)]
        return [slice(*span) for span in zip([0, *ends], ends, strict=False)]

    @cached_property
    def courses(self) -> pd.DataFrame:
        """A row a course, by its number: the columns of `COURSE`, and ``scale``, ``seed`` and ``arm`` of its run."""
        firsts = self.rows[["course", *COURSE]].iloc[[span.start for span in self.spans]]
        of_run = self.cells.groupby("run")[
            ["scale", "seed", "arm"]
        ].max()  # some files of a run may lack them
        return firsts.set_index("course").join(of_run, on="run")

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a cell: the columns of `Cell`, ``cell``, ``run`` and ``order``; by run, then in order; plain texts."""
        cells = self.rows.loc[~self.rows["cell"].duplicated(), [*CELL, "cell", "run", "order"]]
        cells = cells.iloc[np.lexsort((cells["order"], pd.factorize(cells["run"])[0]))]
        texts = cells.select_dtypes("category").columns
        return cells.astype(dict.fromkeys(texts, object)).reset_index(drop=True)

    def where(self, **columns: Any) -> "Table":
        """The rows with these values; the table itself if that is all of them.

        Args:
            columns: a value by the name of its column, None for a missing one; a list, tuple or set means any of its
                values.
        """
        chosen = np.ones(len(self.rows), bool)
        for name, wanted in columns.items():
            several = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
            chosen &= self.rows[name].isin([np.nan if one is None else one for one in several])
        return self if chosen.all() else self._with(np.flatnonzero(chosen))

    def smallest_first(self) -> "Table":
        """The runs of small models first, by their number of parameters; those of one size keep their order."""
        known = self.rows["parameters"].fillna(0)
        sizes = known.groupby(self.rows["run"], observed=True).transform("max")
        table = self._with(np.argsort(sizes, kind="stable"))
        runs = table.rows["run"].unique()
        return replace(table, origins=tuple(one for run in runs for one in self.origins if one.run == run))

    def _with(self, places: _Ints) -> "Table":
        rows = self.rows.iloc[places].reset_index(drop=True)
        return replace(self, rows=rows.assign(course=pd.factorize(rows["course"])[0].astype(np.int32)))


def load(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Table:
    """Read files of results and name their runs.

    Each cell counts once, the last file's, and only the newest cells of each file count (`newest`).

    Args:
        paths: Parquet files that ``clipdyn evaluate`` wrote, or folders with a `results.parquet`. Columns for which
            `Row` has a default may be missing.

    Raises:
        ConfigError: no path was given, or a file does not exist or is not a table of results.
        EvaluationError: the files have no row, or their words are broken.
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    files = [_file_of(Path(path)) for path in several]
    if not files:
        raise ConfigError("No results were given: name at least one Parquet file of `clipdyn evaluate`.")
    opened = [open_table(file, ConfigError) for file in files]
    ends = np.cumsum([file.metadata.num_rows for file in opened])
    if not ends[-1]:
        given = ", ".join(map(str, files))
        raise EvaluationError(f"{given} has no rows: nothing was evaluated, so there is nothing to report.")
    columns = {}
    for name in SCHEMA.names:
        columns[name] = _column(name, opened, files)
        pa.default_memory_pool().release_unused()  # Arrow would keep what it decoded
    words, recorded = list[Vocabulary](), list[Provenance]()
    for path, file in zip(files, opened, strict=True):
        metadata = file.schema_arrow.metadata or {}
        words.append(Vocabulary.loads(metadata.get(VOCABULARY_KEY, b"{}"), str(path)))
        recorded.append(Provenance.loads(metadata.get(PROVENANCE_KEY, b"{}"), str(path)))
    cells, at = cells_of(columns, ends)
    names = _short_names(files)
    counts = are_newest(cells, ("file",))
    counts[counts] = ~cells[counts].duplicated(list(CELL_KEY), keep="last")
    cells["run"] = _runs(cells, counts, names)
    origins = _origins(cells, counts, recorded, names)
    at = np.where(counts, np.cumsum(counts) - 1, -1).astype(np.int32)[at]
    return Table(_in_order(columns, cells[counts], at), Vocabulary.merged(words), tuple(files), origins)


def load_results(results: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Read tables of results into one pandas frame.

    Args:
        results: Parquet files that `clipdyn evaluate` wrote, or folders with a `results.parquet`.

    Returns:
        One row per number, with the columns of `hf_clipdyn.results.row.Row`; ``run``, the name of the run in figures;
        ``cell``, the name of the cell's files; ``order``, the rank of the revision in its run, from 0; ``usable``,
        whether the number is defined and interpretable; and ``course``, which is the same for one number over the
        revisions of a run. Rows are sorted by course and order. ``attrs["vocabulary"]`` (JSON) explains the names, and
        ``attrs["provenance"]`` (JSON) has when the runs began and which hf_clipdyn measured them. `plot` and
        `write_report` take the frame, too, or a part of it.

    Raises:
        ConfigError: a file does not exist, or is not a table of results.
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
    table = load(results)
    # The texts in the type that pandas gives them by itself.
    rows = table.rows.astype(dict.fromkeys(table.rows.select_dtypes("category"), "str"))
    rows.attrs["vocabulary"] = table.words.dumps()
    rows.attrs["provenance"] = Provenance(runs=table.origins).dumps()
    return rows


def write_results(table: Table, output: Path, provenance: Provenance | None = None) -> None:
    """Write a table as one file, which every reader of tables takes; no cells or trials are beside it.

    Args:
        table: of one or several files.
        output: the file.
        provenance: of the table, if claims judged it.

    Raises:
        OSError: the file cannot be written.
    """
    names = dict(table.cells[["run", "repo_id"]].itertuples(index=False, name=None))
    origins = merged(replace(one, run=names[one.run]) for one in table.origins if one.run in names)
    facts = replace(provenance or Provenance(package=package()), runs=origins)
    content = pa.Table.from_pandas(table.rows[SCHEMA.names], schema=SCHEMA, preserve_index=False)
    content = content.replace_schema_metadata(
        {VOCABULARY_KEY: table.words.dumps(), PROVENANCE_KEY: facts.dumps()}
    )
    write_atomically(output, lambda staging: pq.write_table(content, staging))


def are_newest(cells: pd.DataFrame, within: Sequence[str] = ()) -> NDArray[np.bool_]:
    """Which cells no later one replaces, given in the order in which they were measured.

    A revision that was trained again counts with the commit that was measured last. Among the cells that are left,
    one version of the observation and one text commit count for all revisions of a run: those of the last cell. Of the
    relations of a revision with others that have changed, as when a run goes on, the last one counts.

    Args:
        cells: the columns of `CELL_KEY`.
        within: columns that keep cells apart, such as their file.
    """

    def are_as_the_last(of: pd.DataFrame, columns: list[str], by: Sequence[str]) -> NDArray[np.bool_]:
        groups = _groups([of[name] for name in (*within, *by)])
        last = np.zeros(len(of), np.intp)
        last[groups] = np.arange(len(of))
        values = np.stack([pd.factorize(of[name])[0] for name in columns])
        alike: NDArray[np.bool_] = (values == values[:, last[groups]]).all(axis=0)
        return alike

    newest = are_as_the_last(cells, ["commit"], ["repo_id", "revision"])
    current = cells[newest]
    one_revision = ("revision", "commit", "text_commit", "observe_version", "other")
    asked = [name for name in CELL_KEY if name not in one_revision]
    newest[newest] = are_as_the_last(current, ["observe_version", "text_commit"], asked) & are_as_the_last(
        current, ["other"], [*asked, "revision"]
    )
    return newest


def _file_of(path: Path) -> Path:
    """The table that is meant by the folder of a run, of a Trainer or of a model; any other path is itself."""
    table = path / TABLE
    if path.is_dir() and not table.exists():
        raise ConfigError(
            f"{path} is a folder without {TABLE}: name a table that `clipdyn evaluate` wrote, or write "
            f"this one with `clipdyn evaluate {path} --output {table}`."
        )
    if not table.exists() and not path.exists():
        raise ConfigError(f"{path}: it does not exist. `clipdyn evaluate` writes tables of results.")
    return table if path.is_dir() else path


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest names by which the files differ: stem, folder/stem, or the whole path."""
    stems = [path.stem for path in paths]
    with_folder = [f"{path.resolve().parent.name}/{path.stem}" for path in paths]
    for names in (stems, with_folder):
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


# --- columns -------------------------------------------------------------------------------------------------------


def _column(name: str, files: Sequence[pq.ParquetFile], paths: Sequence[Path]) -> Column:
    """A column of all files, one after the other."""
    chunks: list[pa.Array] = []
    for file, path in zip(files, paths, strict=True):
        with naming(f"{path}, column {name}", ConfigError):
            known = [name] if name in file.schema_arrow.names else []
            chunks += encoded(file.read(known), name).chunks
    return in_pandas(name, pa.chunked_array(chunks))


# --- cells, runs and courses ---------------------------------------------------------------------------------------


def _groups(columns: Iterable[Column]) -> _Ints:
    """The group of each row, by these columns, numbered in the order of appearance."""
    groups: _Ints | None = None
    for column in columns:
        codes, values = pd.factorize(column, use_na_sentinel=False)
        if groups is None:
            groups = codes
        elif len(values) > 1:
            groups *= len(values)
            groups += codes
            groups = pd.factorize(groups)[0]
    assert groups is not None
    return groups


def cells_of(columns: Mapping[str, Column], ends: _Ints) -> tuple[pd.DataFrame, _Ints]:
    """The cells of files that end at these rows, as they appear, with ``file``; and the cell of each row."""
    changes = np.zeros(ends[-1], bool)
    changes[[0, *(end for end in ends if end < len(changes))]] = True
    for name in CELL_KEY:
        codes = pd.factorize(columns[name])[0]
        changes[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changes)  # most cells are in one piece
    pieces = pd.DataFrame({name: columns[name][starts] for name in CELL})
    pieces["file"] = np.searchsorted(ends, starts, side="right")
    groups = _groups([pieces[name] for name in ("file", *CELL_KEY)])
    cells = pieces[~pd.Series(groups).duplicated()].reset_index(drop=True)
    values = zip(*(cells[name].tolist() for name in CELL_KEY), strict=True)
    cells["cell"] = [cell_key(dict(zip(CELL_KEY, one, strict=True))) for one in values]
    lengths = np.diff([*starts, ends[-1]])
    return cells, np.repeat(groups.astype(np.int32), lengths)


def _runs(cells: pd.DataFrame, counts: NDArray[np.bool_], names: Sequence[str]) -> "pd.Series[str]":
    """The run of each cell; a file's name tells apart two commits under the same names."""
    counting = cells[counts]
    n_commits = counting.groupby(["repo_id", "revision"], observed=True)["commit"].nunique()
    ambiguous = n_commits[n_commits > 1].index.get_level_values("repo_id")
    repositories = cells["repo_id"].astype(object)
    named = repositories + " (" + pd.Series(np.array(names, object)[cells["file"]]) + ")"
    return repositories.where(~repositories.isin(ambiguous), named)


def _origins(
    cells: pd.DataFrame, counts: NDArray[np.bool_], recorded: Sequence[Provenance], names: Sequence[str]
) -> tuple[RunOrigin, ...]:
    """The origins that the files recorded, as those of the runs."""
    runs, found = set(cells["run"][counts]), list[RunOrigin]()
    known = [{one.run: one for one in facts.runs} for facts in recorded]
    for file, repository in cells[["file", "repo_id"]].drop_duplicates().itertuples(index=False, name=None):
        name = f"{repository} ({names[file]})"
        origin = known[file].get(repository, RunOrigin(run=repository))
        found.append(replace(origin, run=name if name in runs else repository))
    return tuple(one for one in merged(found) if one.run in runs)


def _orders(cells: pd.DataFrame) -> _Ints:
    """The rank of the revision of each cell in its run: by the clock that most revisions have, then by its name."""
    revisions = cells[["run", "revision", *CLOCKS]].drop_duplicates(["run", "revision"])
    clocks = revisions[list(CLOCKS)]
    known = clocks.groupby(revisions["run"]).transform("count").to_numpy()
    times = clocks.to_numpy(float)[np.arange(len(clocks)), known.argmax(axis=1)]
    names = revisions["revision"].astype(str)  # with long numbers, so that `step2` comes before `step10`
    names = names.str.replace("[0-9]+", lambda digits: digits[0].zfill(20), regex=True)
    ranks = revisions.assign(time=times, name=names).sort_values(["run", "time", "name"])
    ranks["order"] = ranks.groupby("run").cumcount()
    found = cells[["run", "revision"]].merge(ranks[["run", "revision", "order"]], how="left")
    return found["order"].to_numpy(np.int32)


def _in_order(columns: dict[str, Column], cells: pd.DataFrame, at: _Ints) -> pd.DataFrame:
    """The rows of `Table`.

    Args:
        columns: of all rows; emptied, so that no column is in memory twice.
        cells: those that count, in their order: the columns of `Cell`, ``run`` and ``cell``.
        at: the cell of each row; -1 for a row that does not count.
    """
    if (left_out := at < 0).any():
        at = at[~left_out]
        for name in columns:
            columns[name] = columns[name][~left_out]
    courses: _Ints = _groups(columns[name] for name in NUMBER_KEY).astype(np.int32)
    common = _groups(cells[name] for name in COURSE if name not in NUMBER_KEY).astype(np.int32)
    courses = _groups([common[at], courses])
    firsts = np.flatnonzero(np.diff(np.maximum.accumulate(courses), prepend=-1))
    runs = pd.factorize(cells["run"])[0]
    ranks = np.empty(len(firsts), np.int32)
    ranks[np.argsort(runs[at[firsts]], kind="stable")] = np.arange(len(firsts))
    courses, order = ranks[courses], _orders(cells)[at]
    places = np.lexsort((at, order, courses))
    courses, order, at = courses[places], order[places], at[places]
    last = np.append((np.diff(courses) != 0) | (np.diff(at) != 0), True)  # of a number that a cell has twice
    courses, order, at, places = courses[last], order[last], at[last], places[last]
    rows = {}
    for name in SCHEMA.names:
        rows[name] = columns.pop(name)[places]
    for name in ("run", "cell"):
        codes, names = pd.factorize(cells[name], sort=True)
        rows[name] = pd.Categorical.from_codes(codes[at], pd.Index(names, dtype=object))
    is_interpretable = rows["interpretable"].fillna(True).astype(bool)
    usable = np.isfinite(rows["value"]) & is_interpretable
    return pd.DataFrame({**rows, "order": order, "usable": usable, "course": courses}, copy=False)
