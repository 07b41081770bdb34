"""A run in whose folders somebody, or a bad disk, has laid hands on the files of a revision."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hostile.harness import HARMS, SECRET, Run, Victim
from hub_server.server import HubServer
from safetensors.numpy import save_file
from stores import publish_epochs

from hf_clipdyn.errors import PublishError, RevisionError
from hf_clipdyn.revisions.manifest import Manifest
from hf_clipdyn.revisions.verify import repair

FILES = ("model.safetensors", "config.json", "README.md", "revisions.json")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three small revisions."""
    run = tmp_path_factory.mktemp("template") / "run"

    def save(epoch: int, folder: Path) -> None:
        weights = np.random.default_rng(epoch).normal(size=(16, 16)).astype(np.float32)
        save_file({"weight": weights}, folder / "model.safetensors")
        (folder / "config.json").write_text('{"model_type": "clip"}')

    publish_epochs(run, range(3), lambda epoch: partial(save, epoch))
    return run


@pytest.fixture
def run_folder(template: Path, tmp_path: Path, clipdyn: Run) -> Path:
    """A copy of the run, in the folder where `clipdyn` works."""
    return Path(shutil.copytree(template, tmp_path / "work" / "run"))


HARMS_THERE = [name for name in HARMS if name not in ("halved", "a device")]
FAST = {
    ("model.safetensors", "flipped"),
    ("config.json", "a link to the victim"),
    ("revisions.json", "a pipe"),
}
MAY_CHANGE = ("cut", "emptied", "flipped", "grown", "garbled")  # a person may write on a card


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        pytest.param(file, harm, id=f"{file}: {harm}", marks=() if (file, harm) in FAST else pytest.mark.slow)
        for file in FILES
        for harm in HARMS_THERE
    ],
)
def test_a_harmed_file_is_found_by_verify_and_mended_or_named_by_repair(
    run_folder: Path, victim: Victim, clipdyn: Run, file: str, harm: str
) -> None:
    folder = run_folder / "revisions" / "epoch-001"
    HARMS[harm](folder / file)
    found = clipdyn("verify", run_folder, "--deep")
    found.assert_decent()
    is_fault = not (file == "README.md" and harm in MAY_CHANGE)
    assert found.code == is_fault, found.out
    assert "epoch-001" in found.out
    repaired = clipdyn("repair", run_folder)
    repaired.assert_decent()
    assert repaired.code in (0, 1), repaired.err
    for path in folder.rglob("*"):
        if path.is_file() and path.resolve().is_relative_to(folder):
            assert SECRET.encode() not in path.read_bytes(), "the victim was copied"


def test_a_link_in_a_revision_to_a_file_elsewhere_is_not_published(
    run_folder: Path, victim: Victim, hub: HubServer
) -> None:
    link = run_folder / "revisions" / "epoch-001" / "notes.txt"
    link.symlink_to(victim.folder / "secret.txt")
    with pytest.raises(PublishError, match=r"notes\.txt is a link to a file elsewhere"):
        repair(run_folder, push_to_hub=True)
    assert "epoch-001" not in hub.repo("me/run").branches
    for commit in hub.repo("me/run").commits.values():
        assert "notes.txt" not in commit.tree
    link.unlink()
    assert repair(run_folder, push_to_hub=True).is_whole


def test_what_was_edited_in_a_manifest_leads_nowhere_and_two_runs_are_not_one(
    run_folder: Path, clipdyn: Run
) -> None:
    manifest, record = (run_folder / "revisions" / name for name in ("epoch-002/revisions.json", "run.json"))
    for edited in (manifest, record):
        content = json.loads(edited.read_text())
        for row in ({"name": "../../../victim"}, {"name": "-rf"}):
            rows = [*content["revisions"][:2], content["revisions"][2] | row]
            edited.write_text(json.dumps(content | {"revisions": rows}))
            for command, code in (("verify", 1), ("revisions", 0), ("repair", 0), ("verify", 0)):
                outcome = clipdyn(command, run_folder)
                outcome.assert_decent()
                assert outcome.code == code, outcome.out
    manifest = record
    content = json.loads(manifest.read_text())
    for row in ({"epoch": "one"}, {"sha256": "0" * 64}, {"epoch": 10**15}):
        rows = [*content["revisions"][:2], content["revisions"][2] | row]
        manifest.write_text(json.dumps(content | {"revisions": rows}))
        outcome = clipdyn("verify", run_folder, "--deep", seconds=20)
        outcome.assert_decent()
        assert outcome.code == 1, outcome.out
    manifest.write_text(json.dumps(content | {"run_id": "f" * 32}))
    found = clipdyn("verify", run_folder)
    assert (found.code, "other-run" in found.out) == (1, True)


@pytest.mark.parametrize(
    "name", ["../../v", "/etc", "", ".", "..", "a/b", "a\\b", "a\nb", "x" * 5000, "\0", "-rf", "épo", "main"]
)
def test_a_name_in_a_manifest_that_is_no_folder_of_a_run_is_refused(name: str) -> None:
    content = {"format_version": 1, "run_id": "f", "revisions": [{"name": name}]}
    with pytest.raises(RevisionError, match=r"^revisions\.json of me/run .*name") as found:
        Manifest.loads(json.dumps(content), "me/run")
    assert len(str(found.value)) < 400
    assert "\n" not in str(found.value)
