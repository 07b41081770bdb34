"""Check that a run is what its rows say: its folders, its branches on the Hub, and `main`.

Most checks read only metadata: the Hub records the SHA-256 of weights, and the rows have it too. With ``deep`` the
files are read and hashed.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from typing import Any

from huggingface_hub import constants
from safetensors import SafetensorError, safe_open

from hf_clipdyn.errors import RevisionError, counted, printable
from hf_clipdyn.files import file_sha256
from hf_clipdyn.models.snapshots import PROCESSOR_NAMES, architecture
from hf_clipdyn.revisions.manifest import IMPORTED, MANIFEST_FILE, NO_MANIFEST, Manifest
from hf_clipdyn.revisions.names import MAIN, Name, epoch_name, epoch_of, training_order
from hf_clipdyn.revisions.open import open_series
from hf_clipdyn.revisions.published import CARD_FILE, HubRun, Published, RunFolder, in_parallel
from hf_clipdyn.revisions.records import Weights, weights_of

_MOST_GAPS = 100


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
    is_pushed = isinstance(series, RunFolder) and series.manifest().hub is not None
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
    names = sorted({*report.revisions, *served.revisions}, key=here._order)
    return Report(f"{report.where} and {served.where}", tuple(names), tuple(findings), deep)


_NO_MANIFEST = Finding(
    MAIN,
    "no-manifest",
    f"There is no {MANIFEST_FILE}: `verify` compares revisions with the manifest of their run, and nothing was "
    "compared.",
)
_Found = Iterator[tuple[str, str, str]]
"""The values of findings."""


class _Checks:
    """The checks of one place: its branches or folders, their files, and the rows of the run."""

    def __init__(self, place: Published, deep: bool) -> None:
        self.place, self.deep = place, deep
        self.refs = place.refs()
        self.files = dict(zip(self.refs, in_parallel(place.files, self.refs.values()), strict=True))
        self.weights = {name: weights_of(files) for name, files in self.files.items()}
        self.manifest, self.unreadable = NO_MANIFEST, place.broken
        try:
            self.manifest = place.manifest(self.refs)
        except RevisionError as error:
            self.unreadable = {MANIFEST_FILE: str(error)}
        self.rows = {row.name: row for row in self.manifest.revisions}
        self.names = sorted(self.files.keys() - {MAIN}, key=self._order)

    def _order(self, name: str) -> tuple[Any, ...]:
        return training_order(name, self.rows[name].step if name in self.rows else None)

    def report(self) -> Report:
        """All findings, in training order."""
        if self.files and not any(MANIFEST_FILE in files for files in self.files.values()):
            return Report(self.place.where, (), (_NO_MANIFEST,), self.deep)
        found = [(name, "unreadable-manifest", said) for name, said in self.unreadable.items()]
        found += [*self._of_names(), *self._of_rows(), *self._of_main(), *self._of_shared_files()]
        for of_one in in_parallel(lambda name: list(self._of_revision(name)), self.names):
            found += of_one
        found.sort(key=lambda values: self._order(values[0]))
        findings = tuple(Finding(*values) for values in found)
        return Report(self.place.where, tuple(self.names), findings, self.deep)

    def _of_names(self) -> _Found:
        """Check that all revisions are there, and none twice."""
        kind = "missing-folder" if isinstance(self.place, RunFolder) else "missing-branch"
        for name in self.rows.keys() - self.refs.keys() - self.unreadable.keys():
            yield name, kind, "The manifest has this revision, but it is not there."
        first: dict[str, str] = {}  # the first revision with this content
        for name in self.names:
            other = first.setdefault(self.weights[name].blob or name, name)
            if other != name and not (name in self.rows and self.rows[name].identical_allowed):
                yield name, "identical-weights", f"The weights are identical to the weights of {other}."

    def _of_revision(self, name: str) -> _Found:
        """Check the files of one revision."""
        row, weights = self.rows.get(name), self.weights[name]
        if self.manifest is not NO_MANIFEST:
            yield from self._of_own_manifest(name, self.manifest.run_id)
            if row is None:
                yield name, "not-in-manifest", "It exists, but the manifest has no row for it."
        if not weights.paths:
            yield name, "no-weights", "The revision has no weights."
            return
        if row is not None and weights.size != row.size:
            yield name, "wrong-size", f"The weights have {weights.size} bytes, in the manifest {row.size}."
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
                        yield name, "bad-header", f"{path}: {error}."
                if self.deep and not record.describes(file):
                    yield name, "wrong-content", f"{path} does not have the hash that was recorded."
                if self.deep and is_weights and sha256 is None:
                    sha256 = file_sha256(file)
        if row is not None and sha256 not in (None, row.sha256):
            said = f"The weights have the SHA-256 {sha256}, in the manifest {row.sha256}."
            yield name, "wrong-weights", said

    def _of_own_manifest(self, name: str, run_id: str) -> _Found:
        """Check that the commit of a branch is the one that published it: its manifest has the revision's row."""
        if MANIFEST_FILE not in self.files[name]:
            yield name, "moved-branch", "The revision has no manifest."
            return
        content = self.place.read(self.refs[name], MANIFEST_FILE)
        try:
            own = Manifest.loads(content, name)
        except RevisionError as error:
            yield name, "unreadable-manifest", str(error)
            return
        if own.run_id != run_id:
            yield name, "other-run", "This revision and main were published by different runs."
        elif own.row(name) is None:
            yield name, "moved-branch", "The branch does not point at the commit that published it."

    def _of_shared_files(self) -> _Found:
        """Check that all revisions of a run share configuration, tokenizer and image processor, and have a card."""
        for path in ("config.json", *PROCESSOR_NAMES, CARD_FILE):
            blobs = {name: self.files[name][path].blob for name in self.names if path in self.files[name]}
            for name in self.names if blobs else ():
                if name not in blobs:
                    yield name, "missing-file", f"The revision lacks {path}, which others have."
            by_blob = {blob: name for name, blob in reversed(blobs.items())}
            if len(by_blob) < 2 or path == CARD_FILE:
                continue
            usual = Counter(blobs.values()).most_common(1)[0][0]
            meanings = {blob: self._meaning(path, self.refs[name]) for blob, name in by_blob.items()}
            for name, blob in blobs.items():
                if meanings[blob] != meanings[usual]:
                    yield name, "other-config", f"{path} differs from the same file of {by_blob[usual]}."

    def _meaning(self, path: str, commit: str) -> Any:
        """A JSON file without what transformers notes on its origin and its last call; any other file as it is."""
        content = self.place.read(commit, path)
        try:
            read = architecture(json.loads(content))
        except (ValueError, RecursionError):
            return content
        return {**read, "padding": None, "truncation": None} if isinstance(read, dict) else read

    def _of_rows(self) -> _Found:
        """Check that the manifest's rows fit their names and each other, without gaps between them."""
        rows = self.rows.values()
        for row in rows:
            if epoch_of(row.name) not in (None, row.epoch):
                yield row.name, "wrong-row", f"The manifest gives {row.name} the epoch {row.epoch}."
        for before, row in pairwise(rows):
            for what in ("epoch", "samples_seen"):
                low, high = getattr(before, what), getattr(row, what)
                if low is not None and high is not None and high < low:
                    yield row.name, "wrong-row", f"{what} decreases from {low} ({before.name}) to {high}."
        if any(row.recipe_hash.startswith(IMPORTED) for row in rows):
            return  # imported runs have the gaps of their source
        epochs = {row.epoch for row in rows if row.epoch is not None}
        last = max(epochs, default=-1)
        # At most a hundred gaps: one absurd number must not become a billion findings.
        for epoch in islice((epoch for epoch in range(last) if epoch not in epochs), _MOST_GAPS):
            yield epoch_name(epoch), "gap", f"There are epochs up to {last}, but not this one."

    def _of_main(self) -> _Found:
        """Check that `main` exists, with the manifest and the weights of the newest revision."""
        if isinstance(self.place, RunFolder):
            return
        if MAIN not in self.files:
            yield MAIN, "no-main", "There is no branch main, which `from_pretrained` loads by default."
        elif MANIFEST_FILE not in self.files[MAIN]:
            yield MAIN, "no-manifest", "Revisions carry a manifest, but main has none."
        elif self.rows:
            *_, newest = self.rows.values()
            main, branch = self.weights[MAIN], self.weights.get(newest.name, Weights())
            # A mirror has git's ids.
            if not main.blob or main.blob != (newest.sha256 if main.sha256 else branch.blob):
                said = f"main has other weights than {newest.name}, the newest revision."
                yield MAIN, "main-not-newest", said
