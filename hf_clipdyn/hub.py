"""Robust calls of the Hub's client.

`create_commit`, `create_branch` and the reading calls do not retry; `attempt` does, with back-off. Only this
module decides what an error means and how long to wait. The process's HTTP client is the user's, and stays as it is.
"""

import logging
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_session,
    get_token,
)
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from hf_clipdyn.errors import ClipDynError, ConfigError, PublishError

T = TypeVar("T")

_TITLES = {"model": "model", "dataset": "data set", "space": "Space"}
_TRANSIENT_STATUS = {408, 412, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class RetryPolicy:
    """How a failed call is repeated.

    Attributes:
        base: seconds before the first repeat; each further one waits twice as long.
        cap: longest wait in seconds; a longer Retry-After of the server is honoured.
        patience: seconds without progress after which a call is given up.
        timeout: seconds that one answer may take; the client itself would wait forever.
        first: the patience with a server that was never reached: probably there is none.
    """

    base: float = 1.0
    cap: float = 60.0
    patience: float = 300.0
    timeout: float = 120.0
    first: float = 7.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after ``failures`` earlier failures, with a jitter of a quarter."""
        return min(self.cap, self.base * 2.0 ** min(failures, 30)) * random.uniform(0.75, 1.0)  # noqa: S311

    def wait(self, failures: int, error: BaseException) -> float:
        """Seconds to wait after an error: what the server asks for, else `delay`."""
        asked = retry_after(error)
        return self.delay(failures) if asked is None else asked


PUSHING = RetryPolicy(patience=60.0)
"""How a push is repeated."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from: the client wraps a failed upload in a RuntimeError."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _http_library() -> Any:
    """The client's HTTP library, httpx or httpx2 by huggingface_hub's version."""
    bases = type(get_session()).__mro__  # a user's client may be a subclass
    name = next(base.__module__.partition(".")[0] for base in bases if base.__name__ == "Client")
    return sys.modules[name]


def _answer(error: BaseException) -> HfHubHTTPError | None:
    """The server's answer behind an error; None if there was none."""
    return next((cause for cause in _causes(error) if isinstance(cause, HfHubHTTPError)), None)


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error; None if there was no answer."""
    answer = _answer(error)
    return int(answer.response.status_code) if answer is not None else None


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: 429, 5xx, 408, 412, a time-out, a lost connection.

    No other error is transient: 401, 403, a quota, a repository that does not exist.
    """
    status = status_of(error)
    if status is not None:
        return status in _TRANSIENT_STATUS
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in _causes(error)):
        return False
    network = (_http_library().TransportError, ConnectionError, TimeoutError)
    return any(isinstance(cause, network) for cause in _causes(error))


def is_unreachable(error: BaseException) -> bool:
    """Whether no connection could be made: no network, no such host, no server."""
    library = _http_library()
    return any(isinstance(cause, (library.ConnectError, library.ConnectTimeout)) for cause in _causes(error))


def retry_after(error: BaseException) -> float | None:
    """Seconds that the server asks to wait (Retry-After, as seconds or as a date); None if it does not say."""
    answer = _answer(error)
    value = answer.response.headers.get("Retry-After", "") if answer is not None else ""
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def reason(error: BaseException) -> str:
    """An error of the client in one line, without request ids and addresses."""
    cause = _answer(error) or list(_causes(error))[-1]
    said = getattr(cause, "server_message", None) or str(cause)
    line = next((line.strip(" .") for line in reversed(said.splitlines()) if line.strip()), "no message")
    status = status_of(error)
    return f"the Hub answered {status}: {line}" if status is not None else f"{type(cause).__name__}: {line}"


def refusal_hint(error: BaseException) -> str:
    """What to do about a refused push, as a sentence after a space; empty if the Hub refused for another reason."""
    refused = isinstance(error, LocalTokenNotFoundError) or status_of(error) in (401, 403)
    return " Give a token with write permission, by `hf auth login` or HF_TOKEN." if refused else ""


def check_login(what: str, token: str | None = None, *, advice: str = "unset it.") -> None:
    """Before any work: could something be pushed at all? ``what`` begins the message, ``advice`` ends it."""
    if constants.HF_HUB_OFFLINE:
        raise PublishError(f"{what} while HF_HUB_OFFLINE is set: {advice}")
    if not (token or get_token()):
        raise PublishError("There is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN.")


def answered(call: Callable[[], T], seconds: float) -> T:
    """What a call of the client returns or raises; TimeoutError if that takes longer: the client would wait forever.

    The call goes on in its thread, so this is for requests of which a late one does no harm.
    """
    answer: Future[T] = Future()

    def ask() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=ask, name="hub", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():  # the call's own error
            raise
        raise TimeoutError(f"there was no answer within {seconds:g} seconds") from None


