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
from pathlib import Path
from typing import Any

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError
from hf_clipdyn.revisions.header import header_fault
from hf_clipdyn.revisions.listing import PARALLEL_REQUESTS, open_repository
from hf_clipdyn.revisions.manifest import IMPORTED, MANIFEST_FILE, Manifest, ManifestRow, sort_key
from hf_clipdyn.revisions.names import epoch_name, epoch_of, missing_numbers, natural_key, step_of
from hf_clipdyn.revisions.publication import content_differs
from hf_clipdyn.revisions.repository import (
    MAIN,
    FileRecord,
    Repository,
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
    repo_id: str, *, store: str | Path | None = None, token: str | None = None, deep: bool = False
) -> Report:
    """Check all revisions of a repository.

    Args:
        repo_id: `owner/name`.
        store: folder of a local store; None asks the Hub.
        token: token of the Hub; None for the stored one.
        deep: read (on the Hub: download) every file and hash it.

    Raises:
        RevisionNotFoundError: there is no such repository.
    """
    return verify_repository(open_repository(repo_id, store, token), deep=deep)


def verify_repository(repository: Repository, *, deep: bool = False) -> Report:
    """`verify` of an open repository."""
    refs = repository.refs()
    findings: list[Finding] = []
    manifest = None
    try:
        manifest = read_manifest(repository, refs.get(MAIN))
    except RevisionError as error:
        findings.append(Finding(MANIFEST_FILE, "unreadable-manifest", str(error)))
    rows = {row.name: row for row in manifest.rows} if manifest is not None else {}
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        found = pool.map(lambda ref: _state(repository, *ref), refs.items())
        known = {name: state for name, state in zip(refs, found, strict=True) if state is not None}
        findings += [
            Finding(
                name, "dangling-branch", f"The branch points at commit {refs[name]}, which does not exist."
            )
            for name in refs
            if name not in known and name != MAIN
        ]
        main = known.pop(MAIN, None)

        def order(state: _State) -> tuple[Any, ...]:
            return sort_key(state.name, rows[state.name].step if state.name in rows else step_of(state.name))

        states = sorted(known.values(), key=order)
        findings += _missing(refs, manifest)
        if manifest is not None:
            for state in states:
                findings += _against_row(state, rows.get(state.name))
            findings += _rows(manifest)
        findings += _identical(states, rows)
        findings += _disagreeing(repository, states)
        for inside in pool.map(lambda state: list(_inside(repository, state, manifest, deep=deep)), states):
            findings += inside
    findings += _main(repository, refs, main, manifest, known, deep=deep)
    positions = {state.name: position for position, state in enumerate(states)}
    findings.sort(key=lambda item: (positions.get(item.revision, -1), natural_key(item.revision)))
    return Report(
        repository.where,
        tuple(positions),
        tuple(dict.fromkeys(findings)),
        manifest is not None,
        deep,
        tuple(state.name for state in states if deep and _can_be_hashed(repository, state)),
    )


# --- one revision -------------------------------------------------------------------------------------


def _state(repository: Repository, name: str, commit: str) -> _State | None:
    """The revision; None if its commit does not exist."""
    try:
        files = repository.files(commit)
    except RevisionNotFoundError:
        return None
    return _State(name, commit, files, weights_of(files))


def _against_row(state: _State, row: ManifestRow | None) -> Iterator[Finding]:
    """Compare the weights with the manifest's row."""
    finding = partial(Finding, state.name)
    if row is None:
        yield finding("not-in-manifest", "The branch exists, but the manifest has no row for it.")
    elif state.weights is not None:
        size = state.weights.size
        if size != row.size:
            yield finding("wrong-size", f"The weights have {size} bytes, the manifest says {row.size}.")
        # Weights outside the large storage have no recorded SHA-256; those are compared when they are read.
        if state.weights.sha256 not in (row.sha256, None):
            yield _wrong_weights(state.name, state.weights.sha256, row)


