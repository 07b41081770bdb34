"""The rows of many cells as one table in memory, in the columns of `ENCODED_SCHEMA`.

Settings, versions and fingerprints are long, and the same in thousands of rows: each is kept once. A cell is a span of
that table, since a slice of 45 columns takes more memory than its rows.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.results.arrow import ENCODED_SCHEMA, SCHEMA
from hf_clipdyn.results.parquet import check_texts
from hf_clipdyn.results.row import CELL_KEY, Cell

_CELL = tuple(Cell.__annotations__)
_LATER = ("arm", "model_class", "processor_class", "other")  # columns that earlier tables lack


@dataclass(frozen=True)
class Span:
    """Successive rows of a table in the columns of `ENCODED_SCHEMA`: a slice of one for each cell takes more memory."""

    table: pa.Table
    start: int
    end: int


def encoded(table: pa.Table) -> pa.Table:
    """The table in the columns and types of `ENCODED_SCHEMA`, in one piece, with its metadata.

    A caller that does not hold the table itself saves the memory of a second one.

    Raises:
        ValueError: something that it holds would be lost, or the names of its cells are incomplete.
    """
    check_texts(table)
    for name in _LATER:
        if name not in table.column_names:
            table = table.append_column(name, pa.repeat("", len(table)))
    known = (*SCHEMA.names, "__index_level_0__")  # where pandas wrote a part of it
    foreign = [name for name in table.column_names if name not in known]
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if foreign:
        raise ValueError(f"also has the columns {', '.join(foreign)}")
    if missing:
        raise ValueError(f"lacks the columns {', '.join(missing)}")
    metadata, columns = table.schema.metadata, list[pa.Array]()
    try:
        for field in SCHEMA:  # one by one, so that no more than one is there twice
            column = _encoded(table[field.name], field)
            table = table.drop_columns(field.name)
            columns.append(column.unify_dictionaries().combine_chunks())
        rows = pa.table(columns, schema=ENCODED_SCHEMA.with_metadata(metadata))
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(f"has values of other types ({str(error).splitlines()[0]})") from error
    unnamed = [name for name in CELL_KEY if rows[name].null_count]
    if unnamed:
        raise ValueError(f"has rows without a value in {', '.join(unnamed)}")
    return rows


def _encoded(values: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    wanted = ENCODED_SCHEMA.field(field.name).type
    return values if values.type == wanted else values.cast(field.type).cast(wanted)


def by_cell(rows: pa.Table) -> dict[str, tuple[Cell, Span]]:
    """Each cell and its rows, by its key."""
    runs = [(cell.key, cell, span) for cell, span in runs_of(rows)]
    place = {key: at for at, key in enumerate(dict.fromkeys(key for key, *_ in runs))}
    if len(place) == len(runs):
        return {key: (cell, span) for key, cell, span in runs}
    of_row = np.repeat([place[key] for key, *_ in runs], [span.end - span.start for *_, span in runs])
    return by_cell(rows.take(np.argsort(of_row, kind="stable")))  # each cell in one piece


def runs_of(rows: pa.Table) -> list[tuple[Cell, Span]]:
    """The cells of successive rows, and these; the table is in one piece."""
    change = np.zeros(max(rows.num_rows - 1, 0), bool)
    for name in CELL_KEY:
        values = rows[name].combine_chunks()
        codes = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        change |= np.diff(codes.indices.to_numpy()) != 0
    starts = [0, *(np.flatnonzero(change) + 1).tolist()] if rows.num_rows else []
    cells = cells_of(rows.take(pa.array(starts, pa.int64())))
    spans = [Span(rows, *ends) for ends in pairwise([*starts, rows.num_rows])]
    return list(zip(cells, spans, strict=True))


def cells_of(rows: pa.Table) -> list[Cell]:
    """The cell of each row."""
    columns = (_values(column.combine_chunks()) for column in rows.select(_CELL).columns)
    return [_cell(values) for values in zip(*columns, strict=True)]


def _values(column: pa.Array) -> list[Any]:
    """The values of a column; the same text is one object."""
    if not pa.types.is_dictionary(column.type):
        return column.to_pylist()  # type: ignore[no-any-return]
    texts = [*column.dictionary.to_pylist(), None]
    return [texts[-1 if at is None else at] for at in column.indices.to_pylist()]


def _cell(values: Iterable[Any]) -> Cell:
    columns = dict(zip(_CELL, values, strict=True))
    if columns["seconds"] is None:
        columns["seconds"] = math.nan
    return Cell(**columns)


def joined(spans: Iterable[Span]) -> pa.Table:
    """The rows of these spans, in one piece, in the columns of `ENCODED_SCHEMA`."""
    of = list(spans)
    tables = list({id(span.table): span.table for span in of}.values())
    if not tables:
        return ENCODED_SCHEMA.empty_table()
    whole = tables[0] if len(tables) == 1 else _in_one_piece(pa.concat_tables(tables))
    firsts = np.cumsum([0, *(len(table) for table in tables)])
    first = {id(table): int(at) for table, at in zip(tables, firsts, strict=False)}
    places = [(first[id(span.table)] + span.start, first[id(span.table)] + span.end) for span in of]
    if all(end == start for (_, end), (start, _) in pairwise(places)):
        start, end = places[0][0], places[-1][1]
        return whole.slice(start, end - start)
    return whole.take(np.concatenate([np.arange(*ends) for ends in places]))


def _in_one_piece(table: pa.Table) -> pa.Table:
    return table.unify_dictionaries().combine_chunks()


def write_encoded(table: pa.Table, path: Path) -> None:
    """Write a table of `encoded` rows; whoever reads the file finds plain texts, in the types of `SCHEMA`."""
    # A stored Arrow schema would say that they are dictionaries. Without one, they are what Parquet says: texts.
    with pq.ParquetWriter(path, ENCODED_SCHEMA, store_schema=False) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        writer.add_key_value_metadata(table.schema.metadata or {})
