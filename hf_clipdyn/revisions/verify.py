"""Compare a run with its rows: its folders, its branches on the Hub, and `main`. `verify` reports, `repair` mends.

Most checks read only metadata: the Hub records the SHA-256 of weights, and the rows have it too. With ``deep`` the
files are read and hashed.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from safetensors import SafetensorError, safe_open

from hf_clipdyn.errors import ClipDynError, ConfigError, PublishError, RevisionError, counted, printable
from hf_clipdyn.files import delete, file_sha256, follow_umask, write_atomically
from hf_clipdyn.hub import persistently
from hf_clipdyn.models.snapshots import PROCESSOR_NAMES, architecture
from hf_clipdyn.revisions.manifest import IMPORTED, MANIFEST_FILE, NO_MANIFEST, Manifest
from hf_clipdyn.revisions.names import MAIN, Name, epoch_name, epoch_of, training_order
from hf_clipdyn.revisions.open import open_series
from hf_clipdyn.revisions.published import CARD_FILE, WEIGHTS_FILE, HubRun, Published, in_parallel
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
_OF_MANIFEST = {"moved-branch", "unreadable-manifest"}


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
            return json.dumps({**asdict(self), "ok": not self.findings}, indent=1)
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
    is_pushed = isinstance(series, Store) and series.manifest().hub is not None
    hub = HubRun(series.repo_id, token) if is_pushed and not constants.HF_HUB_OFFLINE else None
    return check(series, hub, deep=deep)


def check(place: Published, hub: HubRun | None = None, *, deep: bool = False) -> Report:
    """The findings in one place, or in the folders of a run and on the Hub: what that has, folders need not have."""
    here = _Checks(place, deep)
    report = here.report()
    if hub is None:
        return report
    served = _Checks(hub, deep).report()
    right = {name for name, wrong in served.by_revision().items() if not wrong}
    findings = [one for one in report.findings if one.kind != "missing-folder" or one.revision not in right]
    findings += [replace(one, message=f"On the Hub: {one.message}") for one in served.findings]
    names = sorted({*report.revisions, *served.revisions}, key=here.order)
    return Report(f"{report.where} and {served.where}", tuple(names), tuple(findings), deep)


_NO_MANIFEST = Finding(
    MAIN,
    "no-manifest",
    f"There is no {MANIFEST_FILE}: `verify` compares revisions with the manifest of their run, and nothing was "
    "compared.",
)


class _Checks:
    """The checks of one place: its branches or folders, their files, and the rows of the run."""

    def __init__(self, place: Published, deep: bool) -> None:
        self.place, self.deep, self.refs = place, deep, place.refs()
        of_commit = in_parallel(place.files, set(self.refs.values()))
        self.files = {name: of_commit[commit] for name, commit in self.refs.items()}
        self.weights = {name: weights_of(files) for name, files in self.files.items()}
        self.manifest, self.found = NO_MANIFEST, list[Finding]()
        try:
            self.manifest = place.manifest(self.refs)
        except RevisionError as error:
            self.found.append(Finding(MANIFEST_FILE, "unreadable-manifest", str(error)))
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
        kind = "missing-folder" if isinstance(self.place, Store) else "missing-branch"
        for name in self.rows.keys() - self.refs.keys():
            yield Finding(name, kind, "The manifest has this revision, but it is not there.")
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
        elif self.rows:
            *_, newest = self.rows.values()
            main, branch = self.weights[MAIN], self.weights.get(newest.name, Weights())
            # A mirror has git's ids.
            if not main.blob or main.blob != (newest.sha256 if main.sha256 else branch.blob):
                yield Finding(MAIN, "main-not-newest", f"main has other weights than {newest.name}.")


def repair(
    run: str | Path,
    *,
    push_to_hub: bool = False,
    token: str | None = None,
    tell: Callable[[str], None] = _log.warning,
) -> Report:
    """Make the folders of a run and its branches on the Hub what its rows say.

    What the Hub lacks is published, also what a person has deleted there. A damaged folder is fetched from the Hub. A
    branch with other contents is moved: only this function does that, and the old commit keeps a tag. At the end `main`
    is the newest revision again. A folder that was deleted after its upload is not fetched.

    Args:
        run: folder of the run.
        push_to_hub: publish a run that was kept local so far.
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
    manifest = store.manifest()
    if manifest is NO_MANIFEST:
        raise ConfigError(f"{run} is not the folder of a run: it has no revision that can be read.")
    is_private = manifest.hub == "private"
    hub = Hub(store, store.repo_id, token, private=is_private) if manifest.hub or push_to_hub else None
    try:
        with store.locked():
            return _Repair(store, hub, manifest, tell).run()
    except ClipDynError:
        raise
    except Exception as error:
        raise PublishError(f"{run} could not be repaired: {said(error)}") from error


