"""Every error that hf_clipdyn raises on purpose, and the one line that the command line prints of any error.

    ClipDynError                  exit code 1: the work failed
    ├── ConfigError (ValueError)  exit code 2: the call was wrong
    │   └── UnknownNameError      no recipe, scale, data set, benchmark … of that name
    ├── DatasetError              the files of a data set are absent, broken or contradictory
    ├── MetricError (ValueError)  the input of a metric is not what the metric is defined on
    ├── ModelError                a model cannot be built or read, or lacks what a probe needs
    ├── RevisionError
    │   ├── RevisionNotFoundError the repository has no such revision; exit code 2
    │   └── PublishError          a revision could not be stored or sent
    ├── TrainingError             training cannot start or cannot go on
    │   └── TrainingInterrupted   exit code 128 + n: signal n ended it, with a checkpoint
    └── EvaluationError           evaluation cannot start or cannot go on
        └── NothingToMeasureError no selected benchmark suits the model

A message is one sentence or two: what was given, what was expected, what to do. Errors of the system and of libraries
rise as they are; `naming` puts the name of the file before their words, and `reported` prints all of them.
"""

import errno
import logging
import os
import re
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

# For a set in a regular expression: control characters, line separators, and surrogates.
CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
# 34 characters follow the prefix of a token; fewer are redacted too, `hf_clipdyn` is not. With a dash where it was
# taken for an option.
_TOKEN = re.compile(r"hf[_-](?:[a-z]+[_-])?[A-Za-z0-9]{16,}")
# What moves the cursor, changes colours or reverses the text in a terminal. Tabs and newlines stay: tables have them.
_UNPRINTABLE = re.compile(rf"(?![\t\n])[{CONTROL}\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_LONG_WORD = re.compile(r"(\S{80})\S{100,}(\S{40})")
_LONGEST = 4000
_WORD = re.compile(r"[a-z0-9]+")

_NO_NETWORK = "check the network; HF_HUB_OFFLINE=1 uses what was downloaded before"
# What to do, by the system's number of an error, or by the name of its class or a base: no library is imported.
_REMEDIES: Mapping[object, str] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, then repeat the command"),
    **dict.fromkeys(("NetworkError", "TransportError"), _NO_NETWORK),
    "MemoryError": "use smaller batches or fewer data, or close other programs",
    "LocalTokenNotFoundError": "log in with `hf auth login`, or set HF_TOKEN",
    "RepositoryNotFoundError": "check its name; a private one needs a token, by `hf auth login` or HF_TOKEN",
    "OfflineModeIsEnabled": "unset HF_HUB_OFFLINE",
}

# --- texts that are safe to print --------------------------------------------------------------------------


def redacted(text: str) -> str:
    """The text with every token of the Hub replaced by ``hf_***``."""
    return _TOKEN.sub("hf_***", text)


def printable(text: str) -> str:
    """A text that is safe to print, whatever names it quotes: without tokens of the Hub and control characters.

    The lines after the first one are indented, and long words and a very long text lack their middle.
    """
    text = _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), redacted(text))
    text = _LONG_WORD.sub(r"\1…\2", text)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 200]}…{text[-199:]}"
    return "\n  ".join(text.splitlines())


def shown(value: object, most: int = 60) -> str:
    """A value as an error prints it: texts in quotes, of collections the size, cut to ``most`` characters."""
    if isinstance(value, (dict, list)):
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value)}"
    return repr(shorten(value, most)) if isinstance(value, str) else shorten(str(value), most)


def shorten(text: str, most: int = 200) -> str:
    """The first ``most`` characters of a text: a longer one would bury the error's sentence."""
    text = redacted(text)  # a part of a token would not be recognised
    return text if len(text) <= most else f"{text[:most]}…"


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """``There is no option 'sed'. Did you mean 'seed'?``: a name with all words of ``name``, else a similar one."""
    names, words = list(known), set(_WORD.findall(name.lower()))
    longer = [candidate for candidate in names if words and words <= set(_WORD.findall(candidate.lower()))]
    close = get_close_matches(name, longer or names, n=1, cutoff=0.0 if longer else 0.6)
    return f"There is no {what} {shown(name)}." + (f" Did you mean {close[0]!r}?" if close else "")


