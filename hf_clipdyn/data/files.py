"""The files of a data set in its official layout, found whatever their case, nesting, packing or image format.

Builders read no files themselves: `datasets` replaces ``open`` and ``pathlib.Path`` in modules that define them.
"""

import hashlib
import os
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from hf_clipdyn.data.archives import archive_stem, is_archive, unpack
from hf_clipdyn.data.images import IMAGE_SUFFIXES
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.files import stamp_of

_NOT_DATA = frozenset(("__macosx", "thumbs.db", "desktop.ini"))

# Time stamps of files change with the kernel's clock tick: two writes within one tick look the same.
_CLOCK_TICK_NS = 20_000_000


class FileIndex(dict[str, Path]):
    """The files below a folder, by their path in it and sorted by its parts. Names are found in any case.

    Attributes:
        root: the folder.
    """

    def __init__(self, root: Path, files: Mapping[str, Path]) -> None:
        super().__init__(sorted(files.items(), key=lambda item: item[0].split("/")))
        self.root = root

    @classmethod
    def below(cls, root: Path) -> "FileIndex":
        """All files in a folder and its folders, linked ones too, but hidden ones and those of operating systems."""
        files: dict[str, Path] = {}
        seen: set[tuple[int, int]] = set()  # a link may lead to a folder above it
        with naming(root, DatasetError):
            for folder, folders, names in os.walk(root, followlinks=True, onerror=_raise):
                status = Path(folder).stat()
                folders[:] = [name for name in folders if _is_data(name)]
                if (status.st_dev, status.st_ino) in seen:
                    folders.clear()
                    continue
                seen.add((status.st_dev, status.st_ino))
                above = "" if Path(folder) == root else f"{Path(folder).relative_to(root).as_posix()}/"
                files |= {f"{above}{name}": Path(folder, name) for name in names if _is_data(name)}
        return cls(root, files)

    def images(self) -> "FileIndex":
        """Those that are called like images."""
        found = {key: path for key, path in self.items() if path.suffix.lower() in IMAGE_SUFFIXES}
        return FileIndex(self.root, found)

    @cached_property
    def _folders(self) -> dict[str, set[str]]:
        """Paths of folders by their name in lower case."""
        folders: dict[str, set[str]] = defaultdict(set)
        for above in {key.rpartition("/")[0] for key in self}:
            parts = above.split("/")
            for depth, name in enumerate(parts, start=1):
                folders[name.lower()].add("/".join(parts[:depth]))
        return folders

    def has_folder(self, name: str) -> bool:
        """Whether any folder at any depth is called ``name``."""
        return name.lower() in self._folders

    def folder(self, *names: str) -> "FileIndex":
        """The files below the outermost folder with one of these names, the first name that there is.

        Raises:
            DatasetError: there is none, or two are equally deep.
        """
        name = next(filter(self.has_folder, names), None)
        if name is None:
            raise DatasetError(f"{self.root} has no folder {' or '.join(names)}: unpack the whole archive.")
        found = sorted(self._folders[name.lower()], key=lambda path: path.count("/"))
        if len(found) > 1 and found[0].count("/") == found[1].count("/"):
            raise DatasetError(f"{self.root} has two folders {name}, {found[0]} and {found[1]}: remove one.")
        return self.within(found[0])

    def within(self, folder: str) -> "FileIndex":
        """The files below a folder, by their path in that folder."""
        if not folder:
            return self
        inside = {
            key.removeprefix(f"{folder}/"): path for key, path in self.items() if key.startswith(f"{folder}/")
        }
        return FileIndex(self.root / folder, inside)

    def folder_if_any(self, name: str) -> "FileIndex":
        """The same as `folder`, but without files if there is no such folder."""
        return self.folder(name) if self.has_folder(name) else FileIndex(self.root, {})

    def named(self, *names: str) -> list[Path]:
        """The files with one of these names, the outermost ones first."""
        return [self[key] for key in self._keys_of(*names)]

    def _keys_of(self, *names: str) -> list[str]:
        wanted = {name.lower() for name in names}
        found = [key for key in self if key.rpartition("/")[2].lower() in wanted]
        return sorted(found, key=lambda key: key.count("/"))

    def file(self, *names: str) -> Path:
        """The outermost file with one of these names.

        Raises:
            DatasetError: there is none, or two are equally deep.
        """
        keys = self._keys_of(*names)
        if not keys:
            raise DatasetError(f"{self.root} has no file {' or '.join(names)}: unpack the whole archive.")
        if len(keys) > 1 and keys[0].count("/") == keys[1].count("/"):
            raise DatasetError(f"{self.root} has both {keys[0]} and {keys[1]}: remove one.")
        return self[keys[0]]

    def beside(self, name: str) -> "FileIndex":
        """The files in the folder of the file ``name`` and below."""
        self.file(name)  # there is one
        return self.within(self._keys_of(name)[0].rpartition("/")[0])

    @cached_property
    def _images_by_stem(self) -> dict[str, list[str]]:
        images: dict[str, list[str]] = defaultdict(list)
        for key, path in self.images().items():
            images[path.stem.lower()].append(key)
        return images

    def image(self, name: str) -> Path | None:
        """The image of that name or path (``ref/000/001.png``) in any image format; None if it is missing.

        Raises:
            DatasetError: two match equally well.
        """
        wanted = PurePosixPath(name.replace("\\", "/").lower())
        path = str(wanted.with_suffix(""))
        found = [
            key
            for key in self._images_by_stem.get(wanted.stem, ())
            if f"/{_without_suffix(key)}".endswith(f"/{path}")
        ]
        found = [key for key in found if _without_suffix(key) == path] or found
        if len(found) > 1:  # a BMP beside the PNG that was made of it
            found = [key for key in found if key.lower().endswith(wanted.suffix)] or found
        if len(found) > 1:
            raise DatasetError(f"{self[found[0]]} and {self[found[1]]} both match {name!r}: remove one.")
        return self[found[0]] if found else None

    def lacks(self, layout: Sequence[str]) -> list[str]:
        """The entries of a layout that are missing: ``name/`` is a folder, ``*.x`` a suffix, ``a|b`` either."""

        def is_there(entry: str) -> bool:
            if entry.endswith("/"):
                return self.has_folder(entry[:-1])
            if entry.startswith("*"):
                return any(key.lower().endswith(entry[1:]) for key in self)
            return bool(self._keys_of(entry))

        return [part for part in layout if not any(map(is_there, part.split("|")))]

    @cached_property
    def fingerprint(self) -> str:
        """Another one after any change of a file's path or content."""
        digest, newest = hashlib.sha256(), 0
        with naming(self.root, DatasetError):
            for key, path in self.items():
                status = path.stat()
                digest.update(f"{key}\0{path}\0{stamp_of(status)}\n".encode("utf-8", "surrogateescape"))
                newest = max(newest, status.st_ctime_ns)
        age = time.time_ns() - newest
        if 0 <= age < _CLOCK_TICK_NS:  # so that a later change gets another stamp
            time.sleep((_CLOCK_TICK_NS - age) / 1e9)
        return digest.hexdigest()


