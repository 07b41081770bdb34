"""Folders of revisions in which somebody, or a bad disk, has laid hands on the files."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hostile.harness import SECRET, Outcome, Victim
from safetensors.numpy import save_file
from stores import publish_epochs

from hf_clipdyn.errors import PublishError
from hf_clipdyn.revisions.upload import files_of

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
def run_folder(template: Path, tmp_path: Path, clipdyn: Callable[..., Outcome]) -> Path:
    """A copy of the run, in the folder where `clipdyn` works."""
    return Path(shutil.copytree(template, tmp_path / "work" / "run", symlinks=True))


def _truncated(path: Path, victim: Victim) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _emptied(path: Path, victim: Victim) -> None:
    path.write_bytes(b"")


def _flipped(path: Path, victim: Victim) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _grown(path: Path, victim: Victim) -> None:
    with path.open("ab") as file:
        file.write(bytes(100))


def _removed(path: Path, victim: Victim) -> None:
    path.unlink()


def _link_to_the_victim(path: Path, victim: Victim) -> None:
    path.unlink()
    path.symlink_to(victim.folder / "secret.txt")


def _link_to_itself(path: Path, victim: Victim) -> None:
    path.unlink()
    path.symlink_to(path)


def _folder(path: Path, victim: Victim) -> None:
    path.unlink()
    path.mkdir()


def _fifo(path: Path, victim: Victim) -> None:
    path.unlink()
    os.mkfifo(path)


def _nonsense(path: Path, victim: Victim) -> None:
    path.unlink()
    path.write_bytes(b"\xff\x00" * 500)


# Somebody may write into README.md; no hash of it is recorded.
OF_CONTENT = [_truncated, _emptied, _flipped, _grown, _nonsense]
OF_KIND = [_removed, _link_to_the_victim, _link_to_itself, _folder, _fifo]
FAST = {("model.safetensors", _flipped), ("config.json", _link_to_the_victim), ("config.json", _fifo)}


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        pytest.param(
            file, harm, id=f"{file}{harm.__name__}", marks=() if (file, harm) in FAST else pytest.mark.slow
        )
        for file in FILES
        for harm in OF_KIND + (OF_CONTENT if file != "README.md" else [])
    ],
)
def test_a_harmed_file_is_found_by_verify_and_mended_or_named_by_repair(
    run_folder: Path,
    victim: Victim,
    clipdyn: Callable[..., Outcome],
    file: str,
    harm: Callable[[Path, Victim], None],
) -> None:
    harm(run_folder / "revisions" / "epoch-001" / file, victim)
    found = clipdyn("verify", run_folder, "--deep")
    found.assert_decent()
    assert found.code == 1, found.out
    assert "epoch-001" in found.out
    repaired = clipdyn("repair", run_folder)
    repaired.assert_decent()
    assert repaired.code in (0, 1), repaired.err
    for path in run_folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert SECRET.encode() not in path.read_bytes(), "the victim was copied"


def test_a_link_to_a_file_elsewhere_is_not_published(run_folder: Path, victim: Victim) -> None:
    link = run_folder / "revisions" / "epoch-002" / "notes.txt"
    link.symlink_to(victim.folder / "secret.txt")
    with pytest.raises(PublishError, match=r"notes\.txt is a link to a file elsewhere"):
        files_of(link.parent)
