"""Archives are unpacked once, into the cache. Nothing that they declare is trusted.

A zip or tar may name paths outside its folder, contain links, or unpack to terabytes. Only regular files with relative
paths are accepted, and all members together may not exceed a multiple of the archive's size; anything else is an error.
A tar is read as a stream whose decompressed bytes are counted, headers included. Sparse files are refused: a few bytes
may declare any number of zeros.

`tarfile.data_filter` is not used: it admits links inside the folder, silently makes absolute paths relative, and keeps
Windows paths as file names. Python 3.11.0 lacks it, and there is no counterpart for zip files.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hf_clipdyn.data.caches import new_entry, touch
from hf_clipdyn.data.images import MAX_PIXELS
from hf_clipdyn.errors import DatasetError, shown
from hf_clipdyn.files import stamp_of

_ZIP = (".zip",)
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_FOREIGN = (".rar", ".7z")
_SUFFIXES = (*_ZIP, *_TAR, *_FOREIGN)

_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 20  # bytes; `tarfile` reads an extended header at once
_EXTENDED = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_PACKED: Mapping[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
# A header that declares terabytes causes a MemoryError.
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError),
    *(MemoryError, OverflowError, UnicodeError, ValueError, RecursionError, struct.error),
)


@dataclass(frozen=True)
class Limits:
    """The most that an archive may unpack to. Photographs hardly compress, so a data set has a small ratio.

    Attributes:
        ratio: unpacked bytes per packed byte.
        always: unpacked bytes that are allowed at any ratio, since short score lists compress well.
        members: number of files.
        sample: bytes of a sample of a shard, which is read into memory: no image that can be decoded
            (`hf_clipdyn.data.images.MAX_PIXELS`) has more, even uncompressed.
    """

    ratio: int = 100
    always: int = 64 << 20
    members: int = 5_000_000
    sample: int = 3 * MAX_PIXELS


def _suffix(name: str) -> str:
    return next((s for s in sorted(_SUFFIXES, key=len, reverse=True) if name.lower().endswith(s)), "")


def is_archive(path: str | Path) -> bool:
    """Whether the file name ends like that of an archive."""
    return bool(_suffix(str(path)))


def archive_stem(path: str | Path) -> str:
    """The file name without the archive's suffix (``tid2013`` of ``tid2013.tar.gz``)."""
    name = Path(path).name
    return name[: len(name) - len(_suffix(name))]


def unpack(archive: Path, into: Path, limits: Limits | None = None) -> Path:
    """Unpack an archive into a new folder in ``into`` and return it; a second call finds it there.

    The folder's name is derived from the archive's path and content. It appears only when all members are written.
    """
    if archive.name.lower().endswith(_FOREIGN):
        raise DatasetError(f"{archive} has a format that Python cannot open: unpack it by hand.")
    try:
        key = hashlib.sha256(f"{archive.resolve()}\0{stamp_of(archive.stat())}".encode()).hexdigest()[:16]
        target = into / f"{archive_stem(archive)}-{key}"
        if target.is_dir():
            touch(target)
            return target
        with new_entry(target) as folder:
            _extract(archive, folder, limits or Limits())
    except _DAMAGED as error:
        raise DatasetError(f"{archive} is damaged ({_cause(error)}): download it again.") from error
    except OSError as error:
        raise DatasetError(
            f"{archive} could not be unpacked into {into} ({error.strerror or error}): free some disk space, "
            "or unpack it by hand."
        ) from error
    return target


