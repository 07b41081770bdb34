"""Import checkpoints of open_clip as revisions."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath

from hf_clipdyn.cards import CardFacts, CardSource
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.models.open_clip import Converter, checkpoint_epoch
from hf_clipdyn.revisions.folders import find_run
from hf_clipdyn.revisions.manifest import IMPORTED
from hf_clipdyn.revisions.names import epoch_name, epoch_of
from hf_clipdyn.revisions.publisher import Publisher, RevisionRecord, Summary
from hf_clipdyn.schema import checked_repo_id


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


def _ordered(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    ordered = sorted(checkpoints, key=lambda item: item.epoch)
    for before, item in pairwise(ordered):
        if before.epoch == item.epoch:
            raise ConfigError(f"{before.name} and {item.name} are both of epoch {item.epoch}: leave out one.")
    if not ordered:
        raise ConfigError("There is no checkpoint to import.")
    return tuple(ordered)
