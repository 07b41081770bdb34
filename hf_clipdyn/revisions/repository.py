"""What a place that holds revisions must be able to do: the local store and the Hub alike."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hf_clipdyn.errors import PublishError, RevisionError
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, ManifestRow

__all__ = [
    "MAIN",
    "WEIGHTS_FILE",
    "FileRecord",
    "IdenticalWeightsError",
    "Repository",
    "Snapshot",
    "Weights",
    "check_run",
    "manifest_after",
    "read_manifest",
    "require_same",
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
    """

    size: int
    blob: str
    sha256: str | None = None


@dataclass(frozen=True)
class Weights:
    """The weights of one revision: their file, or the hash over the hashes of several (shards)."""

    paths: tuple[str, ...]
    sha256: str
    size: int


@dataclass(frozen=True)
class Snapshot:
    """A revision ready to be published.

    Attributes:
        folder: the files, card included; a `revisions.json` among them is passed over, since it
            depends on what else the place holds.
        row: what the manifest will say of it.
        run_id: the run that made it.
        allow_identical: accept weights that another revision has already.
    """

    folder: Path
    row: ManifestRow
    run_id: str
    allow_identical: bool = False

    def files(self) -> dict[str, Path]:
        """Path in the repository to file on disk, sorted."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        files = {path.relative_to(self.folder).as_posix(): path.resolve() for path in found}
        files.pop(MANIFEST_FILE, None)
        return files


class IdenticalWeightsError(PublishError):
    """The revision has the weights of another one, which nobody asked for."""


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

    def check(self) -> None:
        """Find out now whether the place can be written; raises `PublishError` if not."""

    def clean(self) -> None:
        """Remove what an interrupted publisher left behind; call it when none is at work."""

    def refs(self) -> dict[str, str]:
        """Branch to commit, `main` included."""

    def files(self, commit: str) -> dict[str, FileRecord]:
        """The files of a commit, from metadata: nothing is downloaded."""

    def fetch(self, commit: str, path: str, folder: Path) -> Path:
        """A file of a commit on the local disk; if it must be downloaded, somewhere in ``folder``."""

    def read(self, commit: str, path: str, size: int | None = None) -> bytes:
        """A small file, or the first ``size`` bytes of a file, fewer if it is shorter."""

    def absent_files(self, commit: str) -> list[str]:
        """The files that a commit should have and has not, where a listing is kept apart from the files."""

    def publish(self, snapshot: Snapshot) -> str:
        """Publish a revision whole, or not at all, and move `main` to it; returns its commit.

        A repeat is a no-op. Raises `PublishError` if the name is taken by other weights.
        """

    def replace(self, snapshot: Snapshot, manifest: Manifest) -> str:
        """Publish a revision with this manifest, whatever its name served: the one case in which a name moves."""

    def settle_main(self, newest: Snapshot | None, manifest: Manifest) -> None:
        """Let `main` have this manifest, and the weights of its newest revision (``newest``, if at hand)."""


def weights_of(files: Mapping[str, FileRecord]) -> Weights | None:
    """The weights among the files of a commit; None if there are none, or none with a hash."""
    for pattern in _WEIGHTS:
        paths = sorted(path for path in files if pattern.fullmatch(path) and files[path].sha256)
        if not paths:
            continue
        hashes = [files[path].sha256 or "" for path in paths]
        sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        return Weights(tuple(paths), sha256, sum(files[path].size for path in paths))
    return None


def read_manifest(repository: Repository, refs: Mapping[str, str]) -> Manifest | None:
    """The manifest on `main`; None where there is none, as in suites that others made.

    Raises:
        RevisionError: it is there and cannot be read.
    """
    if MAIN not in refs or MANIFEST_FILE not in repository.files(refs[MAIN]):
        return None
    text = repository.read(refs[MAIN], MANIFEST_FILE)
    return Manifest.loads(text, where=repository.where)


def manifest_after(manifest: Manifest | None, snapshot: Snapshot, where: str) -> Manifest:
    """The manifest once ``snapshot`` is published.

    Raises:
        PublishError: the repository holds another run, or the same weights under another name.
    """
    if manifest is None:
        return Manifest(run_id=snapshot.run_id).with_row(snapshot.row)
    if manifest.run_id != snapshot.run_id:
        raise PublishError(
            f"{where} holds the revisions of another run: choose another repository, "
            "or continue that run in its own output_dir."
        )
    twins = [
        row.name
        for row in manifest.rows
        if row.sha256 == snapshot.row.sha256 and row.name != snapshot.row.name
    ]
    if twins and not snapshot.allow_identical:
        raise IdenticalWeightsError(
            f"{snapshot.row.name} has the very weights of {twins[0]} in {where}: training changed nothing "
            "between them. Ask for identical revisions if this is meant."
        )
    return manifest.with_row(snapshot.row)


def require_same(snapshot: Snapshot, held: Weights | None, where: str) -> None:
    """Accept a revision that is there already, if it is this one.

    Raises:
        PublishError: the name is taken by other weights; it is never moved silently.
    """
    if held is None or held.sha256 != snapshot.row.sha256:
        raise PublishError(
            f"{snapshot.row.name} exists in {where} with other weights and is not moved: "
            "look at it with `clipdyn verify`, then delete it there or run `clipdyn repair`."
        )


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
    foreign = [name for name, commit in refs.items() if weights_of(repository.files(commit))]
    if foreign:
        raise RevisionError(
            f"{repository.where} holds weights that no run of this package published (on {foreign[0]}): "
            "choose another repository."
        )
