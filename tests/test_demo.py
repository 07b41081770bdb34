"""The demo in its quick form: a real process, an end point that nobody answers, a kill, a second call."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pandas as pd
import psutil
import pytest

from hf_clipdyn.benchmarks.registry import suite, suite_relations
from hf_clipdyn.demo import run_demo
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.training.config import TrainingConfig

QuickDemo = Any  # of tests/conftest.py


def test_it_closes_with_the_page_a_line_that_loads_and_a_finding(demo: QuickDemo) -> None:
    page, load, found = demo.lines[-3:]
    assert page == "Page:  runs/demo/report/index.html"
    assert "Did it learn?" in (demo.folder / "report" / "index.html").read_text(encoding="utf-8")
    assert found.startswith("Found: Shape bias on the embedded world (synthetic)")
    load = load.removeprefix("Load:  ")
    program = f"from transformers import CLIPModel\nprint({load}.config.model_type)"
    done = demo.run([sys.executable, "-c", program])
    assert done.stdout.strip() == "clip", done.stderr


def test_every_revision_is_measured_on_every_embedded_benchmark_and_the_table_says_whether_it_learned(
    demo: QuickDemo,
) -> None:
    table = pd.read_parquet(demo.folder / "results.parquet")
    cells = table[["revision", "kind", "dataset"]].drop_duplicates()
    measured = {*suite("embedded"), *suite("dynamics")}
    of_kinds = cells[(cells["kind"] + "/" + cells["dataset"]).isin(measured)]
    assert len(of_kinds) == 4 * len(measured)
    related = {kind.partition("-")[0] for kind in set(cells["kind"]) - set(of_kinds["kind"]) - {"training"}}
    assert related == set(suite_relations("dynamics"))
    assert sorted(table["revision"].unique()) == ["epoch-000", "epoch-001", "epoch-002", "epoch-003"]
    assert table.loc[table["value"].isna(), "note"].ne("").all(), "what is undefined has a named cause"
    loss = table.query("kind == 'training' and metric == 'loss'").set_index("revision")["value"]
    assert list(loss.index) == ["epoch-001", "epoch-002", "epoch-003"]
    assert loss.is_monotonic_decreasing
    bias = table.query("kind == 'shape_bias' and metric == 'shape_bias' and role == 'value'")
    assert len(bias) == 4, "with the texts of each revision"
    assert (bias["n"] > 1000).all()
    assert (bias["ci_low"] <= bias["value"]).all()
    assert (bias["value"] <= bias["ci_high"]).all()


def test_a_second_call_measures_and_trains_nothing_again(reader: QuickDemo) -> None:
    folder = reader.folder
    log, results = (folder / "log.jsonl").read_bytes(), (folder / "results.parquet").read_bytes()
    done = reader.run([*reader.command, "--quiet"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-3:] == reader.lines[-3:]
    assert done.stderr == ""
    assert (folder / "log.jsonl").read_bytes() == log
    assert (folder / "results.parquet").read_bytes() == results
    assert json.loads(log.splitlines()[-1])["epoch"] == 3


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(config: TrainingConfig) -> None:
        raise ConfigError("here training begins, alone")

    def start(words: list[str], log: Path) -> None:
        raise ConfigError(f"here training begins, beside it {' '.join(words)}, {log.name}")

    monkeypatch.setattr("hf_clipdyn.training.train", train)
    monkeypatch.setattr("hf_clipdyn.demo.evaluation_beside", start)
    monkeypatch.setattr("hf_clipdyn.demo.usable_cores", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.mark.usefixtures("no_training")
def test_a_demo_that_is_trained_starts_no_process_to_measure_meanwhile(reader: QuickDemo) -> None:
    with pytest.raises(ConfigError, match="training begins, alone"):
        run_demo(reader.folder, quick=True, quiet=True)


@pytest.mark.usefixtures("no_training")
def test_a_demo_that_begins_again_deletes_only_what_a_run_writes(demo: QuickDemo, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(demo.folder, folder)
    mine = [folder / name for name in ("mine.txt", "mine/a.txt")]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(ConfigError, match=r"beside it .* --watch .*evaluate\.log"):
        run_demo(folder, quick=True, overwrite_output_dir=True, quiet=True)
    left = {path for path in folder.rglob("*") if path.is_file() and "report" not in path.parts}
    assert left == {*mine, folder / "evaluate.log"}


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("of_person", ["config.yaml", "log.jsonl", "results.parquet"])
def test_a_file_of_a_person_survives(tmp_path: Path, of_person: str) -> None:
    (tmp_path / of_person).write_text("mine: true")
    with pytest.raises(ConfigError, match=r"training begins|which no run wrote"):
        run_demo(tmp_path, quick=True, overwrite_output_dir=True, quiet=True)
    assert (tmp_path / of_person).read_text() == "mine: true"


KEPT_WAITING = """
from pathlib import Path

from hf_clipdyn.demo import evaluation_beside

words = ["none", "--output", "results.parquet", "--watch"]
Path("none/revisions").mkdir(parents=True)
with evaluation_beside(words, Path("evaluate.log")) as process:
    print(process.pid, flush=True)
    process.wait()
"""


def test_the_process_that_measures_is_no_orphan_of_a_killed_demo(tmp_path: Path) -> None:
    """It waits for a first revision for an hour otherwise."""
    command = [sys.executable, "-c", KEPT_WAITING]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            evaluation = psutil.Process(int(process.stdout.readline()))
            # A process that has just begun has no arguments for a moment.
            forked.wait_until(lambda: "evaluate" in evaluation.cmdline(), process)
        finally:
            process.kill()
    assert psutil.wait_procs([evaluation], timeout=60)[1] == []
    assert "Traceback" not in (tmp_path / "evaluate.log").read_text()
