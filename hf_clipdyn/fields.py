"""A field of a configuration, declared once: default, help, range, choices, check, flag, YAML key and documentation.

A configuration is a frozen dataclass whose fields `option` makes. `check_options` checks the values of a Python call.
It converts none of them, because hashes of recipes and cells contain the values as given. `CommandLine` reads the same
fields from flags and from YAML files, where every value is a text that is read by the field's type.

This is written with the standard library. Of pydantic, msgspec, cattrs, tyro, cyclopts and jsonargparse, none keeps
values as given, takes ``--flag`` and ``--flag true``, dashes and underscores, and fields of plug-ins that are loaded at
run time, and says in one sentence what is wrong.
"""

import dataclasses
import re
import shutil
import sys
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from hf_clipdyn.errors import CONTROL, ConfigError, UnknownNameError, closest_name, shorten, shown

__all__ = [
    "CommandLine",
    "Flag",
    "Given",
    "check_options",
    "check_value",
    "choices_of",
    "flags_of",
    "is_within",
    "members",
    "named_folders",
    "option",
    "types_of",
]

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
            ``metavar`` the name of a value; ``secret`` removes white space around a token (a file written on Windows
            ends in ``\\r\\n``), ``joined`` joins repeated
            values of a text by commas, and ``whole`` keeps the commas in each of several values.

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
    """

    field: "Field[Any]"
    item: type
    several: str = ""
    group: str = "Options"
    kind: str = ""
    dash: str = "-"

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
        return cls(field, item, several, **more)

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
    def is_option(self) -> bool:
        """Whether it is an option and not a positional argument."""
        return not (self.field.default is MISSING and self.field.default_factory is MISSING)

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
        value = self.default if self.is_option else None
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
            return f"{self.spelling}..." if self.several else self.spelling
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
        elif not self.is_option:  # one is itself
            value = given.texts[0] if len(given.texts) == 1 else given.texts
        elif self.several:
            split = [[text] if self.field.metadata.get("whole") else text.split(",") for text in given.texts]
            parts = [part.strip() for texts in split for part in texts if part.strip()]
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
            if text.lower() not in (*_TRUE, *_FALSE):
                raise ConfigError(f"{begins} {shown(text)}: give true or false.")
            return text.lower() in _TRUE
        try:
            return self.item(text)
        except ValueError:
            expected = _WORDS[self.item]
            raise ConfigError(f"{begins} {shown(text)}, which is not {expected}.") from None

    def words(self, given: Given) -> list[str]:
        """What was given, as words of a command line; nothing for a switch at its default."""
        if not self.is_option:
            return list(given.texts)
        if self.is_switch:
            value = self.value(given)
            name = self.spelling if value else f"--no{self.dash}{self.spelling[2:]}"
            return [] if value == self.default else [name]
        texts = given.texts if self.several else given.texts[-1:]
        return [f"{self.spelling}={text}" for text in texts]


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


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class CommandLine:
    """The options of a command, as flags and as the keys of a YAML file.

    Names may be written with dashes or with underscores. ``--flag`` and ``--flag true`` are the same.

    Args:
        prog: the command, as a person types it.
        summary: what it does, for the help.
        flags: options and positional arguments that a file may give as well.
        own: further options, which belong to the command itself.

    Attributes:
        flags: all of them by key, those of the command first.
        keys: those that a file may give.

    Raises:
        ConfigError: two options share a name.
    """

    def __init__(self, prog: str, summary: str, flags: Iterable[Flag], own: Iterable[Flag] = ()) -> None:
        self.prog, self.summary, self.own = prog, summary, tuple(own)
        self.flags: dict[str, Flag] = {}
        for flag in [*self.own, *flags]:
            if flag.key in self.flags:
                raise ConfigError(
                    f"Two options are called {flag.spelling}: rename the setting of {flag.kind}."
                )
            self.flags[flag.key] = flag
        self.keys = {key: flag for key, flag in self.flags.items() if flag not in self.own}
        self._short = {
            flag.field.metadata["short"]: flag
            for flag in self.flags.values()
            if "short" in flag.field.metadata
        }

    def read(self, argv: Sequence[str], *, known_only: bool = False) -> dict[str, Given]:
        """What the words of a command line give, by the key of the option.

        Prints the help and exits for ``--help`` and ``--help-all``.

        Args:
            argv: the words after the command's name.
            known_only: pass over unknown options and print no help, as before the plug-ins that add some are loaded.

        Raises:
            ConfigError: an unknown option, one without its value, a wrong value, or a word that belongs to none.
            UnknownNameError: a name that is not one of the choices.
        """
        texts: dict[str, list[str]] = {}
        words, only_values = list(argv), False
        while words:
            word = words.pop(0)
            if word == "--":
                only_values = True
            elif only_values or not word.startswith("-") or word == "-":
                self._add_value(word, texts, known_only)
            elif word in ("-h", "--help", "--help-all"):
                if not known_only:
                    sys.stdout.write(self.help(everything=word == "--help-all"))
                    raise SystemExit(0)
            else:
                self._add_option(word, words, texts, known_only)
        given = {key: Given(tuple(values), self.flags[key].spelling) for key, values in texts.items()}
        for key in given if not known_only else ():
            self.flags[key].value(given[key])  # a wrong value stops here, before anything is loaded
        return given

    def _add_value(self, word: str, texts: dict[str, list[str]], known_only: bool) -> None:
        place = next((flag for flag in self.flags.values() if not flag.is_option), None)
        if place is not None:
            texts.setdefault(place.key, []).append(word)
        elif not known_only:
            raise self._error(f"There is no place for {shown(word)}: every value follows its option.")

    def _add_option(self, word: str, words: list[str], texts: dict[str, list[str]], known_only: bool) -> None:
        name, equals, text = word.partition("=")
        flag, negated = self._find(name)
        if flag is None:
            if known_only:
                return
            close = closest_name(name, [flag.spelling for flag in self.flags.values() if flag.is_option])
            hint = f" Did you mean {close}?" if close else ""
            # The value may be a token and is not printed.
            raise self._error(f"There is no option {shorten(name)}.{hint}")
        if negated:
            text = "false"
        elif not equals and flag.is_switch:
            text = words.pop(0) if words and words[0].lower() in (*_TRUE, *_FALSE) else "true"
        elif not equals:
            if not words or self._find(words[0].partition("=")[0])[0] is not None:
                if known_only:
                    return
                raise self._error(f"{flag.spelling} has no value: give one.")
            text = words.pop(0)
        texts.setdefault(flag.key, []).append(text)

    def _find(self, name: str) -> tuple[Flag | None, bool]:
        """The option that a word names, and whether the word switches it off."""
        if not name.startswith("--"):
            return self._short.get(name[1:]) if name.startswith("-") else None, False
        key = name[2:].replace("-", "_")
        flag = self.flags.get(key)
        if flag is None and key.startswith("no_"):
            flag = self.flags.get(key[3:])
            return (flag, True) if flag is not None and flag.is_switch else (None, False)
        return flag if flag is not None and flag.is_option else None, False

    def read_file(self, values: Mapping[Any, Any], where: str) -> dict[str, Given]:
        """What a YAML file gives, by the key of the option; a value without content gives nothing.

        Args:
            values: from `hf_clipdyn.schema.read_yaml`.
            where: name of the file, for messages.

        Raises:
            ConfigError: an option has a mapping, or more or fewer values than it takes.
            UnknownNameError: there is no such option.
        """
        given = {}
        for key, value in values.items():
            if key not in self.keys:
                raise UnknownNameError(f"field in {where}:", str(key), self.keys)
            several = self.keys[key].several
            if isinstance(value, dict) or (isinstance(value, list) and not several):
                more = ", or a list" if several else ""
                raise ConfigError(f"{key} in {where} is {shown(value)}: give it one value{more}.")
            if value == []:
                raise ConfigError(f"{key} in {where} has 0 values: give at least one.")
            if value is not None:
                texts = tuple(map(str, value)) if isinstance(value, list) else (str(value),)
                given[key] = Given(texts, f"{key} in {where}")
        return given

    def help(self, *, everything: bool = True) -> str:
        """The help: arguments, then options in groups, those at the top first.

        Args:
            everything: whether to list all options, or those at the top and the names of the other groups.
        """
        width = min(max(shutil.get_terminal_size().columns, 40), 110)
        lines = [f"Usage: {self.prog} [OPTIONS]", ""]
        arguments = [flag for flag in self.flags.values() if not flag.is_option]
        if arguments:
            lines[0] += " " + " ".join(flag.usage for flag in arguments)
        for paragraph in self.summary.split("\n\n"):
            lines += [
                *textwrap.wrap(
                    " ".join(paragraph.split()), width - 2, initial_indent="  ", subsequent_indent="  "
                ),
                "",
            ]
        groups: dict[str, list[Flag]] = {"Arguments": arguments, "Most used options": []}
        for flag in self.flags.values():
            if flag.is_option:
                top = flag.field.metadata.get("top")
                groups.setdefault("Most used options" if top else flag.group, []).append(flag)
        for title, flags in groups.items():
            if flags and (everything or title in ("Arguments", "Most used options")):
                lines += [f"{title}:", *_entries(flags, width), ""]
        others = [title for title in list(groups)[2:] if groups[title]]
        if others and not everything:
            listed = textwrap.wrap("; ".join(others), width - 2, initial_indent="  ", subsequent_indent="  ")
            lines += [f"`{self.prog} --help-all` lists all options:", *listed, ""]
        return "\n".join(lines)

    def _error(self, sentence: str) -> ConfigError:
        return ConfigError(f"{sentence} See `{self.prog} --help`.")


def _entries(flags: Iterable[Flag], width: int) -> list[str]:
    """Options and their help in two columns; a long option has a line of its own."""
    rows = [
        (flag.usage, flag.help + (f" [default: {flag.default_text}]" if flag.default_text else ""))
        for flag in flags
    ]
    indent = min(max(len(usage) for usage, _ in rows), 30) + 4
    lines = []
    for usage, text in rows:
        wrapped = textwrap.wrap(text, max(width - indent, 20), break_on_hyphens=False)
        if len(usage) + 4 > indent:
            lines.append(f"  {usage}")
        else:
            wrapped[0:1] = [f"  {usage}".ljust(indent) + wrapped[0]] if wrapped else [f"  {usage}"]
            lines.append(wrapped.pop(0))
        lines += [" " * indent + line for line in wrapped]
    return lines
