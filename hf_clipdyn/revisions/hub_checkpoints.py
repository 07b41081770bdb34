"""Checkpoints of open_clip in a repository on the Hub: the states of a run are files in a folder, `epoch_3.pt`.

The repository, of models or a data set, may hold many runs, as `laion/scaling-laws-openclip` does in
`full_checkpoints/<run>/`. A checkpoint is larger than its weights: it has the state of the optimiser too.
"""

import tempfile
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import RepositoryNotFoundError

from hf_clipdyn.errors import ConfigError, RevisionError, RevisionNotFoundError, UnknownNameError
from hf_clipdyn.hub import RetryPolicy, attempt, reason
from hf_clipdyn.models.open_clip import CHECKPOINT_SUFFIXES
from hf_clipdyn.revisions.folders import content_id, read_as_open_clip
from hf_clipdyn.revisions.names import epoch_name, epoch_of, natural_key
from hf_clipdyn.revisions.repository import MAIN, FileRecord

__all__ = ["HubCheckpoints", "HubRun", "find_run"]

_RETRIES = RetryPolicy(patience=120.0)


@dataclass(frozen=True)
class HubRun:
    """The epoch checkpoints of one run, at the newest commit of their repository.

    Attributes:
        repo_id, repo_type: the repository, and whether it is a `model` or a `dataset`.
        commit: of the repository.
        checkpoints: size and hash of each file by its path in the repository, in the order of the epochs.
        licence, datasets: from the repository's card.
    """

    repo_id: str
    repo_type: str
    commit: str
    checkpoints: Mapping[str, FileRecord]
    licence: str | None = None
    datasets: tuple[str, ...] = ()

    def download(self, path: str, token: str | None = None, folder: Path | None = None) -> Path:
        """Fetch one checkpoint, into a folder or into the Hub client's cache.

        Raises:
            RevisionError: it cannot be fetched.
        """
        fetch = partial(
            HfApi(token=token).hf_hub_download,
            self.repo_id,
            path,
            repo_type=self.repo_type,
            revision=self.commit,
            local_dir=folder,
        )
        try:
            return Path(attempt(fetch, _RETRIES))
        except Exception as error:
            raise RevisionError(f"{path} could not be fetched: {reason(error)}.") from error

    @contextmanager
    def borrowed(self, path: str, token: str | None = None) -> Iterator[Path]:
        """One checkpoint on the disk, deleted after the `with` block."""
        with tempfile.TemporaryDirectory() as folder:
            yield self.download(path, token, Path(folder))


def find_run(repo_id: str, run: str | None = None, token: str | None = None) -> HubRun:
    """The epoch checkpoints of one run in a model or data-set repository. Nothing is downloaded.

    Args:
        repo_id: `laion/scaling-laws-openclip`.
        run: the folder with the run's `epoch_N.pt`, or the last part of its path; None if there is only one.
        token: token of the Hub; None for the stored one.

    Raises:
        RevisionNotFoundError: there is no such repository.
        RevisionError: it cannot be read.
        UnknownNameError: it has no such run.
        ConfigError: it has several, and ``run`` is None, or none at all.
    """
    api = HfApi(token=token)
    info: Any  # ModelInfo or DatasetInfo
    for repo_type in ("model", "dataset"):
        ask = partial(api.repo_info, repo_id, repo_type=repo_type, files_metadata=True)
        try:
            info = attempt(ask, _RETRIES, reached=False)
            break
        except RepositoryNotFoundError:
            continue
        except Exception as error:
            raise RevisionError(f"{repo_id} on the Hub could not be read: {reason(error)}.") from error
    else:
        raise RevisionNotFoundError(f"There is no model or data set {repo_id} on the Hub.")
    runs: dict[str, dict[str, FileRecord]] = defaultdict(dict)
    for file in sorted(info.siblings or [], key=lambda one: natural_key(one.rfilename)):
        path = PurePosixPath(file.rfilename)
        if path.suffix in CHECKPOINT_SUFFIXES and epoch_of(path.stem) is not None:
            sha256 = file.lfs.sha256 if file.lfs else None
            record = FileRecord(file.size or 0, sha256 or file.blob_id or "", sha256)
            runs[path.parent.as_posix()][str(path)] = record
    datasets = getattr(info.card_data, "datasets", None) or ()
    return HubRun(
        repo_id,
        repo_type,
        str(info.sha),
        runs[_folder(runs, run, repo_id)],
        licence=getattr(info.card_data, "license", None),
        datasets=(datasets,) if isinstance(datasets, str) else tuple(datasets),
    )


