"""The results: one long Parquet table, and beside it the trials behind its numbers.

::

    results.parquet                                               a row per measurement
    results.trials/me--run/noise--cifar10/epoch-003-….parquet      a row per stimulus
    results.trials/me--run/noise--cifar10/final_text/….parquet     the same, asked with the last revision's texts

A pair (a revision and a benchmark) is written at once, trials first: a file is replaced whole, so a kill
at any moment loses the pair in work and nothing else.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.revisions.files import fsync, replace_durably

__all__ = [
    "FINAL_TEXT",
    "PAIR",
    "SCHEMA",
    "Pair",
    "ResultsStore",
    "read_parquet",
    "read_trials",
    "trial_benchmarks",
    "trials_files",
    "trials_folder",
    "without_facts",
]

_TEXT, _NUMBER, _COUNT = pa.string(), pa.float64(), pa.int64()

SCHEMA = pa.schema(
    [
        ("repo_id", _TEXT),
        ("revision", _TEXT),
        ("commit", _TEXT),
        ("epoch", _COUNT),
        ("step", _COUNT),
        ("samples_seen", _COUNT),
        ("benchmark", _TEXT),
        ("data_fingerprint", _TEXT),
        ("preprocess", _TEXT),
        ("probe", _TEXT),
        ("layer", _COUNT),
        ("metric", _TEXT),
        ("group", _TEXT),
        ("higher_is_better", pa.bool_()),
        ("value", _NUMBER),
        ("ci_low", _NUMBER),
        ("ci_high", _NUMBER),
        ("n", _COUNT),
        ("n_groups", _COUNT),
        ("dtype", _TEXT),
        ("versions", _TEXT),
        ("seconds", _NUMBER),
        ("note", _TEXT),
    ]
)
"""Columns of the results; ``note`` names the cause where ``value`` is NaN, and a caution about a number."""

FINAL_TEXT = "final_text"
"""What follows the slash of a metric that asks with the texts of the run's last revision; folder of such trials."""

PAIR = ("repo_id", "revision", "commit", "benchmark", "data_fingerprint", "preprocess", "dtype")
"""What names a pair: a table holds the rows of each pair once."""


# A study of a hundred revisions has some 100,000 rows; those of the embedded suite take 1 KB each, uncompressed.
_MOST_ROWS = 10**7
_MOST_BYTES = 4 * 2**30
_LONGEST_TEXT = 10**5

_FACTS = (*PAIR, "epoch", "step", "samples_seen")
_IN_A_PAIR = ("probe", "layer", "metric", "group")

Pair = tuple[str, ...]


