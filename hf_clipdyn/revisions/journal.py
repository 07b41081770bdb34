"""The journal of a run's publishing: which revisions were handed in, and which target has them.

::

    <output_dir>/publishing/
        run.json                  where this run publishes; no token is ever written
        entries/epoch-003.json    one revision: its manifest row, and the targets that have it
        snapshots/epoch-003/      its files, until every target has it
        staging/                  a snapshot that is being written; never read
        lock                      held by the one process that publishes

An entry appears by a rename after its snapshot, so it is whole or absent at any moment.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self
from uuid import uuid4

from filelock import FileLock, Timeout

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.files import delete, disk_errors, fsync, replace_durably, write_atomically
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.revisions.local import LocalStore
from hf_clipdyn.revisions.manifest import OF_RUN, Manifest, ManifestRow, sort_key
from hf_clipdyn.revisions.names import RevisionName
from hf_clipdyn.revisions.repository import Repository
from hf_clipdyn.schema import CommitId, Matches, RepoId, checked_repo_id, read_json

STORE, HUB = "store", "hub"
"""Keys of the targets."""

_Target = Annotated[str, Matches("store|hub", "a target: store or hub")]
_Store = Annotated[
    str, Matches(lambda text: _is_store(text), "a folder inside the run's, or an absolute path")
]


def _is_store(text: str) -> bool:
    path = Path(text)
    return "\0" not in text and 0 < len(text) < 4096 and (path.is_absolute() or ".." not in path.parts)


@dataclass(frozen=True)
class RunFacts:
    """Where a run publishes and what its cards say: everything that `clipdyn repair` needs.

    Attributes:
        run_id: drawn once per run; the manifest carries it, so that two runs never mix.
        store: the local store, relative to the run's folder if it is inside; None if the run publishes to the
            Hub only.
        planned: the names of all revisions that the run will have; empty if unknown.
    """

    repo_id: RepoId
    run_id: str
    recipe_hash: str
    store: _Store | None
    push_to_hub: bool
    private: bool
    card: CardFacts
    planned: tuple[RevisionName, ...] = ()

    def manifest(self, rows: tuple[ManifestRow, ...] = ()) -> Manifest:
        """The run's manifest with these rows."""
        card = self.card
        of_run = {name: getattr(card, name) for name in OF_RUN}
        return Manifest(self.run_id, rows, **of_run, parents=card.public_parents, planned=self.planned)

    def targets(
        self, output_dir: Path, *, token: str | None, retries: RetryPolicy | None
    ) -> dict[str, Repository]:
        """The targets of the run in ``output_dir`` by key, the store first.

        The Hub's client is imported only for a run that pushes to the Hub.
        """
        checked_repo_id(self.repo_id, owner=self.push_to_hub)
        targets: dict[str, Repository] = {}
        if self.store is not None:
            targets[STORE] = LocalStore((output_dir / self.store).absolute(), self.repo_id)
        if self.push_to_hub:
            from hf_clipdyn.revisions.remote import HubRepository

            targets[HUB] = HubRepository(self.repo_id, token=token, private=self.private, retries=retries)
        if not targets:
            raise ConfigError("There is no target to publish to: give a store or push to the Hub.")
        return targets


@dataclass(frozen=True)
class Entry:
    """One revision that was handed in.

    Attributes:
        row: its manifest row; the hash is empty until a publishing thread has computed it.
        published: target (`store`, `hub`) to commit.
    """

    row: ManifestRow
    published: dict[_Target, CommitId] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.row.name


class Journal:
    """The journal in ``folder``; each change is on the disk before the method returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder / "staging"

    @classmethod
    def of_run(cls, output_dir: Path) -> Self:
        """The journal of the run in that folder."""
        return cls(Path(output_dir) / "publishing")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; a killed one leaves no lock behind."""
        folders = [self.folder / name for name in ("entries", "snapshots", "staging")]
        for path in (*folders, *self.snapshot("").glob("*")):  # their contents are replaced or deleted later
            if path.is_symlink():
                raise PublishError(f"{path} is a link: put the folder itself in its place.")
        lock = FileLock(self.folder / "lock", timeout=1)
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout as error:
                raise PublishError(
                    f"Another process publishes from {self.folder}: wait until it ends."
                ) from error
        try:
            yield
        finally:
            lock.release()

    def _writing(self) -> AbstractContextManager[None]:
        return disk_errors(
            PublishError, f"{self.folder} cannot be written", "check its permissions, or free some space"
        )

    # --- the run ------------------------------------------------------------------------------------

    def run(self) -> RunFacts | None:
        """The run that this journal belongs to; None before the first `open`."""
        path = self.folder / "run.json"
        return read_json(RunFacts, path, error=PublishError) if path.exists() else None

    def required_run(self) -> RunFacts:
        """The run that this journal belongs to. One from elsewhere must not choose where files are written here."""
        facts = self.run()
        if facts is None:
            raise ConfigError(
                f"{self.folder.parent} is not the output_dir of a run: it has no journal of publishing."
            )
        store = Path(facts.store) if facts.store is not None else None
        if store is not None and store.is_absolute() and not LocalStore(store, facts.repo_id).folder.is_dir():
            raise PublishError(
                f"{self.folder / 'run.json'} names the store {store}, which does not contain {facts.repo_id}: "
                "move the store back there, or correct `store` in the file."
            )
        return facts

    def open(self, facts: RunFacts) -> RunFacts:
        """Start the journal, or continue it: the run keeps its id."""
        earlier = self.run()
        for what in ("repo_id", "recipe_hash") if earlier is not None else ():
            if getattr(earlier, what) != getattr(facts, what):
                raise PublishError(
                    f"{self.folder.parent} belongs to a run with another {what.replace('_', ' ')} "
                    f"({getattr(earlier, what)}): choose another output_dir."
                )
        facts = replace(facts, run_id=uuid4().hex if earlier is None else earlier.run_id)
        with self._writing():
            self._write("run.json", asdict(facts))
            delete(self.staging)
        return facts

    # --- the entries --------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """All revisions handed in so far, in training order."""
        entries = []
        for path in (self.folder / "entries").glob("*.json"):
            entries.append(entry := read_json(Entry, path, error=PublishError))
            if entry.name != path.stem:
                raise PublishError(
                    f"The journal entry {path} describes {entry.name}, not {path.stem}: remove it."
                )
        return sorted(entries, key=lambda entry: sort_key(entry.name, entry.row.step))

    def add(self, row: ManifestRow, save: Callable[[Path], None]) -> Entry:
        """Take a snapshot: ``save`` writes the files into the folder that it is given."""
        staged = self.staging / row.name
        delete(staged)
        staged.mkdir(parents=True)
        try:
            save(staged)
            for path in sorted(staged.rglob("*")):
                fsync(path)
            fsync(staged)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)  # the disk may be full
            raise
        delete(self.snapshot(row.name))  # of a killed process that had not written its entry yet
        self.snapshot(row.name).parent.mkdir(exist_ok=True)
        replace_durably(staged, self.snapshot(row.name))
        entry = Entry(row)
        self.put(entry)
        return entry

    def put(self, entry: Entry) -> None:
        """Write an entry, new or changed."""
        self._write(f"entries/{entry.name}.json", asdict(entry))

    def snapshot(self, name: str) -> Path:
        """The folder of a revision's files; it is gone once every target has the revision."""
        return self.folder / "snapshots" / name

    def discard_snapshot(self, name: str) -> None:
        with suppress(OSError):  # it only takes space
            delete(self.snapshot(name))

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_atomically(self.folder / name, json.dumps(content, indent=1), staging=self.staging)
