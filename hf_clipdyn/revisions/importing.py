"""Checkpoints of open_clip's training, on the disk or in a repository on the Hub: read in place, or imported."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import try_to_load_from_cache

from hf_clipdyn.cards import CardFacts, CardSource
from hf_clipdyn.errors import ConfigError, RevisionNotFoundError, UnknownNameError, shown
from hf_clipdyn.files import delete
from hf_clipdyn.hub import is_repo_id, valid_repo_name
from hf_clipdyn.models.open_clip import CHECKPOINT_SUFFIXES, Converter, checkpoint_epoch
from hf_clipdyn.revisions.manifest import IMPORTED, Row
from hf_clipdyn.revisions.names import MAIN, OPEN_CLIP, Name, epoch_name, epoch_of
from hf_clipdyn.revisions.published import HubRun, ask
from hf_clipdyn.revisions.records import FileRecord, content_id, record_of
from hf_clipdyn.revisions.series import Revision, Series
from hf_clipdyn.revisions.upload import Publisher, Summary


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        name: its name for the card, without a path of this machine.
        epoch: whole epochs trained, as the source counts them; None if unknown.
        file: gives the file for one `with` block; a download is deleted afterwards.
        record: gives the size and the hash of the file.
    """

    name: str
    epoch: int | None
    file: Callable[[], AbstractContextManager[Path]]
    record: Callable[[], FileRecord]

    def convert(self, converter: Converter, folder: Path) -> None:
        """Write the CLIPModel into a folder."""
        with self.file() as path:
            converter(path, folder)

    def facts(self, per_epoch: int | None) -> dict[str, Any]:
        """Name, epoch and samples of its revision, if those of an epoch are known."""
        name = MAIN if self.epoch is None else epoch_name(self.epoch)
        seen = None if per_epoch is None or self.epoch is None else per_epoch * self.epoch
        return {"name": name, "epoch": self.epoch, "samples_seen": seen}


_NO_REPOSITORY = CardSource(None, None, "")


@dataclass(frozen=True)
class CheckpointSource:
    """Where checkpoints come from, for the card.

    Attributes:
        checkpoints: in the order of the epochs.
        repository: its name, type and commit; empty for files on the disk.
        licence, datasets: as the repository's card says.
    """

    checkpoints: tuple[Checkpoint, ...]
    repository: CardSource = _NO_REPOSITORY
    licence: str | None = None
    datasets: tuple[str, ...] = ()


def _ordered(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    of_epoch: dict[int, Checkpoint] = {}
    for checkpoint in checkpoints:
        if checkpoint.epoch is None:
            raise ConfigError(f"{checkpoint.name} has no epoch in it or in its name: rename it to epoch_N.")
        other = of_epoch.setdefault(checkpoint.epoch, checkpoint)
        if other is not checkpoint:
            raise ConfigError(
                f"{other.name} and {checkpoint.name} are both of epoch {checkpoint.epoch}: leave out one."
            )
    return tuple(of_epoch[epoch] for epoch in sorted(of_epoch))


# --- on the disk ---


def checkpoints(names: Sequence[Name], licence: str | None = None) -> CheckpointSource:
    """Checkpoint files on the disk, ordered by the epoch inside each, or else in its name; or a folder on the Hub.

    Args:
        names: paths, or one ``owner/name/FOLDER`` on the Hub.
        licence: of files on the disk.

    Raises:
        ConfigError: there are none.
    """
    paths = [Path(name) for name in names]
    on_hub = re.fullmatch(r"([^/]+/[^/]+)(?:/(.+))?", os.fspath(names[0]))
    is_local = len(paths) > 1 or paths[0].exists() or paths[0].suffix in (".pt", ".safetensors")
    if on_hub is not None and not is_local:
        return hub_checkpoints(*on_hub.groups())
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"The checkpoint {path} does not exist, or it is a folder: give its files.")
    checkpoints = [_on_disk(path, checkpoint_epoch(path)) for path in paths]
    return CheckpointSource(_ordered(checkpoints), licence=licence)


