"""Check that a run is what its rows say: its folders, its branches on the Hub, and `main`.

Most checks read only metadata: the Hub records the SHA-256 of weights, and the rows have it too. With ``deep`` the
files are read and hashed.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from safetensors import SafetensorError, safe_open

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError, counted, printable
from hf_clipdyn.files import file_sha256
from hf_clipdyn.revisions.manifest import IMPORTED, MANIFEST_FILE, Manifest, Row
from hf_clipdyn.revisions.names import (
    MAIN,
    Name,
    epoch_name,
    epoch_of,
    natural_key,
    step_of,
    training_order,
)
from hf_clipdyn.revisions.open import (
    PARALLEL_REQUESTS,
    HubRun,
    Published,
    RunFolder,
    Weights,
    of_shards,
    open_series,
    weights_of,
)
from hf_clipdyn.revisions.store import FileRecord

_MOST_GAPS = 100
_LONG = (
    2**15
)  # bytes of a manifest that is searched, not parsed: each revision has the rows of all earlier ones

_ORIGIN = (
    "transformers_version",
    "_name_or_path",
    "problem_type",
)  # a classifier sets the last one in training

_OF_LAST_CALL = ("padding", "truncation")
"""Of a `tokenizer.json`: how the tokenizer was called last, which every call replaces."""

_CARD = "README.md"
_SHARED_FILES = (
    "config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    _CARD,
)


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
        kinds = Counter(finding.kind for finding in self.findings)
        each = f": {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}" if kinds else ""
        how = "file contents hashed" if self.deep else "from metadata; --deep hashes the files themselves"
        lines.append(
            f"{self.where}: {counted(len(self.revisions), 'revision')}, "
            f"{counted(len(self.findings), 'finding')}{each} ({how})."
        )
        return "\n".join(map(printable, lines))


def verify(
    repo_id: Name, *, store: Name | None = None, token: str | None = None, deep: bool = False
) -> Report:
    """Check all revisions of a run against its rows. Models without a manifest have a finding that says so.

    Of the folder of a run that is pushed, the branches on the Hub are checked as well: a folder that was deleted after
    its upload is no finding.

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
        return Report(series.where, (), (_no_manifest(),), deep)
    if isinstance(series, RunFolder):
        series = RunFolder(series.store.run, tolerant=True)
    report = check(series, deep=deep)
    manifest = series.store.manifest() if isinstance(series, RunFolder) else None
    if manifest is None or manifest.hub is None or manifest.repo_id is None or constants.HF_HUB_OFFLINE:
        return report
    return together(report, check(HubRun(manifest.repo_id, token), deep=deep), manifest)


def together(disk: Report, hub: Report, manifest: Manifest) -> Report:
    """The findings in the folders of a run and on the Hub; what either has alone is not missing in the other."""
    wrong = {finding.revision for finding in hub.findings}
    there = {row.name for row in manifest.revisions if row.name in hub.revisions} - wrong
    findings = [one for one in disk.findings if one.kind != "missing-folder" or one.revision not in there]
    findings += [replace(one, message=f"On the Hub: {one.message}") for one in hub.findings]
    names = tuple(dict.fromkeys([*disk.revisions, *hub.revisions]))
    return Report(f"{disk.where} and {hub.where}", names, tuple(dict.fromkeys(findings)), disk.deep)


def _no_manifest() -> Finding:
    message = (
        f"There is no {MANIFEST_FILE}: `verify` compares revisions with the manifest of their run, and nothing was "
        "compared."
    )
    return Finding(MAIN, "no-manifest", message)


@dataclass(frozen=True)
class _State:
    """A revision as it is served; its files are from metadata."""

    name: str
    commit: str
    files: Mapping[str, FileRecord]
    weights: Weights | None


