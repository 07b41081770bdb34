"""Mistakes of a first hour: each is one line that names what was given and says what to do.

Options: tests/test_options.py; damaged files: tests/hostile.
"""

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from hub_server.server import HubServer
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn.data.sets.cifar import Cifar10
from hf_clipdyn.models.sizes import ModelSize, Tower, clip_config, clip_image_processor
from hf_clipdyn.models.tokenizers import train_tokenizer

Clipdyn = Callable[..., tuple[int, str, str]]

TRAIN = (
    *("train", "--dataset-name", "imagefolder", "--data-dir", "pictures", "--caption-column", "text"),
    *("--scale", "micro", "--num-train-epochs", "1", "--per-device-train-batch-size", "4"),
    *("--output-dir", "run"),
)
EVALUATE = ("evaluate", "model", "--data-dir", "cifar10=cifar10", "--output", "results.parquet")
CIFAR = ("--benchmarks", "zero_shot/cifar10")

# As for a user: the tests make errors of warnings.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with captioned pictures, labelled pictures, and a model."""
    folder = tmp_path_factory.mktemp("first-hour")
    rng = np.random.default_rng(0)
    for label in Cifar10.classes:
        (folder / "cifar10" / "test" / label).mkdir(parents=True)
        image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
        image.save(folder / "cifar10" / "test" / label / "0.png")
    (folder / "pictures").mkdir()
    lines = []
    for index in range(12):
        noise = rng.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(folder / "pictures" / f"{index}.png")
        lines.append(json.dumps({"file_name": f"{index}.png", "text": f"noise number {index}"}))
    (folder / "pictures" / "metadata.jsonl").write_text("\n".join(lines))
    size = ModelSize(16, 8, Tower(16, 1, 2), Tower(16, 1, 2), 16, context_length=12)
    tokenizer = train_tokenizer(list(Cifar10.classes), vocab_size=560, context_length=12)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CLIPModel(clip_config(size, tokenizer)).save_pretrained(folder / "model")
    CLIPProcessor(clip_image_processor(size), tokenizer).save_pretrained(folder / "model")
    return folder


def _of_0_3(folder: Path) -> None:
    """The files by which a folder of a run of version 0.3 is known."""
    (folder / "run" / "hub" / "models--local--run" / "refs").mkdir(parents=True)
    (folder / "run" / "publishing").mkdir()
    (folder / "run" / "publishing" / "run.json").write_text('{"repo_id": "local/run", "store": "hub"}')


@dataclass(frozen=True)
class Mistake:
    """A command that fails.

    Attributes:
        words: the command.
        says: parts of its one line: what was given, and what to do.
        code: its exit code.
        change: what is wrong with the folder.
        absent: a package that is not installed.
    """

    words: tuple[str, ...]
    says: tuple[str, ...]
    code: int = 2
    change: Callable[[Path], object] = field(default=lambda _: None)
    absent: str | None = None


MISTAKES = {
    # The command itself.
    "a misspelt command": Mistake(("trian",), ("trian", "Did you mean 'train'?")),
    "an option of 0.3 that left": Mistake((*TRAIN, "--optim", "sgd"), ("optim", "AdamW", "leave it out")),
    "a misspelt recipe": Mistake(("train", "--config", "qick"), ("qick", "Did you mean", "quick")),
    "a YAML file with a misspelt key": Mistake(
        ("train", "--config", "mine.yaml"),
        ("mine.yaml", "warmup_step", "Did you mean 'warmup_steps'?"),
        change=lambda folder: (folder / "mine.yaml").write_text("warmup_step: 3\n"),
    ),
    # Data.
    "a wrong folder of pictures": Mistake((*TRAIN, "--data-dir", "pictrues"), ("pictrues",), 1),
    "a wrong column": Mistake((*TRAIN, "--caption-column", "captions"), ("captions", "text")),
    "a data set that is not on the Hub, and no network": Mistake(
        ("train", "--dataset-name", "nobody/pictures", "--output-dir", "run"), ("nobody/pictures",), 1
    ),
    "a data set without its folder": Mistake(
        ("evaluate", "model", *CIFAR), ("cifar10", "--data_dir NAME=PATH"), 1
    ),
    "a misspelt data set to prepare": Mistake(("prepare", "tid2031", "--output", "x"), ("tid2013",)),
    "a misspelt kind of benchmark": Mistake(
        (*EVALUATE, "--benchmarks", "zero_shto/cifar10"), ("zero_shto", "Did you mean", "zero_shot")
    ),
    # Models and revisions.
    "a folder that is not there": Mistake(("evaluate", "runs/dmeo", *CIFAR), ("runs/dmeo",), 1),
    "a folder without a model": Mistake(("evaluate", "pictures", *CIFAR), ("pictures", "config.json")),
    "a misspelt revision": Mistake((*EVALUATE, *CIFAR, "--revisions", "epoch-9"), ("epoch-9", "main")),
    "a folder of version 0.3": Mistake(TRAIN, ("run", "0.3.1"), change=_of_0_3),
    "a checkpoint that is not there": Mistake(
        (*TRAIN, "--resume-from-checkpoint", "run/checkpoints/epoch-9"), ("run/checkpoints/epoch-9",)
    ),
    "a store that is not there": Mistake(("verify", "me/none", "--store", "/nowhere"), ("/nowhere",)),
    "no network": Mistake(("evaluate", "me/run", *CIFAR), ("me/run", "network"), 1),
    # Tables and extras.
    "a table that is not there": Mistake(("report", "run", "--output", "out"), ("run", "clipdyn evaluate")),
    "an extra that is not installed": Mistake(
        ("import", "epoch_1.pt", "me/run", "--from-open-clip", "ViT-B-32", "--output-dir", "run"),
        ("hf-clipdyn[open-clip]",),
        1,
        change=lambda folder: torch.save({"epoch": 1, "state_dict": {}}, folder / "epoch_1.pt"),
        absent="open_clip",
    ),
}


