"""The id of a repository is one that the Hub and its client accept, before the first file is written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile.harness import Outcome
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.hub import checked_repo_id, is_repo_id, valid_repo_name
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.training.config import TrainingConfig

NO_IDS = [
    "",
    " ",
    "a b/c",
    "me/a b",
    "../../evil",
    "/etc",
    "me/",
    "/run",
    "a/b/c",
    "--lead",
    "me/--lead",
    "-x/y",
    "me/run-",
    "me/.run",
    "me/run.git",
    "me/a..b",
    "me/a--b",
    'me/"run"',
    "me/'run'",
    "me/run\n",
    "me\n/run",
    "me/r\0un",
    "me/r\x1b[31mun",
    "me/café",
    "me/$\\frac{$",
    "me/<script>",
    "x" * 97,
    "me/" + "x" * 5000,
]


@pytest.mark.parametrize("name", NO_IDS)
def test_an_id_that_the_hub_does_not_accept_is_one_sentence(name: str) -> None:
    with pytest.raises(ConfigError, match="which the Hub does not accept: give owner/name") as found:
        checked_repo_id(name)
    assert len(str(found.value)) < 400
    assert str(found.value).isprintable()


@pytest.mark.parametrize(
    "name", [*NO_IDS, "{scale.__class__}", "me/{seed.nosuch}", "me/{}", "me/{0}", "me/{seed!r}"]
)
def test_a_run_with_such_an_id_is_refused_when_it_is_configured(name: str) -> None:
    with pytest.raises(ConfigError, match="hub_model_id ") as found:
        TrainingConfig(hub_model_id=name)
    assert len(str(found.value)) < 400


def test_to_be_pushed_an_id_needs_an_owner() -> None:
    assert TrainingConfig(hub_model_id="run").repository == "run"
    with pytest.raises(ConfigError, match="is 'run', which"):
        TrainingConfig(hub_model_id="run", push_to_hub=True)


def test_scale_and_seed_are_replaced_and_nothing_is_formatted() -> None:
    assert TrainingConfig(hub_model_id="me/{scale}-{seed}", seed=7).repository == "me/tiny-7"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("run", "run"),
        ("my run (2)", "my-run-2"),
        ('it\'s "mine"', "it-s-mine"),
        ("a\nb", "a-b"),
        ("--lead", "lead"),
        ("{seed}", "seed"),
        ("a..b--c", "a.b-c"),
        ("x.git", "x"),
        ("läufe", "l-ufe"),
        ("", "run"),
        ("...", "run"),
        ("…", "run"),
    ],
)
def test_a_folder_gives_the_nearest_valid_name(folder: str, name: str) -> None:
    assert valid_repo_name(folder) == name


@given(st.text("ab.-_/git\n é", max_size=12) | st.text(max_size=120) | st.text("a/", max_size=200))
def test_an_id_is_one_that_the_client_accepts(text: str) -> None:
    try:
        validate_repo_id(text)
    except ValueError:
        assert not is_repo_id(text)
    else:
        assert is_repo_id(text) == text.isascii()


@given(st.text(max_size=120) | st.text("ab.-_ g it", max_size=120))
def test_any_folder_gives_a_valid_name_that_stays_as_it_is(folder: str) -> None:
    name = valid_repo_name(folder)
    assert is_repo_id(f"local/{name}")
    assert valid_repo_name(name) == name


# --- the command line ---------------------------------------------------------------------------------

REFUSED = (
    "does not accept",
    "is neither a folder here nor a name that the Hub accepts",
    "can be filled in",
    "control character",
)


def test_training_under_an_impossible_id_writes_nothing(
    tmp_path: Path, clipdyn: Callable[..., Outcome]
) -> None:
    outcome = clipdyn("train", "--hub_model_id", "../../evil", "--output_dir", "run")
    assert "which the Hub does not accept" in outcome.sentence
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.slow
def test_a_run_in_a_folder_with_a_space_is_loaded_and_goes_on_after_it_was_renamed(
    tmp_path: Path, clipdyn: Callable[..., Outcome]
) -> None:
    work = tmp_path / "work"
    (work / "data" / "Images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["image,caption"]
    for i in range(24):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(work / f"data/Images/{i}.jpg")
        lines.append(f"{i}.jpg,picture number {i}")
    (work / "data" / "captions.txt").write_text("\n".join(lines) + "\n")
    flags = [
        "--dataset_name",
        "data",
        "--per_device_train_batch_size",
        "8",
        "--warmup_steps",
        "1",
    ]
    flags += ["--bf16", "false"]
    began = clipdyn(
        "train", *flags, "--num_train_epochs", "1", "--output_dir", "my run (2)", seconds=240, memory=2**35
    )
    began.assert_decent()
    assert began.code == 0, began.err
    assert "as local/my-run-2 in" in began.err
    begun = list_revisions("local/my-run-2", work / "my run (2)" / "hub")
    assert [item.name for item in begun] == ["epoch-000", "epoch-001"]

    (work / "my run (2)").rename(work / "moved")
    went_on = clipdyn(
        "train",
        *flags,
        *("--num_train_epochs", "1", "--output_dir", "moved", "--resume_from_checkpoint", "true"),
        seconds=240,
        memory=2**35,
    )
    went_on.assert_decent()
    assert went_on.code == 0, went_on.err
    found = list_revisions("local/my-run-2", work / "moved" / "hub")
    assert [item.name for item in found] == ["epoch-000", "epoch-001"]

    optimizer = work / "moved" / "checkpoints" / "epoch-001" / "optimizer.bin"
    shutil.copy(optimizer, work / "kept")
    optimizer.write_bytes(optimizer.read_bytes()[:1000])
    broken = clipdyn(
        "train",
        *flags,
        *("--num_train_epochs", "1", "--output_dir", "moved", "--resume_from_checkpoint", "true"),
        seconds=240,
        memory=2**35,
    )
    assert "optimizer.bin is broken" in broken.sentence
    assert json.loads((optimizer.parent / "progress.json").read_text())["files"]["optimizer.bin"] > 1000
