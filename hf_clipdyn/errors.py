"""Every error that hf_clipdyn raises on purpose.

::

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
    └── EvaluationError           evaluation cannot start or cannot go on

A message is one sentence or two: what was given, what was expected, what to do.
The command line prints it without a traceback and exits with ``exit_code``.
"""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

__all__ = [
    "ClipDynError",
    "ConfigError",
    "DatasetError",
    "EvaluationError",
    "MetricError",
    "ModelError",
    "PublishError",
    "RevisionError",
    "RevisionNotFoundError",
    "TrainingError",
    "UnknownNameError",
]

# 34 characters follow the prefix of a token; fewer are redacted too, `hf_clipdyn` is not. The command line
# turns underscores of an unknown option into dashes.
_TOKEN = re.compile(r"hf[_-](?:[a-z]+[_-])?[A-Za-z0-9]{16,}")


def redact(text: str) -> str:
    """The text with every token of the Hub replaced by ``hf_***``."""
    return _TOKEN.sub("hf_***", text)


@contextmanager
def secrets_redacted() -> Iterator[None]:
    """Within the block, no token reaches standard output, standard error or a log.

    Tracebacks, warnings and the messages of other libraries go through the same streams. A log may
    have a handler with a stream of its own, so that its records are redacted themselves.
    """
    streams = list({id(stream): stream for stream in (sys.stdout, sys.stderr)}.values())
    make_record = logging.getLogRecordFactory()

    def record(*args: object, **kwargs: object) -> logging.LogRecord:
        made: logging.LogRecord = make_record(*args, **kwargs)
        try:
            text = made.getMessage()
        except Exception:  # the handler reports arguments that do not fit the message
            return made
        if _TOKEN.search(text):
            made.msg, made.args = redact(text), ()
        return made

    def redacting(write: Callable[[str], int]) -> Callable[[str], int]:
        return lambda text: write(redact(text))

    for stream in streams:
        setattr(stream, "write", redacting(stream.write))  # noqa: B010 (mypy forbids to assign a method)
    logging.setLogRecordFactory(record)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make_record)
        for stream in streams:
            delattr(stream, "write")


class ClipDynError(Exception):
    """Base class of all errors that this package raises on purpose."""

    exit_code = 1


class ConfigError(ClipDynError, ValueError):
    """The call was wrong: an option, a recipe or a combination of them."""

    exit_code = 2


class UnknownNameError(ConfigError):
    """A name that no registry knows; the message lists those that it does."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"There is no {kind} {name!r}.{hint} Known: {', '.join(names)}.")


class DatasetError(ClipDynError):
    """The files of a data set are absent, broken or contradictory."""


class MetricError(ClipDynError, ValueError):
    """The input of a metric is not what the metric is defined on."""


class ModelError(ClipDynError):
    """A model cannot be built or read, or lacks what a probe needs."""


class RevisionError(ClipDynError):
    """Something is wrong with the revisions of a repository."""


class RevisionNotFoundError(RevisionError):
    """The repository, or the revision in it, does not exist."""

    exit_code = 2


class PublishError(RevisionError):
    """A revision could not be stored or sent; nothing is left half published."""


class TrainingError(ClipDynError):
    """Training cannot start or cannot go on."""


class EvaluationError(ClipDynError):
    """Evaluation cannot start or cannot go on."""
