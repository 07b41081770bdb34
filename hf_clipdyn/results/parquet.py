"""Read Parquet files of unknown origin: sizes are bounded, and errors are one sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# A study of a hundred revisions has some 100,000 rows; those of the embedded suite take 1 KB each, uncompressed.
_MOST_ROWS = 10**7
_MOST_BYTES = 4 * 2**30
_LONGEST_TEXT = 10**5
_MANY_ROWS = 10_000  # below, threads cost more than they save
_BATCH, _PART = 2**13, 2**15  # rows that are decoded at once, and that are given: 5 and 8 MB of results


def schema_of(path: Path) -> pa.Schema:
    """The columns and the metadata of a regular file; no columns if it is not a Parquet file."""
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return pa.schema([])


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a Parquet file.

    Args:
        path: the file.
        columns: read only these, as far as the file has them. Default: all.

    Raises:
        ValueError: it is not such a file, or would fill the memory; the message continues the file's name.
    """
    return decoded(read_encoded(path, columns=columns))


def read_encoded(path: Path, texts: Sequence[str] = (), columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a Parquet file with its texts as dictionaries, since each row may hold a text of megabytes.

    Args:
        path: the file.
        texts: columns that hold texts, if they are known: the file is then opened only once.
        columns: as in `read_parquet`.

    Raises:
        ValueError: as `read_parquet`.
    """
    with _opened(path, texts) as file:
        return _read(file, columns)


def read_batches(path: Path, texts: Sequence[str] = ()) -> Iterator[pa.Table]:
    """The table of `read_encoded` in successive parts of some rows, at least one, each with the metadata of the file.

    Args:
        path: the file.
        texts: as in `read_encoded`.

    Raises:
        ValueError: as `read_parquet`.
    """
    with _opened(path, texts) as file:
        if not file.metadata.num_rows:
            yield file.schema_arrow.empty_table()
        batches, n_rows = list[pa.RecordBatch](), 0
        for batch in file.iter_batches(_BATCH, use_threads=file.metadata.num_rows > _MANY_ROWS):
            batches.append(batch)
            n_rows += len(batch)
            if n_rows >= _PART:
                yield pa.Table.from_batches(batches)
                batches, n_rows = [], 0
        if batches:
            yield pa.Table.from_batches(batches)


@contextmanager
def _opened(path: Path, texts: Sequence[str]) -> Iterator[pq.ParquetFile]:
    """The file with its texts as dictionaries; a ValueError continues its name."""
    if not path.exists():
        raise ValueError("does not exist")
    if path.is_dir():  # pyarrow would read the files in it
        raise ValueError("is a folder")
    if not path.is_file():
        raise ValueError("is a pipe or a device, not a file")
    try:
        with _open(path, texts) as file:
            schema = file.schema_arrow
            _check_size(file, schema)
            if not any(_is_text(field.type) for field in schema):
                yield file
                return
        with _open(path, [field.name for field in schema if _holds_texts(field.type)]) as file:
            yield file
    except (pa.ArrowException, OSError, KeyError, OverflowError) as error:
        raise ValueError(f"cannot be read as Parquet ({_cause(error)})") from error


def decoded(table: pa.Table) -> pa.Table:
    """A table of `read_encoded` with plain texts.

    Raises:
        ValueError: a text is too long.
    """
    check_texts(table)
    types = [field.with_type(pa.string()) if _holds_texts(field.type) else field for field in table.schema]
    try:
        return table.cast(pa.schema(types, metadata=table.schema.metadata))
    except pa.ArrowException as error:
        raise ValueError(f"cannot be read as Parquet ({_cause(error)})") from error


def check_texts(table: pa.Table) -> None:
    """Refuse texts that are too long.

    Raises:
        ValueError: a text is.
    """
    for field in table.schema:
        for chunk in table[field.name].chunks if _holds_texts(field.type) else ():
            values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            longest = pc.max(pc.binary_length(values)).as_py()
            if (longest or 0) > _LONGEST_TEXT:
                raise ValueError(f"has a text of {longest:,} bytes in its column {field.name}")


def _open(path: Path, texts: Sequence[str]) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False)
    except KeyError:  # a column is absent, or is a list
        return pq.ParquetFile(path, pre_buffer=False)


def _check_size(file: pq.ParquetFile, schema: pa.Schema) -> None:
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    if size > _MOST_BYTES or file.metadata.num_rows > _MOST_ROWS:
        raise ValueError(f"has {file.metadata.num_rows:,} rows in {size:,} bytes, too many for a table")
    if len(set(schema.names)) < len(schema.names):
        raise ValueError("has two columns with the same name")


def _read(file: pq.ParquetFile, columns: Sequence[str] | None) -> pa.Table:
    wanted = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
    return file.read(columns=wanted, use_threads=file.metadata.num_rows > _MANY_ROWS)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _holds_texts(kind: pa.DataType) -> bool:
    return _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _cause(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
