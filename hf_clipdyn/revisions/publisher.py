"""Publishing during training: `submit` writes a snapshot to the disk, threads do the rest.

`submit` writes the revision into the journal and returns. One thread per target (the local store, the
Hub) publishes from there, oldest first, so that `main` never moves backwards. If a revision cannot be published,
training goes on, the revision stays in the journal, and the next start sends it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Condition, Lock, Thread
from types import TracebackType
from typing import Self

from safetensors import SafetensorError

from hf_clipdyn.cards import CardFacts, revision_card
from hf_clipdyn.errors import ClipDynError, PublishError, RevisionError
from hf_clipdyn.files import disk_errors, file_sha256, write_atomically
from hf_clipdyn.hub import RetryPolicy, attempt, is_transient, reason
from hf_clipdyn.revisions.journal import HUB, STORE, Entry, Journal, RunFacts
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, ManifestRow
from hf_clipdyn.revisions.publication import Snapshot, files_of, publish
from hf_clipdyn.revisions.repository import WEIGHTS_FILES, Repository, check_run, weights_in

_log = logging.getLogger(__name__)

_MAX_WAITING = 4  # snapshots that the store has not taken yet; beyond that training waits for its disk
_PATIENCE_AT_START = 30.0  # seconds for a Hub that does not answer before the first epoch
_LAST_REQUEST = 30.0  # seconds for the last request at the end; what is unsent stays in the journal
_RECORDED_PACKAGES = ("hf-clipdyn", "torch", "transformers", "huggingface_hub", "safetensors")


@dataclass(frozen=True)
class RevisionRecord:
    """What the training loop knows about a revision.

    Attributes:
        name: from `epoch_name` or `step_name`.
        epoch: whole epochs trained; None inside an epoch.
        step: optimiser steps taken.
        samples_seen: images shown so far, repetitions counted.
        loss: training loss; None before training.

    Examples:
        >>> from hf_clipdyn.revisions import RevisionRecord, epoch_name
        >>> RevisionRecord(epoch_name(3), epoch=3, step=138, samples_seen=8832).name
        'epoch-003'
    """

    name: str
    epoch: int | None
    step: int | None
    samples_seen: int | None
    loss: float | None = None


@dataclass(frozen=True)
class Summary:
    """Which revisions of a run are saved in the store and, if the run is pushed, published on the Hub.

    Attributes:
        published: names of the revisions that all targets have, in training order.
        missing: names of the revisions that a target lacks.
        message: the same in sentences, with the reason and what to do.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.revisions import resume_publishing
        >>> summary = resume_publishing(Path("runs/demo"))
        >>> summary.published, summary.missing
        (['epoch-000', 'epoch-001', 'epoch-002', 'epoch-003'], [])
    """

    published: list[str]
    missing: list[str]
    message: str


class Publisher:
    """Publishes the revisions of one run to a local store, to the Hub, or to both.

    Use it as a context manager. If an exception ends the block, unsent revisions stay in the journal, and nothing is
    lost. Only one process publishes: in the others use no Publisher, or one with ``disable``.

    Args:
        repo_id: `owner/name`; a bare name is enough for the local store.
        output_dir: folder of the run; the journal is its subfolder `publishing`.
        store: folder of the local store, the ``cache_dir`` of `from_pretrained`; None for the Hub only.
        push_to_hub: publish to the Hub too. Without it the Hub's client is never called.
        token: token of the Hub; None for the one that `hf auth login` stored. It is never written.
        private: create the repository as a private one.
        card: contents of the model cards; None for one without details.
        recipe_hash: hash of the recipe, if there is one; the journal of another recipe is not continued.
        retries: how calls to the Hub are repeated.
        planned: the names of all revisions that will be submitted, in training order, so that who watches the run knows
            when it has ended; empty if unknown.
        disable: do nothing: ``disable=not accelerator.is_main_process`` in a loop of several processes.

    Raises:
        ConfigError: there is no target to publish to.
        PublishError: on entering, the journal belongs to another run, or another process uses it.

    Examples:
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> from hf_clipdyn import Publisher
        >>> from hf_clipdyn.revisions import RevisionRecord, epoch_name
        >>> small = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=64, bos_token_id=0, eos_token_id=1)
        >>> model = GPT2LMHeadModel(small)
        >>> with Publisher("me/run", output_dir="runs/mine", store="runs/mine/hub") as publisher:
        ...     for epoch in range(2):
        ...         record = RevisionRecord(epoch_name(epoch), epoch, step=10 * epoch, samples_seen=80 * epoch)
        ...         publisher.submit(record, model.save_pretrained)
        ...         model.lm_head.weight.data += 1  # where you train
        ...     summary = publisher.finish()
        ...
        >>> summary.published, summary.missing
        (['epoch-000', 'epoch-001'], [])
    """

    def __init__(
        self,
        repo_id: str,
        *,
        output_dir: str | Path,
        store: str | Path | None,
        card: CardFacts | None = None,
        recipe_hash: str = "",
        push_to_hub: bool = False,
        token: str | None = None,
        private: bool = False,
        retries: RetryPolicy | None = None,
        planned: Sequence[str] = (),
        disable: bool = False,
    ) -> None:
        run = Path(output_dir).absolute()
        if store is not None:
            store = Path(store).absolute()
            if store.is_relative_to(run):  # so that the run's folder can be moved
                store = store.relative_to(run)
        self._facts = RunFacts(
            repo_id=repo_id,
            run_id="",
            recipe_hash=recipe_hash,
            store=str(store) if store is not None else None,
            push_to_hub=push_to_hub,
            private=private,
            card=card or CardFacts(repo_id),
            planned=tuple(planned),
        )
        self._journal = Journal.of_run(Path(output_dir))
        self._retries = retries or RetryPolicy()
        # The threads repeat a whole revision, so single calls are not repeated.
        once = replace(self._retries, patience=0.0)
        self._targets = {} if disable else self._facts.targets(run, token=token, retries=once)
        self._entries: dict[str, Entry] = {}
        self._held = ""  # the revision that waits for `release`
        self._changed = Condition()  # guards the entries and the threads' states
        self._preparing = Lock()
        self._threads: dict[str, PublishingThread] = {}
        self._lock = ExitStack()

    def __enter__(self) -> Self:
        if not self._targets:
            return self
        with ExitStack() as opened:
            opened.enter_context(self._journal.locked())
            self._facts = self._journal.open(self._facts)
            self._entries = {entry.name: entry for entry in self._journal.entries()}
            self._lock = opened.pop_all()  # an error above has released it
        for entry in filter(self._is_everywhere, self._entries.values()):
            self._journal.discard_snapshot(entry.name)  # a killed process may have left it
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._lock.close()

    # --- for the training loop ----------------------------------------------------------------------

    def check(self) -> None:
        """Check, before training starts, that every target can be written and is empty or contains this run.

        Raises:
            RevisionError: a target cannot be written, or contains the revisions of another run.
        """
        patience = replace(self._retries, patience=min(self._retries.patience, _PATIENCE_AT_START))
        for name, target in self._targets.items():
            try:
                refs = attempt(partial(self._check_target, target), patience, reached=False)
            except RevisionError as error:
                if not self._entries or not is_transient(error):
                    raise
                _log.warning("%s The run continues and publishes later.", error)
                continue
            if name == STORE and not self._threads:
                target.clean()
            self._forget_lost(name, refs)

    def _check_target(self, target: Repository) -> dict[str, str]:
        target.check()
        return check_run(target, self._facts.run_id)

    def published(self) -> list[str]:
        """The revisions that need no `submit`: every target has them, or the journal can send them."""
        with self._changed:
            return [
                name
                for name, entry in self._entries.items()
                if self._is_everywhere(entry) or self._has_source(entry)
            ]

    def at_step(self, step: int) -> list[str]:
        """The revisions of `published` at that step."""
        return [name for name in self.published() if self._entries[name].row.step == step]

    def submit(self, record: RevisionRecord, save: Callable[[Path], None], *, hold: bool = False) -> None:
        """Hand in a revision. When this returns, it is on the disk; threads publish it.

        Args:
            record: describes the revision. A name that was handed in before is skipped.
            save: writes weights (one `model.safetensors`), configuration and processor into the folder
                that it is given.
            hold: publish it only after `release` or `finish`.

        Raises:
            PublishError: the snapshot cannot be written; nothing of it is left.
        """
        if not self._targets or record.name in self.published():
            return
        row = ManifestRow(
            **asdict(record),
            sha256="",
            size=0,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            recipe_hash=self._facts.recipe_hash,
            versions=_versions(),
        )
        self._wait_for_room()
        with disk_errors(
            PublishError,
            f"The snapshot of {record.name} could not be written to {self._journal.folder}",
            "nothing of it was published; free some disk space, then continue the run",
            also=SafetensorError,
        ):
            entry = self._journal.add(row, save)
        with self._changed:
            self._entries[record.name] = entry
            self._held = record.name if hold else ""
        self._wake()

    def release(self, loss: float | None = None) -> None:
        """Publish the revision that is held, with this loss if one is given."""
        with self._changed:
            if not self._held:
                return
            entry = self._entries[self._held]
            if loss is not None:
                self._put(replace(entry, row=replace(entry.row, loss=loss)))
            self._held = ""
        self._wake()

    def check_weights(
        self,
        name: str,
        save: Callable[[Path], None],
        remedy: str = "continue that run from a checkpoint, or choose another output_dir",
    ) -> None:
        """Check that a revision that was handed in before has the weights that ``save`` writes now.

        Raises:
            PublishError: it has others: the folder contains another run, which must not be mixed with this one.
        """
        self._journal.staging.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=self._journal.staging) as folder:
            save(Path(folder))
            saved = _hash_of(Path(folder))
        with self._changed:  # so that the snapshot is not discarded meanwhile
            known = self._entries[name].row.sha256
            known = known or _hash_of(self._journal.snapshot(name))
        if saved != known:
            raise PublishError(
                f"{self._facts.repo_id} has {name} with other weights, from an earlier run in "
                f"{self._journal.folder.parent}: {remedy}."
            )

    def finish(self) -> Summary:
        """Wait until all targets have all revisions or give up; return the summary."""
        self.release()
        self._wake()
        with self._changed:
            idle_since = time.monotonic()
            progress = -1
            while any(thread.busy() for thread in self._threads.values()):
                done = sum(len(entry.published) for entry in self._entries.values())
                if done != progress:
                    progress, idle_since = done, time.monotonic()
                left = self._retries.patience - (time.monotonic() - idle_since)
                if left <= 0:
                    break
                self._changed.wait(min(left, 1.0))
        self._stop()
        return self.summary()

    def summary(self) -> Summary:
        """Which revisions every target has so far."""
        with self._changed:
            entries = list(self._entries.values())
        missing = [entry.name for entry in entries if not self._is_everywhere(entry)]
        published = [entry.name for entry in entries if entry.name not in missing]
        done, does = ("published", "publishes") if HUB in self._targets else ("saved", "saves")
        sentences = [
            f"{self._facts.repo_id}: {len(published)} of {len(entries)} revisions are {done} "
            f"({' and '.join(target.where for target in self._targets.values())})."
        ]
        for name, target in self._targets.items():
            lacking = [entry for entry in entries if name not in entry.published]
            if lacking:
                sentences.append(f"Not in {target.where}: {', '.join(entry.name for entry in lacking)}.")
                if name in self._threads and (trouble := self._threads[name].trouble):
                    sentences.append(trouble)
        if missing:
            sentences.append(
                f"They are kept in {self._journal.folder}: `clipdyn repair {self._journal.folder.parent}` {does} them "
                "when it can."
            )
        return Summary(published, missing, " ".join(sentences))

    # --- for the threads ----------------------------------------------------------------------------

    def _next(self, target: str) -> str | None:
        name = next((entry.name for entry in self._entries.values() if target not in entry.published), None)
        return None if name == self._held else name

    def _publish(self, target: str, name: str) -> None:
        """Publish one revision to one target and record it."""
        with self._preparing:
            entry = self._prepare(self._entries[name])
        with self._source(entry) as files:
            commit = publish(self._targets[target], Snapshot(files, entry.row, self._facts.manifest()))
        with self._changed:
            entry = self._entries[name]
            entry = replace(entry, published=entry.published | {target: commit})
            self._put(entry)
            if self._is_everywhere(entry):
                self._journal.discard_snapshot(name)
            self._changed.notify_all()

    def _prepare(self, entry: Entry) -> Entry:
        """Hash the weights and write the card; training does not wait for this."""
        if entry.row.sha256:
            return entry
        row = self._described(entry.row)
        with self._changed:
            twin = next(
                (other.name for other in self._entries.values() if other.row.sha256 == row.sha256), None
            )
            entry = replace(self._entries[row.name], row=row)
            self._put(entry)
        if twin is not None:
            _log.warning(
                "%s has the same weights as %s: training changed nothing between them.", row.name, twin
            )
        return entry

    def _described(self, row: ManifestRow) -> ManifestRow:
        folder = self._journal.snapshot(row.name)
        weights = weights_in(folder)
        if weights is None:
            raise PublishError(
                f"The snapshot of {row.name} has no {WEIGHTS_FILES[0]}: publish the weights in one file."
            )
        card = revision_card(
            self._facts.card,
            name=row.name,
            epoch=row.epoch,
            step=row.step,
            samples_seen=row.samples_seen,
            loss=row.loss,
        )
        write_atomically(folder / "README.md", card, staging=self._journal.staging)
        return replace(row, sha256=file_sha256(weights), size=weights.stat().st_size)

    def _put(self, entry: Entry) -> None:
        """Keep a changed entry; call it with `_changed` held."""
        self._entries[entry.name] = entry
        self._journal.put(entry)

    # --- inside -------------------------------------------------------------------------------------

    def _is_everywhere(self, entry: Entry) -> bool:
        return all(target in entry.published for target in self._targets)

    def _has_source(self, entry: Entry) -> bool:
        return self._journal.snapshot(entry.name).is_dir() or bool(self._stored(entry))

    def _stored(self, entry: Entry) -> list[str]:
        """Paths of the files of a revision in the local store; none if they are not there."""
        try:
            return list(self._targets[STORE].files(entry.published[STORE]))
        except (KeyError, RevisionError):
            return []

    @contextmanager
    def _source(self, entry: Entry) -> Iterator[dict[str, Path]]:
        """The files of a revision: in the journal, else in the store that has it already."""
        folder = self._journal.snapshot(entry.name)
        if folder.is_dir():
            yield files_of(folder)
        elif stored := self._stored(entry):
            store, commit = self._targets[STORE], entry.published[STORE]
            with ExitStack() as fetched:
                yield {
                    path: fetched.enter_context(store.fetched(commit, path))
                    for path in stored
                    if path != MANIFEST_FILE
                }
        else:
            raise PublishError(
                f"The files of {entry.name} are gone from {self._journal.folder} and from the store."
            )

    def _forget_lost(self, target: str, refs: dict[str, str]) -> None:
        """Send again what a target has lost."""
        with self._changed:
            for entry in list(self._entries.values()):
                if entry.name not in refs and target in entry.published:
                    published = {key: entry.published[key] for key in entry.published if key != target}
                    self._put(replace(entry, published=published))

    def _wait_for_room(self) -> None:
        """Make training wait only if the store's disk is slower: weights are large."""
        thread = self._threads.get(STORE)
        with self._changed:
            while (
                thread is not None
                and thread.busy()
                and sum(STORE not in entry.published for entry in self._entries.values()) >= _MAX_WAITING
            ):
                self._changed.wait(1.0)

    def _wake(self) -> None:
        for name in self._targets:
            if name not in self._threads:
                self._threads[name] = PublishingThread(
                    name,
                    changed=self._changed,
                    next_name=partial(self._next, name),
                    publish=partial(self._publish, name),
                    retries=self._retries,
                )
                self._threads[name].start()
        with self._changed:
            for thread in self._threads.values():
                thread.wake()
            self._changed.notify_all()

    def _stop(self) -> None:
        """Stop the threads: the store's after its last revision, the Hub's after the request in flight."""
        store = self._threads.get(STORE)
        give_up = time.monotonic() + self._retries.patience
        with self._changed:
            while store is not None and store.busy() and time.monotonic() < give_up:
                self._changed.wait(1.0)
            for thread in self._threads.values():
                thread.stopping = True
            self._changed.notify_all()
        for thread in self._threads.values():
            thread.join(timeout=min(self._retries.timeout, _LAST_REQUEST))


