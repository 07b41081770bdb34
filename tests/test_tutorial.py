"""The tutorial takes a reader from the demo to a figure and a verdict."""

import shlex
import sys
from typing import Any

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

    return follow(reader.root, [sys.executable, "-c"], [sys.executable, "-m", "hf_clipdyn"], run)


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


def test_its_quick_demo_is_the_one_that_the_other_blocks_follow_and_each_shorter_part_is_printed_once(
    demo: Any,
) -> None:
    lines = [shlex.split(line) for block in BLOCKS if block.language == "bash" for line in block.commands]
    *_, quick = [words[1:] for words in lines if words[:2] == ["clipdyn", "demo"]]
    options = [word.replace("_", "-") if word.startswith("--") else word for word in quick]
    assert options == [*demo.command[3:], "--overwrite-output-dir"]
    assert [sum(block.text.count(one) for block in BLOCKS) for one in SHORTER] == [1] * len(SHORTER)
