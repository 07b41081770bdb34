"""The names of revisions (`epoch-003`, `step-00000512`), and an order for those of any suite.

The names of this project have a fixed width, so they sort as text. Those of other suites (`step1000`,
`step1000-tokens4B`, `epoch_12`) need `natural_key`.
"""

import math
import os
import re
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

MAIN = "main"  # the branch with the newest revision
CHECKPOINT = "last-checkpoint"  # the branch with a run's last checkpoint, which is no revision
Name = str | os.PathLike[str]  # `owner/name`, a folder, or `open_clip:MODEL@PLACE`
OPEN_CLIP = "open_clip:"  # start of the name of open_clip's checkpoints


def _not_main(name: str) -> str:
    if name == MAIN:
        raise ValueError("main is the newest revision, and no revision is called so")
    return name


# A name that may become a folder: files of others are read, and this keeps their names inside of it.
RevisionName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$"), AfterValidator(_not_main)
]

_DIGITS = re.compile(r"(\d{1,18})")


def epoch_name(epoch: int) -> str:
    """Name of the state after ``epoch`` epochs; 0 is the initialisation.

    Examples:
        >>> from hf_clipdyn.revisions.names import epoch_name
        >>> epoch_name(3)
        'epoch-003'
    """
    return f"epoch-{epoch:03d}"


def step_name(step: int) -> str:
    """Name of the state after ``step`` optimiser steps, for revisions inside an epoch.

    Examples:
        >>> from hf_clipdyn.revisions.names import step_name
        >>> step_name(512)
        'step-00000512'
    """
    return f"step-{step:08d}"


def epoch_of(name: str) -> int | None:
    """The epoch in a revision's name; None if it has none."""
    return _number_after("epoch", name)


def step_of(name: str) -> int | None:
    """The step in a revision's name; None if it has none."""
    return _number_after("step", name)


def _number_after(word: str, name: str) -> int | None:
    # A number of 18 digits at most: no run is longer, and every sum of two fits 64 bits.
    match = re.search(rf"(?:^|[^a-z]){word}s?[-_]?(\d{{1,18}})(?!\d)", name, re.IGNORECASE)
    return int(match[1]) if match else None


def natural_key(name: str) -> tuple[Any, ...]:
    """Sort key by the numbers in a name, not by its text: `step2` comes before `step10`."""
    return tuple(int(part) if place % 2 else part for place, part in enumerate(_DIGITS.split(name)))


def training_order(name: str, step: int | None) -> tuple[Any, ...]:
    """Sort key of revisions: by the step, else by that in the name, then by the numbers in it; `main` last."""
    step = step_of(name) if step is None else step
    return (name == MAIN, math.inf if step is None else step, natural_key(name))
