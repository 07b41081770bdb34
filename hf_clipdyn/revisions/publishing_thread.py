"""The thread that publishes a run's revisions to one target, and what it does after a failure."""

import logging
import time
from collections.abc import Callable
from threading import Condition, Thread

from hf_clipdyn.errors import ClipDynError
from hf_clipdyn.hub import RetryPolicy, is_transient, reason, retry_after

__all__ = ["PublishingThread"]

_log = logging.getLogger(__name__)


class PublishingThread(Thread):
    """Publishes one revision after the other, the oldest first, so that `main` never moves backwards.

    After a transient error it retries with back-off as long as training goes on. Any other error blocks it until
    the next revision or the end of training. Each error is logged once.

    Args:
        target: key of the target, for the thread's name.
        changed: guards what ``next_name`` reads; notified whenever something changes.
        next_name: gives the next revision, None if there is none; called with ``changed`` held.
        publish: publishes a revision to the target and records it.
        retries: how long to wait.

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
                asked = retry_after(error)
                wait = self._retries.delay(self._failures) if asked is None else asked
                self._not_before = time.monotonic() + wait
                self._failures += 1
            else:
                self._blocked = True
            if self.trouble not in self._logged:
                self._logged.add(self.trouble)
                _log.warning("%s is not published yet and stays in the journal: %s", name, self.trouble)
            self._changed.notify_all()