class ResultsStore:
    """The table at ``path``, held by one process at a time; in memory alone for None.

    Use it as a context manager; a table that is there already is continued.

    Raises:
        EvaluationError: the file is not such a table, its folder cannot be written, or another process
            writes it.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._tables: dict[Pair, pa.Table] = {}
        self._lock: FileLock | None = None

    def __enter__(self) -> Self:
        if self.path is None:
            return self
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
            lock.acquire(timeout=0)
        except Timeout:
            raise EvaluationError(
                f"Another process writes {self.path}: wait for it, or choose another --output."
            ) from None
        except OSError as error:
            raise EvaluationError(
                f"{self.path} cannot be written ({error.strerror}): choose another --output."
            ) from error
        self._lock = lock
        if self.path.exists():
            try:
                self._tables = _split(_read(self.path))
            except BaseException:
                lock.release()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()

    @property
    def table(self) -> pa.Table:
        """All rows."""
        return pa.concat_tables([SCHEMA.empty_table(), *self._tables.values()])

    def pairs(self) -> set[Pair]:
        """The pairs that are done, as the values of the columns `PAIR`."""
        return set(self._tables)

    def select(self, pairs: Iterable[Pair]) -> pa.Table:
        """The rows of these pairs, in the order of the table."""
        wanted = set(pairs)
        found = [rows for pair, rows in self._tables.items() if pair in wanted]
        return pa.concat_tables([SCHEMA.empty_table(), *found])

    def trials(self, pair: Pair, *, final_text: bool = False) -> pd.DataFrame | None:
        """What was kept of the answers behind a pair, as they were added; None where nothing was."""
        if self.path is None:
            return None
        file = _trials_file(self.path, dict(zip(PAIR, pair, strict=True)), final_text)
        if not file.is_file():
            return None
        kept: pd.DataFrame = pq.read_table(file).to_pandas()
        return without_facts(kept)

    def add(
        self,
        pair: dict[str, Any],
        rows: Sequence[dict[str, Any]],
        trials: pd.DataFrame | None,
        *,
        final_text: bool = False,
        obsolete: Iterable[Pair] = (),
    ) -> None:
        """Write one pair, in place of what was there under its name.

        Args:
            pair: values of `PAIR`, and epoch, step and samples_seen.
            rows: the remaining columns of each measurement.
            trials: kept beside the table unless None.
            final_text: whether it was asked with the texts of the last revision; its trials are kept apart.
            obsolete: pairs of that sort that go when this one comes, with their trials.
        """
        names = [tuple(row[name] for name in _IN_A_PAIR) for row in rows]
        twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
        assert not twice, f"{pair['benchmark']} has two numbers of one name: {twice}"
        new = pa.Table.from_pylist([{**pair, **row} for row in rows], schema=SCHEMA)
        gone = set(obsolete) & set(self._tables)
        if self.path is not None:
            if trials is not None:
                file = _trials_file(self.path, pair, final_text)
                _write(_with_facts(trials, pair), file)
            for other in gone:
                _trials_file(self.path, dict(zip(PAIR, other, strict=True)), True).unlink(missing_ok=True)
        self._tables = {key: held for key, held in self._tables.items() if key not in gone}
        key: Pair = tuple(pair[name] for name in PAIR)
        self._tables.pop(key, None)  # what is measured anew also takes the last place
        self._tables[key] = new
        if self.path is not None:
            _write(self.table, self.path)


def _split(table: pa.Table) -> dict[Pair, pa.Table]:
    """The rows of each pair, in the order in which the pairs first appear; views, where they stand together."""
    table = table.combine_chunks()
    pairs = table.select(list(PAIR)).to_pandas()
    rows = pairs.groupby(list(PAIR), sort=False).indices
    return {
        pair: table.slice(int(where[0]), len(where))
        if where[-1] - where[0] + 1 == len(where)
        else table.take(pa.array(where))
        for pair, where in sorted(rows.items(), key=lambda one: int(one[1][0]))  # pandas 2 sorts them by name
    }


def _with_facts(trials: pd.DataFrame, pair: dict[str, Any]) -> pa.Table:
    """The pair's columns before those of the trials, typed as in the table even where they are null."""
    answers = pa.Table.from_pandas(trials, preserve_index=False)
    facts = {
        name: pa.repeat(pa.scalar(value, SCHEMA.field(name).type), len(trials))
        for name, value in pair.items()
    }
    table = pa.table(facts | {name: answers[name] for name in answers.column_names})
    return table.replace_schema_metadata(answers.schema.metadata)


