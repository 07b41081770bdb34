"""Runs with branches and a manifest: in folders on the disk, on the Hub, and in a kept store of version 0.3."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from huggingface_hub import HfApi, get_session, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.errors import RevisionNotFoundError as NoRevisionOnHubError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but not marked as re-exported
    build_hf_headers,
    hf_raise_for_status,
)

from hf_clipdyn.errors import ClipDynError, RevisionError, RevisionNotFoundError
from hf_clipdyn.hub import persistently, reason
from hf_clipdyn.models.snapshots import model_files, snapshot_folder
from hf_clipdyn.revisions import records
from hf_clipdyn.revisions.folders import with_base
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest
from hf_clipdyn.revisions.names import MAIN, epoch_of, step_of, training_order
from hf_clipdyn.revisions.series import Revision, Series
from hf_clipdyn.revisions.store import WEIGHTS_FILE, Store

T = TypeVar("T")

PARALLEL_REQUESTS = 8  # a suite may have over a hundred branches, and each costs a request
_OF_ROW = {"epoch", "step", "samples_seen", "time", "loss", "validation_loss", "learning_rate", "logit_scale"}
OF_RUN = {"scale", "seed", "arm", "parameters"}


class Published(Series):
    """A series with branches and a manifest.

    Attributes:
        tags: tag to commit, as the last `refs` saw them. Those of a suite without a manifest count as revisions; those
            of a run of this package keep what `repair` has replaced.
        broken: what is wrong with revisions whose manifest cannot be read, by name.
    """

    tags: Mapping[str, str] = {}
    broken: Mapping[str, str] = {}
    _planned: tuple[str, ...] | None = None

    @abstractmethod
    def refs(self) -> dict[str, str]:
        """Branch to commit, `main` included; of folders their names."""

    @abstractmethod
    def files(self, commit: str) -> records.Listing:
        """The files of a commit, from metadata: nothing is downloaded."""

    @abstractmethod
    def fetched(self, commit: str, path: str) -> AbstractContextManager[Path]:
        """A file of a commit on the disk; what must be downloaded is removed afterwards."""

    def read(self, commit: str, path: str) -> bytes:
        """The content of a small file."""
        with self.fetched(commit, path) as file:
            return file.read_bytes()

    def manifest(self, refs: Mapping[str, str]) -> Manifest | None:
        """The manifest on `main`; None if there is none."""
        try:
            content = self.read(refs[MAIN], MANIFEST_FILE)
        except (KeyError, RevisionNotFoundError):
            return None
        return Manifest.loads(content, self.where)

    def revisions(self) -> list[Revision]:
        """The revisions in training order; without a manifest, by the numbers in their names.

        `main` is listed, as the last one, only if no other branch has its commit and there is no manifest.
        """
        refs = self.refs()
        manifest = self.manifest(refs)
        refs = refs if manifest is not None else {**self.tags, **refs}
        if manifest is not None or refs.get(MAIN) in [refs[name] for name in refs if name != MAIN]:
            refs.pop(MAIN, None)
        self._planned = manifest.planned if manifest is not None else ()
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            commits = list(dict.fromkeys(refs.values()))
            files = dict(zip(commits, pool.map(self.files, commits), strict=True))
        found = [_described(name, commit, files[commit], manifest) for name, commit in refs.items()]
        return sorted(found, key=_order)

    def planned(self) -> tuple[str, ...]:
        if self._planned is None:
            self.revisions()
        return self._planned or ()


def _described(name: str, commit: str, files: records.Listing, manifest: Manifest | None) -> Revision:
    weights = records.weights_of(files)
    facts: dict[str, Any] = {"epoch": epoch_of(name)}
    if manifest is not None:
        row = manifest.row(name)
        facts |= manifest.model_dump(include=OF_RUN)
        facts |= row.model_dump(include=_OF_ROW) if row is not None else {}
    return Revision(name=name, commit=commit, sha256=weights.sha256, size=weights.size, **facts)


def _order(revision: Revision) -> tuple[bool, tuple[Any, ...]]:
    step = step_of(revision.name) if revision.step is None else revision.step
    return revision.name == MAIN, training_order(revision.name, step)


class RunFolder(Published):
    """The folders below `revisions` of a run, and what others add to them later."""

    def __init__(self, run: Path, *, tolerant: bool = False) -> None:
        self.store = Store(run, tolerant=tolerant)
        self.where, self.broken = shown_path(self.store.folder), self.store.broken
        self.repo_id = self.store.repo_id()

    def refs(self) -> dict[str, str]:
        self.repo_id = self.store.repo_id()  # from its first revision on; it may be watched before
        names = {name: name for name in self.store.names()}
        if not names:
            raise RevisionNotFoundError(f"{self.where} has no revisions.")
        return names

    def files(self, commit: str) -> records.Listing:
        folder = self.store.folder / commit
        return self._records(commit, _files_inside(folder, folder))

    def _records(self, name: str, files: Mapping[str, Path]) -> records.Listing:
        listed = {path: records.record_of(file) for path, file in files.items() if path != WEIGHTS_FILE}
        if WEIGHTS_FILE in files:
            sha256 = self.store.row(name).sha256  # weights take long to read
            listed[WEIGHTS_FILE] = records.FileRecord(files[WEIGHTS_FILE].stat().st_size, sha256, sha256)
        return listed

    def manifest(self, refs: Mapping[str, str]) -> Manifest | None:  # noqa: ARG002  (folders have no `main`)
        return self.store.manifest()

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:
        yield self.store.folder / commit / path

    def revisions(self) -> list[Revision]:
        return [replace(revision, commit=self._commit(revision.name)) for revision in super().revisions()]

    def _commit(self, name: str) -> str:
        return records.content_id(self._records(name, model_files(self.store.folder / name)))

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:  # noqa: ARG002  (all is here)
        name = revision.name
        if name not in self.store.names() or self._commit(name) != revision.commit:
            raise self.changed()
        return self.together(revision, model_files(self.store.folder / name))


def shown_path(path: Path) -> str:
    """A path as it is short to type where the reader is."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _files_inside(folder: Path, whole: Path) -> dict[str, Path]:
    """The files in a folder by their paths in it, without links that lead out of the folder ``whole``."""
    paths = [path for path in sorted(folder.rglob("*")) if records.is_inside(path, whole)]
    return {path.relative_to(folder).as_posix(): path for path in paths}


