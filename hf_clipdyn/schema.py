"""Check files before use: JSON becomes a dataclass, or an error of one sentence.

The schema of JSON is the dataclass itself: its annotations give types, and `Annotated` adds `Within` (a number's
interval) or `Matches` (a text's form). Files cannot be trusted: run folders and stores are shared, truncated and
edited. So no value is converted, and every size is bounded.
"""

import json
import math
import re
import stat
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar, Union

from hf_clipdyn.errors import ClipDynError, shown
from hf_clipdyn.hub import checked_repo_id, is_repo_id, valid_repo_name

__all__ = ["checked_repo_id", "is_repo_id", "valid_repo_name"]  # until their users have moved
T = TypeVar("T")

_LONGEST_FILE = 64 * 2**20  # bytes; a manifest of 100,000 revisions has half of that
_LONGEST_TEXT = 100_000  # characters
_MOST_ITEMS = 200_000
_DEEPEST = 32  # levels where any JSON is allowed
_LARGEST = 2**63 - 1
_HALVES = re.compile("[\ud800-\udfff]")  # of a surrogate pair


@dataclass(frozen=True)
class Within:
    """A number from ``low`` to ``high``, both included."""

    low: float
    high: float


@dataclass(frozen=True)
class Matches:
    """A text of this form.

    Attributes:
        test: a regular expression for the whole text, or a function.
        meaning: what is expected, for the message.
    """

    test: str | Callable[[str], bool]
    meaning: str

    def accepts(self, text: str) -> bool:
        return bool(re.fullmatch(self.test, text) if isinstance(self.test, str) else self.test(text))


Count = Annotated[int, Within(0, 2**53)]
CommitId = Annotated[str, Matches("[0-9a-f]{40}", "a commit, 40 hexadecimal digits")]
RepoId = Annotated[str, Matches(is_repo_id, "a repository's id, owner/name")]


def read_json(
    cls: type[T], path: Path, *, error: type[ClipDynError], not_finite: Callable[[str], Any] | None = None
) -> T:
    """The file's content as a ``cls``.

    Args:
        cls: a dataclass.
        path: the file.
        error: to raise.
        not_finite: what `NaN` and `Infinity` become, for files of programs that write them; by default an error.

    Raises:
        error: it cannot be read, or does not fit the dataclass; unknown keys are ignored.
    """
    content = read_any_json(path, error=error, not_finite=not_finite)
    return load_json(cls, content, where=str(path), error=error)


def read_any_json(
    path: Path, *, error: type[ClipDynError], not_finite: Callable[[str], Any] | None = None
) -> Any:
    """The file's content, whatever JSON it is; arguments as of `read_json`.

    Raises:
        error: it cannot be read, is over 64 MiB, is not JSON, or is nested too deeply.
    """
    return parse_any(
        _content(path, _LONGEST_FILE, error), where=str(path), error=error, not_finite=not_finite
    )


def _content(path: Path, most: int, error: type[ClipDynError], remedy: str = "") -> bytes:
    """The bytes of a regular file of at most ``most`` bytes."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path} is not a file: give a regular file.")
        if status.st_size > most:
            raise error(f"{path} has {status.st_size:,} bytes: {remedy or f'expected at most {most:,}'}.")
        return path.read_bytes()
    except OSError as cause:
        raise error(f"{path} cannot be read: {cause.strerror or cause}.") from cause


def parse_json(cls: type[T], text: str | bytes, *, where: str, error: type[ClipDynError]) -> T:
    """A text as a ``cls``; ``where`` begins the message of the error.

    Raises:
        error: it is not JSON, or does not fit the dataclass; unknown keys are ignored.
    """
    return load_json(cls, parse_any(text, where=where, error=error), where=where, error=error)


def parse_any(
    text: str | bytes,
    *,
    where: str,
    error: type[ClipDynError],
    not_finite: Callable[[str], Any] | None = None,
) -> Any:
    """Any JSON; numbers are finite unless ``not_finite`` says what others become.

    Raises:
        error: it is not JSON.
    """
    try:
        return json.loads(text, parse_constant=not_finite or _refuse)
    except RecursionError as cause:
        raise error(f"{where} cannot be read: it is nested too deeply.") from cause
    except ValueError as cause:
        raise error(f"{where} cannot be read: it is not JSON ({_cause(cause)}).") from cause


def load_json(
    cls: type[T], value: object, *, where: str, error: type[ClipDynError], closed: bool = False
) -> T:
    """Decoded JSON as a ``cls``.

    Args:
        cls: a dataclass, or a mapping of texts to one; a dataclass may refuse values that do not fit together with a
            ClipDynError of its own.
        value: the content.
        where: begins the message of the error.
        error: to raise.
        closed: whether an unknown key is an error, as in files that people write.

    Raises:
        error: it does not fit the dataclass.
    """
    try:
        return typing.cast("T", _reader(cls)(value, "", closed))
    except _InvalidError as cause:
        raise error(f"{where} cannot be read: {cause}.") from cause


class _InvalidError(Exception):
    """A value does not fit; the message begins with its path."""

    @classmethod
    def of(cls, path: str, value: object, expected: str) -> Self:
        return cls(f"{path or 'the content'} is {shown(value)}, not {expected}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _cause(error: ValueError) -> str:
    # An error of decoding would print the bytes, which may be private.
    return "it is not UTF-8" if isinstance(error, UnicodeError) else str(error)[:100]


_Reader = Callable[[object, str, bool], object]
"""Checks a value; its path is for the message, and the flag refuses unknown keys."""


@cache
def _fields_of(cls: type) -> Mapping[str, tuple[_Reader, bool]]:
    """The reader of each field of a dataclass, and whether it has a default; looked up once, not for each row."""
    kinds = typing.get_type_hints(cls, include_extras=True)
    return {
        item.name: (
            _reader(kinds[item.name]),
            item.default is not MISSING or item.default_factory is not MISSING,
        )
        for item in fields(cls)
    }


def _reader(kind: Any) -> _Reader:
    """What checks values of a type."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return partial(_read_annotated, _reader(parts[0]), parts[1:])
    if origin is Literal:
        return partial(_read_literal, parts)
    if origin in (Union, types.UnionType):
        (inner,) = (part for part in parts if part is not type(None))  # a schema has no unions but with None
        return partial(_read_optional, _reader(inner))
    if origin is tuple:
        return partial(_read_list, _reader(parts[0]))
    if origin in (dict, Mapping):
        return partial(_read_mapping, _reader(parts[0]), _reader(parts[1]))
    if kind in (Any, object):
        return lambda value, path, _: _any(value, path, _DEEPEST)
    return partial(_read_dataclass if is_dataclass(kind) else _read_scalar, kind)


def _read_annotated(
    inner: _Reader, conditions: Sequence[object], value: object, path: str, closed: bool
) -> object:
    checked = inner(value, path, closed)
    for condition in conditions:
        if isinstance(condition, Within) and not condition.low <= checked <= condition.high:  # type: ignore[operator]
            raise _InvalidError.of(path, value, f"from {condition.low:g} to {condition.high:g}")
        if isinstance(condition, Matches) and not condition.accepts(str(checked)):
            raise _InvalidError.of(path, value, condition.meaning)
    return checked


def _read_literal(choices: Sequence[str], value: object, path: str, _: bool) -> object:
    if not isinstance(value, str) or value not in choices:
        raise _InvalidError.of(path, value, f"one of {', '.join(choices)}")
    return value


def _read_optional(inner: _Reader, value: object, path: str, closed: bool) -> object:
    return None if value is None else inner(value, path, closed)


def _read_list(inner: _Reader, value: object, path: str, closed: bool) -> object:
    return tuple(inner(item, f"{path}[{i}]", closed) for i, item in enumerate(_sized(value, list, path)))


def _read_mapping(key: _Reader, inner: _Reader, value: object, path: str, closed: bool) -> object:
    return {
        key(name, f"a key of {path}", closed): inner(item, f"{path}.{shown(name)}", closed)
        for name, item in _sized(value, dict, path).items()
    }


def _read_dataclass(cls: type, value: object, path: str, closed: bool) -> object:
    if isinstance(value, cls):  # read before, such as what a name in a file stands for
        return value
    held, known = _sized(value, dict, path), _fields_of(cls)
    unknown = next((key for key in held if key not in known), None) if closed else None
    if unknown is not None:
        raise _InvalidError(
            f"{path or 'the content'} has the unknown key {shown(unknown)}: known keys are {', '.join(known)}"
        )
    values = {}
    for name, (reader, optional) in known.items():
        if name in held:
            values[name] = reader(held[name], f"{path}.{name}" if path else name, closed)
        elif not optional:
            raise _InvalidError(f"{path or 'the content'} lacks the key {name}")
    try:
        return cls(**values)
    except ClipDynError as cause:
        raise _InvalidError(f"{path or 'the content'}: {str(cause).removesuffix('.')}") from cause


def _read_scalar(kind: Any, value: object, path: str, _: bool = False) -> object:
    if isinstance(value, bool) and kind is bool:
        return value
    if kind is str and isinstance(value, str):
        # JSON can spell half a surrogate pair, which cannot be written.
        if len(value) > _LONGEST_TEXT or not (value.isascii() or _HALVES.search(value) is None):
            raise _InvalidError.of(path, value, f"a text of at most {_LONGEST_TEXT:,} characters")
        return value
    if type(value) is int and kind in (int, float) and abs(value) <= _LARGEST:  # a bool is an int, too
        return value
    if isinstance(value, float) and kind is float and math.isfinite(value):
        return value
    names = {bool: "true or false", str: "a text", int: "a whole number", float: "a finite number"}
    raise _InvalidError.of(path, value, names[kind])


def _any(value: object, path: str, depth: int) -> object:
    if depth == 0:
        raise _InvalidError.of(path, value, f"at most {_DEEPEST} levels deep")
    if isinstance(value, dict):
        return {
            str(_any(key, path, depth - 1)): _any(item, path, depth - 1)
            for key, item in _sized(value, dict, path).items()
        }
    if isinstance(value, list):
        return [_any(item, path, depth - 1) for item in _sized(value, list, path)]
    return value if value is None else _read_scalar(type(value), value, path)


def _sized(value: object, kind: type[T], path: str) -> T:
    if not isinstance(value, kind):
        raise _InvalidError.of(path, value, "a list" if kind is list else "a mapping")
    if len(value) > _MOST_ITEMS:  # type: ignore[arg-type]  # a list or a dict
        raise _InvalidError.of(path, value, f"of at most {_MOST_ITEMS:,} items")
    return value
