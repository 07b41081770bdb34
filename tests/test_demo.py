"""The demo in its quick form: a real process, an end point that nobody answers, a kill, a second call."""

import json
import sys
from typing import Any

import pandas as pd
import pytest

QuickDemo = Any  # of tests/conftest.py

# The run is shared: without the group each worker would make its own.
pytestmark = pytest.mark.xdist_group("demo")


def test_it_closes_with_the_page_a_way_to_load_and_a_finding(demo: QuickDemo) -> None:
    page, load, found = demo.lines[-3:]
    assert page == "Page:  runs/demo/report/index.html"
    assert (demo.folder / "report" / "index.html").stat().st_size > 10_000
    assert load.startswith("Load:  CLIPModel.from_pretrained(")
    assert found.startswith("Found: Shape bias on the synthetic world")


def test_the_line_that_says_how_to_load_works_as_it_stands(demo: QuickDemo) -> None:
    load = demo.lines[-2].removeprefix("Load:  ")
    program = f"from transformers import CLIPModel\nprint({load}.config.model_type)"
    done = demo.run([sys.executable, "-c", program])
    assert done.stdout.strip() == "clip", done.stderr


def test_every_revision_is_measured_on_every_embedded_benchmark(demo: QuickDemo) -> None:
    table = pd.read_parquet(demo.folder / "results.parquet")
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


def test_a_second_call_measures_and_trains_nothing_again(demo: QuickDemo) -> None:
    folder = demo.folder
    log, results = (folder / "log.jsonl").read_bytes(), (folder / "results.parquet").read_bytes()
    done = demo.run(demo.command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-3:] == demo.lines[-3:]
    assert (folder / "log.jsonl").read_bytes() == log
    assert (folder / "results.parquet").read_bytes() == results
    assert json.loads(log.splitlines()[-1])["epoch"] == 3
