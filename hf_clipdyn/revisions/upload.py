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
from importlib.metadata import version
from pathlib import Path
from typing import Self
from uuid import uuid4

from huggingface_hub import CommitOperationAdd

from hf_clipdyn import hub as client
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.errors import ClipDynError, PublishError
from hf_clipdyn.progress import library_bars
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, Row, read_manifest
from hf_clipdyn.revisions.names import MAIN
from hf_clipdyn.revisions.published import CARD_FILE, OF_RUN, WEIGHTS_FILE, HubRun
from hf_clipdyn.revisions.records import FileRecord, is_weights
from hf_clipdyn.revisions.store import Save, Store

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
    """The repository of a run on the Hub, which is written: a branch a revision, and `main` is the newest.

    Args:
        store: the run on the disk.
        repo_id: `owner/name`.
        token: None for the one that `hf auth login` stored.
        private: create the repository as a private one, and refuse a public one.
    """

    def __init__(
        self, store: Store, repo_id: str, token: str | None = None, *, private: bool = False
    ) -> None:
        super().__init__(repo_id, token)
        self._store, self._is_private = store, private

    def check_run(self, run_id: str) -> tuple[Row, ...]:
        """Create the repository. It must be as private as asked, writable, and empty or of this run.

        Returns:
            The rows of the manifest on `main`.

        Raises:
            ConfigError: it is public, and a private one was asked for.
            PublishError: it has other weights.
        """
        self.api.create_repo(self.repo_id, private=self._is_private or None, exist_ok=True)
        if self._is_private:
            client.check_private(self.api.repo_info(self.repo_id))
        self.api.auth_check(self.repo_id, write=True)
        there = self.manifest({MAIN: MAIN})
        if there.run_id != run_id and (there.run_id or any(map(is_weights, self.files(MAIN)))):
            raise PublishError(
                f"{self.where} has the revisions of another run, or weights of other origin: name another repository."
            )
        return there.revisions

    def sha256(self, commit: str) -> str:
        """The Hub's own hash of the weights of a commit; empty without weights."""
        return self.files(commit).get(WEIGHTS_FILE, FileRecord()).sha256 or ""

    def publish(self, row: Row, *, moves: bool = False) -> None:
        """Commit, compare, branch, in this order; a repeat does only what is missing.

        With the branch first, a failed commit would leave a branch with the weights of `main`: public suites serve
        wrong weights for that reason.

        Args:
            row: describes the revision, whose folder is sent.
            moves: replace a branch with other contents; only `repair` does that.

        Raises:
            PublishError: the branch exists with other weights, or the commit arrived changed.
        """
        branches = self.refs()
        if row.name in branches and not moves:
            if self.sha256(branches[row.name]) != row.sha256:
                raise PublishError(
                    f"{row.name} exists in {self.where} with other weights: `clipdyn repair` would replace it."
                )
            return
        # If a killed process has made the commit, nothing differs, and the client answers with that commit.
        commit = self._commit(row, f"Publish {row.name}", branches[MAIN])
        if row.name in branches:
            self.api.delete_branch(self.repo_id, branch=row.name)
        self.api.create_branch(self.repo_id, branch=row.name, revision=commit)

    def set_main(self) -> bool:
        """Give `main` the newest revision again if it is another one, after a late one or a repair has moved it.

        No weights travel. If the newest one has no folder any more, `main` stays as it is.

        Returns:
            Whether anything had to be done.
        """
        branches = self.refs()
        listed = self.manifest(branches).revisions
        rows = [row for row in self._store.rows() if row.name in branches]
        if not rows or (listed and listed[-1].order() > rows[-1].order()):
            return False
        newest, names = rows[-1], {row.name for row in listed}
        if names.issuperset(row.name for row in rows) and self.sha256(branches[MAIN]) == newest.sha256:
            return False
        manifest = read_manifest(self._store.folder / newest.name).with_rows(tuple(rows))
        self._commit(newest, f"Set main to {newest.name}", branches[MAIN], manifest)
        return True

    def _commit(self, row: Row, title: str, parent: str, manifest: Manifest | None = None) -> str:
        """Commit a folder to `main`, with another manifest if one is given, and compare what arrived.

        The weights must have the hash in their row, so they are not read again.
        """
        files = self._store.files_to_send(row.name)
        changed = {CARD_FILE: self._card(row, parent)} if CARD_FILE in files else {}
        if manifest is not None:
            changed[MANIFEST_FILE] = manifest.dumps()
        additions = [CommitOperationAdd(path, changed.get(path, file)) for path, file in files.items()]
        with library_bars(False):  # the bar of an upload in the background would break training's own bar
            made = self.api.create_commit(self.repo_id, additions, commit_message=title, parent_commit=parent)
        served = self.files(made.oid)
        for path, file in files.items():
            there = served.get(path, FileRecord())
            is_right = there.sha256 == row.sha256 if path == WEIGHTS_FILE else there.describes(file)
            if path not in served or not (is_right or path in changed):
                raise PublishError(
                    f"{path} of {row.name} arrived incomplete or changed in {self.where}: no branch was made."
                )
        return str(made.oid)

    def _card(self, row: Row, main: str) -> bytes:
        """The card of a revision with what others wrote into that on `main`."""
        files, made = self.files(main), self._made_card(row.name)
        if CARD_FILE not in files or WEIGHTS_FILE not in files:
            return made
        there, weights = self.read(main, CARD_FILE), files[WEIGHTS_FILE].sha256
        on_main = [earlier.name for earlier in self._store.manifest().revisions if earlier.sha256 == weights]
        before = self._made_card(on_main[-1]) if on_main else b""
        return made if there == before else carried(there, before, made)

    def _made_card(self, name: str) -> bytes:
        """The card as it was made, also of a folder that was deleted after its upload."""
        file = self._store.folder / name / CARD_FILE
        return file.read_bytes() if file.is_file() else self.read(name, CARD_FILE)