@cache
def _hash_of(folder: Path) -> str:
    weights = weights_in(folder)
    return "" if weights is None else file_sha256(weights)


def _versions() -> dict[str, str]:
    versions = {}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = package_version(package)
        except PackageNotFoundError:
            continue
    return versions


# --- the threads ---


class PublishingThread(Thread):
    """Publishes one revision after the other, the oldest first, so that `main` never moves backwards.

    After a transient error it retries with back-off as long as training goes on. Any other error blocks it until
    the next revision or the end of training. Each error is logged once.

    Attributes:
        trouble: why the last attempt failed; empty while all is well.
        stopping: set it, and notify, to end the thread after its current attempt.
    """

    def __init__(
        self,
        target: str,
        *,
        changed: Condition,
        next_name: Callable[[], str | None],
        publish: Callable[[str], None],
        retries: RetryPolicy,
    ) -> None:
        super().__init__(name=f"publish-{target}", daemon=True)
        self._done = "published" if target == HUB else "saved"
        self._changed = changed
        self._next_name = next_name
        self._publish = publish
        self._retries = retries
        self._blocked = False
        self._failures = 0
        self._not_before = 0.0
        self._logged: set[str] = set()
        self.trouble = ""
        self.stopping = False

    def wake(self) -> None:
        """Retry: at once if the thread was blocked, soon if it waits after an error."""
        self._blocked = False
        if self._failures:
            self._not_before = min(self._not_before, time.monotonic() + self._retries.base)

    def busy(self) -> bool:
        """Whether there is work and no error blocks it; call it with ``changed`` held."""
        return self.is_alive() and not self._blocked and self._next_name() is not None

    def run(self) -> None:
        while True:
            with self._changed:
                while not self.stopping and (pause := self._pause()) != 0:
                    self._changed.wait(pause)
                if self.stopping:
                    return
                name = self._next_name()
            assert name is not None, "busy() saw one, and only this thread settles it"
            try:
                self._publish(name)
            except Exception as error:  # training goes on in any case; the journal keeps the revision
                self._failed(name, error)
            else:
                self._failures, self.trouble = 0, ""

    def _pause(self) -> float | None:
        """Seconds until the next attempt; None if there is nothing to do."""
        return max(0.0, self._not_before - time.monotonic()) if self.busy() else None

    def _failed(self, name: str, error: Exception) -> None:
        with self._changed:
            self.trouble = str(error) if isinstance(error, ClipDynError) else f"{reason(error)}."
            if is_transient(error):
                self._not_before = time.monotonic() + self._retries.wait(self._failures, error)
                self._failures += 1
            else:
                self._blocked = True
            if self.trouble not in self._logged:
                self._logged.add(self.trouble)
                _log.warning("%s is not %s yet and stays in the journal: %s", name, self._done, self.trouble)
            self._changed.notify_all()
