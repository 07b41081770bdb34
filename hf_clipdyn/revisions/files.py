"""Files that survive a power failure: written whole under another name, flushed, then renamed."""

import hashlib
import os
from pathlib import Path

__all__ = ["file_sha256", "fsync", "replace_durably", "write_durably"]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk; folders are skipped where that is unknown."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Write a new file and flush it; for a file that readers may see, rename it afterwards."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``; readers see the old or the new, also after a power failure."""
    source.replace(target)
    fsync(target.parent)
