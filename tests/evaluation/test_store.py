"""The table survives: whole after a kill, held by one process, refused where it cannot be written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.evaluation.store import PAIR, SCHEMA, ResultsStore, read_trials

ROW = {
    "probe": "projection",
    "layer": None,
    "metric": "top1",
    "group": "",
    "higher_is_better": True,
    "value": 0.5,
    "ci_low": 0.4,
    "ci_high": 0.6,
    "n": 10,
    "n_groups": 10,
    "versions": "{}",
    "seconds": 1.0,
    "note": "",
}


def pair(revision: str, benchmark: str = "zero_shot/cifar10") -> dict[str, object]:
    return {
        "repo_id": "me/run",
        "revision": revision,
        "commit": revision[-1] * 40,
        "epoch": None,
        "step": None,
        "samples_seen": None,
        "benchmark": benchmark,
        "data_fingerprint": "f" * 64,
        "preprocess": "processor",
        "dtype": "float32",
    }


def test_rows_come_back_with_their_types_and_nulls(tmp_path):
    path = tmp_path / "deep" / "results.parquet"
    with ResultsStore(path) as store:
        store.add(
            pair("epoch-001"), [ROW, ROW | {"metric": "top5", "value": float("nan"), "note": "why"}], None
        )
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    assert table["epoch"].to_pylist() == [None, None]
    assert table["higher_is_better"].to_pylist() == [True, True]
    assert np.isnan(table["value"].to_pylist()[1])


def test_a_pair_is_replaced_and_others_stay(tmp_path):
    path = tmp_path / "results.parquet"
    with ResultsStore(path) as store:
        store.add(pair("epoch-001"), [ROW], None)
        store.add(pair("epoch-002"), [ROW], None)
    with ResultsStore(path) as store:
        store.add(pair("epoch-001"), [ROW | {"value": 0.7}], None)
        assert len(store.pairs()) == 2
        wanted = tuple(str(pair("epoch-001")[name]) for name in PAIR)
        assert store.select([wanted])["value"].to_pylist() == [0.7]
    assert sorted(pq.read_table(path)["value"].to_pylist()) == [0.5, 0.7]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"remark": "mine"}, "also has the columns remark"),
        ({"commit": None}, "rows that lack their commit"),
    ],
)
def test_a_table_that_would_lose_something_is_refused(tmp_path, change, said):
    """It is written again whole: a column of the user's, or rows without the name of their pair, would be gone."""
    path = tmp_path / "results.parquet"
    with ResultsStore(path) as store:
        store.add(pair("epoch-001"), [ROW], None)
    pd.read_parquet(path).assign(**change).to_parquet(path)
    before = path.read_bytes()
    with pytest.raises(EvaluationError, match=said), ResultsStore(path):
        pass
    assert path.read_bytes() == before


def test_a_part_of_a_table_that_pandas_wrote_is_continued(tmp_path):
    path = tmp_path / "results.parquet"
    with ResultsStore(path) as store:
        store.add(pair("epoch-001"), [ROW], None)
        store.add(pair("epoch-002"), [ROW], None)
    table = pd.read_parquet(path)
    table[table["revision"] == "epoch-002"].to_parquet(path)
    with ResultsStore(path) as store:
        assert [name[1] for name in store.pairs()] == ["epoch-002"]


def test_trials_are_one_table_per_benchmark(tmp_path):
    path = tmp_path / "results.parquet"
    with ResultsStore(path) as store:
        for revision in ("epoch-001", "epoch-002"):
            trials = pd.DataFrame({"item": [0, 1], "ranking": [[1, 0], [0, 1]]}, index=[5, 7])
            store.add(pair(revision), [ROW], trials)
    found = read_trials(path, "zero_shot/cifar10")
    assert found["revision"].tolist() == ["epoch-001"] * 2 + ["epoch-002"] * 2
    assert found["item"].tolist() == [0, 1, 0, 1]
    assert [list(one) for one in found["ranking"]] == [[1, 0], [0, 1]] * 2
    for file in path.with_suffix(".trials").rglob("*.parquet"):
        assert pq.read_schema(file).field("epoch").type == "int64", "also where it is null"


