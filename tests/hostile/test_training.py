"""Flags, recipes and folders of a training that cannot be meant are refused before anything is written."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hostile.harness import GIB, SECRET, Outcome, call
from official_trees.images import write_image

from hf_clipdyn.errors import ConfigError, TrainingError
from hf_clipdyn.training import train
from hf_clipdyn.training.callbacks import Log
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.run import checkpoint_to_resume, delete_run

Clipdyn = Callable[..., Outcome]

COUNTS = ("num_train_epochs", "per_device_train_batch_size", "max_train_samples", "logging_steps")
OUT_OF_RANGE = [
    *((name, value) for name in COUNTS for value in ("0", "-1")),
    *((name, value) for name in ("learning_rate", "weight_decay") for value in ("nan", "inf", "-1")),
    *(("publish", value) for value in ("log3", "", "0", "1,,2", "nan", "²", "9" * 4000)),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f'{name}: "{value}"\n', encoding="utf-8")
    for argv in ([f"--{name}={value}"], ["--config", str(recipe)]):
        with pytest.raises(ConfigError, match=f"{name}( in .*)? is") as refused:
            TrainingConfig.read(argv)
        assert len(str(refused.value)) < 1000


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
    "an alias of itself": ("&a a: *a", "alias in line 1"),
    "depth": ("[" * 100_000, "line 1"),
    "a token in a broken line": (f"scale: small\nhub_token: '{SECRET}", "line 2, column 50"),
    "a token before a colon": (f"hub_token: {SECRET}: b", "line 1, column"),
    "a token as a tag": (f"hub_token: !{SECRET} b", "line 1, column 12: could not determine"),
    "a token in a list": (f"hub_token: [{SECRET}", "line 1"),
    "python": ("seed: !!python/object/apply:os.system ['touch pwned']", "seed"),
    "an unhashable key": ("? [a]\n: 1", "line 1"),
    "a null byte": ("scale: a\0b", "forbidden character"),
    "a long number": ("seed: " + "9" * 5000, "too long a number"),
    "a misspelt field": ("lerning_rate: 1", "Did you mean 'learning_rate'"),
    "a megabyte": ("# " + "x" * 2**20, "bytes: give a short mapping"),
    "UTF-16": ("scale: tiny".encode("utf-16"), "not UTF-8"),
}


@pytest.mark.parametrize("what", _sampled(RECIPES))
def test_a_hostile_recipe_is_one_sentence(what: str, clipdyn: Clipdyn, tmp_path: Path) -> None:
    content, fragment = RECIPES[what]
    recipe = tmp_path / "work" / "recipe.yaml"
    recipe.write_bytes(content if isinstance(content, bytes) else content.encode())
    outcome = clipdyn("train", "--config", "recipe.yaml", seconds=20, memory=GIB // 2)
    assert fragment in outcome.sentence
    assert SECRET[:12] not in outcome.err, "a part of a token was printed"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["recipe.yaml"]


FLAGS = {
    "with dashes": (["--lerning-rate", "1"], "Did you mean 'learning_rate'?"),
    "a token": (["--hub_token", SECRET], "set HF_TOKEN, or log in"),
    "a misspelt token with its value": ([f"--hub_tokn={SECRET}"], "no option"),
    "a long flag": (["--" + "x" * 5000], "no option"),
    "no value": (["--seed"], "--seed has no value: give one."),
    "a byte that is no text": (["--output_dir", "a\udcffb"], "is not UTF-8"),
    "a folder name that is too long": (["--output_dir", "x" * 300], "cannot be written"),
    "a folder below a file": (["--output_dir", "file/run", "--config", "quick"], "cannot be written"),
    "an unknown split": (["--config", "quick", "--train_split", "../victim"], "victim"),
    "a checkpoint elsewhere": (["--resume_from_checkpoint", "../victim"], "is not a checkpoint"),
}


@pytest.mark.parametrize("what", _sampled(FLAGS))
def test_a_hostile_flag_is_one_sentence(what: str, clipdyn: Clipdyn, tmp_path: Path) -> None:
    argv, fragment = FLAGS[what]
    (tmp_path / "work" / "file").write_text("mine")
    outcome = clipdyn("train", *argv, seconds=60)
    assert fragment in outcome.sentence
    assert SECRET[:12] not in outcome.err
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["file"]


@pytest.mark.slow
def test_an_overlong_caption_is_not_tokenised(clipdyn: Clipdyn, tmp_path: Path) -> None:
    folder = tmp_path / "work" / "mine"
    write_image(folder / "1.png")
    write_image(folder / "2.png")
    (folder / "captions.txt").write_text("image,caption\n1.png,a cat\n2.png," + "a" * 2_000_000 + "\n")
    outcome = clipdyn("train", "--dataset_name", "./mine", "--scale", "tiny", "--output_dir", "run")
    assert "1 of 2 images cannot be decoded or have a caption of over 100,000" in outcome.sentence


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
FOLDERS = {
    "a log": {"config.yaml": CONFIG, "log.jsonl": ""},
    "a checkpoint": {"config.yaml": CONFIG, "checkpoints/epoch-001/progress.json": "{}"},
    "an epoch": {"config.yaml": CONFIG, "revisions/epoch-001/revisions.json": MANIFEST},
}
OF_0_3 = {
    "a journal": {"config.yaml": CONFIG, "publishing/run.json": "{}"},
    "a store": {"hub/models--me--mine/refs/main": "0"},
}
STRANGERS = {
    "a folder": {"revisions/notes.txt": "mine"},
    "training data": {"checkpoints/0.tar": "mine", "notes.txt": "mine"},
    "a recipe": {"config.yaml": "# my recipe\nscale: tiny\nnum_train_epochs: 3\n"},
    "another program's configuration": {"config.yaml": "- 1\n"},
    "no text": {"config.yaml": "\0", "ema/notes.txt": "mine"},
}


@pytest.mark.parametrize("files", OF_0_3.values(), ids=OF_0_3)
def test_a_folder_of_version_0_3_is_refused_before_anything_is_written(
    files: dict[str, str], tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(content)
    for flags in ([], ["--resume_from_checkpoint", "true"]):
        with pytest.raises(ConfigError, match=r"a run of version 0\.3: .*0\.3\.1"):
            train(TrainingConfig.read(["--output_dir", str(tmp_path), *flags]))
    with pytest.raises(ConfigError, match=r"0\.3\.1"):
        delete_run(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(files)


@pytest.mark.parametrize("what", _sampled(FOLDERS))
def test_a_folder_that_holds_more_than_a_beginning_is_not_emptied(
    what: str, clipdyn: Clipdyn, tmp_path: Path
) -> None:
    run = tmp_path / "work" / "run"
    for name, content in FOLDERS[what].items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(content)
    assert "already contains a run" in clipdyn("train", "--output_dir", "run").sentence
    found = {str(path.relative_to(run)): path.read_text() for path in run.rglob("*") if path.is_file()}
    assert found == FOLDERS[what], json.dumps(found)


@pytest.mark.parametrize("files", STRANGERS.values(), ids=STRANGERS)
def test_files_with_the_names_of_a_runs_files_that_no_run_wrote_are_kept_whatever_the_flags(
    files: dict[str, str], tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    for flags in ([], ["--resume_from_checkpoint", "true"]):
        config = TrainingConfig.read(["--output_dir", str(tmp_path), *flags])
        with pytest.raises(ConfigError, match="which no run wrote and a run would replace: name another"):
            checkpoint_to_resume(config, tmp_path)
        with pytest.raises(ConfigError, match="no run wrote"):
            delete_run(tmp_path)
    found = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.*")}
    assert found == files