def _wrong_weights(name: str, sha256: str | None, row: ManifestRow) -> Finding:
    served, expected = str(sha256)[:12], row.sha256[:12]
    message = f"The weights have the SHA-256 {served}…, the manifest says {expected}…."
    return Finding(name, "wrong-weights", message)


def _inside(
    repository: Repository, state: _State, manifest: Manifest | None, *, deep: bool
) -> Iterator[Finding]:
    """Check the files of one revision."""
    finding = partial(Finding, state.name)
    if manifest is not None:
        yield from _own_manifest(repository, state, manifest)
    if state.weights is None:
        yield finding("no-weights", "The revision has no weights.")
    try:
        absent = repository.absent_files(state.commit)
    except RevisionError as error:
        yield finding("unreadable-listing", str(error))
    else:
        if absent:
            yield finding("missing-file", f"The revision lacks {', '.join(absent)}.")
    for path in state.weights.paths if state.weights else ():
        if path.endswith(".safetensors"):
            wrong = header_fault(repository, state.commit, path, state.files[path].size)
            if wrong:
                yield finding("bad-header", f"{path}: {wrong}.")
    if not deep:
        return
    for path, record in state.files.items():
        if record.recorded and content_differs(repository, state.commit, path, record):
            yield finding("wrong-content", f"{path} does not have the hash that its metadata record.")
    row = manifest.row(state.name) if manifest is not None else None
    if row is not None and state.weights is not None and state.weights.sha256 is None:
        actual = sha256_of(repository, state.commit)
        if actual != row.sha256:
            yield _wrong_weights(state.name, actual, row)


def _can_be_hashed(repository: Repository, state: _State) -> bool:
    """Whether each file of a revision is there, weights too, and its hash is recorded."""
    if state.weights is None or not all(record.recorded for record in state.files.values()):
        return False
    try:
        return not repository.absent_files(state.commit)
    except RevisionError:  # the listing is missing
        return False


def _own_manifest(repository: Repository, state: _State, manifest: Manifest) -> Iterator[Finding]:
    """Check that the commit of a branch is the one that published it: its manifest has the revision's row."""
    finding = partial(Finding, state.name)
    if MANIFEST_FILE not in state.files:
        yield finding("moved-branch", "The commit of the branch has no manifest.")
        return
    try:
        own = Manifest.loads(repository.read(state.commit, MANIFEST_FILE), where=state.name)
    except RevisionError as error:
        yield finding("unreadable-manifest", str(error))
        return
    if own.run_id != manifest.run_id:
        yield finding("other-run", "This revision and main were published by different runs.")
    elif own.row(state.name) is None:
        yield finding("moved-branch", "The branch does not point at the commit that published it.")


# --- the revisions among each other -------------------------------------------------------------------


def _missing(refs: Mapping[str, str], manifest: Manifest | None) -> Iterator[Finding]:
    rows = manifest.rows if manifest is not None else ()
    for row in rows:
        if row.name not in refs:
            yield Finding(
                row.name, "missing-branch", "The manifest has this revision, but there is no branch."
            )
    if any(row.recipe_hash.startswith(IMPORTED) for row in rows):
        return  # imported runs have the gaps of their source
    # At most a hundred gaps: one absurd number must not become a billion findings.
    if rows:
        held = {row.epoch for row in rows if row.epoch is not None}
        last = max(held, default=-1)
        for epoch in islice((epoch for epoch in range(last + 1) if epoch not in held), _MOST_GAPS):
            yield Finding(epoch_name(epoch), "gap", f"Epochs up to {last} are published, but not this one.")
        return
    for what, number_of in (("epoch", epoch_of), ("step", step_of)):
        numbers = {number: name for name in refs if (number := number_of(name)) is not None}
        for number in islice(missing_numbers(numbers), _MOST_GAPS):
            after = numbers[max(held for held in numbers if held < number)]
            yield Finding(
                f"{what} {number}", "gap", f"The sequence continues after {after} without this {what}."
            )


