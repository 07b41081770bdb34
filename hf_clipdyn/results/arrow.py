"""The Arrow schema of a table whose rows are instances of a dataclass; apart from the rows, which need no Arrow."""

from typing import Any, Literal, get_origin, get_type_hints

import pyarrow as pa

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
