"""The demo in its quick form: a real process, an end point that nobody answers, a kill, a second call."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

# The run is shared: without the group each worker would make its own.
pytestmark = pytest.mark.xdist_group("demo")

COMMAND = [sys.executable, "-m", "hf_clipdyn.cli", "demo", "--quick", "--output-dir"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """No HF_HUB_OFFLINE, an unreachable end point (from tests/conftest.py), caches of its own."""
    assert "HF_HUB_OFFLINE" not in os.environ
    assert os.environ["HF_ENDPOINT"] == "http://127.0.0.1:9"
    return os.environ | {"HF_HOME": str(tmp_path_factory.mktemp("hf-home"))}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> tuple[Path, list[str]]:
    """A run that was killed on its way and started again: its folder, and what the second call printed."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    with subprocess.Popen([*COMMAND, str(folder)], env=environment, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 300
        while not (folder / "checkpoints" / "epoch-001" / "progress.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    done = subprocess.run(
        [*COMMAND, str(folder)], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.strip().splitlines()


def test_it_closes_with_the_page_a_way_to_load_and_a_finding(demo: tuple[Path, list[str]]) -> None:
    folder, lines = demo
    page, load, found = lines[-3:]
    assert page == f"Page:  {folder / 'report' / 'index.html'}"
    assert (folder / "report" / "index.html").stat().st_size > 10_000
    assert load.startswith("Load:  CLIPModel.from_pretrained(")
    assert found.startswith("Found: Shape bias on the synthetic world")


def test_the_line_that_says_how_to_load_works_as_it_stands(
    demo: tuple[Path, list[str]], environment: dict[str, str]
) -> None:
    load = demo[1][-2].removeprefix("Load:  ")
    program = f"from transformers import CLIPModel\nprint({load}.config.model_type)"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "clip", done.stderr


def test_every_revision_is_measured_on_every_embedded_benchmark(demo: tuple[Path, list[str]]) -> None:
    table = pd.read_parquet(demo[0] / "results.parquet")
    pairs = table[["revision", "benchmark"]].drop_duplicates()
    benchmarks = {
        "shape_bias/procedural",
        "noise/procedural",
        "distortion/procedural",
        "zero_shot/procedural",
    }
    assert set(pairs["benchmark"]) >= benchmarks
    assert len(pairs) == 4 * pairs["benchmark"].nunique()
    assert sorted(table["revision"].unique()) == ["epoch-000", "epoch-001", "epoch-002", "epoch-003"]
    assert table.loc[table["value"].isna(), "note"].ne("").all(), "what is undefined has a named cause"
    bias = table[(table["benchmark"] == "shape_bias/procedural") & (table["metric"] == "shape_bias")]
    assert (bias["n"] > 1000).all()
    assert (bias["ci_low"] <= bias["value"]).all()
    assert (bias["value"] <= bias["ci_high"]).all()


def test_a_second_call_measures_and_trains_nothing_again(
    demo: tuple[Path, list[str]], environment: dict[str, str]
) -> None:
    folder, lines = demo
    log, results = (folder / "log.jsonl").read_bytes(), (folder / "results.parquet").read_bytes()
    done = subprocess.run(
        [*COMMAND, str(folder)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-3:] == lines[-3:]
    assert (folder / "log.jsonl").read_bytes() == log
    assert (folder / "results.parquet").read_bytes() == results
    assert json.loads(log.splitlines()[-1])["epoch"] == 3
