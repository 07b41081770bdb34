"""Every block of the README and of docs/ runs as it is printed, on a quick run in the demo's place.

A block that cannot run here says so in the line that opens it: ```bash no-run: the reason. A block that opens with the
name of a file, ```python brightness.py or ```yaml study.yaml, is that file for the other blocks.
"""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from printed_blocks import Block, Output, blocks_of, is_printed, outputs_of

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]

# The tutorial's blocks depend on each other: test_tutorial.py runs them in their order.
BLOCKS = [block for page in PAGES if page.parent.name != "tutorial" for block in blocks_of(page)]
OUTPUTS = [output for page in PAGES for output in outputs_of(page)]
WITH_OUTPUT = {one.block.place for one in OUTPUTS if one.text}
PYTHON = [block for block in BLOCKS if block.language == "python" and block.runs]
SHELL = [
    block
    for block in BLOCKS
    if block.language == "bash"
    and block.runs
    and block.place not in WITH_OUTPUT  # those run with their outputs
]


def _place(block: Block) -> str:
    return block.place


@pytest.fixture(autouse=True)
def files(demo: Any) -> None:
    """The files that blocks print, in the folder in which the others run."""
    for block in BLOCKS:
        if block.file is not None:
            (demo.root / block.file).write_text(block.text, encoding="utf-8")


@pytest.mark.parametrize("block", [one for one in PYTHON if one.place not in WITH_OUTPUT], ids=_place)
def test_python_runs_as_it_is_printed(demo: Any, block: Block) -> None:
    _run(demo, block)


@pytest.mark.parametrize("block", SHELL, ids=_place)
def test_commands_run_as_they_are_printed(demo: Any, block: Block) -> None:
    _run(demo, block)


def _run(demo: Any, block: Block) -> list[str]:
    """The lines that a block prints."""
    if block.language == "python":
        return _printed(demo, [sys.executable, "-c", block.text])
    lines = []
    for command in block.commands:
        program, *arguments = shlex.split(command, comments=True)
        assert program == "clipdyn", (
            f"say `no-run: the reason` in the first line of the block with {command!r}"
        )
        lines += _printed(demo, [sys.executable, "-m", "hf_clipdyn.cli", *arguments])
    return lines


def _printed(demo: Any, words: list[str]) -> list[str]:
    done = demo.run(words)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).splitlines()


EXAMPLES = [
    one
    for one in OUTPUTS
    if one.text
    and not one.order
    and "/tutorial/" not in one.place
    and (one.block.runs or one.block.commands == ["clipdyn demo"])
]


@pytest.mark.parametrize(
    "output", [one for one in EXAMPLES if "brightness" not in one.block.text], ids=lambda one: one.place
)
def test_an_example_prints_what_its_page_says(demo: Any, output: Output) -> None:
    _check(demo, output)


def _check(demo: Any, output: Output) -> None:
    """Line after line; numbers and hashes vary, and `…` stands for anything."""
    printed = demo.lines if output.block.commands == ["clipdyn demo"] else _run(demo, output.block)
    rest = iter(printed)
    for line in output.text.splitlines():
        if line.strip() != "…":
            assert any(is_printed(line, one) for one in rest), f"{line!r} is not printed there"


def test_a_mark_names_the_lines_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    chosen = runpy.run_path(str(CHECKOUT / "scripts" / "write_outputs.py"))["chosen"]
    lines = ["Page: a", "b = 1 of 2", "c ", "d"]
    assert chosen("all", lines) == ["Page: a", "b = 1 of 2", "c", "d"]
    assert chosen("1-2 … -1", lines) == ["Page: a", "b = 1 of 2", "…", "d"]
    assert chosen("/^Page/ /b = [0-9]/… … 3", lines) == ["Page: a", "b = 1…", "…", "c"]
    with pytest.raises(SystemExit, match=r"No line has \^a"):
        chosen("/^a/", lines)


GUIDES = [page for page in PAGES if page.parent.name in ("how-to", "tutorial")]
NOT_RUN = ["measure-public-checkpoints"]  # it says so in its second sentence


def test_each_guide_shows_what_a_command_of_it_prints_or_draws() -> None:
    with_commands = [
        page for page in GUIDES if any(one.language in ("bash", "python") for one in blocks_of(page))
    ]
    assert [page.stem for page in with_commands if not outputs_of(page)] == NOT_RUN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_output_is_typed(page: Path) -> None:
    """`scripts/write_outputs.py` writes what is printed: a mark above it says which lines."""
    typed = re.compile(
        r"^```(?:bash|python)[^\n]*\n(?:(?!```).*\n)+```\n\n(?:[^\n`#|<].*:\n\n)?```text$", re.MULTILINE
    )
    assert typed.findall(page.read_text(encoding="utf-8")) == []


