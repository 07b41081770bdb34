"""Checkpoints for resuming: the last whole epoch and everything that the next step depends on."""

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import load
from safetensors import safe_open

from hf_clipdyn.errors import ConfigError, TrainingError
from hf_clipdyn.files import follow_umask, replace_durably
from hf_clipdyn.schema import Count, read_json

__all__ = ["Progress", "find_checkpoint", "load_checkpoint", "save_checkpoint"]

_STATE = "progress.json"
_NAME = re.compile(r"epoch-[0-9]{3,9}")


@dataclass(frozen=True)
class Progress:
    """How far a run has come, and which run it is.

    Attributes:
        epoch: whole epochs trained.
        step: optimiser steps taken.
        samples_seen: images shown, repetitions counted.
        num_processes: processes that trained together.
        recipe: the fields that decide what the run computes.
        files: name to size in bytes of every other file of the checkpoint; filled in by `save_checkpoint`.
    """

    epoch: Count
    step: Count
    samples_seen: Count
    num_processes: Count
    recipe: dict[str, object]
    files: dict[str, Count] = field(default_factory=dict)


def _folder(root: Path, epoch: int) -> Path:
    return root / f"epoch-{epoch:03d}"


def _finished(root: Path) -> list[Path]:
    """The complete checkpoints, oldest first, sorted by number: as text, epoch-1000 precedes epoch-999."""
    found = (
        path for path in root.glob("epoch-*") if _NAME.fullmatch(path.name) and (path / _STATE).is_file()
    )
    return sorted(found, key=lambda path: int(path.name.removeprefix("epoch-")))


def save_checkpoint(accelerator: Accelerator, root: Path, progress: Progress, keep: int) -> None:
    """Write ``root/epoch-NNN`` whole or not at all and drop all but the newest ``keep``.

    All processes call it.

    Raises:
        TrainingError: the folder cannot be written.
    """
    staging = root / "staging"
    try:
        accelerator.save_state(str(staging))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            sizes = {path.name: path.stat().st_size for path in sorted(staging.iterdir()) if path.is_file()}
            progress = replace(progress, files=sizes)
            (staging / _STATE).write_text(json.dumps(dataclasses.asdict(progress)), encoding="utf-8")
            follow_umask(staging)
            target = _folder(root, progress.epoch)
            shutil.rmtree(target, ignore_errors=True)
            replace_durably(staging, target)
            for old in _finished(root)[:-keep]:
                shutil.rmtree(old)
    except OSError as error:
        raise TrainingError(
            f"The checkpoint of epoch {progress.epoch} cannot be written to {root}: {error.strerror or error}. "
            "Free some space and continue with --resume_from_checkpoint true."
        ) from error
    accelerator.wait_for_everyone()


def find_checkpoint(root: Path, resume_from_checkpoint: str) -> Path | None:
    """The folder that ``resume_from_checkpoint`` names; None if it is ``true`` and there is no checkpoint yet.

    Raises:
        ConfigError: the folder is no checkpoint.
    """
    if resume_from_checkpoint.lower() in ("true", "latest", "last"):
        finished = _finished(root)
        return finished[-1] if finished else None
    folder = Path(resume_from_checkpoint).expanduser()
    if not (folder / _STATE).is_file():
        raise ConfigError(
            f"{folder} is no checkpoint of hf_clipdyn: name a folder like <output_dir>/checkpoints/epoch-003, "
            "or give `--resume_from_checkpoint true` for the last whole epoch."
        )
    return folder


def load_checkpoint(
    accelerator: Accelerator, folder: Path, recipe: dict[str, object], num_processes: int
) -> Progress:
    """Restore weights, optimiser, schedule and random states from ``folder``.

    Raises:
        ConfigError: the checkpoint belongs to another recipe or number of processes.
        TrainingError: a file of it is missing or broken.
    """
    try:
        progress = _checked_progress(folder)
    except TrainingError as error:
        raise TrainingError(f"{error} {_way_out(folder)}") from error
    changed = sorted(k for k in {*recipe, *progress.recipe} if recipe.get(k) != progress.recipe.get(k))
    if changed:
        was = ", ".join(
            f"{key}={progress.recipe.get(key)!r} there, {recipe.get(key)!r} now" for key in changed
        )
        raise ConfigError(
            f"The checkpoint {folder} is of another run ({was}): use the same recipe, or another output_dir."
        )
    if progress.num_processes != num_processes:
        raise ConfigError(
            f"The checkpoint {folder} was written by {progress.num_processes} processes, this run has "
            f"{num_processes}, with other batches: start {progress.num_processes}."
        )
    try:
        for path in folder.glob("random_states_*.pkl"):  # accelerate skips a broken one
            load(path)
        accelerator.load_state(str(folder))
    except Exception as error:  # safetensors, torch and accelerate have errors of their own
        broken = next(_unreadable(folder), None)
        what = (
            f"{broken} of the checkpoint {folder} is broken"
            if broken
            else f"{folder} is no checkpoint of this run"
        )
        raise TrainingError(f"{what}: {_first_line(error)}. {_way_out(folder)}") from error
    return progress


def _checked_progress(folder: Path) -> Progress:
    """The progress of a checkpoint whose files exist and have the recorded sizes.

    accelerate skips a missing or broken file of random states; the run would continue as another one.
    """
    progress = read_json(Progress, folder / _STATE, error=TrainingError)
    for name, size in progress.files.items():
        path = folder / Path(name).name
        if not path.is_file():
            raise TrainingError(f"{path} is missing.")
        if path.stat().st_size != size:
            raise TrainingError(f"{path} is broken: it has {path.stat().st_size:,} bytes, not {size:,}.")
    return progress


def _way_out(folder: Path) -> str:
    """The end of an error: the newest other checkpoint that can be resumed from."""
    for other in reversed(_finished(folder.parent)):
        if other.resolve() == folder.resolve():
            continue
        try:
            _checked_progress(other)
        except TrainingError:
            continue
        if next(_unreadable(other), None) is None:
            return f"The last complete checkpoint is {other}: name it with --resume_from_checkpoint."
    return "There is no other complete checkpoint: start again with --overwrite_output_dir."


def _unreadable(folder: Path) -> Iterator[str]:
    """Names of a checkpoint's files that cannot be read; no code in them is run."""
    for path in sorted(folder.iterdir()):
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt"):
                    pass
            elif path.suffix in (".bin", ".pkl"):
                load(path, map_location="cpu")
        except Exception:  # as above
            yield path.name


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".:")
