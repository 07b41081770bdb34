"""Repair what `verify` finds: what the Hub lacks is sent, a damaged folder is fetched, a wrong branch is moved."""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hf_clipdyn.errors import ClipDynError, ConfigError, PublishError, RevisionError, naming
from hf_clipdyn.files import delete, follow_umask, write_atomically
from hf_clipdyn.hub import persistently
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, Row, read_manifest
from hf_clipdyn.revisions.names import MAIN
from hf_clipdyn.revisions.open import HubRun, RunFolder
from hf_clipdyn.revisions.store import WEIGHTS_FILE, Store, check_version, weights_of
from hf_clipdyn.revisions.upload import Hub, said
from hf_clipdyn.revisions.verify import Report, check, together

_log = logging.getLogger(__name__)

_DAMAGE = {
    "bad-header",
    "dangling-branch",
    "missing-file",
    "moved-branch",
    "no-weights",
    "other-config",
    "other-run",
    "unreadable-manifest",
    "wrong-content",
    "wrong-size",
    "wrong-weights",
}
"""Findings in a revision, in the folder or on the branch, after which it is replaced by the other copy."""


@dataclass(frozen=True)
class Repaired:
    """What `repair` did.

    Attributes:
        done: what was published or fetched, as sentences.
        lost: revisions that are damaged and have no intact copy.
        report: what `verify` says afterwards.
    """

    done: tuple[str, ...]
    lost: tuple[str, ...]
    report: Report

    @property
    def is_whole(self) -> bool:
        """Whether everything is right now; identical weights are what the run made."""
        return not self.lost and all(one.kind == "identical-weights" for one in self.report.findings)

    def render(self) -> str:
        """Lines for the terminal."""
        lines = [*self.done] or ["Nothing had to be repaired."]
        lines += [f"{name}: no intact copy is left." for name in self.lost]
        return "\n".join([*lines, self.report.render()])


def repair(
    run: str | Path,
    *,
    push_to_hub: bool = False,
    token: str | None = None,
    tell: Callable[[str], None] = _log.warning,
) -> Repaired:
    """Make the folders of a run and its branches on the Hub what its rows say.

    What the Hub lacks is published, also what a person has deleted there. A damaged folder is fetched from the Hub. A
    branch with other contents is moved: only this function does that, and the old commit keeps a tag. At the end `main`
    is the newest revision again. A folder that was deleted after its upload is not fetched.

    Args:
        run: folder of the run.
        push_to_hub: publish a run that was kept local so far.
        token: token of the Hub; None for the stored one.
        tell: is called with a sentence before a branch is moved.

    Raises:
        ConfigError: the folder has no run, or one of version 0.3.
        PublishError: the Hub or the disk cannot be written, or another process writes there.

    Examples:
        >>> from hf_clipdyn.revisions.repair import repair
        >>> repair("runs/demo").is_whole
        True
    """
    run = Path(run)
    check_version(run)
    if not (run / "revisions").is_dir():
        raise ConfigError(f"{run} is not the folder of a run: it has no revisions.")
    with Store(run).locked(), _told(run):
        folder = RunFolder(run, tolerant=True)
        manifest = folder.store.manifest()
        if manifest is None:
            raise ConfigError(f"{run} has no revision that can be read.")
        hub = None
        if (manifest.hub is not None or push_to_hub) and manifest.repo_id is not None:
            hub = Hub(manifest.repo_id, token, private=manifest.hub == "private")
            persistently(partial(hub.check, manifest.run_id))
            listed = persistently(hub.listed)
            manifest = manifest.with_rows(
                tuple(row for row in listed if row.name in (folder.store.broken or ()))
            )
        work = _Repair(folder.store, manifest, hub, tell)
        damaged = _damaged(check(folder, deep=True))
        for name in damaged:
            work.mend(name)
            (folder.store.broken or {}).pop(name, None)  # it is read again
        if hub is not None:
            wrong = _damaged(check(HubRun(hub.repo_id, token)))
            work.send(wrong, without=work.lost)
        report = check(RunFolder(run, tolerant=True), deep=True)
        if hub is not None:
            report = together(report, check(HubRun(hub.repo_id, token)), manifest)
    return Repaired(tuple(work.done), tuple(sorted(work.lost)), report)


