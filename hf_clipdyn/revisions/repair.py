"""Repair what `verify` finds: what the Hub lacks is sent, a damaged folder is fetched, a wrong branch is moved."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hf_clipdyn.errors import ClipDynError, ConfigError, PublishError
from hf_clipdyn.files import delete, file_sha256, follow_umask, write_atomically
from hf_clipdyn.hub import persistently
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, NO_MANIFEST, Manifest
from hf_clipdyn.revisions.published import WEIGHTS_FILE, RunFolder
from hf_clipdyn.revisions.store import Store, check_version
from hf_clipdyn.revisions.upload import Hub, said
from hf_clipdyn.revisions.verify import Report, check

_log = logging.getLogger(__name__)

# Findings that are not mended by taking the other copy: the row is wrong, or nothing is damaged.
_NO_DAMAGE = {
    *("gap", "identical-weights", "main-not-newest", "missing-branch", "missing-folder"),
    *("no-main", "no-manifest", "not-in-manifest", "wrong-row"),
}
_OF_MANIFEST = {"moved-branch", "unreadable-manifest"}


def repair(
    run: str | Path,
    *,
    push_to_hub: bool = False,
    token: str | None = None,
    tell: Callable[[str], None] = _log.warning,
) -> Report:
    """Make the folders of a run and its branches on the Hub what its rows say.

    What the Hub lacks is published, also what a person has deleted there. A damaged folder is fetched from the Hub. A
    branch with other contents is moved: only this function does that, and the old commit keeps a tag. At the end `main`
    is the newest revision again. A folder that was deleted after its upload is not fetched.

    Args:
        run: folder of the run.
        push_to_hub: publish a run that was kept local so far.
        token: token of the Hub; None for the stored one.
        tell: is called with a sentence on all that is done, and before a branch is moved; at the end, with one for
            each revision that is damaged and has no intact copy.

    Returns:
        What `verify` says afterwards.

    Raises:
        ConfigError: the folder has no run, or one of version 0.3.
        PublishError: the Hub or the disk cannot be written, or another process writes there.

    Examples:
        >>> from hf_clipdyn.revisions.repair import repair
        >>> repair("runs/demo").is_whole
        True
    """
    store = Store(run)
    check_version(store.run)
    manifest = store.manifest()
    if manifest is NO_MANIFEST:
        raise ConfigError(f"{run} is not the folder of a run: it has no revision that can be read.")
    is_private = manifest.hub == "private"
    hub = Hub(store, store.repo_id, token, private=is_private) if manifest.hub or push_to_hub else None
    try:
        with store.locked():
            return _Repair(store, hub, manifest, tell).run()
    except ClipDynError:
        raise
    except Exception as error:
        raise PublishError(f"{run} could not be repaired: {said(error)}") from error


class _Repair:
    """The repair of a run; ``hub`` is None if the run is not pushed."""

    def __init__(
        self, store: Store, hub: Hub | None, manifest: Manifest, tell: Callable[[str], None]
    ) -> None:
        self.store, self.hub, self.manifest, self.tell = store, hub, manifest, tell

    def run(self) -> Report:
        if self.hub is not None:
            persistently(partial(self.hub.check_run, self.manifest.run_id))
            broken = [row for row in self.hub.listed() if row.name in self.store.broken]
            self.manifest = self.manifest.with_rows(tuple(broken))
        damaged = _damaged(check(self.store, deep=True))
        lost = {name for name, kinds in damaged.items() if not self._mend(name, kinds)}
        for name in damaged:
            self.store.broken.pop(name, None)  # it is read again
        if self.hub is not None:
            self._send(self.hub, lost)
        report = check(RunFolder(self.store.run), self.hub, deep=True)
        for name in _damaged(report):
            self.tell(f"{name}: no intact copy is left.")
        return report

    def _mend(self, name: str, kinds: set[str]) -> bool:
        """Replace a damaged folder by the branch on the Hub, or its manifest alone by one of the rows, if possible."""
        hub, row = self.hub, self.manifest.row(name)
        folder = self.store.folder / name
        weights = folder / WEIGHTS_FILE
        commit = hub.refs().get(name) if hub else None
        if row and hub and commit and hub.sha256(commit) == row.sha256:
            persistently(partial(self._fetch, hub, commit, folder), transfers=True)
            self.tell(f"{name} was fetched from {hub.where}.")
            return True
        if row and kinds <= _OF_MANIFEST and weights.is_file() and file_sha256(weights) == row.sha256:
            earlier = self.manifest.revisions[: self.manifest.revisions.index(row) + 1]
            delete(folder / MANIFEST_FILE)
            manifest = self.manifest.model_copy(update={"revisions": earlier})
            write_atomically(folder / MANIFEST_FILE, manifest.dumps())
            self.tell(f"{MANIFEST_FILE} of {name} was written again.")
            return True
        return False

    def _fetch(self, hub: Hub, commit: str, folder: Path) -> None:
        with self.store.staged(folder.name) as staged:
            hub.api.snapshot_download(hub.repo_id, revision=commit, local_dir=staged / "new")
            delete(staged / "new" / ".cache")  # of the client
            follow_umask(staged / "new")
            folder.rename(staged / "old")
            (staged / "new").rename(folder)

    def _send(self, hub: Hub, lost: set[str]) -> None:
        """Publish what the Hub lacks, move its wrong branches, and give `main` the newest revision."""
        wrong, branches = _damaged(check(hub)), hub.refs()
        for row in self.store.rows():
            name, old = row.name, branches.get(row.name)
            if name in lost or (old is not None and name not in wrong):
                continue
            if old is not None:
                tag = f"{name}-replaced-{old[:8]}"
                self.tell(f"{name} of {hub.where} is moved from commit {old}, which keeps the tag {tag}.")
                hub.api.create_tag(hub.repo_id, tag=tag, revision=old, exist_ok=True)
            persistently(partial(hub.publish, row, moves=old is not None), transfers=True)
            self.tell(f"{name} was published to {hub.where}.")
        if persistently(hub.set_main, transfers=True):
            self.tell(f"main is the newest revision again in {hub.where}.")


def _damaged(report: Report) -> dict[str, set[str]]:
    """The kinds of damage by revision."""
    kinds = {name: {one.kind for one in found} - _NO_DAMAGE for name, found in report.by_revision().items()}
    return {name: damage for name, damage in kinds.items() if damage}
