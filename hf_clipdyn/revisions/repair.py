"""Repair what `verify` finds, from the run's journal and intact copies."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.files import file_sha256
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.revisions.journal import Entry, Journal, RunFacts
from hf_clipdyn.revisions.manifest import MANIFEST_FILE
from hf_clipdyn.revisions.publication import Snapshot, content_differs, files_of, update_main
from hf_clipdyn.revisions.publication import replace as replace_revision
from hf_clipdyn.revisions.publisher import Publisher, Summary
from hf_clipdyn.revisions.repository import Repository, sha256_of, weights_in, weights_of
from hf_clipdyn.revisions.verify import Report, verify_repository

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
        """Whether everything is right now; identical weights are what the run made."""
        findings = [finding for report in self.reports for finding in report.findings]
        return not self.lost and all(finding.kind == "identical-weights" for finding in findings)

    def render(self) -> str:
        lines = [*self.done] or ["Nothing had to be republished."]
        lines += [
            f"{name}: no intact copy is left, neither in the journal nor in a target." for name in self.lost
        ]
        return "\n".join([*lines, *(report.render() for report in self.reports)])


def repair(output_dir: Path, *, token: str | None = None, retries: RetryPolicy | None = None) -> Repaired:
    """Republish every revision of a run that a target lacks or serves with other contents.

    No other command moves a branch; this one moves it back to the weights that the journal names.
    """
    journal = Journal.of_run(output_dir)
    facts = journal.required_run()
    with journal.locked():
        targets = facts.targets(Path(output_dir), token=token, retries=retries)
        entries = [
            entry for entry in journal.entries() if entry.row.sha256
        ]  # without a hash, never published
        work = _Repair(journal, facts, targets, {entry.name: entry for entry in entries})
        for key, target in targets.items():
            target.check()
            work.repair(key)
    reports = tuple(verify_repository(target, deep=target.on_disk) for target in targets.values())
    return Repaired(tuple(work.done), tuple(sorted(work.lost)), reports)


@dataclass(frozen=True)
class _Repair:
    """The repair of all targets of a run.

    Attributes:
        entries: the revisions in training order, with the commits that are now published.
    """

    journal: Journal
    facts: RunFacts
    targets: dict[str, Repository]
    entries: dict[str, Entry]
    done: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)

    def repair(self, key: str) -> None:
        """Repair the revisions in one target, then `main`."""
        target = self.targets[key]
        rows = tuple(entry.row for entry in self.entries.values())
        for position, (name, entry) in enumerate(self.entries.items()):
            if self._is_whole(key, entry):
                continue
            with self._source(entry) as folder:
                if folder is None:
                    self.lost.add(name)
                    continue
                # With the manifest of the time of the revision, the store gets the same commit.
                manifest = self.facts.manifest(rows[: position + 1])
                snapshot = Snapshot(files_of(folder), entry.row, self.facts.manifest())
                commit = replace_revision(target, snapshot, manifest)
            self.entries[name] = replace(entry, published=entry.published | {key: commit})
            self.journal.put(self.entries[name])
            self.done.append(f"{name} was republished to {target.where}.")
        if rows and update_main(target, self.facts.manifest(rows)):
            self.done.append(f"main was set to {rows[-1].name} in {target.where}.")

    def _is_whole(self, key: str, entry: Entry) -> bool:
        """Whether the target serves this revision under its name; a card may have been edited."""
        target = self.targets[key]
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
            published = target.files(entry.published[key])
        except (KeyError, RevisionError):
            return True
        return all(
            served.get(path) == record for path, record in published.items() if path not in _MAY_CHANGE_LATER
        )

    @contextmanager
    def _source(self, entry: Entry) -> Iterator[Path | None]:
        """A folder with the revision's files and the weights that the journal names; None if there is none."""
        kept = self.journal.snapshot(entry.name)
        if _has_weights(kept, entry):
            yield kept
            return
        with tempfile.TemporaryDirectory(dir=self.journal.folder) as scratch:
            for key, target in self.targets.items():
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
    weights = weights_in(folder)
    return weights is not None and file_sha256(weights) == entry.row.sha256


def resume_publishing(
    output_dir: Path,
    *,
    push_to_hub: bool = False,
    token: str | None = None,
    retries: RetryPolicy | None = None,
) -> Summary:
    """Publish the revisions that an earlier process could not publish.

    Args:
        output_dir: folder of the run.
        push_to_hub: publish to the Hub too, even if the run was kept local so far.
        token: token of the Hub; None for the stored one.
        retries: how calls to the Hub are repeated.

    Returns:
        Which revisions are saved and published now.

    Raises:
        ConfigError: the folder has no journal.
        RevisionError: a target cannot be written, or contains another run.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.revisions import resume_publishing
        >>> resume_publishing(Path("runs/demo")).missing
        []
    """
    facts = Journal.of_run(output_dir).required_run()
    publisher = Publisher(
        facts.repo_id,
        output_dir=Path(output_dir),
        store=Path(output_dir) / facts.store if facts.store is not None else None,
        push_to_hub=facts.push_to_hub or push_to_hub,
        token=token,
        private=facts.private,
        card=facts.card,
        recipe_hash=facts.recipe_hash,
        retries=retries,
    )
    with publisher:
        publisher.check()
        return publisher.finish()
