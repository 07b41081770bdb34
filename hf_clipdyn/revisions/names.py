"""The names of revisions (`epoch-003`, `step-00000512`), and an order for those of any suite.

The names of this project have a fixed width, so they sort as text. Those of other suites (`step1000`,
`step1000-tokens4B`, `epoch_12`) need `natural_key`.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

from hf_clipdyn.errors import ConfigError, RevisionError
from hf_clipdyn.schema import Matches

if TYPE_CHECKING:
    from hf_clipdyn.revisions.listing import Revision
    from hf_clipdyn.revisions.repository import ReadableRepository

Name = str | os.PathLike[str]
"""`owner/name`, a folder, or `open_clip:MODEL@PLACE`."""

OPEN_CLIP = "open_clip:"
"""Start of the name of open_clip's checkpoints."""


@runtime_checkable
class Series(Protocol):
    """The revisions of one model, wherever they are."""

    @property
    def repo_id(self) -> str:
        """Its name in tables of results: a folder of models has no owner."""

    @property
    def repository(self) -> "ReadableRepository":
        """Its files and their hashes."""

    def revisions(self) -> "list[Revision]":
        """The revisions in training order; see `list_revisions`."""

    def fetch(self, revision: "Revision", *, settings_only: bool = False) -> Path:
        """Folder with the model files of a revision, downloaded if needed.

        Args:
            revision: one of `revisions`.
            settings_only: do not download the weights.

        Raises:
            RevisionError: it cannot be fetched, or contains no model.
        """


# A number of 18 digits at most: no run is longer, and every sum of two fits 64 bits.
_EPOCH = re.compile(r"(?:^|[^a-z])epochs?[-_]?(\d{1,18})(?!\d)", re.IGNORECASE)
_STEP = re.compile(r"(?:^|[^a-z])steps?[-_]?(\d{1,18})(?!\d)", re.IGNORECASE)
_DIGITS = re.compile(r"(\d+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REF_PART = re.compile(
    r"(?!.*\.\.)[^\s~^:?*\[\\\x00-\x1f\x7f./-][^\s~^:?*\[\\\x00-\x1f\x7f/]*"
)  # as git has it

# These names become paths of folders that are written and deleted.
RevisionName = Annotated[
    str,
    Matches(
        r"(?!main$)[A-Za-z0-9_][A-Za-z0-9._-]{0,199}",
        "the name of a revision, of letters, digits, dots, dashes and underscores, at most 200",
    ),
]


def checked_ref(name: str, commit: str | bytes, where: str) -> tuple[str, str]:
    """A branch or tag of any suite and its commit, before either becomes a path or is printed.

    The message never prints the ref's content.
    """
    if len(name) > 250 or not name.isprintable() or not all(map(_REF_PART.fullmatch, name.split("/"))):
        raise RevisionError(f"{where} has a ref {name[:60]!a}, which git does not allow: delete it.")
    text = commit if isinstance(commit, str) else commit.decode("ascii", errors="replace")
    text = text.rstrip("\r\n")
    if not _COMMIT.fullmatch(text):
        raise RevisionError(
            f"The ref {name} of {where} does not contain a commit (40 hexadecimal digits): delete it, or run "
            "`clipdyn repair` on the run."
        )
    return name, text


def epoch_name(epoch: int) -> str:
    """Name of the state after ``epoch`` epochs; 0 is the initialisation.

    Examples:
        >>> from hf_clipdyn.revisions.names import epoch_name
        >>> epoch_name(3)
        'epoch-003'
    """
    if epoch < 0:
        raise ConfigError(f"An epoch is 0 (the initialisation) or more, not {epoch}.")
    return f"epoch-{epoch:03d}"


def step_name(step: int) -> str:
    """Name of the state after ``step`` optimiser steps, for revisions inside an epoch.

    Examples:
        >>> from hf_clipdyn.revisions.names import step_name
        >>> step_name(512)
        'step-00000512'
    """
    if step < 0:
        raise ConfigError(f"A step is 0 or more, not {step}.")
    return f"step-{step:08d}"


def epoch_of(name: str) -> int | None:
    """The epoch in a revision's name; None if it has none."""
    match = _EPOCH.search(name)
    return int(match[1]) if match else None


def step_of(name: str) -> int | None:
    """The step in a revision's name; None if it has none."""
    match = _STEP.search(name)
    return int(match[1]) if match else None


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key by the numbers in a name, not by its text: `step2` comes before `step10`."""
    parts = (part for part in _DIGITS.split(name) if part)
    return tuple(
        (1, int(part), "") if part.isdecimal() and len(part) < 1000 else (0, 0, part) for part in parts
    )
