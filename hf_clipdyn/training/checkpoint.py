"""Checkpoints for resuming, after epochs and inside them, with everything that the next step depends on.

::

    <output_dir>/checkpoints/
        epoch-003/                   after the third epoch
        epoch-003-step-00000017/     inside the fourth one, after step 17 of the run
        staging/                     one that is being written; never read

A checkpoint appears by a rename, so it is whole or absent at any moment.

On the same number of processes a run continues to the same bits. On another number, a run that reads by row continues
with the same global batches and the same negatives; the gradients are summed in another order, so the weights agree
within rounding only.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import load, set_seed
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from hf_clipdyn.errors import ConfigError, TrainingError, shown
from hf_clipdyn.files import delete, disk_errors, follow_umask, fsync, replace_durably
from hf_clipdyn.schema import Count, Within, read_json

_STATE = "progress.json"
_LOSSES = "losses.safetensors"
_MOST_SETTINGS = 4  # of another recipe, in an error
_TORCH_CANNOT_WRITE = ("inline_container", "iostream error", "cannot be opened")  # torch.save, on a full disk
_NAME = re.compile(r"epoch-([0-9]{3,9})(?:-step-([0-9]{8,12}))?")


@dataclass(frozen=True)
class Progress:
    """How far a run has come, and which run it is.

    Attributes:
        epoch: completed epochs.
        step: optimiser steps of the whole run.
        samples_seen: images shown, with repetitions.
        num_processes: that wrote the checkpoint.
        steps_per_epoch: another number means that the data have changed.
        recipe: see `TrainingConfig.recipe`; that of the processes with which the run began.
        global_batch_size: images of a step over all processes.
        files: name and size in bytes of every other file of the checkpoint; `save_checkpoint` fills it in.
    """

    epoch: Count
    step: Count
    samples_seen: Count
    num_processes: Count
    steps_per_epoch: Count
    recipe: dict[str, object]
    global_batch_size: Annotated[int, Within(1, 2**53)]
    files: dict[str, Count] = field(default_factory=dict)

    @property
    def step_in_epoch(self) -> int:
        """Steps of the current epoch."""
        return self.step - self.epoch * self.steps_per_epoch

    @property
    def name(self) -> str:
        """Name of the checkpoint's folder."""
        return f"epoch-{self.epoch:03d}" + (f"-step-{self.step:08d}" if self.step_in_epoch else "")


def _finished(root: Path) -> list[Path]:
    """The complete checkpoints, oldest first."""
    finished = [
        (int(name[1]), int(name[2] or 0), path)
        for path in root.glob("epoch-*")
        if (name := _NAME.fullmatch(path.name)) and (path / _STATE).is_file()
    ]
    return [path for *_, path in sorted(finished)]


def _delete(checkpoint: Path) -> None:
    """Delete a checkpoint, its progress first: a half-deleted one then counts as none."""
    if not checkpoint.is_symlink():
        (checkpoint / _STATE).unlink(missing_ok=True)
    delete(checkpoint)


def save_checkpoint(
    accelerator: Accelerator,
    root: Path,
    progress: Progress,
    keep: int,
    *,
    losses: Sequence[float] = (),
    extend: Callable[[Path], None] | None = None,
) -> Path:
    """Write a checkpoint completely or not at all, and delete all but the newest ``keep``. All processes call this.

    Args:
        accelerator: holds the model and the optimiser.
        root: folder of the checkpoints.
        progress: names the checkpoint.
        keep: number of checkpoints to keep.
        losses: of the steps of the current epoch.
        extend: adds files to the folder that it is given; all processes call it.

    Returns:
        The checkpoint's folder.

    Raises:
        TrainingError: the folder cannot be written.
    """
    staging, target = root / "staging", root / progress.name
    problem = f"The checkpoint of step {progress.step} cannot be written to {root}"
    remedy = "free some space and continue with --resume_from_checkpoint true"
    with disk_errors(TrainingError, problem, remedy, also=SafetensorError):
        if accelerator.is_main_process:  # a killed process may have left something there
            delete(staging)
        accelerator.wait_for_everyone()
        _save_state(accelerator, staging)
        if extend is not None:
            extend(staging)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            save_file({"losses": torch.tensor(losses, dtype=torch.float64)}, staging / _LOSSES)
            _finish(staging, progress)
            _delete(target)
            replace_durably(staging, target)
            for old in _finished(root)[:-keep]:
                _delete(old)
    accelerator.wait_for_everyone()
    return target


