"""A broken checkpoint names its file and the last whole one; nothing in it is run."""

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from hostile.harness import HARMS, Bomb

from hf_clipdyn.errors import TrainingError
from hf_clipdyn.training.checkpoint import Progress, find_checkpoint, load_checkpoint, save_checkpoint

RECIPE: dict[str, object] = {"seed": 0}


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


def _bomb(path: Path) -> None:
    """Whoever plants it writes down its size."""
    path.write_bytes(pickle.dumps(Bomb(path.parents[2] / "exploded")))
    state = path.parent / "progress.json"
    if state != path:
        content = json.loads(state.read_text())
        content["files"][path.name] = path.stat().st_size
        state.write_text(json.dumps(content))


HARM = {name: HARMS[name] for name in ("cut", "emptied", "removed", "garbled", "a folder", "a pipe")}
HARM["a bomb"] = _bomb


FILES = ("model.safetensors", "optimizer.bin", "random_states_0.pkl", "progress.json")


@pytest.mark.parametrize(
    ("file", "harm"),
    # A folder whose state is a pipe is none, see below.
    [(file, harm) for file in FILES for harm in HARM if (file, harm) != ("progress.json", "a pipe")],
)
def test_a_broken_file_is_named_and_nothing_in_it_is_run(
    checkpoints: Path, accelerator: Accelerator, tmp_path: Path, file: str, harm: str
) -> None:
    HARM[harm](checkpoints / "epoch-002" / file)
    with pytest.raises(TrainingError, match=file.replace(".", r"\.")) as found:
        _resume(accelerator, checkpoints / "epoch-002")
    assert len(str(found.value).splitlines()) == 1
    assert not (tmp_path / "exploded").exists()
    assert _resume(accelerator, checkpoints / "epoch-001") == 5


def test_the_newest_checkpoint_is_the_one_of_the_last_step_and_other_folders_are_passed_over(
    checkpoints: Path,
) -> None:
    steps = ("epoch-002-step-00000012", "epoch-002-step-00000013", "epoch-999-step-10000002", "epoch-1000")
    for name in (*steps, "epoch-x", "epoch-٣²", "epoch-" + "9" * 200, "epoch-002-step-1"):
        shutil.copytree(checkpoints / "epoch-001", checkpoints / name)
    for newest in reversed(("epoch-001", "epoch-002", *steps)):
        assert find_checkpoint(checkpoints, "true") == checkpoints / newest
        (checkpoints / newest / "progress.json").unlink()  # as of one that a kill left half deleted
        os.mkfifo(checkpoints / newest / "progress.json")