def counted(number: int, noun: str) -> str:
    """``3 shards``, ``1 run``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def render_table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table for a terminal, each column as wide as its widest cell; there must be at least one row."""
    lines = [list(rows[0]), *(row.values() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


# --- errors ------------------------------------------------------------------------------------------------


class ClipDynError(Exception):
    """Base class of all errors that this package raises on purpose: catch it to handle all of them.

    A token of the Hub that somebody gave in place of a name is not part of the message.

    Attributes:
        exit_code: the exit code of `clipdyn` after this error.
    """

    exit_code = 1

    def __init__(self, *parts: object) -> None:
        super().__init__(*(redacted(part) if isinstance(part, str) else part for part in parts))


class ConfigError(ClipDynError, ValueError):
    """The call was wrong: an option, a recipe or a combination of them. Every public function may raise it."""

    exit_code = 2


class UnknownNameError(ConfigError):
    """The name of a recipe, a scale, a data set, a revision or something else is unknown.

    The message names the closest known name and lists at most 40 known ones.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        listed = ", ".join(names[:40]) + (" …" if len(names) > 40 else "")
        super().__init__(f"{no_such(kind, name, names)} Known: {listed}.")


def check_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise UnknownNameError for the first of the names that is not known; ``what`` is the kind of the names."""
    for name in names:
        if name not in known:
            raise UnknownNameError(what, name, known)


class DatasetError(ClipDynError):
    """The files of a data set are absent, broken or contradictory. `load_dataset` and what reads data raise it."""


class MetricError(ClipDynError, ValueError):
    """The input of a metric is not what the metric is defined on. The functions of `hf_clipdyn.metrics` raise it."""


class ModelError(ClipDynError):
    """A model cannot be built or read, or lacks what a probe needs. Training and evaluation raise it."""


class RevisionError(ClipDynError):
    """Something is wrong with the revisions of a repository. What lists or publishes revisions raises it."""


class RevisionNotFoundError(RevisionError):
    """The repository, or the revision in it, does not exist. `list_revisions` and `evaluate_revisions` raise it."""

    exit_code = 2


class PublishError(RevisionError):
    """A revision could not be stored or sent; nothing is left half published. `Publisher` and `train` raise it."""


class TrainingError(ClipDynError):
    """Training cannot start or cannot go on. `train` raises it."""


class TrainingInterrupted(TrainingError):  # noqa: N818  (no error: the run did what the signal asked for)
    """A signal ended a run, which left a checkpoint; the message names the command that continues it."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal


class EvaluationError(ClipDynError):
    """Evaluation cannot start or cannot go on. `evaluate_revisions`, `compare_revisions` and reports raise it."""


class NothingToMeasureError(EvaluationError):
    """No selected benchmark suits the model. Among several models, that model can be skipped."""


# --- from a cause to one line ------------------------------------------------------------------------------


@contextmanager
def naming(path: str | Path, error: type[ClipDynError] = ClipDynError) -> Iterator[None]:
    """Put the name of a file before whatever is raised while the block reads or writes it.

    A `ClipDynError` keeps its class, and its text if that names the file already.

    Args:
        path: the file, or another name that the reader of the error knows, such as a repository's.
        error: class of what is raised for all other errors.

    Raises:
        error: the cause's words after the name; the cause itself is its ``__cause__``.
    """
    try:
        yield
    except MemoryError:
        raise
    except ClipDynError as cause:
        if redacted(str(path)) not in str(cause):
            cause.args = (redacted(f"{path}: {cause}"),)
        raise
    except Exception as cause:
        words = _words(cause)
        raise error(words if words.startswith(f"{path}: ") else f"{path}: {words}") from cause


def sentence(error: BaseException) -> str:
    """What any error says, in one line that is safe to print: of a file its name, and what to do if that is known."""
    return printable(_words(error))


def _words(error: BaseException) -> str:
    if isinstance(error, ClipDynError):
        return " ".join(str(error).split())
    problems = getattr(error, "errors", None)
    if callable(problems):  # pydantic's text of several lines has an address
        said = "; ".join(map(problem, problems()[:3]))
    elif isinstance(error, OSError) and error.strerror:
        said = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    else:  # the Hub's client adds a request's id and an address to the server's own words
        said = f"{type(error).__name__}: {getattr(error, 'server_message', None) or error}"
    kinds = [getattr(error, "errno", None), *(kind.__name__ for kind in type(error).__mro__)]
    if "MemoryError" in said or "allocate memory" in said:  # of torch, as a RuntimeError
        kinds.append("MemoryError")
    remedy = next((_REMEDIES[kind] for kind in kinds if kind in _REMEDIES), "")
    return " ".join(said.split()).rstrip(" .:") + (f": {remedy}." if remedy else ".")


def problem(found: Mapping[str, Any], where: str | None = None) -> str:
    """A problem that pydantic found: ``where``, by default the place in the whole, the value, and what it should be."""
    where = ".".join(map(str, found["loc"])) if where is None else where
    if found["type"] == "missing":
        return f"{where} is missing"
    said = found["msg"].removeprefix("Value error, ")
    if where and isinstance(found["input"], str | int | float):
        where += f" is {shown(found['input'])}"
    return f"{where}: {said}" if where else said


@contextmanager
def reported(program: str) -> Iterator[None]:
    """End the process with one line on standard error for any error that leaves the block, and its exit code.

    With the environment variable CLIPDYN_TRACEBACK set, print the traceback. No token is in it, nor in any log.
    """
    redact_logs()
    try:
        yield
    except Exception as error:
        if os.environ.get("CLIPDYN_TRACEBACK"):
            sys.stderr.write(redacted("".join(traceback.format_exception(error))))
        else:
            kind = "" if isinstance(error, TrainingInterrupted) else "error: "
            print(f"{program}: {kind}{sentence(error)}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))


class _RedactedRecord(logging.LogRecord):
    """A record of a log, of this package or of a library, without tokens."""

    def getMessage(self) -> str:  # noqa: N802  (its name in the standard library)
        if self.exc_info and not self.exc_text:
            self.exc_text = redacted(logging.Formatter().formatException(self.exc_info))
        return redacted(super().getMessage())


def redact_logs() -> None:
    """From now on no token of the Hub is part of a log of this process. A second call changes nothing."""
    logging.setLogRecordFactory(_RedactedRecord)
