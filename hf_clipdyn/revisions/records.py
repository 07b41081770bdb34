"""The files of a revision as a listing describes them: their hashes, the weights among them, and the id of all."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hf_clipdyn.files import file_git_hash, file_sha256
from hf_clipdyn.models.snapshots import model_files

# What `from_pretrained` reads, best first; a suite may have several forms at once.
_WEIGHTS = [
    re.compile(r"model(-\d+-of-\d+)?\.safetensors"),
    re.compile(r"adapter_model\.safetensors"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin"),
]


@dataclass(frozen=True)
class FileRecord:
    """What is recorded of a file.

    Attributes:
        size: in bytes.
        blob: names the content: the SHA-256 of a file in the large storage, git's object id of any other.
    """

    size: int = 0
    blob: str = ""

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the content if it is recorded."""
        return self.blob if len(self.blob) == 64 else None

    def describes(self, file: Path) -> bool:
        """Whether a file, read as a whole, has the recorded hash."""
        return self.blob == (file_sha256(file) if self.sha256 else file_git_hash(file))


# The files of a commit by their paths in it.
Listing = Mapping[str, FileRecord]


@dataclass(frozen=True)
class Weights(FileRecord):
    """The weights of one revision: one file, or several (shards), whose ``blob`` is a hash over theirs.

    Only ids of one kind can be compared: mirrors have git's.
    """

    paths: tuple[str, ...] = ()


def weights_of(files: Listing) -> Weights:
    """The weights among the files of a commit; without paths if there are none."""
    forms = (sorted(filter(pattern.fullmatch, files)) for pattern in _WEIGHTS)
    paths = next(filter(None, forms), [])
    blobs = [files[path].blob for path in paths]
    size = sum(files[path].size for path in paths)
    if len(blobs) < 2:
        return Weights(size, "".join(blobs), tuple(paths))
    joined = hashlib.sha256("".join(blobs).encode()).hexdigest()
    return Weights(size, joined[: min(map(len, blobs))], tuple(paths))


def content_id(files: Listing, read_as: str = "") -> str:
    """40 hexadecimal digits in place of a commit, made from the content of files and what else decides the model."""
    listing = "".join(f"{name}\0{record.blob}\n" for name, record in sorted(files.items()))
    return hashlib.sha256((read_as + listing).encode()).hexdigest()[:40]


def record_of(path: Path) -> FileRecord:
    """The size and the hash of a file; it is read again only after a change."""
    status = path.stat()
    return _hashed(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=10_000)
def _hashed(path: Path, size: int, changed: int) -> FileRecord:  # noqa: ARG001  # part of the key
    return FileRecord(size, file_sha256(path) if is_weights(path.name) else file_git_hash(path))


def is_weights(name: str) -> bool:
    """Whether a model file has weights, or is the index of them."""
    return any(suffix in name for suffix in (".safetensors", ".bin", ".pt"))


def content_of(folder: Path, record: Callable[[Path], FileRecord] = record_of) -> str:
    """The id of the model in a folder; ``record`` gives what is recorded of a file."""
    return content_id({name: record(path) for name, path in model_files(folder).items()})