def without_facts(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials as `Benchmark.score` takes them: what names the pair is no part of an answer."""
    answers: pd.DataFrame = trials.drop(columns=[name for name in _FACTS if name in trials])
    return answers


def _trials_file(path: Path, pair: dict[str, Any], final_text: bool) -> Path:
    repo_id, benchmark, revision = (
        str(pair[name]).replace("/", "--") for name in ("repo_id", "benchmark", "revision")
    )
    name = f"{revision}-{pair['commit'][:12]}-{pair['data_fingerprint'][:12]}-{pair['dtype']}.parquet"
    return trials_folder(path) / repo_id / benchmark / (FINAL_TEXT if final_text else "") / name


def trials_folder(path: Path) -> Path:
    """Folder of the trials that belong to the table at ``path``."""
    return path.with_suffix(".trials")  # evaluation writes tables that end in .parquet alone


def trial_benchmarks(path: Path) -> list[str]:
    """Names of the benchmarks whose trials were kept beside the table at ``path``, sorted."""
    return sorted({folder.name.replace("--", "/", 1) for folder in trials_folder(path).glob("*/*/")})


def trials_files(path: Path, benchmark: str, *, final_text: bool = False) -> list[Path]:
    """The files that `read_trials` reads, one per pair; none where no trials were kept."""
    below = f"{FINAL_TEXT}/" if final_text else ""
    return sorted(trials_folder(path).glob(f"*/{benchmark.replace('/', '--')}/{below}*.parquet"))


def read_trials(path: Path, benchmark: str, *, final_text: bool = False) -> pd.DataFrame:
    """The trials of one benchmark, of all revisions: a row per stimulus and condition.

    Args:
        path: the table of results.
        benchmark: ``kind/dataset``.
        final_text: the answers to the texts of the run's last revision, in place of those to each revision's own.

    Returns:
        Columns of `PAIR`, epoch, step, samples_seen, and those that the kind's docstring names.

    Raises:
        EvaluationError: no trials of it were kept.
    """
    files = trials_files(path, benchmark, final_text=final_text)
    if not files:
        raise EvaluationError(
            f"Beside {path} there are no trials of {benchmark}: evaluate it, without --no-keep-trials."
        )
    frames: list[pd.DataFrame] = [pq.read_table(file).to_pandas() for file in files]
    return pd.concat(frames, ignore_index=True)


def read_parquet(path: Path) -> pa.Table:
    """A Parquet file whole, unless it is no such file or would fill the memory.

    Raises:
        ValueError: naming the cause, in words that follow the file's name.
    """
    if not path.exists():
        raise ValueError("does not exist")
    if path.is_dir():  # pyarrow would read the files in it
        raise ValueError("is a folder")
    if not path.is_file():
        raise ValueError("is a pipe or a device, not a file")
    try:
        with pq.ParquetFile(path) as file:
            texts = [
                field.name
                for field in file.schema_arrow
                if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
            ]
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            if size > _MOST_BYTES or file.metadata.num_rows > _MOST_ROWS:
                raise ValueError(
                    f"has {file.metadata.num_rows:,} rows in {size:,} bytes, too many for a table"
                )
        # A dictionary is not unfolded yet: a text of megabytes may stand in every row.
        table = pq.read_table(path, read_dictionary=texts, partitioning=None)
        for name in texts:
            for chunk in table[name].chunks:
                values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
                longest = pc.max(pc.binary_length(values)).as_py()
                if (longest or 0) > _LONGEST_TEXT:
                    raise ValueError(f"has a text of {longest:,} bytes in its column {name}")
        types = pa.schema(
            [field.with_type(pa.string()) if field.name in texts else field for field in table.schema]
        )
        return table.cast(types)
    except (pa.ArrowException, OSError, KeyError, OverflowError) as error:
        raise ValueError(
            f"cannot be read as Parquet ({(str(error) or type(error).__name__).splitlines()[0].rstrip('.')})"
        ) from error


def _read(path: Path) -> pa.Table:
    """The table at the path; refused where writing it again would lose something that it holds."""
    try:
        table = read_parquet(path)
        known = (*SCHEMA.names, "__index_level_0__")  # where pandas wrote a part of it
        foreign = [name for name in table.column_names if name not in known]
        missing = [name for name in SCHEMA.names if name not in table.column_names]
        if foreign or missing:
            raise ValueError(
                f"also has the columns {', '.join(foreign)}"
                if foreign
                else f"lacks the columns {', '.join(missing)}"
            )
        if len(set(table.column_names)) < len(table.column_names):
            raise ValueError("has two columns of one name")
        try:
            cast = table.select(SCHEMA.names).cast(SCHEMA)
        except (pa.ArrowException, ValueError) as error:
            raise ValueError(f"has values of other types ({str(error).splitlines()[0]})") from error
        unnamed = [name for name in PAIR if cast[name].null_count]
        if unnamed:
            raise ValueError(f"has rows that lack their {', '.join(unnamed)}")
        return cast
    except ValueError as error:
        raise EvaluationError(
            f"{path} {error}, so that it is not a table of results: move it away or choose another --output."
        ) from error


def _write(table: pa.Table, path: Path) -> None:
    """Replace a file whole, so that a reader or a kill finds the old or the new one."""
    staging = path.with_name(f".{path.name}.staging")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, staging)
        fsync(staging)
        replace_durably(staging, path)
    except OSError as error:
        staging.unlink(missing_ok=True)
        raise EvaluationError(
            f"{path} cannot be written ({error.strerror or error}): nothing of it was changed. "
            "Free some space, then repeat the command; it continues."
        ) from error