@dataclass
class _Repair:
    """The repair of a run; ``hub`` is None if the run is not pushed."""

    store: Store
    hub: Hub | None
    manifest: Manifest
    tell: Callable[[str], None]

    def run(self) -> Report:
        if self.hub is not None:
            listed = persistently(partial(self.hub.check_run, self.manifest.run_id))
            self.manifest = self.manifest.with_rows((*listed, *self.manifest.revisions))
        damaged = _damaged(check(self.store, deep=True))
        lost = {name for name, kinds in damaged.items() if not self._mend(name, kinds)}
        if self.hub is not None:
            self._send(self.hub, lost)
        report = check(Store(self.store.run), self.hub, deep=True)
        for name in _damaged(report):
            self.tell(f"{name}: no intact copy is left.")
        return report

    def _mend(self, name: str, kinds: set[str]) -> bool:
        """Replace a damaged folder by the branch on the Hub, or its manifest alone by one of the rows, if possible."""
        hub, row, folder = self.hub, self.manifest.row(name), self.store.folder / name
        if row is None:
            return False
        commit = hub.refs().get(name) if hub else None
        if hub and commit and hub.sha256(commit) == row.sha256:
            persistently(partial(self._fetch, hub, commit, folder), transfers=True)
            self.tell(f"{name} was fetched from {hub.where}.")
            return True
        weights = folder / WEIGHTS_FILE
        if kinds <= _OF_MANIFEST and weights.is_file() and file_sha256(weights) == row.sha256:
            earlier = self.manifest.revisions[: self.manifest.revisions.index(row) + 1]
            manifest = self.manifest.model_copy(update={"revisions": earlier})
            delete(folder / MANIFEST_FILE)
            write_atomically(folder / MANIFEST_FILE, manifest.dumps())
            self.tell(f"{MANIFEST_FILE} of {name} was written again.")
            return True
        return False

    def _fetch(self, hub: Hub, commit: str, folder: Path) -> None:
        with self.store.staged(folder.name) as staged:
            hub.api.snapshot_download(hub.repo_id, revision=commit, local_dir=staged / "new")
            delete(staged / "new" / ".cache")  # of the client
            follow_umask(staged / "new")
            folder.rename(staged / "old")
            (staged / "new").rename(folder)

    def _send(self, hub: Hub, lost: set[str]) -> None:
        """Publish what the Hub lacks, move its wrong branches, and give `main` the newest revision."""
        wrong, branches = _damaged(check(hub)), hub.refs()
        for row in self.store.rows():
            name, old = row.name, branches.get(row.name)
            if name in lost or (old is not None and name not in wrong):
                continue
            if old is not None:
                tag = f"{name}-replaced-{old[:8]}"
                self.tell(f"{name} of {hub.where} is moved from commit {old}, which keeps the tag {tag}.")
                hub.api.create_tag(hub.repo_id, tag=tag, revision=old, exist_ok=True)
            persistently(partial(hub.publish, row, moves=old is not None), transfers=True)
            self.tell(f"{name} was published to {hub.where}.")
        if persistently(hub.set_main, transfers=True):
            self.tell(f"main is the newest revision again in {hub.where}.")


def _damaged(report: Report) -> dict[str, set[str]]:
    """The kinds of damage by revision."""
    kinds = {name: {one.kind for one in found} - _NO_DAMAGE for name, found in report.by_revision().items()}
    return {name: damage for name, damage in kinds.items() if damage}
