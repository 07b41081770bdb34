"""The cache of this package on disk; `clipdyn cache` lists and deletes its entries.

It lies in folders called ``clipdyn-…`` in the cache of `datasets`, or in ``cache_dir``: prepared tables, decoded
pixels, unpacked archives and scores of baselines. A deleted entry is made again when it is needed.
"""

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from rich.filesize import decimal

from hf_clipdyn.errors import ConfigError, DatasetError, check_known, naming
from hf_clipdyn.files import STAGING

_DEPTHS = {"tables": 4, "pixels": 1, "unpacked": 1, "baselines": 1}
"""Folders above an entry: `datasets` lays tables out as <data set>/<configuration>/<version>/<hash>."""

KINDS = (*_DEPTHS, "unfinished")
"""Kinds of entries. An unfinished one was left by a killed process, or another process is writing it."""

_STAGING = "staging-"  # prefix of folders that are being written or deleted
_IN_WORK = 3600.0  # seconds during which an unfinished entry may belong to a running process


@dataclass(frozen=True)
class Entry:
    """An entry of the cache: a folder, or a file.

    Attributes:
        kind: one of `KINDS`.
        origin: the data set or archive that it was made from.
        path: the folder or file.
        size: bytes of its files.
        used: time of its last use, in seconds since the epoch.
    """

    kind: str
    origin: str
    path: Path
    size: int
    used: float


@dataclass(frozen=True)
class Kept:
    """A folder of the cache.

    Attributes:
        folder: to read from, or, if it ``is_new``, to write into.
        is_new: whether nothing was kept under this key.
        target: where it lies after the block that `kept` opens.
    """

    folder: Path
    is_new: bool
    target: Path


def cache_folder(kind: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a kind of `KINDS` in ``cache_dir``; by default in the cache of `datasets`, under ``HF_HOME``."""
    root = datasets.config.HF_DATASETS_CACHE if cache_dir is None else cache_dir
    return Path(root).expanduser().absolute() / f"clipdyn-{kind}"


def kept_folder(kind: str, cache_dir: str | os.PathLike[str] | None, origin: str, *key: Any) -> Path:
    """Where `kept` keeps what has this origin and key."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    return cache_folder(kind, cache_dir) / f"{re.sub('[^0-9A-Za-z]+', '_', origin)[:60]}-{digest}"


@contextmanager
def kept(kind: str, cache_dir: str | os.PathLike[str] | None, origin: str, *key: Any) -> Iterator[Kept]:
    """A folder of the cache, whole or absent: the block fills a new one, which then takes its place.

    If another process was faster, its folder stays.

    Args:
        kind: one of `KINDS`.
        cache_dir: as in `cache_folder`.
        origin: the data set or archive, for the list of the cache.
        key: everything else that the content depends on, as JSON can write it.
    """
    target = kept_folder(kind, cache_dir, origin, *key)
    if target.is_dir():
        touch(target)
        yield Kept(target, False, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=_STAGING) as staging:
        folder = Path(staging) / "content"
        folder.mkdir()
        yield Kept(folder, True, target)
        try:
            folder.replace(target)
        except OSError:
            if not target.is_dir():
                raise


def touch(entry: Path) -> None:
    """Set the time of an entry's last use to now, if the cache is writable."""
    with suppress(OSError):
        os.utime(entry)


def cached(cache_dir: str | os.PathLike[str] | None = None) -> list[Entry]:
    """All entries, the largest first."""
    found: list[Entry | None] = []
    for kind, depth in _DEPTHS.items():
        root = cache_folder(kind, cache_dir)
        with naming(root, DatasetError):
            paths = {*root.glob("/".join("*" * depth)), *root.glob(f"{_STAGING}*")}
            found += [_entry(kind, path, root) for path in sorted(paths)]
    return sorted(filter(None, found), key=lambda entry: (-entry.size, str(entry.path)))


def _entry(kind: str, path: Path, root: Path) -> Entry | None:
    """The entry at that path; None for what the cache did not write, or what another process has deleted meanwhile."""
    first, *rest = path.relative_to(root).parts
    if path.is_symlink() or not path.resolve().is_relative_to(root.resolve()):
        return None  # a link may lead out of the cache
    if (first.startswith(_STAGING) and rest) or (path.is_file() and kind != "baselines"):
        return None
    is_unfinished = first.startswith(_STAGING) or path.name.endswith((".incomplete", STAGING))
    origin = "/".join([first, *rest[:1]]) if rest else first.rpartition("-")[0].replace("_", " ")
    with suppress(FileNotFoundError):
        inside = [Path(folder, name).lstat() for folder, _, names in os.walk(path) for name in names]
        files = inside if path.is_dir() else [path.lstat()]
        changes = [file.st_mtime for file in files] if is_unfinished else []
        size, used = sum(file.st_size for file in files), max([path.stat().st_mtime, *changes])
        if is_unfinished:
            return Entry("unfinished", kind if not rest else origin, path, size, used)
        return Entry(kind, origin or "unknown", path, size, used)
    return None


def delete(
    kinds: Sequence[str], cache_dir: str | os.PathLike[str] | None = None, older_than: float = 0.0
) -> list[Entry]:
    """Delete the entries of some kinds and return them.

    A process that has opened an entry can still read it. Unfinished entries are deleted an hour after their last
    change.
    """
    chosen = [
        entry
        for entry in chosen_entries(cached(cache_dir), kinds, KINDS, older_than)
        if entry.kind != "unfinished" or time.time() - entry.used > _IN_WORK
    ]
    for entry in chosen:
        root = next(parent for parent in entry.path.parents if parent.name.startswith("clipdyn-"))
        with (
            suppress(FileNotFoundError),  # another process was faster
            tempfile.TemporaryDirectory(dir=root, prefix=_STAGING) as away,
        ):
            entry.path.replace(Path(away) / "deleted")  # at once, so that no process finds half of an entry
    return chosen


def chosen_entries(
    entries: Iterable[Entry], kinds: Sequence[str], known: Sequence[str], older_than: float
) -> list[Entry]:
    """Those of some kinds, or of all of them, that were not used for some days.

    Raises:
        UnknownNameError: a kind is neither known nor ``all``.
        ConfigError: ``older_than`` is negative.
    """
    check_known("kind of cache", kinds, (*known, "all"))
    if not older_than >= 0:
        raise ConfigError(f"older_than is {older_than}: it must be 0 days or more.")
    return [
        entry
        for entry in entries
        if ("all" in kinds or entry.kind in kinds) and time.time() - entry.used >= older_than * 86_400
    ]


def cache_table(entries: Sequence[Entry]) -> list[dict[str, str]]:
    """One row for each entry of the cache."""
    return [
        {
            "kind": entry.kind,
            "size": decimal(entry.size),
            "last used": time.strftime("%Y-%m-%d", time.localtime(entry.used)),
            "of": entry.origin,
            "path": str(entry.path),
        }
        for entry in entries
    ]