def _identical(states: Sequence[_State], rows: Mapping[str, ManifestRow]) -> Iterator[Finding]:
    first: dict[str, str] = {}  # the first revision with this content
    for state in states:
        allowed = state.name in rows and rows[state.name].identical_allowed
        if state.weights is None or allowed:
            continue
        other = first.setdefault(state.weights.content, state.name)
        if other != state.name:
            message = f"The weights are identical to those of {other}."
            yield Finding(state.name, "identical-weights", message)


def _disagreeing(repository: Repository, states: Sequence[_State]) -> Iterator[Finding]:
    """Check that all revisions of a run share configuration, tokenizer and image processor."""
    for path in _SHARED_FILES:
        blobs = {state.name: state.files[path].blob for state in states if path in state.files}
        if not blobs:
            continue
        usual = Counter(blobs.values()).most_common(1)[0][0]
        model = next(state for state in states if blobs.get(state.name) == usual)
        for state in states:
            if path not in state.files:
                yield Finding(state.name, "missing-file", f"The revision lacks {path}, which others have.")
            elif blobs[state.name] != usual and not _same_meaning(repository, path, state, model):
                yield Finding(state.name, "other-config", f"{path} differs from that of {model.name}.")


def _same_meaning(repository: Repository, path: str, one: _State, other: _State) -> bool:
    """Whether two JSON files differ only in the version of transformers that wrote them."""
    if not path.endswith(".json"):
        return False

    def content(state: _State) -> Any:
        try:
            return json.loads(repository.read(state.commit, path), object_hook=_without_version)
        except (ValueError, RecursionError):
            return state.commit  # unlike any other

    return bool(content(one) == content(other))


def _without_version(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in mapping.items() if key != "transformers_version"}


def _rows(manifest: Manifest) -> Iterator[Finding]:
    """Check that the manifest's rows fit their names and each other."""
    for row in manifest.rows:
        finding = partial(Finding, row.name, "wrong-row")
        named = epoch_of(row.name)
        if named is not None and row.epoch != named:
            yield finding(f"The manifest gives {row.name} the epoch {row.epoch}.")
        if not row.sha256 or row.size == 0:
            yield finding("The manifest has no hash or no size of the weights.")
    for before, row in pairwise(manifest.rows):
        for what in ("epoch", "samples_seen"):
            low, high = getattr(before, what), getattr(row, what)
            if low is not None and high is not None and high < low:
                message = f"The manifest's {what} decreases from {low} ({before.name}) to {high}."
                yield Finding(row.name, "wrong-row", message)


def _main(
    repository: Repository,
    refs: Mapping[str, str],
    main: _State | None,
    manifest: Manifest | None,
    states: Mapping[str, _State],
    *,
    deep: bool,
) -> Iterator[Finding]:
    if MAIN not in refs:
        yield Finding(MAIN, "no-main", "There is no branch main, which `from_pretrained` loads by default.")
        return
    if manifest is not None and manifest.newest is not None:
        newest = manifest.newest
        weights = main.weights if main is not None else None
        branch = states[newest.name].weights if newest.name in states else None
        if weights is None:
            right = False
        elif weights.sha256 is not None:
            right = weights.sha256 == newest.sha256
        elif branch is not None and branch.sha256 is None:
            right = weights.content == branch.content
        else:  # the metadata have no SHA-256
            right = not deep or sha256_of(repository, refs[MAIN]) == newest.sha256
        if not right:
            message = f"main has other weights than {newest.name}, the newest revision."
            yield Finding(MAIN, "main-not-newest", message)
    if manifest is None and any(MANIFEST_FILE in state.files for state in states.values()):
        yield Finding(MAIN, "no-manifest", "Revisions carry a manifest, but main has none.")
