"""Branches with a manifest: on the Hub, and in a cache or a kept store of version 0.3; `store` has those in folders."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError
from hf_clipdyn.hub import PATIENCE, persistently, reason, status_of
from hf_clipdyn.models.snapshots import snapshot_folder
from hf_clipdyn.revisions.folders import with_base
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, NO_MANIFEST, Manifest
from hf_clipdyn.revisions.names import CHECKPOINT, MAIN, epoch_of, training_order
from hf_clipdyn.revisions.records import FileRecord, Listing, record_of, weights_of
from hf_clipdyn.revisions.series import Revision, Series

T = TypeVar("T")

WEIGHTS_FILE, CARD_FILE = "model.safetensors", "README.md"  # of a revision
_OF_ROW = {"epoch", "step", "samples_seen", "time", "loss", "validation_loss", "learning_rate", "logit_scale"}
OF_RUN = {"scale", "seed", "arm", "parameters"}


def in_parallel(call: Callable[[str], T], names: Iterable[str]) -> dict[str, T]:
    """What a call gives for each: it waits for a server or a disk."""
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(names, pool.map(call, names), strict=True))


class Published(Series):
    """A series with branches and a manifest.

    Attributes:
        tags: tag to commit, as the last `refs` saw them. Those of a suite without a manifest count as revisions; those
            of a run of this package keep what `repair` has replaced.
    """

    tags: Mapping[str, str] = {}

    @abstractmethod
    def refs(self) -> dict[str, str]:
        """Branch to commit, `main` included; of folders their names."""

    @abstractmethod
    def files(self, commit: str) -> Listing:
        """The files of a commit, from metadata: nothing is downloaded."""

    @abstractmethod
    def file(self, commit: str, path: str) -> AbstractContextManager[Path]:
        """A file of a commit for one `with` block; a download is deleted afterwards."""

    def read(self, commit: str, path: str) -> bytes:
        """The content of a small file."""
        with self.file(commit, path) as file:
            return file.read_bytes()

    def manifest(self, refs: Mapping[str, str]) -> Manifest:
        """The manifest on `main`, or `NO_MANIFEST`."""
        try:
            content = self.read(refs[MAIN], MANIFEST_FILE)
        except (KeyError, RevisionNotFoundError):
            return NO_MANIFEST
        return Manifest.loads(content, self.where)

    def revisions(self) -> list[Revision]:
        """The revisions in training order; without a manifest, by the numbers in their names.

        `main` is listed, as the last one, only if no other branch has its commit and there is no manifest.
        """
        refs = self.refs()
        manifest = self.manifest(refs)
        main = refs.pop(MAIN, "")
        self.planned = manifest.planned
        if manifest is NO_MANIFEST:
            refs = {**self.tags, **refs}
            refs |= {} if main in ("", *refs.values()) else {MAIN: main}
        files = in_parallel(self.files, set(refs.values()))
        listed = [described(name, commit, files[commit], manifest) for name, commit in refs.items()]
        return sorted(listed, key=lambda revision: training_order(revision.name, revision.step))


def described(name: str, commit: str, files: Listing, manifest: Manifest) -> Revision:
    """A revision with what its files and the record of its run say."""
    weights, row = weights_of(files), manifest.row(name)
    facts = {"epoch": epoch_of(name)} | manifest.model_dump(include=OF_RUN)
    facts |= row.model_dump(include=_OF_ROW) if row is not None else {}
    return Revision(name=name, commit=commit, sha256=weights.sha256, size=weights.size or None, **facts)


# --- on the disk ---


class OnDisk(Published):
    """A series whose commits are folders in ``snapshots``; a link may lead to other files below ``folder`` alone."""

    folder: Path
    snapshots: Path

    @abstractmethod
    def record(self, file: Path) -> FileRecord:
        """What is recorded of a file."""

    def files(self, commit: str) -> Listing:
        if not (self.snapshots / commit).is_dir():
            raise self.changed()
        return {name: self.record(path) for name, path in self.paths(commit).items() if self.has(path)}

    def paths(self, commit: str) -> dict[str, Path]:
        """The files of a commit by their paths in it, sorted; also links that lead elsewhere."""
        root = self.snapshots / commit
        return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}

    def has(self, path: Path) -> bool:
        """Whether a path is a file of this place, not a link that leads elsewhere."""
        return path.is_file() and path.resolve().is_relative_to(self._real_folder)

    @cached_property
    def _real_folder(self) -> Path:
        return self.folder.resolve()

    def file(self, commit: str, path: str) -> AbstractContextManager[Path]:
        file = self.snapshots / commit / path
        if not self.has(file):
            raise RevisionNotFoundError(f"{self.where} has no file {path} in {commit}.")
        return nullcontext(file)


def shown_path(path: Path) -> str:
    """A path as it is short to type where the reader is."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


