"""Publishing during training: `submit` writes a folder, a thread sends what the Hub lacks.

The thread has no state of its own: what is to be sent is what the folders have and the Hub's branches lack. So a kill
loses nothing, and training waits for nobody. Revisions are sent oldest first, so that `main` never moves backwards, and
sending stops at one that fails.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Self
from uuid import uuid4

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import RepositoryNotFoundError

from hf_clipdyn import hub as client
from hf_clipdyn.cards import LEFT_ALONE, CardFacts, merged
from hf_clipdyn.errors import ClipDynError, PublishError
from hf_clipdyn.progress import library_bars
from hf_clipdyn.revisions.difference import Action, Copies, difference
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, Row
from hf_clipdyn.revisions.names import CHECKPOINT, MAIN
from hf_clipdyn.revisions.published import CARD_FILE, OF_RUN, WEIGHTS_FILE, HubRun, in_parallel
from hf_clipdyn.revisions.records import FileRecord, Listing, is_weights, weights_of
from hf_clipdyn.revisions.store import Save, Store

_log = logging.getLogger(__name__)

_SMALL = 1_000_000  # bytes of the files of a checkpoint by which it is recognised
_SLOWEST = 125_000  # bytes per second of an upload, 1 Mbit/s
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
    """The repository of a run on the Hub, which is written: a branch a revision, and `main` is the newest.

    Args:
        store: the run on the disk, whose record says which repository it is and who may see it.
        token: None for the one that `hf auth login` stored.
    """

    def __init__(self, store: Store, token: str | None = None) -> None:
        super().__init__(store.repo_id, token)
        self._store = store
        self._listings: dict[str, Listing] = {}
        self._has_said = False

    def files(self, commit: str) -> Listing:
        if commit not in self._listings:  # a commit never changes
            self._listings[commit] = super().files(commit)
        return self._listings[commit]

    def check_run(self, record: Manifest) -> str:
        """Create the repository if it is not there. It must be as private as asked, writable, and empty or of this run.

        Returns:
            A sentence if it was created.

        Raises:
            ConfigError: it is public, and a private one was asked for.
            PublishError: it has other weights.
        """
        created = ""
        try:
            info = self.api.repo_info(self.repo_id)
        except RepositoryNotFoundError:
            wish = record.private if record.private is not None else record.was_private or None
            self.api.create_repo(self.repo_id, private=wish, exist_ok=True)
            info = self.api.repo_info(self.repo_id)
            created = f"{self.repo_id} was created as a {'private' if info.private else 'public'} repository."
        if record.private:
            client.check_private(info)
        self.api.auth_check(self.repo_id, write=True)
        there = self.manifest({MAIN: MAIN})
        if there.run_id != record.run_id and (
            there.run_id or any(map(is_weights, self.files(str(info.sha))))
        ):
            raise PublishError(
                f"{self.where} has the revisions of another run, or weights of other origin: name another repository."
            )
        if bool(info.private) != record.was_private:
            self._store.update(was_private=bool(info.private))
        return created

    def copies(self, record: Manifest) -> Copies:
        """What the branches have, from metadata: their weights must be those of the rows."""
        refs = self.refs()
        in_parallel(self.files, set(refs.values()))
        weights = {name: weights_of(self.files(commit)).sha256 or "" for name, commit in refs.items()}
        rows = {row.name: row.sha256 for row in record.revisions}
        damage = {
            name: set() if weights[name] == rows.get(name) else {"wrong-weights"}
            for name in refs
            if name != MAIN
        }
        listed = {row.name: row.sha256 for row in self.manifest(refs).revisions}
        return Copies(damage, weights, listed)

    def publish(self, record: Manifest, row: Row) -> None:
        """Commit, compare, branch, in this order; a repeat does only what is missing.

        With the branch first, a failed commit would leave a branch with the weights of `main`: public suites serve
        wrong weights for that reason.

        Raises:
            PublishError: the commit arrived changed.
        """
        branches = self.refs()
        # If a killed process has made the commit, nothing differs, and the client answers with that commit.
        commit = self._commit(record, row, f"Publish {row.name}", branches[MAIN])
        if row.name in branches:
            self.api.delete_branch(self.repo_id, branch=row.name)
        self.api.create_branch(self.repo_id, branch=row.name, revision=commit)

    def set_main(self, record: Manifest) -> None:
        """Give `main` the newest revision again, after a late one or a repair has moved it. No weights travel."""
        newest = self._store.rows()[-1]
        self._commit(record, newest, f"Set main to {newest.name}", self.refs()[MAIN])

    def keep(self, name: str) -> str:
        """Give the commit of a branch a tag, so that it stays, and return the sentence that says so."""
        old = self.refs()[name]
        tag = f"{name}-replaced-{old[:8]}"
        self.api.create_tag(self.repo_id, tag=tag, revision=old, exist_ok=True)
        return f"{name} of {self.where} is moved from commit {old}, which keeps the tag {tag}."

    def push_checkpoint(self, files: Mapping[str, Path]) -> None:
        """Replace the branch of the last checkpoint by these files, by their paths below the run's folder."""
        refs = client.persistently(partial(self.api.list_repo_refs, self.repo_id)).branches
        heads = {ref.name: ref.target_commit for ref in refs}
        there = self.files(heads[CHECKPOINT]) if CHECKPOINT in heads else {}
        small = {path: file for path, file in files.items() if file.stat().st_size < _SMALL}
        if not files or all(path in there and there[path].describes(file) for path, file in small.items()):
            return
        if CHECKPOINT not in heads:
            self.api.create_branch(self.repo_id, branch=CHECKPOINT, revision=heads[MAIN])
            there, heads[CHECKPOINT] = self.files(heads[MAIN]), heads[MAIN]
        with self._store.staged(CHECKPOINT) as staged:
            for path, file in files.items():
                (staged / path).parent.mkdir(parents=True, exist_ok=True)
                os.link(file, staged / path)  # training may delete the checkpoint meanwhile
            gone = there.keys() - files.keys() - {".gitattributes"}
            operations: list[CommitOperationDelete | CommitOperationAdd] = [
                *(CommitOperationDelete(path) for path in sorted(gone)),
                *(CommitOperationAdd(path, staged / path) for path in files),
            ]
            with library_bars(False):
                self.api.create_commit(
                    self.repo_id,
                    operations,
                    commit_message="Replace the last checkpoint",
                    revision=CHECKPOINT,
                    parent_commit=heads[CHECKPOINT],
                )
        # Else each checkpoint of the run would take its space for ever.
        self.api.super_squash_history(self.repo_id, branch=CHECKPOINT)

    def _commit(self, record: Manifest, row: Row, title: str, parent: str) -> str:
        """Commit a folder to `main`, with a copy of the record, and compare what arrived.

        The copy has the rows of what was ever published, so that a deleted branch is missed. The weights must have the
        hash in their row, so they are not read again.
        """
        files = self._store.files_to_send(row.name)
        there = self.files(parent)
        refs = self.refs()
        known = {row.name, *refs, *(other.name for other in self.manifest(refs).revisions)}
        rows = tuple(other for other in record.revisions if other.name in known)
        changed = {MANIFEST_FILE: record.model_copy(update={"revisions": rows}).dumps()}
        if CARD_FILE in files and CARD_FILE in there:
            card = self._card(row, parent)
            if card is None:
                del files[CARD_FILE]
            else:
                changed[CARD_FILE] = card.encode()
        additions = [CommitOperationAdd(path, changed.get(path, file)) for path, file in files.items()]
        with library_bars(False):  # the bar of an upload in the background would break training's own bar
            made = self.api.create_commit(self.repo_id, additions, commit_message=title, parent_commit=parent)
        served = self.files(made.oid)
        for path, file in files.items():
            arrived = served.get(path, FileRecord())
            is_right = arrived.sha256 == row.sha256 if path == WEIGHTS_FILE else arrived.describes(file)
            if path not in served or not (is_right or path in changed):
                raise PublishError(
                    f"{path} of {row.name} arrived incomplete or changed in {self.where}: no branch was made."
                )
        return str(made.oid)

    def _card(self, row: Row, main: str) -> str | None:
        """The card of a revision with what others wrote into that on `main`; None if that is left alone."""
        made, files = (
            (self._store.folder / row.name / CARD_FILE).read_text(encoding="utf-8"),
            self.files(main),
        )
        weights = files[WEIGHTS_FILE].sha256 if WEIGHTS_FILE in files else None
        on_main = [earlier.name for earlier in self._store.rows() if earlier.sha256 == weights]
        before = (self._store.folder / on_main[-1] / CARD_FILE).read_text(encoding="utf-8") if on_main else ""
        card = merged(self.read(main, CARD_FILE), made, before)
        if card is None and not self._has_said:
            self._has_said = True
            _log.warning("The card of %s %s", self.repo_id, LEFT_ALONE)
        return card