def check(place: Published, *, deep: bool = False) -> Report:
    """`verify` of one place."""
    refs = place.branches(place.refs())
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        served = _states(place, refs, pool)
        if served and not any(MANIFEST_FILE in state.files for state in served.values()):
            return Report(place.where, (), (_no_manifest(),), deep)
        main = served.pop(MAIN, None)
        manifest, findings = _manifest_of(place, main)
        rows = {row.name: row for row in manifest.revisions} if manifest is not None else {}

        def order(state: _State) -> tuple[Any, ...]:
            step = rows[state.name].step if state.name in rows else step_of(state.name)
            return training_order(state.name, step)

        states = sorted(served.values(), key=order)
        checks = _Check(place, refs, manifest, rows, main, states, deep)
        findings += [
            *checks.names(),
            *checks.weights(),
            *checks.rows_of_manifest(),
            *checks.shared_files(pool),
        ]
        for inside in pool.map(lambda state: list(checks.inside(state)), states):
            findings += inside
        if not isinstance(place, RunFolder):
            findings += checks.main_branch()
    positions = {state.name: position for position, state in enumerate(states)}
    findings.sort(key=lambda item: (positions.get(item.revision, -1), natural_key(item.revision)))
    return Report(place.where, tuple(positions), tuple(dict.fromkeys(findings)), deep)


def _states(place: Published, refs: Mapping[str, str], pool: Executor) -> dict[str, _State]:
    """The revisions whose commit exists; those that share a commit cost one request."""

    def files(commit: str) -> dict[str, FileRecord] | None:
        try:
            return place.files(commit)
        except RevisionNotFoundError:
            return None

    commits = list(dict.fromkeys(refs.values()))
    listings = dict(zip(commits, pool.map(files, commits), strict=True))
    return {
        name: _State(name, commit, listing, weights_of(listing))
        for name, commit in refs.items()
        if (listing := listings[commit]) is not None
    }


def _manifest_of(place: Published, main: _State | None) -> tuple[Manifest | None, list[Finding]]:
    """The manifest on `main`, or of a run's folders; None without one, or with a finding if it cannot be read."""
    if isinstance(place, RunFolder):
        broken = place.store.broken or {}
        return place.store.manifest(), [
            Finding(name, "unreadable-manifest", said) for name, said in broken.items()
        ]
    if main is None or MANIFEST_FILE not in main.files:
        return None, []
    try:
        return Manifest.loads(place.read(main.commit, MANIFEST_FILE), place.where), []
    except RevisionError as error:
        return None, [Finding(MANIFEST_FILE, "unreadable-manifest", str(error))]


