"""Check that a repository serves what was published; suites of others can be checked too.

Most checks read only metadata, which have the SHA-256 of each file. With ``deep`` the files are read and hashed.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError
from hf_clipdyn.revisions.header import header_fault
from hf_clipdyn.revisions.listing import PARALLEL_REQUESTS
from hf_clipdyn.revisions.manifest import IMPORTED, MANIFEST_FILE, Manifest, ManifestRow, sort_key
from hf_clipdyn.revisions.names import epoch_name, epoch_of, missing_numbers, natural_key, step_of
from hf_clipdyn.revisions.opening import Name, open_series
from hf_clipdyn.revisions.publication import content_differs
from hf_clipdyn.revisions.repository import (
    MAIN,
    FileRecord,
    ReadableRepository,
    Weights,
    read_manifest,
    sha256_of,
    weights_of,
)

__all__ = ["Finding", "Report", "verify", "verify_repository"]

_MOST_GAPS = 100

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
        revisions: the names that were checked, in order.
        findings: what is wrong; empty if nothing is.
        has_manifest: False for suites that this package did not publish.
        deep: whether files were read and hashed.
        hashed: the revisions of which every file was compared with a recorded hash; empty without ``deep``.
    """

    where: str
    revisions: tuple[str, ...]
    findings: tuple[Finding, ...]
    has_manifest: bool
    deep: bool
    hashed: tuple[str, ...] = ()

    def render(self, *, as_json: bool = False) -> str:
        """A table with a line per revision and the findings, or JSON."""
        if as_json:
            return json.dumps({**asdict(self), "ok": not self.findings}, indent=1)
        by_revision: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            by_revision[finding.revision].append(finding)
        names = [*self.revisions, *(name for name in by_revision if name not in self.revisions)]
        width = max((len(name) for name in names), default=0)
        lines = []
        for name in names:
            found = by_revision[name]
            lines.append(f"{name.ljust(width)}  {', '.join(item.kind for item in found) or 'ok'}")
            lines += [f"{' ' * width}    {item.message}" for item in found]
        how = self._how()
        manifest = "" if self.has_manifest else ", no manifest"
        lines.append(
            f"{self.where}: {len(self.revisions)} revisions{manifest}, {len(self.findings)} findings ({how})."
        )
        return "\n".join(lines)

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
    """A revision as the repository serves it."""

    name: str
    commit: str
    files: dict[str, FileRecord]
    weights: Weights | None