def _cause(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _extract(archive: Path, folder: Path, limits: Limits) -> None:
    budget = _Budget(archive, limits)
    is_zip = archive.name.lower().endswith(_ZIP)
    with closing(_zip_members(archive) if is_zip else _tar_members(archive, limits)) as members:
        for count, (name, source) in enumerate(members, start=1):
            with source:
                if count > limits.members:
                    raise DatasetError(
                        f"{archive} contains more than {limits.members} files: check that it is the right one."
                    )
                destination = folder / _safe_path(archive, name)
                destination.parent.mkdir(parents=True, exist_ok=True)
                with destination.open("wb") as file:
                    while chunk := source.read(_CHUNK):
                        budget.spend(len(chunk))
                        file.write(chunk)


class _Budget:
    """The bytes that an archive may still unpack to."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self._archive = archive
        self._ratio = limits.ratio
        self._allowed = self._left = max(limits.always, limits.ratio * archive.stat().st_size)

    def spend(self, number: int) -> None:
        """Subtract bytes from the budget."""
        self._left -= number
        if self._left < 0:
            raise DatasetError(
                f"{self._archive} unpacks to more than {self._allowed:,} bytes, {self._ratio} times its size: it looks "
                "like a decompression bomb; unpack it by hand if you trust it."
            )


class _Counted(io.RawIOBase):
    """A stream that subtracts the bytes it reads from a budget."""

    def __init__(self, source: IO[bytes], budget: _Budget) -> None:
        self._source = source
        self._budget = budget

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(min(size, _CHUNK) if size >= 0 else _CHUNK)
        self._budget.spend(len(data))
        return data


def _safe_path(archive: Path, name: str) -> Path:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise DatasetError(
            f"{archive} contains a path that leads out of it ({name!r}): do not use this archive."
        )
    if len(name) > 1000:
        raise DatasetError(f"{archive} contains a path of {len(name):,} characters: do not use this archive.")
    return Path(*[part for part in parts if part not in ("", ".")])


def _zip_members(archive: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if info.is_dir():
                continue
            mode = info.external_attr >> 16  # the Unix mode, if a Unix tool packed it
            if mode and (mode & 0o170000) not in (0, 0o100000):
                raise DatasetError(f"{archive} contains a link ({info.filename!r}): do not use this archive.")
            if info.flag_bits & 0x1:
                raise DatasetError(f"{archive} is encrypted: unpack it by hand with its password.")
            try:
                yield info.filename, packed.open(info)
            except NotImplementedError as error:
                raise DatasetError(f"{archive}: {error}; unpack it by hand.") from error


def _tar_members(archive: Path, limits: Limits) -> Generator[tuple[str, IO[bytes]], None, None]:
    with _open_tar(archive, limits) as packed:
        for info in _headers(archive, packed):
            if info.isdir():
                continue
            if not info.isreg():
                raise DatasetError(
                    f"{archive} contains a link or a device ({info.name!r}): do not use this archive."
                )
            source = packed.extractfile(info)
            if source is not None:
                yield info.name, source


class _Header(tarfile.TarInfo):
    """The header of a member. `tarfile` ends without an error where a header is missing, cut off or damaged."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """The header in a block."""
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in _EXTENDED and info.size > _LONGEST_HEADER):
            raise tarfile.InvalidHeaderError(f"a header of {info.size:,} bytes")  # type: ignore[attr-defined]
        return info

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_Header":
        """The next header."""
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(
                f"neither a member nor the end marker at byte {tar.offset:,}: {error}"
            ) from error


@contextmanager
def _open_tar(archive: Path, limits: Limits) -> Iterator[tarfile.TarFile]:
    """A tar, compressed or not, as a stream from start to end."""
    if archive.stat().st_size == 0:
        raise DatasetError(f"{archive} is empty: download it again.")
    with archive.open("rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in _PACKED.items() if start.startswith(magic)), open)
    with opener(archive, "rb") as stream:
        counted = _Counted(stream, _Budget(archive, limits))
        with tarfile.open(fileobj=counted, mode="r|", tarinfo=_Header) as packed:
            yield packed


def _headers(archive: Path, packed: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The header of each member."""
    for info in packed:
        packed.members.clear()  # type: ignore[attr-defined]  # else `tarfile` keeps all headers in memory
        if info.issparse():
            raise DatasetError(
                f"{archive} contains a sparse file ({shown(info.name)}): pack it again without `--sparse`."
            )
        yield info


def read_shard(path: str) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """The samples of a shard in their order, read once from start to end and never unpacked to disk.

    A sample consists of consecutive files whose names are equal up to the first dot: this part of the name, with its
    folder, and the contents by the rest of the name, in lower case (``jpg``, ``txt``).
    """
    limits = Limits()
    key, parts, size = "", dict[str, bytes](), 0
    try:
        with _open_tar(Path(path), limits) as shard:
            for info in _headers(Path(path), shard):
                folder, _, name = info.name.rpartition("/")
                stem, _, extension = name.partition(".")
                source = shard.extractfile(info) if info.isreg() and stem else None
                if source is None:
                    continue
                current = f"{folder}/{stem}" if folder else stem
                if current != key:
                    if parts:
                        yield key, parts
                    parts, size = {}, 0
                key = current
                size += info.size
                if size > limits.sample:
                    raise DatasetError(
                        f"The sample {shown(key)} of {path} has more than {limits.sample:,} bytes: remove it."
                    )
                parts[extension.lower()] = source.read()
    except (*_DAMAGED, OSError) as error:
        raise DatasetError(
            f"{path} is damaged or cannot be read ({_cause(error)}): download it again."
        ) from error
    if parts:
        yield key, parts
