"""Compare a run with its rows: its folders, its branches on the Hub, and `main`. `verify` reports, `repair` mends.

Most checks read only metadata: the Hub records the SHA-256 of weights, and the rows have it too. With ``deep`` the
files are read and hashed.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from safetensors import SafetensorError, safe_open

from hf_clipdyn.errors import ClipDynError, ConfigError, PublishError, RevisionError, counted, printable
from hf_clipdyn.files import delete, file_sha256, follow_umask, write_atomically
from hf_clipdyn.hub import checked_repo_id, persistently
from hf_clipdyn.models.snapshots import PROCESSOR_NAMES, architecture
from hf_clipdyn.revisions.difference import Action, Change, Copies, difference
from hf_clipdyn.revisions.manifest import IMPORTED, MANIFEST_FILE, NO_MANIFEST, RUN_FILE, Manifest
from hf_clipdyn.revisions.names import CHECKPOINT, MAIN, Name, epoch_name, epoch_of, training_order
from hf_clipdyn.revisions.open import open_series
from hf_clipdyn.revisions.published import CARD_FILE, HubRun, Published, in_parallel
from hf_clipdyn.revisions.records import Weights, weights_of
from hf_clipdyn.revisions.store import Store, check_version
from hf_clipdyn.revisions.upload import Hub, said

_log = logging.getLogger(__name__)
_MOST_GAPS = 100

# Findings that are not mended by taking the other copy: the row is wrong, or nothing is damaged.
_NO_DAMAGE = {
    *("gap", "identical-weights", "main-not-newest", "missing-branch", "missing-folder"),
    *("no-main", "no-manifest", "not-in-manifest", "wrong-row"),
}
_MISSING = {
    Action.SEND: ("missing-branch", "The Hub does not have it yet."),
    Action.RESTORE: ("missing-branch", "The Hub had it, and its branch was deleted."),
    Action.RETIRE: ("replaced", "The branch has the weights of a revision that was trained again since."),
    Action.SET_MAIN: ("main-not-newest", "main on the Hub is not the newest revision, or lacks rows."),
    Action.GAP: ("gap", "The run planned this revision, but it was never saved."),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        revision: the revision it concerns; `main` or `revisions.json` for the whole.
        kind: the kind of fault in a fixed word, for programs.
        message: a sentence for people.
    """

    revision: str
    kind: str
    message: str


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    Attributes:
        where: name and location of what was checked.
        revisions: the names that were checked, in order; none without a manifest.
        findings: what is wrong; empty if nothing is.
        deep: whether files were read and hashed.
    """

    where: str
    revisions: tuple[str, ...]
    findings: tuple[Finding, ...]
    deep: bool

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong; revisions with identical weights may be what the run made."""
        return all(finding.kind == "identical-weights" for finding in self.findings)

    def by_revision(self) -> dict[str, list[Finding]]:
        """The findings of each revision, also if there are none."""
        found: dict[str, list[Finding]] = {name: [] for name in self.revisions}
        for finding in self.findings:
            found.setdefault(finding.revision, []).append(finding)
        return found

    def render(self, *, as_json: bool = False) -> str:
        """A table with a line per revision and the findings, or JSON."""
        if as_json:
            return json.dumps({**asdict(self), "ok": self.is_whole}, indent=1)
        lines = []
        for name, findings in self.by_revision().items():
            lines.append(f"{name}  {', '.join(finding.kind for finding in findings) or 'ok'}")
            lines += [f"    {finding.message}" for finding in findings]
        kinds = Counter(finding.kind for finding in self.findings).most_common()
        each = ", ".join(f"{count} {kind}" for kind, count in kinds)
        how = "file contents hashed" if self.deep else "from metadata; --deep hashes the files themselves"
        numbers = f"{counted(len(self.revisions), 'revision')}, {counted(len(self.findings), 'finding')}"
        lines.append(f"{self.where}: {numbers}{': ' * bool(each)}{each} ({how}).")
        return "\n".join(map(printable, lines))


