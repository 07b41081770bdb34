"""Checkpoints for resuming, after epochs and inside them, with everything that the next step depends on.

::

    <output_dir>/checkpoints/
        epoch-003/                   after the third epoch
        epoch-003-step-00000017/     inside the fourth one, after step 17 of the run
        staging/                     one that is being written; never read

A checkpoint appears by a rename, so it is whole or absent at any moment. On the same number of processes a run that
reads by row continues to the same bits.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import load
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt
from safetensors import safe_open

from hf_clipdyn.errors import ConfigError, TrainingError, naming, shorten, shown
from hf_clipdyn.files import delete, follow_umask, fsync, replace_durably

_STATE = "progress.json"
_WAY_OUT = "resume from another checkpoint, or delete the folder of the run and start again"
_NAME = re.compile(r"epoch-([0-9]{3,9})(?:-step-([0-9]{8,12}))?")


class Progress(BaseModel):
    """How far a run has come, and which run it is.

    Attributes:
        epoch: completed epochs.
        step: optimiser steps of the whole run.
        num_processes: that wrote the checkpoint.
        steps_per_epoch: another number means that the data have changed.
        recipe: see `TrainingConfig.recipe`.
        losses: of the steps of the current epoch.
        files: name and size in bytes of every other file of the checkpoint; `save_checkpoint` fills it in.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    epoch: NonNegativeInt
    step: NonNegativeInt
    num_processes: PositiveInt
    steps_per_epoch: PositiveInt
    recipe: dict[str, Any]
    losses: list[float] = []
    files: dict[str, NonNegativeInt] = {}

    @property
    def name(self) -> str:
        """Name of the checkpoint's folder."""
        inside = self.step > self.epoch * self.steps_per_epoch
        return f"epoch-{self.epoch:03d}" + (f"-step-{self.step:08d}" if inside else "")


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
    accelerator: Accelerator, root: Path, progress: Progress, extend: Callable[[Path], None] = lambda _: None
) -> Path:
    """Write a checkpoint completely or not at all, and delete the older ones. All processes call this.

    Args:
        accelerator: has prepared the model and the optimiser.
        root: folder of the checkpoints.
        progress: names the checkpoint.
        extend: adds files to the folder that it is called with; all processes call it.

    Returns:
        The checkpoint's folder.

    Raises:
        TrainingError: the folder cannot be written.
    """
    staging, target = root / "staging", root / progress.name
    with naming(f"The checkpoint of step {progress.step} in {root} cannot be written", TrainingError):
        if accelerator.is_main_process:  # a killed process may have left something there
            delete(staging)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(staging))
        extend(staging)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            files = [path for path in staging.rglob("*") if path.is_file()]  # sharded states are in folders
            sizes = {path.relative_to(staging).as_posix(): path.stat().st_size for path in files}
            content = progress.model_copy(update={"files": sizes}).model_dump_json()
            (staging / _STATE).write_text(content, encoding="utf-8")
            follow_umask(staging)
            for path in [*files, staging / _STATE, staging]:
                fsync(path)
            _delete(target)
            replace_durably(staging, target)
            for old in _finished(root)[:-1]:
                _delete(old)
    accelerator.wait_for_everyone()
    return target


def find_checkpoint(root: Path, resume_from_checkpoint: str) -> Path | None:
    """The folder that ``resume_from_checkpoint`` names; None if it is ``true`` and there is no checkpoint yet.

    Raises:
        ConfigError: the folder is not a checkpoint.
    """
    if resume_from_checkpoint.lower() in ("true", "latest", "last"):
        return next(iter(reversed(_finished(root))), None)
    folder = Path(resume_from_checkpoint).expanduser()
    if not (folder / _STATE).is_file():
        raise ConfigError(
            f"{folder} is not a checkpoint of hf_clipdyn: name a folder like <output_dir>/checkpoints/epoch-003, or "
            "`true` for the last checkpoint."
        )
    return folder


def saved_progress(folder: Path) -> Progress:
    """The progress of the run that wrote the checkpoint in ``folder``; TrainingError if it cannot be read."""
    with naming(folder / _STATE, TrainingError):
        return Progress.model_validate_json((folder / _STATE).read_bytes())


def load_checkpoint(
    accelerator: Accelerator, folder: Path, recipe: Mapping[str, object], steps_per_epoch: int
) -> Progress:
    """Restore weights, optimiser and random states from ``folder``; the schedule follows from the step.

    Raises:
        ConfigError: the checkpoint belongs to another recipe, number of images, or number of processes.
        TrainingError: a file of it is missing or broken; nothing in it was executed.
    """
    progress = saved_progress(folder)
    was = {"steps_per_epoch": progress.steps_per_epoch, "processes": progress.num_processes}
    now = {"steps_per_epoch": steps_per_epoch, "processes": accelerator.num_processes}
    check_recipe({**progress.recipe, **was}, {**recipe, **now}, folder)
    for name, size in progress.files.items():  # accelerate skips missing or broken random states
        with naming(f"{folder / name} is broken, {_WAY_OUT}", TrainingError):
            _check_readable(folder / name, size)
    with naming(f"{folder} is not a checkpoint of this run, {_WAY_OUT}", TrainingError):
        accelerator.load_state(str(folder))
    return progress


def _check_readable(path: Path, size: int) -> None:
    """Open a file as `Accelerator.load_state` does; code in it is not run."""
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        raise ValueError(f"it has {found or 'no'} bytes, not {size:,}")
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt"):
            pass
    elif path.suffix in (".bin", ".pkl"):
        load(path, map_location="cpu", mmap=True)


def check_recipe(was: Mapping[str, object], now: Mapping[str, object], folder: Path) -> None:
    """Raise ConfigError if the checkpoint in ``folder`` is of a run with another recipe."""
    pairs = {key: (was.get(key), now.get(key)) for key in sorted({*was, *now})}
    differ = [
        f"{key}={shown(old)} there, {shown(new)} now" for key, (old, new) in pairs.items() if old != new
    ]
    if differ:
        raise ConfigError(
            f"The checkpoint {folder} belongs to another run ({shorten(', '.join(differ), 300)}): use the "
            "same recipe, data and number of processes, or another output_dir."
        )
