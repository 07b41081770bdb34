"""Import checkpoints of open_clip as revisions, and export revisions as checkpoints."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath

from hf_clipdyn.cards import CardFacts, CardSource
from hf_clipdyn.errors import ConfigError, ModelError, UnknownNameError
from hf_clipdyn.files import check_output, follow_umask, write_atomically
from hf_clipdyn.models.open_clip import (
    Converter,
    checkpoint_epoch,
    open_clip_config_of,
    to_open_clip,
)
from hf_clipdyn.revisions.folders import FolderRepository, find_run
from hf_clipdyn.revisions.listing import Revision, open_series
from hf_clipdyn.revisions.manifest import IMPORTED
from hf_clipdyn.revisions.names import Series, epoch_name, epoch_of
from hf_clipdyn.revisions.publisher import Publisher, RevisionRecord, Summary
from hf_clipdyn.schema import checked_repo_id

__all__ = ["export_open_clip", "hub_checkpoints", "import_open_clip", "local_checkpoints"]


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint to import.

    Attributes:
        epoch: whole epochs trained, as the source counts them.
        name: its name for the card, without a path of this machine.
        file: gives the file for one `with` block; a download is deleted afterwards.
    """

    epoch: int
    name: str
    file: AbstractContextManager[Path]


@dataclass(frozen=True)
class CheckpointSource:
    """Where checkpoints come from, for the card."""

    checkpoints: tuple[Checkpoint, ...]
    repo_id: str | None = None
    repo_type: str = "model"
    commit: str | None = None
    licence: str | None = None
    datasets: tuple[str, ...] = ()


def local_checkpoints(paths: Sequence[Path], licence: str | None = None) -> CheckpointSource:
    """Checkpoint files on the disk, ordered by the epoch inside each file, else in its name."""
    checkpoints = []
    for path in paths:
        if path.is_dir():
            raise ConfigError(
                f"{path} is a folder, not a checkpoint: give its files, for example {path}/*.pt."
            )
        if not path.is_file():
            raise ConfigError(f"There is no checkpoint {path}.")
        epoch = checkpoint_epoch(path)
        epoch = epoch_of(path.stem) if epoch is None else epoch
        if epoch is None:
            raise ConfigError(
                f"{path.name} has no epoch, neither inside nor in its name: rename it to epoch_N."
            )
        checkpoints.append(Checkpoint(epoch, path.name, nullcontext(path)))
    return CheckpointSource(_ordered(checkpoints), licence=licence)


def hub_checkpoints(repo_id: str, run: str | None = None, token: str | None = None) -> CheckpointSource:
    """The checkpoints of one run in a model or data-set repository, at its newest commit.

    Each file is downloaded when it is imported.
    """
    source = find_run(repo_id, run, token)
    listed = [
        Checkpoint(epoch, path, source.downloaded(path, token))
        for path in source.checkpoints
        if (epoch := epoch_of(PurePosixPath(path).stem)) is not None
    ]
    return CheckpointSource(
        _ordered(listed),
        source.repo_id,
        source.repo_type,
        source.commit,
        licence=source.licence,
        datasets=source.datasets,
    )


def import_open_clip(
    source: CheckpointSource,
    repo_id: str,
    *,
    model: str,
    output_dir: Path,
    store: Path | None = None,
    push_to_hub: bool = False,
    samples_per_epoch: int | None = None,
    token: str | None = None,
    private: bool = False,
) -> Summary:
    """Publish open_clip checkpoints as revisions of a CLIPModel; published ones are not read again."""
    checked_repo_id(repo_id, owner=push_to_hub)
    convert = Converter(model)

    def save(checkpoint: Checkpoint, folder: Path) -> None:
        with checkpoint.file as path:
            convert(path, folder)

    card = CardFacts(
        repo_id=repo_id,
        datasets=source.datasets,
        licence=source.licence,
        scale=model,
        parameters=convert.parameters,
        tags=("open_clip",),
        source=CardSource(
            repo_id=source.repo_id,
            repo_type=source.repo_type,
            commit=source.commit,
            model=model,
            files={epoch_name(item.epoch): item.name for item in source.checkpoints},
        ),
    )
    with Publisher(
        repo_id,
        output_dir=output_dir,
        store=store if store is not None else output_dir / "hub",
        push_to_hub=push_to_hub,
        token=token,
        private=private,
        card=card,
        recipe_hash=f"{IMPORTED}{model}:{source.repo_id or 'files'}",
    ) as publisher:
        publisher.check()
        for checkpoint in source.checkpoints:
            seen = samples_per_epoch * checkpoint.epoch if samples_per_epoch is not None else None
            record = RevisionRecord(epoch_name(checkpoint.epoch), checkpoint.epoch, None, seen)
            publisher.submit(record, partial(save, checkpoint))
        return publisher.finish()


def export_open_clip(
    repo_id: str, revision: str, output: Path, *, store: Path | None = None, token: str | None = None
) -> Path:
    """Write a revision as a checkpoint that open_clip loads: `.pt` with its epoch, or `.safetensors`.

    The weights are the same to the bit. The model's open_clip configuration is written beside, with the suffix
    `.json`: after `open_clip.add_model_config(path)` the file's name without suffix is a model of open_clip.
    """
    import torch
    from safetensors.torch import save_file

    from hf_clipdyn.models.encoder import read_config, read_model

    if output.is_dir():
        raise ConfigError(
            f"{output} is a folder: name the file to write, for example {output / 'epoch_3.pt'}."
        )
    if output.suffix not in (".pt", ".safetensors"):
        raise ConfigError(
            f"{output.name} ends in neither .pt nor .safetensors: these are what open_clip loads."
        )
    folder, beside = _fetched(open_series(repo_id, store, token), revision), output.with_suffix(".json")
    check_output(output, folder.iterdir())
    check_output(beside, folder.iterdir(), what="a configuration of open_clip", is_own=_is_open_clip)
    config = read_config(folder)
    if config.model_type != "clip":
        raise ModelError(
            f"{repo_id} at {revision} is of the type {config.model_type}: open_clip can load only the weights of a "
            "CLIPModel, with both towers."
        )
    theirs = open_clip_config_of(config, repo_id)
    weights = to_open_clip(read_model(folder, config, dtype="auto").state_dict())

    def save(path: Path) -> None:
        if output.suffix == ".pt":
            torch.save({"epoch": epoch_of(revision), "name": repo_id, "state_dict": weights}, path)
        else:
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
        follow_umask(path)

    write_atomically(beside, json.dumps(theirs, indent=2) + "\n")
    write_atomically(output, save)
    return output


def _is_open_clip(path: Path) -> bool:
    try:
        return "vision_cfg" in json.loads(path.read_bytes())
    except (ValueError, TypeError, RecursionError):
        return False


def _fetched(series: Series, name: str) -> Path:
    """Folder with the files of a revision, which a repository also knows by its commit or a tag."""
    refs = series.repository.refs()
    if name not in refs and isinstance(series.repository, FolderRepository):
        raise UnknownNameError("revision", name, refs)
    return series.fetch(Revision(name, None, None, None, refs.get(name, name), None, None))


def _ordered(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    ordered = sorted(checkpoints, key=lambda item: item.epoch)
    for before, item in pairwise(ordered):
        if before.epoch == item.epoch:
            raise ConfigError(f"{before.name} and {item.name} are both of epoch {item.epoch}: leave out one.")
    if not ordered:
        raise ConfigError("There is no checkpoint to import.")
    return tuple(ordered)
