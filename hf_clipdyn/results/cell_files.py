"""The files behind a table: one for each cell, and the table that is built from them."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import EvaluationError, naming
from hf_clipdyn.files import from_json
from hf_clipdyn.results.arrow import ENCODED_SCHEMA, SCHEMA, encoded, in_pandas, open_table
from hf_clipdyn.results.provenance import Package, RunOrigin, Time, utc_of
from hf_clipdyn.results.row import Cell
from hf_clipdyn.results.table import CELL, cells_of
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary

HEADER_KEY = b"hf_clipdyn.cell"
"""Key of a `Header` in the metadata of a cell and of its trials."""
FILES_KEY = b"hf_clipdyn.cells"
"""Key of the cells that a table was built from, in its metadata: a `Stamp` by the cell's key."""
_INTEGERS = [one.name for one in SCHEMA if one.name in CELL and pa.types.is_integer(one.type)]


@dataclass(frozen=True)
class Header:
    """The metadata of a cell and of its trials; the other fields are those of `Stamp`."""

    cell: Cell
    measured: float
    package: Package = ""
    began: Time = ""

    def dumps(self) -> str:
        """As JSON."""
        columns = {name: one for name, one in vars(self.cell).items() if one == one}  # no NaN
        return json.dumps({**vars(self), "cell": columns}, sort_keys=True)


@dataclass(frozen=True)
class Stamp:
    """When and by what a cell was measured, and the state of the file that was read.

    Attributes:
        measured: when it was done, in seconds since 1970; 0 if unknown.
        file: modification time (ns) and size (bytes); None without a file.
        package: hf_clipdyn that measured it, or scored it last.
        began: when its run began.
    """

    measured: float = 0.0
    file: tuple[int, ...] | None = None
    package: Package = ""
    began: Time = ""


@dataclass(frozen=True)
class Span:
    """Rows of a table in the columns of `ENCODED_SCHEMA`: a slice of it for each cell would take more memory."""

    table: pa.Table
    start: int
    end: int


@dataclass(frozen=True)
class KeptCell:
    """A cell, its rows, and where they come from."""

    cell: Cell
    rows: Span
    stamp: Stamp

    @property
    def origin(self) -> RunOrigin:
        """What it says about the origin of its run."""
        seconds = 0.0 if math.isnan(self.cell.seconds) else self.cell.seconds
        measured = utc_of(self.stamp.measured - seconds)
        return RunOrigin(self.cell.repo_id, (self.stamp.package,), self.stamp.began, measured)


def read_cell(path: Path, parsed: dict[bytes, Vocabulary]) -> tuple[Header, Vocabulary, pa.Table]:
    """The header, the words and the rows of a cell's file.

    Args:
        path: the file.
        parsed: the words that were read before, by their JSON: most cells have the same.

    Raises:
        EvaluationError: it is something else, or the file of another cell.
    """
    with naming(path, EvaluationError):
        rows = _rows(path)
        metadata = rows.schema.metadata or {}
        header = from_json(Header, metadata.get(HEADER_KEY, b""), path, EvaluationError)
        if header.cell.key != path.stem:
            raise EvaluationError(f"{path} is named as another cell: delete it, then evaluate again.")
        words = metadata.get(VOCABULARY_KEY, b"{}")
        if words not in parsed:
            parsed[words] = Vocabulary.loads(words, str(path))
        return header, parsed[words], rows.replace_schema_metadata(None)


def read_table(path: Path) -> tuple[dict[str, KeptCell], Vocabulary]:
    """The cells of a table by their keys, in its order, and its words.

    Raises:
        EvaluationError: it is something else, or one cell of another table.
    """
    with naming(path, EvaluationError):
        rows = _rows(path)
        metadata = rows.schema.metadata or {}
        if HEADER_KEY in metadata:
            raise EvaluationError(f"{path} is one cell of another table: choose another --output.")
        files = from_json(dict[str, Stamp], metadata.get(FILES_KEY, b"{}"), "its cells", EvaluationError)
        words = Vocabulary.loads(metadata.get(VOCABULARY_KEY, b"{}"), str(path))
    if not len(rows):
        return {}, words
    rows = rows.replace_schema_metadata(None)
    frame, at = cells_of({name: in_pandas(name, rows[name]) for name in CELL}, np.array([len(rows)]))
    if (np.diff(at) < 0).any():
        rows = rows.take(np.argsort(at, kind="stable"))  # each cell in one piece
    cells = zip(frame["cell"], _cells(frame), spans_of(rows, np.bincount(at)), strict=True)
    return {key: KeptCell(cell, span, files.get(key, Stamp())) for key, cell, span in cells}, words


def _rows(path: Path) -> pa.Table:
    """The rows of a file in the columns of `ENCODED_SCHEMA`, with its metadata; nothing that it holds is lost."""
    table = open_table(path, EvaluationError).read()
    known = (*SCHEMA.names, "__index_level_0__")  # where pandas wrote a part of it
    if foreign := [name for name in table.column_names if name not in known]:
        raise EvaluationError(f"{path} also has the columns {', '.join(foreign)}: choose another --output.")
    metadata, columns = table.schema.metadata, list[pa.Array]()
    for name in SCHEMA.names:  # one by one, so that no more than one is there twice
        columns.append(encoded(table, name).unify_dictionaries().combine_chunks())
        table = table.drop_columns(name) if name in table.column_names else table
    return pa.table(columns, schema=ENCODED_SCHEMA.with_metadata(metadata))


def _cells(frame: pd.DataFrame) -> list[Cell]:
    """The rows of `cells_of` as they were measured: with None for nulls."""
    columns = frame[list(CELL)].astype(dict.fromkeys(_INTEGERS, "Int64")).astype(object)
    columns = columns.where(columns.notna(), None)
    columns = columns.assign(scale=columns["scale"].replace({"": None}), seconds=frame["seconds"])
    return [Cell(**dict(zip(CELL, one, strict=True))) for one in columns.itertuples(index=False)]


def spans_of(rows: pa.Table, lengths: Iterable[int]) -> list[Span]:
    """The rows in pieces of these lengths."""
    return [Span(rows, *ends) for ends in pairwise(np.cumsum([0, *lengths]).tolist())]


def joined(spans: Iterable[Span]) -> pa.Table:
    """The rows of these spans, in one piece, in the columns of `ENCODED_SCHEMA`."""
    several = list(spans)
    tables = list({id(span.table): span.table for span in several}.values())
    if not tables:
        return ENCODED_SCHEMA.empty_table()
    whole = tables[0] if len(tables) == 1 else in_one_piece(tables)
    firsts = np.cumsum([0, *(len(table) for table in tables)]).tolist()
    first = {id(table): at for table, at in zip(tables, firsts, strict=False)}
    places = [(first[id(span.table)] + span.start, first[id(span.table)] + span.end) for span in several]
    if all(end == start for (_, end), (start, _) in pairwise(places)):
        return whole.slice(places[0][0], places[-1][1] - places[0][0])
    return whole.take(np.concatenate([np.arange(*ends) for ends in places]))


def in_one_piece(tables: Iterable[pa.Table]) -> pa.Table:
    """The rows of tables in the columns of `ENCODED_SCHEMA`, one after the other."""
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def write_encoded(table: pa.Table, path: Path) -> None:
    """Write rows whose texts are dictionaries; whoever reads the file finds plain texts, in the types of `SCHEMA`."""
    # A stored Arrow schema would say that they are dictionaries. Without one, they are what Parquet says: texts.
    with pq.ParquetWriter(path, ENCODED_SCHEMA, store_schema=False) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        writer.add_key_value_metadata(table.schema.metadata or {})
