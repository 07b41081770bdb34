"""A run's folder: what is kept there, and whether a new run may begin in it or an earlier one continues."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hf_clipdyn.errors import ConfigError, TrainingError
from hf_clipdyn.files import delete, disk_errors, write_atomically
from hf_clipdyn.revisions import Publisher, epoch_name
from hf_clipdyn.revisions.store import Store, check_version
from hf_clipdyn.training.checkpoint import find_checkpoint, saved_progress
from hf_clipdyn.training.config import TrainingConfig

# What a run writes to its folder; overwrite_output_dir deletes these and nothing else.
_LEFTOVERS = (
    "revisions",
    "ema",
    "checkpoints",
    "shards",
    "log.jsonl",
    "config.yaml",
    "training_data.json",
)

_SIGNS = ("config.yaml", "revisions/*/revisions.json", "log.jsonl", "checkpoints/*/progress.json")
"""Files by one of which the folder of a run is known."""

BY_MACHINE = ("bf16", "attn_implementation", "num_threads", "reading")
"""Fields that the machine decides if they are None; they affect the weights."""


def output_folder(config: TrainingConfig) -> Path:
    """``output_dir``, or ``runs/<data set>-<arm>-<scale>-seed<seed>``, without an arm for the main one.

    Examples:
        >>> from hf_clipdyn import TrainingConfig
        >>> from hf_clipdyn.training import output_folder
        >>> output_folder(TrainingConfig(scale="small", seed=1)).as_posix()
        'runs/procedural-small-seed1'
    """
    if config.output_dir is not None:
        return Path(config.output_dir).expanduser()
    return Path("runs") / f"{Path(config.dataset[0]).name}-{config.run_name}"


def repository(config: TrainingConfig) -> str:
    """The id of a run's repository: ``hub_model_id`` for this scale and seed, or the name of the run in the folder.

    A new run without ``hub_model_id`` is called ``local/<output folder>``; characters that the Hub does not accept are
    replaced. The run keeps its name if the folder is renamed or moved.

    Args:
        config: configuration of the run.

    Raises:
        RevisionError: the revisions in the folder cannot be read.

    Examples:
        >>> from hf_clipdyn import TrainingConfig
        >>> from hf_clipdyn.training import repository
        >>> repository(TrainingConfig(scale="small", seed=1))
        'local/procedural-small-seed1'
        >>> repository(TrainingConfig(hub_model_id="me/run", output_dir="runs/mine"))
        'me/run'
    """
    if config.repository is not None:
        return config.repository
    return Publisher(output_folder(config)).repo_id


def _leftovers(folder: Path) -> list[Path]:
    return [path for name in _LEFTOVERS if (path := folder / name).exists()]


def checkpoint_to_resume(config: TrainingConfig, folder: Path) -> Path | None:
    """The checkpoint to continue from; None for a new run, which must not overwrite an earlier one.

    Raises:
        ConfigError: the folder contains an earlier run or files of somebody else, or ``resume_from_checkpoint`` names
            no checkpoint.
        TrainingError: the folder cannot be read.
    """
    check_version(folder)
    with _written(folder):
        _check_own(folder)
        if _resumes(config):
            return find_checkpoint(folder / "checkpoints", str(config.resume_from_checkpoint))
        would_be_lost = bool(_leftovers(folder)) and not _took_no_step(config, folder)
    if would_be_lost:
        raise ConfigError(
            f"{folder} already contains a run: continue it with --resume_from_checkpoint true, delete the folder, or "
            "name another --output_dir."
        )
    return None


def _check_own(folder: Path) -> None:
    """Raise ConfigError if files have the names of a run's files, which a run would replace, but no run wrote them."""
    names = [path.name for path in _leftovers(folder)]
    if "config.yaml" in names and not _is_written(folder / "config.yaml"):
        names = ["config.yaml"]
    elif not names or any(next(folder.glob(sign), None) for sign in _SIGNS):
        return
    raise ConfigError(
        f"{folder} contains {', '.join(names)}, which no run wrote and a run would replace: name another "
        "--output_dir, or move them away."
    )


def _is_written(config: Path) -> bool:
    """Whether a run wrote this configuration: it then has all fields, unlike a recipe of a person."""
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8")) if config.is_file() else None
    except (ValueError, RecursionError, yaml.YAMLError):
        return False
    return isinstance(values, dict) and {"output_dir", "save_steps", "publish"} <= set(values)


def _resumes(config: TrainingConfig) -> bool:
    return bool(config.resume_from_checkpoint) and str(config.resume_from_checkpoint).lower() != "false"


