"""The interface of a repository of revisions, in the local store and on the Hub."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError
from hf_clipdyn.files import file_git_hash, file_sha256
from hf_clipdyn.models.adapters import ADAPTER_WEIGHTS
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest

MAIN = "main"
WEIGHTS_FILES = ("model.safetensors", ADAPTER_WEIGHTS)
"""What a revision of this package has as its weights: one of these."""

# The names under which public suites keep weights, best first; a suite may have several forms at once.
_WEIGHTS = [
    re.compile(r"model(-\d+-of-\d+)?\.safetensors"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin"),
    re.compile(r"open_clip_(model|pytorch_model)\.(safetensors|bin)"),
    re.compile(
        r"(?!training_args|optimizer|scheduler|rng_state|random_states|scaler)[^/]+\.(safetensors|bin|pt|pth)"
    ),
]


@dataclass(frozen=True)
class FileRecord:
    """What a repository's own metadata say of one file.

    Attributes:
        size: in bytes.
        blob: name of the content: SHA-256 of a large file, git's object id of a small one.
        sha256: SHA-256 of the content if the metadata have it, that is for large files.
        recorded: False if the metadata have no hash: it was computed from the file itself and cannot reveal a change.
    """

    size: int
    blob: str
    sha256: str | None = None
    recorded: bool = True

    def describes(self, file: Path) -> bool:
        """Whether a file, read as a whole, has the recorded hash."""
        if self.sha256 is not None:
            return self.sha256 == file_sha256(file)
        return self.blob == file_git_hash(file)


@dataclass(frozen=True)
class Weights:
    """The weights of one revision.

    Attributes:
        paths: their file, or several (shards).
        content: names the content: the SHA-256 of the file, or git's object id of a file outside the large
            storage (in mirrors); the hash over these of several files. Only ids of one kind can be compared.
        sha256: the same, where each file has a SHA-256; else None.
        size: in bytes, all files together.
    """

    paths: tuple[str, ...]
    content: str
    sha256: str | None
    size: int


@dataclass(frozen=True)
class StoredFile:
    """A file that the repository already has, in one of its commits."""

    commit: str
    path: str


class ReadableRepository(Protocol):
    """Revisions that can be read: in the local store, on the Hub, or in plain folders.

    Reading methods raise `RevisionNotFoundError` where the repository or the revision does not exist.
    """

    @property
    def where(self) -> str:
        """Name and location, for messages."""

    @property
    def on_disk(self) -> bool:
        """Whether the files are on this machine, so that reading them needs no download."""

    def refs(self) -> dict[str, str]:
        """Branch to commit, `main` included."""

    def files(self, commit: str) -> dict[str, FileRecord]:
        """The files of a commit, from metadata: nothing is downloaded."""

    def fetched(self, commit: str, path: str) -> AbstractContextManager[Path]:
        """A file of a commit on the local disk; what must be downloaded is removed afterwards."""

    def read(self, commit: str, path: str) -> bytes:
        """A small file."""

    def absent_files(self, commit: str) -> list[str]:
        """Files that the listing of a commit names and that do not exist."""


class FilesOnDisk(ABC):
    """The reading of files that are on this machine: the part that `ReadableRepository` asks of each such kind."""

    on_disk = True

    @abstractmethod
    def _file(self, commit: str, path: str) -> Path:
        """Where a file of a commit is."""

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:
        yield self._file(commit, path)

    def read(self, commit: str, path: str) -> bytes:
        return self._file(commit, path).read_bytes()


class Repository(ReadableRepository, Protocol):
    """A repository of revisions, in the local store or on the Hub."""

    def check(self) -> None:
        """Check that the repository can be written; raises `PublishError` if not."""

    def clean(self) -> None:
        """Remove what an interrupted publisher left behind; call it only while no publisher runs."""

    def commit(
        self, name: str, files: Mapping[str, Path | StoredFile], manifest: Manifest, parent: str | None
    ) -> str:
        """Make a commit, whole or not at all; returns its id. At most `main` moves.

        On the Hub a commit is made on a branch, so `main` moves to it; in the local store nothing moves.

        Args:
            name: the revision, for messages; `main` if only `main` is updated.
            files: path in the repository to the file on disk, or to a file that the repository has.
            manifest: becomes `revisions.json`.
            parent: the commit of `main` that ``manifest`` extends; None if there is no `main`.

        Raises:
            PublishError: `main` has moved, or the repository cannot be written.
        """

    def set_ref(self, name: str, commit: str, *, move: bool = False) -> None:
        """Point a branch at a commit.

        Args:
            move: also if the branch points elsewhere; otherwise an existing branch is kept.

        Raises:
            PublishError: the repository cannot be written.
        """

    def commits_of(self, name: str) -> Iterator[str]:
        """Commits that were made for this revision, newest first, with or without a branch."""


def weights_of(files: Mapping[str, FileRecord]) -> Weights | None:
    """The weights among the files of a commit; None if there are none.

    Files in the large storage come first: a small `.bin` beside the weights does not belong to them.
    """
    for among in _by_storage(files):
        for pattern in _WEIGHTS:
            paths = sorted(path for path in among if pattern.fullmatch(path))
            if paths:
                return _weights(paths, files)
    return None


def weights_in(folder: Path) -> Path | None:
    """The file with the weights of a snapshot, whole or of adapters; None if there is none."""
    return next((folder / name for name in WEIGHTS_FILES if (folder / name).is_file()), None)


def _by_storage(files: Mapping[str, FileRecord]) -> tuple[Mapping[str, FileRecord], ...]:
    return {path: record for path, record in files.items() if record.sha256}, files


def _weights(paths: Sequence[str], files: Mapping[str, FileRecord]) -> Weights:
    content = _of_shards([files[path].sha256 or files[path].blob for path in paths])
    sha256 = content if all(files[path].sha256 for path in paths) else None
    return Weights(tuple(paths), content, sha256, sum(files[path].size for path in paths))


def sha256_of(repository: ReadableRepository, commit: str) -> str | None:
    """SHA-256 of a commit's weights; they are read and hashed if the metadata lack it. None without weights."""
    weights = weights_of(repository.files(commit))
    if weights is None:
        return None
    if weights.sha256 is not None:
        return weights.sha256
    hashes = []
    for path in weights.paths:
        with repository.fetched(commit, path) as file:
            hashes.append(file_sha256(file))
    return _of_shards(hashes)


