"""The files of a data set in its official layout, found whatever their case, nesting or image format.

All folders are read here and in `tables.py`: `datasets` replaces ``open``, ``pathlib.Path`` and others in modules that
define builders, so those modules read nothing themselves.
"""

import hashlib
import os
import re
import stat
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from hf_clipdyn.data.archives import archive_stem, is_archive, unpack
from hf_clipdyn.data.images import IMAGE_SUFFIXES
from hf_clipdyn.errors import CONTROL, DatasetError
from hf_clipdyn.files import stamp_of

_NOT_DATA = frozenset(("__macosx", "thumbs.db", "desktop.ini"))

# Time stamps of files change with the kernel's clock tick: two writes within one tick look the same.
_CLOCK_TICK_NS = 20_000_000


@dataclass(frozen=True)
class SourceFile:
    """One file: its path, and the parts of its path relative to the index that lists it."""

    path: str
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.parts[-1]

    @property
    def stem(self) -> str:
        return _stem(self.parts[-1])

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.parts[-1]).suffix.lower()


class FileIndex:
    """The files below one folder, sorted by path; names are matched in lower case."""

    def __init__(self, root: str, files: Iterable[SourceFile]) -> None:
        self.root = root
        self.files: Sequence[SourceFile] = sorted(files, key=lambda file: file.parts)

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def _by_path(self) -> dict[str, list[SourceFile]]:
        by_path: dict[str, list[SourceFile]] = defaultdict(list)
        for file in self.images():
            by_path[_key(file.parts)].append(file)
        return by_path

    @cached_property
    def _by_stem(self) -> dict[str, list[SourceFile]]:
        by_stem: dict[str, list[SourceFile]] = defaultdict(list)
        for file in self.images():
            by_stem[file.stem.lower()].append(file)
        return by_stem

    def images(self) -> Iterator[SourceFile]:
        """All image files, sorted by path."""
        return (file for file in self.files if file.suffix in IMAGE_SUFFIXES)

    def has_folder(self, name: str) -> bool:
        """Whether any folder at any depth is called ``name``."""
        name = name.lower()
        return any(name in map(str.lower, file.parts[:-1]) for file in self.files)

    def folder(self, name: str) -> "FileIndex":
        """The files below the outermost folder called ``name``."""
        by_folder: dict[tuple[str, ...], list[SourceFile]] = defaultdict(list)
        for file in self.files:
            folders = [part.lower() for part in file.parts[:-1]]
            if name.lower() in folders:
                by_folder[file.parts[: folders.index(name.lower()) + 1]].append(file)
        if not by_folder:
            raise DatasetError(f"{self.root} has no folder {name!r}: unpack the official archive as it is.")
        depth = min(map(len, by_folder))
        outermost = [folder for folder in by_folder if len(folder) == depth]
        if len(outermost) > 1:
            names = " and ".join("/".join(folder) for folder in sorted(outermost))
            raise DatasetError(f"{self.root} contains two folders {name!r} ({names}): give the right one.")
        (folder,) = outermost
        inside = (SourceFile(file.path, file.parts[depth:]) for file in by_folder[folder])
        return FileIndex(str(Path(self.root, *folder)), inside)

    def folder_if_any(self, name: str) -> "FileIndex":
        """The same as `folder`, but without files if there is no such folder."""
        return self.folder(name) if self.has_folder(name) else FileIndex(self.root, ())

    def named(self, *names: str) -> list[SourceFile]:
        """The files with one of these names, the outermost ones first."""
        wanted = {name.lower() for name in names}
        files = [file for file in self.files if file.name.lower() in wanted]
        return sorted(files, key=lambda file: (len(file.parts), file.parts))

    def file(self, *names: str) -> SourceFile:
        """The outermost file with one of these names."""
        candidates = self.named(*names)
        if not candidates:
            wanted = " or ".join(map(repr, names))
            raise DatasetError(f"{self.root} has no file {wanted}: unpack the official archive as it is.")
        if len(candidates) > 1 and len(candidates[0].parts) == len(candidates[1].parts):
            raise DatasetError(
                f"Found two candidates, {candidates[0].path} and {candidates[1].path}: remove one."
            )
        return candidates[0]

    def beside(self, file: SourceFile) -> "FileIndex":
        """The files in the folder of ``file`` and below."""
        folder = file.parts[:-1]
        depth = len(folder)
        inside = (SourceFile(f.path, f.parts[depth:]) for f in self.files if f.parts[:depth] == folder)
        return FileIndex(str(Path(self.root, *folder)), inside)

    def image(self, name: str) -> SourceFile | None:
        """The image ``name`` (``i01_01_1.bmp``, ``ref/000/001.png``) in any image format; None if it is missing."""
        parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
        if not parts or ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
            raise DatasetError(
                f"{self.root}: the name {name!r} leads out of the data set: correct that entry."
            )
        candidates = self._by_path.get(_key(parts)) or self._deeper(parts)
        if len(candidates) > 1:
            wanted = parts[-1].lower()
            candidates = [file for file in candidates if file.name.lower() == wanted] or candidates
        if len(candidates) > 1:
            both = " and ".join(file.path for file in candidates[:2])
            raise DatasetError(f"{both} both match {name!r}: remove one of them.")
        return candidates[0] if candidates else None

    def _deeper(self, parts: tuple[str, ...]) -> list[SourceFile]:
        """Files whose path ends with ``parts`` in a deeper folder."""
        stem = _stem(parts[-1]).lower()
        folders = [part.lower() for part in parts[:-1]]
        return [
            file
            for file in self._by_stem.get(stem, ())
            if not folders or [part.lower() for part in file.parts[:-1]][-len(folders) :] == folders
        ]