def _took_no_step(config: TrainingConfig, folder: Path) -> bool:
    """Whether the folder holds only the initialisation of a run, which follows from the seed."""
    names = {path.name for path in (folder / "revisions").glob("[!.]*")}
    first = set() if config.push_to_hub else {epoch_name(0)}  # the Hub's copy belongs to the earlier run
    return not any((folder / name).exists() for name in ("log.jsonl", "checkpoints")) and names <= first


def resumed_config(config: TrainingConfig, folder: Path, checkpoint: Path | None) -> TrainingConfig:
    """The configuration of a resumed run; what it leaves to the machine is as it was when the run began."""
    begun = (folder if checkpoint is None else checkpoint.resolve().parents[1]) / "config.yaml"
    if not _resumes(config) or not begun.is_file():
        return config
    was = TrainingConfig.read(["--config", str(begun)])
    left = [name for name in BY_MACHINE if getattr(config, name) is None]
    return config.but(**{name: getattr(was, name) for name in left})


class Continued(NamedTuple):
    """A run on the processes that it has now.

    Attributes:
        config: of these processes.
        begun: its fields that had other values when the run began on another number of processes.
    """

    config: TrainingConfig
    begun: Mapping[str, Any]


def continued(config: TrainingConfig, checkpoint: Path | None, processes: int) -> Continued:
    """How a number of processes begins a run or continues it from a checkpoint, with an equal share of each batch.

    A configuration with the batch size per process with which the run began gets the one that now fits.

    Raises:
        ConfigError: that number does not fit; the message names those that do.
    """
    try:
        progress = None if checkpoint is None else saved_progress(checkpoint)
    except TrainingError:  # `load_checkpoint` names another checkpoint
        progress = None
    if progress is None:
        return Continued(config, {})
    was, written_by = progress.recipe, progress.num_processes
    if was.get("streaming"):
        if written_by != processes:
            raise ConfigError(
                f"The checkpoint {checkpoint} was written by {written_by} processes and reads a stream, so its batches "
                f"depend on their number, but this run has {processes}: start {written_by}."
            )
        return Continued(config, {})
    size, steps = was.get("per_device_train_batch_size"), was.get("gradient_accumulation_steps")
    if not (isinstance(size, int) and isinstance(steps, int) and size > 0 and steps > 0):
        return Continued(config, {})  # `load_checkpoint` says that the recipe is another one
    together = progress.global_batch_size // steps
    if together == size * processes:
        return Continued(config, {})
    if together % processes:
        fitting = [number for number in range(1, together + 1) if together % number == 0]
        raise ConfigError(
            f"The checkpoint {checkpoint} has batches of {together} images, which {processes} processes cannot share "
            f"equally: start {', '.join(map(str, fitting[:-1]))} or {fitting[-1]}."
        )
    if config.per_device_train_batch_size in (size, together // processes):
        config = config.but(per_device_train_batch_size=together // processes)
    begun = {name: was.get(name) for name in ("per_device_train_batch_size", "gradient_cache_chunk")}
    if config.per_device_train_batch_size != together // processes:
        del begun["per_device_train_batch_size"]  # another batch: `load_checkpoint` refuses the recipe
    return Continued(config, begun)


def delete_run(folder: Path) -> None:
    """Delete what a run wrote to its folder; other files stay.

    Args:
        folder: folder of the run.

    Raises:
        ConfigError: files in it have the names of a run's files, but no run wrote them.
        PublishError: the run is still training.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.training import delete_run
        >>> run = Path("runs/demo")
        >>> (run / "revisions").exists(), (run / "results.parquet").exists()
        (True, True)
        >>> delete_run(run)
        >>> (run / "revisions").exists(), (run / "results.parquet").exists()
        (False, True)
    """
    _check_own(folder)
    if _leftovers(folder):
        with Store(folder).locked():
            for path in _leftovers(folder):
                delete(path)


def make_folder(config: TrainingConfig, folder: Path) -> None:
    """Delete an earlier run unless this one continues it, and write the configuration."""
    if not _resumes(config):
        delete_run(folder)
    values = config.model_dump(mode="json")
    with _written(folder):
        write_atomically(folder / "config.yaml", yaml.safe_dump(values, sort_keys=False))


def _written(folder: Path) -> AbstractContextManager[None]:
    """Raise TrainingError if the block cannot use the folder of the run."""
    problem = f"The output folder {folder} cannot be written"
    return disk_errors(TrainingError, problem, "name another --output_dir")
