"""Flags, recipes and folders of a training that cannot be meant are refused before anything is written."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hostile.harness import GIB, SECRET, Run, call

from hf_clipdyn.errors import ConfigError, TrainingError
from hf_clipdyn.training import train
from hf_clipdyn.training.callbacks import Log
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.run import delete_run


def _sampled(cases: dict[str, Any]) -> list[Any]:
    """Every eighth case in the ordinary run, since each is a process of its own; the others among the slow tests."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if number % 8 else [])
        for number, name in enumerate(cases)
    ]


def _merges(levels: int) -> str:
    lines = ["a0: &a0 {seed: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


RECIPES = {
    "nested aliases": (
        "seed: [&a0 [1]" + "".join(f", &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)) + "]",
        "line 1",
    ),
    "nested merges": (_merges(12), "line 1"),
    "an alias of itself": ("&a a: *a", "line 1"),
    "depth": ("[" * 100_000, "recipe.yaml"),
    "a token in a broken line": (f"scale: small\nhub_token: '{SECRET}", "line 2"),
    "a token before a colon": (f"hub_token: {SECRET}: b", "line 1"),
    "a token as a tag": (f"hub_token: !{SECRET} b", "hub_token"),
    "a token as a value": (f"seed: {SECRET}", "seed"),
    "python": ("seed: !!python/object/apply:os.system ['touch pwned']", "seed"),
    "a null byte": ("scale: a\0b", "recipe.yaml"),
    "a long number": ("seed: " + "9" * 5000, "recipe.yaml"),
    "UTF-16": ("scale: tiny".encode("utf-16"), "utf-8"),
}


@pytest.mark.parametrize("what", _sampled(RECIPES))
def test_a_hostile_recipe_is_one_sentence(what: str, clipdyn: Run, tmp_path: Path) -> None:
    content, fragment = RECIPES[what]
    recipe = tmp_path / "work" / "recipe.yaml"
    recipe.write_bytes(content if isinstance(content, bytes) else content.encode())
    outcome = clipdyn("train", "--config", "recipe.yaml", seconds=20, memory=GIB // 2)
    assert fragment in outcome.sentence
    assert SECRET[:12] not in outcome.err, "a part of a token was printed"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["recipe.yaml"]


FLAGS = {
    "a byte that is no text": (["--output_dir", "a\udcffb"], "surrogates"),
    "a folder name that is too long": (["--output_dir", "x" * 300], "File name too long"),
    "a folder below a file": (["--output_dir", "file/run", "--config", "quick"], "file/run"),
    "an unknown split": (["--config", "quick", "--train_split", "../victim"], "victim"),
    "a checkpoint elsewhere": (["--resume_from_checkpoint", "../victim"], "is not a checkpoint"),
    "an impossible repository": (["--hub_model_id", "../../evil"], "hub_model_id"),
}


@pytest.mark.parametrize("what", _sampled(FLAGS))
def test_a_hostile_flag_is_one_sentence(what: str, clipdyn: Run, tmp_path: Path) -> None:
    argv, fragment = FLAGS[what]
    (tmp_path / "work" / "file").write_text("mine")
    outcome = clipdyn("train", *argv, seconds=60)
    assert fragment in outcome.sentence
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["file"]


def _continue(run: Path) -> None:
    """Open what a resumed run opens in its folder beside its checkpoint."""
    try:
        Log(run / "log.jsonl", 1).run_begins(
            SimpleNamespace(accelerator=SimpleNamespace(is_main_process=True), step=0, waited=0.0)
        )
    except TrainingError as error:
        print(error)


def test_a_pipe_in_the_folder_of_a_run_is_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.jsonl")
    outcome = call(_continue, tmp_path, printed=tmp_path, seconds=60)
    outcome.assert_decent()
    assert "log.jsonl: it is not a regular file" in outcome.out


CONFIG = "output_dir: run\nsave_steps: null\npublish: epoch\n"  # as a run writes it
MANIFEST = json.dumps({"format_version": 1, "run_id": "f", "revisions": [{"name": "epoch-001", "step": 1}]})
A_RUN, OF_0_3, NO_RUN = "already contains a run", r"a run of version 0\.3: .*0\.3\.1", "which no run wrote"
FOLDERS = {
    "a log": ({"config.yaml": CONFIG, "log.jsonl": ""}, A_RUN),
    "a checkpoint": ({"config.yaml": CONFIG, "checkpoints/epoch-001/progress.json": "{}"}, A_RUN),
    "an epoch": ({"config.yaml": CONFIG, "revisions/epoch-001/revisions.json": MANIFEST}, A_RUN),
    "a journal of 0.3": ({"config.yaml": CONFIG, "publishing/run.json": "{}"}, OF_0_3),
    "a store of 0.3": ({"hub/models--me--mine/refs/main": "0"}, OF_0_3),
    "a folder": ({"revisions/notes.txt": "mine"}, NO_RUN),
    "training data": ({"checkpoints/0.tar": "mine", "notes.txt": "mine"}, NO_RUN),
    "a recipe": ({"config.yaml": "# my recipe\nscale: tiny\nnum_train_epochs: 3\n"}, NO_RUN),
    "another program's configuration": ({"config.yaml": "- 1\n"}, NO_RUN),
    "no text": ({"config.yaml": "\0", "ema/notes.txt": "mine"}, NO_RUN),
}


@pytest.mark.parametrize(("files", "says"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_that_holds_more_than_a_beginning_stays_as_it_is_whatever_the_flags(
    files: dict[str, str], says: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(content)
    for flags in ([], ["--resume_from_checkpoint", "true"])[: 1 if says == A_RUN else 2]:
        with pytest.raises(ConfigError, match=says):
            train(TrainingConfig.read(["--output_dir", str(tmp_path), *flags]))
    if says != A_RUN:
        with pytest.raises(ConfigError, match=says):
            delete_run(tmp_path)
    found = (path for path in tmp_path.rglob("*") if path.is_file())
    assert {str(path.relative_to(tmp_path)): path.read_text() for path in found} == files
