"""A revision, its files as a listing describes them, and the revisions of one model wherever they are."""

import hashlib
import re
import shutil
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import mkdtemp

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError
from hf_clipdyn.files import file_git_hash, file_sha256
from hf_clipdyn.models.settings import PROCESSOR_FILES
from hf_clipdyn.models.snapshots import model_files

# The names under which public suites keep weights, best first; a suite may have several forms at once.
_WEIGHTS = [
    re.compile(r"model(-\d+-of-\d+)?\.safetensors"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin"),
    re.compile(r"open_clip_(model|pytorch_model)\.(safetensors|bin)"),
    re.compile(
        r"(?!training_args|optimizer|scheduler|rng_state|random_states|scaler)[^/]+\.(safetensors|bin|pt|pth)"
    ),
]


# --- revisions ---


@dataclass(frozen=True)
class Revision:
    """One state of a model.

    Attributes:
        name: the branch or the folder.
        epoch: from the manifest; in foreign suites as the name says; None if unknown.
        step: optimiser steps, from the manifest; None in foreign suites, which order by the number in the name.
        samples_seen: images shown so far, repetitions counted; None if unknown.
        commit: the commit that the branch points at, 40 hexadecimal digits; of a folder a hash of its model files.
        sha256: SHA-256 of the weights; for sharded weights that of the list of hashes; None if no hash is recorded.
        size: bytes of the weights.
        loss: training loss; None if unknown.
        validation_loss, learning_rate, logit_scale: see `Row`; None if unknown.
        time: when it was taken, UTC, ISO 8601; None if unknown.
        scale: name of the model's size, from the manifest; None if unknown.
        seed: seed of the run, from the manifest; None if unknown.
        arm: name of the control or ablation that the run belongs to, from the manifest; empty for the main arm.
        parameters: number of the model's parameters, from the manifest; None if unknown.

    Examples:
        >>> from hf_clipdyn import list_revisions
        >>> last = list_revisions("runs/demo")[-1]
        >>> last.name, last.epoch, last.step, last.samples_seen, last.scale
        ('epoch-003', 3, 138, 8832, 'tiny')
    """

    name: str
    epoch: int | None = None
    step: int | None = None
    samples_seen: int | None = None
    commit: str = ""
    sha256: str | None = None
    size: int | None = None
    loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    logit_scale: float | None = None
    time: str | None = None
    scale: str | None = None
    seed: int | None = None
    arm: str = ""
    parameters: int | None = None


class Series(ABC):
    """The revisions of one model, wherever they are.

    Attributes:
        repo_id: its name in tables of results.
        where: name and location, for messages.
        on_disk: whether the files are on this machine, so that reading them needs no download.
        processor: the files of a processor for revisions that have none.

    Examples:
        >>> from hf_clipdyn.revisions import open_series
        >>> series = open_series("runs/demo")
        >>> last = series.revisions()[-1]
        >>> series.repo_id, last.name, (series.fetch(last) / "model.safetensors").is_file()
        ('local/demo', 'epoch-003', True)
    """

    repo_id: str
    where: str
    on_disk: bool = True
    processor: Mapping[str, Path] = {}

    @abstractmethod
    def revisions(self) -> list[Revision]:
        """The revisions in training order, from one look: names, rows and commits fit each other.

        Raises:
            RevisionNotFoundError: there is none of that name, or it is no longer there.
            RevisionError: it cannot be read.
        """

    def check(self) -> None:
        """Look whether a repository is there, at the cost of one request.

        Raises:
            RevisionNotFoundError: there is none.
            RevisionError: it cannot be read.
        """
        return

    @abstractmethod
    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with the model files of a revision, downloaded if needed.

        Args:
            revision: one of `revisions`.
            settings_only: do not download the weights.

        Raises:
            RevisionNotFoundError: it is no longer there.
            RevisionError: it cannot be fetched, or contains no model.
        """

    def planned(self) -> tuple[str, ...]:
        """The names of all revisions that the run will have, as the last look saw them; empty if unknown."""
        return ()

    def together(self, revision: Revision, files: Mapping[str, Path]) -> Path:
        """One folder with these files of a revision and a processor; of links to them if they lie in several."""
        if not files:
            raise RevisionError(f"{revision.name} of {self.where} has no model files.")
        if files.keys().isdisjoint(PROCESSOR_FILES):
            files = {**self.processor, **files}
        folders = {file.parent for file in files.values()}
        if len(folders) == 1:
            return folders.pop()
        folder = self.temporary / revision.commit
        folder.mkdir(exist_ok=True)
        for name, file in files.items():
            link = folder / name
            if not link.is_symlink() or link.readlink() != file:  # that file may lie elsewhere by now
                link.unlink(missing_ok=True)
                link.symlink_to(file)
        return folder

    def changed(self) -> RevisionNotFoundError:
        """What to raise for a revision that is no longer there, or has other files."""
        return RevisionNotFoundError(f"{self.where} has changed since it was listed: repeat the command.")

    @cached_property
    def temporary(self) -> Path:
        """A folder that is there as long as this object."""
        folder = Path(mkdtemp(prefix="clipdyn-checkpoints-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder


# --- their files ---


@dataclass(frozen=True)
class FileRecord:
    """What is recorded of a file.

    Attributes:
        size: in bytes.
        blob: name of the content: SHA-256 of a large file, git's object id of a small one.
        sha256: SHA-256 of the content if it is recorded, that is for large files.
    """

    size: int
    blob: str
    sha256: str | None = None

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

    paths: tuple[str, ...] = ()
    content: str = ""
    sha256: str | None = None
    size: int | None = None


def weights_of(files: Mapping[str, FileRecord]) -> Weights:
    """The weights among the files of a commit; without paths if there are none.

    Files in the large storage come first: a small `.bin` beside the weights does not belong to them.
    """
    large = {path: record for path, record in files.items() if record.sha256}
    for among in (large, files):
        for pattern in _WEIGHTS:
            paths = sorted(path for path in among if pattern.fullmatch(path))
            if paths:
                ids = [files[path].sha256 or files[path].blob for path in paths]
                content = ids[0] if len(ids) == 1 else hashlib.sha256("".join(ids).encode()).hexdigest()
                is_hashed = all(files[path].sha256 for path in paths)
                size = sum(files[path].size for path in paths)
                return Weights(tuple(paths), content, content if is_hashed else None, size)
    return Weights()


def content_id(records: Mapping[str, FileRecord], read_as: str = "") -> str:
    """40 hexadecimal digits in place of a commit, made from the content of files and what else decides the model."""
    listing = "".join(f"{name}\0{record.blob}\n" for name, record in sorted(records.items()))
    return hashlib.sha256((read_as + listing).encode()).hexdigest()[:40]


def record_of(path: Path) -> FileRecord:
    """The size and the hash of a file; it is read again only after a change."""
    status = path.stat()
    return _hashed(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=10_000)
def _hashed(path: Path, size: int, changed: int) -> FileRecord:  # noqa: ARG001  # part of the key
    sha256 = file_sha256(path) if is_weights(path.name) else None
    return FileRecord(size, sha256 or file_git_hash(path), sha256)


def is_weights(name: str) -> bool:
    """Whether a model file has weights, or is the index of them."""
    return any(suffix in name for suffix in (".safetensors", ".bin", ".pt"))


def content_of(folder: Path) -> str:
    """The id of the model in a folder."""
    return content_id({name: record_of(path) for name, path in model_files(folder).items()})


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a file of a folder, not a link that leads elsewhere."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a loop of links
        return False
