"""The columns of a table of rows, in Arrow's types and in those of pandas; apart from the rows, which need neither."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import ClipDynError, naming
from hf_clipdyn.files import check_regular
from hf_clipdyn.options import members
from hf_clipdyn.results.row import Row, columns_of

_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    tuple[str, ...]: pa.list_(pa.string()),
}


def arrow_schema(row: type) -> pa.Schema:
    """The schema of a table whose rows are instances of this dataclass; `Literal` is text, and None is null."""
    kinds = get_type_hints(row)
    types = {name: str if get_origin(kind) is Literal else members(kind)[0] for name, kind in kinds.items()}
    return pa.schema([(name, _ARROW[types[name]]) for name in columns_of(row)])


def column_table(row: type) -> list[tuple[str, str, str]]:
    """Name, Arrow type and meaning of every column of a table, for the docs."""
    types, columns = arrow_schema(row), columns_of(row)
    return [(name, str(types.field(name).type), declared["meaning"]) for name, declared in columns.items()]


SCHEMA = arrow_schema(Row)
"""Arrow schema of the table."""
ENCODED_SCHEMA = pa.schema(
    [
        one.with_type(pa.dictionary(pa.int32(), one.type)) if pa.types.is_string(one.type) else one
        for one in SCHEMA
    ]
)
"""The table in memory, its texts as dictionaries: of thousands of rows, most say the same."""
DEFAULTS: Mapping[str, Any] = {one.name: one.default for one in fields(Row) if one.default is not MISSING}
"""What a row has in a column that a table lacks."""

Column: TypeAlias = Any
"""A column of `pd.DataFrame`: a Categorical, a BooleanArray, or an array of NumPy."""


def schema_of(path: Path) -> pa.Schema:
    """The columns and the metadata of a Parquet file; no columns if it is something else."""
    try:
        check_regular(path)
        return pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return pa.schema([])


def open_table(path: Path, error: type[ClipDynError]) -> pq.ParquetFile:
    """A file with the columns of `SCHEMA`, as far as they have no default, and its texts as dictionaries.

    Args:
        path: the file.
        error: class of what is raised.

    Raises:
        error: it is not a Parquet file, or lacks columns.
    """
    with naming(path, error):
        check_regular(path)
        schema = pq.read_schema(path)
        if missing := [name for name in SCHEMA.names if name not in (*schema.names, *DEFAULTS)]:
            raise error(f"{path} is not a table of results: it lacks the columns {', '.join(missing)}")
        texts = [one.name for one in schema if pa.types.is_string(one.type)]
        return pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False)


def encoded(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A column in its type of `ENCODED_SCHEMA`; its default, if the table lacks it."""
    kind, wanted = SCHEMA.field(name).type, ENCODED_SCHEMA.field(name).type
    if name not in table.column_names:
        return pa.chunked_array([pa.repeat(pa.scalar(DEFAULTS[name], kind), len(table))]).cast(wanted)
    values = table[name]
    return values if values.type == wanted else values.cast(kind).cast(wanted)


def in_pandas(name: str, values: pa.ChunkedArray) -> Column:
    """A column of `encoded`: texts as categories, numbers with NaN for nulls.

    The categories are sorted; what a column has by default stands in for missing texts.
    """
    if pa.types.is_dictionary(values.type):
        return _categories(values, DEFAULTS.get(name) or "")
    whole = values.combine_chunks()
    if pa.types.is_boolean(whole.type):
        missing = whole.is_null().to_numpy(zero_copy_only=False)
        return pd.arrays.BooleanArray(whole.fill_null(False).to_numpy(zero_copy_only=False), missing)
    return np.array(
        whole.to_numpy(zero_copy_only=False)
    )  # memory of Arrow's is not given back when it is freed


def _categories(values: pa.ChunkedArray, default: str) -> pd.Categorical:
    whole = values.unify_dictionaries().combine_chunks()
    texts = [default if text is None else text for text in (*whole.dictionary.to_pylist(), None)]
    at = whole.indices.fill_null(len(texts) - 1).to_numpy()
    used = np.zeros(len(texts), bool)
    used[at] = True
    known = sorted({text for text, is_used in zip(texts, used, strict=True) if is_used})
    places = {text: place for place, text in enumerate(known)}
    codes = np.array([places.get(text, -1) for text in texts], np.int32)
    return pd.Categorical.from_codes(codes[at], pd.Index(known, dtype=object))
