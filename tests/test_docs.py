"""Every block of the README and of docs/ runs as it is printed, on a copy of a quick run in the demo's place.

A block that cannot run here says so in the line that opens it: ```bash no-run: the reason. A block that opens with the
name of a file, ```python brightness.py or ```yaml study.yaml, is that file for the other blocks.
"""

import re
import shlex
import sys
from functools import cache
from typing import Any

import pandas as pd
import pytest
from printed_blocks import CHECKOUT, Block, Output, blocks_of, is_printed, outputs_of

PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
EVERY = [block for page in PAGES for block in blocks_of(page)]
# The tutorial's blocks depend on each other: test_tutorial.py runs them in their order.
BLOCKS = [block for block in EVERY if not block.place.startswith("docs/tutorial/")]
PYTHON = [block for block in BLOCKS if block.language == "python" and block.runs]
SHELL = [block for block in BLOCKS if block.language == "bash" and block.runs]
OUTPUTS = [one for page in PAGES for one in outputs_of(page) if one.text]
SAID = {one.block.place: one for one in OUTPUTS if not one.order}


@cache
def _printed(reader: Any, *command: str) -> str:
    """What a command of Python prints; pages that print the same command share one run."""
    done = reader.run([sys.executable, *command])
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def _clipdyn(reader: Any, line: str) -> str:
    program, *words = shlex.split(line, comments=True)
    assert program == "clipdyn", f"say `no-run: the reason` in the first line of the block with {line!r}"
    return _printed(reader, "-m", "hf_clipdyn", *words)


def _assert_says(output: Output | None, printed: str) -> None:
    """Line after line what the page says; numbers and hashes vary, and `…` stands for anything."""
    rest = iter(printed.splitlines())
    for line in output.text.splitlines() if output else ():
        if line.strip() != "…":
            assert any(is_printed(line, one) for one in rest), f"{line!r} is not printed there"


@pytest.fixture(autouse=True, scope="module")
def files(reader: Any) -> None:
    """The files that blocks print, in the folder in which the others run."""
    for block in BLOCKS:
        if block.file is not None:
            (reader.root / block.file).write_text(block.text, encoding="utf-8")


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_python_runs_as_it_is_printed(reader: Any, block: Block) -> None:
    _assert_says(SAID.get(block.place), _printed(reader, "-c", block.text))


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_commands_run_as_they_are_printed(reader: Any, block: Block) -> None:
    printed = "".join(_clipdyn(reader, line) for line in block.commands)
    _assert_says(SAID.get(block.place), printed)


def test_the_demo_prints_what_its_pages_say(demo: Any) -> None:
    printing = [one for one in OUTPUTS if one.block in BLOCKS and one.block.commands == ["clipdyn demo"]]
    assert printing
    for output in printing:
        _assert_says(output, "\n".join(demo.lines))


def test_each_block_runs_or_says_why_not() -> None:
    """A block of text is nothing to run: output, a list, a form of a command."""
    assert {one.language for one in EVERY} <= {"python", "bash", "text", "bibtex", "toml", "yaml"}
    assert [
        one.place for one in EVERY if not one.runs and not re.fullmatch(r"no-run: .{10,}", one.note)
    ] == []
    settings = [one for one in BLOCKS if one.language in ("toml", "yaml")]
    assert [one.place for one in settings if not one.note] == []


def test_the_training_command_starts_through_accelerate(reader: Any) -> None:
    lines = [line for block in BLOCKS for line in block.text.splitlines()]
    (command,) = {line for line in lines if line.startswith("accelerate launch") and "runs/mine" in line}
    words = shlex.split(command.replace("--config demo", "--config quick"))
    words += ["--num_train_epochs=1", "--max_train_samples=256"]
    words[words.index("scripts/train.py")] = str(CHECKOUT / "scripts" / "train.py")
    assert "2 of 2 revisions are saved" in _printed(
        reader, "-m", "accelerate.commands.accelerate_cli", *words[1:]
    )


def test_a_kind_in_one_file_is_in_the_table_the_page_and_the_card(reader: Any) -> None:
    (block,) = (one for one in SHELL if "brightness" in one.text)
    for line in block.commands:
        _clipdyn(reader, line)
    table = pd.read_parquet(reader.folder / "brightness.parquet").query("kind != 'training'")
    assert set(table["metric"]) == {"brightness_displacement"}
    assert set(table["level"]) == {1, 1.25, 2}
    assert set(table["higher_is_better"]) == {False}
    assert (table["level"] == 1).eq(table["value"] == 0).all()
    shared = reader.folder / "brightness" / "local--demo"
    for page in (shared / "report/index.html", shared / "README.md"):
        assert "isplacement by brightness" in page.read_text(encoding="utf-8")


def test_a_card_of_the_demo_loads_an_epoch_as_it_prints(demo: Any) -> None:
    (card,) = (demo.folder / "report").glob("card-*.md")
    block = re.findall(r"^```python\n(.*?)^```$", card.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    program = f"{''.join(block)}\nprint(type(model).__name__, type(processor).__name__)"
    assert _printed(demo, "-c", program).split() == ["CLIPModel", "CLIPProcessor"]
