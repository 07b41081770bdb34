"""Names and folders of a training that cannot be meant are refused before anything is written.

The id of a repository is one that the Hub and its client accept.
"""

import json
from pathlib import Path

import pytest
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.hub import is_repo_id, valid_repo_name
from hf_clipdyn.training import train
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.run import delete_run

NO_IDS = [
    *("", " ", "a b/c", "../../evil", "/etc", "me/", "/run", "a/b/c", "--lead", "-x/y", "x" * 97),
    *("me/run-", "me/.run", "me/run.git", "me/a..b", "me/a--b", 'me/"run"', "me/run\n", "me/r\0un"),
    *("me/r\x1b[31mun", "me/café", "me/$\\frac{$", "me/<script>", "me/" + "x" * 5000),
    *("{scale.__class__}", "me/{seed.nosuch}", "me/{}", "me/{0}", "me/{seed!r}"),
]


@pytest.mark.parametrize("name", NO_IDS)
def test_a_run_with_an_id_that_the_hub_does_not_accept_is_refused_when_it_is_configured(name: str) -> None:
    with pytest.raises(ConfigError, match="hub_model_id ") as found:
        TrainingConfig(hub_model_id=name)
    assert len(str(found.value)) < 400
    assert str(found.value).isprintable()


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


CONFIG = "output_dir: run\nsave_steps: null\npublish: epoch\n"  # as a run writes it
MANIFEST = json.dumps({"format_version": 1, "run_id": "f", "revisions": [{"name": "epoch-001", "step": 1}]})
A_RUN, OF_0_3, NO_RUN = "already contains a run", r"version 0\.3 .*0\.3\.1", "which no run wrote"
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
