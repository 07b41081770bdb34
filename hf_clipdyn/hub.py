"""Repositories of the Hub: their names, what an error of the client means, calls that are repeated, and pushes.

The process's HTTP client is the user's, and stays as it is. The classes of its errors are known by their names:
importing them takes as long as a command's help may.
"""

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
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

_REPO_ID = re.compile(r"(?!.*(--|\.\.|\.git$))(\b[\w.-]{1,96}\b/)?\b[\w.-]{1,96}\b", re.ASCII)
_TRANSIENT_STATUS = {408, 412, 425, 429, 500, 502, 503, 504}


# --- names of repositories -----------------------------------------------------------------------------------


def is_repo_id(text: object) -> bool:
    """Whether the Hub could have a repository of this id, `name` or `owner/name`; by the rule of its client."""
    return isinstance(text, str) and _REPO_ID.fullmatch(text) is not None


def checked_repo_id(repo_id: str, *, what: str = "The repository", owner: bool = False) -> str:
    """``repo_id`` if the Hub accepts it, with an ``owner`` if that is required, as it is to push.

    Raises:
        ConfigError: it does not; ``what`` begins the message.
    """
    if not is_repo_id(repo_id) or (owner and "/" not in repo_id):
        raise ConfigError(
            f"{what} is {shown(repo_id)}, which the Hub does not accept: give owner/name of letters, digits, _, - and ."
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
    name = re.search(r"/(?:models|datasets)--([^/]+)/snapshots/([0-9a-f]{40})$", folder.resolve().as_posix())
    return None if name is None else (name[1].replace("--", "/"), name[2])


def public_name(text: str) -> str:
    """What others may read of a data set or a model that was given as ``text``: of a path its last name only.

    A folder in a Hub client's cache is called by its repository, and a name that is not a path here stays.

    Examples:
        >>> from hf_clipdyn.hub import public_name
        >>> public_name("/data/of/mine/flickr8k"), public_name("me/run"), public_name("procedural")
        ('flickr8k', 'me/run', 'procedural')
    """
    path = os.path.expanduser(text)  # noqa: PTH111  # Path's own raises for an unknown user
    if os.path.exists(path):  # noqa: PTH110  # nor does this, for any text
        repo_id, _ = cached_snapshot(Path(path)) or (Path(path).resolve().name, "")
        return repo_id
    return text if is_repo_id(text) else re.split(r"[\\/]", text.rstrip("\\/"))[-1]


# --- errors of the client --------------------------------------------------------------------------------------


def _cause(error: BaseException | None, *names: str) -> Any:
    """The error, or what it was raised from, if it is of a class with one of these names; else None.

    The client wraps a failed upload in a RuntimeError.
    """
    while error is not None and {kind.__name__ for kind in type(error).__mro__}.isdisjoint(names):
        error = error.__cause__
    return error


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error; None if there was no answer."""
    answer = _cause(error, "HfHubHTTPError")
    return None if answer is None else int(answer.response.status_code)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: 429, 5xx, 408, 412, a time-out, a lost connection.

    No other error is transient: 401, 403, a quota, a repository that does not exist.
    """
    if (status := status_of(error)) is not None:
        return status in _TRANSIENT_STATUS
    lost = _cause(error, "TransportError", "ConnectionError", "TimeoutError")
    return lost is not None and _cause(error, "OfflineModeIsEnabled") is None


def reason(error: BaseException) -> str:
    """An error of the client in one line, without request ids and addresses."""
    if (answer := _cause(error, "HfHubHTTPError")) is None:
        return reason(error.__cause__) if error.__cause__ is not None else sentence(error).rstrip(" .")
    *_, last = ["no message", *filter(None, str(answer.server_message or answer).splitlines())]
    return f"the Hub answered {status_of(error)}: {last.strip(' .')}"


def refusal_hint(error: BaseException) -> str:
    """What to do about a refused push, as a sentence after a space; empty if the Hub refused for another reason."""
    refused = status_of(error) in (401, 403)
    return " Give a token with write permission, by `hf auth login` or HF_TOKEN." if refused else ""


# --- calls that are repeated -------------------------------------------------------------------------------------


def pause_after(error: BaseException, failures: int) -> float:
    """Seconds until the next attempt: what the server asks for, else twice as long after each failure."""
    answer = _cause(error, "HfHubHTTPError")
    asked = "" if answer is None else answer.response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 30))


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
    if not wait([answer], seconds).done:
        raise TimeoutError(f"there was no answer within {seconds:g} seconds")
    return answer.result()


