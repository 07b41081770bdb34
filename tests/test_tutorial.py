"""The tutorial takes a reader from the demo to a figure and a verdict."""

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import forked
import pandas as pd
import pytest
from printed_blocks import is_printed
from tutorial import BLOCKS, OUTPUTS, SHORTER, follow


@pytest.fixture(scope="module")
def printed(reader: Any) -> str:
    """What the blocks printed, run one after another on a quick run in the demo's place."""

    def run(*command: str) -> str:
        done = reader.run(command)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return str(done.stdout)

    return follow(reader.root, [sys.executable, "-c"], [sys.executable, "-m", "hf_clipdyn.cli"], run)


def test_its_blocks_run_in_the_order_of_its_pages_up_to_a_figure_and_a_verdict(
    reader: Any, printed: str
) -> None:
    assert "Shape bias" in printed
    own = pd.read_parquet(reader.root / "runs" / "own" / "results.parquet")
    assert list(own["revision"].unique()) == ["epoch-000", "epoch-001"]
    assert (reader.root / "shape-bias.png").stat().st_size > 5000
    (row,) = pd.read_parquet(reader.root / "verdict.parquet").to_dict("records")
    assert row["n_seeds"] == 3


def test_it_prints_what_its_pages_say(reader: Any, printed: str) -> None:
    """Numbers vary with the shorter runs."""
    lines = [*reader.lines, *printed.splitlines()]
    said = [(output.place, one) for output in OUTPUTS for one in output.text.splitlines()]
    assert [one for one in said if not any(is_printed(one[1], line) for line in lines)] == []


def demos() -> list[list[str]]:
    """The demos that the tutorial prints, in its order."""
    lines = [shlex.split(line) for block in BLOCKS if block.language == "bash" for line in block.commands]
    return [words[1:] for words in lines if words[:2] == ["clipdyn", "demo"]]


def test_its_quick_demo_is_the_one_that_the_other_blocks_follow_and_each_shorter_part_is_printed_once(
    demo: Any,
) -> None:
    _, quick = demos()
    options = [word.replace("_", "-") if word.startswith("--") else word for word in quick]
    assert options == [*demo.command[3:], "--overwrite-output-dir"]
    assert [sum(block.text.count(one) for block in BLOCKS) for one in SHORTER] == [1] * len(SHORTER)


@pytest.mark.slow
def test_its_demos_run_one_after_the_other(tmp_path: Path) -> None:
    """As for a reader in a hurry, who stops the long one."""
    long, quick = ([sys.executable, "-m", "hf_clipdyn.cli", *words] for words in demos())
    process = forked.start(long, cwd=tmp_path)
    forked.wait_until(lambda: any(tmp_path.glob("runs/demo/checkpoints/epoch-*/progress.json")), process)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130
    done = forked.run(quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "runs/demo/results.parquet")
    assert sorted(table["revision"].unique()) == ["epoch-000", "epoch-001", "epoch-002", "epoch-003"]