def verify(
    repo_id: Name, *, store: Name | None = None, token: str | None = None, deep: bool = False
) -> Report:
    """Check all revisions of a repository; `main` too where it is the only one and there is no manifest.

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
    findings: list[Finding] = []
    manifest = None
    try:
        manifest = read_manifest(repository, refs.get(MAIN))
    except RevisionError as error:
        findings.append(Finding(MANIFEST_FILE, "unreadable-manifest", str(error)))
    rows = {row.name: row for row in manifest.rows} if manifest is not None else {}

    def order(state: _State) -> tuple[Any, ...]:
        return sort_key(state.name, rows[state.name].step if state.name in rows else step_of(state.name))

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        known = list(filter(None, pool.map(lambda ref: _state(repository, *ref), refs.items())))
        states = sorted((state for state in known if state.name != MAIN), key=order)
        main = next((state for state in known if state.name == MAIN), None)
        if not states and main is not None and manifest is None:
            states = [main]  # one model, without other revisions
        check = _Check(repository, refs, manifest, rows, main, states, deep)
        findings += [*check.branches(), *check.weights(), *check.rows_of_manifest(), *check.shared_files()]
        for found in pool.map(lambda state: list(check.inside(state)), states):
            findings += found
        findings += check.main_branch()
    positions = {state.name: position for position, state in enumerate(states)}
    findings.sort(key=lambda item: (positions.get(item.revision, -1), natural_key(item.revision)))
    return Report(
        repository.where,
        tuple(positions),
        tuple(dict.fromkeys(findings)),
        manifest is not None,
        deep,
        tuple(state.name for state in states if deep and check.can_be_hashed(state)),
    )


def _state(repository: ReadableRepository, name: str, commit: str) -> _State | None:
    """The revision; None if its commit does not exist."""
    try:
        files = repository.files(commit)
    except RevisionNotFoundError:
        return None
    return _State(name, commit, files, weights_of(files))


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
        try:
            absent = self.repository.absent_files(state.commit)
        except RevisionError as error:
            yield finding("unreadable-listing", str(error))
        else:
            if absent:
                yield finding("missing-file", f"The revision lacks {', '.join(absent)}.")
        for path in state.weights.paths if state.weights else ():
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

    def _own_manifest(self, state: _State, manifest: Manifest) -> Iterator[Finding]:
        """Check that the commit of a branch is the one that published it: its manifest has the revision's row."""
        finding = partial(Finding, state.name)
        if MANIFEST_FILE not in state.files:
            yield finding("moved-branch", "The commit of the branch has no manifest.")
            return
        try:
            own = Manifest.loads(self.repository.read(state.commit, MANIFEST_FILE), where=state.name)
        except RevisionError as error:
            yield finding("unreadable-manifest", str(error))
            return
        if own.run_id != manifest.run_id:
            yield finding("other-run", "This revision and main were published by different runs.")
        elif own.row(state.name) is None:
            yield finding("moved-branch", "The branch does not point at the commit that published it.")

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
            held = {row.epoch for row in self.rows.values() if row.epoch is not None}
            last = max(held, default=-1)
            for epoch in islice((epoch for epoch in range(last + 1) if epoch not in held), _MOST_GAPS):
                message = f"Epochs up to {last} are published, but not this one."
                yield Finding(epoch_name(epoch), "gap", message)
            return
        for what, number_of in (("epoch", epoch_of), ("step", step_of)):
            numbers = {number: name for name in self.refs if (number := number_of(name)) is not None}
            for number in islice(missing_numbers(numbers), _MOST_GAPS):
                after = numbers[max(held for held in numbers if held < number)]
                message = f"The sequence continues after {after} without this {what}."
                yield Finding(f"{what} {number}", "gap", message)

    def weights(self) -> Iterator[Finding]:
        """Compare the weights with the manifest's rows and with each other."""
        first: dict[str, str] = {}  # the first revision with this content
        for state in self.states:
            finding, row = partial(Finding, state.name), self.rows.get(state.name)
            if self.manifest is not None and row is None:
                yield finding("not-in-manifest", "The branch exists, but the manifest has no row for it.")
            if state.weights is None:
                continue
            if row is not None and state.weights.size != row.size:
                size = state.weights.size
                yield finding("wrong-size", f"The weights have {size} bytes, the manifest says {row.size}.")
            # Weights outside the large storage have no recorded SHA-256; those are compared when they are read.
            if row is not None and state.weights.sha256 not in (row.sha256, None):
                yield _wrong_weights(state.name, state.weights.sha256, row)
            if row is None or not row.identical_allowed:
                other = first.setdefault(state.weights.content, state.name)
                if other != state.name:
                    yield finding("identical-weights", f"The weights are identical to those of {other}.")

    def shared_files(self) -> Iterator[Finding]:
        """Check that all revisions of a run share configuration, tokenizer and image processor."""
        for path in _SHARED_FILES:
            blobs = {state.name: state.files[path].blob for state in self.states if path in state.files}
            if not blobs:
                continue
            usual = Counter(blobs.values()).most_common(1)[0][0]
            model = next(state for state in self.states if blobs.get(state.name) == usual)
            for state in self.states:
                if path not in state.files:
                    yield Finding(
                        state.name, "missing-file", f"The revision lacks {path}, which others have."
                    )
                elif blobs[state.name] != usual and not self._same_meaning(path, state, model):
                    yield Finding(state.name, "other-config", f"{path} differs from that of {model.name}.")

    def _same_meaning(self, path: str, *states: _State) -> bool:
        """Whether two JSON files differ only in the version of transformers that wrote them."""
        if not path.endswith(".json"):
            return False
        texts = [self.repository.read(state.commit, path) for state in states]
        try:
            one, other = (json.loads(text, object_hook=_without_version) for text in texts)
        except (ValueError, RecursionError):
            return False
        return bool(one == other)

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
    message = f"The weights have the SHA-256 {served}…, the manifest says {expected}…."
    return Finding(name, "wrong-weights", message)


def _without_version(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in mapping.items() if key != "transformers_version"}
