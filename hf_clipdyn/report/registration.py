"""When the claims were registered: the commit since which their file says the same, words apart."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from hf_clipdyn.errors import ClipDynError
from hf_clipdyn.results.provenance import git, utc_of
from hf_clipdyn.statistics.claims import Claims, parse_claims, registered_hash

__all__ = ["Registration", "registration"]

_MOST_COMMITS = 1000
_MOST_BYTES = 2**20
_SECONDS = 20.0


@dataclass(frozen=True)
class Registration:
    """The commit that registered the claims of a study, and its time (UTC, ISO 8601)."""

    commit: str
    time: str


def registration(claims: Claims, study: str, claims_file: Path | None = None) -> Registration | None:
    """The commit that registered what a study tests.

    From the newest commit of the file, it walks back while windows, contrasts, δ, gates and seeds of the study are
    those in force now, and returns the oldest of these commits. Moves of the file are followed.

    Args:
        claims: in force now.
        study: its name in the claims; another study in the same file may change.
        claims_file: of a user; None for the package's own, which is in a repository in a checkout only.

    Returns:
        None if the file is in no git repository, was changed since, or its history is not complete.
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
    """The history of a file of claims in a repository.

    Args:
        top: the repository's folder.
        study: whose claims are compared.
        wanted: their hash.
    """

    def __init__(self, top: Path, study: str, wanted: str) -> None:
        self._top, self._study, self._wanted = top, study, wanted
        self._deadline = time.monotonic() + _SECONDS
        self._known: dict[str, bool] = {}  # by text: a merge repeats its parents' versions

    def alike(self, start: str, name: str) -> Iterator[tuple[float, str]]:
        """Time and commit of each version from ``start`` back to the first that registers something else.

        Raises:
            _CutError: that first one may lie before what can be read.
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
            one = versions[commit]
            if not self._is_wanted(commit, one.name):
                continue
            yield one.time, commit
            waiting += one.parents
            if not one.parents:
                earlier = self._moved(commit, one.name)
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