def verify(
    repo_id: Name, *, store: Name | None = None, token: str | None = None, deep: bool = False
) -> Report:
    """Check all revisions of a run against its rows. Models without a manifest have a finding that says so.

    Of the folder of a run that is pushed, the branches on the Hub are checked as well: a folder that was deleted after
    its upload is not reported.

    Args:
        repo_id: a folder or `owner/name`, as in `list_revisions`.
        store: a store of version 0.3, which is read instead of the Hub.
        token: token of the Hub; None for the stored one.
        deep: read (on the Hub: download) every file and hash it.

    Raises:
        RevisionNotFoundError: there is no such repository.
    """
    series = open_series(repo_id, store, token)
    if not isinstance(series, Published):
        return Report(series.where, (), (_NO_MANIFEST,), deep)
    if not isinstance(series, Store):
        return _Checks(series, deep).report()
    is_asked = series.manifest().pushed and not constants.HF_HUB_OFFLINE
    return compare(series, HubRun(series.repo_id, token) if is_asked else None, deep=deep)[0]


def compare(
    store: Store, hub: HubRun | None, *, deep: bool, deep_hub: bool | None = None
) -> tuple[Report, list[Change]]:
    """What is wrong in the folders of a run and on the Hub, and what would make them equal to the record."""
    record, here = store.manifest(), _Checks(store, deep)
    found, names = [*here.report().findings], [*here.names]
    where, copies, folders = store.where, None, Copies(_damage(here.names, found))
    if store.damage:
        found.append(
            Finding(RUN_FILE, "unreadable-record", f"{store.damage}. `clipdyn repair` writes it again.")
        )
    if hub is not None:
        there = _Checks(hub, deep if deep_hub is None else deep_hub, record)
        served = there.report().findings
        found += [replace(finding, message=f"On the Hub: {finding.message}") for finding in served]
        names, where = [*dict.fromkeys((*names, *there.names))], f"{where} and {hub.where}"
        weights = {name: weights.sha256 or "" for name, weights in there.weights.items()}
        copies = Copies(_damage(there.names, served), weights, there.listed)
    changes = list(difference(record, folders, copies))
    on_disk = {*here.names}
    for change in changes:
        if change.action in _MISSING:
            found.append(Finding(change.revision, *_MISSING[change.action]))
        elif change.action in (Action.FETCH, Action.LOST) and change.revision not in on_disk:
            is_lost = change.action is Action.LOST
            said = "no intact copy is left." if is_lost else "`clipdyn repair` fetches it from the Hub."
            found.append(Finding(change.revision, "missing-folder", f"The folder is not there: {said}"))
    kinds = {(finding.revision, finding.kind) for finding in found}
    found = [one for one in found if (one.kind, (MAIN, "no-main") in kinds) != ("main-not-newest", True)]
    found.sort(key=lambda finding: here.order(finding.revision))
    return Report(where, tuple(sorted(names, key=here.order)), tuple(found), deep), changes


def _damage(names: Sequence[str], found: Sequence[Finding]) -> dict[str, set[str]]:
    """The kinds of damage of each revision that is there."""
    kinds: dict[str, set[str]] = {name: set() for name in names}
    for finding in found:
        if finding.revision in kinds and finding.kind not in _NO_DAMAGE:
            kinds[finding.revision].add(finding.kind)
    return kinds


_NO_MANIFEST = Finding(
    MAIN,
    "no-manifest",
    f"There is no {MANIFEST_FILE}: `verify` compares revisions with the manifest of their run, and nothing was "
    "compared.",
)


