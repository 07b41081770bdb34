"""Put right what `verify` finds, from what the run still has: its journal, and any place that is whole."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.revisions.files import file_sha256
from hf_clipdyn.revisions.journal import Entry, Journal, RunFacts
from hf_clipdyn.revisions.manifest import MANIFEST_FILE
from hf_clipdyn.revisions.places import open_places
from hf_clipdyn.revisions.publication import Snapshot, content_differs, files_of, settle_main
from hf_clipdyn.revisions.publication import replace as replace_revision
from hf_clipdyn.revisions.repository import WEIGHTS_FILE, Repository, sha256_of, weights_of
from hf_clipdyn.revisions.verify import Report, verify_repository

__all__ = ["Repaired", "repair"]

_MAY_CHANGE_LATER = ("README.md", MANIFEST_FILE, ".gitattributes")


@dataclass(frozen=True)
class Repaired:
    """What `repair` did.

    Attributes:
        done: what was published anew, as sentences.
        lost: revisions that are wrong somewhere and whole nowhere.
        reports: what `verify` says afterwards, one report per place.
    """

    done: tuple[str, ...]
    lost: tuple[str, ...]
    reports: tuple[Report, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong any more."""
        return not self.lost and not any(report.findings for report in self.reports)

    def render(self) -> str:
        lines = [*self.done] or ["Nothing had to be published anew."]
        lines += [f"{name}: no whole copy is left in the journal or in any place." for name in self.lost]
        return "\n".join([*lines, *(report.render() for report in self.reports)])


def repair(output_dir: Path, *, token: str | None = None, retries: RetryPolicy | None = None) -> Repaired:
    """Publish anew every revision of a run that a place lacks, or serves with other contents.

    This is the one command that moves a branch, and it moves it back to the weights that the journal names.

    Args:
        output_dir: folder of the run.
        token: token of the Hub; None for the stored one.

    Raises:
        ConfigError: the folder has no journal.
        RevisionError: a place cannot be read or written.
    """
    journal = Journal.of_run(output_dir)
    facts = journal.required_run()
    with journal.locked():
        places = open_places(facts, Path(output_dir), token=token, retries=retries)
        # What was never hashed, or was refused for having the weights of another one, was never published.
        entries = [entry for entry in journal.entries() if entry.row.sha256 and not entry.refused]
        done: list[str] = []
        lost: set[str] = set()
        for key, place in places.items():
            place.check()
            entries = _Place(key, place, facts).mend(journal, entries, places, done, lost)
    reports = tuple(verify_repository(place, deep=place.on_disk) for place in places.values())
    return Repaired(tuple(done), tuple(sorted(lost)), reports)


@dataclass(frozen=True)
class _Place:
    """One place under repair."""

    key: str
    repository: Repository
    facts: RunFacts

    def mend(
        self,
        journal: Journal,
        entries: Sequence[Entry],
        places: dict[str, Repository],
        done: list[str],
        lost: set[str],
    ) -> list[Entry]:
        """Mend the revisions, then `main`; returns the entries with the commits that are now published."""
        mended: list[Entry] = []
        rows = tuple(entry.row for entry in entries)
        for position, entry in enumerate(entries):
            if self._is_whole(entry):
                mended.append(entry)
                continue
            with self._source(entry, journal, places) as folder:
                if folder is None:
                    lost.add(entry.name)
                    mended.append(entry)
                    continue
                # With the manifest as it was when the revision was new, the store gets the very same commit.
                manifest = self.facts.manifest(rows[: position + 1])
                snapshot = Snapshot(files_of(folder), entry.row, self.facts.manifest())
                commit = replace_revision(self.repository, snapshot, manifest)
            entry = replace(entry, published=entry.published | {self.key: commit})
            journal.put(entry)
            mended.append(entry)
            done.append(f"{entry.name} was published anew to {self.repository.where}.")
        whole = self.facts.manifest(rows)
        if mended and settle_main(self.repository, whole):
            done.append(f"main was set to {rows[-1].name} in {self.repository.where}.")
        return mended

    def _is_whole(self, entry: Entry) -> bool:
        """Whether the place serves this revision under its name; a card that was edited later is no fault."""
        place = self.repository
        try:
            commit = place.refs()[entry.name]
            served = place.files(commit)
            weights = weights_of(served)
            if weights is None or weights.size != entry.row.size:
                return False
            if sha256_of(place, commit) != entry.row.sha256 or place.absent_files(commit):
                return False
            if place.on_disk and any(
                content_differs(place, commit, path, record) for path, record in served.items()
            ):
                return False
        except (KeyError, RevisionError):
            return False
        try:
            published = place.files(entry.published[self.key])
        except (KeyError, RevisionError):
            return True
        return all(
            served.get(path) == record for path, record in published.items() if path not in _MAY_CHANGE_LATER
        )

    @contextmanager
    def _source(self, entry: Entry, journal: Journal, places: dict[str, Repository]) -> Iterator[Path | None]:
        """A folder with the revision's files, whose weights hash to what the journal says; None if none has."""
        kept = journal.snapshot(entry.name)
        if _has_weights(kept, entry):
            yield kept
            return
        with tempfile.TemporaryDirectory(dir=journal.folder) as scratch:
            for key, place in places.items():
                for commit in {entry.published.get(key), _ref(place, entry.name)} - {None}:
                    folder = Path(tempfile.mkdtemp(dir=scratch))
                    if _copy(place, str(commit), folder) and _has_weights(folder, entry):
                        yield folder
                        return
            yield None


def _ref(place: Repository, name: str) -> str | None:
    try:
        return place.refs().get(name)
    except RevisionError:
        return None


def _copy(place: Repository, commit: str, folder: Path) -> bool:
    """Copy a commit's files into a folder; False if it is not all there."""
    try:
        for path in place.files(commit):
            if path not in (MANIFEST_FILE, ".gitattributes"):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with place.fetched(commit, path) as file:
                    shutil.copyfile(file, folder / path)
        return not place.absent_files(commit)
    except (RevisionError, OSError):
        return False


def _has_weights(folder: Path, entry: Entry) -> bool:
    weights = folder / WEIGHTS_FILE
    return weights.is_file() and file_sha256(weights) == entry.row.sha256
