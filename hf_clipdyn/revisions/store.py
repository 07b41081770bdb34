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

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from hf_clipdyn.errors import ConfigError, PublishError, naming, readable_size
from hf_clipdyn.files import delete, file_sha256, follow_umask, fsync
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, NO_MANIFEST, Manifest, Row
from hf_clipdyn.revisions.published import CARD_FILE, WEIGHTS_FILE, RunFolder

# Writes weights (one `model.safetensors`), configuration and processor into the folder that it is given.
Save = Callable[[Path], object]


class Store(RunFolder):
    """The folders of a run, which are written. A revision is in it whole or not at all."""

    def opened(self, recipe_hash: str = "", **facts: Any) -> Manifest:
        """What the next revision extends: the manifest of this run with these facts, or that of a new run.

        Raises:
            PublishError: the folder has a run with another recipe or another name.
        """
        manifest = self.manifest()
        self.check_readable()
        if manifest is NO_MANIFEST:
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
            try:
                held = FileLock(self.folder / ".lock").acquire(timeout=0)
            except Timeout:
                raise PublishError(f"Another process writes to {self.folder}: wait until it ends.") from None
        with held:
            for staged in self.folder.glob(".*.staging"):  # of a killed process
                delete(staged)
            yield

    def add(self, manifest: Manifest, row: Row, save: Save, card: Callable[[Row], str]) -> Manifest:
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
        with self.staged(row.name) as staged:
            save(staged)
            row = row.model_copy(update=weights_in(staged))
            manifest = manifest.with_rows((row,))
            (staged / CARD_FILE).write_text(card(row), encoding="utf-8")
            (staged / MANIFEST_FILE).write_bytes(manifest.dumps())
            follow_umask(staged)  # safetensors writes files that nobody else can read
            for path in [*staged.rglob("*"), staged]:
                fsync(path)
            staged.rename(self.folder / row.name)
            fsync(self.folder)
        self._rows[row.name] = row
        return manifest

    @contextmanager
    def staged(self, name: str) -> Iterator[Path]:
        """A folder beside that of a revision, which is deleted at the end if it was not renamed.

        Raises:
            PublishError: it cannot be written.
        """
        with (
            naming(self.folder / name, PublishError),
            TemporaryDirectory(prefix=f".{name}.", suffix=".staging", dir=self.folder) as staged,
        ):
            yield Path(staged)

    def check_weights(self, name: str, save: Save) -> None:
        """Check that a revision has the weights that ``save`` writes now.

        Raises:
            PublishError: it has others, from another run, which must not be mixed with this one.
        """
        with self.staged(name) as staged:
            save(staged)
            saved = weights_in(staged)["sha256"]
        if saved != self._rows[name].sha256:
            raise PublishError(
                f"{self.folder / name} has other weights, from an earlier run: continue that run from a checkpoint, or "
                "choose another folder."
            )

    def files_to_send(self, name: str) -> dict[str, Path]:
        """The files of a revision by their paths in its repository, sorted.

        Raises:
            PublishError: one is a link to a file elsewhere.
        """
        files = self.paths(name)
        for path in files.values():
            if not self.has(path):
                raise PublishError(f"{path} is a link to a file elsewhere: put the file itself in its place.")
        return files

    def delete(self) -> None:
        """Delete all revisions.

        Raises:
            PublishError: another process writes to the folder.
        """
        if self.folder.is_dir():
            with self.locked():
                pass
            delete(self.folder)


def weights_in(folder: Path) -> dict[str, Any]:
    """SHA-256 and size of the weights in a folder, which takes 0.8 s for a gigabyte."""
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise PublishError(f"{folder} has no {WEIGHTS_FILE}: save the weights in one file.")
    return {"sha256": file_sha256(weights), "size": weights.stat().st_size}


def check_version(run: Path) -> None:
    """Refuse the folder of a run of version 0.3, which is read by its store alone and never written.

    Raises:
        ConfigError: it is one.
    """
    kept = min([*run.glob("models--*"), *run.glob("hub/models--*")], default=None)
    if kept is not None or (run / "publishing").exists():
        read = "its repository"
        if kept is not None:
            read = f"{kept.name[8:].replace('--', '/', 1)} with --store {kept.parent}"
        raise ConfigError(
            f"{run} contains what version 0.3 published: read {read}; continue or repair it with hf-clipdyn 0.3.1, or "
            "choose another folder."
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