def persistently(call: Callable[[], T], patience: float | None = None, *, transfers: bool = False) -> T:
    """Repeat a call until it succeeds, fails for good, or ``patience`` seconds (default: PATIENCE) have passed.

    A request that gets no answer in that time fails too, and goes on in its thread; one that ``transfers`` files may
    take longer.
    """
    started, failures, patience = time.monotonic(), 0, patience or PATIENCE
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


def check_login(what: str, token: str | None = None) -> None:
    """Before any work: could something be pushed at all? ``what`` begins the message."""
    if constants.HF_HUB_OFFLINE:
        raise PublishError(f"{what} while HF_HUB_OFFLINE is set: unset it.")
    if not (token or huggingface_hub.get_token()):
        raise PublishError("There is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN.")


def check_private(info: Any) -> None:
    """Refuse a public repository where a private one was asked for: `create_repo` accepts one that exists.

    Call it with the client's `repo_info` before the first byte is sent.

    Raises:
        ConfigError: it is public.
    """
    if not info.private:
        raise ConfigError(
            f"{info.id} exists and is public: make it private in its settings, or name another."
        )


def push_folder(
    folder: str | Path,
    repo_id: str,
    message: str,
    *,
    complete: Callable[["huggingface_hub.HfApi", Any], None] = lambda *_: None,
    repo_type: str = "model",
    create: bool = True,
    space_sdk: str | None = None,
    private: bool = False,
    replaced: str | None = None,
    token: str | None = None,
) -> "tuple[huggingface_hub.CommitInfo, bool]":
    """Commit a folder without its hidden files to `main`, in one commit; repeated as a whole.

    If somebody else commits meanwhile, it begins again.

    Args:
        folder: what is sent.
        repo_id: the repository; its owner may be left out.
        message: title of the commit.
        complete: writes into the folder what depends on the repository's state: of the client and its `repo_info`.
        repo_type: `model`, `dataset` or `space`.
        create: whether to create a missing repository, one of a Space with the ``space_sdk``.
        space_sdk: for example `static`.
        private: create a private repository, and refuse one that is public.
        replaced: files on the Hub that match this pattern and are not in the folder are deleted.
        token: token of the Hub; default: the stored one.

    Returns:
        The commit of `main`, and whether the push made it; it makes none if nothing differs.

    Raises:
        ConfigError: the repository is public and ``private`` is set.
        PublishError: the Hub refuses or cannot be reached.
    """
    api = huggingface_hub.HfApi(token=token)

    def attempted() -> "tuple[huggingface_hub.CommitInfo, bool]":
        name = repo_id
        if create:
            about: Any = {"private": private or None, "exist_ok": True, "space_sdk": space_sdk}
            name = api.create_repo(repo_id, repo_type=repo_type, **about).repo_id
        info = api.repo_info(name, repo_type=repo_type)
        if private:
            check_private(info)
        complete(api, info)
        made = api.upload_folder(
            repo_id=name,
            repo_type=repo_type,
            folder_path=folder,
            commit_message=message,
            parent_commit=info.sha,
            delete_patterns=replaced,
            ignore_patterns=[".*", "*/.*"],
        )
        return made, made.oid != info.sha

    try:
        return persistently(attempted, PUSH_PATIENCE, transfers=True)
    except ClipDynError:
        raise
    except Exception as error:
        problem = f"Nothing was pushed to the {repo_type} {repo_id} ({reason(error)})."
        raise PublishError(problem + refusal_hint(error)) from error


def readme(api: "huggingface_hub.HfApi", info: Any, repo_type: str) -> bytes:
    """The README.md of a repository at the commit of its `repo_info`; empty if it has none."""
    at: Any = {"filename": "README.md", "repo_id": info.id, "repo_type": repo_type, "revision": info.sha}
    return Path(api.hf_hub_download(**at)).read_bytes() if api.file_exists(**at) else b""
