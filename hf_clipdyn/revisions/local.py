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

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

from huggingface_hub.utils.sha import git_hash

from hf_clipdyn.errors import PublishError, RevisionError, RevisionNotFoundError
from hf_clipdyn.revisions.files import file_sha256, fsync, replace_durably, write_durably
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest
from hf_clipdyn.revisions.names import checked_ref
from hf_clipdyn.revisions.repository import (
    MAIN,
    FileRecord,
    Snapshot,
    manifest_after,
    read_manifest,
    require_same,
    weights_of,
)
from hf_clipdyn.schema import Count, Matches, read_json

__all__ = ["LocalStore"]

_LARGE_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
_LARGE_SIZE = 10 * 2**20  # the Hub, too, keeps what is larger than 10 MiB out of git

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
    blob_id: str


@dataclass(frozen=True)
class _Tree:
    """The listing that huggingface_hub 2 keeps of a commit, in its format 1."""

    files: dict[_Path, _TreeFile]


@dataclass(frozen=True)
class LocalStore:
    """One repository in the local store.

    Attributes:
        store: the folder to be handed to `from_pretrained` as ``cache_dir``.
        repo_id: `name` or `owner/name`.
    """

    store: Path
    repo_id: str

    @property
    def where(self) -> str:
        return f"{self.repo_id} in {self.store}"

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
        return {
            path.relative_to(root).as_posix(): _record(path)
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    def absent_files(self, commit: str) -> list[str]:
        path = self.folder / "trees" / f"{commit}.json"
        if not path.exists():
            return []
        tree = read_json(_Tree, path, error=RevisionError)
        return sorted(path for path in tree.files if not (self._snapshot(commit) / path).is_file())

    def fetch(self, commit: str, path: str, folder: Path | None = None) -> Path:
        del folder  # it is on the disk already
        found = self._snapshot(commit) / path
        if not found.is_file():
            raise RevisionNotFoundError(f"{self.where} has no file {path} at commit {commit}.")
        return found

    def read(self, commit: str, path: str, size: int | None = None) -> bytes:
        with self.fetch(commit, path).open("rb") as file:
            return file.read(size)

    def is_spoilt(self, commit: str, path: str) -> bool:
        """Whether a file's content does not hash to the name of its blob any more."""
        found = self.fetch(commit, path)
        blob = _record(found).blob
        return blob not in (file_sha256(found), git_hash(found.read_bytes()) if len(blob) == 40 else "")

    # --- writing ------------------------------------------------------------------------------------

    def check(self) -> None:
        """Find out now whether the store can be written.

        Raises:
            PublishError: it cannot.
        """
        try:
            staging = self._stage()
            write_durably(staging / "probe", b"")
            shutil.rmtree(staging)
        except OSError as error:
            raise PublishError(
                f"The store {self.store} cannot be written ({error.strerror}): "
                "choose another folder or correct its permissions."
            ) from error

    def clean(self) -> None:
        """Remove what an interrupted publisher left in `.staging/`; call it when none is at work."""
        shutil.rmtree(self.folder / ".staging", ignore_errors=True)

    def publish(self, snapshot: Snapshot) -> str:
        name = snapshot.row.name
        refs = self.refs() if (self.folder / "refs").is_dir() else {}
        manifest = read_manifest(self, refs)
        after = manifest_after(manifest, snapshot, self.where)
        if name in refs:
            require_same(snapshot, weights_of(self.files(refs[name])), self.where)
            commit = refs[name]
        else:
            try:
                commit = self._write_snapshot(snapshot.files(), after.dumps().encode())
                self._write_ref(name, commit)
            except OSError as error:
                raise PublishError(
                    f"{name} could not be written to the store {self.store} ({error.strerror}); "
                    "nothing of it was published. Make room, then run `clipdyn publish --resume`."
                ) from error
        if after.newest == snapshot.row and refs.get(MAIN) != commit:
            self._write_ref(MAIN, commit)
        return commit

    def replace(self, snapshot: Snapshot, manifest: Manifest) -> str:
        commit = self._write_snapshot(snapshot.files(), manifest.dumps().encode(), afresh=True)
        self._write_ref(snapshot.row.name, commit)
        return commit

    def settle_main(self, newest: Snapshot | None, manifest: Manifest) -> None:
        if newest is not None:
            self._write_ref(MAIN, self.replace(newest, manifest))

    def _snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def _stage(self) -> Path:
        (self.folder / ".staging").mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(dir=self.folder / ".staging"))

    def _write_snapshot(self, files: Mapping[str, Path], manifest: bytes, *, afresh: bool = False) -> str:
        """Write blobs, tree and snapshot, in this order; the snapshot appears whole, by one rename.

        What is there already is kept, or, ``afresh``, not trusted.
        """
        staging = self._stage()
        try:
            (staging / MANIFEST_FILE).write_bytes(manifest)
            sources = {**files, MANIFEST_FILE: staging / MANIFEST_FILE}
            records = {path: _record(source) for path, source in sorted(sources.items())}
            commit = _commit_id(records)
            for path, record in records.items():
                self._write_blob(sources[path], record, staging, afresh=afresh)
            (self.folder / "trees").mkdir(exist_ok=True)
            replace_durably(_write_tree(records, staging), self.folder / "trees" / f"{commit}.json")
            final = self._snapshot(commit)
            if afresh and final.is_dir():
                final.rename(staging / "replaced")
            if not final.is_dir():
                for path, record in records.items():
                    _link(staging / "snapshot" / path, record.blob, depth=path.count("/"))
                final.parent.mkdir(exist_ok=True)
                fsync(staging / "snapshot")
                replace_durably(staging / "snapshot", final)
            return commit
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _write_blob(self, source: Path, record: FileRecord, staging: Path, *, afresh: bool) -> None:
        blob = self.folder / "blobs" / record.blob
        if not afresh and blob.is_file() and blob.stat().st_size == record.size:
            return
        blob.parent.mkdir(exist_ok=True)
        staged = staging / record.blob
        if source.parent == staging:
            source.rename(staged)
        else:
            try:
                os.link(source, staged)  # the weights lie on the disk once, for the journal and the store
            except OSError:
                shutil.copyfile(source, staged)
        fsync(staged)
        replace_durably(staged, blob)

    def _write_ref(self, name: str, commit: str) -> None:
        staging = self._stage()  # not in refs/, where every file counts as a ref
        try:
            write_durably(staging / "ref", commit.encode())
            (self.folder / "refs").mkdir(exist_ok=True)
            replace_durably(staging / "ref", self.folder / "refs" / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _record(path: Path) -> FileRecord:
    """Metadata of a file: a link into `blobs/` tells the hash, any other file is hashed."""
    size = path.stat().st_size
    if path.is_symlink():
        blob = path.readlink().name
        return FileRecord(size, blob, sha256=blob if len(blob) == 64 else None)
    if path.name.endswith(_LARGE_SUFFIXES) or size > _LARGE_SIZE:
        sha256 = file_sha256(path)
        return FileRecord(size, sha256, sha256)
    return FileRecord(size, git_hash(path.read_bytes()))


def _commit_id(records: Mapping[str, FileRecord]) -> str:
    """An id in git's form, made from the content: publishing the same again gives the same."""
    listing = "".join(f"{path}\0{record.blob}\n" for path, record in records.items())
    return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()


def _write_tree(records: Mapping[str, FileRecord], staging: Path) -> Path:
    """The listing that huggingface_hub 2 keeps of a commit, in its format 1."""
    files = {}
    for path, record in records.items():
        files[path] = {"size": record.size, "blob_id": record.blob}
        if record.sha256 is not None:
            files[path] |= {"lfs_sha256": record.sha256, "lfs_size": record.size}
    tree = staging / "tree"
    write_durably(tree, json.dumps({"format_version": 1, "files": files}, indent=1).encode())
    return tree


def _link(path: Path, blob: str, depth: int) -> None:
    """Link to a blob as seen from the final place, `snapshots/<commit>/`, ``depth`` folders below it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = "../" * (depth + 2) + f"blobs/{blob}"
    with contextlib.suppress(FileExistsError):
        path.symlink_to(target)
