"""Repositories of the Hub: their names, what an error of the client means, calls that are repeated, and pushes.

The process's HTTP client is the user's, and stays as it is. The classes of its errors are known by their names:
importing them takes as long as a command's help may.
"""

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import huggingface_hub
from huggingface_hub import constants

from hf_clipdyn.errors import ClipDynError, ConfigError, PublishError, sentence, shown

T = TypeVar("T")

PATIENCE, PUSH_PATIENCE = 30.0, 60.0
"""Seconds in which a request, and a push, are repeated."""

UNREACHED = 7.0
"""The same for a Hub that cannot be reached at all: probably there is no network."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the first repeat; each further one waits twice as long, up to the longest."""

_TRANSIENT_STATUS = {408, 412, 425, 429, 500, 502, 503, 504}


# --- names of repositories -----------------------------------------------------------------------------------


def is_repo_id(text: str) -> bool:
    """Whether the Hub could have a repository of this id, `name` or `owner/name`; by its client's own rule."""
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # loads an HTTP client

    try:
        validate_repo_id(text)
    except ValueError:
        return False
    # Earlier clients accept a line's end and letters beyond ASCII, which the Hub does not.
    return isinstance(text, str) and text.isascii() and text.isprintable()


def checked_repo_id(repo_id: str, *, what: str = "The repository", owner: bool = False) -> str:
    """``repo_id`` if the Hub accepts it, with an ``owner`` if that is required, as it is to push.

    Raises:
        ConfigError: it does not; ``what`` begins the message.
    """
    if not is_repo_id(repo_id) or (owner and "/" not in repo_id):
        raise ConfigError(
            f"{what} is {shown(repo_id)}, which the Hub does not accept: give owner/name (allowed: letters, digits, "
            "_ and single - and ., at most 96 characters)."
        )
    return repo_id


def valid_repo_name(text: str) -> str:
    """The nearest name of a repository, for a text such as a folder's name.

    Examples:
        >>> from hf_clipdyn.hub import valid_repo_name
        >>> valid_repo_name("my run (2)")
        'my-run-2'
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)
    name = re.sub(r"[.-]*-[.-]*", "-", re.sub(r"\.{2,}", ".", name))[:90].strip("-.")
    name = re.sub(r"(\.git)+$", "", name).strip("-.")
    return name if is_repo_id(name) else "run"


def cached_snapshot(folder: Path) -> tuple[str, str] | None:
    """Repository and commit of a folder in a Hub client's cache or in a store of 0.3; None for any other folder.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.hub import cached_snapshot
        >>> commit = "0" * 39 + "7"
        >>> cached_snapshot(Path(f"/cache/models--me--run/snapshots/{commit}")) == ("me/run", commit)
        True
    """
    parts = re.search(
        r"(?:^|/)(?:models|datasets)--([^/]+)/snapshots/([0-9a-f]{40})$", folder.resolve().as_posix()
    )
    repo_id = parts[1].replace("--", "/") if parts is not None else ""
    return None if parts is None or not is_repo_id(repo_id) else (repo_id, parts[2])


def public_name(text: str) -> str:
    """What others may read of a data set or a model that was given as ``text``: of a path its last name only.

    A folder in a Hub client's cache is called by its repository, and a name that is not a path here stays.

    Examples:
        >>> from hf_clipdyn.hub import public_name
        >>> public_name("/data/of/mine/flickr8k"), public_name("me/run"), public_name("procedural")
        ('flickr8k', 'me/run', 'procedural')
    """
    path = Path(os.path.expanduser(text))  # noqa: PTH111  # Path's own raises for an unknown user
    if os.path.exists(path):  # noqa: PTH110  # nor does this, for any text
        cached = cached_snapshot(path)
        return cached[0] if cached is not None else path.resolve().name
    return text if is_repo_id(text) else re.split(r"[\\/]", text.rstrip("\\/"))[-1]


# --- errors of the client --------------------------------------------------------------------------------------


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from: the client wraps a failed upload in a RuntimeError."""
    while error is not None:
        yield error
        error = error.__cause__