def _of_shards(ids: Sequence[str]) -> str:
    """The id of weights: that of their only file, or the hash over those of all files."""
    return ids[0] if len(ids) == 1 else hashlib.sha256("".join(ids).encode()).hexdigest()


def read_manifest(repository: ReadableRepository, commit: str | None) -> Manifest | None:
    """The manifest in a commit; None without a commit or a manifest, as in suites of others.

    Raises:
        RevisionError: it cannot be read.
    """
    if commit is None or MANIFEST_FILE not in repository.files(commit):
        return None
    return Manifest.loads(repository.read(commit, MANIFEST_FILE), where=repository.where)


def check_run(repository: Repository, run_id: str) -> dict[str, str]:
    """Check, before a run starts, that the repository is empty or contains this run; returns its refs.

    Raises:
        RevisionError: it holds something else.
    """
    try:
        refs = repository.refs()
    except RevisionNotFoundError:
        return {}
    manifest = read_manifest(repository, refs.get(MAIN))
    if manifest is not None:
        if manifest.run_id != run_id:
            raise RevisionError(
                f"{repository.where} contains the revisions of another run ({len(manifest.revisions)} of them): "
                "choose another repository, or continue that run in its own output_dir."
            )
        return refs
    for name, commit in refs.items():
        if weights_of(repository.files(commit)):
            # A publisher that was killed before its first revision was on main has left the revision's branch.
            own = read_manifest(repository, commit)
            if own is None or own.run_id != run_id:
                raise RevisionError(
                    f"{repository.where} contains weights that no run of this package published (on {name}): "
                    "choose another repository."
                )
    return refs
