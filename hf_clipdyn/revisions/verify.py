"""Check that a repository serves what its run published: its branches and `main` are compared with the manifest.

Most checks read only metadata, which have the SHA-256 of each file. With ``deep`` the files are read and hashed.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError, counted, printable
from hf_clipdyn.revisions.listing import PARALLEL_REQUESTS, open_series
from hf_clipdyn.revisions.manifest import IMPORTED, MANIFEST_FILE, Manifest, ManifestRow, sort_key
from hf_clipdyn.revisions.names import Name, epoch_name, epoch_of, natural_key, step_of
from hf_clipdyn.revisions.repository import (
    MAIN,
    FileRecord,
    ReadableRepository,
    Weights,
    sha256_of,
    weights_of,
)

_MOST_GAPS = 100
_END = 2**14  # bytes at each end of a long manifest: more than a row takes

_ORIGIN = (
    "transformers_version",
    "_name_or_path",
    "problem_type",
)  # a classifier sets the last one in training

_OF_LAST_CALL = ("padding", "truncation")
"""Of a `tokenizer.json`: how the tokenizer was called last, which every call replaces."""

_SHARED_FILES = (
    "config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
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
        where: name and location of the repository.
        revisions: the names that were checked, in order; none without a manifest.
        findings: what is wrong; empty if nothing is.
        deep: whether files were read and hashed.
        hashed: the revisions whose files were all compared with a recorded hash; empty without ``deep``.
    """

    where: str
    revisions: tuple[str, ...]
    findings: tuple[Finding, ...]
    deep: bool
    hashed: tuple[str, ...] = ()

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
        return "\n".join(printable(line) for line in [*lines, self._summary()])

    def _summary(self) -> str:
        kinds = Counter(finding.kind for finding in self.findings)
        each = f": {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}" if kinds else ""
        parts = f"{counted(len(self.revisions), 'revision')}, {counted(len(self.findings), 'finding')}{each}"
        return f"{self.where}: {parts} ({self._how()})."

    def _how(self) -> str:
        if not self.deep:
            return "from metadata; --deep hashes the files themselves"
        others = [name for name in self.revisions if name not in self.hashed]
        if not others:
            return "file contents hashed"
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        return (
            f"file contents hashed in {len(self.hashed)} of {len(self.revisions)} revisions; "
            f"files are missing or have no recorded hash in {', '.join(others[:3])}{more}"
        )


@dataclass(frozen=True)
class _State:
    """A revision as the repository serves it; its files are from metadata."""

    name: str
    commit: str
    files: Mapping[str, FileRecord]
    weights: Weights | None


def verify(
    repo_id: Name, *, store: Name | None = None, token: str | None = None, deep: bool = False
) -> Report:
    """Check all revisions of a run against its manifest. A repository without one has a finding that says so.

    Args:
        repo_id: `owner/name`, or a folder, as in `list_revisions`.
        store: folder of a local store; None asks the Hub.
        token: token of the Hub; None for the stored one.
        deep: read (on the Hub: download) every file and hash it.

    Raises:
        RevisionNotFoundError: there is no such repository.
    """
    return verify_repository(open_series(repo_id, store, token).repository, deep=deep)


def verify_repository(repository: ReadableRepository, *, deep: bool = False) -> Report:
    """`verify` of an open repository."""
    refs = repository.refs()
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        known = _states(repository, refs, pool)
        if known and not any(MANIFEST_FILE in state.files for state in known.values()):
            message = (
                f"There is no {MANIFEST_FILE}: `verify` compares revisions with the manifest of their run, and nothing "
                "was compared."
            )
            return Report(repository.where, (), (Finding(MAIN, "no-manifest", message),), deep)
        main = known.pop(MAIN, None)
        manifest, findings = _manifest_of(repository, main)
        rows = {row.name: row for row in manifest.revisions} if manifest is not None else {}

        def order(state: _State) -> tuple[Any, ...]:
            return sort_key(state.name, rows[state.name].step if state.name in rows else step_of(state.name))

        states = sorted(known.values(), key=order)
        check = _Check(repository, refs, manifest, rows, main, states, deep)
        findings += [
            *check.branches(),
            *check.weights(),
            *check.rows_of_manifest(),
            *check.shared_files(pool),
        ]
        for inside in pool.map(lambda state: list(check.inside(state)), states):
            findings += inside
        findings += check.main_branch()
    positions = {state.name: position for position, state in enumerate(states)}
    findings.sort(key=lambda item: (positions.get(item.revision, -1), natural_key(item.revision)))
    hashed = tuple(state.name for state in states if deep and check.can_be_hashed(state))
    return Report(repository.where, tuple(positions), tuple(dict.fromkeys(findings)), deep, hashed)


