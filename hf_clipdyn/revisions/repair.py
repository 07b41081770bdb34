"""Repair what `verify` finds, from the run's journal and intact copies."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.files import file_sha256
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.revisions.journal import Entry, Journal, RunFacts
from hf_clipdyn.revisions.manifest import MANIFEST_FILE
from hf_clipdyn.revisions.publication import Snapshot, content_differs, files_of, settle_main
from hf_clipdyn.revisions.publication import replace as replace_revision
from hf_clipdyn.revisions.repository import WEIGHTS_FILE, Repository, sha256_of, weights_of
from hf_clipdyn.revisions.targets import open_targets
from hf_clipdyn.revisions.verify import Report, verify_repository

__all__ = ["Repaired", "repair"]

_MAY_CHANGE_LATER = ("README.md", MANIFEST_FILE, ".gitattributes")


@dataclass(frozen=True)
class Repaired:
    """What `repair` did.

    Attributes:
        done: what was republished, as sentences.
        lost: revisions that are wrong somewhere and have no intact copy.
        reports: what `verify` says afterwards, one report per target.
    """

    done: tuple[str, ...]
    lost: tuple[str, ...]
    reports: tuple[Report, ...]

    @property
    def whole(self) -> bool:
        """Whether everything is right now."""
        return not self.lost and not any(report.findings for report in self.reports)

    def render(self) -> str:
        lines = [*self.done] or ["Nothing had to be republished."]
        lines += [
            f"{name}: no intact copy is left, neither in the journal nor in a target." for name in self.lost
        ]
        return "\n".join([*lines, *(report.render() for report in self.reports)])


def repair(output_dir: Path, *, token: str | None = None, retries: RetryPolicy | None = None) -> Repaired:
    """Republish every revision of a run that a target lacks or serves with other contents.

    No other command moves a branch; this one moves it back to the weights that the journal names.

    Args:
        output_dir: folder of the run.
        token: token of the Hub; None for the stored one.

    Raises:
        ConfigError: the folder has no journal.
        RevisionError: a target cannot be read or written.
    """
    journal = Journal.of_run(output_dir)
    facts = journal.required_run()
    with journal.locked():
        targets = open_targets(facts, Path(output_dir), token=token, retries=retries)
        # Revisions without a hash, or refused because of identical weights, were never published.
        entries = [entry for entry in journal.entries() if entry.row.sha256 and not entry.refused]
        done: list[str] = []
        lost: set[str] = set()
        for key, target in targets.items():
            target.check()
            entries = _Target(key, target, facts).repair(journal, entries, targets, done, lost)
    reports = tuple(verify_repository(target, deep=target.on_disk) for target in targets.values())
    return Repaired(tuple(done), tuple(sorted(lost)), reports)


@dataclass(frozen=True)
class _Target:
    """One target under repair."""

    key: str
    repository: Repository
    facts: RunFacts

    def repair(
        self,
        journal: Journal,
        entries: Sequence[Entry],
        targets: dict[str, Repository],
        done: list[str],
        lost: set[str],
    ) -> list[Entry]:
        """Repair the revisions, then `main`; returns the entries with the commits that are now published."""
        repaired: list[Entry] = []
        rows = tuple(entry.row for entry in entries)
        for position, entry in enumerate(entries):
            if self._is_whole(entry):
                repaired.append(entry)
                continue
            with self._source(entry, journal, targets) as folder:
                if folder is None:
                    lost.add(entry.name)
                    repaired.append(entry)
                    continue
                # With the manifest of the time of the revision, the store gets the same commit.
                manifest = self.facts.manifest(rows[: position + 1])
                snapshot = Snapshot(files_of(folder), entry.row, self.facts.manifest())
                commit = replace_revision(self.repository, snapshot, manifest)
            entry = replace(entry, published=entry.published | {self.key: commit})
            journal.put(entry)
            repaired.append(entry)
            done.append(f"{entry.name} was republished to {self.repository.where}.")
        whole = self.facts.manifest(rows)
        if repaired and settle_main(self.repository, whole):
            done.append(f"main was set to {rows[-1].name} in {self.repository.where}.")
        return repaired

    def _is_whole(self, entry: Entry) -> bool:
        """Whether the target serves this revision under its name; a card may have been edited."""
        target = self.repository
        try:
            commit = target.refs()[entry.name]
            served = target.files(commit)
            weights = weights_of(served)
            if weights is None or weights.size != entry.row.size:
                return False
            if sha256_of(target, commit) != entry.row.sha256 or target.absent_files(commit):
                return False
            if target.on_disk and any(
                content_differs(target, commit, path, record) for path, record in served.items()
            ):
                return False
        except (KeyError, RevisionError):
            return False
        try:
            published = target.files(entry.published[self.key])
        except (KeyError, RevisionError):
            return True
        return all(
            served.get(path) == record for path, record in published.items() if path not in _MAY_CHANGE_LATER
        )

    @contextmanager
    def _source(
        self, entry: Entry, journal: Journal, targets: dict[str, Repository]
    ) -> Iterator[Path | None]:
        """A folder with the revision's files and the weights that the journal names; None if there is none."""
        kept = journal.snapshot(entry.name)
        if _has_weights(kept, entry):
            yield kept
            return
        with tempfile.TemporaryDirectory(dir=journal.folder) as scratch:
            for key, target in targets.items():
                for commit in {entry.published.get(key), _ref(target, entry.name)} - {None}:
                    folder = Path(tempfile.mkdtemp(dir=scratch))
                    if _copy(target, str(commit), folder) and _has_weights(folder, entry):
                        yield folder
                        return
            yield None


def _ref(target: Repository, name: str) -> str | None:
    try:
        return target.refs().get(name)
    except RevisionError:
        return None


def _copy(target: Repository, commit: str, folder: Path) -> bool:
    """Copy a commit's files into a folder; False if it is not all there."""
    try:
        for path in target.files(commit):
            if path not in (MANIFEST_FILE, ".gitattributes"):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with target.fetched(commit, path) as file:
                    shutil.copyfile(file, folder / path)
        return not target.absent_files(commit)
    except (RevisionError, OSError):
        return False


def _has_weights(folder: Path, entry: Entry) -> bool:
    weights = folder / WEIGHTS_FILE
    return weights.is_file() and file_sha256(weights) == entry.row.sha256