def _checkpoints_at(path: Path) -> CheckpointSource:
    """One checkpoint, or those in a folder that are named by their epoch, `epoch_3.pt`."""
    if path.is_file():
        return CheckpointSource((_on_disk(path),))
    files = [file for file in path.iterdir() if file.is_file() and file.suffix in CHECKPOINT_SUFFIXES]
    named = [_on_disk(file) for file in files if epoch_of(file.stem) is not None]
    if not named:
        raise ConfigError(
            f"{path} contains no checkpoints of open_clip: expected a .pt file, or files called epoch_N.pt."
        )
    return CheckpointSource(_ordered(named))


def _on_disk(path: Path, epoch: int | None = None) -> Checkpoint:
    epoch = epoch_of(path.stem) if epoch is None else epoch
    return Checkpoint(path.name, epoch, lambda: nullcontext(path), lambda: record_of(path))


# --- on the Hub ---


def hub_checkpoints(repo_id: str, run: str | None = None, token: str | None = None) -> CheckpointSource:
    """The checkpoints of one run in a model or data-set repository, at its newest commit.

    Each file is downloaded when it is read.

    Args:
        repo_id: the repository.
        run: the folder with its `epoch_N.pt`, or the last part of its path; None if there is only one.
        token: of the Hub.
    """
    place, info = _repository(repo_id, token)
    commit = str(info.sha)
    runs: dict[PurePosixPath, list[Checkpoint]] = {}
    files = place.files(commit)
    for name in files:
        path = PurePosixPath(name)
        if path.suffix in CHECKPOINT_SUFFIXES and (epoch := epoch_of(path.stem)) is not None:
            of_file = partial(_file, place, commit, name), partial(files.__getitem__, name)
            runs.setdefault(path.parent, []).append(Checkpoint(name, epoch, *of_file))
    chosen = [folder for folder in runs if run in (None, folder.as_posix(), folder.name)]
    names = sorted(folder.name for folder in runs)
    if run is not None and runs and not chosen:
        raise UnknownNameError(f"run in {repo_id}", run, names)
    if len(chosen) != 1:
        raise ConfigError(
            f"{repo_id} has {len(runs)} folders of epoch checkpoints: choose one as {repo_id}/FOLDER, whose files are "
            f"called like epoch_3.pt ({', '.join(names[:8]) or 'there is none'})."
        )
    card = info.card_data or {}
    datasets = card.get("datasets") or ()
    return CheckpointSource(
        _ordered(runs[chosen[0]]),
        CardSource(repo_id, commit, "", place.repo_type),
        licence=card.get("license"),
        datasets=(datasets,) if isinstance(datasets, str) else tuple(datasets),
    )


def _repository(repo_id: str, token: str | None) -> tuple[HubRun, Any]:
    """A repository of models, or else of data, and what the Hub says of it."""
    for repo_type in ("model", "dataset"):
        place = HubRun(repo_id, token, repo_type)
        place.patience *= 4  # for gigabytes
        with suppress(RevisionNotFoundError):
            return place, ask(partial(place.api.repo_info, repo_id, repo_type=repo_type), place.where)
    raise RevisionNotFoundError(f"There is no model or data set {repo_id} on the Hub.")


def _file(place: HubRun, commit: str, path: str) -> AbstractContextManager[Path]:
    """One checkpoint on the disk, deleted after the `with` block, unless the Hub client's cache has it."""
    cached = try_to_load_from_cache(place.repo_id, path, revision=commit, repo_type=place.repo_type)
    if isinstance(cached, str) and Path(cached).is_file():
        return nullcontext(Path(cached))
    return place.file(commit, path)


# --- read in place ---


