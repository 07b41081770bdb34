"""What a place that holds revisions must be able to do: the local store and the Hub alike."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.files import file_sha256
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest

__all__ = [
    "MAIN",
    "WEIGHTS_FILE",
    "FileRecord",
    "Held",
    "Repository",
    "Weights",
    "check_run",
    "read_manifest",
    "sha256_of",
    "weights_of",
]

MAIN = "main"
WEIGHTS_FILE = "model.safetensors"

# The names under which public suites keep weights, best first; a suite may have several forms at once.
_WEIGHTS = [
    re.compile(r"model(-\d+-of-\d+)?\.safetensors"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin"),
    re.compile(r"open_clip_(model|pytorch_model)\.(safetensors|bin)"),
    re.compile(r"[^/]+\.(safetensors|bin|pt|pth)"),
]


@dataclass(frozen=True)
class FileRecord:
    """What a repository's own metadata say of one file.

    Attributes:
        size: in bytes.
        blob: name of the content: SHA-256 of a large file, git's object id of a small one.
        sha256: SHA-256 of the content where the metadata hold it, that is for large files.
        recorded: False if the place records no hash and these were computed from the file itself, so that
            they cannot show whether it is still what it was.
    """

    size: int
    blob: str
    sha256: str | None = None
    recorded: bool = True


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
class Held:
    """A file that the place has already, in one of its commits."""

    commit: str
    path: str


class Repository(Protocol):
    """A repository of revisions, in the local store or on the Hub.

    Reading methods raise `RevisionNotFoundError` where the repository or the revision does not exist.
    """

    @property
    def repo_id(self) -> str:
        """`owner/name`."""

    @property
    def where(self) -> str:
        """The place, for messages."""

    @property
    def on_disk(self) -> bool:
        """Whether the files lie on this machine, so that reading all of them costs no download."""

    def check(self) -> None:
        """Find out now whether the place can be written; raises `PublishError` if not."""

    def clean(self) -> None:
        """Remove what an interrupted publisher left behind; call it when none is at work."""
        return  # nothing, where a repeat finds it again

    def refs(self) -> dict[str, str]:
        """Branch to commit, `main` included."""

    def files(self, commit: str) -> dict[str, FileRecord]:
        """The files of a commit, from metadata: nothing is downloaded."""

    def fetched(self, commit: str, path: str) -> AbstractContextManager[Path]:
        """A file of a commit on the local disk; what must be downloaded is removed afterwards."""

    def read(self, commit: str, path: str, size: int | None = None) -> bytes:
        """A small file, or the first ``size`` bytes of a file, fewer if it is shorter."""

    def absent_files(self, commit: str) -> list[str]:  # noqa: ARG002  # a default, for places without a listing
        """The files that a commit should have and has not, where a listing is kept apart from the files."""
        return []

    def commit(
        self, name: str, files: Mapping[str, Path | Held], manifest: Manifest, parent: str | None
    ) -> str:
        """Make a commit, whole or not at all; returns its id. No branch but `main` moves by it.

        Where commits are made on a branch (the Hub), `main` moves to the commit; the local store moves
        nothing.

        Args:
            name: the revision, for messages; `main` where `main` alone is brought up to date.
            files: path in the repository to the file on disk, or to a file that the place has.
            manifest: becomes `revisions.json`.
            parent: the commit of `main` to which ``manifest`` adds; None if there is no `main`.

        Raises:
            PublishError: `main` is at another commit by now, or the place cannot be written.
        """

    def set_ref(self, name: str, commit: str, *, move: bool = False) -> None:
        """Let a branch point at a commit.

        Args:
            move: also where the branch points elsewhere; otherwise that is left as it is.

        Raises:
            PublishError: the place cannot be written.
        """

    def commits_of(self, name: str) -> Iterator[str]:
        """Commits that were made for this revision, newest first, whether or not a branch points at them."""


def weights_of(files: Mapping[str, FileRecord]) -> Weights | None:
    """The weights among the files of a commit; None if there are none.

    What lies in the large storage goes before what does not: a small `.bin` beside the weights is none of them.
    """
    large = {path: record for path, record in files.items() if record.sha256}
    for among in (large, files):
        for pattern in _WEIGHTS:
            paths = sorted(path for path in among if pattern.fullmatch(path))
            if not paths:
                continue
            ids = [files[path].sha256 or files[path].blob for path in paths]
            content = _of_shards(ids)
            known = all(files[path].sha256 for path in paths)
            return Weights(
                tuple(paths), content, content if known else None, sum(files[path].size for path in paths)
            )
    return None


def sha256_of(repository: Repository, commit: str) -> str | None:
    """SHA-256 of a commit's weights; read and hashed where the place does not record it. None without weights."""
    weights = weights_of(repository.files(commit))
    if weights is None or weights.sha256 is not None:
        return weights.sha256 if weights is not None else None
    hashes = []
    for path in weights.paths:
        with repository.fetched(commit, path) as file:
            hashes.append(file_sha256(file))
    return _of_shards(hashes)


def _of_shards(ids: Sequence[str]) -> str:
    """The id of weights in one file or several: the file's own, or the hash over those of all."""
    return ids[0] if len(ids) == 1 else hashlib.sha256("".join(ids).encode()).hexdigest()


def read_manifest(repository: Repository, refs: Mapping[str, str]) -> Manifest | None:
    """The manifest on `main`; None where there is none, as in suites that others made.

    Raises:
        RevisionError: it is there and cannot be read.
    """
    return _manifest_of(repository, refs.get(MAIN))


def _manifest_of(repository: Repository, commit: str | None) -> Manifest | None:
    if commit is None or MANIFEST_FILE not in repository.files(commit):
        return None
    return Manifest.loads(repository.read(commit, MANIFEST_FILE), where=repository.where)


def _is_of_run(repository: Repository, commit: str, run_id: str) -> bool:
    manifest = _manifest_of(repository, commit)
    return manifest is not None and manifest.run_id == run_id


def check_run(repository: Repository, run_id: str) -> None:
    """Before a run starts: the repository is empty, or holds the revisions of this very run.

    Raises:
        RevisionError: it holds something else.
    """
    refs = repository.refs()
    manifest = read_manifest(repository, refs)
    if manifest is not None:
        if manifest.run_id != run_id:
            raise RevisionError(
                f"{repository.where} holds the revisions of another run ({len(manifest.rows)} of them): "
                "choose another repository, or continue that run in its own output_dir."
            )
        return
    # A publisher that was killed before its first revision was on main has left the revision's branch.
    foreign = [
        name
        for name, commit in refs.items()
        if weights_of(repository.files(commit)) and not _is_of_run(repository, commit, run_id)
    ]
    if foreign:
        raise RevisionError(
            f"{repository.where} holds weights that no run of this package published (on {foreign[0]}): "
            "choose another repository."
        )
