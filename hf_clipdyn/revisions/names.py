"""The names of revisions: `epoch-003`, `step-00000512`, and an order for everybody's.

A fixed width makes the names of this project sort as text. Other suites (`step1000`,
`step1000-tokens4B`, `epoch_12`) do not, hence `natural_key`.
"""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from hf_clipdyn.errors import ConfigError, RevisionError

__all__ = [
    "checked_name",
    "epoch_name",
    "epoch_of",
    "missing_numbers",
    "natural_key",
    "step_name",
    "step_of",
]

_EPOCH = re.compile(r"(?:^|[^a-z])epochs?[-_]?(\d+)", re.IGNORECASE)
_STEP = re.compile(r"(?:^|[^a-z])steps?[-_]?(\d+)", re.IGNORECASE)
_DIGITS = re.compile(r"(\d+)")
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


def checked_name(name: object, where: str) -> str:
    """A revision's name out of a file, before it becomes a path: one part, no link out of the folder.

    Raises:
        RevisionError: it is no text, or could name a file elsewhere.
    """
    if not isinstance(name, str) or not _SAFE.fullmatch(name):
        raise RevisionError(
            f"{where} names the revision {str(name)[:60]!r}: a name has letters, digits, dots, dashes and "
            "underscores only, at most 200."
        )
    return name


def epoch_name(epoch: int) -> str:
    """Name of the state after ``epoch`` epochs; 0 is the initialisation.

    Example:
        >>> epoch_name(3)
        'epoch-003'
    """
    if epoch < 0:
        raise ConfigError(f"An epoch is 0 (the initialisation) or more, not {epoch}.")
    return f"epoch-{epoch:03d}"


def step_name(step: int) -> str:
    """Name of the state after ``step`` optimiser steps, for revisions inside an epoch.

    Example:
        >>> step_name(512)
        'step-00000512'
    """
    if step < 0:
        raise ConfigError(f"A step is 0 or more, not {step}.")
    return f"step-{step:08d}"


def epoch_of(name: str) -> int | None:
    """The epoch that a revision's name speaks of, None where it speaks of none.

    Example:
        >>> epoch_of("epoch_12"), epoch_of("step1000")
        (12, None)
    """
    found = _EPOCH.search(name)
    return int(found[1]) if found else None


def step_of(name: str) -> int | None:
    """The step that a revision's name speaks of, None where it speaks of none.

    Example:
        >>> step_of("step1000-tokens4B"), step_of("epoch-003")
        (1000, None)
    """
    found = _STEP.search(name)
    return int(found[1]) if found else None


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key by the numbers in a name, not by its text: `step2` comes before `step10`.

    Example:
        >>> sorted(["step1000", "step2", "main"], key=natural_key)
        ['main', 'step2', 'step1000']
    """
    parts = _DIGITS.split(name)
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part)


def missing_numbers(numbers: Iterable[int]) -> list[int]:
    """Numbers that a suite's sequence of steps or epochs lacks.

    The stride is the most frequent difference; numbers below it may double (1, 2, 4 …), as suites with
    revisions inside the first epoch do. Nothing is assumed before the first and after the last.

    Example:
        >>> missing_numbers([0, 1, 2, 8, 1000, 2000, 4000, 5000])
        [4, 3000]
    """
    held = sorted(set(numbers))
    pairs = list(pairwise(held))
    if not pairs:
        return []
    counts = Counter(high - low for low, high in pairs)
    most = max(counts.values())
    stride = max(difference for difference, count in counts.items() if count == most)
    missing: list[int] = []
    for low, high in pairs:
        if high - low <= stride and high % stride != 0 and low > 0:
            doubled = 2 * low
            chain = []
            while doubled < high:
                chain.append(doubled)
                doubled *= 2
            missing += chain if doubled == high else []
        else:
            missing += range((low // stride + 1) * stride, high, stride)
    return missing