def _states(repository: ReadableRepository, refs: Mapping[str, str], pool: Executor) -> dict[str, _State]:
    """The revisions whose commit exists; those that share a commit cost one request."""

    def files(commit: str) -> dict[str, FileRecord] | None:
        try:
            return repository.files(commit)
        except RevisionNotFoundError:
            return None

    commits = list(dict.fromkeys(refs.values()))
    listings = dict(zip(commits, pool.map(files, commits), strict=True))
    return {
        name: _State(name, commit, listing, weights_of(listing))
        for name, commit in refs.items()
        if (listing := listings[commit]) is not None
    }


def _manifest_of(
    repository: ReadableRepository, main: _State | None
) -> tuple[Manifest | None, list[Finding]]:
    """The manifest on `main`; None without one, or with a finding if it cannot be read."""
    if main is None or MANIFEST_FILE not in main.files:
        return None, []
    try:
        text = repository.read(main.commit, MANIFEST_FILE)
        return Manifest.loads(text, where=repository.where), []
    except RevisionError as error:
        return None, [Finding(MANIFEST_FILE, "unreadable-manifest", str(error))]


@dataclass(frozen=True)
class _Check:
    """The checks of a repository.

    Attributes:
        refs: branch to commit.
        manifest: on `main`; None if there is none, or it cannot be read.
        rows: its rows by name.
        main: None if there is none, or its commit does not exist.
        states: the other revisions, in training order.
    """

    repository: ReadableRepository
    refs: Mapping[str, str]
    manifest: Manifest | None
    rows: Mapping[str, ManifestRow]
    main: _State | None
    states: Sequence[_State]
    deep: bool

    # --- one revision -------------------------------------------------------------------------------

    def inside(self, state: _State) -> Iterator[Finding]:
        """Check the files of one revision."""
        finding = partial(Finding, state.name)
        if self.manifest is not None:
            yield from self._own_manifest(state, self.manifest)
        if state.weights is None:
            yield finding("no-weights", "The revision has no weights.")
        weights = state.weights.paths if state.weights is not None else ()
        tensors = [path for path in weights if path.endswith(".safetensors")]
        try:
            absent = self.repository.absent_files(state.commit)
        except RevisionError as error:
            yield finding("unreadable-listing", str(error))
        else:
            if absent:
                yield finding("missing-file", f"The revision lacks {', '.join(absent)}.")
        for path, record in state.files.items():
            is_hashed = self.deep and record.recorded
            # Over the network, the size and the hash must do.
            has_header = (self.deep or self.repository.on_disk) and path in tensors
            if is_hashed or has_header:
                with self.repository.fetched(state.commit, path) as file:
                    if has_header and (fault := _header_fault(file)):
                        yield finding("bad-header", f"{path}: {fault}.")
                    if is_hashed and not record.describes(file):
                        yield finding(
                            "wrong-content", f"{path} does not have the hash that its metadata record."
                        )
        if not self.deep:
            return
        row = self.rows.get(state.name)
        if row is not None and state.weights is not None and state.weights.sha256 is None:
            actual = sha256_of(self.repository, state.commit)
            if actual != row.sha256:
                yield _wrong_weights(state.name, actual, row)

    def _own_manifest(self, state: _State, manifest: Manifest) -> Iterator[Finding]:
        """Check that the commit of a branch is the one that published it: its manifest has the revision's row."""
        finding = partial(Finding, state.name)
        if MANIFEST_FILE not in state.files:
            yield finding("moved-branch", "The commit of the branch has no manifest.")
            return
        try:
            own = self._row_and_run(state)
        except RevisionError as error:
            yield finding("unreadable-manifest", str(error))
            return
        if own.run_id != manifest.run_id:
            yield finding("other-run", "This revision and main were published by different runs.")
        elif own.row(state.name) is None:
            yield finding("moved-branch", "The branch does not point at the commit that published it.")

    def _row_and_run(self, state: _State) -> Manifest:
        """The manifest of a revision with its row alone; each has the rows of all earlier ones, too."""
        text = self.repository.read(state.commit, MANIFEST_FILE)
        if len(text) > 2 * _END:
            own = Manifest.from_ends(text[:_END], text[-_END:], state.name)
            if own is not None:
                return own
        return Manifest.loads(text, where=state.name, only=state.name)

    def can_be_hashed(self, state: _State) -> bool:
        """Whether each file of a revision is there, weights too, and its hash is recorded."""
        if state.weights is None or not all(record.recorded for record in state.files.values()):
            return False
        try:
            return not self.repository.absent_files(state.commit)
        except RevisionError:  # the listing is missing
            return False

    # --- the revisions among each other -------------------------------------------------------------

    def branches(self) -> Iterator[Finding]:
        """Check that all branches exist and point at commits, without gaps between them."""
        known = {state.name for state in self.states}
        for name, commit in self.refs.items():
            if name not in known and name != MAIN:
                message = f"The branch points at commit {commit}, which does not exist."
                yield Finding(name, "dangling-branch", message)
        for name in self.rows:
            if name not in self.refs:
                yield Finding(
                    name, "missing-branch", "The manifest has this revision, but there is no branch."
                )
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
        """Check that all revisions of a run share configuration, tokenizer and image processor."""
        for path in _SHARED_FILES:
            sharing = {state.name: state for state in self.states if path in state.files}
            if not sharing:
                continue
            blobs = {state.files[path].blob: state for state in reversed(sharing.values())}
            usual = Counter(state.files[path].blob for state in sharing.values()).most_common(1)[0][0]
            model, same = blobs[usual], self._same_meaning(path, blobs, usual, pool)
            for state in self.states:
                if path not in state.files:
                    yield Finding(
                        state.name, "missing-file", f"The revision lacks {path}, which others have."
                    )
                elif state.files[path].blob not in same:
                    yield Finding(state.name, "other-config", f"{path} differs from that of {model.name}.")

    def _same_meaning(self, path: str, blobs: Mapping[str, _State], usual: str, pool: Executor) -> set[str]:
        """The contents of a file that differ from the usual one at most in what transformers notes beside its meaning.

        Each content is read once, however many revisions have it.
        """
        if not path.endswith(".json") or len(blobs) == 1:
            return {usual}
        texts = pool.map(lambda state: self.repository.read(state.commit, path), blobs.values())
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

    def _main_is_newest(self, newest: ManifestRow) -> bool:
        weights = self.main.weights if self.main is not None else None
        if weights is None:
            return False
        if weights.sha256 is not None:
            return weights.sha256 == newest.sha256
        branch = next((state.weights for state in self.states if state.name == newest.name), None)
        if branch is not None and branch.sha256 is None:
            return weights.content == branch.content
        # The metadata have no SHA-256.
        return not self.deep or sha256_of(self.repository, self.refs[MAIN]) == newest.sha256


def _header_fault(file: Path) -> str:
    """What is wrong with the header of a safetensors file, which must describe the whole file; empty if nothing is."""
    try:
        with safe_open(file, framework="np"):
            return ""
    except SafetensorError as error:
        return str(error)


def _wrong_weights(name: str, sha256: str | None, row: ManifestRow) -> Finding:
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
