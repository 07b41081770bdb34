"""The revisions of a run on the disk: one plain folder each, which `from_pretrained` loads.

::

    runs/demo/revisions/
        run.json                the record of the run, which alone says what belongs to it and who may see it
        epoch-003/              the files of the branch epoch-003 on the Hub
            model.safetensors, config.json, …
            README.md
            revisions.json      its row and those of the earlier revisions: a copy
        replaced/epoch-003-1a2b3c4d/    was trained again with other weights
        .epoch-004.1f2a.staging/    being written; never read, removed at the next start
        .lock                   of the process that writes

A folder appears by a rename, so it is whole or absent, and it never changes afterwards. The record is replaced after
it; folders that it lacks, since a process was killed in between or was one of version 0.4, are taken over.
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Any

from filelock import FileLock, Timeout
from rich.filesize import decimal

from hf_clipdyn.cards import CardFacts, revision_card
from hf_clipdyn.errors import ConfigError, PublishError, RevisionError, RevisionNotFoundError, naming
from hf_clipdyn.files import delete, file_sha256, follow_umask, fsync, replace_durably, write_atomically
from hf_clipdyn.hub import valid_repo_name
from hf_clipdyn.models.snapshots import model_files, snapshot_folder
from hf_clipdyn.options import read_yaml
from hf_clipdyn.revisions.manifest import (
    MANIFEST_FILE,
    NO_MANIFEST,
    RUN_FILE,
    Manifest,
    Replaced,
    Row,
    read_manifest,
)
from hf_clipdyn.revisions.names import natural_key, training_order
from hf_clipdyn.revisions.published import CARD_FILE, WEIGHTS_FILE, OnDisk, described, shown_path
from hf_clipdyn.revisions.records import FileRecord, content_of, record_of
from hf_clipdyn.revisions.series import Revision

_log = logging.getLogger(__name__)
REPLACED = "replaced"  # the folder of revisions that were trained again

# Writes weights (one `model.safetensors`), configuration and processor into the folder that it is given.
Save = Callable[[Path], object]


class Store(OnDisk):
    """The folders of a run, and what others add to them later.

    Args:
        run: folder of the run, which need not exist yet.

    Attributes:
        broken: names of folders that are not of this run, as the last `manifest` saw them. Only `verify` and `repair`
            go on if there are any.
        damage: what is wrong with `run.json`; empty if it can be read or is not there.
    """

    def __init__(self, run: str | Path) -> None:
        self.run = Path(run)
        self.folder = self.snapshots = self.run / "revisions"
        self.where = shown_path(self.folder)
        self.broken: set[str] = set()
        self._writing = RLock()  # training and the upload write the record
        self._read: dict[Path, tuple[tuple[int, int], Manifest]] = {}
        self._rows: dict[str, Row] = {}
        self.manifest()  # gives the name

    # --- what is there ---

    def folders(self) -> set[str]:
        """The names of the folders of revisions, also of broken ones."""
        files = [path for name in (MANIFEST_FILE, WEIGHTS_FILE) for path in self.folder.glob(f"[!.]*/{name}")]
        return {path.parent.name for path in files if path.is_file()}

    def manifest(self, refs: Mapping[str, str] | None = None) -> Manifest:  # noqa: ARG002
        """The record of the run, with the rows of folders that it lacks, or `NO_MANIFEST`."""
        here, record = self.folders(), self._record()
        is_new = record is NO_MANIFEST  # of version 0.4, or lost
        unknown = here - {row.name for row in record.revisions}
        for name in sorted(unknown, key=natural_key, reverse=True):
            with suppress(FileNotFoundError, RevisionError):
                copy = self._manifest_in(self.folder / name / MANIFEST_FILE)
                row = copy.row(name)
                if row is not None and row.sha256 in {other.sha256 for other in record.replaced}:
                    here.discard(name)  # a killed process has not yet moved it
                elif row is not None and record is NO_MANIFEST:
                    record = copy
                elif row is not None and copy.run_id == record.run_id:
                    record = record.joined(copy.model_copy(update={"revisions": (row,)}))
        if is_new and record is not NO_MANIFEST:
            record = self._taken_over(record, here)
        self._rows = {row.name: row for row in record.revisions}
        self.broken = here - self._rows.keys()
        self.repo_id = record.repo_id or f"local/{valid_repo_name(self.run.resolve().name)}"
        self.former = record.former
        return record

    def _record(self) -> Manifest:
        """What `run.json` says. Of a damaged one, nobody knows who may see the run, so it is private."""
        self.damage = ""
        try:
            return self._manifest_in(self.folder / RUN_FILE)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except RevisionError as error:
            self.damage = str(error)
        return NO_MANIFEST

    def _manifest_in(self, file: Path) -> Manifest:
        """A manifest, read again only after a change."""
        status = file.stat()
        stamp, (before, manifest) = (
            (status.st_mtime_ns, status.st_size),
            self._read.get(file, (None, NO_MANIFEST)),
        )
        if before != stamp:
            manifest = Manifest.loads(file.read_bytes(), file)
            self._read[file] = stamp, manifest
        return manifest

    def _taken_over(self, record: Manifest, here: set[str]) -> Manifest:
        """The record of a run of version 0.4, which wrote none: of a pushed run, folders could be deleted."""
        gone = [row.name for row in record.revisions if record.pushed and row.name not in here]
        facts: dict[str, Any] = {"only_on_hub": {**dict.fromkeys(gone, ""), **record.only_on_hub}}
        with suppress(OSError, ConfigError):
            if self.damage or read_yaml(self.run / "config.yaml").get("hub_private_repo") == "true":
                facts["private"] = True
        return record.model_copy(update=facts)

    def write(self, record: Manifest) -> None:
        """Replace the record, at once or not at all."""
        write_atomically(self.folder / RUN_FILE, record.dumps())

    def update(self, **facts: Any) -> None:
        """Replace facts of the record."""
        with self._writing:
            self.write(self.manifest().model_copy(update=facts))

    def rows(self) -> list[Row]:
        """The rows of the revisions whose folders are here, in training order, without the broken ones."""
        here = self.folders()
        if here - self._rows.keys() - self.broken or self._rows.keys() - here:
            self.manifest()
        return sorted((self._rows[name] for name in here & self._rows.keys()), key=Row.order)

    def names(self) -> list[str]:
        """The revisions whose folders are here, in training order, without the broken ones."""
        return [row.name for row in self.rows()]

    def check_readable(self) -> None:
        """Raise what is wrong with a broken folder.

        Raises:
            RevisionError: there is one.
        """
        for name in sorted(self.broken, reverse=True):
            with naming(self.folder / name, RevisionError):
                read_manifest(self.folder / name)
            raise RevisionError(
                f"{self.folder / name} is no revision of this run: move the folder elsewhere."
            )

    def refs(self) -> dict[str, str]:
        names = [*self.names(), *self.broken]
        if not names and not self.manifest().revisions:
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
        listed = [replace(revision, commit=self.commit(revision.name)) for revision in listed]
        record = self.manifest()
        for name, commit in record.only_on_hub.items():
            if commit and (row := record.row(name)) is not None:
                of_hub = described(name, commit, {}, record)
                listed.append(replace(of_hub, sha256=row.sha256, size=row.size))
        return sorted(listed, key=lambda revision: training_order(revision.name, revision.step))

    def commit(self, name: str) -> str:
        """What stands in place of a commit: a hash of the model files of a revision."""
        return content_of(self.folder / name, self.record)

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        if (self.folder / revision.name).is_dir():
            if self.commit(revision.name) != revision.commit:
                raise self.changed()
            return self.together(revision, model_files(self.folder / revision.name))
        if revision.name not in self.manifest().only_on_hub:
            raise self.changed()
        folder = snapshot_folder(self.repo_id, revision.name, settings_only=settings_only)
        if not settings_only and content_of(folder) != revision.commit:
            raise self.changed()
        return self.together(revision, model_files(folder))

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
        """The record of the run that a process begins or continues; it is on the disk before the Hub is asked.

        Raises:
            PublishError: the folder has a run with another recipe, or one with another name that had a repository.
        """
        there = self.manifest()
        self.check_readable()
        if there is not NO_MANIFEST:
            before = there.revisions[-1].recipe_hash if there.revisions else recipe_hash
            if before != recipe_hash:
                self._refuse("recipe", before, recipe_hash)
            self.check_name(there, run)
            run = there.continued(run)
        self.write(run)
        return self.manifest()

    def check_name(self, there: Manifest, now: Manifest) -> None:
        """Refuse another name, but for the first repository of a run that had only a local name."""
        had_none = not there.pushed and (there.repo_id or "local/").startswith("local/")
        if there.repo_id != now.repo_id and not (now.pushed and had_none):
            self._refuse("name", there.repo_id, now.repo_id)

    def _refuse(self, what: str, before: object, now: object) -> None:
        raise PublishError(
            f"{self.run} contains a run with another {what} ({before}, not {now}): choose another folder."
        )

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
            self._move_replaced(self.manifest())
            yield

    def add(self, row: Row, save: Save, facts: CardFacts) -> Row:
        """Write a revision; afterwards it is on the disk, also after a power failure. One that is there is compared.

        Where it differs, the earlier one and all after it are set aside, so that two trainings are never mixed.

        Args:
            row: describes the revision.
            save: writes its files.
            facts: of its README.md.

        Returns:
            The row with the hash and the size of the weights.

        Raises:
            PublishError: it cannot be written, or ``save`` writes no weights; nothing of it is left. Or the first
                revision of the run has other weights: then it is another run.
        """
        with self._writing, self.staged(row.name) as staged:
            folder, run = self.folder / row.name, self.manifest()
            earlier = run.row(row.name)
            save(staged)
            weights = staged / WEIGHTS_FILE
            if not weights.is_file():
                raise PublishError(f"{folder} has no {WEIGHTS_FILE}: save the weights in one file.")
            # 0.8 s for a gigabyte
            row = row.model_copy(update={"sha256": file_sha256(weights), "size": weights.stat().st_size})
            if earlier is not None and earlier.sha256 == row.sha256:
                if folder.is_dir() or row.name in run.only_on_hub:
                    return earlier
                row = earlier  # somebody deleted the folder
            elif earlier is not None:
                if earlier == run.revisions[0]:
                    raise PublishError(
                        f"{folder} has other weights, from an earlier run: continue that run, or choose another folder."
                    )
                run = self._set_aside(run, earlier)
            (staged / CARD_FILE).write_text(revision_card(facts, **row.model_dump()), encoding="utf-8")
            run = run.with_rows((row,))
            (staged / MANIFEST_FILE).write_bytes(run.until(row).dumps())
            follow_umask(staged)  # safetensors writes files that nobody else can read
            for path in [*staged.rglob("*"), staged]:
                fsync(path)
            staged.rename(folder)
            fsync(self.folder)
            self.write(run)
        return row

    def _set_aside(self, run: Manifest, first: Row) -> Manifest:
        """The record without a revision and those after it, whose folders get another place."""
        later = [row for row in run.revisions if row.order() >= first.order()]
        here = self.folders()
        replaced = [
            Replaced(
                name=row.name, sha256=row.sha256, commit=self.commit(row.name) if row.name in here else ""
            )
            for row in later
        ]
        _log.warning(
            "%s was trained again with other weights than before: %s are set aside in %s.",
            *(first.name, ", ".join(row.name for row in later), self.folder / REPLACED),
        )
        kept = tuple(row for row in run.revisions if row not in later)
        names = {row.name for row in later}
        on_hub = {name: commit for name, commit in run.only_on_hub.items() if name not in names}
        facts = {"revisions": kept, "only_on_hub": on_hub, "replaced": (*run.replaced, *replaced)}
        run = run.model_copy(update=facts)
        self.write(run)
        self._move_replaced(run)
        return run

    def _move_replaced(self, run: Manifest) -> None:
        names = {(row.name, row.sha256) for row in run.replaced}
        for name in self.folders() & {name for name, _ in names}:
            with suppress(RevisionError):
                row = self._manifest_in(self.folder / name / MANIFEST_FILE).row(name)
                if row is not None and (name, row.sha256) in names and run.row(name) != row:
                    target = self.folder / REPLACED / f"{name}-{row.sha256[:8]}"
                    target.parent.mkdir(exist_ok=True)
                    if target.exists():
                        delete(self.folder / name)  # the same weights were set aside before
                    else:
                        replace_durably(self.folder / name, target)

    def leave_to_hub(self, names: Iterable[str]) -> None:
        """Remove folders whose branches are whole; the record knows them before the first one goes."""
        commits = {name: self.commit(name) for name in names}
        if commits:
            self.update(only_on_hub={**self.manifest().only_on_hub, **commits})
        for name in commits:
            delete(self.folder / name)

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