def test_numbers_hashes_and_what_is_left_out_may_differ_from_an_example() -> None:
    said = "epoch-000  ok  ▁▂  0.5  91b14f3b1a91 … (n = 1,008)"
    assert is_printed(said, "epoch-003 ok ▇ · ▁  -12  982b0b4af620 [0.1, 0.2] (n = 9)")
    assert not is_printed(said, "epoch-003 missing ▇ · ▁  -12  982b0b4af620 [0.1, 0.2] (n = 9)")


@pytest.mark.parametrize("block", BLOCKS, ids=_place)
def test_a_block_runs_or_says_why_not(block: Block) -> None:
    """A block of text is nothing to run: output, a list, a form of a command."""
    if block.language == "bibtex":
        return
    if block.language in ("toml", "yaml"):
        assert block.file is not None or not block.runs
    else:
        assert block.language in ("python", "bash", "text")
    assert block.runs or re.fullmatch(r"no-run: .{10,}", block.note), block.note


def test_the_training_command_starts_through_accelerate(demo: Any) -> None:
    lines = [line for block in BLOCKS for line in block.text.splitlines()]
    (command,) = {line for line in lines if line.startswith("accelerate launch") and "runs/mine" in line}
    words = shlex.split(command.replace("--config demo", "--config quick"))
    words += ["--num_train_epochs=1", "--max_train_samples=256"]
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *words[1:]]
    launch[launch.index("scripts/train.py")] = str(CHECKOUT / "scripts" / "train.py")
    done = demo.run(launch)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 revisions are saved" in done.stdout


def test_the_folder_of_a_revision_serves_a_plain_pipeline_offline(demo: Any) -> None:
    program = (
        "from transformers import pipeline; from PIL import Image;"
        'p = pipeline("zero-shot-image-classification", "runs/demo/revisions/epoch-002");'
        'print(p(Image.new("RGB", (40, 40)), candidate_labels=["cat", "car"])[0]["label"])'
    )
    command = ["env", "HF_HUB_OFFLINE=1", sys.executable, "-c", program]
    done = subprocess.run(command, cwd=demo.root, capture_output=True, text=True)
    assert done.stdout.strip() in ("cat", "car"), done.stderr


def test_the_noise_curves_of_a_run_are_drawn_from_the_table_alone(
    demo: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Level 0, the untouched images, is on every curve."""
    (block,) = (one for one in PYTHON if "pivot" in one.text)
    (tmp_path / "block.py").write_text(block.text)
    monkeypatch.chdir(demo.root)
    numbers = runpy.run_path(str(tmp_path / "block.py"))["numbers"]
    curves = numbers.pivot(index="level", columns="revision", values="value")
    assert curves.index[0] == 0
    assert len(curves) > 3
    assert list(curves) == ["epoch-000", "epoch-001", "epoch-002", "epoch-003"]
    assert not curves.isna().any(axis=None)


def test_a_kind_in_one_file_is_in_the_flags_the_table_the_page_and_the_card(demo: Any) -> None:
    def clipdyn(*argv: str) -> str:
        done = demo.run([sys.executable, "-m", "hf_clipdyn.cli", *argv])
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    (output,) = (one for one in EXAMPLES if "brightness" in one.block.text)
    _check(demo, output)
    assert "--brightness_gains" in clipdyn("evaluate", "--help-all", "--plugin", "brightness.py")
    assert "--brightness_gains" not in clipdyn("evaluate", "--help-all")
    table = pd.read_parquet(demo.root / "runs/demo/brightness.parquet").query("kind != 'training'")
    assert set(table["metric"]) == {"brightness_displacement"}
    assert set(table["level"]) == {1, 1.25, 2}
    assert set(table["higher_is_better"]) == {False}
    assert (table["level"] == 1).eq(table["value"] == 0).all()
    shared = demo.root / "runs/demo/brightness/local--demo"
    for page in (shared / "report/index.html", shared / "README.md"):
        assert "isplacement by brightness" in page.read_text(encoding="utf-8")


def test_a_card_of_the_demo_loads_an_epoch_as_it_prints(demo: Any) -> None:
    (card,) = (demo.folder / "report").glob("card-*.md")
    block = re.findall(r"^```python\n(.*?)^```$", card.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    done = demo.run(
        [sys.executable, "-c", f"{''.join(block)}\nprint(type(model).__name__, type(processor).__name__)"]
    )
    assert done.stdout.split() == ["CLIPModel", "CLIPProcessor"], done.stderr
