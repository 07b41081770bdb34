"""Recognise the official layout of a data set in a folder, and unpack archives that are part of it."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from hf_clipdyn.data.archives import archive_stem, is_archive, unpack
from hf_clipdyn.data.files import FileIndex, SourceFile, index_folder, stamp_of
from hf_clipdyn.errors import DatasetError

__all__ = ["hash_of", "missing_from", "open_layout", "plain", "resolved"]


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

    Args:
        root: absolute path of the folder or archive.
        layout: required entries, as in `missing_from`.
        unpacked: folder for unpacked archives.
        title: the data set's name, for messages.
        where: address of the data set, for messages.

    Raises:
        DatasetError: an entry is missing, or a file cannot be read.
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
    """The absolute path without links, so that cache keys do not depend on the current folder.

    Raises:
        DatasetError: its links form a circle.
    """
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
