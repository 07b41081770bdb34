"""What this package keeps on disk to be faster the next time: listed and deleted by `clipdyn cache`.

All of it lies in folders of its own (``clipdyn-…``) in the cache of `datasets`, or in ``cache_dir``: tables that a
loader prepared, decoded pixels, and archives that were unpacked. What is deleted is made again when it is needed.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import datasets

from hf_clipdyn.errors import ConfigError, DatasetError, UnknownNameError

__all__ = ["KINDS", "Entry", "cache_folder", "cached", "delete", "touch"]

KINDS = ("tables", "pixels", "unpacked", "unfinished")
"""What an entry is; unfinished ones were left by a process that was killed, or another one is writing them now."""

_STAGING = ("staging-", ".unpacking-")  # how folders are called while they are written or deleted
_IN_WORK = 3600.0  # seconds for which an unfinished entry may belong to a process that still runs


@dataclass(frozen=True)
class Entry:
    """One folder of a cache.

    Attributes:
        kind: of `KINDS`.
        origin: what it was made of.
        path: the folder.
        size: bytes of its files.
        used: time of its last use, in seconds since the epoch.
    """

    kind: str
    origin: str
    path: Path
    size: int
    used: float


def cache_folder(kind: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a kind of `KINDS` in ``cache_dir``; by default in the cache of `datasets`, under ``HF_HOME``."""
    root = datasets.config.HF_DATASETS_CACHE if cache_dir is None else cache_dir
    return Path(root).expanduser().absolute() / f"clipdyn-{kind}"


def touch(entry: Path) -> None:
    """Note that an entry is used now, where the cache may be written."""
    with suppress(OSError):
        os.utime(entry)


def cached(cache_dir: str | os.PathLike[str] | None = None) -> list[Entry]:
    """All entries, the largest first.

    Raises:
        DatasetError: a folder cannot be read.
    """
    try:
        found = [_entry(kind, path, origin) for kind, path, origin in _folders(cache_dir)]
    except OSError as error:
        raise DatasetError(
            f"{error.filename} cannot be read ({error.strerror}): check its permissions."
        ) from error
    return sorted((one for one in found if one is not None), key=lambda one: (-one.size, str(one.path)))


def _folders(cache_dir: str | os.PathLike[str] | None) -> Iterator[tuple[str, Path, str]]:
    """Kind, path and origin of every entry."""
    for kind in ("pixels", "unpacked"):
        for path in _inside(cache_folder(kind, cache_dir)):
            if path.name.startswith(_STAGING):
                yield "unfinished", path, kind
            elif kind == "unpacked":
                yield kind, path, path.name.rpartition("-")[0]
            else:
                origin = path / "origin"
                yield kind, path, origin.read_text(encoding="utf-8") if origin.is_file() else "unknown"
    tables = cache_folder("tables", cache_dir)
    for path in _inside(tables):
        if path.name.startswith(_STAGING):
            yield "unfinished", path, "tables"
            continue
        for config in _inside(
            path
        ):  # <data set>/<configuration>/<version>/<hash>, as `datasets` lays them out
            for table in (table for version in _inside(config) for table in _inside(version)):
                whole = not table.name.endswith(".incomplete")
                yield "tables" if whole else "unfinished", table, f"{path.name}/{config.name}"[:60]


def _inside(folder: Path) -> list[Path]:
    """The folders in a folder; links are followed nowhere, since they lead to what is not ours."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _entry(kind: str, path: Path, origin: str) -> Entry | None:
    """The entry at that path; None where another process has deleted it meanwhile."""
    try:
        sizes = [Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names]
        return Entry(kind, origin, path, sum(sizes), path.stat().st_mtime)
    except FileNotFoundError:
        return None


def delete(
    kinds: Sequence[str], cache_dir: str | os.PathLike[str] | None = None, older_than: float = 0.0
) -> list[Entry]:
    """Delete the entries of some kinds; returns what was deleted.

    A process that reads an entry goes on reading it. Unfinished entries are deleted an hour after their last change.

    Args:
        kinds: of `KINDS`, or ``all``.
        cache_dir: as in `cache_folder`.
        older_than: days since their last use.

    Raises:
        UnknownNameError: there is no such kind.
        ConfigError: ``older_than`` is negative.
        DatasetError: an entry cannot be deleted.
    """
    for kind in kinds:
        if kind not in (*KINDS, "all"):
            raise UnknownNameError("kind of cache", kind, (*KINDS, "all"))
    if not older_than >= 0:
        raise ConfigError(f"older_than is {older_than}: it must be 0 days or more.")
    chosen = [
        entry
        for entry in cached(cache_dir)
        if ("all" in kinds or entry.kind in kinds)
        and time.time() - entry.used >= older_than * 86_400
        and (entry.kind != "unfinished" or time.time() - entry.used > _IN_WORK)
    ]
    for entry in chosen:
        root = next(parent for parent in entry.path.parents if parent.name.startswith("clipdyn-"))
        try:
            # Moved away first, so that no process finds half of it.
            with tempfile.TemporaryDirectory(dir=root, prefix=_STAGING[0]) as away:
                entry.path.replace(Path(away) / "deleted")
        except OSError as error:
            if entry.path.exists():
                raise DatasetError(
                    f"{entry.path} cannot be deleted ({error.strerror}): check its permissions."
                ) from error
    return chosen