class OpenClipSeries(Series):
    """Checkpoints of open_clip's training, each converted to a CLIPModel when it is fetched.

    Two converted models at most are in a temporary folder: that of the revision in work, and the one used before it.

    Args:
        text: `open_clip:MODEL@PLACE`, as for `open_series`.
        token: of the Hub.
        per_epoch: images of an epoch, if known.
    """

    def __init__(self, text: str, token: str | None = None, per_epoch: int | None = None) -> None:
        self._model, _, name = text.removeprefix(OPEN_CLIP).partition("@")
        path = Path(os.path.expanduser(name)).absolute()  # noqa: PTH111
        self.on_disk = bool(name) and os.path.exists(path)  # noqa: PTH110
        owner, repo, inside = [*name.rstrip("/").split("/", 2), "", ""][:3]
        if not self._model or not (self.on_disk or (repo and is_repo_id(f"{owner}/{repo}"))):
            raise ConfigError(
                f"{shown(text)} names no checkpoints, and there is no file or folder {path}: give "
                f"{OPEN_CLIP}MODEL@PLACE, for example {OPEN_CLIP}ViT-B-32@run/checkpoints, with the path of a "
                "checkpoint or of a folder of epoch_N.pt, or with owner/name/FOLDER on the Hub."
            )
        self._source = partial(hub_checkpoints, f"{owner}/{repo}", inside or None, token)
        self.where = f"{name} on the Hub"
        run = PurePosixPath(inside or repo).name
        if self.on_disk:
            self._source = partial(_checkpoints_at, path)
            self.where = str(path)
            folder = path if path.is_dir() else path.parent
            run = folder.parent.name if folder.name == "checkpoints" else folder.name  # as open_clip names it
        self.repo_id = valid_repo_name(run)
        self._per_epoch = per_epoch
        self._converter = Converter(self._model)
        self._by_commit: dict[str, Checkpoint] = {}
        self._converted: list[Path] = []  # the folder that was used last is at the end

    def check(self) -> None:
        self._source()

    def revisions(self) -> list[Revision]:
        return [self._revision(checkpoint) for checkpoint in self._source().checkpoints]

    def _revision(self, checkpoint: Checkpoint) -> Revision:
        record = checkpoint.record()
        # From the content, so that a copy of the same checkpoints elsewhere has the same commits.
        commit = content_id({PurePosixPath(checkpoint.name).name: record}, f"open_clip {self._model}")
        self._by_commit[commit] = checkpoint
        return Revision(
            **checkpoint.facts(self._per_epoch),
            commit=commit,
            sha256=record.sha256,
            size=record.size,
            scale=self._model,
            parameters=self._converter.parameters,
        )

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with a converted checkpoint, until those of two others are fetched."""
        if settings_only:  # the files beside the weights, which all checkpoints share
            folder = self.temporary / "settings"
            self._converter.save_settings(folder)
            return folder
        if revision.commit not in self._by_commit:  # another process has listed it
            self.revisions()
        if revision.commit not in self._by_commit:
            raise self.changed()
        folder = self.temporary / revision.commit
        if folder in self._converted:
            self._converted.remove(folder)
        else:
            while len(self._converted) > 1:
                delete(self._converted.pop(0))
            self._by_commit[revision.commit].convert(self._converter, folder)
        self._converted.append(folder)
        return folder


# --- imported ---


def import_open_clip(
    source: CheckpointSource,
    repo_id: str,
    *,
    model: str,
    output_dir: Path,
    samples_per_epoch: int | None = None,
    **publishing: Any,
) -> Summary:
    """Save open_clip checkpoints as revisions of a CLIPModel; those that are there are not read again.

    Args:
        source: the checkpoints.
        repo_id: name of the run, and its repository if it is pushed.
        model: open_clip's name of the architecture.
        output_dir: folder of the run.
        samples_per_epoch: images of an epoch, if known.
        publishing: for `Publisher`: ``push_to_hub``, ``private``, ``token``.
    """
    converter = Converter(model)
    rows = [Row(**checkpoint.facts(samples_per_epoch)) for checkpoint in source.checkpoints]
    files = {row.name: checkpoint.name for row, checkpoint in zip(rows, source.checkpoints, strict=True)}
    card = CardFacts(
        repo_id,
        datasets=source.datasets,
        licence=source.licence,
        scale=model,
        parameters=converter.parameters,
        tags=("open_clip",),
        source=replace(source.repository, model=model, files=files),
    )
    publishing["recipe_hash"] = f"{IMPORTED}{model}:{source.repository.repo_id or 'files'}"
    with Publisher(output_dir, repo_id, card=card, planned=tuple(files), **publishing) as publisher:
        for row, checkpoint in zip(rows, source.checkpoints, strict=True):
            publisher.submit(row, partial(checkpoint.convert, converter))
        return publisher.finish()