def _is_data(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _NOT_DATA


def _raise(error: OSError) -> None:
    raise error


def _without_suffix(key: str) -> str:
    return str(PurePosixPath(key.lower()).with_suffix(""))


def open_layout(root: Path, layout: Sequence[str], cache_dir: Path | None) -> FileIndex:
    """The files of a data set in a folder or an archive.

    What the folder lacks of the layout is searched in its archives, except in those that are unpacked beside it.
    """
    alone = FileIndex(root.parent, {root.name: root})
    if root.is_file() and layout and not alone.lacks(layout):
        return alone  # a single tar shard is not unpacked
    files = FileIndex.below(unpack(root, cache_dir) if root.is_file() else root)
    if files.lacks(layout):
        for key, archive in list(files.items()):
            folder = archive_stem(key)
            if is_archive(key) and not any(other.startswith(f"{folder}/") for other in files):
                inside = FileIndex.below(unpack(archive, cache_dir))
                added = {f"{folder}/{path}": file for path, file in inside.items()}
                files = FileIndex(files.root, {**files, **added})
    return files


def plain(name: str) -> str:
    """A name in lower case without separators: ``Cue-Conflict`` and ``cue_conflict`` become equal."""
    return re.sub(r"[\W_]", "", name.lower())


def hash_of(*parts: str) -> str:
    """A short hash of some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
