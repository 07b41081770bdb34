"""Every error that hf_clipdyn raises on purpose.

    ClipDynError                  exit code 1: the work failed
    ├── ConfigError (ValueError)  exit code 2: the call was wrong
    │   └── UnknownNameError      no recipe, scale, data set, benchmark … of that name
    ├── DatasetError              the files of a data set are absent, broken or contradictory
    ├── MetricError (ValueError)  the input of a metric is not what the metric is defined on
    ├── ModelError                a model cannot be built or read, or lacks what a probe needs
    ├── RevisionError
    │   ├── RevisionNotFoundError the repository has no such revision
    │   └── PublishError          a revision could not be stored or sent
    ├── TrainingError             training cannot start or cannot go on
    │   └── TrainingInterrupted   exit code 128 + n: signal n ended it, with a checkpoint
    └── EvaluationError           evaluation cannot start or cannot go on
        └── NothingToMeasureError no selected benchmark suits the model

A message is one sentence or two: what was given, what was expected, what to do.
The command line prints it without a traceback and exits with ``exit_code``.
"""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from types import TracebackType

__all__ = [
    "CONTROL",
    "ClipDynError",
    "ConfigError",
    "DatasetError",
    "EvaluationError",
    "MetricError",
    "ModelError",
    "NothingToMeasureError",
    "PublishError",
    "RevisionError",
    "RevisionNotFoundError",
    "TrainingError",
    "TrainingInterrupted",
    "UnknownNameError",
    "closest_name",
    "counted",
    "printable",
    "readable_size",
    "redact",
    "redact_output",
    "remedies_in_flags",
    "remedies_in_python",
    "render_table",
    "shorten",
    "shown",
]

CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
"""For a set in a regular expression: control characters, line separators, and surrogates."""

# 34 characters follow the prefix of a token; fewer are redacted too, `hf_clipdyn` is not. The command line
# turns underscores of an unknown option into dashes.
_TOKEN = re.compile(r"hf[_-](?:[a-z]+[_-])?[A-Za-z0-9]{16,}")

# What moves the cursor, changes colours or reverses the text in a terminal. Tabs and newlines stay: some messages
# hold a table.
_UNPRINTABLE = re.compile(rf"(?![\t\n])[{CONTROL}\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_LONG_WORD = re.compile(r"(\S{80})\S{100,}(\S{40})")
_LONGEST = 4000

_WORD = re.compile(r"[a-z0-9]+")


def redact(text: str) -> str:
    """The text with every token of the Hub replaced by ``hf_***``."""
    return _TOKEN.sub("hf_***", text)


def printable(text: str) -> str:
    """A message that is safe to print, whatever names it quotes: without tokens of the Hub.

    Control characters are escaped, the lines after the first one are indented, and the middle of long words is
    cut out.
    """
    text = _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), redact(text))
    text = _LONG_WORD.sub(r"\1…\2", text)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 200]}…{text[-199:]}"
    return "\n  ".join(text.splitlines())


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that a user probably meant: one with all words of ``name``, else a similar one."""
    names = list(known)
    words = set(_WORD.findall(name.lower()))
    longer = [candidate for candidate in names if words and words <= set(_WORD.findall(candidate.lower()))]
    close = get_close_matches(name, longer or names, n=1, cutoff=0.0 if longer else 0.6)
    return close[0] if close else None


def counted(number: int, noun: str) -> str:
    """``3 shards``, ``1 run``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def readable_size(size: float) -> str:
    """A number of bytes as ``1.5 GB``."""
    units = ("B", "kB", "MB", "GB", "TB")
    power = next((power for power in range(len(units)) if size < 1000 ** (power + 1)), len(units) - 1)
    return f"{size / 1000**power:.{min(power, 1)}f} {units[power]}"


def render_table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table for a terminal, each column as wide as its widest cell; there must be at least one row."""
    lines = [list(rows[0]), *(row.values() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def shorten(text: str, most: int = 200) -> str:
    """The first ``most`` characters of a text: a longer one would bury the error's sentence."""
    text = redact(text)  # a part of a token would not be recognised
    return text if len(text) <= most else f"{text[:most]}…"


def shown(value: object, most: int = 60) -> str:
    """A value as an error prints it: texts in quotes, cut to ``most`` characters."""
    if isinstance(value, (dict, list)):
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**50:  # Python refuses to print very long ones
        return "a number of over 50 digits"
    return repr(shorten(value, most)) if isinstance(value, str) else shorten(str(value), most)


def redact_output() -> None:
    """From now on no token of the Hub is part of a traceback or a log of this process.

    Messages of this package have none: `ClipDynError` and `printable` remove it. A second call changes nothing.
    """
    sys.excepthook = _print_traceback
    make_record = logging.getLogRecordFactory()
    if not isinstance(make_record, _RedactedRecords):
        logging.setLogRecordFactory(_RedactedRecords(make_record))


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None, /) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


@dataclass(frozen=True)
class _RedactedRecords:
    """A factory of log records without tokens."""

    make: Callable[..., logging.LogRecord]

    def __call__(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record = self.make(*args, **kwargs)
        try:
            text = record.getMessage()
        except Exception:  # the handler reports arguments that do not fit the message
            return record
        if _TOKEN.search(text):
            record.msg, record.args = redact(text), ()
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return record


_speaks_in_flags = False


@contextmanager
def remedies_in_flags() -> Iterator[None]:
    """Within it, remedies name flags of the command line, as their messages are written; else Python's arguments."""
    global _speaks_in_flags
    before, _speaks_in_flags = _speaks_in_flags, True
    try:
        yield
    finally:
        _speaks_in_flags = before


@contextmanager
def remedies_in_python(translate: Callable[[str], str]) -> Iterator[None]:
    """Translate the flags in the message of a `ClipDynError` that leaves the block, unless `remedies_in_flags`."""
    try:
        yield
    except ClipDynError as error:
        if not _speaks_in_flags:
            error.args = tuple(translate(part) if isinstance(part, str) else part for part in error.args)
        raise


class ClipDynError(Exception):
    """Base class of all errors that this package raises on purpose: catch it to handle all of them.

    A token of the Hub that somebody gave in place of a name is not part of the message.

    Attributes:
        exit_code: the exit code of `clipdyn` after this error.
    """

    exit_code = 1

    def __init__(self, *parts: object) -> None:
        super().__init__(*(redact(part) if isinstance(part, str) else part for part in parts))


class ConfigError(ClipDynError, ValueError):
    """The call was wrong: an option, a recipe or a combination of them. Every public function may raise it."""

    exit_code = 2


class UnknownNameError(ConfigError):
    """A name is unknown, for example that of a recipe, a scale, a data set or a revision.

    The message names the closest known name and lists at most 40 known ones.
    """

    _MOST = 40

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = closest_name(name, names)
        hint = f" Did you mean {close!r}?" if close else ""
        listed = ", ".join(names[: self._MOST]) + (" …" if len(names) > self._MOST else "")
        super().__init__(f"There is no {kind} {shown(name, 200)}.{hint} Known: {listed}.")


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