def _save_state(accelerator: Accelerator, staging: Path) -> None:
    """`Accelerator.save_state`, with an OSError for what torch raises if it cannot write a file."""
    try:
        accelerator.save_state(str(staging))
    except RuntimeError as error:
        if not any(words in str(error) for words in _TORCH_CANNOT_WRITE):
            raise
        raise OSError("PyTorch could not finish writing a file") from error


def _finish(staging: Path, progress: Progress) -> None:
    """Write the progress and the sizes of all files, and flush everything to the disk."""
    files = sorted(path for path in staging.rglob("*") if path.is_file())  # sharded states lie in folders
    sizes = {path.relative_to(staging).as_posix(): path.stat().st_size for path in files}
    content = dataclasses.asdict(replace(progress, files=sizes))
    (staging / _STATE).write_text(json.dumps(content), encoding="utf-8")
    follow_umask(staging)
    for path in [*files, staging / _STATE, staging]:
        fsync(path)


def find_checkpoint(root: Path, resume_from_checkpoint: str) -> Path | None:
    """The folder that ``resume_from_checkpoint`` names; None if it is ``true`` and there is no checkpoint yet.

    Raises:
        ConfigError: the folder is not a checkpoint.
    """
    if resume_from_checkpoint.lower() in ("true", "latest", "last"):
        finished = _finished(root)
        return finished[-1] if finished else None
    folder = Path(resume_from_checkpoint).expanduser()
    if not (folder / _STATE).is_file():
        raise ConfigError(
            f"{folder} is not a checkpoint of hf_clipdyn: name a folder like <output_dir>/checkpoints/epoch-003, or "
            "give `--resume_from_checkpoint true` for the last checkpoint."
        )
    return folder


def load_checkpoint(
    accelerator: Accelerator, folder: Path, recipe: Mapping[str, object], steps_per_epoch: int
) -> Progress:
    """Restore weights, optimiser and random states from ``folder``; the schedule follows from the step.

    The number of processes must be one that `hf_clipdyn.training.folder.continued` accepts. New
    processes have new random states.

    Raises:
        ConfigError: the checkpoint belongs to another recipe or number of images; or the model has dropout, and the
            number of processes is another one.
        TrainingError: a file of it is missing or broken.
    """
    try:
        progress = _checked_progress(folder)
    except TrainingError as error:
        raise TrainingError(f"{error} {_way_out(folder)}") from error
    check_recipe(progress.recipe, recipe, folder)
    others = progress.num_processes != accelerator.num_processes
    if others and any(map(_has_dropout, accelerator._models)):
        raise ConfigError(
            f"The checkpoint {folder} was written by {progress.num_processes} processes, and the model has dropout, "
            f"whose random numbers depend on the process: start {progress.num_processes}."
        )
    if progress.steps_per_epoch != steps_per_epoch:
        raise ConfigError(
            f"The checkpoint {folder} was written when an epoch had {progress.steps_per_epoch} steps, and now it "
            f"has {steps_per_epoch}. The training data have changed: restore them, or start a new run in another "
            "output_dir."
        )
    try:
        for path in folder.glob("random_states_*.pkl"):  # accelerate would skip a broken one
            load(path)
        with _weights_by_plain_names(accelerator) if others else nullcontext():
            accelerator.load_state(str(folder))
        _check_moments(accelerator)
    except Exception as error:  # safetensors, torch and accelerate have errors of their own
        broken = next(_unreadable(folder), None)
        what = (
            f"{broken} of the checkpoint {folder} is broken"
            if broken
            else f"{folder} is not a checkpoint of this run"
        )
        raise TrainingError(f"{what}: {_first_line(error)}. {_way_out(folder)}") from error
    if others:
        state = (progress.step, accelerator.num_processes, accelerator.process_index)
        set_seed(int(np.random.SeedSequence(state).generate_state(1)[0]))
    return progress


@contextmanager
def _weights_by_plain_names(accelerator: Accelerator) -> Iterator[None]:
    """Let `Accelerator.load_state` read weights that were saved with another wrapper around the model, or with none.

    accelerate saves the names that the wrapper has changed. A sharded model is loaded by torch, which divides it again.
    """

    def load(models: list[nn.Module], folder: str) -> None:
        for model in models:
            saved = load_file(Path(folder) / "model.safetensors")
            weights = {_plain_name(name): weight for name, weight in saved.items()}
            model.load_state_dict({name: weights[_plain_name(name)] for name in model.state_dict()})
        models.clear()

    hook = accelerator.register_load_state_pre_hook(load)
    try:
        yield
    finally:
        hook.remove()


def _plain_name(name: str) -> str:
    """A parameter's name without what DDP and torch.compile put before it."""
    return re.sub(r"(^|\.)((module|_orig_mod)\.)+", r"\1", name)


