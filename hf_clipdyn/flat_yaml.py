"""YAML files that people write: checked before they are built. Most give each option its value and nothing else."""

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from stat import S_ISREG
from typing import Any

import yaml

from hf_clipdyn.errors import ConfigError, UnknownNameError, shown

__all__ = ["check_keys", "parse_yaml", "read_flat_yaml", "read_text"]

_LARGEST = 2**20  # bytes
_DEEPEST = 16  # levels
_DEEPEST_NESTED = 5  # levels of a flat file below its nested keys: a list in a mapping in a mapping in a list


def read_flat_yaml(path: Path, *, lists: bool = False, nested: Collection[str] = ()) -> dict[Any, Any]:
    """The keys and values of a YAML file; neither is checked.

    Args:
        path: the file.
        lists: whether a value may be a list of single values.
        nested: keys whose values may be collections of collections.

    Raises:
        ConfigError: it cannot be read, is not YAML, is not a mapping, or is nested more deeply.
    """
    text = read_text(path)
    values = parse_yaml(text, str(path), lambda: _check_flat(text, path, lists, nested))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} contains {type(values).__name__}: give a mapping of options to values.")
    return values


def read_text(path: Path) -> str:
    """The text of a short file.

    Raises:
        ConfigError: it cannot be read, is too long, or is not UTF-8.
    """
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            raise ConfigError(f"{path} is not a file: give a YAML file.")
        if status.st_size > _LARGEST:
            raise ConfigError(
                f"{path} has {status.st_size} bytes: give a short mapping of options to values."
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: give a YAML file.") from error


def parse_yaml(text: str, where: str, check: Callable[[], None] | None = None) -> Any:
    """The content of a YAML text.

    Args:
        text: of the file.
        where: name of the file, for messages.
        check: of its form, before it is built; by default no aliases, no key twice, and at most 16 levels.

    Raises:
        ConfigError: it is not YAML, or does not pass the check.
    """
    try:
        if check is None:
            _check_nested(text, where)
        else:
            check()
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{where} is not YAML: {_place(error)}.") from error
    except (yaml.YAMLError, ValueError) as error:  # a character that YAML forbids; a date as 2024-99-99
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{where} is not YAML: it contains a forbidden character, an impossible date or too long a number."
        ) from error


def check_keys(keys: Iterable[Any], known: Collection[str], where: str) -> None:
    """Raise UnknownNameError for a key of the file ``where`` that is none of the known options."""
    for key in keys:
        if key not in known:
            raise UnknownNameError(f"field in {where}:", str(key), known)


def _check_flat(text: str, path: Path, lists: bool, nested: Collection[str]) -> None:
    """Refuse collections within the mapping, aliases (built or printed, they could fill the memory), and keys twice.

    The events of a file come one by one, however deeply it is nested.
    """
    depth, key, is_key = 0, None, True
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = f"line {event.start_mark.line + 1} of " if event.start_mark else ""
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"There is an alias in {line}{path}: give each field its value.")
        if depth == 1 and isinstance(event, yaml.NodeEvent):
            key = getattr(event, "value", None) if is_key else key
            is_key = not is_key
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            is_list = lists and depth == 2 and isinstance(event, yaml.SequenceStartEvent)
            if depth > (_DEEPEST_NESTED if key in nested else 1) and not is_list:
                more = f" Only {', '.join(nested)} may contain more." if nested else ""
                raise ConfigError(f"There is a collection in {line}{path}: give each field one value.{more}")
        depth -= isinstance(event, yaml.CollectionEndEvent)
    _check_unique(yaml.compose(text, Loader=yaml.SafeLoader), str(path))


def _check_nested(text: str, where: str) -> None:
    """Refuse aliases, deep nesting and keys that are given twice."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = f"line {event.start_mark.line + 1} of " if event.start_mark else ""
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"There is an alias in {line}{where}: give each field its value.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ConfigError(f"{where} is nested more than {_DEEPEST} levels deep at {line}it.")
    _check_unique(yaml.compose(text, Loader=yaml.SafeLoader), where)


def _check_unique(node: yaml.Node | None, where: str) -> None:
    """Refuse a mapping that gives a key twice: of the two values, the later would count in silence."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if (key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)) in seen:
                raise ConfigError(
                    f"{shown(key.value)} is given twice in line {key.start_mark.line + 1} of {where}: delete one."
                )
            seen.add((key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)))
            _check_unique(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_unique(item, where)


def _place(error: yaml.MarkedYAMLError) -> str:
    """Line, column and problem; no excerpt of the file, which may hold a token."""
    problem = re.sub(
        r"""(['"])(.*?)\1""",
        lambda quoted: quoted[0] if len(quoted[2]) == 1 or quoted[2].startswith("<") else "a name",
        error.problem or "it cannot be parsed",
    )
    mark = error.problem_mark or error.context_mark
    place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    return place + " ".join(problem.split())
