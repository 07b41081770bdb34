"""Check that a run is what its rows say: its folders, its branches on the Hub, and `main`.

Most checks read only metadata: the Hub records the SHA-256 of weights, and the rows have it too. With ``deep`` the
files are read and hashed.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from typing import Any

from huggingface_hub import constants
from safetensors import SafetensorError, safe_open

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError, counted, printable
from hf_clipdyn.files import file_sha256
from hf_clipdyn.models.snapshots import PROCESSOR_NAMES
from hf_clipdyn.revisions.manifest import IMPORTED, MANIFEST_FILE, Manifest
from hf_clipdyn.revisions.names import MAIN, Name, epoch_name, epoch_of, natural_key, step_of, training_order
from hf_clipdyn.revisions.open import open_series
from hf_clipdyn.revisions.published import PARALLEL_REQUESTS, HubRun, Published, RunFolder
from hf_clipdyn.revisions.records import Listing, weights_of
from hf_clipdyn.revisions.store import CARD_FILE

_MOST_GAPS = 100
# Bytes of a manifest that is searched, not parsed: each revision has the rows of all earlier ones.
_LONG = 2**15
# Keys of JSON files that say where they come from; a classifier sets the last one in training.
_UNIMPORTANT = {"transformers_version", "_name_or_path", "problem_type"}
# Of a `tokenizer.json`: how the tokenizer was called last, which every call replaces.
_OF_LAST_CALL = {"padding", "truncation"}


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

    def render(self, *, as_json: bool = False) -> str:
        """A table with a line per revision and the findings, or JSON."""
        if as_json:
            return json.dumps({**asdict(self), "ok": not self.findings}, indent=1)
        by_revision: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            by_revision[finding.revision].append(finding)
        names = list(dict.fromkeys([*self.revisions, *by_revision]))
        width = min(max((len(name) for name in names), default=0), 60)
        lines = []
        for name in names:
            findings = by_revision[name]
            lines.append(f"{name.ljust(width)}  {', '.join(item.kind for item in findings) or 'ok'}")
            lines += [f"{' ' * width}    {item.message}" for item in findings]
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
    hub = None
    if isinstance(series, RunFolder):
        series = RunFolder(series.store.run, tolerant=True)
        manifest = series.store.manifest()
        if manifest is not None and manifest.hub is not None and not constants.HF_HUB_OFFLINE:
            hub = HubRun(series.repo_id, token)
    return check(series, hub, deep=deep)


def check(place: Published, hub: HubRun | None = None, *, deep: bool = False) -> Report:
    """The findings in one place, or in the folders of a run and on the Hub: what that has, folders need not have."""
    report = _Checks(place, deep).report()
    if hub is None:
        return report
    served = _Checks(hub, deep).report()
    right = set(served.revisions) - {finding.revision for finding in served.findings}
    findings = [
        finding
        for finding in report.findings
        if finding.kind != "missing-folder" or finding.revision not in right
    ]
    findings += [replace(finding, message=f"On the Hub: {finding.message}") for finding in served.findings]
    names = dict.fromkeys([*report.revisions, *served.revisions])
    return Report(f"{report.where} and {served.where}", tuple(names), tuple(dict.fromkeys(findings)), deep)


_NO_MANIFEST = Finding(
    MAIN,
    "no-manifest",
    f"There is no {MANIFEST_FILE}: `verify` compares revisions with the manifest of their run, and nothing was "
    "compared.",
)


class _Checks:
    """The checks of one place: its branches or folders, their files, and the rows of the run."""

    def __init__(self, place: Published, deep: bool) -> None:
        self.place, self.deep = place, deep
        self.refs = place.refs()
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            listed = dict(zip(self.refs, pool.map(self._listing, self.refs.values()), strict=True))
        self.files = {name: files for name, files in listed.items() if files is not None}
        self.unreadable = place.broken
        self.manifest: Manifest | None = None
        try:
            self.manifest = place.manifest(self.refs)
        except RevisionError as error:
            self.unreadable = {MANIFEST_FILE: str(error)}
        rows = () if self.manifest is None else self.manifest.revisions
        self.rows = {row.name: row for row in rows}
        self.names = sorted(self.files.keys() - {MAIN}, key=self._order)

    def _listing(self, commit: str) -> Listing | None:
        with suppress(RevisionNotFoundError):
            return self.place.files(commit)
        return None

    def _order(self, name: str) -> tuple[Any, ...]:
        return self.rows[name].order() if name in self.rows else training_order(name, step_of(name))

    def report(self) -> Report:
        """All findings, in training order."""
        if self.files and not any(MANIFEST_FILE in files for files in self.files.values()):
            return Report(self.place.where, (), (_NO_MANIFEST,), self.deep)
        findings = [Finding(name, "unreadable-manifest", said) for name, said in self.unreadable.items()]
        findings += [*self._of_names(), *self._of_rows(), *self._of_main(), *self._of_shared_files()]
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            for found in pool.map(lambda name: list(self._of_revision(name)), self.names):
                findings += found
        positions = {name: position for position, name in enumerate(self.names)}
        findings.sort(
            key=lambda finding: (positions.get(finding.revision, -1), natural_key(finding.revision))
        )
        return Report(self.place.where, tuple(self.names), tuple(dict.fromkeys(findings)), self.deep)

    def _of_names(self) -> Iterator[Finding]:
        """Check that all revisions are there, and none twice."""
        for name in self.refs.keys() - {MAIN, *self.names}:
            message = f"The branch points at commit {self.refs[name]}, which does not exist."
            yield Finding(name, "dangling-branch", message)
        kind = "missing-folder" if isinstance(self.place, RunFolder) else "missing-branch"
        for name in self.rows.keys() - self.refs.keys() - self.unreadable.keys():
            message = f"The manifest has this revision, but it is a {kind.replace('-', ' ')}."
            yield Finding(name, kind, message)
        first: dict[str, str] = {}  # the first revision with this content
        for name in self.names:
            row, content = self.rows.get(name), weights_of(self.files[name]).content
            other = first.setdefault(content, name)
            if content and other != name and not (row is not None and row.identical_allowed):
                yield Finding(name, "identical-weights", f"The weights are identical to those of {other}.")

    def _of_revision(self, name: str) -> Iterator[Finding]:
        """Check the files of one revision."""
        commit, files, row = self.refs[name], self.files[name], self.rows.get(name)
        weights = weights_of(files)
        if self.manifest is not None:
            yield from self._of_own_manifest(name, self.manifest.run_id)
        if self.manifest is not None and row is None:
            yield Finding(name, "not-in-manifest", "It exists, but the manifest has no row for it.")
        if not weights.paths:
            yield Finding(name, "no-weights", "The revision has no weights.")
            return
        if row is not None and weights.size != row.size:
            message = f"The weights have {weights.size} bytes, but the manifest says {row.size}."
            yield Finding(name, "wrong-size", message)
        sha256 = weights.sha256  # None outside the large storage
        for path, record in files.items():
            is_weights = path in weights.paths
            if not self.deep and not (is_weights and self.place.on_disk):
                continue  # over the network, the size and the hash must do
            with self.place.fetched(commit, path) as file:
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
        if row is not None and sha256 is not None and sha256 != row.sha256:
            message = (
                f"The weights have the SHA-256 {sha256[:12]}…, but the manifest says {row.sha256[:12]}…."
            )
            yield Finding(name, "wrong-weights", message)

    def _of_own_manifest(self, name: str, run_id: str) -> Iterator[Finding]:
        """Check that the commit of a branch is the one that published it: its manifest has the revision's row."""
        if MANIFEST_FILE not in self.files[name]:
            yield Finding(name, "moved-branch", "The revision has no manifest.")
            return
        content = self.place.read(self.refs[name], MANIFEST_FILE)
        row = f'\n   "name": {json.dumps(name)},'.encode()
        run = f'\n "run_id": {json.dumps(run_id)},'.encode()
        if len(content) > _LONG and content.endswith(b"}\n") and row in content and run in content:
            return
        try:
            own = Manifest.loads(content, name)
        except RevisionError as error:
            yield Finding(name, "unreadable-manifest", str(error))
            return
        if own.run_id != run_id:
            yield Finding(name, "other-run", "This revision and main were published by different runs.")
        elif own.row(name) is None:
            message = "The branch does not point at the commit that published it."
            yield Finding(name, "moved-branch", message)

    def _of_shared_files(self) -> Iterator[Finding]:
        """Check that all revisions of a run share configuration, tokenizer and image processor, and have a card."""
        for path in ("config.json", *PROCESSOR_NAMES, CARD_FILE):
            blobs = {name: self.files[name][path].blob for name in self.names if path in self.files[name]}
            if not blobs:
                continue
            for name in [name for name in self.names if name not in blobs]:
                yield Finding(name, "missing-file", f"The revision lacks {path}, which others have.")
            by_blob = {blob: name for name, blob in reversed(blobs.items())}
            if len(by_blob) == 1 or path == CARD_FILE:
                continue
            usual = Counter(blobs.values()).most_common(1)[0][0]
            meanings = {blob: self._meaning(path, self.refs[name]) for blob, name in by_blob.items()}
            for name, blob in blobs.items():
                if meanings[blob] != meanings[usual]:
                    yield Finding(name, "other-config", f"{path} differs from that of {by_blob[usual]}.")

    def _meaning(self, path: str, commit: str) -> Any:
        """A JSON file without what transformers notes on its origin and its last use; any other file as it is."""
        content = self.place.read(commit, path)
        try:
            read = json.loads(content, object_pairs_hook=_important)
        except (ValueError, RecursionError):
            return content
        is_tokenizer = path == "tokenizer.json" and isinstance(read, dict)
        return {key: read[key] for key in read.keys() - _OF_LAST_CALL} if is_tokenizer else read

    def _of_rows(self) -> Iterator[Finding]:
        """Check that the manifest's rows fit their names and each other, without gaps between them."""
        for row in self.rows.values():
            if epoch_of(row.name) not in (None, row.epoch):
                yield Finding(row.name, "wrong-row", f"The manifest gives {row.name} the epoch {row.epoch}.")
            if not row.sha256 or row.size == 0:
                yield Finding(row.name, "wrong-row", "The manifest has no hash or no size of the weights.")
        for before, row in pairwise(self.rows.values()):
            for what in ("epoch", "samples_seen"):
                low, high = getattr(before, what), getattr(row, what)
                if low is not None and high is not None and high < low:
                    message = f"The manifest's {what} decreases from {low} ({before.name}) to {high}."
                    yield Finding(row.name, "wrong-row", message)
        if any(row.recipe_hash.startswith(IMPORTED) for row in self.rows.values()):
            return  # imported runs have the gaps of their source
        epochs = {row.epoch for row in self.rows.values() if row.epoch is not None}
        last = max(epochs, default=-1)
        # At most a hundred gaps: one absurd number must not become a billion findings.
        for epoch in islice((epoch for epoch in range(last) if epoch not in epochs), _MOST_GAPS):
            yield Finding(epoch_name(epoch), "gap", f"There are epochs up to {last}, but not this one.")

    def _of_main(self) -> Iterator[Finding]:
        """Check that `main` exists, with the manifest and the weights of the newest revision."""
        if isinstance(self.place, RunFolder):
            return
        if MAIN not in self.refs:
            yield Finding(
                MAIN, "no-main", "There is no branch main, which `from_pretrained` loads by default."
            )
            return
        if self.manifest is None and any(MANIFEST_FILE in self.files[name] for name in self.names):
            yield Finding(MAIN, "no-manifest", "Revisions carry a manifest, but main has none.")
        if not self.rows:
            return
        newest = list(self.rows.values())[-1]
        main, branch = (weights_of(self.files.get(name, {})) for name in (MAIN, newest.name))
        is_newest = main.content == newest.sha256
        if main.sha256 is None:
            is_newest = main.content == branch.content != ""  # git's ids
        if not is_newest:
            message = f"main has other weights than {newest.name}, the newest revision."
            yield Finding(MAIN, "main-not-newest", message)


def _important(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if key not in _UNIMPORTANT}