def _cause(error: BaseException, *names: str) -> Any:
    """The error, or what it was raised from, if it is of a class with one of these names; else None."""
    classes = ((cause, {kind.__name__ for kind in type(cause).__mro__}) for cause in _causes(error))
    return next((cause for cause, of_cause in classes if of_cause & set(names)), None)


def _answer(error: BaseException) -> Any:
    """The error that carries the server's answer; None if there was none."""
    return _cause(error, "HfHubHTTPError")


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error; None if there was no answer."""
    answer = _answer(error)
    return None if answer is None else int(answer.response.status_code)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: 429, 5xx, 408, 412, a time-out, a lost connection.

    No other error is transient: 401, 403, a quota, a repository that does not exist.
    """
    status = status_of(error)
    if status is not None:
        return status in _TRANSIENT_STATUS
    lost = _cause(error, "TransportError", "ConnectionError", "TimeoutError")
    return lost is not None and _cause(error, "OfflineModeIsEnabled") is None


def reason(error: BaseException) -> str:
    """An error of the client in one line, without request ids and addresses."""
    answer = _answer(error)
    if answer is None:
        return sentence(list(_causes(error))[-1]).rstrip(" .")
    *_, last = ["no message", *filter(None, str(answer.server_message or answer).splitlines())]
    return f"the Hub answered {status_of(error)}: {last.strip(' .')}"


def refusal_hint(error: BaseException) -> str:
    """What to do about a refused push, as a sentence after a space; empty if the Hub refused for another reason."""
    refused = _cause(error, "LocalTokenNotFoundError") or status_of(error) in (401, 403)
    return " Give a token with write permission, by `hf auth login` or HF_TOKEN." if refused else ""


# --- calls that are repeated -------------------------------------------------------------------------------------


def pause_after(error: BaseException, failures: int) -> float:
    """Seconds until the next attempt: what the server asks for, else twice as long after each failure."""
    answer = _answer(error)
    asked = "" if answer is None else answer.response.headers.get("Retry-After", "")
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 30))
    return float(asked) if asked.isdigit() else longest * random.uniform(0.75, 1.0)  # noqa: S311


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


def persistently(call: Callable[[], T], patience: float | None = None, *, transfers: bool = False) -> T:
    """Repeat a call until it succeeds, fails for good, or ``patience`` seconds (default: PATIENCE) have passed.

    A request that gets no answer in that time fails too, and goes on in its thread; one that ``transfers`` files may
    take longer.
    """
    started, failures = time.monotonic(), 0
    patience = PATIENCE if patience is None else patience
    while True:
        try:
            return call() if transfers else answered(call, max(1.0, started + patience - time.monotonic()))
        except Exception as error:
            pause = pause_after(error, failures)
            most = min(patience, UNREACHED) if _cause(error, "ConnectError", "ConnectTimeout") else patience
            if not is_transient(error) or time.monotonic() + pause - started > most:
                raise
            time.sleep(pause)
            failures += 1


# --- pushes --------------------------------------------------------------------------------------------------------


def check_login(what: str, token: str | None = None, *, advice: str = "unset it.") -> None:
    """Before any work: could something be pushed at all? ``what`` begins the message, ``advice`` ends it."""
    if constants.HF_HUB_OFFLINE:
        raise PublishError(f"{what} while HF_HUB_OFFLINE is set: {advice}")
    if not (token or huggingface_hub.get_token()):
        raise PublishError("There is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN.")


def check_private(
    api: "huggingface_hub.HfApi", repo_id: str, repo_type: str = "model", *, done: str = ""
) -> None:
    """Refuse a public repository where a private one was asked for: `create_repo` accepts one that exists.

    Call it before the first byte is sent. ``done`` ends the message, after a space.

    Raises:
        ConfigError: it is public.
    """
    if not api.repo_info(repo_id, repo_type=repo_type).private:
        title = {"dataset": "data set", "space": "Space"}.get(repo_type, repo_type)
        raise ConfigError(
            f"The {title} {repo_id} exists and is public: make it private in its settings, or name another one.{done}"
        )


