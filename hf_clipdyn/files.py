"""Files that survive a kill and a power failure: written whole under another name, flushed, then renamed."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["STAGING", "fsync", "replace_durably", "write_atomically"]

STAGING = ".staging"
"""End of the name of a file that is being written; its name begins with a dot."""


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk; folders are skipped where that is unknown."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_durably(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``; readers see the old or the new, also after a power failure."""
    source.replace(target)
    fsync(target.parent)


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Replace a file whole: readers, a kill and a power failure find the old or the new one.

    Several processes may write the same file at once; the last one counts.

    Args:
        path: the file; its folder is made if need be.
        write: writes a file at the path that it is given.

    Raises:
        OSError: the disk is full, or refuses; the file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}{STAGING}")
    try:
        write(staging)
        fsync(staging)
        replace_durably(staging, path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise
