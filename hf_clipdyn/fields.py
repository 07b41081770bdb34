"""A field of a configuration, declared once: default, help, range, choices, check, flag, YAML key and documentation.

A configuration is a frozen dataclass whose fields `option` makes. `check_options` checks the values of a Python call.
It converts none of them, because hashes of recipes and cells contain the values as given. A `Flag` is the same field on
the command line and in YAML files, where every value is a text that is read by the field's type.

This is written with the standard library. Of pydantic, msgspec, cattrs, tyro, cyclopts and jsonargparse, none keeps
values as given, takes ``--flag`` and ``--flag true``, dashes and underscores, and fields of plug-ins that are loaded at
run time, and says in one sentence what is wrong.
"""

import dataclasses
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from hf_clipdyn.errors import CONTROL, ConfigError, UnknownNameError, shown

_LONGEST = 4096  # characters of a text; the longest path of Linux


def option(
    default: Any,
    text: str,
    *,
    within: str | None = None,
    choices: Sequence[str] | Callable[[], Sequence[str]] = (),
    **more: Any,
) -> Any:
    """A field of a frozen dataclass that is also a flag; `check_options` checks its value.

    Args:
        default: its default value.
        text: its help text.
        within: interval of a number, or of each number of a tuple: ``[0, 1)``.
        choices: allowed values of a text, or of each text of a tuple.
        **more: ``group`` begins a group of the help, to which the next fields belong; ``top`` puts the option at the
            top of the help; ``execution`` says that a value does not change what is computed. On the command line,
            ``flag`` is another name (None for no option), ``short`` a letter, ``flag_default`` another default,
            ``metavar`` the name of a value; ``named`` makes a field without default an option that must be given
            instead of a positional argument; ``secret`` removes white space around a token (a file written on Windows
            ends in ``\\r\\n``), and ``joined`` joins repeated values of a text by commas.

    Returns:
        A field, as `dataclasses.field` returns it.

    Examples:
        >>> from dataclasses import dataclass
        >>> from hf_clipdyn.fields import check_options, option
        >>> @dataclass(frozen=True)
        ... class Settings:
        ...     gain: float = option(1.5, "Factor on the pixels.", within="(1, 10]")
        ...
        >>> check_options(Settings(gain=2.0))
    """
    return field(default=default, metadata={"help": text, "within": within, "choices": choices} | more)


# --- values of a Python call: checked, never converted ---------------------------------------------------


def check_options(config: Any) -> None:
    """Check every field of a frozen dataclass; lists and arrays become tuples, numbers of NumPy those of Python.

    Raises:
        ConfigError: a value of another type, a number outside its interval, an empty tuple, or a text that no option
            can hold.
        UnknownNameError: a name that is not one of the choices.
    """
    owner: type = type(config)
    expected = types_of(owner)
    for declared in dataclasses.fields(config):
        value = _plain(getattr(config, declared.name))
        object.__setattr__(config, declared.name, value)
        if not _fits(value, expected[declared.name]):
            words = _in_words(expected[declared.name])
            raise ConfigError(f"{declared.name} is {shown(value)}: it must be {words}.")
        check_value(declared.name, value, declared)


