"""Check files before use: JSON becomes a dataclass, YAML becomes what options read, or an error of one sentence.

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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar, Union

import yaml

from hf_clipdyn.errors import ClipDynError, ConfigError, UnknownNameError, shown
from hf_clipdyn.hub import checked_repo_id, is_repo_id, valid_repo_name

__all__ = ["checked_repo_id", "is_repo_id", "valid_repo_name"]  # until their users have moved
T = TypeVar("T")

_LONGEST_FILE = 64 * 2**20  # bytes; a manifest of 100,000 revisions has half of that
_LONGEST_YAML = 2**20  # bytes of a file that a person writes
_DEEPEST_YAML, _DEEPEST_NESTED = (
    16,
    5,
)  # levels, and those below a nested key: a list in a mapping in a mapping …
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


# --- YAML that people write -------------------------------------------------------------------------------


def read_yaml(path: Path, *, lists: bool = False, nested: Collection[str] = ()) -> dict[Any, Any]:
    """The keys and values of a YAML file that gives each option its value; neither is checked.

    Args:
        path: the file.
        lists: whether a value may be a list of single values.
        nested: keys whose values may be collections of collections.

    Raises:
        ConfigError: it cannot be read, is not YAML, is not a mapping, or is nested more deeply.
    """
    values = _Loader.build(read_text(path), str(path), lists, nested)
    if not isinstance(values, dict | None):
        raise ConfigError(f"{path} contains {type(values).__name__}: give a mapping of options to values.")
    return values or {}


def read_text(path: Path) -> str:
    """The text of a short file.

    Raises:
        ConfigError: it cannot be read, is too long, or is not UTF-8.
    """
    try:
        remedy = "give a short mapping of options to values"
        return _content(path, _LONGEST_YAML, ConfigError, remedy).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: give a YAML file.") from error


def parse_yaml(text: str, where: str) -> Any:
    """The content of a YAML text without aliases and keys that are given twice, at most 16 levels deep.

    Args:
        text: of the file.
        where: name of the file, for messages.

    Raises:
        ConfigError: it is not YAML, or not of this form.
    """
    if yaml.__with_libyaml__:
        with suppress(yaml.YAMLError, ValueError):  # its error messages differ
            return _quick_loader()(text, where).get_single_data()
    return _Loader.build(text, where)


def check_keys(keys: Iterable[Any], known: Collection[str], where: str) -> None:
    """Raise UnknownNameError for a key of the file ``where`` that is none of the known options."""
    for key in keys:
        if key not in known:
            raise UnknownNameError(f"field in {where}:", str(key), known)


class _Form(yaml.composer.Composer):
    """Checks the form of a text while it builds it.

    Built or printed, aliases could fill the memory; of a key that is given twice, the later value would count in
    silence.
    """

    def __init__(self, where: str, lists: bool = False, nested: Collection[str] | None = None) -> None:
        yaml.composer.Composer.__init__(self)
        self._where, self._lists, self._nested = where, lists, nested
        self._depth, self._key = 0, None  # key of the outermost mapping, to which the current value belongs

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[attr-defined]  # of the parser
        line = f"line {event.start_mark.line + 1} of {self._where}"
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"There is an alias in {line}: give each field its value.")
        if self._depth == 1:
            self._key = getattr(index, "value", None)
        is_collection = isinstance(event, yaml.CollectionStartEvent)
        self._depth += is_collection
        if is_collection:
            self._check_depth(line, isinstance(event, yaml.SequenceStartEvent))
        node = super().compose_node(parent, index)
        self._depth -= is_collection
        if isinstance(node, yaml.MappingNode):
            self._check_unique(node)
        return node

    def _check_depth(self, line: str, is_list: bool) -> None:
        if self._nested is None:
            if self._depth > _DEEPEST_YAML:
                raise ConfigError(f"{self._where} is nested more than {_DEEPEST_YAML} levels deep at {line}.")
            return
        allowed = _DEEPEST_NESTED if self._key in self._nested else 1
        if self._depth > allowed and not (self._lists and self._depth == 2 and is_list):
            more = f" Only {', '.join(self._nested)} may contain more." if self._nested else ""
            raise ConfigError(f"There is a collection in {line}: give each field one value.{more}")

    def _check_unique(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key))
            if name in seen:
                raise ConfigError(
                    f"{shown(key.value)} is given twice in line {key.start_mark.line + 1} of {self._where}: delete one."
                )
            seen.add(name)


class _Loader(_Form, yaml.SafeLoader):
    def __init__(self, text: str, where: str, *form: Any) -> None:
        yaml.SafeLoader.__init__(self, text)
        _Form.__init__(self, where, *form)

    @classmethod
    def build(cls, text: str, where: str, *form: Any) -> Any:
        """The content of a text, errors as of `parse_yaml`; with ``nested``, in the form of `read_yaml`."""
        try:
            return cls(text, where, *form).get_single_data()
        except yaml.MarkedYAMLError as error:
            raise ConfigError(f"{where} is not YAML: {_place(error)}.") from error
        except (yaml.YAMLError, ValueError) as error:  # a character that YAML forbids; a date as 2024-99-99
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"{where} is not YAML: it contains a forbidden character, an impossible date or too long a number."
            ) from error


@cache
def _quick_loader() -> type[Any]:
    """A loader that takes a fifth of the time, with libyaml, which may be absent."""

    class QuickLoader(_Form, yaml.CSafeLoader):
        def __init__(self, text: str, where: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            _Form.__init__(self, where)

    return QuickLoader


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