def _folder(runs: Iterable[str], run: str | None, repo_id: str) -> str:
    """The folder of the run of that name, or of the only one."""
    named = {folder: PurePosixPath(folder).name for folder in runs}
    found = [folder for folder, name in named.items() if run in (None, folder, name)]
    if not named:
        raise ConfigError(f"{repo_id} has no epoch checkpoints, which are named like epoch_3.pt.")
    if run is None and len(named) > 1:
        raise ConfigError(
            f"{repo_id} has {len(named)} folders of epoch checkpoints: choose one, by --run or as "
            f"{repo_id}/FOLDER ({', '.join(sorted(named.values())[:8])} …)."
        )
    if not found:
        raise UnknownNameError(f"run in {repo_id}", str(run), named.values())
    return found[0]


class HubCheckpoints:
    """The checkpoints of one run on the Hub as revisions: a `ReadableRepository`.

    A commit is made from the content, so that a copy of the same checkpoints on the disk has the same commits.

    Args:
        repo_id: the repository.
        run: as in `find_run`.
        model: open_clip's name of the architecture.
        token: token of the Hub; None for the stored one.
        keep: leave downloaded checkpoints in the Hub client's cache. Otherwise two at most are on the disk: that of the
            revision in work, and the one that was used before it. What was in the cache already always stays.
    """

    on_disk = False

    def __init__(
        self, repo_id: str, run: str | None, model: str, *, token: str | None = None, keep: bool = False
    ) -> None:
        self.where = f"{repo_id}{'' if run is None else f'/{run}'} on the Hub"
        self._repo_id, self._name, self._token, self._keep = repo_id, run, token, keep
        self._read_as = read_as_open_clip(model)
        self._run: HubRun | None = None
        self._paths: dict[str, str] = {}
        self._owned: dict[str, Path] = {}  # by path in the repository, the one that was used last at the end
        weakref.finalize(self, _delete_all, self._owned)

    def refs(self) -> dict[str, str]:
        """The epochs by the names of their revisions; the Hub is asked again, since a run may go on."""
        try:
            self._run = find_run(self._repo_id, self._name, self._token)
        except RevisionNotFoundError as error:
            raise RevisionNotFoundError(f"{error} There is no folder of that name here either.") from error
        refs: dict[str, str] = {}
        self._paths = {}
        for path, record in self._run.checkpoints.items():
            file = PurePosixPath(path)
            epoch = epoch_of(file.stem)
            assert epoch is not None
            if epoch_name(epoch) in refs:
                raise ConfigError(f"{self.where} has two checkpoints of epoch {epoch}.")
            refs[epoch_name(epoch)] = commit = content_id({file.name: record}, self._read_as)
            self._paths[commit] = path
        return {MAIN: list(refs.values())[-1]} | refs

    def files(self, commit: str) -> dict[str, FileRecord]:
        run, path = self._at(commit)
        return {PurePosixPath(path).name: run.checkpoints[path]}

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:  # noqa: ARG002 (there is one file)
        run, name = self._at(commit)
        with run.borrowed(name, self._token) as file:
            yield file

    def read(self, commit: str, path: str, size: int | None = None) -> bytes:
        with self.fetched(commit, path) as file, file.open("rb") as opened:
            return opened.read(size)

    def absent_files(self, commit: str) -> list[str]:  # noqa: ARG002
        return []  # the Hub serves what it lists

    def checkpoint(self, commit: str) -> Path:
        """The checkpoint file of a revision, downloaded if it is not in the cache.

        Raises:
            RevisionError: it cannot be fetched.
            RevisionNotFoundError: no revision has that commit.
        """
        run, path = self._at(commit)
        held = try_to_load_from_cache(run.repo_id, path, revision=run.commit, repo_type=run.repo_type)
        if isinstance(held, str) and Path(held).is_file():
            if path in self._owned:
                self._owned[path] = self._owned.pop(path)
            return Path(held)
        for old in list(self._owned)[:-1]:
            _delete(self._owned.pop(old))
        file = run.download(path, self._token)
        if not self._keep:
            self._owned[path] = file
        return file

    def _at(self, commit: str) -> tuple[HubRun, str]:
        """The run and the path of the checkpoint with that commit."""
        if self._run is None:
            self.refs()
        if self._run is None or commit not in self._paths:
            raise RevisionNotFoundError(f"{self.where} has no checkpoint with the commit {commit}.")
        return self._run, self._paths[commit]


def _delete(file: Path) -> None:
    """Remove a file from the Hub client's cache: the link of a snapshot, and the blob that it leads to."""
    blob = file.resolve()
    for one in (file, blob):
        one.unlink(missing_ok=True)


def _delete_all(files: Mapping[str, Path]) -> None:
    for file in files.values():
        _delete(file)