class _Checks:
    """The checks of one place: its branches or folders, their files, and the rows of the run."""

    def __init__(self, place: Published, deep: bool, record: Manifest | None = None) -> None:
        """``record`` is that of the run, if it is known from elsewhere."""
        self.place, self.deep, self.is_alone = place, deep, record is None and not isinstance(place, Store)
        self.refs = place.refs()
        of_commit = in_parallel(place.files, set(self.refs.values()))
        self.files = {name: of_commit[commit] for name, commit in self.refs.items()}
        self.weights = {name: weights_of(files) for name, files in self.files.items()}
        self.manifest, self.found = NO_MANIFEST, list[Finding]()
        try:
            self.manifest = place.manifest(self.refs)
        except RevisionError as error:
            self.found.append(Finding(MANIFEST_FILE, "unreadable-manifest", str(error)))
        self.listed = {row.name: row.sha256 for row in self.manifest.revisions}
        self.manifest = record or self.manifest
        self.rows = {row.name: row for row in self.manifest.revisions}
        self.names = sorted(self.files.keys() - {MAIN}, key=self.order)

    def order(self, name: str) -> tuple[Any, ...]:
        """Sort key: training order."""
        return training_order(name, self.rows[name].step if name in self.rows else None)

    def report(self) -> Report:
        """All findings, in training order."""
        if self.files and not any(MANIFEST_FILE in files for files in self.files.values()):
            return Report(self.place.where, (), (_NO_MANIFEST,), self.deep)
        found = [*self.found, *self._of_names(), *self._of_rows(), *self._of_main(), *self._of_shared_files()]
        for of_one in in_parallel(lambda name: list(self._of_revision(name)), self.names).values():
            found += of_one
        found.sort(key=lambda finding: self.order(finding.revision))
        return Report(self.place.where, tuple(self.names), tuple(found), self.deep)

    def _of_names(self) -> Iterator[Finding]:
        """Check that all revisions are there, and none twice."""
        for name in self.rows.keys() - self.refs.keys() if self.is_alone else ():
            yield Finding(name, "missing-branch", "The manifest has this revision, but it is not there.")
        first: dict[str, str] = {}  # the first revision with this content
        for name in self.names:
            other = first.setdefault(self.weights[name].blob or name, name)
            if other != name and not (name in self.rows and self.rows[name].identical_allowed):
                yield Finding(name, "identical-weights", f"The weights are those of {other}.")

    def _of_revision(self, name: str) -> Iterator[Finding]:
        """Check the files of one revision."""
        row, weights = self.rows.get(name), self.weights[name]
        yield from self._of_own_manifest(name)
        if row is None and self.manifest is not NO_MANIFEST:
            yield Finding(name, "not-in-manifest", "It exists, but the manifest has no row for it.")
        if not weights.paths:
            yield Finding(name, "no-weights", "The revision has no weights.")
            return
        if row is not None and weights.size != row.size:
            yield Finding(name, "wrong-size", f"The weights have {weights.size} bytes, not {row.size}.")
        sha256 = weights.sha256  # None outside the large storage
        for path, record in self.files[name].items():
            is_weights = path in weights.paths
            if not self.deep and not (is_weights and self.place.on_disk):
                continue  # over the network, the size and the hash must do
            with self.place.file(self.refs[name], path) as file:
                if is_weights and path.endswith(".safetensors"):
                    try:
                        with safe_open(file, framework="np"):
                            pass
                    except SafetensorError as error:
                        yield Finding(name, "bad-header", f"{path}: {error}.")
                if self.deep and not record.describes(file):
                    yield Finding(name, "wrong-content", f"{path} does not have the hash that was recorded.")
                if self.deep and is_weights and sha256 is None:
                    sha256 = file_sha256(file)
        if row is not None and sha256 not in (None, row.sha256):
            yield Finding(name, "wrong-weights", f"Their SHA-256 is {sha256}, in the manifest {row.sha256}.")

    def _of_own_manifest(self, name: str) -> Iterator[Finding]:
        """Check that the commit of a branch is the one that published it: its manifest has the revision's row."""
        if MANIFEST_FILE not in self.files[name]:
            if self.rows:
                yield Finding(name, "moved-branch", "The revision has no manifest.")
            return
        content = self.place.read(self.refs[name], MANIFEST_FILE)  # an error here is no fault of the branch
        try:
            own = Manifest.loads(content, name)
        except RevisionError as error:
            yield Finding(name, "unreadable-manifest", str(error))
            return
        if self.rows and own.run_id != self.manifest.run_id:
            yield Finding(name, "other-run", "This revision and main were published by different runs.")
        elif own.row(name) is None:
            yield Finding(name, "moved-branch", "The branch does not point at the commit that published it.")

    def _of_shared_files(self) -> Iterator[Finding]:
        """Check that all revisions of a run share configuration, tokenizer and image processor, and have a card."""
        for path in ("config.json", *PROCESSOR_NAMES, CARD_FILE):
            blobs = {name: self.files[name][path].blob for name in self.names if path in self.files[name]}
            for name in self.names if blobs else ():
                if name not in blobs:
                    yield Finding(name, "missing-file", f"The revision lacks {path}, which others have.")
            one_of = {blob: name for name, blob in blobs.items()}
            if len(one_of) < 2 or path == CARD_FILE:
                continue
            usual = Counter(blobs.values()).most_common(1)[0][0]
            meanings = {blob: self._meaning(path, self.refs[name]) for blob, name in one_of.items()}
            for name, blob in blobs.items():
                if meanings[blob] != meanings[usual]:
                    yield Finding(name, "other-config", f"{path} differs from that of {one_of[usual]}.")

    def _meaning(self, path: str, commit: str) -> Any:
        """A JSON file without what transformers notes on its origin and its last call; any other file as it is."""
        content = self.place.read(commit, path)
        try:
            read = architecture(json.loads(content))
        except (ValueError, RecursionError):
            return content
        return {**read, "padding": None, "truncation": None} if isinstance(read, dict) else read

    def _of_rows(self) -> Iterator[Finding]:
        """Check that the manifest's rows fit their names and each other, without gaps between them."""
        rows = self.rows.values()
        for row in rows:
            if epoch_of(row.name) not in (None, row.epoch):
                yield Finding(row.name, "wrong-row", f"The manifest gives {row.name} the epoch {row.epoch}.")
        for before, row in pairwise(rows):
            for what in ("epoch", "samples_seen"):
                low, high = getattr(before, what), getattr(row, what)
                if low is not None and high is not None and high < low:
                    yield Finding(row.name, "wrong-row", f"{what} decreases from {low} to {high}.")
        if any(row.recipe_hash.startswith(IMPORTED) for row in rows):
            return  # imported runs have the gaps of their source
        if self.manifest.planned and not self.is_alone:
            return  # `difference` compares with what was planned
        epochs = {row.epoch for row in rows if row.epoch is not None}
        last = max(epochs, default=-1)
        # At most a hundred gaps: one absurd number must not become a billion findings.
        for epoch in islice((epoch for epoch in range(last) if epoch not in epochs), _MOST_GAPS):
            yield Finding(epoch_name(epoch), "gap", f"There are epochs up to {last}, but not this one.")

    def _of_main(self) -> Iterator[Finding]:
        """Check that `main` exists, with the manifest and the weights of the newest revision."""
        if isinstance(self.place, Store):
            return
        if MAIN not in self.files:
            yield Finding(MAIN, "no-main", "There is no branch main, which `from_pretrained` loads.")
        elif MANIFEST_FILE not in self.files[MAIN]:
            yield Finding(MAIN, "no-manifest", "Revisions carry a manifest, but main has none.")
        elif self.rows and self.is_alone:
            *_, newest = self.rows.values()
            main, branch = self.weights[MAIN], self.weights.get(newest.name, Weights())
            # A mirror has git's ids.
            if not main.blob or main.blob != (newest.sha256 if main.sha256 else branch.blob):
                yield Finding(MAIN, "main-not-newest", f"main has other weights than {newest.name}.")


