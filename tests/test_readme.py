"""The README's commands, run as they stand on a quick run in the demo's place."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from hf_clipdyn.data.registry import dataset_names

pytestmark = pytest.mark.xdist_group("demo")

CHECKOUT = Path(__file__).resolve().parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_runs_as_it_stands(demo: Any, block: str) -> None:
    done = demo.run([sys.executable, "-c", block])
    assert done.returncode == 0, done.stderr


COMMANDS = [line for block in _blocks("bash") for line in block.splitlines() if line.startswith("clipdyn ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_as_they_stand(demo: Any, command: str) -> None:
    done = demo.run([sys.executable, "-m", "hf_clipdyn.cli", *shlex.split(command)[1:]])
    assert done.returncode == 0, done.stderr


def test_the_training_command_starts_through_accelerate(demo: Any) -> None:
    (command,) = (line for block in _blocks("bash") for line in block.splitlines() if "runs/mine" in line)
    words = shlex.split(command.replace("--config demo", "--config quick"))
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *words[1:]]
    launch[launch.index("scripts/train.py")] = str(CHECKOUT / "scripts" / "train.py")
    done = demo.run(launch)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 revisions are published" in done.stdout


def test_the_store_as_the_cache_of_a_process_serves_a_plain_pipeline(demo: Any) -> None:
    assert "HF_HUB_CACHE=runs/demo/hub HF_HUB_OFFLINE=1" in README
    program = (
        "from transformers import pipeline; from PIL import Image;"
        'p = pipeline("zero-shot-image-classification", "local/demo", revision="epoch-002");'
        'print(p(Image.new("RGB", (40, 40)), candidate_labels=["cat", "car"])[0]["label"])'
    )
    variables = ["HF_HUB_CACHE=runs/demo/hub", "HF_HUB_OFFLINE=1"]
    done = demo.run(["env", *variables, sys.executable, "-c", program])
    assert done.stdout.strip() in ("cat", "car"), done.stderr


def test_every_data_set_stands_in_the_table() -> None:
    table = README.partition("## Data sets")[2].partition("## What is not offered")[0]
    assert set(dataset_names()) <= set(re.findall(r"`(\w+)`", table))


def test_every_page_that_is_linked_exists() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert links
    assert [link for link in links if not (CHECKOUT / link).exists()] == []