def _key(parts: tuple[str, ...]) -> str:
    return "/".join((*parts[:-1], _stem(parts[-1]))).lower()


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _check_name(entry: os.DirEntry[str]) -> None:
    """Refuse names that a table cannot store, or that would forge lines of a message or a log."""
    if re.search(f"[{CONTROL}]", entry.name):
        folder = str(Path(entry.path).parent)
        raise DatasetError(
            f"{folder} contains the name {entry.name!r}, which is not UTF-8 or contains a control character: "
            "rename that file."
        )


def index_folder(root: Path) -> tuple[FileIndex, str]:
    """All files below ``root``, and a fingerprint (SHA-256) of their paths and contents.

    The fingerprint is made of `stamp_of`, so that 3,000 images cost milliseconds. If the newest stamp is younger than
    one clock tick, the function waits until the tick is over, so that a later change gets another stamp.
    Hidden files, pipes, devices and files of the operating system (``Thumbs.db``) are ignored. Links to folders are
    followed once.
    """
    files: list[SourceFile] = []
    stamps: list[str] = []
    newest = 0
    seen: set[tuple[int, int]] = set()
    pending: list[tuple[str, ...]] = [()]
    try:
        while pending:
            parts = pending.pop()
            folder = Path(root, *parts)
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.lower() in _NOT_DATA:
                        continue
                    _check_name(entry)
                    if entry.is_dir():
                        pending.append((*parts, entry.name))
                        continue
                    file_status = entry.stat()
                    if not stat.S_ISREG(file_status.st_mode):
                        continue  # opening a pipe would hang, a device may never end
                    files.append(SourceFile(entry.path, (*parts, entry.name)))
                    stamps.append(f"{'/'.join((*parts, entry.name))}\0{stamp_of(file_status)}")
                    newest = max(newest, file_status.st_ctime_ns)
    except FileNotFoundError as error:
        raise DatasetError(f"{error.filename} does not exist: give the folder of the data set.") from error
    except NotADirectoryError as error:
        raise DatasetError(
            f"{root} is not a folder: give the folder of the data set or its archive."
        ) from error
    except OSError as error:
        raise DatasetError(
            f"{error.filename or root} cannot be read ({error.strerror}): check its permissions."
        ) from error
    age = time.time_ns() - newest
    if 0 <= age < _CLOCK_TICK_NS:
        time.sleep((_CLOCK_TICK_NS - age) / 1e9)
    digest = hashlib.sha256("\n".join([str(root), *sorted(stamps)]).encode("utf-8", "surrogateescape"))
    return FileIndex(str(root), files), digest.hexdigest()


# --- the official layout ---


def missing_from(files: FileIndex, layout: Sequence[str]) -> list[str]:
    """The entries of ``layout`` that are missing: ``name/`` is a folder, ``*.x`` a suffix, ``a|b`` either."""

    def present(name: str) -> bool:
        if name.endswith("/"):
            return files.has_folder(name[:-1])
        if name.startswith("*"):
            return any(file.name.lower().endswith(name[1:]) for file in files.files)
        return bool(files.named(name))

    return [entry for entry in layout if not any(map(present, entry.split("|")))]


def open_layout(
    root: Path, layout: Sequence[str], unpacked: Path, title: str, where: str
) -> tuple[FileIndex, str]:
    """List the files of a data set and compute its fingerprint.

    Missing entries of ``layout`` are searched in the archives in ``root``, except in an archive beside which a folder
    of its name exists. ``root`` may be an archive itself.
    """
    alone = FileIndex(str(root.parent), [SourceFile(str(root), (root.name,))])
    if _is_file(root) and not missing_from(alone, layout):
        return alone, hash_of(str(root), stamp_of(root.stat()))  # a single tar shard is not unpacked
    if _is_file(root) and is_archive(root):
        files, fingerprint = index_folder(unpack(root, unpacked))
    else:
        files, fingerprint = index_folder(root)
    if missing_from(files, layout):
        for archive in [file for file in files.files if is_archive(file.name)]:
            folder = (*archive.parts[:-1], archive_stem(archive.name))
            if any(file.parts[: len(folder)] == folder for file in files.files):
                continue
            inside, stamp = index_folder(unpack(Path(archive.path), unpacked))
            added = [SourceFile(file.path, folder + file.parts) for file in inside.files]
            files = FileIndex(files.root, [*files.files, *added])
            fingerprint = hash_of(fingerprint, stamp)
    missing = missing_from(files, layout)
    if missing:
        state = f"lacks {_listed(missing)}" if len(files) else "is empty"
        raise DatasetError(f"{root} {state}: {title} consists of {_listed(layout)}; get it from {where}.")
    return files, fingerprint


def _listed(layout: Sequence[str]) -> str:
    return ", ".join(entry.replace("|", " or ") for entry in layout)


def resolved(path: str | Path) -> Path:
    """The absolute path without links, so that cache keys do not depend on the current folder."""
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a RuntimeError up to Python 3.12
        raise DatasetError(f"{path} cannot be read ({error}): give the folder itself.") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no permission: `index_folder` says so
        return False


def plain(name: str) -> str:
    """A name in lower case without separators: ``Cue-Conflict`` and ``cue_conflict`` become equal."""
    return re.sub(r"[\W_]", "", name.lower())


def hash_of(*parts: str) -> str:
    """A short hash of some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
