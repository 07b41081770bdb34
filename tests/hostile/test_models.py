"""Model files by others: whatever they hold, the outcome is one sentence, and none of their code is run."""

import json
import os
import pickle
import pty
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile.harness import Bomb, Run, call

Change = Callable[[Path], None]
COMMIT = "0123456789" * 4
EVALUATE = (
    *("evaluate", "me/run", "--store", "hub", "--benchmarks", "zero_shot/cifar10", "--device", "cpu"),
    *("--data-dir", "cifar10=cifar10", "--output", "results.parquet"),
)


@pytest.fixture
def snapshot(tmp_path: Path, clipdyn: Run, golden: Path, tree: Callable[[str], Path]) -> Path:
    """The files of a sound model, to be spoilt, in the folder where `clipdyn` runs, with labelled images beside it."""
    repo = tmp_path / "work" / "hub" / "models--me--run"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    tree("cifar10").rename(tmp_path / "work" / "cifar10")
    return Path(shutil.copytree(golden / "model", repo / "snapshots" / COMMIT))


def _setting(name: str, value: Any, file: str = "config.json") -> Change:
    """Sets ``vision_config.num_hidden_layers``, say."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        *path, last = name.split(".")
        inner = content
        for part in path:
            inner = inner[part]
        inner[last] = value
        (folder / file).write_text(json.dumps(content))

    return change


def _content(file: str, content: bytes) -> Change:
    return lambda folder: (folder / file).write_bytes(content) and None  # type: ignore[func-returns-value]


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"evil": Bomb("was-run")}))


def _zipped_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"padding": torch.zeros(100_000), "evil": Bomb("was-run")}, folder / "pytorch_model.bin")


def _code(file: str, auto_map: dict[str, Any], model_type: str | None = None) -> Change:
    """A module in the repository that a file's ``auto_map`` names."""

    def change(folder: Path) -> None:
        lines = ["import os", "os.mkdir('was-run')"]
        lines += [f"class {name}: pass" for name in ("Config", "Model", "Processor", "Tokenizer")]
        (folder / "evil.py").write_text("\n".join(lines))
        content = json.loads((folder / file).read_text())
        part = content["image_processor"] if file == "processor_config.json" else content
        part["auto_map"] = auto_map
        if file == "processor_config.json":
            part["image_processor_type"] = "EvilProcessor"
        (folder / file).write_text(json.dumps(content))
        if model_type is not None:
            _setting("model_type", model_type)(folder)

    return change


V, T, P = "vision_config", "text_config", "processor_config.json"
NO_CODE = "code from a repository is never run"
KERNEL = "code from the Hub is never run"

# What each case spoils, and a part of the sentence that it must give.
MODELS: dict[str, tuple[Change, str]] = {
    # Code that is not run.
    "pickle": (_pickled, NO_CODE),
    "zipped pickle": (_zipped_pickle, NO_CODE),
    "attention from the Hub": (_setting("attn_implementation", "evil/kernel"), KERNEL),
    "attention by its inner name": (_setting("_attn_implementation_internal", "evil/kernel"), KERNEL),
    # Weights that are not those of config.json.
    "a layer more": (_setting(f"{V}.num_hidden_layers", 3), "16 tensors are missing"),
    "a layer left out": (_setting(f"{V}.num_hidden_layers", 1), "tensors are of further layers"),
    "a billion layers": (_setting(f"{V}.num_hidden_layers", 10**9), "from 1 to 1,024 layers"),
    "other patches": (_setting(f"{V}.patch_size", 4), "have another shape"),
    "truncated weights": (_content("model.safetensors", b"\x00" * 99_999), "SafetensorError"),
    # Inputs that are not those of training.
    "larger pictures": (
        _setting("image_processor.crop_size", {"height": 32, "width": 32}, P),
        "Input image size (32*32) doesn't match model (24*24)",
    ),
    "end of another tokenizer": (
        _setting(f"{T}.eos_token_id", 99999),
        "all texts would have the same embedding",
    ),
    # Files that are broken.
    "deep configuration": (_content("config.json", b"[" * 10**5), "config.json: RecursionError"),
    "empty tokenizer": (_content("tokenizer.json", b""), COMMIT),
}


@pytest.mark.parametrize(("change", "said"), MODELS.values(), ids=list(MODELS))
def test_a_hostile_model_is_not_measured(clipdyn: Run, snapshot: Path, change: Change, said: str) -> None:
    change(snapshot)
    assert said in clipdyn(*EVALUATE).sentence
    assert not (snapshot.parents[3] / "was-run").exists(), "code of the repository was run"
    assert not (snapshot.parents[3] / "results.parquet").exists(), "something was measured"


def _on_a_terminal(argv: list[str], cwd: Path) -> None:
    """The command line with a terminal as its input, on which somebody types yes to every question."""
    from hf_clipdyn.cli import main

    master, slave = pty.openpty()
    os.write(master, b"y\n" * 50)
    os.dup2(slave, 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    assert sys.stdin.isatty()
    os.chdir(cwd)
    main(argv)


CODE = {
    "nothing": (lambda folder: None, True),
    "configuration": (
        _code("config.json", {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}, model_type="evil"),
        False,
    ),
    "image processor": (_code(P, {"AutoImageProcessor": "evil.Processor"}), None),
    "tokenizer": (_code("tokenizer_config.json", {"AutoTokenizer": ["evil.Tokenizer", None]}), None),
    "model that transformers knows": (_code("config.json", {"AutoModel": "evil.Model"}), True),
    "code of another repository": (_code("config.json", {"AutoModel": "elsewhere/evil--evil.Model"}), True),
}


@pytest.mark.parametrize(("change", "measured"), CODE.values(), ids=CODE)
def test_code_of_a_repository_is_neither_run_nor_asked_for_on_a_terminal(
    snapshot: Path, tmp_path: Path, change: Change, measured: bool | None
) -> None:
    change(snapshot)
    work = snapshot.parents[3]
    outcome = call(_on_a_terminal, list(EVALUATE), work, printed=tmp_path / "printed")
    outcome.assert_decent()
    assert "[y/N]" not in outcome.out + outcome.err
    assert not (work / "was-run").exists()
    if measured is not None:
        assert (outcome.code == 0) == measured, outcome.err
    if outcome.code:
        assert NO_CODE in outcome.sentence or "Evil" in outcome.sentence


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("epoch_1.pt", {"epoch": 1, "state_dict": {}, "x": Bomb("was-run")}, NO_CODE),
        ("epoch_1.pt", {"epoch": 1, "state_dict": {}}, "epoch_1.pt: "),
        ("last.pt", {"epoch": "../../victim", "state_dict": {}}, "has the epoch"),
    ],
    ids=["pickle that runs", "no weights", "epoch of text"],
)
def test_a_hostile_checkpoint_is_not_imported(
    clipdyn: Run, tmp_path: Path, name: str, content: dict[str, Any], said: str
) -> None:
    pytest.importorskip("open_clip")
    work = tmp_path / "work"
    torch.save(content, work / name)
    words = (name, "me/theirs", "--from-open-clip", "ViT-B-32", "--output-dir", "run")
    assert said in clipdyn("import", *words).sentence
    assert not (work / "was-run").exists()
    assert not list(work.rglob("*.safetensors"))
