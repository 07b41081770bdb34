"""Check that a repository serves what was published; suites of others can be checked too.

Most checks read only metadata, which have the SHA-256 of each file. With ``deep`` the files are read and hashed.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError
from hf_clipdyn.revisions.continuity import Continuity, continuity_of
from hf_clipdyn.revisions.listing import PARALLEL_REQUESTS, open_series
from hf_clipdyn.revisions.manifest import IMPORTED, MANIFEST_FILE, Manifest, ManifestRow, sort_key
from hf_clipdyn.revisions.names import Name, epoch_name, epoch_of, natural_key, step_of
from hf_clipdyn.revisions.publication import content_differs
from hf_clipdyn.revisions.repository import (
    MAIN,
    FileRecord,
    ReadableRepository,
    sha256_of,
)
from hf_clipdyn.revisions.suite import (
    Finding,
    Report,
    State,
    checkpoint_files,
    missing_shards,
    suite_findings,
)
from hf_clipdyn.revisions.tensors import header_fault

__all__ = ["Finding", "Report", "verify", "verify_repository"]

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


def verify(
    repo_id: Name,
    *,
    store: Name | None = None,
    token: str | None = None,
    deep: bool = False,
    continuity: bool = False,
) -> Report:
    """Check all revisions of a repository; `main` too where it is the only one and there is no manifest.

    Args:
        repo_id: `owner/name`, or a folder, as in `list_revisions`.
        store: folder of a local store; None asks the Hub.
        token: token of the Hub; None for the stored one.
        deep: read (on the Hub: download) every file and hash it.
        continuity: read about 1.2 MB of each revision, and check that it continues its neighbours and step 0.

    Raises:
        RevisionNotFoundError: there is no such repository.
    """
    repository = open_series(repo_id, store, token).repository
    return verify_repository(repository, deep=deep, continuity=continuity)


def verify_repository(
    repository: ReadableRepository, *, deep: bool = False, continuity: bool = False
) -> Report:
    """`verify` of an open repository."""
    refs = repository.refs()
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        known = _states(repository, refs, pool)
        main = known.pop(MAIN, None)
        manifest, findings = _manifest_of(repository, main)
        rows = {row.name: row for row in manifest.revisions} if manifest is not None else {}

        def order(state: State) -> tuple[Any, ...]:
            return sort_key(state.name, rows[state.name].step if state.name in rows else step_of(state.name))

        states = sorted(known.values(), key=order)
        if not states and main is not None and manifest is None and not checkpoint_files(main):
            states = [main]  # one model, without other revisions
        check = _Check(repository, refs, manifest, rows, main, states, deep)
        findings += check.branches()
        if manifest is None:
            findings += suite_findings(states, main)
        else:
            findings += check.weights()
        findings += [*check.rows_of_manifest(), *check.shared_files(pool)]
        for inside in pool.map(lambda state: list(check.inside(state)), states):
            findings += inside
        findings += check.main_branch()
        sampled = Continuity()
        if continuity:
            known_steps = {name: row.step for name, row in rows.items() if row.step is not None}
            sampled = continuity_of(repository, states, pool, known_steps if manifest is not None else None)
            findings += sampled.findings
    positions = {state.name: position for position, state in enumerate(states)}
    findings.sort(key=lambda item: (positions.get(item.revision, -1), natural_key(item.revision)))
    return Report(
        repository.where,
        tuple(positions),
        tuple(dict.fromkeys(findings)),
        manifest is not None,
        deep,
        tuple(state.name for state in states if deep and check.can_be_hashed(state)),
        tuple(checkpoint_files(main)) if manifest is None else (),
        tuple(sampled.notes),
        tuple(sampled.positions),
        tuple(sampled.sentences),
    )


def _states(repository: ReadableRepository, refs: Mapping[str, str], pool: Executor) -> dict[str, State]:
    """The revisions whose commit exists; those that share a commit cost one request."""

    def files(commit: str) -> dict[str, FileRecord] | None:
        try:
            return repository.files(commit)
        except RevisionNotFoundError:
            return None

    commits = list(dict.fromkeys(refs.values()))
    listings = dict(zip(commits, pool.map(files, commits), strict=True))
    return {
        name: State.of(name, commit, listing)
        for name, commit in refs.items()
        if (listing := listings[commit]) is not None
    }


def _manifest_of(repository: ReadableRepository, main: State | None) -> tuple[Manifest | None, list[Finding]]:
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
    main: State | None
    states: Sequence[State]
    deep: bool

    # --- one revision -------------------------------------------------------------------------------

    def inside(self, state: State) -> Iterator[Finding]:
        """Check the files of one revision."""
        finding = partial(Finding, state.name)
        if self.manifest is not None:
            yield from self._own_manifest(state, self.manifest)
        if state.weights is None:
            yield finding("no-weights", "The revision has no weights.")
        try:
            absent = self.repository.absent_files(state.commit)
        except RevisionError as error:
            yield finding("unreadable-listing", str(error))
        else:
            if absent:
                yield finding("missing-file", f"The revision lacks {', '.join(absent)}.")
        yield from missing_shards(state)
        # Of suites of others, which may have thousands of files, headers are not read over the network.
        headers = self.manifest is not None or self.repository.on_disk or self.deep
        for path in state.weights.paths if state.weights and headers else ():
            if path.endswith(".safetensors"):
                wrong = header_fault(self.repository, state.commit, path, state.files[path].size)
                if wrong:
                    yield finding("bad-header", f"{path}: {wrong}.")
        if not self.deep:
            return
        for path, record in state.files.items():
            if record.recorded and content_differs(self.repository, state.commit, path, record):
                yield finding("wrong-content", f"{path} does not have the hash that its metadata record.")
        row = self.rows.get(state.name)
        if row is not None and state.weights is not None and state.weights.sha256 is None:
            actual = sha256_of(self.repository, state.commit)
            if actual != row.sha256:
                yield _wrong_weights(state.name, actual, row)

    def _own_manifest(self, state: State, manifest: Manifest) -> Iterator[Finding]:
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

    def _row_and_run(self, state: State) -> Manifest:
        """The manifest of a revision with its row alone; each has the rows of all earlier ones, too."""
        read, size = (
            partial(self.repository.read, state.commit, MANIFEST_FILE),
            state.files[MANIFEST_FILE].size,
        )
        if self.repository.on_disk and size > 2 * _END:  # not every server sends the end of a small file
            own = Manifest.from_ends(read(_END), read(_END, size - _END), state.name)
            if own is not None:
                return own
        return Manifest.loads(read(), where=state.name, only=state.name)

    def can_be_hashed(self, state: State) -> bool:
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
            if row is None:
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
        """Check that all revisions of a run share configuration, tokenizer and image processor.

        Without a manifest, a file is expected in all revisions if most have it.
        """
        for path in _SHARED_FILES:
            sharing = {state.name: state for state in self.states if path in state.files}
            if not sharing or (self.manifest is None and 2 * len(sharing) <= len(self.states)):
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

    def _same_meaning(self, path: str, blobs: Mapping[str, State], usual: str, pool: Executor) -> set[str]:
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
