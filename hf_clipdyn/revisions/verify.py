"""Check that a repository serves what was published; suites of others can be checked too.

Most checks read metadata only, which have the SHA-256 of each file. With ``deep`` the files are read and hashed.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
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
        kind: a fixed word per kind of fault, for programs.
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
        deep: whether the files were to be hashed.
        hashed: the revisions whose files were all read and compared with a recorded hash; empty without
            ``deep``.
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
    refs = dict(repository.refs())
    findings: list[Finding] = []
    manifest = None
    try:
        manifest = read_manifest(repository, refs)
    except RevisionError as error:
        findings.append(Finding(MANIFEST_FILE, "unreadable-manifest", str(error)))
    states: list[_State] = []
    names = [name for name in refs if name != MAIN]
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        for answer in pool.map(lambda name: _state(repository, name, refs[name]), names):
            if isinstance(answer, Finding):
                findings.append(answer)
            else:
                states.append(answer)
        steps = {row.name: row.step for row in manifest.rows} if manifest else {}
        states.sort(key=lambda state: sort_key(state.name, steps.get(state.name, step_of(state.name))))
        findings += _missing(refs, manifest)
        if manifest is not None:
            for state in states:
                findings += _against_row(state, manifest.row(state.name))
            findings += _rows(manifest)
        findings += _identical(states, manifest)
        findings += _disagreeing(repository, states)
        for found in pool.map(lambda state: list(_inside(repository, state, manifest, deep=deep)), states):
            findings += found
    findings += _main(repository, refs, manifest, states, deep=deep)
    order = {state.name: position for position, state in enumerate(states)}
    findings.sort(key=lambda item: (order.get(item.revision, -1), natural_key(item.revision)))
    return Report(
        repository.where,
        tuple(state.name for state in states),
        tuple(dict.fromkeys(findings)),
        manifest is not None,
        deep,
        tuple(state.name for state in states if deep and _can_be_hashed(repository, state)),
    )


# --- one revision -------------------------------------------------------------------------------------


def _state(repository: Repository, name: str, commit: str) -> _State | Finding:
    try:
        files = repository.files(commit)
    except RevisionNotFoundError:
        return Finding(
            name, "dangling-branch", f"The branch points at commit {commit}, which does not exist."
        )
    return _State(name, commit, files, weights_of(files))


def _against_row(state: _State, row: ManifestRow | None) -> Iterator[Finding]:
    """Compare the weights with the manifest's row."""
    if row is None:
        yield Finding(state.name, "not-in-manifest", "The branch exists, but the manifest has no row for it.")
    elif state.weights is not None:
        if state.weights.size != row.size:
            yield Finding(
                state.name,
                "wrong-size",
                f"The weights have {state.weights.size} bytes, the manifest says {row.size}.",
            )
        # Weights outside the large storage have no recorded SHA-256; those are compared when they are read.
        if state.weights.sha256 not in (row.sha256, None):
            yield _wrong_weights(state.name, state.weights.sha256, row)


def _wrong_weights(name: str, sha256: str | None, row: ManifestRow) -> Finding:
    return Finding(
        name,
        "wrong-weights",
        f"The weights have the SHA-256 {str(sha256)[:12]}…, the manifest says {row.sha256[:12]}….",
    )


def _inside(
    repository: Repository, state: _State, manifest: Manifest | None, *, deep: bool
) -> Iterator[Finding]:
    """Check the files of one revision."""
    if manifest is not None:
        yield from _own_manifest(repository, state, manifest)
    if state.weights is None:
        yield Finding(state.name, "no-weights", "The revision has no weights.")
    try:
        absent = repository.absent_files(state.commit)
    except RevisionError as error:
        yield Finding(state.name, "unreadable-listing", str(error))
    else:
        if absent:
            yield Finding(state.name, "missing-file", f"The revision lacks {', '.join(absent)}.")
    for path in state.weights.paths if state.weights else ():
        if path.endswith(".safetensors"):
            wrong = header_fault(repository, state.commit, path, state.files[path].size)
            if wrong:
                yield Finding(state.name, "bad-header", f"{path}: {wrong}.")
    if not deep:
        return
    for path, record in state.files.items():
        if record.recorded and content_differs(repository, state.commit, path, record):
            yield Finding(state.name, "wrong-content", f"{path} has another hash than its metadata say.")
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
    if MANIFEST_FILE not in state.files:
        yield Finding(state.name, "moved-branch", "The commit under the branch carries no manifest.")
        return
    try:
        own = Manifest.loads(repository.read(state.commit, MANIFEST_FILE), where=state.name)
    except RevisionError as error:
        yield Finding(state.name, "unreadable-manifest", str(error))
        return
    if own.run_id != manifest.run_id:
        yield Finding(state.name, "other-run", "The revision was published by another run than main was.")
    elif own.row(state.name) is None:
        yield Finding(
            state.name, "moved-branch", "The commit under the branch is not the one that published it."
        )


# --- the revisions among each other -------------------------------------------------------------------


