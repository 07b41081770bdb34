"""A broken checkpoint names its file and the last whole one; nothing in it is run."""

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from hostile.harness import Victim

from hf_clipdyn.errors import ConfigError, TrainingError
from hf_clipdyn.training.checkpoint import (
    Progress,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
)

RECIPE: dict[str, object] = {"seed": 0}


class _Bomb:
    """Unpickled without restrictions, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module")
def accelerator() -> Iterator[Accelerator]:
    """A model of a few numbers, after one step, so that its optimiser has a state."""
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(3, 2)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    yield accelerator
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def _progress(epoch: int, step: int | None = None) -> Progress:
    steps = 5 * epoch if step is None else step
    return Progress(epoch=epoch, step=steps, num_processes=1, steps_per_epoch=5, recipe=RECIPE)


@pytest.fixture
def checkpoints(tmp_path: Path, accelerator: Accelerator) -> Path:
    """`checkpoints/epoch-001` and `epoch-002`, both whole."""
    root = tmp_path / "checkpoints"
    for epoch in (2, 1):
        save_checkpoint(accelerator, root, _progress(epoch))
        if epoch == 2:  # saving deletes older ones
            (root / "epoch-002").rename(tmp_path / "kept")
    (tmp_path / "kept").rename(root / "epoch-002")
    return root


def _resume(accelerator: Accelerator, folder: Path) -> int:
    """Read a checkpoint as a run does; its step."""
    return load_checkpoint(accelerator, folder, RECIPE, 5).step


def _cut(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _empty(path: Path, _: Path) -> None:
    path.write_bytes(b"")


def _remove(path: Path, _: Path) -> None:
    path.unlink()


def _garble(path: Path, _: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)  # in the size that it had


def _folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


def _bomb(path: Path, exploded: Path) -> None:
    path.write_bytes(pickle.dumps(_Bomb(exploded)))
    state = path.parent / "progress.json"
    if state != path:  # whoever plants it writes down its size
        content = json.loads(state.read_text())
        content["files"][path.name] = path.stat().st_size
        state.write_text(json.dumps(content))


FILES = ["model.safetensors", "optimizer.bin", "random_states_0.pkl", "progress.json"]
HARMS = [_cut, _empty, _remove, _garble, _folder, _bomb]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__[1:])
@pytest.mark.parametrize("file", FILES)
def test_a_broken_file_is_named_and_nothing_in_it_is_run(
    checkpoints: Path, accelerator: Accelerator, tmp_path: Path, file: str, harm: Callable[[Path, Path], None]
) -> None:
    harm(checkpoints / "epoch-002" / file, tmp_path / "exploded")
    with pytest.raises(TrainingError, match=file.replace(".", r"\.")) as found:
        _resume(accelerator, checkpoints / "epoch-002")
    assert len(str(found.value).splitlines()) == 1
    assert not (tmp_path / "exploded").exists()
    assert _resume(accelerator, checkpoints / "epoch-001") == 5


def test_a_pipe_in_a_checkpoint_is_not_opened(checkpoints: Path, accelerator: Accelerator) -> None:
    os.mkfifo(checkpoints / "epoch-002" / "random_states_1.pkl")  # accelerate reads its own file only
    assert _resume(accelerator, checkpoints / "epoch-002") == 10
    (checkpoints / "epoch-002" / "model.safetensors").unlink()
    os.mkfifo(checkpoints / "epoch-002" / "model.safetensors")
    with pytest.raises(TrainingError, match=r"model\.safetensors is broken.* no bytes"):
        _resume(accelerator, checkpoints / "epoch-002")


@pytest.mark.parametrize(
    "name",
    [
        "epoch-x",
        "epoch-",
        "epoch-٣²",
        "epoch-1e3",
        "epoch-" + "9" * 200,
        "epoch--001",
        "epoch-002-step-",
        "epoch-002-step-1",
    ],
)
def test_a_folder_that_is_no_checkpoint_is_passed_over(checkpoints: Path, name: str) -> None:
    shutil.copytree(checkpoints / "epoch-001", checkpoints / name)
    assert find_checkpoint(checkpoints, "true") == checkpoints / "epoch-002"


def test_the_newest_checkpoint_is_the_one_of_the_last_step(checkpoints: Path) -> None:
    for name in (
        "epoch-002-step-00000013",
        "epoch-002-step-00000012",
        "epoch-1000",
        "epoch-999-step-10000002",
    ):
        shutil.copytree(checkpoints / "epoch-001", checkpoints / name)
        assert find_checkpoint(checkpoints, "true") == checkpoints / {
            "epoch-002-step-00000012": "epoch-002-step-00000013",
            "epoch-999-step-10000002": "epoch-1000",
        }.get(name, name)


def test_a_checkpoint_that_a_kill_left_half_deleted_is_passed_over(checkpoints: Path) -> None:
    (checkpoints / "epoch-002" / "progress.json").unlink()
    assert find_checkpoint(checkpoints, "true") == checkpoints / "epoch-001"


def test_of_another_recipe_the_first_settings_are_named(checkpoints: Path, accelerator: Accelerator) -> None:
    recipe: dict[str, object] = {f"setting_{number:02d}": "x" * 500 for number in range(40)}
    with pytest.raises(ConfigError, match=r"setting_02=None there, 'xxx.*…\): use the same") as found:
        load_checkpoint(accelerator, checkpoints / "epoch-002", recipe, 5)
    assert len(str(found.value)) < 600 + len(str(checkpoints))


@pytest.mark.parametrize("name", ["staging", "epoch-001", "epoch-003"])
def test_a_link_in_the_place_of_a_folder_is_removed_and_not_followed(
    checkpoints: Path, accelerator: Accelerator, victim: Victim, name: str
) -> None:
    (victim.folder / "progress.json").write_text("{}")
    before = {path: path.read_bytes() for path in victim.folder.rglob("*.*")}
    shutil.rmtree(checkpoints / "epoch-001")
    (checkpoints / name).symlink_to(victim.folder)
    save_checkpoint(accelerator, checkpoints, _progress(3))
    assert {path: path.read_bytes() for path in victim.folder.rglob("*.*")} == before
    assert sorted(path.name for path in checkpoints.iterdir()) == ["epoch-003"]
    assert _resume(accelerator, checkpoints / "epoch-003") == 15
    (victim.folder / "progress.json").unlink()


def test_a_staging_folder_that_cannot_be_emptied_is_one_sentence(
    checkpoints: Path, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkpoints / "staging").mkdir()
    (checkpoints / "staging" / "optimizer_1.bin").write_bytes(b"of somebody else")
    unlink = os.unlink

    def refuse(path: str, **how: int) -> None:
        if path == "optimizer_1.bin":
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, **how)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(
        TrainingError, match=r"The checkpoint of step 15 .* cannot be written: .*not permitted"
    ):
        save_checkpoint(accelerator, checkpoints, _progress(3))
