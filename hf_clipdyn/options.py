"""A field of a configuration: its default, its help text and the values that it may have, declared once."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

from hf_clipdyn.errors import CONTROL, ConfigError, UnknownNameError, shown

__all__ = ["check_options", "option"]

_LONGEST = 4096  # characters of a text; the longest path of Linux


def option(
    default: Any,
    text: str,
    *,
    within: str | None = None,
    choices: Sequence[str] | Callable[[], Sequence[str]] = (),
) -> Any:
    """A field of a frozen dataclass that `check_options` checks.

    Args:
        default: its value if none is given.
        text: its help text.
        within: interval of a number, or of each number of a tuple, as ``[0, 1)``.
        choices: known names of a text, or of each text of a tuple.
    """
    return field(default=default, metadata={"help": text, "within": within, "choices": choices})


def check_options(config: Any) -> None:
    """Check every field of a dataclass that `option` declared.

    Raises:
        ConfigError: a number outside its interval, an empty tuple, or a text that no option can hold.
        UnknownNameError: a name that is none of the choices.
    """
    for one in dataclasses.fields(config):
        value, within = getattr(config, one.name), one.metadata.get("within")
        choices = one.metadata.get("choices", ())
        known = choices() if callable(choices) else choices
        if value == () and (within or known):
            known_names = f" of {', '.join(known)}" if known else ""
            raise ConfigError(f"{one.name} is empty: give at least one{known_names}.")
        for item in value if isinstance(value, tuple) else (value,):
            if within is not None and item is not None and not _is_within(item, within):
                raise ConfigError(f"{one.name} is {shown(value)}: it must be in {within}.")
            if isinstance(item, str):
                _check_text(one.name, item)
                if known and item not in known:
                    raise UnknownNameError(one.name, item, known)


def _check_text(name: str, text: str) -> None:
    if len(text) > _LONGEST:
        raise ConfigError(f"{name} has {len(text)} characters: give at most {_LONGEST}.")
    if re.search(f"[{CONTROL}]", text):
        raise ConfigError(f"{name} holds a control character, or is no valid Unicode: correct it.")


def _is_within(value: float, interval: str) -> bool:
    """Whether a number lies in ``[low, high]``; a parenthesis excludes the bound. NaN lies in none."""
    low, high = (float(word) for word in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    return above and (value <= high if interval[-1] == "]" else value < high)
