"""A field of a configuration: default, help text and allowed values, declared once."""

import dataclasses
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import Field, field
from functools import cache
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin, get_type_hints

from hf_clipdyn.errors import CONTROL, ConfigError, UnknownNameError, shown

__all__ = ["check_options", "check_value", "choices_of", "is_within", "members", "option", "types_of"]

_LONGEST = 4096  # characters of a text; the longest path of Linux


def option(
    default: Any,
    text: str,
    *,
    within: str | None = None,
    choices: Sequence[str] | Callable[[], Sequence[str]] = (),
    **flag: Any,
) -> Any:
    """A field of a frozen dataclass that is also a flag; `check_options` checks its value.

    Args:
        default: its default value.
        text: its help text.
        within: interval of a number, or of each number of a tuple: ``[0, 1)``.
        choices: allowed values of a text, or of each text of a tuple.
        **flag: differences on the command line, see `hf_clipdyn.evaluation.options.Flag`.

    Returns:
        A field, as `dataclasses.field` returns it.

    Examples:
        >>> from dataclasses import dataclass
        >>> from hf_clipdyn.options import check_options, option
        >>> @dataclass(frozen=True)
        ... class Settings:
        ...     gain: float = option(1.5, "Factor on the pixels.", within="(1, 10]")
        ...
        >>> check_options(Settings(gain=2.0))
    """
    return field(default=default, metadata={"help": text, "within": within, "choices": choices} | flag)


def check_options(config: Any) -> None:
    """Check every field of a frozen dataclass; lists and arrays become tuples, numbers of NumPy those of Python.

    Raises:
        ConfigError: a value of another type, a number outside its interval, an empty tuple, or a text that no option
            can hold.
        UnknownNameError: a name that is none of the choices.
    """
    owner: type = type(config)
    expected = types_of(owner)
    for one in dataclasses.fields(config):
        value = _plain(getattr(config, one.name))
        object.__setattr__(config, one.name, value)
        if not _fits(value, expected[one.name]):
            words = _in_words(expected[one.name])
            raise ConfigError(f"{one.name} is {shown(value)}: it must be {words}.")
        check_value(one.name, value, one)


def check_value(name: str, value: Any, declared: "Field[Any]") -> None:
    """Check a value of the right type by what `option` declared; ``name`` is its name in the message.

    Raises:
        ConfigError: a number outside its interval, an empty tuple, or a text that no option can hold.
        UnknownNameError: a name that is none of the choices.
    """
    within, known = declared.metadata.get("within"), choices_of(declared)
    if isinstance(value, tuple) and not value and (within or known):
        known_names = f" of {', '.join(known)}" if known else ""
        raise ConfigError(f"{name} is empty: give at least one{known_names}.")
    for item in value if isinstance(value, tuple) else (value,):
        if within is not None and item is not None and not is_within(item, within):
            raise ConfigError(f"{name} is {shown(item)}: it must be in {within}.")
        if isinstance(item, str):
            _check_text(name, item)
            if known and item not in known:
                raise UnknownNameError(name, item, known)


def choices_of(declared: "Field[Any]") -> Sequence[str]:
    """The names that a field may have; empty if it may have any."""
    choices: Sequence[str] | Callable[[], Sequence[str]] = declared.metadata.get("choices", ())
    return choices() if callable(choices) else choices


@cache
def types_of(config: type) -> dict[str, Any]:
    """The type of each field of a dataclass; ConfigError if its module lacks the name of a type."""
    try:
        return get_type_hints(config)
    except NameError as error:
        raise ConfigError(
            f"A field of {config.__name__} has an unknown type ({error}): import it."
        ) from error


def members(kind: Any) -> tuple[Any, ...]:
    """The types of a union; for any other type, this type."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _plain(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy, which is not loaded for this
    return tuple(map(_plain, value)) if isinstance(value, list) else value


_NUMBERS = {int: Integral, float: Real}
_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _fits(value: object, kind: Any) -> bool:
    """Whether a value has a type; only tuples are checked item by item."""
    origin = get_origin(kind)
    if len(members(kind)) > 1:
        return any(_fits(value, one) for one in members(kind))
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind is Any:
        return True
    if kind in _NUMBERS:
        return isinstance(value, _NUMBERS[kind]) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _in_words(kind: Any) -> str:
    words = []
    for one in members(kind):
        if one is type(None):
            words.append("None")
        elif get_origin(one) is tuple:
            words.append(f"a tuple ({_in_words(get_args(one)[0])} each)")
        else:
            words.append(_WORDS.get(one) or f"a {getattr(one, '__name__', one)}")
    return " or ".join(words)


def _check_text(name: str, text: str) -> None:
    if len(text) > _LONGEST:
        raise ConfigError(f"{name} has {len(text)} characters: give at most {_LONGEST}.")
    if re.search(f"[{CONTROL}]", text):
        raise ConfigError(f"{name} contains a control character or invalid Unicode: correct it.")


def is_within(value: float, interval: str) -> bool:
    """Whether a number is in ``[low, high]``; a parenthesis excludes the bound. NaN is in no interval."""
    low, high = (float(word) for word in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    return above and (value <= high if interval[-1] == "]" else value < high)
