"""Mistakes of a first hour: each is one line that names what was given and says what to do.

Options: tests/test_options.py; damaged files: tests/hostile.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
import torch
from accelerate.state import AcceleratorState
from hub_server.server import HubServer
from photographs import write_photographs

Clipdyn = Callable[..., tuple[int, str, str]]

TRAIN = (
    *("train", "--dataset-name", "imagefolder", "--data-dir", "pictures", "--caption-column", "text"),
    *("--scale", "micro", "--num-train-epochs", "1", "--per-device-train-batch-size", "2"),
    *("--output-dir", "run"),
)
EVALUATE = ("evaluate", "model", "--data-dir", "cifar10=cifar10", "--output", "results.parquet")
CIFAR = ("--benchmarks", "zero_shot/cifar10")

# As for a user: the tests make errors of warnings.
pytestmark = pytest.mark.filterwarnings("default")


MISTAKES = {
    # The command itself.
    "a misspelt command": (["trian"], ["trian", "Did you mean 'train'?"], 2),
    "a misspelt recipe": (["train", "--config", "qick"], ["qick", "Did you mean", "quick"], 2),
    # Data.
    "a wrong folder of pictures": ([*TRAIN, "--data-dir", "pictrues"], ["pictrues"], 1),
    "a wrong column": ([*TRAIN, "--caption-column", "captions"], ["captions", "text"], 2),
    "a wrong split": ([*TRAIN, "--train-split", "validation"], ["validation"], 2),
    "a data set that is not on the Hub, and no network": (
        ["train", "--dataset-name", "nobody/pictures", "--output-dir", "run"],
        ["nobody/pictures"],
        1,
    ),
    "a data set without its folder": (["evaluate", "model", *CIFAR], ["cifar10", "--data_dir NAME=PATH"], 1),
    # Models and revisions.
    "a folder that is not there": (["evaluate", "runs/dmeo", *CIFAR], ["runs/dmeo"], 1),
    "a folder without a model": (["evaluate", "pictures", *CIFAR], ["pictures", "config.json"], 2),
    "a misspelt revision": ([*EVALUATE, *CIFAR, "--revisions", "epoch-9"], ["epoch-9", "main"], 2),
    "a folder below a file": ([*TRAIN, "--output-dir", "model/config.json/run"], ["model/config.json"], 1),
    "a checkpoint that is not there": (
        [*TRAIN, "--resume-from-checkpoint", "run/checkpoints/epoch-9"],
        ["run/checkpoints/epoch-9"],
        2,
    ),
    "a store that is not there": (["verify", "me/none", "--store", "/nowhere"], ["/nowhere"], 2),
    "no network": (["evaluate", "me/run", *CIFAR], ["me/run", "network"], 1),
    # Tables and extras.
    "a table that is not there": (["report", "run", "--output", "out"], ["run", "clipdyn evaluate"], 2),
    "an extra that is not installed": (
        ["import", "epoch_1.pt", "me/run", "--from-open-clip", "ViT-B-32", "--output-dir", "run"],
        ["hf-clipdyn[open-clip]"],
        1,
    ),
}
"""The words of a command, parts of its one line (what was given, and what to do), and its exit code."""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Path, tree: Callable[[str], Path]) -> Path:
    """A folder with captioned pictures, labelled pictures, and a model, in which the test stands."""
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier test may have had another precision
    photographs = write_photographs(tmp_path / "photographs", 12) / "Images"
    lines = [json.dumps({"file_name": file.name, "text": "noise"}) for file in sorted(photographs.iterdir())]
    (photographs / "metadata.jsonl").write_text("\n".join(lines))
    photographs.rename(tmp_path / "pictures")
    tree("cifar10").rename(tmp_path / "cifar10")
    shutil.copytree(golden / "model", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("words", "says", "exit_code"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_of_a_first_hour_is_one_line(
    words: list[str],
    says: list[str],
    exit_code: int,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    clipdyn: Clipdyn,
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # libraries wait before they try the network again
    monkeypatch.setitem(sys.modules, "open_clip", None)
    torch.save({"epoch": 1, "state_dict": {}}, work / "epoch_1.pt")
    code, _, error = clipdyn(*words)
    _check(error, says)
    assert code == exit_code, error
    assert not (work / "results.parquet").exists()


def test_no_token_is_one_line(
    work: Path, monkeypatch: pytest.MonkeyPatch, hub: HubServer, clipdyn: Clipdyn
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    code, _, error = clipdyn(*TRAIN, "--push-to-hub", "--hub-model-id", "me/run")
    _check(error, ["me/run", "hf auth login", "HF_TOKEN"])
    assert code == 1, error
    assert not list((work / "run").rglob("*.safetensors")), "it is said before the first step"
    assert not hub.state.repos


def _check(error: str, says: list[str]) -> None:
    """One line, the last one, without a traceback; lines before it may say how far the work had come."""
    lines = [line for line in error.splitlines() if not line.startswith(" ")]
    assert [line.startswith("clipdyn: error: ") for line in lines].count(True) == 1, error
    assert error.splitlines()[-1].startswith("clipdyn: error: "), error
    assert "Traceback" not in error
    for part in says:
        assert part in lines[-1], error


def test_a_lack_of_memory_is_one_line_and_leaves_no_half_revision(work: Path) -> None:
    """The process may map 400 MB beside what is loaded."""
    words = [*TRAIN, "--scale", "vit-l-14"]
    code = (
        "import resource; from hf_clipdyn.cli import main; import hf_clipdyn.training.run;"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2);"
        f"main({words!r})"
    )
    done = forked.run([sys.executable, "-c", code], cwd=work)
    _check(done.stderr, ["memory", "smaller batches"])
    assert done.returncode == 1, done.stderr
    assert not list((work / "run").rglob("*.safetensors"))
