"""The revisions of a run on the disk: one plain folder each, which `from_pretrained` loads.

::

    runs/demo/revisions/
        epoch-003/              exactly the files of the branch epoch-003 on the Hub
            model.safetensors, config.json, …
            README.md
            revisions.json      its row and those of the earlier revisions
        .epoch-004.1f2a.staging/    being written; never read, removed at the next start
        .lock                   of the process that writes

A folder appears by a rename, so it is whole or absent, and it never changes afterwards.
"""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from hf_clipdyn.errors import ConfigError, PublishError, RevisionError, naming, readable_size
from hf_clipdyn.files import delete, file_git_hash, file_sha256, follow_umask, fsync
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, Row, read_manifest
from hf_clipdyn.revisions.names import training_order

WEIGHTS_FILE, CARD_FILE = "model.safetensors", "README.md"

Save = Callable[[Path], object]
"""Writes weights (one `model.safetensors`), configuration and processor into the folder that it is given."""


@dataclass(frozen=True)
class FileRecord:
    """What is recorded of a file, on the Hub or in a manifest.

    Attributes:
        size: in bytes.
        blob: name of the content: SHA-256 of a large file, git's object id of a small one.
        sha256: SHA-256 of the content if it is recorded, that is for large files.
        recorded: False if nobody recorded a hash: it was computed from the file itself and cannot reveal a change.
    """

    size: int
    blob: str
    sha256: str | None = None
    recorded: bool = True

    def describes(self, file: Path) -> bool:
        """Whether a file, read as a whole, has the recorded hash."""
        if self.sha256 is not None:
            return self.sha256 == file_sha256(file)
        return self.blob == file_git_hash(file)


