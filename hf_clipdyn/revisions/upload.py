"""Publishing during training: `submit` writes a folder, a thread sends what the Hub lacks.

The thread has no state of its own: what is to be sent is what the folders have and the Hub's branches lack. So a kill
loses nothing, and training waits for nobody. Revisions are sent oldest first, so that `main` never moves backwards, and
sending stops at one that fails.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from huggingface_hub import CommitOperationAdd

from hf_clipdyn.cards import CardFacts, revision_card
from hf_clipdyn.errors import ClipDynError, PublishError, RevisionNotFoundError
from hf_clipdyn.hub import (
    check_private,
    checked_repo_id,
    is_transient,
    pause_after,
    persistently,
    reason,
    refusal_hint,
    valid_repo_name,
)
from hf_clipdyn.progress import library_bars
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, Row, read_manifest
from hf_clipdyn.revisions.names import MAIN, training_order
from hf_clipdyn.revisions.published import HubRun
from hf_clipdyn.revisions.store import CARD_FILE, WEIGHTS_FILE, Save, Store

_log = logging.getLogger(__name__)


_LAST_REQUEST = 5.0  # seconds for the request that is under way when training ends with an error
_RECORDED_PACKAGES = ("hf-clipdyn", "torch", "transformers", "huggingface_hub", "safetensors")


@dataclass(frozen=True)
class Summary:
    """Which revisions of a run are saved and, if the run is pushed, published on the Hub.

    Attributes:
        repo_id: the run in tables of results, and its repository on the Hub.
        published: names of the revisions that are saved and published, in training order.
        missing: names of the revisions that the Hub lacks.
        message: the same in sentences, with the reason and what to do.

    Examples:
        >>> from hf_clipdyn import Publisher
        >>> with Publisher("runs/empty") as publisher:
        ...     publisher.finish().message
        ...
        'local/empty: 0 of 0 revisions are saved (runs/empty/revisions).'
    """

    repo_id: str
    published: list[str]
    missing: list[str]
    message: str


# --- the Hub ---


class Hub(HubRun):
    """One repository on the Hub, which is written: a branch a revision, and `main` is the newest.

    Args:
        repo_id: `owner/name`.
        token: None for the one that `hf auth login` stored.
        private: create the repository as a private one, and refuse a public one.
    """

    def __init__(self, repo_id: str, token: str | None = None, *, private: bool = False) -> None:
        super().__init__(repo_id, token)
        self._private, self._is_checked = private, False

    def check_run(self, run_id: str) -> None:
        """Create the repository. It must be as private as asked, writable, and empty or of this run.

        Raises:
            ConfigError: it is public, and a private one was asked for.
            PublishError: it cannot be written, or has other weights.
        """
        if self._is_checked:
            return
        try:
            self.api.create_repo(self.repo_id, private=self._private or None, exist_ok=True)
            if self._private:
                check_private(self.api, self.repo_id)
            self.api.auth_check(self.repo_id, write=True)
        except ClipDynError:
            raise
        except Exception as error:
            if hint := refusal_hint(error):
                raise PublishError(
                    f"The token may not write to {self.where} ({reason(error)}).{hint}"
                ) from error
            raise
        files = self.files(MAIN)
        if MANIFEST_FILE not in files:
            if any(name.endswith((".safetensors", ".bin", ".pt")) for name in files):
                raise PublishError(
                    f"{self.where} has weights that no run of this package published: name another repository."
                )
        elif Manifest.loads(self.read(MAIN, MANIFEST_FILE), self.where).run_id != run_id:
            raise PublishError(f"{self.where} has the revisions of another run: name another repository.")
        self._is_checked = True

    def listed(self) -> tuple[Row, ...]:
        """The rows of the manifest on `main`; none if there is no manifest."""
        try:
            return Manifest.loads(self.read(MAIN, MANIFEST_FILE), self.where).revisions
        except RevisionNotFoundError:
            return ()

    def publish(self, store: Store, row: Row, *, moves: bool = False) -> None:
        """Commit, compare, branch, in this order; a repeat does only what is missing.

        With the branch first, a failed commit would leave a branch with the weights of `main`: public suites serve
        wrong weights for that reason.

        Args:
            store: has the revision.
            row: describes it.
            moves: replace a branch with other contents; only `repair` does that.

        Raises:
            PublishError: the branch exists with other weights, or the commit arrived changed.
        """
        branches = self.refs()
        if row.name in branches and not moves:
            served = self.files(branches[row.name]).get(WEIGHTS_FILE)
            if served is None or served.sha256 != row.sha256:
                raise PublishError(
                    f"{row.name} exists in {self.where} with other weights and was not replaced: look at it with "
                    "`clipdyn verify`, then delete it there or run `clipdyn repair`."
                )
            return
        # If a killed process has made the commit, nothing differs, and the client answers with that commit.
        commit = self._commit(store, row, f"Publish {row.name}", branches[MAIN])
        if row.name in branches:
            self.api.delete_branch(self.repo_id, branch=row.name)
        self.api.create_branch(self.repo_id, branch=row.name, revision=commit)

    def set_main(self, store: Store) -> bool:
        """Give `main` the newest revision again if it is another one, after a late one or a repair has moved it.

        No weights travel. If the newest one has no folder any more, `main` stays as it is.

        Returns:
            Whether anything had to be done.
        """
        branches = self.refs()
        rows = [row for row in store.rows() if row.name in branches]
        if not rows:
            return False
        listed, weights = self.listed(), self.files(branches[MAIN]).get(WEIGHTS_FILE)
        newest = rows[-1]
        is_newest = all(_place(row) <= _place(newest) for row in listed)
        is_right = weights is not None and weights.sha256 == newest.sha256
        if not is_newest or (is_right and {row.name for row in rows} <= {row.name for row in listed}):
            return False
        manifest = read_manifest(store.folder / newest.name).with_rows(tuple(rows))
        self._commit(store, newest, f"Set main to {newest.name}", branches[MAIN], manifest)
        return True

    def _commit(
        self, store: Store, row: Row, title: str, parent: str, manifest: Manifest | None = None
    ) -> str:
        """Commit a folder to `main`, with another manifest if one is given, and compare what arrived."""
        files = files_of(store.folder / row.name)
        changed = {CARD_FILE: self._card(store, row, parent).encode()} if CARD_FILE in files else {}
        changed |= {MANIFEST_FILE: manifest.dumps()} if manifest is not None else {}
        additions = [CommitOperationAdd(path, changed.get(path, str(file))) for path, file in files.items()]
        with library_bars(False):  # the bar of an upload in the background would break training's own bar
            commit = self.api.create_commit(
                self.repo_id, additions, commit_message=title, parent_commit=parent
            ).oid
        served = self.files(commit)
        for path, file in files.items():
            record = served.get(path)
            if path == WEIGHTS_FILE:
                is_right = record is not None and (record.sha256, record.size) == (row.sha256, row.size)
            else:
                is_right = record is not None and (path in changed or record.describes(file))
            if not is_right:
                raise PublishError(
                    f"{path} of {row.name} arrived incomplete or changed in {self.where} (commit {commit}): no branch "
                    "was made."
                )
        return commit

    def _card(self, store: Store, row: Row, main: str) -> str:
        """The card of a revision with what others wrote into that on `main`."""
        made = _text(store.folder / row.name / CARD_FILE)
        files = self.files(main)
        if CARD_FILE not in files or WEIGHTS_FILE not in files:
            return made
        there = self.read(main, CARD_FILE).decode("utf-8", errors="replace")
        on_main = store.row_with(files[WEIGHTS_FILE].sha256 or "")
        before = _text(store.folder / on_main.name / CARD_FILE) if on_main is not None else ""
        if there == before:
            return made
        if on_main is not None and not before:  # the folder was deleted after its upload
            before = self.read(on_main.name, CARD_FILE).decode("utf-8", errors="replace")
        return carried(there, before, made)


def _place(row: Row) -> tuple[Any, ...]:
    return training_order(row.name, row.step)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def carried(written: str, before: str, made: str) -> str:
    """What others have written on the card of `main`, with the lines of a new card.

    Args:
        written: the card on `main`.
        before: an earlier card of this package.
        made: the new card. The lines in which it differs from ``before`` replace those, wherever they are now.
    """
    old, new = before.split("\n"), made.split("\n")
    follows: dict[str, str] = {}
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "replace" and j - i == m - k:
            follows |= zip(old[i:j], new[k:m], strict=True)
    return "\n".join(follows.get(line, line) for line in written.split("\n"))


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a revision by their paths in its repository, sorted."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not path.resolve().is_relative_to(folder.resolve()):
            raise PublishError(f"{path} is a link to a file elsewhere: put the file itself in its place.")
        files[path.relative_to(folder).as_posix()] = path
    return files


def said(error: BaseException) -> str:
    """An error in one sentence."""
    return str(error) if isinstance(error, ClipDynError) else f"{reason(error)}."


# --- the thread ---


class Upload(threading.Thread):
    """Sends what the store has and the Hub lacks, oldest first.

    A missing branch that is older than the newest one counts as deleted by a person, and is not sent again.

    A daemon: a server that never answers holds up neither training nor the end of the process.

    Attributes:
        sent: the names of the revisions that the Hub has.
        trouble: why the last attempt failed; empty while all is well.
    """

    def __init__(self, store: Store, hub: Hub, run_id: str) -> None:
        super().__init__(name="upload", daemon=True)
        self._store, self._hub, self._run_id = store, hub, run_id
        self._earlier = store.rows()  # before anything is handed in
        self._deleted: set[str] = set()
        self._is_main_late = False
        self._has_begun = self._is_stopped = self._is_closing = self._is_blocked = False
        self._news = threading.Event()
        self._said: set[str] = set()
        self.sent: set[str] = set()
        self.trouble = ""

    def waiting(self) -> list[str]:
        """The revisions that are still to be sent, in training order."""
        return [name for name in self._store.names() if name not in self.sent | self._deleted]

    def run(self) -> None:
        """Send until `finish` or `stop` is called."""
        failures = 0
        while not self._is_stopped and not (self._is_closing and self._is_done()):
            self._news.clear()
            try:
                self._send()
                failures, self.trouble = 0, ""
            except Exception as error:  # training goes on in any case
                self.trouble, self._is_blocked = said(error), not is_transient(error)
                self._say(self.trouble)
                if not self._is_blocked:
                    time.sleep(pause_after(error, failures))
                    failures += 1
                    continue
            if not self._is_closing:
                self._news.wait()

    def _is_done(self) -> bool:
        return self._is_blocked or not (self.trouble or self.waiting() or not self._has_begun)

    def _say(self, trouble: str) -> None:
        if trouble not in self._said:
            self._said.add(trouble)
            waiting = self.waiting()
            what = f"{waiting[0]} is" if waiting else "A revision may be"
            _log.warning("%s not published yet and stays in %s: %s", what, self._store.folder, trouble)

    def _send(self) -> None:
        self._begin()
        for name in self.waiting():
            if self._is_stopped:
                return
            row = self._store.row(name)
            self._hub.publish(self._store, row)
            self.sent.add(name)
            self._is_main_late = any(_place(self._store.row(one)) > _place(row) for one in self.sent)
        if self._is_main_late:
            self._hub.set_main(self._store)
            self._is_main_late = False

    def _begin(self) -> None:
        """See what the Hub has, and which branches a person has deleted."""
        if self._has_begun:
            return
        self._hub.check_run(self._run_id)
        branches = self._hub.refs()
        files = self._hub.files(branches[MAIN])
        hashes = {row.name: row.sha256 for row in self._hub.listed()}
        weights = files.get(WEIGHTS_FILE)
        on_main = self._store.row_with(weights.sha256 or "") if weights is not None else None
        there = [row.name in branches for row in self._earlier]
        for number, row in enumerate(self._earlier):
            if there[number] and hashes.get(row.name) == row.sha256:
                self.sent.add(row.name)
            # A process that was killed before the branch of a late revision has left its commit on main.
            elif not there[number] and any(there[number:]) and (on_main is None or row.name != on_main.name):
                self._deleted.add(row.name)
        self._is_main_late = on_main is not None and any(
            _place(row) > _place(on_main) for row in self._earlier
        )
        self._has_begun = True

    def wake(self) -> None:
        """Look for work again, also after an error that blocked the thread."""
        self._is_blocked = False
        self._news.set()

    def finish(self, patience: float) -> None:
        """Wait while revisions arrive."""
        self._is_closing = True
        self.wake()
        left, since = self.waiting(), time.monotonic()
        while self.is_alive() and time.monotonic() - since < patience:
            self.join(0.1)
            if (now := self.waiting()) != left:
                left, since = now, time.monotonic()
        self._is_stopped = True

    def stop(self) -> None:
        """End the thread after the request that is under way."""
        if not self._is_stopped:
            self._is_stopped = True
            self._news.set()
            self.join(_LAST_REQUEST)


# --- the publisher ---


class Publisher:
    """Saves the revisions of one run as folders and, if that is asked for, publishes them on the Hub.

    Use it as a context manager. If an exception ends the block, the revisions stay in their folders, and the next start
    sends them. Only one process publishes: in the others use no Publisher, or one with ``disable``.

    Args:
        run: folder of the run; the revisions are in its subfolder `revisions`.
        repo_id: `owner/name`, the run in tables of results and its repository. Default: that of the run in the folder,
            else `local/<folder>`.
        push_to_hub: publish on the Hub. Without it the Hub is never asked.
        private: create the repository as a private one; a public one is refused.
        token: token of the Hub; None for the one that `hf auth login` stored. It is never written.
        card: contents of the model cards; None for one without details.
        recipe_hash: hash of the recipe, if there is one; a run with another one is not continued.
        planned: the names of all revisions that will be submitted, in training order, so that who watches the run knows
            when it has ended; empty if unknown.
        disable: do nothing: ``disable=not accelerator.is_main_process`` in a loop of several processes.

    Raises:
        ConfigError: the Hub accepts no such name; on entering, the folder has a run of version 0.3, or the repository
            is public and ``private`` is set.
        PublishError: on entering, the folder or the repository has another run, cannot be written, or is used by
            another process.

    Examples:
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> from hf_clipdyn import Publisher
        >>> from hf_clipdyn.revisions import Row, epoch_name
        >>> small = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=64, bos_token_id=0, eos_token_id=1)
        >>> model = GPT2LMHeadModel(small)
        >>> with Publisher("runs/mine", "me/run") as publisher:
        ...     for epoch in range(2):
        ...         row = Row(name=epoch_name(epoch), epoch=epoch, step=10 * epoch, samples_seen=80 * epoch)
        ...         publisher.submit(row, model.save_pretrained)
        ...         model.lm_head.weight.data += 1  # where you train
        ...     summary = publisher.finish()
        ...
        >>> summary.published, summary.missing
        (['epoch-000', 'epoch-001'], [])
        >>> model = GPT2LMHeadModel.from_pretrained("runs/mine/revisions/epoch-001")
    """

    def __init__(
        self,
        run: str | Path,
        repo_id: str | None = None,
        *,
        push_to_hub: bool = False,
        private: bool = False,
        token: str | None = None,
        card: CardFacts | None = None,
        recipe_hash: str = "",
        planned: Sequence[str] = (),
        disable: bool = False,
    ) -> None:
        if repo_id is not None:
            checked_repo_id(repo_id, owner=push_to_hub)
        self.store = Store(run)
        self._repo_id, self._facts, self._recipe_hash, self._planned = repo_id, card, recipe_hash, planned
        self._hub = ("private" if private else "public") if push_to_hub else None
        self._token, self._is_disabled = token, disable
        self._manifest = Manifest(run_id="", revisions=())
        self._upload: Upload | None = None
        self._lock = ExitStack()

    @property
    def repo_id(self) -> str:
        """The run in tables of results, and its repository."""
        if self._repo_id is None:
            manifest = self.store.manifest()
            name = valid_repo_name(self.store.run.resolve().name)
            self._repo_id = (manifest.repo_id if manifest is not None else None) or f"local/{name}"
        return self._repo_id

    def __enter__(self) -> Self:
        if self._is_disabled:
            return self
        with ExitStack() as opened:
            opened.enter_context(self.store.locked())
            card = self._facts or CardFacts(self.repo_id)
            self._manifest = self.store.opened(
                self._recipe_hash,
                repo_id=self.repo_id,
                hub=self._hub,
                planned=tuple(self._planned),
                scale=card.scale,
                seed=card.seed,
                arm=card.arm,
                parameters=card.parameters,
                parents=card.public_parents,
            )
            if self._hub is not None:
                hub = Hub(self.repo_id, self._token, private=self._hub == "private")
                self._check(hub)
                self._upload = Upload(self.store, hub, self._manifest.run_id)
                self._upload.start()
            self._lock = opened.pop_all()  # an error above has released it
        return self

    def _check(self, hub: Hub) -> None:
        """Check the repository before training; a run that has begun goes on without the Hub."""
        try:
            persistently(partial(hub.check_run, self._manifest.run_id))
        except Exception as error:
            problem = f"{hub.where} cannot be used: {said(error)}"
            if not (is_transient(error) and self._manifest.revisions):
                raise error if isinstance(error, ClipDynError) else PublishError(problem) from error
            _log.warning("%s The run continues and publishes later.", problem)

    def _card(self, row: Row) -> str:
        return revision_card(
            self._facts or CardFacts(self.repo_id),
            name=row.name,
            epoch=row.epoch,
            step=row.step,
            samples_seen=row.samples_seen,
            loss=row.loss,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._upload is not None:
            self._upload.stop()
        self._lock.close()

    def rows(self) -> tuple[Row, ...]:
        """The rows of the run so far, in training order, also of deleted folders."""
        return self._manifest.revisions

    def published(self) -> list[str]:
        """The revisions that need no `submit`, in training order: those of the run so far, also of deleted folders."""
        return [row.name for row in self._manifest.revisions]

    def waiting(self) -> list[str]:
        """The revisions that are still to be sent to the Hub."""
        return [] if self._upload is None else self._upload.waiting()

    def submit(self, row: Row, save: Save, *, compare: bool = False) -> None:
        """Save a revision. When this returns, it is on the disk; a thread publishes it.

        Args:
            row: describes the revision. A name that was handed in before is skipped.
            save: writes weights (one `model.safetensors`), configuration and processor into the folder
                that it is given.
            compare: check that a revision that was handed in before has the weights that ``save`` writes.

        Raises:
            PublishError: it cannot be written, and nothing of it is left; or it has other weights.
        """
        if self._is_disabled:
            return
        if row.name in self.published():
            if compare:
                remedy = "continue that run from a checkpoint, or choose another folder"
                self.store.check_weights(row.name, save, remedy)
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        added = {"time": now, "recipe_hash": self._recipe_hash, "versions": _versions()}
        earlier = self._manifest.revisions
        self._manifest = self.store.add(self._manifest, row.model_copy(update=added), save, self._card)
        sha256 = self.store.row(row.name).sha256
        twin = next((other.name for other in earlier if other.sha256 == sha256), None)
        if twin is not None:
            _log.warning(
                "%s has the same weights as %s: training changed nothing between them.", row.name, twin
            )
        if self._upload is not None:
            self._upload.wake()

    def finish(self, patience: float = 300.0) -> Summary:
        """Wait while revisions arrive on the Hub, and name those that did not.

        Args:
            patience: seconds without a further revision after which the rest is left to the next start.
        """
        if self._upload is not None:
            self._upload.finish(patience)
        return self.summary()

    def summary(self) -> Summary:
        """Which revisions are saved and published so far."""
        missing, names = self.waiting(), self.published()
        done = [name for name in names if name not in missing]
        places = [str(self.store.folder)] + ([] if self._upload is None else [f"{self.repo_id} on the Hub"])
        verb = "saved" if self._upload is None else "published"
        message = (
            f"{self.repo_id}: {len(done)} of {len(names)} revisions are {verb} ({' and '.join(places)})."
        )
        if missing and self._upload is not None:
            message += (
                f" Not known to be on the Hub: {', '.join(missing)}. {self._upload.trouble} They are kept in "
                f"{self.store.folder}: `clipdyn repair {self.store.run}` publishes them when it can."
            )
        return Summary(self.repo_id, done, missing, message)


def _versions() -> dict[str, str]:
    versions = {}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = package_version(package)
        except PackageNotFoundError:
            continue
    return versions