class HubRun(Published):
    """A repository on the Hub."""

    on_disk = False

    def __init__(self, repo_id: str, token: str | None = None) -> None:
        self.repo_id, self.where = repo_id, f"{repo_id} on the Hub"
        self.api, self._token = HfApi(token=token), token

    def check(self) -> None:
        self.refs()

    def refs(self) -> dict[str, str]:
        found = self._ask(lambda: self.api.list_repo_refs(self.repo_id))
        self.tags = {ref.name: ref.target_commit for ref in found.tags}
        return {ref.name: ref.target_commit for ref in found.branches}

    def files(self, commit: str) -> records.Listing:
        list_tree = partial(self.api.list_repo_tree, self.repo_id, recursive=True, revision=commit)
        return {
            item.path: records.FileRecord(item.size, item.blob_id, item.lfs.sha256 if item.lfs else None)
            for item in self._ask(lambda: list(list_tree()))
            if isinstance(item, RepoFile)
        }

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:
        # Not from the user's cache: it may hold what the Hub no longer serves.
        with TemporaryDirectory() as folder:
            download = partial(self.api.hf_hub_download, self.repo_id, path, revision=commit)
            yield Path(self._ask(lambda: str(download(cache_dir=folder))))

    def read(self, commit: str, path: str) -> bytes:
        """The content of a small file, in one request."""
        url = hf_hub_url(self.repo_id, path, revision=commit, endpoint=self.api.endpoint)

        def get() -> bytes:
            response = get_session().get(url, headers=build_hf_headers(token=self.api.token))
            hf_raise_for_status(response)
            return bytes(response.content)

        return self._ask(get)

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        where: dict[str, Any] = {"token": self._token, "settings_only": settings_only}
        folder = snapshot_folder(self.repo_id, revision.commit, **where)
        return self.together(revision, with_base(folder, **where))

    def _ask(self, call: Callable[[], T]) -> T:
        return ask(call, self.where)


def ask(call: Callable[[], T], where: str, **options: Any) -> T:
    """`persistently` for a call that reads a repository.

    Raises:
        RevisionNotFoundError: it is not there, or the token may not read it.
        RevisionError: it cannot be read; ``where`` begins the message.
    """
    try:
        return persistently(call, **options)
    except ClipDynError:
        raise
    except (RepositoryNotFoundError, NoRevisionOnHubError, EntryNotFoundError) as error:
        raise RevisionNotFoundError(
            f"{where} does not exist, lacks this revision or file, or the token may not read it ({reason(error)})."
        ) from error
    except Exception as error:
        raise RevisionError(f"{where} could not be read: {reason(error)}.") from error


class CachedRun(Published):
    """A repository in a cache of the Hub's client: offline, and the stores of version 0.3 (`--store runs/x/hub`)."""

    def __init__(self, repo_id: str, cache: Path, token: str | None = None) -> None:
        self.repo_id, self._token = repo_id, token
        self.folder = cache / "--".join(["models", *repo_id.split("/")])
        self.where = f"{repo_id} in {shown_path(cache)}"

    def refs(self) -> dict[str, str]:
        root = self.folder / "refs"
        paths = [path for path in sorted(root.rglob("[!.]*")) if path.is_file()]
        refs = {path.relative_to(root).as_posix(): path.read_text(errors="replace")[:50] for path in paths}
        for name, commit in refs.items():
            if not re.fullmatch(r"[0-9a-f]{40}\n?", commit):
                raise RevisionError(f"{root / name} does not contain a commit: delete it.")
        if not refs:
            raise RevisionNotFoundError(f"There is no {self.where}.")
        return {name: commit.strip() for name, commit in refs.items()}

    def files(self, commit: str) -> records.Listing:
        root = self.folder / "snapshots" / commit
        if not root.is_dir():
            raise RevisionNotFoundError(f"{self.where} has no snapshot of commit {commit}.")
        return {name: _linked(path) for name, path in _files_inside(root, self.folder).items()}

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:
        file = self.folder / "snapshots" / commit / path
        if not records.is_inside(file, self.folder):
            raise RevisionNotFoundError(f"{self.where} has no file {path} in commit {commit}.")
        yield file

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        folder = self.folder / "snapshots" / revision.commit
        if not folder.is_dir():
            raise self.changed()
        return self.together(revision, with_base(folder, self._token, settings_only=settings_only))


def _linked(path: Path) -> records.FileRecord:
    """A link of a snapshot has the hash in the name of its blob."""
    if not path.is_symlink():
        return records.record_of(path)
    blob = path.readlink().name
    return records.FileRecord(path.stat().st_size, blob, blob if len(blob) == 64 else None)