class Store:
    """The folder `revisions` of a run. A revision is in it whole or not at all.

    Args:
        run: folder of the run.
        tolerant: pass over folders whose manifest cannot be read.

    Attributes:
        broken: what is wrong with these, by name; None if the first one is an error.
    """

    def __init__(self, run: str | Path, *, tolerant: bool = False) -> None:
        self.run = Path(run)
        self.broken: dict[str, str] | None = {} if tolerant else None
        self.folder = self.run / "revisions"
        self._rows: dict[str, Row] = {}  # folders never change, so each row is read once
        self._facts: dict[str, Manifest] = {}

    def names(self) -> list[str]:
        """The revisions whose folders are here, in training order."""
        folders = [path.parent for path in self.folder.glob(f"[!.]*/{MANIFEST_FILE}") if path.is_file()]
        unread = [folder for folder in folders if folder.name not in self._rows]
        # The manifest that was written last has most rows, so few others need to be read.
        for folder in sorted(unread, key=_written, reverse=True):
            if folder.name not in self._rows and folder.name not in (self.broken or {}):
                try:
                    self._read(folder)
                except FileNotFoundError:  # somebody has deleted it
                    continue
                except RevisionError as error:
                    if self.broken is None:
                        raise
                    self.broken[folder.name] = str(error)
        here = [folder.name for folder in folders if folder.name in self._rows]
        return sorted(here, key=lambda name: training_order(name, self._rows[name].step))

    def _read(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        described = manifest.row(folder.name)
        if described is None:
            raise RevisionError(
                f"{folder / MANIFEST_FILE} does not describe {folder.name}: delete the folder."
            )
        self._rows[folder.name] = described
        for row in manifest.revisions:
            self._rows.setdefault(row.name, row)

    def rows(self) -> list[Row]:
        """The rows of the revisions whose folders are here, in training order."""
        return [self._rows[name] for name in self.names()]

    def row(self, name: str) -> Row:
        """The row of a revision that `names` has listed."""
        return self._rows[name]

    def row_with(self, sha256: str) -> Row | None:
        """The last row with these weights, also of a folder that was deleted; None if there is none."""
        manifest = self.manifest()
        rows = () if manifest is None else manifest.revisions
        return next((row for row in reversed(rows) if row.sha256 == sha256), None)

    def manifest(self) -> Manifest | None:
        """The newest folder's manifest with the rows of all others; None if there is no folder.

        It has the rows of deleted folders too, unless these were the newest ones.
        """
        names = self.names()
        if not names:
            return None
        if names[-1] not in self._facts:
            self._facts = {names[-1]: read_manifest(self.folder / names[-1])}
        return self._facts[names[-1]].with_rows(tuple(self._rows.values()))

    def opened(self, recipe_hash: str = "", **facts: Any) -> Manifest:
        """What the next revision extends: the manifest of this run with these facts, or that of a new run.

        Raises:
            PublishError: the folder has a run with another recipe or another name.
        """
        manifest = self.manifest()
        if manifest is None:
            return Manifest(run_id=uuid4().hex, revisions=(), **facts)
        for what, before, now in (
            ("recipe", manifest.revisions[-1].recipe_hash, recipe_hash),
            ("name", manifest.repo_id, facts.get("repo_id")),
        ):
            if before != now:
                raise PublishError(
                    f"{self.run} contains a run with another {what} ({before}, not {now}): choose another folder."
                )
        return manifest.model_copy(update=facts)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; a killed one leaves no lock behind.

        Raises:
            PublishError: another process writes to the folder, or nobody can.
        """
        check_version(self.run)
        with naming(self.folder, PublishError):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                raise PublishError(f"Another process writes to {self.folder}: wait until it ends.") from None
        try:
            for staged in self.folder.glob(".*.staging"):  # of a killed process
                shutil.rmtree(staged, ignore_errors=True)
            yield
        finally:
            lock.release()

    def add(
        self, manifest: Manifest, row: Row, save: Save, card: Callable[[Row], str] | None = None
    ) -> Manifest:
        """Write a revision; afterwards it is on the disk, also after a power failure.

        Args:
            manifest: what the revision extends, from `opened`.
            row: describes the revision.
            save: writes its files.
            card: writes its README.md.

        Returns:
            The manifest with the row.

        Raises:
            PublishError: it cannot be written, or ``save`` writes no weights; nothing of it is left.
        """
        final = self.folder / row.name
        if final.is_dir():
            return manifest
        staged = self.folder / f".{row.name}.{secrets.token_hex(4)}.staging"
        try:
            with naming(final, PublishError):
                staged.mkdir()
                save(staged)
                row = row.model_copy(update=weights_of(staged))
                manifest = manifest.with_rows((row,))
                if card is not None:
                    (staged / "README.md").write_text(card(row), encoding="utf-8")
                (staged / MANIFEST_FILE).write_bytes(manifest.dumps())
                follow_umask(staged)  # safetensors writes files that nobody else can read
                for path in [*staged.rglob("*"), staged]:
                    fsync(path)
                staged.rename(final)
                fsync(self.folder)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        self._rows[row.name] = row
        return manifest

    def check_weights(self, name: str, save: Save, remedy: str) -> None:
        """Check that a revision has the weights that ``save`` writes now.

        Raises:
            PublishError: it has others, from another run, which must not be mixed with this one.
        """
        staged = self.folder / f".{name}.{secrets.token_hex(4)}.staging"
        try:
            with naming(staged, PublishError):
                staged.mkdir()
                save(staged)
                saved = weights_of(staged)["sha256"]
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        if saved != self._rows[name].sha256:
            raise PublishError(f"{self.folder / name} has other weights, from an earlier run: {remedy}.")

    def delete(self) -> None:
        """Delete all revisions.

        Raises:
            PublishError: another process writes to the folder.
        """
        if self.folder.is_dir():
            with self.locked():
                for folder in [self.folder / name for name in self.names()]:
                    delete(folder)
            delete(self.folder)


def weights_of(folder: Path) -> dict[str, Any]:
    """SHA-256 and size of the weights in a folder, which takes 0.8 s for a gigabyte."""
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise PublishError(f"{folder} has no {WEIGHTS_FILE}: save the weights in one file.")
    return {"sha256": file_sha256(weights), "size": weights.stat().st_size}


def check_version(run: Path) -> None:
    """Refuse the folder of a run of version 0.3, which is read and never written.

    Raises:
        ConfigError: it is one.
    """
    if (run / "publishing").exists() or any((run / "hub").glob("models--*")):
        raise ConfigError(
            f"{run} contains a run of version 0.3: read it with `--store {run / 'hub'}`; continue or repair it with "
            "hf-clipdyn 0.3.1, or choose another folder."
        )


def space_needed(run: Path, revisions: int, size: int) -> tuple[str, bool]:
    """A sentence on the space that the revisions of a run take, and whether the disk has it.

    Args:
        run: folder of the run, which need not exist yet.
        revisions: how many are to be written.
        size: bytes of each.
    """
    there = next(folder for folder in (run, *run.absolute().parents) if folder.is_dir())
    free, needed = shutil.disk_usage(there).free, revisions * size
    said = f"{revisions} revisions take {readable_size(needed)} in {run / 'revisions'}"
    if needed <= free:
        return f"{said}.", True
    return f"{said}, but the disk has {readable_size(free)} left: free some, or publish fewer.", False


def _written(folder: Path) -> float:
    with suppress(OSError):
        return folder.stat().st_mtime
    return 0.0