@pytest.fixture
def work(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, in which the test stands."""
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier test may have had another precision
    monkeypatch.chdir(shutil.copytree(prepared, tmp_path / "work"))
    return tmp_path / "work"


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_of_a_first_hour_is_one_line(
    mistake: Mistake, work: Path, monkeypatch: pytest.MonkeyPatch, clipdyn: Clipdyn
) -> None:
    mistake.change(work)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # libraries wait before they try the network again
    if mistake.absent is not None:
        monkeypatch.setitem(sys.modules, mistake.absent, None)
    code, _, error = clipdyn(*mistake.words)
    _check(error, mistake.says)
    assert code == mistake.code, error
    assert not (work / "results.parquet").exists()


def test_no_token_is_one_line(
    work: Path, monkeypatch: pytest.MonkeyPatch, hub: HubServer, clipdyn: Clipdyn
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    code, _, error = clipdyn(*TRAIN, "--push-to-hub", "--hub-model-id", "me/run")
    _check(error, ("me/run", "hf auth login", "HF_TOKEN"))
    assert code == 1, error
    assert not list((work / "run").rglob("*.safetensors")), "it is said before the first step"
    assert not hub.state.repos


def _check(error: str, says: tuple[str, ...]) -> None:
    """One line, the last one, without a traceback; lines before it may say how far the work had come."""
    lines = [line for line in error.splitlines() if not line.startswith(" ")]
    assert [line.startswith("clipdyn: error: ") for line in lines].count(True) == 1, error
    assert error.splitlines()[-1].startswith("clipdyn: error: "), error
    assert "Traceback" not in error
    for part in says:
        assert part in lines[-1], error


def _limited(kind: int, most: int, words: tuple[str, ...], folder: Path) -> tuple[int, str]:
    """Exit code and standard error of a command in a process that may use so much of a resource."""
    code = (
        f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"from hf_clipdyn.cli import main; import hf_clipdyn.training.run;"
        f"used = int(open('/proc/self/statm').read().split()[0]) * {resource.getpagesize()};"
        f"most = {most} + used * ({kind} == resource.RLIMIT_AS);"
        f"resource.setrlimit({kind}, (most, most)); main({list(words)!r})"
    )
    done = forked.run([sys.executable, "-c", code], cwd=folder)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("kind", "most", "more", "says"),
    [
        (resource.RLIMIT_FSIZE, 100_000, (), ("run", "File too large")),
        (resource.RLIMIT_AS, 400_000_000, ("--scale", "vit-l-14"), ("memory", "smaller batches")),
    ],
    ids=["disk", "memory"],
)
def test_a_lack_of_disk_or_memory_is_one_line_and_leaves_no_half_revision(
    work: Path, kind: int, most: int, more: tuple[str, ...], says: tuple[str, ...]
) -> None:
    code, error = _limited(kind, most, (*TRAIN, *more), work)
    _check(error, says)
    assert code == 1, error
    assert not list((work / "run").rglob("*.safetensors"))


def test_a_full_output_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, (tmp_path / "err").open("wb") as error:
        command = [sys.executable, "-m", "hf_clipdyn", "datasets"]
        assert forked.start(command, stdout=full.fileno(), stderr=error.fileno()).wait() == 1
    _check((tmp_path / "err").read_text(), ("Standard output", "No space left on device"))
