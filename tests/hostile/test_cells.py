"""Hostile files where `clipdyn evaluate --output` finds its table, its cells and its trials."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.results.cells import CellStore, cells_folder
from hf_clipdyn.results.row import Cell, Row
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary
from hf_clipdyn.results.trials import trials_folder

CELL = Cell(
    repo_id="me/run", revision="epoch-001", commit="1" * 40, kind="zero_shot", dataset="cifar10", split="test",
    data_fingerprint="f" * 64, observe_version=1, score_version=1, preprocess="processor", dtype="float32",
    texts="own", seconds=1.0,
)  # fmt: skip


def _truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)


def _footer(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8] + b"\xff\xff\xff\x7fPAR1")


def _instead(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


def _columns(**columns: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        changed = pa.Table.from_pandas(table.to_pandas().assign(**columns), preserve_index=False)
        pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)

    return change


def _metadata(key: bytes, value: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), key: value}), path)

    return change


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "folder": (_instead(lambda path: path.mkdir()), "."),
    "pipe": (_instead(os.mkfifo), "."),
    "device": (_instead(lambda path: path.symlink_to("/dev/zero")), "."),
    "empty": (lambda path: path.write_bytes(b""), "."),
    "text": (lambda path: path.write_text("repo_id,value\n"), "."),
    "truncated": (_truncated, "."),
    "flipped": (_flipped, "."),
    "footer": (_footer, "."),
}
ROWS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "other columns": (_instead(lambda path: pd.DataFrame({"a": [1]}).to_parquet(path)), "columns|which cell"),
    "lists": (_columns(metric=[["a"]]), "."),
    "words": (_columns(value="high"), "."),
    "dates": (_columns(value=pd.Timestamp("2026-01-01")), "."),
    "vocabulary": (_metadata(VOCABULARY_KEY, b"[" * 5000), "The vocabulary of .*: Invalid JSON"),
    "vocabulary of numbers": (_metadata(VOCABULARY_KEY, b'{"kinds": 3}'), "The vocabulary of .*: kinds is 3"),
}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "results.parquet"
    store = CellStore(path)
    trials = pd.DataFrame({"split": "test", "row": [0, 1], "item": [0, 1], "label": ["a", "b"]})
    store.write(CELL, [Row(**vars(CELL), metric="top1", value=0.5)], trials, Vocabulary())
    store.rebuild()
    return path


def refused(call: Callable[[], Any], says: str, path: Path) -> None:
    with pytest.raises(EvaluationError, match=says) as caught:
        call()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("make", "says"), [*FILES.values(), *ROWS.values()], ids=[*FILES, *ROWS])
@pytest.mark.parametrize("what", ["table", "cell"])
def test_a_table_or_a_cell_that_is_none_is_refused_in_one_sentence(
    make: Callable[[Path], Any], says: str, what: str, output: Path
) -> None:
    path = output if what == "table" else cells_folder(output) / f"{CELL.key}.parquet"
    make(path)
    if what == "cell":
        output.unlink()  # the rows of a known cell would be taken from the table
    refused(lambda: CellStore(output), says, path)


@pytest.mark.parametrize(("make", "says"), FILES.values(), ids=FILES)
def test_trials_that_are_none_are_refused_in_one_sentence(
    make: Callable[[Path], Any], says: str, output: Path
) -> None:
    path = trials_folder(output) / f"{CELL.key}.parquet"
    make(path)
    refused(lambda: CellStore(output).trials(CELL.key), says, path)


@pytest.mark.parametrize(
    "header",
    [b"[" * 5000, b'{"cell": {}, "measured": 1.0}', b"\xff\xfe"],
)
def test_a_cell_with_a_broken_header_is_refused_in_one_sentence(header: bytes, output: Path) -> None:
    path = cells_folder(output) / f"{CELL.key}.parquet"
    _metadata(b"hf_clipdyn.cell", header)(path)
    refused(lambda: CellStore(output), "Invalid JSON|is missing", path)


@pytest.mark.parametrize("files", [[], {"a": 3}, {CELL.key: {"measured": "1.0"}}])
def test_a_table_with_a_broken_list_of_cells_is_refused_in_one_sentence(files: Any, output: Path) -> None:
    _metadata(b"hf_clipdyn.cells", json.dumps(files).encode())(output)
    refused(lambda: CellStore(output), "Input should be", output)


def test_names_that_are_no_keys_are_not_read(output: Path) -> None:
    for name in ("notes.txt", "../outside.parquet", f".{CELL.key}.parquet", f"{'g' * 64}.parquet"):
        (cells_folder(output) / name).write_text("not a cell")
    assert CellStore(output).keys() == {CELL.key}
