"""The dialect of every command: its options as words of a command line, as keys of a YAML file, and as its help.

Names may be written with dashes or with underscores. ``--flag`` and ``--flag true`` are the same. A command is a
dataclass: its fields are the options (`hf_clipdyn.fields`), its docstring is the help.
"""

import inspect
import re
import shutil
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from hf_clipdyn.errors import ConfigError, UnknownNameError, closest_name, shorten, shown
from hf_clipdyn.fields import Flag, Given, as_bool, flags_of

GROUPS = ("Main path", "Data", "Models and revisions", "Sharing and support")
"""Headings in the list of commands, in order."""


_OPTION = re.compile(
    r"`[^`-][^`]*`|`?--(?P<flag>[a-z][a-z0-9_-]*[a-z0-9])`?(?: (?P<value>(?!-)[\w./*=@,-]*[\w/*]))?"
)
"""A command in backticks, or an option with the word that follows it."""


class CommandLine:
    """The options of a command, as flags and as the keys of a YAML file.

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
        self._short = {flag.field.metadata.get("short"): flag for flag in self.flags.values()}

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
        values: list[str] = []
        words = list(argv)
        while words:
            word = words.pop(0)
            if word == "--":
                values += words
                break
            if not word.startswith("-") or word == "-":
                values.append(word)
            elif word in ("-h", "--help", "--help-all"):
                if not known_only:
                    sys.stdout.write(self.help(everything=word == "--help-all"))
                    raise SystemExit(0)
            else:
                self._add_option(word, words, texts, known_only)
        texts = self._placed(values, known_only) | texts
        given = {key: Given(tuple(values), self.flags[key].spelling) for key, values in texts.items()}
        for key in given if not known_only else ():
            self.flags[key].value(given[key])  # a wrong value stops here, before anything is loaded
        return given

    def _placed(self, values: list[str], known_only: bool) -> dict[str, list[str]]:
        """The words that follow no option, by positional argument; the one with several values takes all it can."""
        places = [flag for flag in self.flags.values() if not flag.is_option]
        texts, left = {}, list(values)
        for place in places:
            after = len(places) - places.index(place) - 1
            count = max(len(left) - after, 1) if place.several else 1
            texts[place.key], left = left[:count], left[count:]
        if left and not known_only:
            raise self._error(f"There is no place for {shown(left[0])}: every value follows its option.")
        return {key: words for key, words in texts.items() if words}

    def _add_option(self, word: str, words: list[str], texts: dict[str, list[str]], known_only: bool) -> None:
        name, equals, text = word.partition("=")
        flag, negated = self._find(name)
        if flag is None:
            if known_only:
                return
            close = closest_name(name, [one.spelling for one in self.flags.values() if one.is_option])
            hint = f" Did you mean {close}?" if close else ""
            # The value may be a token and is not printed.
            raise self._error(f"There is no option {shorten(name)}.{hint}")
        if negated:
            text = "false"
        elif not equals and flag.is_switch:
            text = words.pop(0) if words and as_bool(words[0]) is not None else "true"
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

    def values(self, given: Mapping[str, Given]) -> dict[str, Any]:
        """The values of the command's fields by name.

        Raises:
            ConfigError: a required one is missing.
        """
        for flag in self.flags.values():
            if flag.is_required and flag.key not in given:
                raise self._error(f"{flag.spelling} is missing: give it.")
        return {flag.field.name: flag.value(given.get(key)) for key, flag in self.flags.items()}

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

    def in_python(self, text: str) -> str:
        """The text with the options of this command as arguments in Python: ``skip_missing=True``.

        Commands in backticks are not changed.
        """
        return _OPTION.sub(self._in_python, text)

    def _in_python(self, match: re.Match[str]) -> str:
        if match["flag"] is None:
            return match[0]  # a command
        flag, negated = self._find(f"--{match['flag']}")
        if flag is None:
            return match[0]
        name, value = flag.field.name, match["value"]
        if flag.kind:
            return f"`{name}` of the settings of {flag.kind}" + (f" ({value})" if value else "")
        if flag.is_switch:
            if value in ("true", "false"):
                return f"`{name}={(value == 'true') != negated}`"
            return f"`{name}={not negated}`" + (f" {value}" if value else "")
        if not value:
            return f"`{name}`"
        key, equals, content = value.partition("=")
        return f'`{name}={{"{key}": "{content}"}}`' if equals else f'`{name}="{value}"`'

    def help(self, *, everything: bool = True) -> str:
        """The help: arguments, then options in groups, those at the top first.

        Args:
            everything: whether to list all options, or those at the top and the names of the other groups; without
                options at the top, all are listed.
        """
        arguments = [flag for flag in self.flags.values() if not flag.is_option]
        groups: dict[str, list[Flag]] = {"Arguments": arguments, "Most used options": []}
        for flag in (one for one in self.flags.values() if one.is_option):
            title = "Most used options" if "top" in flag.field.metadata else flag.group
            groups.setdefault(title, []).append(flag)
        lines = [" ".join(["Usage:", self.prog, "[OPTIONS]", *(flag.usage for flag in arguments)]), ""]
        for paragraph in self.summary.split("\n\n"):
            lines += [*_wrapped(paragraph), ""]
        everything = everything or not groups["Most used options"]
        for title, flags in groups.items():
            if flags and (everything or title in ("Arguments", "Most used options")):
                lines += [f"{title}:", *columns([(flag.usage, _meaning(flag)) for flag in flags]), ""]
        others = [title for title in list(groups)[2:] if groups[title]]
        if others and not everything:
            lines += [f"`{self.prog} --help-all` lists all options:", *_wrapped("; ".join(others)), ""]
        return "\n".join(lines)

    def _error(self, sentence: str) -> ConfigError:
        return ConfigError(f"{sentence} See `{self.prog} --help`.")


def _meaning(flag: Flag) -> str:
    return flag.help + (f" [default: {flag.default_text}]" if flag.default_text else "")


def _width() -> int:
    return min(max(shutil.get_terminal_size().columns, 40), 110)


def _wrapped(paragraph: str) -> list[str]:
    return textwrap.wrap(
        " ".join(paragraph.split()), _width() - 2, initial_indent="  ", subsequent_indent="  "
    )


def columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Names and their meanings in two columns that fit the terminal; a long name has a line of its own."""
    indent = min(max(len(name) for name, _ in rows), 30) + 4
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, max(_width() - indent, 20), break_on_hyphens=False)
        if len(name) + 4 > indent:
            lines.append(f"  {name}")
        else:
            wrapped[0:1] = [f"  {name}".ljust(indent) + wrapped[0]] if wrapped else [f"  {name}"]
            lines.append(wrapped.pop(0))
        lines += [" " * indent + line for line in wrapped]
    return lines


COMMANDS: dict[str, "type[Command]"] = {}
"""Every command by its name, in the order of the help."""


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """A command of `clipdyn`: a frozen dataclass whose fields are its options and whose docstring is its help.

    The first line of the docstring is its line in the list of commands, at most 45 characters.

    Attributes:
        group: heading in the list of commands.
    """

    group: ClassVar[str]

    def __init_subclass__(cls, group: str) -> None:
        cls.group = group
        COMMANDS[cls.__name__.lower()] = cls

    @classmethod
    def line(cls) -> CommandLine:
        """Its options."""
        return CommandLine(
            f"clipdyn {cls.__name__.lower()}", inspect.cleandoc(cls.__doc__ or ""), flags_of(cls)
        )

    @classmethod
    def summary(cls) -> str:
        """Its line in the list of commands."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]

    @classmethod
    def read(cls, argv: Sequence[str]) -> Self:
        """The command that the words after its name ask for.

        Raises:
            ConfigError: an option is wrong or missing.
        """
        line = cls.line()
        return cls(**line.values(line.read(argv)))

    @abstractmethod
    def run(self) -> int | None:
        """Do the work; returns the exit code, None for 0."""
