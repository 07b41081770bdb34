"""Checkpoints of open_clip's training, on the disk or in a repository on the Hub: read in place, or imported."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import RepositoryNotFoundError

from hf_clipdyn.cards import CardFacts, CardSource
from hf_clipdyn.errors import ConfigError, RevisionError, RevisionNotFoundError, UnknownNameError, shown
from hf_clipdyn.files import delete
from hf_clipdyn.hub import PATIENCE, checked_repo_id, is_repo_id, persistently, reason, valid_repo_name
from hf_clipdyn.models.open_clip import CHECKPOINT_SUFFIXES, Converter, checkpoint_epoch
from hf_clipdyn.revisions.manifest import IMPORTED, Row
from hf_clipdyn.revisions.names import MAIN, OPEN_CLIP, epoch_name, epoch_of, natural_key
from hf_clipdyn.revisions.open import content_id, record_of, temporary
from hf_clipdyn.revisions.series import Revision, Series
from hf_clipdyn.revisions.store import FileRecord
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

    @property
    def revision(self) -> str:
        """The name of its revision."""
        return MAIN if self.epoch is None else epoch_name(self.epoch)

    def samples_seen(self, per_epoch: int | None) -> int | None:
        """Images shown, if those of an epoch are known."""
        return None if per_epoch is None or self.epoch is None else per_epoch * self.epoch


@dataclass(frozen=True)
class CheckpointSource:
    """Where checkpoints come from, for the card.

    Attributes:
        checkpoints: in the order of the epochs.
        repo_id, repo_type, commit: the repository, whether it is a `model` or a `dataset`, and its commit.
        licence, datasets: as the repository's card says.
    """

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
        if not path.is_file():
            problem = "is a folder: give its files" if path.is_dir() else "does not exist"
            raise ConfigError(f"The checkpoint {path} {problem}.")
        epoch = checkpoint_epoch(path)
        checkpoints.append(_on_disk(path, epoch_of(path.stem) if epoch is None else epoch))
    return CheckpointSource(_ordered(checkpoints), licence=licence)


def _on_disk(path: Path, epoch: int | None) -> Checkpoint:
    return Checkpoint(path.name, epoch, partial(_here, path), partial(record_of, path))


@contextmanager
def _here(path: Path) -> Iterator[Path]:
    yield path


def _ordered(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    nameless = next((one.name for one in checkpoints if one.epoch is None), None)
    if nameless is not None or not checkpoints:
        problem = f"{nameless} has no epoch, neither inside nor in its name: rename it to epoch_N."
        raise ConfigError(problem if nameless is not None else "There is no checkpoint to import.")
    ordered = sorted(checkpoints, key=lambda one: one.epoch or 0)
    for before, one in pairwise(ordered):
        if before.epoch == one.epoch:
            raise ConfigError(f"{before.name} and {one.name} are both of epoch {one.epoch}: leave out one.")
    return tuple(ordered)


def hub_checkpoints(repo_id: str, run: str | None = None, token: str | None = None) -> CheckpointSource:
    """The checkpoints of one run in a model or data-set repository, at its newest commit.

    Each file is downloaded when it is read.

    Args:
        repo_id: the repository.
        run: the folder with its `epoch_N.pt`, or the last part of its path; None if there is only one.
        token: of the Hub.
    """
    api = HfApi(token=token)
    info, repo_type = _info(api, repo_id)
    runs: dict[str, list[Checkpoint]] = defaultdict(list)
    for file in sorted(info.siblings or [], key=lambda sibling: natural_key(sibling.rfilename)):
        path = PurePosixPath(file.rfilename)
        if path.suffix in CHECKPOINT_SUFFIXES and epoch_of(path.stem) is not None:
            sha256 = file.lfs.sha256 if file.lfs else None
            record = partial(FileRecord, file.size or 0, sha256 or file.blob_id or "", sha256)
            download = partial(_downloaded, api, repo_id, str(path), repo_type, str(info.sha))
            runs[path.parent.as_posix()].append(Checkpoint(str(path), epoch_of(path.stem), download, record))
    datasets = getattr(info.card_data, "datasets", None) or ()
    return CheckpointSource(
        _ordered(runs[_folder(runs, run, repo_id)]),
        repo_id,
        repo_type,
        str(info.sha),
        licence=getattr(info.card_data, "license", None),
        datasets=(datasets,) if isinstance(datasets, str) else tuple(datasets),
    )


def _info(api: HfApi, repo_id: str) -> tuple[Any, str]:
    """The files of a repository, and its type."""
    for repo_type in ("model", "dataset"):
        ask = partial(api.repo_info, repo_id, repo_type=repo_type, files_metadata=True)
        try:
            return persistently(ask), repo_type
        except RepositoryNotFoundError:
            continue
        except Exception as error:
            raise RevisionError(f"{repo_id} on the Hub could not be read: {reason(error)}.") from error
    raise RevisionNotFoundError(f"There is no model or data set {repo_id} on the Hub.")


@contextmanager
def _downloaded(api: HfApi, repo_id: str, path: str, repo_type: str, commit: str) -> Iterator[Path]:
    """One checkpoint on the disk, deleted after the `with` block, unless the Hub client's cache has it."""
    cached = try_to_load_from_cache(repo_id, path, repo_type=repo_type, revision=commit)
    if isinstance(cached, str) and Path(cached).is_file():
        yield Path(cached)
        return
    with tempfile.TemporaryDirectory(prefix="clipdyn-downloads-") as folder:
        where: dict[str, Any] = {"repo_type": repo_type, "revision": commit, "local_dir": folder}
        try:
            fetch = partial(api.hf_hub_download, repo_id, path, **where)
            file = Path(str(persistently(fetch, 4 * PATIENCE, transfers=True)))
        except Exception as error:
            raise RevisionError(f"{path} could not be fetched: {reason(error)}.") from error
        yield file