def _missing(refs: Mapping[str, str], manifest: Manifest | None) -> Iterator[Finding]:
    for row in manifest.rows if manifest else ():
        if row.name not in refs:
            yield Finding(
                row.name, "missing-branch", "The manifest has the revision, but no branch has its name."
            )
    if manifest is not None and any(row.recipe_hash.startswith(IMPORTED) for row in manifest.rows):
        return  # imported runs have the gaps of their source
    if manifest is not None and manifest.rows:
        last = max((row.epoch for row in manifest.rows if row.epoch is not None), default=-1)
        held = {row.epoch for row in manifest.rows}
        for epoch in _first(epoch for epoch in range(last + 1) if epoch not in held):
            yield Finding(epoch_name(epoch), "gap", f"Epochs up to {last} are published, but not this one.")
        return
    for what, number_of in (("epoch", epoch_of), ("step", step_of)):
        numbers = {number: name for name in refs if (number := number_of(name)) is not None}
        for number in _first(missing_numbers(numbers)):
            after = max(held for held in numbers if held < number)
            yield Finding(
                f"{what} {number}",
                "gap",
                f"The sequence continues after {numbers[after]} without this {what}.",
            )


def _first(missing: Iterator[int]) -> Iterator[int]:
    """At most a hundred: one absurd number must not become a billion findings."""
    return islice(missing, _MOST_GAPS)


def _identical(states: Sequence[_State], manifest: Manifest | None) -> Iterator[Finding]:
    by_content: dict[str, list[str]] = defaultdict(list)
    allowed = {row.name for row in manifest.rows if row.identical_allowed} if manifest is not None else set()
    for state in states:
        if state.weights is not None and state.name not in allowed:
            by_content[state.weights.content].append(state.name)
    for first, *others in by_content.values():
        for name in others:
            yield Finding(name, "identical-weights", f"The weights are identical to those of {first}.")


def _disagreeing(repository: Repository, states: Sequence[_State]) -> Iterator[Finding]:
    """Check that all revisions of a run share configuration, tokenizer and image processor."""
    for path in _SHARED_FILES:
        counts = Counter(state.files[path].blob for state in states if path in state.files)
        if not counts:
            continue
        usual = counts.most_common(1)[0][0]
        model = next(state for state in states if path in state.files and state.files[path].blob == usual)
        for state in states:
            if path not in state.files:
                yield Finding(state.name, "missing-file", f"The revision lacks {path}, which others have.")
            elif state.files[path].blob != usual and not _same_meaning(repository, path, state, model):
                yield Finding(state.name, "other-config", f"{path} differs from that of {model.name}.")


def _same_meaning(repository: Repository, path: str, one: _State, other: _State) -> bool:
    """Whether two JSON files differ only in the version of transformers that wrote them."""
    if not path.endswith(".json"):
        return False

    def content(state: _State) -> Any:
        try:
            return _without_versions(json.loads(repository.read(state.commit, path)))
        except (ValueError, RecursionError):
            return state.commit  # unlike any other

    return bool(content(one) == content(other))


def _without_versions(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_versions(item) for key, item in value.items() if key != "transformers_version"}
    return value


def _rows(manifest: Manifest) -> Iterator[Finding]:
    """Check that the manifest's rows fit their names and each other."""
    for before, row in zip((None, *manifest.rows), manifest.rows, strict=False):
        named = epoch_of(row.name)
        if named is not None and row.epoch != named:
            yield Finding(row.name, "wrong-row", f"The manifest gives {row.name} the epoch {row.epoch}.")
        if len(row.sha256) != 64 or row.size <= 0:
            yield Finding(row.name, "wrong-row", "The manifest's hash or size is impossible.")
        if before is None:
            continue
        for what in ("epoch", "samples_seen"):
            low, high = getattr(before, what), getattr(row, what)
            if low is not None and high is not None and high < low:
                yield Finding(
                    row.name,
                    "wrong-row",
                    f"The manifest's {what} decreases from {low} ({before.name}) to {high}.",
                )


def _main(
    repository: Repository,
    refs: Mapping[str, str],
    manifest: Manifest | None,
    states: Sequence[_State],
    *,
    deep: bool,
) -> Iterator[Finding]:
    if MAIN not in refs:
        yield Finding(MAIN, "no-main", "There is no branch main, which `from_pretrained` loads by default.")
        return
    if manifest is not None and manifest.newest is not None:
        newest = manifest.newest
        state = _state(repository, MAIN, refs[MAIN])
        weights = None if isinstance(state, Finding) else state.weights
        branch = next((one.weights for one in states if one.name == newest.name), None)
        if weights is None:
            right = False
        elif weights.sha256 is not None:
            right = weights.sha256 == newest.sha256
        elif branch is not None and branch.sha256 is None:
            right = weights.content == branch.content
        else:  # the metadata have no SHA-256
            right = not deep or sha256_of(repository, refs[MAIN]) == newest.sha256
        if not right:
            yield Finding(
                MAIN, "main-not-newest", f"main has other weights than {newest.name}, the newest revision."
            )
    if manifest is None and any(MANIFEST_FILE in state.files for state in states):
        yield Finding(MAIN, "no-manifest", "Revisions carry a manifest, but main has none.")