def repair(
    run: str | Path,
    *,
    push_to_hub: bool = False,
    hub_model_id: str | None = None,
    private: bool | None = None,
    source: str | None = None,
    token: str | None = None,
    tell: Callable[[str], None] = _log.warning,
) -> Report:
    """Make the folders of a run and its branches on the Hub what its record says.

    What the Hub lacks is published, also what a person has deleted there. A damaged or deleted folder is fetched from
    the Hub, but for those that `keep_local` has removed. A branch with other contents is moved: only this function does
    that, and the old commit keeps a tag. At the end `main` is the newest revision again.

    Args:
        run: folder of the run.
        push_to_hub: publish a run that was kept local so far.
        hub_model_id: the repository of a run that had only a local name.
        private: as for `Publisher`.
        source: make the run from this repository: its record, its revisions, and its last checkpoint if there is one.
        token: token of the Hub; None for the stored one.
        tell: is called with a sentence on all that is done, and before a branch is moved; at the end, with one for
            each revision that is damaged and has no intact copy.

    Returns:
        What `verify` says afterwards.

    Raises:
        ConfigError: the folder has no run, or one of version 0.3.
        PublishError: the Hub or the disk cannot be written, or another process writes there.

    Examples:
        >>> from hf_clipdyn.revisions.verify import repair
        >>> repair("runs/demo").is_whole
        True
    """
    store = Store(run)
    check_version(store.run)
    if hub_model_id is not None:
        checked_repo_id(hub_model_id, owner=True)
    try:
        if source is None and store.manifest() is NO_MANIFEST:
            raise ConfigError(f"{run} is not the folder of a run: it has no revision that can be read.")
        with store.locked():
            if source is not None:
                _restore(store, HubRun(source, token), tell)
            record = store.manifest()
            wish = {
                "repo_id": hub_model_id or store.repo_id,
                "pushed": push_to_hub or hub_model_id is not None,
                "private": private,
            }
            now = record.continued(record.model_copy(update=wish))
            if record.is_private and not now.is_private:
                tell(f"{store.repo_id} was private: from now on it may be public.")
            store.check_name(record, now)
            store.write(now)
            store = Store(run)
            return _repair(store, Hub(store, token) if now.pushed else None, tell)
    except ClipDynError:
        raise
    except Exception as error:
        raise PublishError(f"{run} could not be repaired: {said(error)}") from error


