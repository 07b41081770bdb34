"""Checkpoints for resuming: the last whole epoch, with everything that the next step depends on."""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from hf_clipdyn.errors import ConfigError, TrainingError
from hf_clipdyn.revisions.files import follow_umask

__all__ = ["Progress", "find_checkpoint", "load_checkpoint", "save_checkpoint"]

_STATE = "progress.json"


@dataclass(frozen=True)
class Progress:
    """How far a run has come, and which run it is."""

    epoch: int
    step: int
    samples_seen: int
    num_processes: int
    recipe: dict[str, object]


def _folder(root: Path, epoch: int) -> Path:
    return root / f"epoch-{epoch:03d}"


def _whole(root: Path) -> list[Path]:
    """The whole checkpoints, oldest first; by number, since epoch-1000 sorts before epoch-999."""
    folders = (path for path in root.glob("epoch-*") if (path / _STATE).is_file())
    return sorted(folders, key=lambda path: int(path.name.removeprefix("epoch-")))


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
            (staging / _STATE).write_text(json.dumps(dataclasses.asdict(progress)), encoding="utf-8")
            follow_umask(staging)
            target = _folder(root, progress.epoch)
            shutil.rmtree(target, ignore_errors=True)
            staging.replace(target)
            for old in _whole(root)[:-keep]:
                shutil.rmtree(old)
    except OSError as error:
        raise TrainingError(
            f"The checkpoint of epoch {progress.epoch} cannot be written to {root}: {error.strerror or error}. "
            "Free some space and continue with --resume_from_checkpoint true."
        ) from error
    accelerator.wait_for_everyone()


def find_checkpoint(root: Path, resume_from_checkpoint: str) -> Path | None:
    """The folder that ``resume_from_checkpoint`` means; None if ``true`` is said and none was written yet.

    Raises:
        ConfigError: the folder named is no checkpoint.
    """
    if resume_from_checkpoint.lower() in ("true", "latest", "last"):
        whole = _whole(root)
        return whole[-1] if whole else None
    folder = Path(resume_from_checkpoint).expanduser()
    if not (folder / _STATE).is_file():
        raise ConfigError(
            f"{folder} is no checkpoint of hf_clipdyn: name a folder like <output_dir>/checkpoints/epoch-003, "
            "or say `--resume_from_checkpoint true` for the last whole epoch."
        )
    return folder


def load_checkpoint(
    accelerator: Accelerator, folder: Path, recipe: dict[str, object], num_processes: int
) -> Progress:
    """Restore weights, optimiser, schedule and random states from ``folder``.

    Raises:
        ConfigError: the checkpoint belongs to another recipe or number of processes.
        TrainingError: it cannot be read.
    """
    try:
        progress = Progress(**json.loads((folder / _STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(
            f"The checkpoint {folder} cannot be read: {error}. Remove it and resume again."
        ) from error
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
            f"{num_processes}: the batches would differ; start as many as then."
        )
    accelerator.load_state(str(folder))
    return progress
