"""What the command line writes in one word: lists of names, and folders by the data set's name."""

from collections.abc import Sequence
from pathlib import Path

from hf_clipdyn.errors import ConfigError

__all__ = ["names", "numbers", "paths"]


def names(values: Sequence[str] | None) -> list[str] | None:
    """``["a,b", "c"]`` as ``["a", "b", "c"]``; None where nothing was given.

    Raises:
        ConfigError: nothing but commas was given.
    """
    if not values:
        return None
    found = [part.strip() for value in values for part in value.split(",") if part.strip()]
    if not found:
        raise ConfigError(f"{','.join(values)!r} names nothing: give names, separated by commas.")
    return found


def numbers(value: str) -> tuple[float, ...]:
    """``"0,0.1"`` as numbers.

    Raises:
        ConfigError: one of them is no number.
    """
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise ConfigError(f"{value!r} is no list of numbers: write it as 0,0.1,0.2.") from None


def paths(values: Sequence[str] | None) -> dict[str, Path]:
    """``["osie=/data/osie"]`` as data set to folder.

    Raises:
        ConfigError: a value is not NAME=PATH, or a name is given twice.
    """
    found: dict[str, Path] = {}
    for value in values or ():
        name, equals, path = value.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"--data-dir {value!r} is not NAME=PATH, as cifar10=/data/cifar10.")
        if name in found:
            raise ConfigError(f"--data-dir names {name!r} twice: give one folder.")
        found[name] = Path(path).expanduser()
    return found
