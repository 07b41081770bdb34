"""Hashes and modes of files, and files that are flushed to the disk."""

import hashlib
import os
import tempfile
from pathlib import Path

from hf_clipdyn.files import fsync, replace_durably

__all__ = ["file_git_hash", "file_sha256", "follow_umask", "fsync", "replace_durably", "write_durably"]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_git_hash(path: Path) -> str:
    """Git's object id of a file, 40 hexadecimal digits."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def follow_umask(path: Path) -> None:
    """Give a file, or all in a folder, the mode that the umask decides.

    safetensors and `tempfile` write files that nobody else can read. Files of other owners are left as
    they are. Systems without a umask are passed over.
    """
    if os.name == "nt":
        return
    # os.umask can only be read by changing it, for all threads; hence a file tells it.
    with tempfile.TemporaryDirectory(dir=path if path.is_dir() else path.parent) as folder:
        probe = Path(folder, "probe")
        probe.touch()
        of_file = probe.stat().st_mode & 0o777
    of_folder = of_file | (of_file & 0o444) >> 2
    for one in [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]:
        status = one.lstat()
        if not one.is_symlink() and status.st_uid == os.getuid():
            one.chmod(of_folder if one.is_dir() else of_file)


def write_durably(path: Path, content: bytes) -> None:
    """Write a new file and flush it; for a file that readers may see, rename it afterwards."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
