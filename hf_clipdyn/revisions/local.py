"""The local store: revisions in the Hub client's own cache layout, loadable with no network.

::

    models--me--run/
        blobs/<sha256 or git id>      the contents, each once
        trees/<commit>.json           the files that a whole snapshot has (huggingface_hub 2 checks it)
        snapshots/<commit>/<file>     relative links into blobs/
        refs/<revision>               the commit of a revision; written last
        .staging/                     what is being written; never read

`from_pretrained(repo_id, revision=…, cache_dir=store, local_files_only=True)` reads it without this package.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

from hf_clipdyn.errors import PublishError, RevisionError, RevisionNotFoundError
from hf_clipdyn.files import (
    delete,
    disk_errors,
    file_git_hash,
    file_sha256,
    follow_umask,
    fsync,
    replace_durably,
    write_atomically,
)
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest
from hf_clipdyn.revisions.names import checked_ref
from hf_clipdyn.revisions.repository import MAIN, FileRecord, FilesOnDisk, StoredFile
from hf_clipdyn.schema import Count, Matches, read_json

_LARGE_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
_LARGE_SIZE = 10 * 2**20  # the Hub, too, keeps what is larger than 10 MiB out of git

_Hash = Annotated[str, Matches("[0-9a-f]{40}|[0-9a-f]{64}", "the hash of a file")]
_Path = Annotated[
    str,
    Matches(
        lambda text: text.isprintable() and not {"", ".", ".."} & set(text.split("/")) and len(text) < 1000,
        "a path in the repository",
    ),
]


@dataclass(frozen=True)
class _TreeFile:
    size: Count
    blob_id: _Hash
    lfs_sha256: _Hash | None = None


@dataclass(frozen=True)
class _Tree:
    """The listing that huggingface_hub 2 keeps of a commit, in its format 1."""

    files: dict[_Path, _TreeFile]


@dataclass(frozen=True)
class LocalStore(FilesOnDisk):
    """One repository in the local store.

    Attributes:
        store: the ``cache_dir`` for `from_pretrained`.
        repo_id: `name` or `owner/name`.
    """

    store: Path
    repo_id: str

    @property
    def where(self) -> str:
        here = Path.cwd()  # where the reader is: within it, a short path says more
        store = self.store.relative_to(here) if self.store.is_relative_to(here) else self.store
        return f"{self.repo_id} in {store}"

    @property
    def folder(self) -> Path:
        """The repository's folder inside the store."""
        return self.store / "--".join(["models", *self.repo_id.split("/")])

    # --- reading ------------------------------------------------------------------------------------

    def refs(self) -> dict[str, str]:
        root = self.folder / "refs"
        if not root.is_dir():
            raise RevisionNotFoundError(
                f"There is no {self.where}: give the folder that was used as the store (`--store`)."
            )
        refs = {}
        for path in sorted(path for path in root.rglob("[!.]*") if path.is_file()):
            with path.open("rb") as file:
                name, commit = checked_ref(path.relative_to(root).as_posix(), file.read(100), self.where)
            refs[name] = commit
        return refs

    def files(self, commit: str) -> dict[str, FileRecord]:
        root = self._snapshot(commit)
        if not root.is_dir():
            raise RevisionNotFoundError(f"{self.where} has no snapshot of commit {commit}.")
        paths = {
            path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if self._has(path)
        }
        # If a store was copied without its links, the listing still has the hashes.
        listed = {} if all(path.is_symlink() for path in paths.values()) else self._listed(commit)
        return {
            name: replace(listed[name], size=path.stat().st_size)
            if name in listed and not path.is_symlink()
            else _record(path)
            for name, path in paths.items()
        }

    def _listed(self, commit: str) -> dict[str, FileRecord]:
        """The files in `trees/<commit>.json`; none if it cannot be read."""
        try:
            files = self._tree(commit).files
        except RevisionError:
            return {}
        return {path: FileRecord(file.size, file.blob_id, file.lfs_sha256) for path, file in files.items()}

    def _tree(self, commit: str) -> _Tree:
        path = self.folder / "trees" / f"{commit}.json"
        return read_json(_Tree, path, error=RevisionError) if path.exists() else _Tree({})

    def absent_files(self, commit: str) -> list[str]:
        files = self._tree(commit).files
        return sorted(path for path in files if not self._has(self._snapshot(commit) / path))

    def _has(self, path: Path) -> bool:
        """Whether a path is a file of this repository, not a link that leads elsewhere."""
        try:
            return path.is_file() and path.resolve().is_relative_to(self.folder.resolve())
        except (OSError, RuntimeError):  # a loop of links
            return False

    def _file(self, commit: str, path: str) -> Path:
        file = self._snapshot(commit) / path
        if not self._has(file):
            raise RevisionNotFoundError(f"{self.where} has no file {path} at commit {commit}.")
        return file

    # --- writing ------------------------------------------------------------------------------------

    def check(self) -> None:
        remedy = "choose another folder or correct its permissions"
        with disk_errors(PublishError, f"The store {self.store} cannot be written", remedy):
            staging = self._stage()
            write_atomically(staging / "probe", b"")
            delete(staging)

    def clean(self) -> None:
        with suppress(OSError):  # it only takes space
            delete(self.folder / ".staging")

    def commit(
        self, name: str, files: Mapping[str, Path | StoredFile], manifest: Manifest, parent: str | None
    ) -> str:
        if self._ref(MAIN) != parent:
            raise PublishError(f"Another process writes to {self.where} now: try again later.")
        sources = {
            path: self._file(file.commit, file.path) if isinstance(file, StoredFile) else file
            for path, file in files.items()
        }
        with self._writing(name):
            return self._write_snapshot(sources, manifest.dumps().encode())

    def set_ref(self, name: str, commit: str, *, move: bool = False) -> None:
        if self._ref(name) is None or move:
            with self._writing(name):  # staged outside refs/, where every file counts as a ref
                write_atomically(self.folder / "refs" / name, commit, staging=self.folder / ".staging")

    def commits_of(self, name: str) -> Iterator[str]:
        root = self.folder / "snapshots"
        for folder in sorted(root.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True):
            try:
                row = Manifest.loads((folder / MANIFEST_FILE).read_bytes()).row(name)
            except (OSError, RevisionError):
                continue
            if row is not None:
                yield folder.name

    def _ref(self, name: str) -> str | None:
        path = self.folder / "refs" / name
        return path.read_text().strip() if path.is_file() else None

    def _writing(self, name: str) -> AbstractContextManager[None]:
        return disk_errors(
            PublishError,
            f"{name} could not be written to the store {self.store}",
            "nothing of it was published; free some disk space, then run `clipdyn repair`",
        )

    def _snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def _stage(self) -> Path:
        (self.folder / ".staging").mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(dir=self.folder / ".staging"))

    def _write_snapshot(self, files: Mapping[str, Path], manifest: bytes) -> str:
        """Write blobs, tree and snapshot, in this order; the snapshot appears whole, by one rename.

        Existing files are kept only if they are right.
        """
        staging = self._stage()
        try:
            (staging / MANIFEST_FILE).write_bytes(manifest)
            sources = {**files, MANIFEST_FILE: staging / MANIFEST_FILE}
            records = {path: _record(source) for path, source in sorted(sources.items())}
            commit = _commit_id(records)
            for path, record in records.items():
                self._write_blob(sources[path], record, staging)
            final = self._snapshot(commit)
            if _is_linked(final, records):
                return commit
            write_atomically(self.folder / "trees" / f"{commit}.json", _tree_text(records), staging=staging)
            if final.is_dir():
                final.rename(staging / "replaced")
            for path, record in records.items():
                _link(staging / "snapshot" / path, record.blob, depth=path.count("/"))
            final.parent.mkdir(exist_ok=True)
            fsync(staging / "snapshot")
            replace_durably(staging / "snapshot", final)
            return commit
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _write_blob(self, source: Path, record: FileRecord, staging: Path) -> None:
        blob = self.folder / "blobs" / record.blob
        if not blob.is_file() or (source.resolve() != blob.resolve() and not record.describes(blob)):
            write_atomically(blob, partial(_link_or_copy, source), staging=staging)


def _record(path: Path) -> FileRecord:
    """Metadata of a file: a link into `blobs/` has the hash in its name, any other file is hashed."""
    size = path.stat().st_size
    if path.is_symlink():
        blob = path.readlink().name
        return FileRecord(size, blob, sha256=blob if len(blob) == 64 else None)
    if path.name.endswith(_LARGE_SUFFIXES) or size > _LARGE_SIZE:
        sha256 = file_sha256(path)
        return FileRecord(size, sha256, sha256, recorded=False)
    return FileRecord(size, file_git_hash(path), recorded=False)


def _is_linked(folder: Path, records: Mapping[str, FileRecord]) -> bool:
    """Whether a snapshot has every file, and each is a link to its blob."""
    links = [(folder / path, record.blob) for path, record in records.items()]
    return all(link.is_symlink() and link.is_file() and link.readlink().name == blob for link, blob in links)


def _commit_id(records: Mapping[str, FileRecord]) -> str:
    """An id in git's form, made from the content: publishing the same again gives the same."""
    listing = "".join(f"{path}\0{record.blob}\n" for path, record in records.items())
    return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # one copy of the weights for the journal and the store
    except OSError:
        shutil.copyfile(source, target)
    follow_umask(target)


def _tree_text(records: Mapping[str, FileRecord]) -> str:
    """The listing that huggingface_hub 2 keeps of a commit, in its format 1."""
    files = {}
    for path, record in records.items():
        files[path] = {"size": record.size, "blob_id": record.blob}
        if record.sha256 is not None:
            files[path] |= {"lfs_sha256": record.sha256, "lfs_size": record.size}
    return json.dumps({"format_version": 1, "files": files}, indent=1)


def _link(path: Path, blob: str, depth: int) -> None:
    """Link to a blob from a file ``depth`` folders below `snapshots/<commit>/`, its final folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("../" * (depth + 2) + f"blobs/{blob}")
