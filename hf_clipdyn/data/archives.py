"""Archives: unpacked once, into the cache, or read sample by sample.

`tarfile.data_filter` refuses links and paths that lead out of the folder, and `zipfile` cuts them off.
"""

import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from hf_clipdyn.data.cache import kept
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.files import stamp_of

_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".zip", ".tar", ".tgz", ".tbz2", ".txz")


def is_archive(path: str | Path) -> bool:
    """Whether the file name ends like that of an archive."""
    return str(path).lower().endswith(_SUFFIXES)


def archive_stem(path: str) -> str:
    """A path without the archive's suffix (``tid2013`` of ``tid2013.tar.gz``)."""
    suffix = next((suffix for suffix in _SUFFIXES if path.lower().endswith(suffix)), "")
    return path[: len(path) - len(suffix)]


def unpack(archive: Path, cache_dir: Path | None) -> Path:
    """The folder of the cache with the files of an archive."""
    with (
        naming(archive, DatasetError),
        kept(
            "unpacked", cache_dir, archive_stem(archive.name), str(archive), stamp_of(archive.stat())
        ) as entry,
    ):
        if entry.is_new:
            if archive.name.lower().endswith(".zip"):
                with zipfile.ZipFile(archive) as packed:
                    packed.extractall(entry.folder)  # noqa: S202  (it cuts paths off that lead out)
            else:
                with tarfile.open(archive, tarinfo=_Header) as packed:
                    packed.extractall(entry.folder, filter="data")
    return entry.target


class _Header(tarfile.TarInfo):
    """The header of a member. `tarfile` takes a damaged or cut one for the end, and samples would be lost."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_Header":
        """The next header."""
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(
                f"no header at byte {tar.offset:,} ({error}): download it again"
            ) from error


def read_shard(path: str) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """The samples of a shard in their order, read once from start to end and never unpacked to disk.

    A sample consists of consecutive files whose names are equal up to the first dot: this part of the name, with its
    folder, and the contents by the rest of the name, in lower case (``jpg``, ``txt``).
    """
    key, parts = "", dict[str, bytes]()
    with naming(path, DatasetError), tarfile.open(path, "r|*", tarinfo=_Header) as shard:
        for info in shard:
            shard.members.clear()  # type: ignore[attr-defined]  # else `tarfile` keeps all headers in memory
            folder, _, name = info.name.rpartition("/")
            stem, _, extension = name.partition(".")
            source = shard.extractfile(info) if info.isreg() and stem else None
            if source is None:
                continue
            current = f"{folder}/{stem}" if folder else stem
            if current != key and parts:
                yield key, parts
                parts = {}
            key = current
            parts[extension.lower()] = source.read()
        if parts:
            yield key, parts