class CachedRun(OnDisk):
    """A repository in a cache of the Hub's client: offline, and the stores of version 0.3 (`--store runs/x/hub`)."""

    def __init__(self, repo_id: str, cache: Path, token: str | None = None) -> None:
        self.repo_id, self._token = repo_id, token
        self.folder = cache / f"models--{repo_id.replace('/', '--')}"
        self.snapshots = self.folder / "snapshots"
        self.where = f"{repo_id} in {shown_path(cache)}"

    def refs(self) -> dict[str, str]:
        root, refs = self.folder / "refs", {}
        for path in sorted(path for path in root.rglob("[!.]*") if path.is_file()):
            commit = path.read_text(errors="replace").strip()
            if not re.fullmatch("[0-9a-f]{40}", commit):
                raise RevisionError(f"{path} does not contain a commit: delete it.")
            if (self.snapshots / commit).is_dir():  # else its files were never downloaded
                refs[path.relative_to(root).as_posix()] = commit
        # A download by commit writes no ref; a manifest names its weights.
        commits = {weights_of(self.files(path.name)).sha256: path.name for path in self.snapshots.glob("*/")}
        rows = [row for manifest in self._manifests() for row in manifest.revisions]
        refs = {row.name: commits[row.sha256] for row in rows if row.sha256 in commits} | refs
        if not refs:
            raise RevisionNotFoundError(
                f"There is no {self.where}, or only commits that nothing names: download a revision by its name."
            )
        return refs

    def _manifests(self) -> list[Manifest]:
        """Those of downloaded commits, of the run that was downloaded last; the last download is last."""
        found = [NO_MANIFEST]
        for path in sorted(self.snapshots.glob(f"*/{MANIFEST_FILE}"), key=lambda path: path.lstat().st_mtime):
            with suppress(RevisionError):
                found.append(Manifest.loads(self.read(path.parent.name, MANIFEST_FILE), path))
        return [manifest for manifest in found if manifest.run_id == found[-1].run_id]

    def manifest(self, refs: Mapping[str, str]) -> Manifest:
        # That of `main` may have been downloaded earlier than others.
        return max(super().manifest(refs), *self._manifests(), key=lambda manifest: len(manifest.revisions))

    def record(self, file: Path) -> FileRecord:
        if not file.is_symlink():
            return record_of(file)
        return FileRecord(file.stat().st_size, file.readlink().name)  # the blob is called by its hash

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        folder = self.snapshots / revision.commit
        if not folder.is_dir():
            raise self.changed()
        return self.together(revision, with_base(folder, self._token, settings_only=settings_only))


# --- on the Hub ---


class HubRun(Published):
    """A repository on the Hub: of models, or with checkpoints in a data-set repository."""

    on_disk = False
    patience = PATIENCE  # seconds in which a download is repeated
    repo_type = "model"

    def __init__(self, repo_id: str, token: str | None = None) -> None:
        self.repo_id, self.where = repo_id, f"{repo_id} on the Hub"
        self.api, self._token = HfApi(token=token), token

    def check(self) -> None:
        self.refs()

    def refs(self) -> dict[str, str]:
        found = ask(partial(self.api.list_repo_refs, self.repo_id), self.where)
        self.tags = {ref.name: ref.target_commit for ref in found.tags}
        return {ref.name: ref.target_commit for ref in found.branches if ref.name != CHECKPOINT}

    def files(self, commit: str) -> Listing:
        where: dict[str, Any] = {"revision": commit, "repo_type": self.repo_type}
        list_tree = partial(self.api.list_repo_tree, self.repo_id, recursive=True, **where)
        return {
            item.path: FileRecord(item.size, item.lfs.sha256 if item.lfs else item.blob_id)
            for item in ask(lambda: list(list_tree()), self.where)
            if isinstance(item, RepoFile)
        }

    @contextmanager
    def file(self, commit: str, path: str) -> Iterator[Path]:
        # Not from the user's cache: it may hold what the Hub no longer serves.
        with TemporaryDirectory(prefix="clipdyn-downloads-") as folder:
            where = {"cache_dir": folder, "revision": commit, "repo_type": self.repo_type}
            fetch = partial(self.api.hf_hub_download, self.repo_id, path, **where)
            yield Path(str(ask(fetch, self.where, patience=self.patience, transfers=True)))

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        where: dict[str, Any] = {"token": self._token, "settings_only": settings_only}
        folder = snapshot_folder(self.repo_id, revision.commit, **where)
        return self.together(revision, with_base(folder, **where))


def ask(call: Callable[[], T], where: str, **options: Any) -> T:
    """`persistently` for a call that reads a repository.

    Raises:
        RevisionNotFoundError: it is not there, or the token may not read it.
        RevisionError: it cannot be read; ``where`` begins the message.
    """
    try:
        return persistently(call, **options)
    except Exception as error:
        if status_of(error) not in (401, 403, 404):
            raise RevisionError(f"{where} could not be read: {reason(error)}.") from error
        raise RevisionNotFoundError(
            f"{where} does not exist, lacks this revision or file, or the token may not read it ({reason(error)})."
        ) from error