@dataclass(frozen=True)
class _Check:
    """The checks of one place.

    Attributes:
        refs: branch or folder to commit.
        manifest: None if there is none, or it cannot be read.
        rows: its rows by name.
        main: None if there is none, or its commit does not exist.
        states: the other revisions, in training order.
    """

    place: Published
    refs: Mapping[str, str]
    manifest: Manifest | None
    rows: Mapping[str, Row]
    main: _State | None
    states: Sequence[_State]
    deep: bool

    # --- one revision -------------------------------------------------------------------------------

    def inside(self, state: _State) -> Iterator[Finding]:
        """Check the files of one revision."""
        finding, row = partial(Finding, state.name), self.rows.get(state.name)
        if self.manifest is not None:
            yield from self._described(state, self.manifest)
        if state.weights is None:
            yield finding("no-weights", "The revision has no weights.")
            return
        tensors = [path for path in state.weights.paths if path.endswith(".safetensors")]
        for path, record in state.files.items():
            is_hashed = self.deep and record.recorded
            # Over the network, the size and the hash must do.
            has_header = (self.deep or self.place.on_disk) and path in tensors
            if is_hashed or has_header:
                with self.place.fetched(state.commit, path) as file:
                    if has_header and (fault := _header_fault(file)):
                        yield finding("bad-header", f"{path}: {fault}.")
                    if is_hashed and not record.describes(file):
                        yield finding("wrong-content", f"{path} does not have the hash that was recorded.")
        if self.deep and row is not None and state.weights.sha256 is None:
            actual = self._hashed(state.commit, state.weights)
            if actual != row.sha256:
                yield _wrong_weights(state.name, actual, row)

    def _hashed(self, commit: str, weights: Weights) -> str:
        hashes = []
        for path in weights.paths:
            with self.place.fetched(commit, path) as file:
                hashes.append(file_sha256(file))
        return of_shards(hashes)

    def _described(self, state: _State, manifest: Manifest) -> Iterator[Finding]:
        """Check that the commit of a branch is the one that published it: its manifest has the revision's row."""
        finding = partial(Finding, state.name)
        if MANIFEST_FILE not in state.files:
            yield finding("moved-branch", "The revision has no manifest.")
            return
        content = self.place.read(state.commit, MANIFEST_FILE)
        row = b'\n   "name": ' + json.dumps(state.name).encode() + b","
        run = b'"run_id": ' + json.dumps(manifest.run_id).encode() + b","
        if len(content) > _LONG and content.endswith(b"}\n") and row in content and run in content:
            return
        try:
            described = Manifest.loads(content, state.name)
        except RevisionError as error:
            yield finding("unreadable-manifest", str(error))
            return
        if described.run_id != manifest.run_id:
            yield finding("other-run", "This revision and main were published by different runs.")
        elif described.row(state.name) is None:
            yield finding("moved-branch", "The branch does not point at the commit that published it.")

    # --- the revisions among each other -------------------------------------------------------------

    def names(self) -> Iterator[Finding]:
        """Check that all revisions are there, without gaps between them."""
        served = {state.name for state in self.states}
        is_folder = isinstance(self.place, RunFolder)
        for name, commit in self.refs.items():
            if name not in served and name != MAIN:
                message = f"The branch points at commit {commit}, which does not exist."
                yield Finding(name, "dangling-branch", message)
        for name in self.rows:
            if name not in self.refs:
                kind, what = ("missing-folder", "folder") if is_folder else ("missing-branch", "branch")
                yield Finding(name, kind, f"The manifest has this revision, but there is no {what}.")
        if any(row.recipe_hash.startswith(IMPORTED) for row in self.rows.values()):
            return  # imported runs have the gaps of their source
        # At most a hundred gaps: one absurd number must not become a billion findings.
        if self.rows:
            published = {row.epoch for row in self.rows.values() if row.epoch is not None}
            last = max(published, default=-1)
            for epoch in islice((epoch for epoch in range(last + 1) if epoch not in published), _MOST_GAPS):
                message = f"There are epochs up to {last}, but not this one."
                yield Finding(epoch_name(epoch), "gap", message)

    def weights(self) -> Iterator[Finding]:
        """Compare the weights with the manifest's rows and with each other."""
        first: dict[str, str] = {}  # the first revision with this content
        for state in self.states:
            finding, row = partial(Finding, state.name), self.rows.get(state.name)
            if row is None and self.manifest is not None:
                yield finding("not-in-manifest", "The branch exists, but the manifest has no row for it.")
            if state.weights is None:
                continue
            if row is not None and state.weights.size != row.size:
                size = state.weights.size
                yield finding(
                    "wrong-size", f"The weights have {size} bytes, but the manifest says {row.size}."
                )
            # Weights outside the large storage have no recorded SHA-256; those are compared when they are read.
            if row is not None and state.weights.sha256 not in (row.sha256, None):
                yield _wrong_weights(state.name, state.weights.sha256, row)
            if row is None or not row.identical_allowed:
                other = first.setdefault(state.weights.content, state.name)
                if other != state.name:
                    yield finding("identical-weights", f"The weights are identical to those of {other}.")

    def shared_files(self, pool: Executor) -> Iterator[Finding]:
        """Check that all revisions of a run share configuration, tokenizer and image processor, and have a card."""
        for path in _SHARED_FILES:
            sharing = {state.name: state for state in self.states if path in state.files}
            if not sharing:
                continue
            blobs = {state.files[path].blob: state for state in reversed(sharing.values())}
            usual = Counter(state.files[path].blob for state in sharing.values()).most_common(1)[0][0]
            same = set(blobs) if path == _CARD else self._same_meaning(path, blobs, usual, pool)
            for state in self.states:
                if path not in state.files:
                    yield Finding(
                        state.name, "missing-file", f"The revision lacks {path}, which others have."
                    )
                elif state.files[path].blob not in same:
                    message = f"{path} differs from that of {blobs[usual].name}."
                    yield Finding(state.name, "other-config", message)

    def _same_meaning(self, path: str, blobs: Mapping[str, _State], usual: str, pool: Executor) -> set[str]:
        """The contents of a file that differ from the usual one at most in what transformers notes beside its meaning.

        Each content is read once, however many revisions have it.
        """
        if not path.endswith(".json") or len(blobs) == 1:
            return {usual}
        texts = pool.map(lambda state: self.place.read(state.commit, path), blobs.values())
        meanings = {blob: _meaning(path, text) for blob, text in zip(blobs, texts, strict=True)}
        return {
            usual,
            *(
                blob
                for blob, meaning in meanings.items()
                if meaning is not None and meaning == meanings[usual]
            ),
        }

    def rows_of_manifest(self) -> Iterator[Finding]:
        """Check that the manifest's rows fit their names and each other."""
        for row in self.rows.values():
            finding = partial(Finding, row.name, "wrong-row")
            named = epoch_of(row.name)
            if named is not None and row.epoch != named:
                yield finding(f"The manifest gives {row.name} the epoch {row.epoch}.")
            if not row.sha256 or row.size == 0:
                yield finding("The manifest has no hash or no size of the weights.")
        for before, row in pairwise(self.rows.values()):
            for what in ("epoch", "samples_seen"):
                low, high = getattr(before, what), getattr(row, what)
                if low is not None and high is not None and high < low:
                    message = f"The manifest's {what} decreases from {low} ({before.name}) to {high}."
                    yield Finding(row.name, "wrong-row", message)

    def main_branch(self) -> Iterator[Finding]:
        """Check that `main` exists, with the manifest and the weights of the newest revision."""
        if MAIN not in self.refs:
            yield Finding(
                MAIN, "no-main", "There is no branch main, which `from_pretrained` loads by default."
            )
        elif self.manifest is None and any(MANIFEST_FILE in state.files for state in self.states):
            yield Finding(MAIN, "no-manifest", "Revisions carry a manifest, but main has none.")
        elif self.rows and not self._main_is_newest(newest := list(self.rows.values())[-1]):
            message = f"main has other weights than {newest.name}, the newest revision."
            yield Finding(MAIN, "main-not-newest", message)

    def _main_is_newest(self, newest: Row) -> bool:
        weights = self.main.weights if self.main is not None else None
        if weights is None:
            return False
        if weights.sha256 is not None:
            return weights.sha256 == newest.sha256
        branch = next((state.weights for state in self.states if state.name == newest.name), None)
        if branch is not None and branch.sha256 is None:
            return weights.content == branch.content
        # The metadata have no SHA-256.
        return not self.deep or self._hashed(self.refs[MAIN], weights) == newest.sha256


def _header_fault(file: Path) -> str:
    """What is wrong with the header of a safetensors file, which must describe the whole file; empty if nothing is."""
    try:
        with safe_open(file, framework="np"):
            return ""
    except SafetensorError as error:
        return str(error)


def _wrong_weights(name: str, sha256: str | None, row: Row) -> Finding:
    served, expected = str(sha256)[:12], row.sha256[:12]
    message = f"The weights have the SHA-256 {served}…, but the manifest says {expected}…."
    return Finding(name, "wrong-weights", message)


def _meaning(path: str, text: bytes) -> Any:
    """A JSON file without what transformers notes on its origin and its last use; None if it is not JSON."""
    try:
        content = json.loads(
            text, object_hook=lambda content: {key: content[key] for key in content if key not in _ORIGIN}
        )
    except (ValueError, RecursionError):
        return None
    if path == "tokenizer.json" and isinstance(content, dict):
        return {key: value for key, value in content.items() if key not in _OF_LAST_CALL}
    return content