def _restore(store: Store, source: HubRun, tell: Callable[[str], None]) -> None:
    """Write the record of a run as `main` on the Hub has it, and fetch the last checkpoint if the folder has none."""
    copy, here = source.manifest(source.refs()), store.manifest()
    if copy is NO_MANIFEST or here.run_id not in ("", copy.run_id):
        raise ConfigError(f"{source.where} has no run, or another one than {store.run}: name another folder.")
    is_private = bool(source.api.repo_info(source.repo_id).private)
    facts = {"repo_id": source.repo_id, "pushed": True, "was_private": is_private}
    store.write(here.joined(copy).model_copy(update=facts) if here.run_id else copy.model_copy(update=facts))
    branches = source.api.list_repo_refs(source.repo_id).branches
    if CHECKPOINT in {branch.name for branch in branches} and not (store.run / "checkpoints").exists():
        with store.staged(CHECKPOINT) as staged:
            source.api.snapshot_download(source.repo_id, revision=CHECKPOINT, local_dir=staged)
            delete(staged / ".cache")  # of the client
            (staged / ".gitattributes").unlink(missing_ok=True)
            follow_umask(staged)
            for path in sorted(staged.iterdir()):
                if not (store.run / path.name).exists():
                    path.rename(store.run / path.name)
        tell(f"The last checkpoint was fetched from {source.where}.")


def _repair(store: Store, hub: Hub | None, tell: Callable[[str], None]) -> Report:
    if hub is not None:
        created = persistently(partial(hub.check_run, store.manifest()))
        if created:
            tell(created)
    _, changes = compare(store, hub, deep=True, deep_hub=False)
    record = store.manifest()
    for change in changes:
        name, folder = change.revision, store.folder / change.revision
        row = record.row(name)
        if change.action is Action.FETCH and hub is not None:
            persistently(partial(_fetch, store, hub, folder), transfers=True)
            tell(f"{name} was fetched from {hub.where}.")
        elif change.action is Action.MEND and row is not None:  # its weights have the hash of the row
            delete(folder / MANIFEST_FILE)
            write_atomically(folder / MANIFEST_FILE, record.until(row).dumps())
            tell(f"{MANIFEST_FILE} of {name} was written again.")
    if hub is not None:
        for is_main in (False, True):  # which follows from the branches
            for change in compare(store, hub, deep=False)[1]:
                if (change.action is Action.SET_MAIN) == is_main:
                    _to_hub(store, hub, change, tell)
    report, changes = compare(store, hub, deep=True, deep_hub=False)
    for change in changes:
        if change.action is Action.LOST:
            tell(f"{change.revision}: no intact copy is left.")
    return report


def _fetch(store: Store, hub: Hub, folder: Path) -> None:
    with store.staged(folder.name) as staged:
        hub.api.snapshot_download(hub.repo_id, revision=folder.name, local_dir=staged / "new")
        delete(staged / "new" / ".cache")  # of the client
        follow_umask(staged / "new")
        if folder.exists():
            folder.rename(staged / "old")
        (staged / "new").rename(folder)


def _to_hub(store: Store, hub: Hub, change: Change, tell: Callable[[str], None]) -> None:
    """Publish what the Hub lacks, move a wrong branch, or give `main` the newest revision."""
    name, record = change.revision, store.manifest()
    row = record.row(name)
    if change.action in (Action.MOVE, Action.RETIRE):
        tell(persistently(partial(hub.keep, name)))
    if change.action is Action.RETIRE:
        hub.api.delete_branch(hub.repo_id, branch=name)
    elif row is not None and change.action in (Action.SEND, Action.RESTORE, Action.MOVE):
        persistently(partial(hub.publish, record, row), transfers=True)
        tell(f"{name} was published to {hub.where}.")
    elif change.action is Action.SET_MAIN:
        persistently(partial(hub.set_main, record), transfers=True)
        tell(f"main is the newest revision again in {hub.where}.")
