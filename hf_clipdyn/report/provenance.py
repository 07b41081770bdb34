"""Where the numbers come from, in words: the package that measured them, start times, claims and their registration.

The registration is the commit since which the file of the claims says the same, words apart.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from hf_clipdyn.errors import ClipDynError, counted, printable
from hf_clipdyn.results.provenance import DIRTY, RunOrigin, git, utc_of
from hf_clipdyn.results.table import Table
from hf_clipdyn.statistics.claims import Claims, parse_claims, registered_hash
from hf_clipdyn.statistics.evidence import Evidence
from hf_clipdyn.statistics.verdicts import provenance

_UNKNOWN = "not recorded"
_MOST_COMMITS = 1000
_MOST_BYTES = 2**20
_SECONDS = 20.0


def origin_rows(
    results: Table, evidence: Evidence | None, claims_file: Path | None = None
) -> list[tuple[str, str]]:
    """Each fact and its value; what the tables did not record is said."""
    now = provenance(results, evidence)
    packages = dict.fromkeys(name for origin in now.runs for name in origin.packages)
    rows = [
        ("measured with hf_clipdyn", "; ".join(map(_package_words, packages or [""]))),
        ("start of the runs (their first revision)", _span([origin.began for origin in now.runs])),
        ("start of the measurements", _span([origin.measured for origin in now.runs])),
        ("written with hf_clipdyn", _package_words(now.package)),
    ]
    if evidence is not None:
        rows += [
            ("claims", f"study {now.study}, SHA-256 {now.claims}"),
            ("registration", registration_words(results, evidence, claims_file)),
        ]
    return rows


def origin_words(results: Table, evidence: Evidence | None, claims_file: Path | None = None) -> str:
    """`origin_rows` for the terminal."""
    return "\n".join(
        printable(f"{fact}: {value}") for fact, value in origin_rows(results, evidence, claims_file)
    )


def registration_words(results: Table, evidence: Evidence, claims_file: Path | None = None) -> str:
    """The commit that registered the claims, and whether the runs that count began after it."""
    source = Path(evidence.claims.source).name  # its folder is of this machine, and pages are passed on
    registered = registration(evidence.claims, evidence.study, claims_file)
    if registered is None:
        return f"Registered in {source}; the commit is unknown."
    words = f"Registered in {source}, commit {registered.commit[:12]} of {_time_words(registered.time)}."
    starts = [
        min(filter(None, (origin.began, origin.measured)), default="")
        for origin in _counted(results, evidence)
    ]
    early = sum(bool(origin) and origin < registered.time for origin in starts)
    if early:
        words += f" {early} of {counted(len(starts), 'run')} began before this commit."
    unknown = sum(not origin.began for origin in _counted(results, evidence))
    if unknown:
        missing = "" if unknown == len(starts) else f" for {unknown} of {counted(len(starts), 'run')}"
        words += f" Start of the runs: {_UNKNOWN}{missing}."
    return words


def _counted(results: Table, evidence: Evidence) -> Sequence[RunOrigin]:
    """The runs that the verdicts count; none if these can give no verdict."""
    if evidence.why_not:
        return ()
    counting = {run for arm in ("", *evidence.arms) for run in evidence.runs(arm)}
    known = {origin.run: origin for origin in results.origins}
    return [known.get(run, RunOrigin(run=run)) for run in sorted(counting)]


def _span(times: Iterable[str]) -> str:
    """The earliest and the latest time."""
    listed = list(times)
    known = sorted(filter(None, listed))
    if not known:
        return _UNKNOWN
    words = " to ".join(dict.fromkeys(map(_time_words, (known[0], known[-1]))))
    missing = len(listed) - len(known)
    return f"{words}; {_UNKNOWN} for {missing} of {counted(len(listed), 'run')}" if missing else words


def _time_words(utc: str) -> str:
    return utc.replace("T", " ").replace("+00:00", " UTC")


def _package_words(package: str) -> str:
    version, _, commit = package.partition("+")
    if not version:
        return f"commit {_UNKNOWN}"  # the column `versions` may have the version
    if not commit:
        return f"{version}, installed, no commit"
    changed = ", with changes that are not in the commit" if commit.endswith(DIRTY) else ""
    return f"{version}, commit {commit.removesuffix(DIRTY)[:12]}{changed}"


@dataclass(frozen=True)
class Registration:
    """The commit that registered the claims of a study, and its time (UTC, ISO 8601)."""

    commit: str
    time: str


def registration(claims: Claims, study: str, claims_file: Path | None = None) -> Registration | None:
    """The commit that registered what a study tests.

    From the newest commit of the file, it walks back while windows, contrasts, δ, gates and seeds of the study are
    those in force now, and returns the oldest of these commits. Moves of the file are followed.

    ``claims`` are in force now; another study in the same file may change. None if the file is in no git repository
    (the package's own is in one in a checkout only), was changed since, or its history is not complete.
    """
    path = claims_file or Path(str(files("hf_clipdyn.statistics").joinpath("claims.yaml")))
    path = path.resolve()
    head = git(path.parent, "rev-parse", "HEAD")
    return _oldest(path, head, study, registered_hash(claims, study)) if head else None


@dataclass(frozen=True)
class _Version:
    """A commit that changed the file: its time in seconds, the ones before it, and the file's name then."""

    time: float
    parents: tuple[str, ...]
    name: str


@lru_cache(maxsize=32)
def _oldest(path: Path, head: str, study: str, wanted: str) -> Registration | None:
    top = git(path.parent, "rev-parse", "--show-toplevel")
    if top is None or not path.is_relative_to(top):
        return None
    history = _History(Path(top), study, wanted)
    try:
        listed = list(history.alike(head, path.relative_to(top).as_posix()))
    except _CutError:
        return None
    if not listed:
        return None
    seconds, commit = min(listed)
    return Registration(commit, utc_of(seconds))


class _CutError(Exception):
    """The history is longer than what can be read here."""


class _History:
    """The history of a file of claims in the repository ``top``; ``wanted`` is the hash of the study's claims."""

    def __init__(self, top: Path, study: str, wanted: str) -> None:
        self._top, self._study, self._wanted = top, study, wanted
        self._deadline = time.monotonic() + _SECONDS
        self._known: dict[str, bool] = {}  # by text: a merge repeats its parents' versions

    def alike(self, start: str, name: str) -> Iterator[tuple[float, str]]:
        """Time and commit of each version from ``start`` back to the first that registers something else.

        `_CutError` if that first one may lie before what can be read.
        """
        versions = self._versions(start, name)
        waiting, seen = list(versions)[:1], set[str]()
        while waiting:
            commit = waiting.pop()
            if commit in seen:
                continue
            seen.add(commit)
            if commit not in versions:
                raise _CutError
            version = versions[commit]
            if not self._is_wanted(commit, version.name):
                continue
            yield version.time, commit
            waiting += version.parents
            if not version.parents:
                earlier = self._moved(commit, version.name)
                waiting += list(earlier)[:1]
                versions |= earlier

    def _git(self, *arguments: str) -> str | None:
        said = git(self._top, *arguments, seconds=max(self._deadline - time.monotonic(), 0.01))
        if time.monotonic() > self._deadline:
            raise _CutError
        return said

    def _versions(self, start: str, name: str) -> dict[str, _Version]:
        """The commits that changed the file, the newest first."""
        listed = self._git(
            "--literal-pathspecs",
            *("rev-list", "--topo-order", "--parents", "--timestamp", f"--max-count={_MOST_COMMITS}"),
            *(start, "--", name),
        )
        lines = [line.split() for line in (listed or "").splitlines()]
        return {commit: _Version(float(seconds), tuple(parents), name) for seconds, commit, *parents in lines}

    def _moved(self, commit: str, name: str) -> dict[str, _Version]:
        """The versions before a commit that moved the file here; empty if the commit is its first."""
        if self._git("rev-parse", "--is-shallow-repository") != "false":
            raise _CutError
        moves = self._git(
            *("diff-tree", "--no-commit-id", "-r", "-M", "--diff-filter=R", "--name-status", "-z", commit)
        )
        parts = (moves or "").split("\0")  # a similarity, the earlier name and the later one, of each move
        sources = {later: earlier for earlier, later in zip(parts[1::3], parts[2::3], strict=False)}
        return self._versions(f"{commit}^", sources[name]) if name in sources else {}

    def _is_wanted(self, commit: str, name: str) -> bool:
        """Whether a version registers what is wanted; one that is not a file of claims does not."""
        blob = f"{commit}:{name}"
        size = self._git("cat-file", "-s", blob)
        if size is None and self._git("ls-tree", "--name-only", commit, "--", name) != "":
            raise _CutError  # a partial clone lacks it
        if size is None or int(size) > _MOST_BYTES:
            return False
        text = self._git("cat-file", "blob", blob) or ""
        if text not in self._known:
            self._known[text] = False
            with suppress(ClipDynError):
                self._known[text] = registered_hash(parse_claims(text, blob), self._study) == self._wanted
        return self._known[text]
