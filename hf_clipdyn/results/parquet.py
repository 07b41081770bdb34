"""Read Parquet files of unknown origin: sizes are bounded, and errors are one sentence."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["read_parquet"]

# A study of a hundred revisions has some 100,000 rows; those of the embedded suite take 1 KB each, uncompressed.
_MOST_ROWS = 10**7
_MOST_BYTES = 4 * 2**30
_LONGEST_TEXT = 10**5


def read_parquet(path: Path) -> pa.Table:
    """The table of a Parquet file.

    Raises:
        ValueError: it is no such file, or would fill the memory; the message continues the file's name.
    """
    if not path.exists():
        raise ValueError("does not exist")
    if path.is_dir():  # pyarrow would read the files in it
        raise ValueError("is a folder")
    if not path.is_file():
        raise ValueError("is a pipe or a device, not a file")
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            texts = [
                field.name
                for field in schema
                if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
            ]
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            if size > _MOST_BYTES or file.metadata.num_rows > _MOST_ROWS:
                raise ValueError(
                    f"has {file.metadata.num_rows:,} rows in {size:,} bytes, too many for a table"
                )
        if len(set(schema.names)) < len(schema.names):
            raise ValueError("has two columns of one name")
        # As dictionaries, since each row may hold a text of megabytes.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            table = file.read()
        for name in texts:
            for chunk in table[name].chunks:
                values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
                longest = pc.max(pc.binary_length(values)).as_py()
                if (longest or 0) > _LONGEST_TEXT:
                    raise ValueError(f"has a text of {longest:,} bytes in its column {name}")
        types = [field.with_type(pa.string()) if field.name in texts else field for field in table.schema]
        return table.cast(pa.schema(types, metadata=table.schema.metadata))
    except (pa.ArrowException, OSError, KeyError, OverflowError) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise ValueError(f"cannot be read as Parquet ({cause})") from error