@contextmanager
def _told(run: Path) -> Iterator[None]:
    try:
        yield
    except ClipDynError:
        raise
    except Exception as error:
        raise PublishError(f"{run} could not be repaired: {said(error)}") from error


def _damaged(report: Report) -> list[str]:
    return list(dict.fromkeys(one.revision for one in report.findings if one.kind in _DAMAGE))


@dataclass(frozen=True)
class _Repair:
    """The repair of a run; ``hub`` is None if the run is not pushed."""

    store: Store
    manifest: Manifest
    hub: Hub | None
    tell: Callable[[str], None]
    done: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)

    def mend(self, name: str) -> None:
        """Replace a damaged folder by the branch on the Hub, or its manifest alone by one of the rows."""
        row = self.manifest.row(name)
        branches = self.hub.branches() if self.hub is not None else {}
        if row is not None and self.hub is not None and name in branches:
            weights = self.hub.files(branches[name]).get(WEIGHTS_FILE)
            if weights is not None and weights.sha256 == row.sha256:
                persistently(partial(self._fetch, self.hub, branches[name], row), transfers=True)
                self.done.append(f"{name} was fetched from {self.hub.where}.")
                return
        folder = self.store.folder / name
        if row is not None and _has_weights(folder, row) and not _is_readable(folder):
            earlier = self.manifest.revisions[: self.manifest.revisions.index(row) + 1]
            content = self.manifest.model_copy(update={"revisions": earlier}).dumps()
            delete(folder / MANIFEST_FILE)
            write_atomically(folder / MANIFEST_FILE, content)
            self.done.append(f"{MANIFEST_FILE} of {name} was written again.")
        else:
            self.lost.add(name)

    def _fetch(self, hub: Hub, commit: str, row: Row) -> None:
        staged, old = (self.store.folder / f".{row.name}.{secrets.token_hex(4)}.staging" for _ in range(2))
        with naming(self.store.folder / row.name):
            hub.api.snapshot_download(hub.repo_id, revision=commit, local_dir=staged)
            delete(staged / ".cache")  # of the client
            follow_umask(staged)
            (self.store.folder / row.name).rename(old)
            staged.rename(self.store.folder / row.name)
            delete(old)

    def send(self, wrong: list[str], without: set[str]) -> None:
        """Publish what the Hub lacks, move its wrong branches, and give `main` the newest revision."""
        hub = self.hub
        assert hub is not None
        for name in self.store.names():
            row, branches = self.store.row(name), hub.branches()
            if name in without or (name in branches and name not in wrong):
                continue
            if name in branches:
                old = branches[name]
                tag = f"{name}-replaced-{old[:8]}"
                self.tell(f"{name} of {hub.where} is moved from commit {old}, which keeps the tag {tag}.")
                hub.api.create_tag(hub.repo_id, tag=tag, revision=old, exist_ok=True)
                persistently(partial(hub.move, self.store, row), transfers=True)
            else:
                persistently(partial(hub.publish, self.store, row), transfers=True)
            self.done.append(f"{name} was published to {hub.where}.")
        self.lost.update(name for name in wrong if self.manifest.row(name) and name not in self.store.names())
        self._set_main(hub)

    def _set_main(self, hub: Hub) -> None:
        branches = hub.branches()
        there = [self.store.row(name) for name in self.store.names() if name in branches]
        if not there:
            return
        files = hub.files(branches[MAIN])
        weights = files.get(WEIGHTS_FILE)
        listed = hub.listed()
        newest = max((*there, *listed), key=lambda row: self._place(row.name))
        if newest not in there:
            return  # its folder was deleted after its upload
        has_rows = {row.name for row in there} <= {row.name for row in listed}
        if weights is None or weights.sha256 != newest.sha256 or not has_rows:
            call = partial(hub.set_main, self.store, newest, tuple(there))
            persistently(call, transfers=True)
            self.done.append(f"main was set to {newest.name} in {hub.where}.")

    def _place(self, name: str) -> int:
        return [row.name for row in self.manifest.revisions].index(name)


def _is_readable(folder: Path) -> bool:
    try:
        return bool(read_manifest(folder))
    except (RevisionError, OSError):
        return False


def _has_weights(folder: Path, row: Row) -> bool:
    return (folder / WEIGHTS_FILE).is_file() and weights_of(folder)["sha256"] == row.sha256