def carried(written: bytes, before: bytes, made: bytes) -> bytes:
    """What others have written on the card of `main`, with the lines of a new card.

    Args:
        written: the card on `main`.
        before: an earlier card of this package.
        made: the new card. The lines in which it differs from ``before`` replace those, wherever they are now.
    """
    old, new = before.split(b"\n"), made.split(b"\n")
    follows: dict[bytes, bytes] = {}
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "replace" and j - i == m - k:
            follows |= zip(old[i:j], new[k:m], strict=True)
    return b"\n".join(follows.get(line, line) for line in written.split(b"\n"))


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
        private: create the repository as a private one; a public one is refused.
        token: token of the Hub; None for the token of `hf auth login`. It is never written.
        card: contents of the model cards; None for one without details.
        recipe_hash: hash of the recipe, if there is one; a run with another one is not continued.
        planned: the names of all revisions that will be submitted, in training order, from which a process that watches
            the run knows when it has ended; empty if unknown.
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
            client.checked_repo_id(repo_id, owner=push_to_hub)
        self.store = Store(run)
        self.repo_id = self.store.repo_id if repo_id is None else repo_id
        self._facts = card or CardFacts(self.repo_id)
        self._recipe_hash = recipe_hash
        self._is_disabled = disable
        self._hub: Hub | None = None
        if push_to_hub and not disable:
            self._hub = Hub(self.store, self.repo_id, token, private=private)
        self._manifest = Manifest(
            run_id=uuid4().hex,
            repo_id=self.repo_id,
            hub=None if self._hub is None else "private" if private else "public",
            planned=tuple(planned),
            parents=self._facts.parents,
            revisions=(),
            **{name: getattr(self._facts, name) for name in OF_RUN},
        )
        self._settled: set[str] | None = None  # what need not be sent; None until the Hub was asked
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
            self._manifest = self.store.opened(self._manifest, self._recipe_hash)
            if self._hub is not None:
                self._begin(self._hub)
            self._lock = opened.pop_all()  # an error above has released it
        return self

    def _begin(self, hub: Hub) -> None:
        """Check the repository before training; a run that has begun goes on without the Hub."""
        try:
            client.persistently(partial(self._look, hub))
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
                self._send(hub, self._look(hub))
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

    def _look(self, hub: Hub) -> set[str]:
        """Check the repository once, and see what need not be sent again.

        That is what the manifest on `main` lists. If a branch that is older than the newest one is missing, a person
        has deleted it, unless its weights are on `main`: then a process was killed before it made the branch.
        """
        if self._settled is None:
            listed, branches = hub.check_run(self._manifest.run_id), hub.refs()
            here, on_main = {row.name: row.sha256 for row in self.rows()}, hub.sha256(branches[MAIN])
            newest = max((row.order() for row in listed if row.name in branches), default=())
            older = {row.name for row in listed if row.order() < newest and row.sha256 != on_main}
            known = branches.keys() | older
            self._settled = {row.name for row in listed if here.get(row.name) == row.sha256} & known
        return self._settled

    def _send(self, hub: Hub, settled: set[str]) -> None:
        for row in self.store.rows():
            if self._is_stopped:
                return
            if row.name not in settled:
                hub.publish(row)
                settled.add(row.name)
        hub.set_main()

    # --- the loop of training ---

    def rows(self) -> tuple[Row, ...]:
        """The rows of the run so far, in training order, also of deleted folders."""
        return self._manifest.revisions

    def published(self) -> list[str]:
        """The revisions that need no `submit`, in training order: the run's so far, also of deleted folders."""
        return [row.name for row in self.rows()]

    def waiting(self) -> list[str]:
        """The revisions that are still to be sent to the Hub, in training order."""
        if self._hub is None:
            return []
        return [name for name in self.store.names() if name not in (self._settled or ())]

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
        is_there = row.name in self.published()
        if self._is_disabled or (is_there and not compare):
            return
        added = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe_hash": self._recipe_hash,
            "versions": {package: version(package) for package in _RECORDED_PACKAGES},
        }
        saved = self.store.add(self._manifest, row.model_copy(update=added), save, self._facts)
        twins = [other.name for other in self.rows() if other.sha256 == saved.sha256]
        if twins and not is_there:
            same = "%s has the same weights as %s: training changed nothing between them."
            _log.warning(same, row.name, twins[0])
        self._manifest = self._manifest.with_rows((saved,))
        self._news.set()

    def finish(self, patience: float = 300.0) -> Summary:
        """Wait while revisions arrive on the Hub, and name the missing ones.

        Args:
            patience: seconds without a further revision after which the rest is left to the next start.
        """
        self._is_closing = True
        self._news.set()
        missing, since = self.waiting(), time.monotonic()
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