def check_value(name: str, value: Any, declared: "Field[Any]") -> None:
    """Check a value of the right type by what `option` declared; ``name`` is its name in the message.

    Raises:
        ConfigError: a number outside its interval, an empty tuple, or a text that no option can hold.
        UnknownNameError: a name that is not one of the choices.
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


def is_within(value: float, interval: str) -> bool:
    """Whether a number is in ``[low, high]``; a parenthesis excludes the bound. NaN is in no interval."""
    low, high = (float(word) for word in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    return above and (value <= high if interval[-1] == "]" else value < high)


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


# --- values of flags and files: texts, read by the field's type --------------------------------------------

_SCALARS = (Path, bool, int, float, str)  # of a union the first one counts
_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "on"), ("false", "f", "no", "n", "0", "off")


@dataclass(frozen=True)
class Given:
    """What a person gave for an option.

    Attributes:
        texts: its values in order, at least one.
        name: of the option in messages: ``--noise-sigmas``, or ``noise_sigmas in study.yaml``.
    """

    texts: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class Flag:
    """A field of a configuration as an option of the command line and YAML.

    Attributes:
        field: of the configuration.
        item: type of its value, or of each of several.
        several: how several values are written: ``values``, ``pairs`` (NAME=PATH) or empty if there is one value.
        group: heading in the help.
        kind: name of the kind whose setting it is; empty for an option of all kinds.
        dash: between the words of its name on the command line.
        is_alone: whether one of several arguments is a value instead of a tuple of one.
    """

    field: "Field[Any]"
    item: type
    several: str = ""
    group: str = "Options"
    kind: str = ""
    dash: str = "-"
    is_alone: bool = False

    @classmethod
    def of(cls, owner: type, field: "Field[Any]", **more: str) -> "Flag":
        """The option for a field of the dataclass ``owner``.

        Raises:
            ConfigError: no option can hold the field's type.
        """
        declared = types_of(owner)[field.name]
        several = ""
        for one in members(declared):
            if get_origin(one) in (tuple, Sequence):
                declared, several = get_args(one)[0], "values"
            elif get_origin(one) is Mapping:
                declared, several = get_args(one)[1], "pairs"
        item = next((one for one in _SCALARS if one in members(declared)), None)
        if item is None or (several and item is bool):
            raise ConfigError(
                f"{field.name} of {owner.__name__} has the type {declared}, which options do not support: "
                "declare it as bool, int, float, str or Path, or as a tuple of one of the last four."
            )
        return cls(field, item, several, is_alone=item in members(types_of(owner)[field.name]), **more)

    @property
    def key(self) -> str:
        """Its name in YAML."""
        name: str = self.field.metadata.get("flag") or self.field.name
        return f"{self.kind}_{name}" if self.kind else name

    @property
    def spelling(self) -> str:
        """Its name on the command line; for a positional argument, the name of its value."""
        return "--" + self.key.replace("_", self.dash) if self.is_option else self.key.upper()

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.field.default is MISSING and self.field.default_factory is MISSING

    @property
    def is_option(self) -> bool:
        """Whether it is an option and not a positional argument."""
        return not self.is_required or "named" in self.field.metadata

    @property
    def is_switch(self) -> bool:
        """Whether it is true or false, so that its name alone means true."""
        return self.item is bool and not self.several

    @property
    def default(self) -> Any:
        """The value of the field if the option is not given."""
        if self.several == "pairs":
            return {}
        return self.field.metadata.get("flag_default", self.field.default)

    @property
    def default_text(self) -> str:
        """The default as documentation prints it; empty for none."""
        value = None if self.is_required else self.default
        if value is None or value is False or value in ((), {}, ""):
            return ""
        if value is True:
            return "yes"
        return ",".join(map(_text, value)) if isinstance(value, tuple) else _text(value)

    @property
    def help(self) -> str:
        """Its help text, with the interval of a number, and the choices that the text does not name."""
        text: str = self.field.metadata["help"]
        within, choices = self.field.metadata.get("within"), choices_of(self.field)
        if within:
            text += f" In {within}."
        if not all(one in text for one in choices):
            text += f" One of {', '.join(choices)}."
        return text

    @property
    def usage(self) -> str:
        """The option with its value, as the help names it."""
        if not self.is_option:
            return self.field.metadata.get("metavar") or self.spelling + "..." * bool(self.several)
        short = f", -{self.field.metadata['short']}" if "short" in self.field.metadata else ""
        if self.is_switch:
            return f"{self.spelling}/--no{self.dash}{self.spelling[2:]}" if self.default else self.spelling
        name = self.item.__name__.lower()
        plain = {"": f"<{name}>", "values": f"<{name},…>", "pairs": "NAME=PATH"}[self.several]
        return f"{self.spelling}{short} {self.field.metadata.get('metavar', plain)}"

    def value(self, given: Given | None) -> Any:
        """The field's value.

        Raises:
            ConfigError: a text that cannot be read, or a value out of its range.
            UnknownNameError: a name that is not one of the choices.
        """
        if given is None:
            return self.default
        value: Any
        if self.several == "pairs":
            value = named_folders(given.texts, given.name)
        elif self.several and not self.is_option:
            value = tuple(self._item(text, f"{given.name} contains") for text in given.texts)
            value = value[0] if self.is_alone and len(value) == 1 else value
        elif self.several:
            parts = [part.strip() for text in given.texts for part in text.split(",") if part.strip()]
            if not parts:
                raise ConfigError(
                    f"{given.name} is empty: give at least one value; separate several by commas."
                )
            value = tuple(self._item(part, f"{given.name} contains") for part in parts)
        elif self.field.metadata.get("joined"):
            value = ",".join(given.texts)
        else:
            text = given.texts[-1]
            value = self._item(
                text.strip() if self.field.metadata.get("secret") else text, f"{given.name} is"
            )
        check_value(given.name, value, self.field)
        return value

    def _item(self, text: str, begins: str) -> Any:
        if self.item is bool:
            value = as_bool(text)
            if value is None:
                raise ConfigError(f"{begins} {shown(text)}: give true or false.")
            return value
        try:
            return self.item(text)
        except ValueError:
            expected = _WORDS[self.item]
            raise ConfigError(f"{begins} {shown(text)}, which is not {expected}.") from None


def flags_of(owner: type, **more: str) -> list[Flag]:
    """The options for the fields of a dataclass; each belongs to the group that was begun last.

    Raises:
        ConfigError: no option can hold a field's type.
    """
    flags, group = [], more.pop("group", "Options")
    for declared in dataclasses.fields(owner):
        group = declared.metadata.get("group", group)
        if declared.metadata.get("flag", declared.name) is not None:
            flags.append(Flag.of(owner, declared, group=group, **more))
    return flags


def named_folders(values: Sequence[str], name: str) -> dict[str, Path]:
    """``["osie=/data/osie"]`` as data set to folder.

    Raises:
        ConfigError: a value is not NAME=PATH, or a data set is named twice.
    """
    folders: dict[str, Path] = {}
    for value in values:
        key, equals, path = value.partition("=")
        if not (key and equals and path):
            raise ConfigError(f"{name} is {shown(value)}: give NAME=PATH, for example cifar10=/data/cifar10.")
        if key in folders:
            raise ConfigError(f"{name} gives two folders for {key!r}: give one.")
        folders[key] = Path(path).expanduser()
    return folders


def as_bool(text: str) -> bool | None:
    """What a text means for a switch; None if it means nothing."""
    return True if text.lower() in _TRUE else False if text.lower() in _FALSE else None


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
