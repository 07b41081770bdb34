"""Archives that are still packed: unpacked once, into the cache, with nothing trusted that they say.

A zip or tar may name paths outside its folder, hold links, or blow up to terabytes. Here a member is a plain file
with a relative path, and all members together may not exceed a multiple of the archive; anything else is refused.
"""

import hashlib
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import IO

from hf_clipdyn.data.files import stamp_of
from hf_clipdyn.errors import DatasetError

__all__ = ["ARCHIVE_SUFFIXES", "Limits", "Sample", "archive_stem", "is_archive", "read_shard", "unpack"]

_ZIP = (".zip",)
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_FOREIGN = (".rar", ".7z")
ARCHIVE_SUFFIXES = (*_ZIP, *_TAR, *_FOREIGN)

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to: photographs hardly shrink, so a large ratio is no data set.

    Attributes:
        ratio: unpacked bytes per packed byte.
        always: unpacked bytes that are fine whatever the ratio (short score lists compress well).
        members: number of files.
    """

    ratio: int = 100
    always: int = 64 << 20
    members: int = 5_000_000


def _suffix(name: str) -> str:
    return next((s for s in sorted(ARCHIVE_SUFFIXES, key=len, reverse=True) if name.lower().endswith(s)), "")


def is_archive(path: str | Path) -> bool:
    """Whether the name is that of an archive."""
    return bool(_suffix(str(path)))


def archive_stem(path: str | Path) -> str:
    """The file name without the archive's suffix (``tid2013`` of ``tid2013.tar.gz``)."""
    name = Path(path).name
    return name[: len(name) - len(_suffix(name))]


def unpack(archive: Path, into: Path, limits: Limits | None = None) -> Path:
    """The folder below ``into`` that holds what ``archive`` packs; a second call finds it there.

    The folder's name follows the archive's path and content, and appears only when all members are written.

    Raises:
        DatasetError: the archive is damaged, encrypted, of a format that Python cannot open, larger than
            ``limits``, or one of its members is no plain file inside its folder; or the disk is full.
    """
    if archive.name.lower().endswith(_FOREIGN):
        raise DatasetError(f"{archive} is packed in a format that Python cannot open: unpack it by hand.")
    try:
        key = hashlib.sha256(f"{archive.resolve()}\0{stamp_of(archive.stat())}".encode()).hexdigest()[:16]
        target = into / f"{archive_stem(archive)}-{key}"
        if target.is_dir():
            return target
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=".unpacking-") as staging:
            folder = Path(staging) / "content"
            folder.mkdir()
            _extract(archive, folder, limits or Limits())
            try:
                folder.replace(target)
            except OSError:
                if not target.is_dir():  # else another process was quicker
                    raise
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError) as error:
        raise DatasetError(f"{archive} is damaged ({error}): download it again.") from error
    except OSError as error:
        raise DatasetError(f"{archive} could not be unpacked into {into} ({error}).") from error
    return target


def _extract(archive: Path, folder: Path, limits: Limits) -> None:
    allowed = max(limits.always, limits.ratio * archive.stat().st_size)
    written = 0
    with closing(_members(archive)) as members:
        for count, (name, source) in enumerate(members, start=1):
            with source:
                if count > limits.members:
                    raise DatasetError(f"{archive} holds more than {limits.members} files: give a data set.")
                destination = folder / _safe_path(archive, name)
                destination.parent.mkdir(parents=True, exist_ok=True)
                written += _copy(source, destination, allowed - written)
            if written > allowed:
                raise DatasetError(
                    f"{archive} unpacks to more than {allowed:,} bytes, {limits.ratio} times its size: it looks like "
                    "a decompression bomb; unpack it by hand if you trust it."
                )


def _copy(source: IO[bytes], destination: Path, allowed: int) -> int:
    """Number of bytes copied: at most one more than ``allowed``, and then there are too many."""
    written = 0
    with destination.open("wb") as file:
        while written <= allowed and (chunk := source.read(min(_CHUNK, allowed - written + 1))):
            written += file.write(chunk)
    return written


def _safe_path(archive: Path, name: str) -> Path:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise DatasetError(
            f"{archive} holds a path that leads out of it ({name!r}): do not use this archive."
        )
    return Path(*[part for part in parts if part not in ("", ".")])


def _members(archive: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    if archive.name.lower().endswith(_ZIP):
        return _zip_members(archive)
    return _tar_members(archive)


def _zip_members(archive: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if info.is_dir():
                continue
            mode = info.external_attr >> 16  # the Unix mode, where a Unix tool packed it
            if mode and (mode & 0o170000) not in (0, 0o100000):
                raise DatasetError(f"{archive} holds a link ({info.filename!r}): do not use this archive.")
            if info.flag_bits & 0x1:
                raise DatasetError(f"{archive} is encrypted: unpack it by hand with its password.")
            try:
                yield info.filename, packed.open(info)
            except NotImplementedError as error:
                raise DatasetError(f"{archive}: {error}; unpack it by hand.") from error


def _tar_members(archive: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    with _open_tar(archive) as packed:
        for info in packed:
            if info.isdir():
                continue
            if not info.isreg():
                raise DatasetError(
                    f"{archive} holds a link or a device ({info.name!r}): do not use this archive."
                )
            source = packed.extractfile(info)
            if source is not None:
                yield info.name, source


@contextmanager
def _open_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    if archive.stat().st_size == 0:
        raise DatasetError(f"{archive} is empty: download it again.")
    with tarfile.open(archive) as packed:
        yield packed


@dataclass(frozen=True)
class Sample:
    """Files of a tar shard that follow each other and share a name up to the first dot.

    Attributes:
        key: that name, with its folder.
        parts: content by what follows the dot, in lower case (``jpg``, ``txt``).
    """

    key: str
    parts: Mapping[str, bytes]


def read_shard(path: str) -> Iterator[Sample]:
    """The samples of a shard in its own order, read once from start to end and never unpacked to disk.

    Raises:
        DatasetError: the shard is damaged or absent.
    """
    key, parts = "", dict[str, bytes]()
    try:
        with tarfile.open(path, "r|*") as shard:
            for info in shard:
                folder, _, name = info.name.rpartition("/")
                stem, _, extension = name.partition(".")
                source = shard.extractfile(info) if info.isreg() and stem else None
                if source is None:
                    continue
                current = f"{folder}/{stem}" if folder else stem
                if parts and current != key:
                    yield Sample(key, parts)
                    parts = {}
                key = current
                parts[extension.lower()] = source.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error, LZMAError) as error:
        raise DatasetError(f"{path} is damaged or cannot be read ({error}): download it again.") from error
    if parts:
        yield Sample(key, parts)