def said(error: BaseException) -> str:
    """An error in one sentence, and what to do if the token was refused."""
    if isinstance(error, ClipDynError):
        return str(error)
    return f"{client.reason(error)}.{client.refusal_hint(error)}"


# --- the publisher ---


class Publisher:
    """Saves the revisions of one run as folders and, on request, publishes them on the Hub.

    Use it as a context manager. If an exception ends the block, the revisions stay in their folders, and the next start
    sends them. Only one process publishes: in the others use no Publisher, or one with ``disable``.

    Args:
        run: folder of the run; the revisions are in its subfolder `revisions`.
        repo_id: `owner/name`, the run in tables of results and its repository. Default: the name of the run in the
            folder, else `local/<folder>`.
        push_to_hub: publish on the Hub. Without it nothing is sent to the Hub.
        private: True: the run is private, for every later command too, and a public repository is refused; False opens
            a run that was private. Default: as it was asked before, else as the Hub's client creates a repository.
        token: token of the Hub; None for the token of `hf auth login`. It is never written.
        card: contents of the model cards; None for one without details.
        recipe_hash: hash of the recipe, if there is one; a run with another one is not continued.
        planned: the names of all revisions that will be submitted, in training order, from which a process that watches
            the run knows when it has ended; empty if unknown.
        keep_local: remove all but the last N folders once their branches are whole on the Hub.
        checkpoint: gives the files of the last checkpoint by their paths below ``run``; they are kept as one branch,
            `last-checkpoint`, from which `restore` makes the run again.
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
        private: bool | None = None,
        token: str | None = None,
        card: CardFacts | None = None,
        recipe_hash: str = "",
        planned: Sequence[str] = (),
        keep_local: int | None = None,
        checkpoint: Callable[[], Mapping[str, Path]] | None = None,
        disable: bool = False,
    ) -> None:
        if repo_id is not None:
            client.checked_repo_id(repo_id, owner=push_to_hub)
        self.store = Store(run)
        self.repo_id = self.store.repo_id if repo_id is None else repo_id
        self._facts = card or CardFacts(self.repo_id)
        self._recipe_hash, self._token, self._is_disabled = recipe_hash, token, disable
        self._keep_local, self._checkpoint = keep_local, checkpoint
        self._hub: Hub | None = None
        self._push_to_hub = push_to_hub
        self._begun = Manifest(
            run_id=uuid4().hex,
            repo_id=self.repo_id,
            pushed=push_to_hub,
            private=private,
            planned=tuple(planned),
            parents=self._facts.parents,
            revisions=(),
            **{name: getattr(self._facts, name) for name in OF_RUN},
        )
        self._there: set[str] = set()  # what the Hub has, or need not have, as it was seen last
        self._is_checked = False
        self._thread: threading.Thread | None = None
        self._news = threading.Event()
        self._is_closing = self._is_stopped = False
        self._trouble = ""  # why the last attempt to send failed
        self._lock = ExitStack()

    def __enter__(self) -> Self:
        if self._is_disabled:
            return self
        with ExitStack() as opened:
            opened.enter_context(self.store.locked())
            was_private = self.store.manifest().is_private
            record = self.store.opened(self._begun, self._recipe_hash)
            if was_private and not record.is_private:
                _log.warning("%s was private: from now on it may be public.", self.repo_id)
            if self._push_to_hub:
                self._hub = Hub(self.store, self._token)
                self._begin(self._hub)
            self._lock = opened.pop_all()  # an error above has released it
        return self

    def _begin(self, hub: Hub) -> None:
        """Check the repository before training; a run that has begun goes on without the Hub."""
        try:
            if created := client.persistently(partial(hub.check_run, self.store.manifest())):
                _log.warning("%s", created)
            self._is_checked = True
        except Exception as error:
            problem = f"{hub.where} cannot be used: {said(error)}"
            if not (client.is_transient(error) and self.rows()):
                raise error if isinstance(error, ClipDynError) else PublishError(problem) from error
            _log.warning("%s The run continues and publishes later.", problem)
        # A daemon: a server that never answers holds up neither training nor the end of the process.
        self._thread = threading.Thread(target=self._publish, args=(hub,), name="upload", daemon=True)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        if self._thread is not None and not self._is_stopped:
            self._is_stopped = True
            self._news.set()
            self._thread.join(_LAST_REQUEST)
        self._lock.close()

    # --- the thread ---

    def _publish(self, hub: Hub) -> None:
        """Send whenever there are news, until `finish` or the end of the block."""
        failures = 0
        while not self._is_stopped:
            self._news.clear()
            is_last = self._is_closing
            try:
                self._send(hub)
                failures, self._trouble = 0, ""
            except Exception as error:  # training goes on in any case
                if said(error) != self._trouble:
                    self._trouble = said(error)
                    _log.warning("A revision of %s is not published yet: %s", hub.repo_id, self._trouble)
                if client.is_transient(error):
                    time.sleep(client.pause_after(error, failures))
                    failures += 1
                    continue
            if is_last or self._is_stopped:
                return
            self._news.wait()

    def _send(self, hub: Hub) -> None:
        """Execute what harms nothing, oldest first; a branch with other weights ends it, since only `repair` moves it.

        Raises:
            PublishError: a branch has other weights than the folder, or a commit arrived changed.
        """
        if not self._is_checked:
            hub.check_run(self.store.manifest())
            self._is_checked = True
        record, here = self.store.manifest(), Copies({name: set() for name in self.store.names()})
        changes = list(difference(record, here, hub.copies(record)))
        to_send = {change.revision for change in changes if change.action in (Action.SEND, Action.MOVE)}
        self._there = {row.name for row in record.revisions} - to_send
        for change in changes:
            if self._is_stopped:
                return
            if change.action is Action.MOVE:
                raise PublishError(
                    f"{change.revision} exists in {hub.where} with other weights: `clipdyn repair` would replace it."
                )
            if change.action is Action.SEND and (row := record.row(change.revision)) is not None:
                hub.publish(record, row)
                self._there.add(row.name)
        if any(change.action is Action.SET_MAIN for change in difference(record, here, hub.copies(record))):
            hub.set_main(record)
        if self._checkpoint is not None:
            hub.push_checkpoint(self._checkpoint())
        if self._keep_local is not None:
            whole, rows = hub.copies(record), self.store.rows()
            sent = [row.name for row in rows if whole.is_whole(row.name)][:-1]  # `main` may need the last one
            earlier = [row.name for row in rows[: -self._keep_local] if row.name in sent]
            self.store.leave_to_hub(earlier)

    # --- the loop of training ---

    def rows(self) -> tuple[Row, ...]:
        """The rows of the run so far, in training order, also of deleted folders."""
        return () if self._is_disabled else self.store.manifest().revisions

    def published(self) -> list[str]:
        """The revisions that need no `submit`, in training order: the run's so far, also of deleted folders."""
        return [row.name for row in self.rows()]

    def waiting(self) -> list[str]:
        """The revisions that are still to be sent to the Hub, in training order."""
        if self._hub is None:
            return []
        return [name for name in self.store.names() if name not in self._there]

    def submit(self, row: Row, save: Save, *, compare: bool = False) -> None:
        """Save a revision. When this returns, it is on the disk; a thread publishes it.

        Args:
            row: describes the revision. A name that was handed in before is skipped.
            save: writes weights (one `model.safetensors`), configuration and processor into the folder
                that it is given.
            compare: check that a revision that was handed in before has the weights that ``save`` writes. If not, that
                one and all after it are set aside, with a warning.

        Raises:
            PublishError: it cannot be written, and nothing of it is left; or it is the first one of the run, and has
                other weights.
        """
        is_there = row.name in self.published()
        if self._is_disabled or (is_there and not compare):
            return
        added = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe_hash": self._recipe_hash,
            "versions": {package: version(package) for package in _RECORDED_PACKAGES},
        }
        saved = self.store.add(row.model_copy(update=added), save, self._facts)
        twins = [
            other.name for other in self.rows() if other.sha256 == saved.sha256 and other.name != saved.name
        ]
        if twins and not is_there:
            same = "%s has the same weights as %s: training changed nothing between them."
            _log.warning(same, row.name, twins[0])
        self._there.discard(saved.name)
        self._news.set()

    def finish(self, patience: float | None = None) -> Summary:
        """Wait while revisions arrive on the Hub, and name the missing ones. Ctrl-C leaves the rest to `repair`.

        Args:
            patience: seconds without a further revision after which the rest is left to the next start. Default: five
                minutes, and what a revision takes at 1 Mbit/s.
        """
        self._is_closing = True
        self._news.set()
        missing, since = self.waiting(), time.monotonic()
        if patience is None:
            patience = 300.0 + max((row.size for row in self.rows()), default=0) / _SLOWEST
        while self._thread is not None and self._thread.is_alive() and time.monotonic() - since < patience:
            self._thread.join(0.1)
            if (now := self.waiting()) != missing:
                missing, since = now, time.monotonic()
        self._is_stopped = True
        names = self.published()
        done = [name for name in names if name not in missing]
        are = f"saved ({self.store.folder})"
        if self._hub is not None:
            are = f"published ({self.store.folder} and {self._hub.where})"
        message = f"{self.repo_id}: {len(done)} of {len(names)} revisions are {are}."
        if missing:
            message += (
                f" Not known to be on the Hub: {', '.join(missing)}. {self._trouble} "
                f"`clipdyn repair {self.store.run}` publishes them when it can."
            )
        return Summary(self.repo_id, done, missing, message)
