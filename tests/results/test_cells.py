"""Cells are files and the table is derived from them: whole after a kill, written by several, in a stable order."""

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import forked
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from result_rows import cell

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.cells import CellStore, cells_folder, newest
from hf_clipdyn.results.row import Cell, Row
from hf_clipdyn.results.terms import VOCABULARY_KEY, DatasetTerms, KindTerms, Term, Vocabulary
from hf_clipdyn.results.trials import trials_folder

WORDS = Vocabulary(
    kinds={"zero_shot": KindTerms(title="Zero-shot", terms={"top1": Term(title="accuracy", better="high")})},
    datasets={"cifar10": DatasetTerms(title="CIFAR-10")},
)
TRIALS = pd.DataFrame(
    {"split": "test", "row": [0, 1], "file": "", "item": [0, 1], "ranking": [[1, 0], [0, 1]]}
)


def rows(one: Cell, *values: float) -> list[Row]:
    return [
        Row(**vars(one), metric="top1", layer=index, value=value)
        for index, value in enumerate(values or (0.5,))
    ]


def put(store: CellStore, one: Cell, *values: float, trials: pd.DataFrame | None = TRIALS) -> None:
    store.write(one, rows(one, *values), trials, WORDS)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "results.parquet"


def test_rows_come_back_with_their_types_and_nulls(output):
    store = CellStore(output)
    one = cell(epoch=3)
    store.write(one, [Row(**vars(one), metric="top1", value=float("nan"))], TRIALS, WORDS)
    store.rebuild()
    table = pq.read_table(output)
    assert table.schema.equals(SCHEMA)
    assert table["epoch"].to_pylist() == [3]
    assert table["step"].to_pylist() == [None]
    assert np.isnan(table["value"].to_pylist()[0])
    assert Vocabulary.loads(table.schema.metadata[VOCABULARY_KEY], "here") == WORDS
    assert CellStore(output).cells() == [one]


def test_rows_without_a_cell_are_kept_and_count_as_done(output):
    """A table that was downloaded can be continued."""
    store = CellStore(output)
    put(store, cell("epoch-001"), 0.1)
    put(store, cell("epoch-002"), 0.2)
    store.rebuild()
    for folder in (cells_folder(output), trials_folder(output)):
        shutil.rmtree(folder)
    found = CellStore(output)
    assert found.keys() == {cell("epoch-001").key, cell("epoch-002").key}
    assert found.cells() == [cell("epoch-001"), cell("epoch-002")]
    assert found.trials(cell("epoch-001").key) is None
    put(found, cell("epoch-003"), 0.3)
    put(found, cell("epoch-001"), 0.4)
    found.rebuild()
    table = pd.read_parquet(output)
    assert table["revision"].tolist() == ["epoch-002", "epoch-003", "epoch-001"]
    assert table["value"].tolist() == [0.2, 0.3, 0.4]


def test_a_table_with_a_column_of_somebody_is_refused_and_left_alone(output):
    """It is replaced whole: the column would be lost."""
    store = CellStore(output)
    put(store, cell())
    store.rebuild()
    pd.read_parquet(output).assign(remark="mine").to_parquet(output)
    before = output.read_bytes()
    with pytest.raises(EvaluationError, match="remark"):
        CellStore(output)
    assert output.read_bytes() == before


def test_the_newest_cells_are_of_the_latest_commit_observation_and_text_commit():
    own = [cell("epoch-001"), cell("epoch-002"), cell("epoch-003")]
    trained_again = cell("epoch-003", commit="9" * 40)
    measured_again = [cell(one.revision, observe_version=2) for one in own[:2]]
    assert newest([*own, trained_again]) == [*own[:2], trained_again]
    assert newest([*own[:2], *measured_again]) == measured_again

    def asked(revision: str, text_commit: str) -> Cell:
        return cell(revision, texts="last", text_commit=text_commit * 40)

    before = [asked("epoch-001", "2"), asked("epoch-002", "2")]
    after = [asked(revision, "3") for revision in ("epoch-001", "epoch-002", "epoch-003")]
    assert newest([*own, *before, *after]) == [*own, *after]
    assert newest([*before, *after[:1]]) == after[:1], "one text commit for all revisions of a run"


def test_scoring_again_does_not_make_replaced_cells_the_newest(output):
    store = CellStore(output)
    old = cell("epoch-001", texts="last", text_commit="2" * 40)
    new = [cell(f"epoch-00{n}", texts="last", text_commit="3" * 40) for n in (1, 2)]
    for one in (old, *new):
        put(store, one)
    put(CellStore(output), old, 0.9, trials=None)
    assert store.trials(old.key) is not None, "they are kept"
    store.rebuild()
    assert pq.read_table(output)["value"].to_pylist() == [0.9, 0.5, 0.5]
    for found in (store, CellStore(output)):
        assert newest(found.cells()) == new


def test_what_a_killed_process_left_unfinished_goes_after_an_hour(output):
    store = CellStore(output)
    put(store, cell())
    litter = [cells_folder(output) / f".{'a' * 64}.parquet.{name}.staging" for name in ("old", "new")]
    for file in litter:
        file.write_text("half")
    os.utime(litter[0], (time.time() - 7200,) * 2)
    store.rebuild()
    assert [file.exists() for file in litter] == [False, True]


def test_several_writers_fill_one_folder_and_the_table_holds_all_cells(output):
    def fill(first: int) -> None:
        store = CellStore(output)
        for number in range(first, 40, 4):
            put(store, cell(f"epoch-{number:03d}"))
        store.rebuild()

    threads = [threading.Thread(target=fill, args=(first,)) for first in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pd.read_parquet(output)["revision"]) == [f"epoch-{number:03d}" for number in range(40)]


_WRITER = """
import sys
from pathlib import Path
import pandas as pd
sys.path.insert(0, sys.argv[2])
from test_cells import cell, put
from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.cells import CellStore
store = CellStore(Path(sys.argv[1]))
print(len(store.keys()), flush=True)
for number in range(len(store.keys()), 10_000):
    put(store, cell(f"epoch-{number:05d}"), *[0.5] * 50, trials=pd.DataFrame({"item": range(2000)}))
    print("cell", flush=True)
    if number % 5 == 4:
        store.rebuild()
"""


def test_sigkill_at_any_moment_loses_no_cell_that_was_done(output):
    rng = np.random.default_rng(0)
    done = 0
    for _ in range(6):
        read, write = os.pipe()
        command = [sys.executable, "-c", _WRITER, output, Path(__file__).parent]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = forked.start(command, stdout=write, env=environment)
        os.close(write)
        with open(read) as printed:  # noqa: PTH123
            assert int(printed.readline()) >= done
            printed.readline()
            time.sleep(rng.uniform(0, 0.2))
            os.kill(process.pid, signal.SIGKILL)
            announced = printed.read().count("cell") + 1
        assert process.wait() == -signal.SIGKILL
        cells = {one.revision for one in CellStore(output).cells()}
        assert len(cells) in (done + announced, done + announced + 1)
        done = len(cells)
        CellStore(output).rebuild()
        revisions = pq.read_table(output)["revision"].to_pylist()
        assert set(revisions) == cells
        assert len(revisions) == 50 * len(cells), "a cell is half there"
        store = CellStore(output)
        assert all(store.trials(one.key) is not None for one in store.cells())


def test_a_copied_folder_is_the_same_evaluation(output, tmp_path):
    store = CellStore(output)
    put(store, cell("epoch-001"))
    store.rebuild()
    put(store, cell("epoch-002"))  # the process ends before the table is rebuilt
    shutil.copytree(output.parent, tmp_path / "copy", copy_function=shutil.copyfile)
    copy = CellStore(tmp_path / "copy" / output.name)
    copy.rebuild()
    store.rebuild()
    assert pd.read_parquet(tmp_path / "copy" / output.name).equals(pd.read_parquet(output))
