"""Files that survive a kill and a power failure, with the mode that the umask decides; their hashes; deleting."""

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from hf_clipdyn.errors import ClipDynError, ConfigError, naming

T = TypeVar("T")
STAGING = ".staging"
"""End of the name of a file that is being written; its name begins with a dot."""


def from_json(
    kind: type[T], text: str | bytes, where: str | Path, error: type[ClipDynError] = ClipDynError
) -> T:
    """JSON as a value of a type, such as a dataclass; unknown keys are ignored, and no value is converted.

    Raises:
        error: it is not JSON, or does not fit the type; ``where`` begins the message.
    """
    with naming(where, error):
        return _adapter(kind).validate_json(text, strict=True)  # type: ignore[no-any-return]


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


@contextmanager
def blaming(path: str | Path) -> Iterator[None]:
    """Within it, an error of the disk names this path: the system's own names a temporary file, or none."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def check_regular(path: Path) -> None:
    """Refuse what is there but is not a file, before it is opened: a pipe blocks for ever, a device may never end."""
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
        while block := file.read(2**20):  # `file_digest` would fill a long buffer for each small file
            digest.update(block)
    return digest.hexdigest()


def stamp_of(status: os.stat_result) -> str:
    """A text that changes whenever the content of a file changes.

    A program that rewrites a file can keep its size and modification time (``os.utime``, unpacking), but not the time
    of its last status change, which only the kernel sets. This costs one ``stat`` and reads nothing.
    """
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def follow_umask(path: Path) -> None:
    """Give a folder and everything in it the mode that the umask decides.

    safetensors and `tempfile` write files that nobody else can read. Files of other owners stay as they are.
    """
    if os.name == "nt":
        return
    # os.umask can only be read by changing it, for all threads; hence a new folder shows it.
    with tempfile.TemporaryDirectory(dir=path) as folder:
        probe = Path(folder, "probe")
        probe.mkdir()
        mode = probe.stat().st_mode & 0o777
    for entry in [path, *path.rglob("*")]:
        if not entry.is_symlink() and entry.stat().st_uid == os.getuid():
            entry.chmod(mode if entry.is_dir() else mode & 0o666)


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
    """Delete a file, or a folder with everything in it, if there is one. A link is removed, never followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # goes on where another process deletes as well
        if path.exists():
            shutil.rmtree(path)  # says what is left
    else:
        path.unlink(missing_ok=True)


def replace_durably(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``; readers see the old or the new, also after a power failure."""
    source.replace(target)
    fsync(target.parent)


def write_atomically(path: Path, content: bytes | str | Callable[[Path], Any]) -> None:
    """Replace a regular file or a link whole: readers, a kill and a power failure find the old or the new one.

    Several processes may write the same file at once; the last one counts. ``content`` may be a function that writes a
    file at the path that it is given.
    """
    if not path.is_symlink():
        check_regular(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f".{path.name}.{secrets.token_hex(4)}{STAGING}"
    try:
        with blaming(path):
            if callable(content):
                content(unfinished)
            else:
                unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
            fsync(unfinished)
            replace_durably(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def check_output(output: Path, what: str, is_own: Callable[[Path], bool]) -> None:
    """Check, before a command begins, that its output replaces nothing but an earlier output of the same kind.

    ``is_own`` tells whether an existing file is of this kind, ``what``; an empty file always is.
    """
    if not output.exists() or output.is_dir():  # writing to a folder fails by itself
        return
    if not (output.is_file() and (output.stat().st_size == 0 or is_own(output))):
        raise ConfigError(f"{output} exists and is not {what}: move it away, or name another output.")
