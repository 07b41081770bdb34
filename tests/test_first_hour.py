"""Twenty mistakes of a first hour: each is one line that names what was given and says what to do."""

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
    *(
        "--scale",
        "micro",
        "--num-train-epochs",
        "1",
        "--per-device-train-batch-size",
        "4",
        "--output-dir",
        "run",
    ),
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


# --- what is wrong with the folder ----------------------------------------------------------------------


def _cut(path: str) -> Callable[[Path], None]:
    """Cuts the last half off a file."""

    def change(folder: Path) -> None:
        content = (folder / path).read_bytes()
        (folder / path).write_bytes(content[: len(content) // 2])

    return change


def _written(path: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)

    return change


def _of_0_3(folder: Path) -> None:
    """The files by which a folder of a run of version 0.3 is known."""
    (folder / "run" / "hub" / "models--local--run" / "refs").mkdir(parents=True)
    (folder / "run" / "publishing").mkdir()
    (folder / "run" / "publishing" / "run.json").write_text('{"repo_id": "local/run", "store": "hub"}')


def _own_code(folder: Path) -> None:
    content = json.loads((folder / "model" / "config.json").read_text())
    content |= {
        "model_type": "theirs",
        "auto_map": {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"},
    }
    (folder / "model" / "config.json").write_text(json.dumps(content))
    (folder / "model" / "theirs.py").write_text("import os\nos.mkdir('was-run')\nclass Config: pass\n")


@dataclass(frozen=True)
class Mistake:
    """A command that fails.

    Attributes:
        words: the command.
        says: parts of its one line: what was given, and what to do.
        change: what is wrong with the folder.
        code: its exit code.
        absent: a package that is not installed.
    """

    words: tuple[str, ...]
    says: tuple[str, ...]
    change: Callable[[Path], None] = field(default=lambda _: None)
    code: int = 2
    absent: str | None = None


MISTAKES = {
    # The command itself.
    "a misspelt command": Mistake(("trian",), ("trian", "Did you mean 'train'?")),
    "a misspelt option": Mistake(
        ("train", "--learnin-rate", "1"), ("learnin_rate", "Did you mean 'learning_rate'?")
    ),
    "a value of another type": Mistake(
        (*TRAIN, "--num-train-epochs", "many"), ("num_train_epochs", "'many'", "integer")
    ),
    "an option of 0.3 that left": Mistake((*TRAIN, "--optim", "sgd"), ("optim", "AdamW", "leave it out")),
    "a misspelt recipe": Mistake(("train", "--config", "qick"), ("qick", "Did you mean", "quick")),
    "a YAML file with a misspelt key": Mistake(
        ("train", "--config", "mine.yaml"),
        ("mine.yaml", "warmup_step", "Did you mean 'warmup_steps'?"),
        change=_written("mine.yaml", "warmup_step: 3\n"),
    ),
    # Data.
    "a wrong folder of pictures": Mistake((*TRAIN, "--data-dir", "pictrues"), ("pictrues",), code=1),
    "a wrong column": Mistake((*TRAIN, "--caption-column", "captions"), ("captions", "text")),
    "a data set that is not on the Hub, and no network": Mistake(
        ("train", "--dataset-name", "nobody/pictures", "--output-dir", "run"), ("nobody/pictures",), code=1
    ),
    "a truncated picture in training": Mistake(
        TRAIN, ("rows 3", "check the files"), change=_cut("pictures/3.png"), code=1
    ),
    "a data set without its folder": Mistake(
        ("evaluate", "model", *CIFAR), ("cifar10", "--data-dir NAME=PATH"), code=1
    ),
    "a misspelt data set": Mistake(
        (*EVALUATE, "--benchmarks", "zero_shot/cifar-10"), ("cifar-10", "Did you mean", "cifar10")
    ),
    "a misspelt kind of benchmark": Mistake(
        (*EVALUATE, "--benchmarks", "zero_shto/cifar10"), ("zero_shto", "Did you mean", "zero_shot")
    ),
    # Models and revisions.
    "a folder that is not there": Mistake(("evaluate", "runs/dmeo", *CIFAR), ("runs/dmeo",), code=1),
    "a folder without a model": Mistake(("evaluate", "pictures", *CIFAR), ("pictures", "config.json")),
    "a misspelt revision": Mistake((*EVALUATE, *CIFAR, "--revisions", "epoch-9"), ("epoch-9", "main")),
    "a checkpoint with its own code": Mistake(
        (*EVALUATE, *CIFAR), ("model", "code from a repository is never run"), change=_own_code, code=1
    ),
    "a checkpoint that was cut off": Mistake(
        (*EVALUATE, *CIFAR), ("model:", "SafetensorError"), change=_cut("model/model.safetensors"), code=1
    ),
    "a folder of version 0.3": Mistake(TRAIN, ("run", "0.3.1"), change=_of_0_3),
    "a checkpoint that is not there": Mistake(
        (*TRAIN, "--resume-from-checkpoint", "run/checkpoints/epoch-9"), ("run/checkpoints/epoch-9",)
    ),
    # The Hub.
    "no network": Mistake(("evaluate", "me/run", *CIFAR), ("me/run", "network"), code=1),
    # Tables and extras.
    "a table that is none": Mistake(
        ("report", "notes.txt", "--output", "out"),
        ("notes.txt", "Parquet"),
        change=_written("notes.txt", "notes"),
    ),
    "a table that is not there": Mistake(("report", "run", "--output", "out"), ("run", "clipdyn evaluate")),
    "an extra that is not installed": Mistake(
        ("import", "epoch_1.pt", "me/run", "--from-open-clip", "ViT-B-32", "--output-dir", "run"),
        ("hf-clipdyn[open-clip]",),
        change=lambda folder: torch.save({"epoch": 1, "state_dict": {}}, folder / "epoch_1.pt"),
        code=1,
        absent="open_clip",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_of_a_first_hour_is_one_line(
    mistake: Mistake, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clipdyn: Clipdyn
) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier test may have had another precision
    work = tmp_path / "work"
    shutil.copytree(prepared, work)
    mistake.change(work)
    monkeypatch.chdir(work)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # libraries wait before they try the network again
    if mistake.absent is not None:
        monkeypatch.setitem(sys.modules, mistake.absent, None)
    code, _, error = clipdyn(*mistake.words)
    _check(error, mistake.says)
    assert code == mistake.code, error
    assert not (work / "was-run").exists()
    assert not (work / "results.parquet").exists()


def test_no_token_is_one_line(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: HubServer, clipdyn: Clipdyn
) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    shutil.copytree(prepared, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("HF_TOKEN")
    code, _, error = clipdyn(*TRAIN, "--push-to-hub", "--hub-model-id", "me/run")
    _check(error, ("me/run", "hf auth login", "HF_TOKEN"))
    assert code == 1, error
    assert not list((tmp_path / "work" / "run").rglob("*.safetensors")), "it is said before the first step"
    assert not hub.state.repos


def _check(error: str, says: tuple[str, ...]) -> None:
    """One line, the last one, without a traceback; lines before it may say how far the work had come."""
    lines = [line for line in error.splitlines() if not line.startswith(" ")]
    assert [line.startswith("clipdyn: error: ") for line in lines].count(True) == 1, error
    assert error.splitlines()[-1].startswith("clipdyn: error: "), error
    assert "Traceback" not in error
    for part in says:
        assert part in lines[-1], error


def _limited(kind: int, most: int, words: tuple[str, ...], folder: Path) -> tuple[int | None, str]:
    """Exit code and standard error of a command in a process that may use so much of a resource."""
    code = (
        f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"from hf_clipdyn.cli import main; import hf_clipdyn.training.run;"
        f"used = int(open('/proc/self/statm').read().split()[0]) * {resource.getpagesize()};"
        f"most = {most} + used * ({kind} == resource.RLIMIT_AS);"
        f"resource.setrlimit({kind}, (most, most)); main({list(words)!r})"
    )
    with (folder / "err").open("wb") as error:
        process = forked.start(
            [sys.executable, "-c", code], stdout=error.fileno(), stderr=error.fileno(), cwd=folder
        )
        ended = process.wait(300)
    return ended, (folder / "err").read_text()


def test_a_full_disk_is_one_line(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "work")
    code, error = _limited(resource.RLIMIT_FSIZE, 100_000, TRAIN, tmp_path / "work")
    _check(error, ("run", "File too large"))
    assert code == 1, error
    assert not list((tmp_path / "work" / "run").rglob("*.safetensors"))


def test_a_full_output_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, (tmp_path / "err").open("wb") as error:
        command = [sys.executable, "-m", "hf_clipdyn", "datasets"]
        assert forked.start(command, stdout=full.fileno(), stderr=error.fileno()).wait() == 1
    _check((tmp_path / "err").read_text(), ("Standard output", "No space left on device"))


def test_no_memory_is_one_line(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "work")
    words = (*TRAIN, "--scale", "vit-l-14")
    code, error = _limited(resource.RLIMIT_AS, 400_000_000, words, tmp_path / "work")
    _check(error, ("memory", "smaller batches"))
    assert code == 1, error
