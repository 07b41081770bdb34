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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout
from rich.filesize import decimal

from hf_clipdyn.cards import CardFacts, revision_card
from hf_clipdyn.errors import ConfigError, PublishError, RevisionError, RevisionNotFoundError, naming
from hf_clipdyn.files import delete, file_sha256, follow_umask, fsync
from hf_clipdyn.hub import valid_repo_name
from hf_clipdyn.models.snapshots import model_files
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, NO_MANIFEST, Manifest, Row, read_manifest
from hf_clipdyn.revisions.names import natural_key
from hf_clipdyn.revisions.published import CARD_FILE, WEIGHTS_FILE, OnDisk, shown_path
from hf_clipdyn.revisions.records import FileRecord, content_of, record_of
from hf_clipdyn.revisions.series import Revision

# Writes weights (one `model.safetensors`), configuration and processor into the folder that it is given.
Save = Callable[[Path], object]


class Store(OnDisk):
    """The folders of a run, and what others add to them later.

    Args:
        run: folder of the run, which need not exist yet.

    Attributes:
        broken: names of folders whose manifest cannot be read or is another's, as the last `rows` saw them. Only
            `verify` and `repair` go on if there are any.
    """

    def __init__(self, run: str | Path) -> None:
        self.run = Path(run)
        self.folder = self.snapshots = self.run / "revisions"
        self.where = shown_path(self.folder)
        self.broken: set[str] = set()
        self._rows: dict[str, Row] = {}  # folders never change, so each row is read once
        self.manifest()  # gives the name

    # --- what is there ---

    def rows(self) -> list[Row]:
        """The rows of the revisions whose folders are here, in training order, without the broken ones."""
        manifests = self.folder.glob(f"[!.]*/{MANIFEST_FILE}")
        names = {path.parent.name for path in manifests if path.is_file()}
        # The manifest of the last revision has most rows, so few others need to be read.
        for name in sorted(names - self._rows.keys(), key=natural_key, reverse=True):
            if name not in self._rows:
                with suppress(FileNotFoundError, RevisionError):
                    rows = {row.name: row for row in read_manifest(self.folder / name).revisions}
                    self._rows.update(rows | self._rows if name in rows else {})  # as they were read first
        known = names & self._rows.keys()
        self.broken = names - known
        return sorted((self._rows[name] for name in known), key=Row.order)

    def names(self) -> list[str]:
        """The revisions whose folders are here, in training order, without the broken ones."""
        return [row.name for row in self.rows()]

    def check_readable(self) -> None:
        """Raise what is wrong with a broken folder.

        Raises:
            RevisionError: there is one.
        """
        for name in sorted(self.broken, reverse=True):
            read_manifest(self.folder / name)
            raise RevisionError(
                f"{self.folder / name / MANIFEST_FILE} does not describe {name}: delete the folder."
            )

    def manifest(self, refs: Mapping[str, str] | None = None) -> Manifest:  # noqa: ARG002
        """The newest manifest that can be read, with the rows of all others, or `NO_MANIFEST`.

        It has the rows of deleted folders too, unless these were the newest ones.
        """
        manifest = NO_MANIFEST
        for name in reversed(self.names()):
            with suppress(RevisionError):
                manifest = read_manifest(self.folder / name).with_rows(tuple(self._rows.values()))
                break
        self.repo_id = manifest.repo_id or f"local/{valid_repo_name(self.run.resolve().name)}"
        return manifest

    def refs(self) -> dict[str, str]:
        names = [*self.names(), *self.broken]
        if not names:
            raise RevisionNotFoundError(f"{self.where} has no revisions.")
        return {name: name for name in names}

    def record(self, file: Path) -> FileRecord:
        row = self._rows.get(file.parent.name)
        if row is None or file != self.folder / row.name / WEIGHTS_FILE:
            return record_of(file)
        return FileRecord(file.stat().st_size, row.sha256)  # weights take long to read

    def revisions(self) -> list[Revision]:
        listed = super().revisions()
        self.check_readable()
        return [replace(revision, commit=self._commit(revision.name)) for revision in listed]

    def _commit(self, name: str) -> str:
        return content_of(self.folder / name, self.record)

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:  # noqa: ARG002  (all is here)
        if self._commit(revision.name) != revision.commit:
            raise self.changed()
        return self.together(revision, model_files(self.folder / revision.name))

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

    # --- what is written ---

    def opened(self, run: Manifest, recipe_hash: str = "") -> Manifest:
        """What the next revision extends: a manifest with the facts of ``run``, and the rows and the id of a run here.

        Raises:
            PublishError: the folder has a run with another recipe or another name.
        """
        there = self.manifest()
        self.check_readable()
        if there is NO_MANIFEST:
            return run
        for what, before, now in (
            ("recipe", there.revisions[-1].recipe_hash, recipe_hash),
            ("name", there.repo_id, run.repo_id),
        ):
            if before != now:
                raise PublishError(
                    f"{self.run} contains a run with another {what} ({before}, not {now}): choose another folder."
                )
        return run.model_copy(update={"run_id": there.run_id, "revisions": there.revisions})

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

    def add(self, run: Manifest, row: Row, save: Save, facts: CardFacts) -> Row:
        """Write a revision; afterwards it is on the disk, also after a power failure. One that is there is compared.

        Args:
            run: what the revision extends, from `opened`.
            row: describes the revision.
            save: writes its files.
            facts: of its README.md.

        Returns:
            The row with the hash and the size of the weights.

        Raises:
            PublishError: it cannot be written, or ``save`` writes no weights; nothing of it is left. Or the run has the
                revision with other weights, of an earlier run, which must not be mixed with this one.
        """
        folder, earlier = self.folder / row.name, run.row(row.name)
        with self.staged(row.name) as staged:
            save(staged)
            weights = staged / WEIGHTS_FILE
            if not weights.is_file():
                raise PublishError(f"{folder} has no {WEIGHTS_FILE}: save the weights in one file.")
            # 0.8 s for a gigabyte
            row = row.model_copy(update={"sha256": file_sha256(weights), "size": weights.stat().st_size})
            if earlier is not None and earlier.sha256 != row.sha256:
                raise PublishError(
                    f"{folder} has other weights, from an earlier run: continue that run, or choose another folder."
                )
            if earlier is not None:
                return earlier
            (staged / CARD_FILE).write_text(revision_card(facts, **row.model_dump()), encoding="utf-8")
            (staged / MANIFEST_FILE).write_bytes(run.with_rows((row,)).dumps())
            follow_umask(staged)  # safetensors writes files that nobody else can read
            for path in [*staged.rglob("*"), staged]:
                fsync(path)
            staged.rename(folder)
            fsync(self.folder)
        self._rows[row.name] = row
        return row

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

    def delete(self) -> None:
        """Delete all revisions.

        Raises:
            PublishError: another process writes to the folder.
        """
        if self.folder.is_dir():
            with self.locked():
                pass
            delete(self.folder)


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
            f"{run} contains what version 0.3 published: read {read}; continue or repair it with hf-clipdyn 0.3.1."
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
    said = f"{revisions} revisions take {decimal(needed)} in {run / 'revisions'}"
    if needed <= free:
        return f"{said}.", True
    return f"{said}, but the disk has {decimal(free)} left: free some, or publish fewer.", False