def attempt(call: Callable[[], T], policy: RetryPolicy, *, reached: bool = True, limited: bool = False) -> T:
    """Call until it succeeds, fails for good, or the policy's patience ends.

    ``reached`` says whether the server has answered before; if not, ``policy.first`` is the patience. ``limited`` gives
    each call ``policy.timeout`` for its answer; a transfer may take longer.
    """
    started, failures = time.monotonic(), 0
    while True:
        try:
            return answered(call, policy.timeout) if limited else call()
        except Exception as error:
            reached = reached or not is_unreachable(error)
            patience = policy.patience if reached else min(policy.patience, policy.first)
            wait = policy.wait(failures, error)
            if not is_transient(error) or time.monotonic() + wait - started > patience:
                raise
            time.sleep(wait)
            failures += 1


def check_private(api: HfApi, repo_id: str, repo_type: str = "model", *, done: str = "") -> None:
    """Refuse a public repository where a private one was asked for: `create_repo` accepts one that exists.

    Call it before the first byte is sent. ``done`` ends the message, after a space.

    Raises:
        ConfigError: it is public.
    """
    if not api.repo_info(repo_id, repo_type=repo_type).private:
        raise ConfigError(
            f"The {_TITLES[repo_type]} {repo_id} exists and is public: make it private in its settings, or name "
            f"another one.{done}"
        )


@dataclass(frozen=True)
class Destination:
    """The repository that a push writes to, as it was when the push began.

    Attributes:
        repo_id: with its owner.
        repo_type: `model`, `dataset` or `space`.
        url: its address; empty if the push does not create repositories.
        head: the commit of `main`.
    """

    api: HfApi
    repo_id: str
    repo_type: str
    url: str
    head: str
    private: bool

    def upload(self, folder: str | Path, message: str, *, replaced: str | None = None) -> str | None:
        """Commit a folder without its hidden files; the commit's address, or None if nothing differs.

        Files on the Hub that match the pattern ``replaced`` and are not in the folder are deleted. If somebody has
        committed since ``head``, the Hub refuses with 412, which is transient.
        """
        with _without_warning_of_no_change():
            made = self.api.upload_folder(
                repo_id=self.repo_id,
                repo_type=self.repo_type,
                folder_path=folder,
                commit_message=message,
                parent_commit=self.head,
                delete_patterns=replaced,
                ignore_patterns=[".*", "*/.*"],
            )
        return str(made.commit_url) if made.oid != self.head else None

    def commit(self, files: Mapping[str, bytes], message: str, *, deleted: Iterable[str] = ()) -> str | None:
        """Commit the files that differ from those on `main`; the commit's address, or None if nothing differs.

        If somebody has committed since ``head``, the Hub refuses with 412, which is transient.
        """
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path, content) for path, content in files.items()),
            *(CommitOperationDelete(path) for path in deleted),
        ]
        if not operations:
            return None
        with _without_warning_of_no_change():
            made = self.api.create_commit(
                self.repo_id,
                operations,
                commit_message=message,
                parent_commit=self.head,
                repo_type=self.repo_type,
            )
        return str(made.commit_url) if made.oid != self.head else None


@contextmanager
def _without_warning_of_no_change() -> Iterator[None]:
    """The client warns where it makes no commit since nothing differs; whoever pushes says so in its own words."""
    log = logging.getLogger("huggingface_hub.hf_api")

    def is_another(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("No files have been modified")

    log.addFilter(is_another)
    try:
        yield
    finally:
        log.removeFilter(is_another)


def push(
    repo_id: str,
    write: Callable[[Destination], T],
    *,
    problem: str,
    done: str = "",
    repo_type: str = "model",
    create: bool = True,
    space_sdk: str | None = None,
    private: bool = False,
    token: str | None = None,
) -> T:
    """Create a repository if need be, check that it is as private as asked, and write to it; repeated as a whole.

    Args:
        write: makes one commit.
        problem: begins the error: "The page could not be pushed to me/space".
        done: ends it: a sentence that says what is complete all the same.

    Raises:
        ConfigError: the repository is public and ``private`` is set.
        PublishError: the Hub refuses or cannot be reached.
    """
    api = HfApi(token=token)
    done = f" {done}" if done else ""

    def opened() -> Destination:
        url, name = "", repo_id
        if create:
            made = api.create_repo(
                repo_id, repo_type=repo_type, private=private or None, exist_ok=True, space_sdk=space_sdk
            )
            url, name = str(made), made.repo_id
        if private:
            check_private(api, name, repo_type, done=done)
        info = api.repo_info(name, repo_type=repo_type)
        return Destination(api, name, repo_type, url, str(info.sha), bool(info.private))

    def attempted() -> T:
        return write(answered(opened, PUSHING.timeout))

    try:
        return attempt(attempted, PUSHING)
    except ClipDynError:
        raise
    except Exception as error:
        absent = not create and status_of(error) in (401, 404)
        hint = " The repository does not exist, or you have no access." if absent else refusal_hint(error)
        raise PublishError(f"{problem} ({reason(error)}).{hint}{done}") from error
