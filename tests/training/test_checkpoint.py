"""A checkpoint has all that the next step depends on, and continues the run that wrote it and no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from hf_clipdyn.errors import ConfigError, TrainingError
from hf_clipdyn.training.checkpoint import Progress, find_checkpoint, load_checkpoint, save_checkpoint

RECIPE: dict[str, object] = {"seed": 0, "scale": "tiny"}


@pytest.fixture
def accelerator() -> Iterator[Accelerator]:
    """A model of a few numbers with its optimiser."""
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(3, 2)
    accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    yield accelerator
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def _step(accelerator: Accelerator) -> list[float]:
    """One step on a random input; the weights after it."""
    (model,), (optimizer,) = accelerator._models, accelerator._optimizers
    optimizer.zero_grad()
    model(torch.randn(1, 3)).square().sum().backward()
    optimizer.step()
    return [number for weight in model.parameters() for number in weight.flatten().tolist()]


def _progress(epoch: int, step: int, **values: Any) -> Progress:
    return Progress(epoch=epoch, step=step, num_processes=1, steps_per_epoch=5, recipe=RECIPE, **values)


def test_a_run_continues_from_the_last_checkpoint_to_the_same_bits(
    accelerator: Accelerator, tmp_path: Path
) -> None:
    root = tmp_path / "checkpoints"
    assert find_checkpoint(root, "true") is None
    for epoch, step, name in ((0, 3, "epoch-000-step-00000003"), (1, 5, "epoch-001"), (2, 10, "epoch-002")):
        _step(accelerator)
        found = save_checkpoint(accelerator, root, _progress(epoch, step, losses=[0.5]))
        assert [path.name for path in root.iterdir()] == [found.name] == [name], "older ones are deleted"
        assert [find_checkpoint(root, word) for word in ("true", "Latest", str(found))] == [found] * 3
    expected = [_step(accelerator) for _ in range(3)]
    progress = load_checkpoint(accelerator, found, RECIPE, 5)
    assert progress.model_copy(update={"files": {}}) == _progress(2, 10, losses=[0.5])
    assert [_step(accelerator) for _ in range(3)] == expected
    sizes = {path.name: path.stat().st_size for path in found.iterdir() if path.name != "progress.json"}
    assert progress.files == sizes
    with pytest.raises(ConfigError, match="is not a checkpoint"):
        find_checkpoint(root, str(root))


def test_files_that_a_callback_adds_are_part_of_it_and_an_error_there_leaves_the_one_before(
    accelerator: Accelerator, tmp_path: Path
) -> None:
    def extend(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "count.txt").write_text("3")

    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    saved = save_checkpoint(accelerator, tmp_path, _progress(1, 5), extend)
    with pytest.raises(TrainingError, match=r"The checkpoint of step 6 in .* No space left on device"):
        save_checkpoint(accelerator, tmp_path, _progress(1, 6), fail)
    assert find_checkpoint(tmp_path, "true") == saved
    assert load_checkpoint(accelerator, saved, RECIPE, 5).files["inner/count.txt"] == 1
    save_checkpoint(accelerator, tmp_path, _progress(1, 5))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-001"], "what was half written is gone"
    assert not (saved / "inner").exists()


@pytest.mark.parametrize(
    ("recipe", "steps", "said"),
    [
        (RECIPE | {"seed": 1}, 5, "seed=0 there, 1 now"),
        (RECIPE | {"new": "x"}, 5, "new=None there, 'x' now"),
        ({"seed": 0}, 5, "scale='tiny' there, None now"),
        (RECIPE, 6, "steps_per_epoch=5 there, 6 now"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_with_what_differs(
    accelerator: Accelerator, tmp_path: Path, recipe: dict[str, object], steps: int, said: str
) -> None:
    saved = save_checkpoint(accelerator, tmp_path, _progress(1, 5))
    before = _step(accelerator)
    with pytest.raises(ConfigError, match=f"belongs to another run \\({said}\\)"):
        load_checkpoint(accelerator, saved, recipe, steps)
    (model,) = accelerator._models
    assert before == [number for weight in model.parameters() for number in weight.flatten().tolist()]


def test_another_number_of_processes_is_refused(accelerator: Accelerator, tmp_path: Path) -> None:
    saved = save_checkpoint(accelerator, tmp_path, _progress(1, 5).model_copy(update={"num_processes": 2}))
    with pytest.raises(ConfigError, match="processes=2 there, 1 now"):
        load_checkpoint(accelerator, saved, RECIPE, 5)
