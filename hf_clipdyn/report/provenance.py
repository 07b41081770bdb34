"""Where the numbers come from, in words: the package that measured them, start times, claims and their registration.

The registration is the commit since which the file of the claims says the same, words apart.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hf_clipdyn.errors import ClipDynError, counted, printable
from hf_clipdyn.results.provenance import DIRTY, RunOrigin, git, utc_of
from hf_clipdyn.statistics.claims import Claims, parse_claims, registered_hash
from hf_clipdyn.statistics.judge import Judge
from hf_clipdyn.statistics.verdicts import provenance

_UNKNOWN = "not recorded"
_MOST_COMMITS = 1000
_MOST_BYTES = 2**20
_SECONDS = 20.0


def origin_rows(
    origins: tuple[RunOrigin, ...], judge: Judge | None, claims_file: Path | None = None
) -> list[tuple[str, str]]:
    """Each fact and its value; what the tables did not record is said."""
    now = provenance(origins, judge and judge.claims)
    packages = dict.fromkeys(name for origin in now.runs for name in origin.packages)
    rows = [
        ("measured with hf_clipdyn", "; ".join(map(_package_words, packages or [""]))),
        ("start of the runs (their first revision)", _span([origin.began for origin in now.runs])),
        ("start of the measurements", _span([origin.measured for origin in now.runs])),
        ("written with hf_clipdyn", _package_words(now.package)),
    ]
    if judge is not None and claims_file is not None:
        rows += [
            ("claims", f"{now.study}, SHA-256 {now.claims}"),
            ("registration", registration_words(origins, judge, claims_file)),
        ]
    return rows


def origin_words(origins: tuple[RunOrigin, ...], judge: Judge | None, claims_file: Path | None = None) -> str:
    """`origin_rows` for the terminal."""
    return "\n".join(
        printable(f"{fact}: {value}") for fact, value in origin_rows(origins, judge, claims_file)
    )


def registration_words(origins: tuple[RunOrigin, ...], judge: Judge, claims_file: Path) -> str:
    """The commit that registered the claims, and whether the runs that count began after it."""
    registered = registration(judge.claims, claims_file)
    source = claims_file.name  # its folder is of this machine, and pages are passed on
    if registered is None:
        return f"Registered in {source}; the commit is unknown."
    words = f"Registered in {source}, commit {registered.commit[:12]} of {_time_words(registered.time)}."
    known = {origin.run: origin for origin in origins}
    counting = () if judge.why_not else sorted(judge.counted.index)
    counted_runs = [known.get(run, RunOrigin(run=run)) for run in counting]
    starts = [min(filter(None, (origin.began, origin.measured)), default="") for origin in counted_runs]
    early = sum(bool(start) and start < registered.time for start in starts)
    if early:
        words += f" {early} of {counted(len(starts), 'run')} began before this commit."
    unknown = sum(not origin.began for origin in counted_runs)
    if unknown:
        missing = "" if unknown == len(starts) else f" for {unknown} of {counted(len(starts), 'run')}"
        words += f" Start of the runs: {_UNKNOWN}{missing}."
    return words


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


def registration(claims: Claims, claims_file: Path) -> Registration | None:
    """The commit that registered what a file tests.

    From the newest commit of the file, it walks back while windows, contrasts, δ, gates and seeds are those in force
    now, and returns the oldest of these commits. Moves of the file are followed.

    None if the file is in no git repository, was changed since, or its history is not complete.
    """
    path = claims_file.resolve()
    head = git(path.parent, "rev-parse", "HEAD")
    return _oldest(path, head, registered_hash(claims)) if head else None


@dataclass(frozen=True)
class _Version:
    """A commit that changed the file: its time in seconds, the ones before it, and the file's name then."""

    time: float
    parents: tuple[str, ...]
    name: str


@lru_cache(maxsize=32)
def _oldest(path: Path, head: str, wanted: str) -> Registration | None:
    top = git(path.parent, "rev-parse", "--show-toplevel")
    if top is None or not path.is_relative_to(top):
        return None
    history = _History(Path(top), wanted)
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
    """The history of a file of claims in the repository ``top``; ``wanted`` is the hash of the claims."""

    def __init__(self, top: Path, wanted: str) -> None:
        self._top, self._wanted = top, wanted
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
                self._known[text] = registered_hash(parse_claims(text, blob)) == self._wanted
        return self._known[text]
