"""Hostile tables of results, cells and trials: what `clipdyn report` reads and `clipdyn evaluate` continues."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile.harness import HARMS, Run, Write
from result_rows import cell

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.results.cells import CellStore, cells_folder
from hf_clipdyn.results.provenance import PROVENANCE_KEY
from hf_clipdyn.results.row import Row
from hf_clipdyn.results.table import load
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary
from hf_clipdyn.results.trials import trials_folder

Harm = Callable[[Path], object]
CELL = cell()


def _columns(**columns: Any) -> Harm:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        changed = pa.Table.from_pandas(table.to_pandas().assign(**columns), preserve_index=False)
        pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)

    return change


def _metadata(key: bytes, value: bytes) -> Harm:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), key: value}), path)

    return change


FILES: dict[str, Harm] = {
    **{name: HARMS[name] for name in ("a folder", "a pipe", "a device", "emptied", "halved", "garbled")},
    "text": lambda path: path.write_text("repo_id,value\n"),
    "footer": lambda path: path.write_bytes(path.read_bytes()[:-8] + b"\xff\xff\xff\x7fPAR1"),
}
ROWS: dict[str, Harm] = {
    "other columns": lambda path: pd.DataFrame({"a": [1]}).to_parquet(path),
    "lists": _columns(metric=[["a"]]),
    "words": _columns(value="high"),
    "dates": _columns(value=pd.Timestamp("2026-01-01")),
    "a column less": lambda path: pq.write_table(pq.read_table(path).drop(["value"]), path),
}
HEADS: dict[str, Harm] = {
    "deep vocabulary": _metadata(VOCABULARY_KEY, b"[" * 5000),
    "vocabulary of numbers": _metadata(VOCABULARY_KEY, b'{"kinds": {"k": {"title": 3, "terms": {}}}}'),
}
TO_READ: dict[str, Harm] = {
    "removed": HARMS["removed"],
    "no rows": lambda path: pq.write_table(pq.read_table(path).slice(0, 0), path),
    "facts of numbers": _metadata(PROVENANCE_KEY, b'{"runs": 3}'),
    "facts with colours": _metadata(PROVENANCE_KEY, b'{"package": "0.2.0+\\u001b[2J"}'),
}
CELLS: dict[str, Harm] = {
    "deep head": _metadata(b"hf_clipdyn.cell", b"[" * 5000),
    "head of another name": lambda path: _metadata(
        b"hf_clipdyn.cell",
        pq.read_schema(path).metadata[b"hf_clipdyn.cell"].replace(b"epoch-001", b"epoch-009"),
    )(path),
    "no head": lambda path: pq.write_table(pq.read_table(path).replace_schema_metadata(None), path),
}
LISTS: dict[str, Harm] = {
    "list of numbers": _metadata(b"hf_clipdyn.cells", b'{"a": 3}'),
    "list of texts": _metadata(b"hf_clipdyn.cells", json.dumps({CELL.key: {"measured": "1.0"}}).encode()),
}
READ_AS: dict[str, dict[str, Harm]] = {
    "table": FILES | ROWS | HEADS | TO_READ,
    "table to continue": FILES | ROWS | HEADS | LISTS,
    "cell": FILES | ROWS | HEADS | CELLS,
    "trials": FILES,
}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "results.parquet"
    store = CellStore(path)
    trials = pd.DataFrame({"split": "test", "row": [0, 1], "item": [0, 1], "label": ["a", "b"]})
    store.write(CELL, [Row(**vars(CELL), metric="top1", value=0.5)], trials, Vocabulary())
    store.rebuild()
    return path


def _read(what: str, output: Path, path: Path, harm: Harm) -> None:
    store = CellStore(output)
    harm(path)
    if what == "table":
        load([output])
    elif what == "trials":
        store.trials(CELL.key)
    else:
        if what == "cell":
            output.unlink()  # the rows of a known cell would be taken from the table
        CellStore(output)


@pytest.mark.parametrize(
    ("what", "harm"),
    [
        pytest.param(what, READ_AS[what][name], id=f"{what}: {name}")
        for what in READ_AS
        for name in READ_AS[what]
    ],
)
def test_a_file_that_is_no_table_is_one_line_with_its_name(what: str, harm: Harm, output: Path) -> None:
    name = f"{CELL.key}.parquet"
    folders = {"cell": cells_folder(output), "trials": trials_folder(output)}
    path = folders[what] / name if what in folders else output
    with pytest.raises((ConfigError, EvaluationError)) as refused:
        _read(what, output, path, harm)
    assert str(path) in str(refused.value)
    assert len(str(refused.value)) < 600
    assert str(refused.value).isprintable()


def test_names_that_are_no_keys_are_not_read(output: Path) -> None:
    for name in ("notes.txt", "../outside.parquet", f".{CELL.key}.parquet", f"{'g' * 64}.parquet"):
        (cells_folder(output) / name).write_text("not a cell")
    assert CellStore(output).keys() == {CELL.key}


VALUES: dict[str, dict[str, Any]] = {
    "nan": {"value": float("nan"), "ci_low": float("nan"), "ci_high": float("nan")},
    "infinite": {"value": float("inf")},
    "far epoch": {"epoch": [0, 1, 2**62]},
    "repo": {"repo_id": "../../victim"},
    "revision": {"revision": ["../../victim", "a\nb", "c" * 300]},
}


@pytest.mark.parametrize("columns", VALUES.values(), ids=VALUES)
def test_a_report_on_odd_values_is_whole_or_one_sentence(
    columns: dict[str, Any], clipdyn: Run, tmp_path: Path, write_table: Write
) -> None:
    write_table(tmp_path / "work" / "results.parquet", **columns)
    outcome = clipdyn("report", "results.parquet", "--output", "out", "--no-figures")
    outcome.assert_decent()
    assert outcome.sentence if outcome.code else (tmp_path / "work" / "out" / "index.html").is_file()
