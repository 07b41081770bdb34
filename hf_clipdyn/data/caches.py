"""The caches of this package on disk; `clipdyn cache` lists and deletes them.

They are folders called ``clipdyn-…`` in the cache of `datasets`, or in ``cache_dir``: prepared tables, decoded pixels,
unpacked archives and scores of baselines. A deleted entry is made again when it is needed.
"""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import datasets

from hf_clipdyn.errors import ConfigError, DatasetError, UnknownNameError, readable_size
from hf_clipdyn.files import STAGING

KINDS = ("tables", "pixels", "unpacked", "baselines", "unfinished")
"""Kinds of entries. An unfinished one was left by a killed process, or another process is writing it."""

_STAGING = "staging-"  # prefix of folders that are being written or deleted
_IN_WORK = 3600.0  # seconds during which an unfinished entry may belong to a running process


@dataclass(frozen=True)
class Entry:
    """One folder of a cache; of the baselines, one file.

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


def cache_folder(kind: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a kind of `KINDS` in ``cache_dir``; by default in the cache of `datasets`, under ``HF_HOME``."""
    root = datasets.config.HF_DATASETS_CACHE if cache_dir is None else cache_dir
    return Path(root).expanduser().absolute() / f"clipdyn-{kind}"


def touch(entry: Path) -> None:
    """Set the time of an entry's last use to now, if the cache is writable."""
    with suppress(OSError):
        os.utime(entry)


@contextmanager
def new_entry(target: Path, last: str = "") -> Iterator[Path]:
    """A folder that becomes ``target`` when the block succeeds, so that a failure or a kill leaves no partial entry.

    If another process was faster and its entry contains the file ``last``, that entry is kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=_STAGING) as staging:
        folder = Path(staging) / "content"
        folder.mkdir()
        yield folder
        try:
            folder.replace(target)
        except OSError:
            if not (target / last).exists():
                raise


def cached(cache_dir: str | os.PathLike[str] | None = None) -> list[Entry]:
    """All entries, the largest first."""
    try:
        entries = [_entry(kind, path, origin) for kind, path, origin in _folders(cache_dir)]
    except OSError as error:
        raise DatasetError(
            f"{error.filename} cannot be read ({error.strerror}): check its permissions."
        ) from error
    return sorted(filter(None, entries), key=lambda entry: (-entry.size, str(entry.path)))


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
    yield from _baselines(cache_folder("baselines", cache_dir))
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


def _baselines(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Entries of the baselines, one file each, and what killed processes left."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_symlink():
            continue
        if path.name.startswith(_STAGING) or path.name.endswith(STAGING):
            yield "unfinished", path, "baselines"
        elif path.is_file():
            yield "baselines", path, path.name.rpartition("-")[0].replace("_", " ") or "unknown"


def _inside(folder: Path) -> list[Path]:
    """The folders in a folder, without links: they may lead out of the cache."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _entry(kind: str, path: Path, origin: str) -> Entry | None:
    """The entry at that path; None if another process has deleted it meanwhile."""
    try:
        inside = [Path(folder, name).lstat() for folder, _, names in os.walk(path) for name in names]
        files = inside if path.is_dir() else [path.lstat()]
        changes = [file.st_mtime for file in files] if kind == "unfinished" else []
        size = sum(file.st_size for file in files)
        return Entry(kind, origin, path, size, max([path.stat().st_mtime, *changes]))
    except FileNotFoundError:
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
    for kind in kinds:
        if kind not in (*known, "all"):
            raise UnknownNameError("kind of cache", kind, (*known, "all"))
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
            "size": readable_size(entry.size),
            "last used": time.strftime("%Y-%m-%d", time.localtime(entry.used)),
            "of": entry.origin,
            "path": str(entry.path),
        }
        for entry in entries
    ]