def _has_dropout(model: nn.Module) -> bool:
    shares = (
        part.p if isinstance(part, nn.Dropout) else getattr(part, "dropout", 0) for part in model.modules()
    )
    return any(isinstance(share, float) and share > 0 for share in shares)


def _check_moments(accelerator: Accelerator) -> None:
    """Refuse moments that are not those of their parameters: torch compares only their number."""
    for optimizer in accelerator._optimizers:
        for parameter, state in optimizer.state.items():
            for name, moment in state.items():
                if isinstance(moment, torch.Tensor) and moment.ndim and moment.shape != parameter.shape:
                    raise ValueError(
                        f"{name} of the optimiser has the shape {tuple(moment.shape)}, its parameter "
                        f"{tuple(parameter.shape)}"
                    )


def check_recipe(was: Mapping[str, object], now: Mapping[str, object], folder: Path) -> None:
    """Raise ConfigError if the checkpoint in ``folder`` is of a run with another recipe."""
    pairs = {key: (was.get(key), now.get(key)) for key in sorted({*was, *now})}
    differ = [
        f"{key}={shown(old)} there, {shown(new)} now" for key, (old, new) in pairs.items() if old != new
    ]
    if differ:
        more = f" and {len(differ) - _MOST_SETTINGS} more" if len(differ) > _MOST_SETTINGS else ""
        raise ConfigError(
            f"The checkpoint {folder} belongs to another run ({', '.join(differ[:_MOST_SETTINGS])}{more}): use the "
            "same recipe, or another output_dir."
        )


def saved_progress(folder: Path) -> Progress:
    """The progress of the run that wrote the checkpoint in ``folder``; TrainingError if it cannot be read."""
    return read_json(Progress, folder / _STATE, error=TrainingError)


def saved_losses(folder: Path, progress: Progress) -> list[float]:
    """The losses of the epoch in which the checkpoint was written.

    Raises:
        TrainingError: the file cannot be read, or contains another number of losses.
    """
    losses = read_tensors(folder / _LOSSES).get("losses")
    if losses is None or losses.shape != (progress.step_in_epoch,) or not losses.isfinite().all():
        raise TrainingError(
            f"{folder / _LOSSES} does not contain the {progress.step_in_epoch} losses of the current epoch. "
            f"{_way_out(folder)}"
        )
    values: list[float] = losses.double().tolist()
    return values


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint's file.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        return load_file(path)
    except Exception as error:  # whatever safetensors makes of a broken file
        raise TrainingError(f"{path} is broken: {_first_line(error)}. {_way_out(path.parent)}") from error


def _checked_progress(folder: Path) -> Progress:
    """The progress of a checkpoint, if all its files exist and have the recorded sizes.

    accelerate skips a missing or broken file of random states, so the run would continue differently.
    """
    progress = saved_progress(folder)
    if odd := next((path for path in folder.rglob("*") if not (path.is_file() or path.is_dir())), None):
        raise TrainingError(f"{odd} is broken: it is not a regular file.")
    for name, size in progress.files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise TrainingError(f"{folder / _STATE} names {name!r}, which is outside its folder.")
        if not path.is_file():
            raise TrainingError(f"{path} is missing.")
        if path.stat().st_size != size:
            raise TrainingError(f"{path} is broken: it has {path.stat().st_size:,} bytes, not {size:,}.")
    if not 0 <= progress.step_in_epoch < max(1, progress.steps_per_epoch):
        raise TrainingError(
            f"{folder / _STATE} is broken: step {progress.step} is not in epoch {progress.epoch + 1}, "
            f"whose length is {progress.steps_per_epoch} steps."
        )
    return progress


def _way_out(folder: Path) -> str:
    """The end of an error: the newest other checkpoint that a run can resume from."""
    for other in reversed(_finished(folder.parent)):
        if other.resolve() == folder.resolve():
            continue
        try:
            _checked_progress(other)
        except TrainingError:
            continue
        if next(_unreadable(other), None) is None:
            return f"The last complete checkpoint is {other}: name it with --resume_from_checkpoint."
    return "There is no other complete checkpoint: delete the folder of the run and start again."


def _unreadable(folder: Path) -> Iterator[str]:
    """Names of a checkpoint's files that cannot be read; code in them is not run."""
    for path in sorted(folder.iterdir()):
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt"):
                    pass
            elif path.suffix in (".bin", ".pkl"):
                load(path, map_location="cpu")
        except Exception:  # safetensors and torch have errors of their own
            yield path.name


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".:")