@dataclass(frozen=True)
class Destination:
    """The repository that a folder is pushed to, as it was when the push began.

    Attributes:
        repo_id: with its owner.
        repo_type: `model`, `dataset` or `space`.
        head: the commit of `main`.
    """

    api: "huggingface_hub.HfApi"
    repo_id: str
    repo_type: str
    head: str
    private: bool

    def read(self, path: str) -> bytes | None:
        """The content of a file; None if the repository has none of that name."""
        at: dict[str, Any] = {"repo_id": self.repo_id, "repo_type": self.repo_type, "revision": self.head}
        if path not in self.api.list_repo_files(**at):
            return None
        return Path(self.api.hf_hub_download(filename=path, **at)).read_bytes()


@dataclass(frozen=True)
class Pushed:
    """What a push left on the Hub.

    Attributes:
        url: address of the repository.
        commit: of `main`.
        commit_url: address of the commit that the push made; None if it made none, since nothing differs.
    """

    url: str
    commit: str
    commit_url: str | None


def push_folder(
    folder: str | Path,
    repo_id: str,
    message: str,
    *,
    problem: str,
    complete: Callable[[Destination], None] = lambda _: None,
    done: str = "",
    repo_type: str = "model",
    create: bool = True,
    space_sdk: str | None = None,
    private: bool = False,
    replaced: str | None = None,
    token: str | None = None,
) -> Pushed:
    """Commit a folder without its hidden files to `main`, in one commit; repeated as a whole.

    If somebody else commits meanwhile, it begins again.

    Args:
        folder: what is sent.
        repo_id: the repository; its owner may be left out.
        message: title of the commit.
        problem: begins the error: "The page could not be pushed to me/space".
        complete: writes into the folder what depends on the repository's state.
        done: ends the error: a sentence that says what is complete all the same.
        repo_type: `model`, `dataset` or `space`.
        create: whether to create a missing repository, one of a Space with the ``space_sdk``.
        space_sdk: for example `static`.
        private: create a private repository, and refuse one that is public.
        replaced: files on the Hub that match this pattern and are not in the folder are deleted.
        token: token of the Hub; default: the stored one.

    Raises:
        ConfigError: the repository is public and ``private`` is set.
        PublishError: the Hub refuses or cannot be reached.
    """
    api = huggingface_hub.HfApi(token=token)
    done = f" {done}" if done else ""

    def opened() -> Destination:
        name = repo_id
        if create:
            about: Any = {"private": private or None, "exist_ok": True, "space_sdk": space_sdk}
            name = api.create_repo(repo_id, repo_type=repo_type, **about).repo_id
        if private:
            check_private(api, name, repo_type, done=done)
        info = api.repo_info(name, repo_type=repo_type)
        return Destination(api, name, repo_type, str(info.sha), bool(info.private))

    def attempted() -> Pushed:
        to = answered(opened, PUSH_PATIENCE)
        complete(to)
        made = api.upload_folder(
            repo_id=to.repo_id,
            repo_type=repo_type,
            folder_path=folder,
            commit_message=message,
            parent_commit=to.head,
            delete_patterns=replaced,
            ignore_patterns=[".*", "*/.*"],
        )
        url = str(made.repo_url)
        return Pushed(url, made.oid, f"{url}/commit/{made.oid}" if made.oid != to.head else None)

    try:
        return persistently(attempted, PUSH_PATIENCE, transfers=True)
    except ClipDynError:
        raise
    except Exception as error:
        absent = not create and status_of(error) in (401, 404)
        hint = " The repository does not exist, or you have no access." if absent else refusal_hint(error)
        raise PublishError(f"{problem} ({reason(error)}).{hint}{done}") from error
