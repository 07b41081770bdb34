"""Files that survive a kill and a power failure, with the mode that the umask decides; their hashes; deleting."""

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_clipdyn.errors import ClipDynError, ConfigError

__all__ = [
    "STAGING",
    "check_output",
    "check_regular",
    "delete",
    "file_git_hash",
    "file_sha256",
    "follow_umask",
    "fsync",
    "replace_durably",
    "write_atomically",
    "write_errors",
]

STAGING = ".staging"
"""End of the name of a file that is being written; its name begins with a dot."""


def check_regular(path: Path) -> None:
    """Refuse what is there but is not a file, before it is opened: a pipe blocks for ever, a device may never end.

    Raises:
        OSError: the path is a folder, a pipe or a device.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


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
    """Give a file, or a folder and everything in it, the mode that the umask decides.

    safetensors and `tempfile` write files that nobody else can read. Files of other owners stay as they are.
    """
    if os.name == "nt":
        return
    # os.umask can only be read by changing it, for all threads; hence a new file shows it.
    with tempfile.TemporaryDirectory(dir=path if path.is_dir() else path.parent) as folder:
        probe = Path(folder, "probe")
        probe.touch()
        of_file = probe.stat().st_mode & 0o777
    of_folder = of_file | (of_file & 0o444) >> 2
    for one in [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]:
        status = one.lstat()
        if not one.is_symlink() and status.st_uid == os.getuid():
            one.chmod(of_folder if one.is_dir() else of_file)


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk; Windows cannot flush folders."""
    if path.is_dir() and os.name == "nt":
        return
    # Windows flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def delete(path: Path) -> None:
    """Delete a file, or a folder with everything in it, if there is one. A link is removed, never followed.

    Raises:
        OSError: something in the folder cannot be deleted; the rest is gone.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)  # goes on where another process deletes as well
    if path.exists():
        shutil.rmtree(path)  # says what is left


def replace_durably(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``; readers see the old or the new, also after a power failure."""
    source.replace(target)
    fsync(target.parent)


def write_atomically(
    path: Path, content: bytes | str | Callable[[Path], Any], *, staging: Path | None = None
) -> None:
    """Replace a regular file or a link whole: readers, a kill and a power failure find the old or the new one.

    Several processes may write the same file at once; the last one counts.

    Args:
        path: the file; its folder is made if need be.
        content: bytes, a text, or a function that writes a file at the path that it is given.
        staging: folder on the same disk for the unfinished file; None for the file's own.

    Raises:
        OSError: the disk is full, or refuses, or the path is a device or a pipe; the file is as it was.
    """
    if path.exists() and not path.is_symlink() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    folder = path.parent if staging is None else staging
    for one in (path.parent, folder):
        one.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{path.name}.{secrets.token_hex(4)}{STAGING}"
    try:
        if callable(content):
            content(unfinished)
        else:
            unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        fsync(unfinished)
        replace_durably(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def write_errors(what: str, error: type[ClipDynError], *, advice: str = "") -> Iterator[None]:
    """Turn an OSError within the block into a sentence: ``what: No space left on device.``

    Args:
        what: begins the message: "The report cannot be written to out".
        error: is raised instead.
        advice: ends the message, as in ``what (No space left on device): name another folder.``
    """
    try:
        yield
    except OSError as refused:
        cause = refused.strerror or refused
        raise error(f"{what} ({cause}): {advice}" if advice else f"{what}: {cause}.") from refused


def check_output(
    output: Path,
    reads: Iterable[str | Path | None] = (),
    *,
    what: str = "",
    is_own: Callable[[Path], bool] | None = None,
) -> None:
    """Check, before a command begins, that its output replaces nothing but an earlier output of the same kind.

    Args:
        output: the file that the command will write.
        reads: what the command reads: files, and folders, in which the output must not be a file. None and what does
            not exist are passed over.
        what: the kind of the output, for the message.
        is_own: whether an existing file is of this kind; None accepts every file. An empty file is always accepted.

    Raises:
        ConfigError: the output is read, also under another name or through a link, or is of another kind.
    """
    if not output.exists() or output.is_dir():  # writing to a folder fails by itself
        return
    for path in (Path(one).expanduser() for one in reads if one is not None):
        if path.exists() and (
            path.samefile(output) or (path.is_dir() and output.resolve().is_relative_to(path.resolve()))
        ):
            raise ConfigError(f"{output} is read by this command, so it cannot be its output: name another.")
    if is_own is not None and not (output.is_file() and (output.stat().st_size == 0 or is_own(output))):
        raise ConfigError(f"{output} exists and is not {what}: move it away, or name another output.")