def test_two_numbers_of_one_name_are_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "results.parquet"
    with (
        ResultsStore(path) as store,
        pytest.raises(AssertionError, match=r"zero_shot/cifar10 has two numbers of one name: .*'top1'"),
    ):
        store.add(pair("epoch-001"), [ROW, ROW | {"value": 0.7}], None)
    assert not path.exists()


def test_what_is_obsolete_goes_with_its_trials_when_its_successor_comes(tmp_path):
    path = tmp_path / "results.parquet"
    trials = pd.DataFrame({"item": [0, 1]})
    old, new = (pair("epoch-001") | {"data_fingerprint": letter * 64} for letter in "ab")
    with ResultsStore(path) as store:
        store.add(pair("epoch-001"), [ROW], trials)
        store.add(old, [ROW | {"metric": "top1/final_text"}], trials, final_text=True)
        store.add(
            new,
            [ROW | {"metric": "top1/final_text"}],
            trials,
            final_text=True,
            obsolete=[tuple(str(old[name]) for name in PAIR), tuple("absent" for _ in PAIR)],
        )
    assert pq.read_table(path)["data_fingerprint"].to_pylist() == ["f" * 64, "b" * 64]
    assert set(read_trials(path, "zero_shot/cifar10")["data_fingerprint"]) == {"f" * 64}
    assert set(read_trials(path, "zero_shot/cifar10", final_text=True)["data_fingerprint"]) == {"b" * 64}


def test_a_second_process_is_told_to_wait(tmp_path):
    path = tmp_path / "results.parquet"
    with (
        ResultsStore(path),
        pytest.raises(EvaluationError, match="Another process writes"),
        ResultsStore(path),
    ):
        pass
    with ResultsStore(path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EvaluationError, match=r"cannot be written .*--output"),
        ResultsStore(tmp_path / "file" / "r.parquet"),
    ):
        pass


def test_a_full_disk_leaves_the_table_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "results.parquet"

    def full(table, where):
        Path(where).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with ResultsStore(path) as store:
        store.add(pair("epoch-001"), [ROW], None)
        before = path.read_bytes()
        monkeypatch.setattr(pq, "write_table", full)
        with pytest.raises(EvaluationError, match="No space left on device"):
            store.add(pair("epoch-002"), [ROW], None)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*.staging"))


_WRITER = """
import sys
from pathlib import Path
import pandas as pd
from hf_clipdyn.evaluation.store import ResultsStore
sys.path.insert(0, sys.argv[2])
from test_store import ROW, pair
with ResultsStore(Path(sys.argv[1])) as store:
    print(len(store.pairs()), flush=True)
    for number in range(len(store.pairs()), 10_000):
        trials = pd.DataFrame({"item": range(2000)})
        rows = [ROW | {"group": f"sigma={one}"} for one in range(50)]
        store.add(pair(f"epoch-{number:05d}"), rows, trials)
        print("pair", flush=True)
"""


def test_sigkill_at_any_moment_loses_no_pair_that_was_done(tmp_path):
    path = tmp_path / "results.parquet"
    rng = np.random.default_rng(0)
    done = 0
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:
            assert process.stdout is not None
            assert int(process.stdout.readline()) >= done
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
            announced = process.stdout.read().count("pair") + 1
        revisions = pq.read_table(path)["revision"].to_pylist()
        assert len(revisions) == 50 * len(set(revisions)), "a pair is half there"
        assert len(set(revisions)) in (done + announced, done + announced + 1)
        done = len(set(revisions))
        trials = read_trials(path, "zero_shot/cifar10")
        assert set(revisions) <= set(trials["revision"])
