"""The rows of many cells in one table: each text once, each cell a span."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from result_rows import row

from hf_clipdyn.results.row import ENCODED_SCHEMA, SCHEMA
from hf_clipdyn.results.spans import Span, by_cell, encoded, joined, runs_of, write_encoded


def rows_of(*revisions: str, n: int = 3) -> pa.Table:
    """Rows of one cell for each revision, with plain texts."""
    rows = [
        row("noise/cifar10", "accuracy", float(value), revision=revision, level=float(value), seconds=1.0)
        for revision in revisions
        for value in range(n)
    ]
    return pa.Table.from_pylist([vars(one) for one in rows], schema=SCHEMA)


def test_spans_of_several_tables_in_any_order_are_the_rows_written_out():
    plain = [rows_of("epoch-001", "epoch-002"), rows_of("epoch-003"), rows_of("epoch-004", "epoch-001")]
    tables = [encoded(one) for one in plain]
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = [
            (at, *np.sort(rng.integers(0, len(plain[at]) + 1, 2)).tolist()) for at in rng.integers(0, 3, 5)
        ]
        found = joined(Span(tables[at], start, end) for at, start, end in chosen)
        expected = pa.concat_tables([plain[at].slice(start, end - start) for at, start, end in chosen])
        assert found.schema.equals(ENCODED_SCHEMA)
        assert found.cast(SCHEMA).equals(expected.combine_chunks())


def test_no_spans_are_an_empty_table():
    assert joined([]).schema.equals(ENCODED_SCHEMA)
    assert len(joined([])) == 0


def test_cells_whose_rows_are_mixed_are_brought_together():
    table = rows_of("epoch-001", "epoch-002")
    cells = by_cell(encoded(table.take([0, 3, 1, 4, 2, 5])))
    assert [cell.revision for cell, _ in cells.values()] == ["epoch-001", "epoch-002"]
    for _, span in cells.values():
        assert joined([span])["value"].to_pylist() == [0.0, 1.0, 2.0]


def test_the_cells_share_their_texts():
    (first, _), (second, _) = runs_of(encoded(rows_of("epoch-001", "epoch-002")))
    assert first.settings is second.settings
    assert first.versions is second.versions


def test_the_file_has_plain_texts_and_the_metadata(tmp_path):
    plain = rows_of("epoch-001", "epoch-002", "epoch-003").replace_schema_metadata({"key": "value"})
    write_encoded(encoded(plain).replace_schema_metadata(plain.schema.metadata), tmp_path / "table.parquet")
    read = pq.read_table(tmp_path / "table.parquet")
    assert read.schema.equals(SCHEMA)
    assert read.equals(plain)
    assert read.schema.metadata[b"key"] == b"value"