def _folder(runs: Iterable[str], run: str | None, repo_id: str) -> str:
    """The folder of the run of that name, or of the only one."""
    named = {folder: PurePosixPath(folder).name for folder in runs}
    if not named:
        raise ConfigError(f"{repo_id} has no epoch checkpoints, which are named like epoch_3.pt.")
    if run is None and len(named) > 1:
        raise ConfigError(
            f"{repo_id} has {len(named)} folders of epoch checkpoints: choose one as {repo_id}/FOLDER "
            f"({', '.join(sorted(named.values())[:8])} …)."
        )
    folders = [folder for folder, name in named.items() if run in (None, folder, name)]
    if not folders:
        raise UnknownNameError(f"run in {repo_id}", str(run), named.values())
    return folders[0]


# --- read in place ---


class OpenClipSeries(Series):
    """Checkpoints of open_clip's training, each converted to a CLIPModel when it is fetched.

    Two converted models at most are in a temporary folder: that of the revision in work, and the one used before it.

    Args:
        model: open_clip's name of the architecture.
        name: of the run, in tables of results.
        where: the place of the checkpoints, for messages.
        checkpoints: lists them; it is called again, since a run may go on.
        on_disk: whether they are on this machine.
        per_epoch: images of an epoch, if known.
    """

    def __init__(
        self,
        model: str,
        name: str,
        where: str,
        checkpoints: Callable[[], Sequence[Checkpoint]],
        on_disk: bool,
        per_epoch: int | None,
    ) -> None:
        self.repo_id, self.where, self.on_disk = valid_repo_name(name), where, on_disk
        self._model, self._list, self._per_epoch = model, checkpoints, per_epoch
        self._converter = Converter(model)
        self._by_commit: dict[str, Checkpoint] = {}
        self._converted: dict[str, Path] = {}  # folders by commit, the one that was used last at the end

    def check(self) -> None:
        if not self.on_disk:
            self._list()

    def revisions(self) -> list[Revision]:
        return [self._revision(checkpoint) for checkpoint in self._list()]

    def _revision(self, checkpoint: Checkpoint) -> Revision:
        record = checkpoint.record()
        # From the content, so that a copy of the same checkpoints elsewhere has the same commits.
        commit = content_id({PurePosixPath(checkpoint.name).name: record}, f"open_clip {self._model}")
        self._by_commit[commit] = checkpoint
        return Revision(
            name=checkpoint.revision,
            epoch=checkpoint.epoch,
            step=None,
            samples_seen=checkpoint.samples_seen(self._per_epoch),
            commit=commit,
            sha256=record.sha256,
            size=record.size,
            scale=self._model,
            parameters=self._converter.parameters,
        )

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with a converted checkpoint, until those of two others are fetched."""
        if settings_only:
            return self._settings
        commit = revision.commit
        folder = self._converted.pop(commit, None)
        if folder is None:
            for old in list(self._converted)[:-1]:
                delete(self._converted.pop(old))
            if commit not in self._by_commit:
                self.revisions()
            if commit not in self._by_commit:
                raise RevisionNotFoundError(f"{self.where} has no checkpoint with the commit {commit}.")
            folder = self._root / commit
            with self._by_commit[commit].file() as checkpoint:
                self._converter(checkpoint, folder)
        self._converted[commit] = folder
        return folder

    @cached_property
    def _root(self) -> Path:
        return temporary(self)

    @cached_property
    def _settings(self) -> Path:
        """Folder with the files beside the weights, which all checkpoints share."""
        folder = self._root / "settings"
        self._converter.save_settings(folder)
        return folder


def open_checkpoints(text: str, token: str | None, per_epoch: int | None) -> OpenClipSeries:
    """The checkpoints that `open_clip:MODEL@PLACE` names."""
    model, _, name = text.removeprefix(OPEN_CLIP).partition("@")
    if not (model and name):
        raise ConfigError(
            f"{shown(text)} names no checkpoints: give {OPEN_CLIP}MODEL@PLACE, for example "
            f"{OPEN_CLIP}ViT-B-32@run/checkpoints, with the path of a checkpoint file or of a folder of epoch_N.pt, or "
            "with owner/name/FOLDER on the Hub."
        )
    path = Path(os.path.expanduser(name)).absolute()  # noqa: PTH111
    if not os.path.exists(path):  # noqa: PTH110
        parts = name.rstrip("/").split("/")
        repo_id, folder = "/".join(parts[:2]), "/".join(parts[2:]) or None
        if "/" not in repo_id or not is_repo_id(repo_id):
            raise ConfigError(f"{shown(text)} names no checkpoints: there is no file or folder {path}.")
        called = (folder or repo_id).rpartition("/")[2]
        on_hub = partial(_checkpoints_on_hub, repo_id, folder, token)
        return OpenClipSeries(model, called, f"{name} on the Hub", on_hub, False, per_epoch)
    if not _checkpoints_at(path):
        raise ConfigError(
            f"{path} contains no checkpoints of open_clip: expected a .pt file, or files called epoch_N.pt."
        )
    parent = path if path.is_dir() else path.parent
    run = parent.parent if parent.name == "checkpoints" else parent  # as open_clip's training names it
    return OpenClipSeries(model, run.name, str(path), partial(_checkpoints_at, path), True, per_epoch)


def _checkpoints_on_hub(repo_id: str, folder: str | None, token: str | None) -> Sequence[Checkpoint]:
    return hub_checkpoints(repo_id, folder, token).checkpoints


def _checkpoints_at(path: Path) -> Sequence[Checkpoint]:
    """One checkpoint, or those in a folder that are named by their epoch, `epoch_3.pt`."""
    files = [path] if path.is_file() else [file for file in path.iterdir() if epoch_of(file.stem) is not None]
    files = [file for file in files if file.is_file() and file.suffix in CHECKPOINT_SUFFIXES]
    found = [_on_disk(file, epoch_of(file.stem)) for file in files]
    return _ordered(found) if found and path.is_dir() else found


# --- imported ---


def import_open_clip(
    source: CheckpointSource,
    repo_id: str,
    *,
    model: str,
    output_dir: Path,
    push_to_hub: bool = False,
    samples_per_epoch: int | None = None,
    token: str | None = None,
    private: bool = False,
) -> Summary:
    """Save open_clip checkpoints as revisions of a CLIPModel; those that are there are not read again."""
    checked_repo_id(repo_id, owner=push_to_hub)
    convert = Converter(model)
    files: Mapping[str, str] = {one.revision: one.name for one in source.checkpoints}
    origin = CardSource(
        source.repo_id, repo_type=source.repo_type, commit=source.commit, model=model, files=dict(files)
    )
    card = CardFacts(
        repo_id,
        datasets=source.datasets,
        licence=source.licence,
        scale=model,
        parameters=convert.parameters,
        tags=("open_clip",),
        source=origin,
    )
    recipe_hash = f"{IMPORTED}{model}:{source.repo_id or 'files'}"
    where: dict[str, Any] = {"push_to_hub": push_to_hub, "token": token, "private": private}
    with Publisher(output_dir, repo_id, card=card, recipe_hash=recipe_hash, **where) as publisher:
        for one in source.checkpoints:

            def save(folder: Path, one: Checkpoint = one) -> None:
                with one.file() as path:
                    convert(path, folder)

            seen = one.samples_seen(samples_per_epoch)
            publisher.submit(Row(name=one.revision, epoch=one.epoch, samples_seen=seen), save)
        return publisher.finish()
