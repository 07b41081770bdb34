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

from collections.abc import Iterable
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
