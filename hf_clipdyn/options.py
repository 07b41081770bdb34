"""Options: one pydantic model is the Python call, the YAML file, the command line and its help.

Every scalar is read from its text by the type of its field. So ``0.5`` in Python, ``0.5`` in a file and ``--x 0.5``
give the same value, and what one of them refuses, all refuse. This module imports only pydantic, argparse and yaml,
because every help and every wrong call waits for it.
"""

import argparse
import inspect
import os
import re
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from hf_clipdyn.errors import ConfigError, naming, no_such, problem, shown


class OptionError(ConfigError):
    """The value of one option is wrong; `option` is its name."""

    def __init__(self, sentence: str, option: str) -> None:
        super().__init__(sentence)
        self.option = option


class Options(BaseModel):
    """Base of configurations and commands: a field is an option, and the docstring below it is its help.

    A text for a tuple is split at commas. A field of type ``Mapping[str, Path]`` is written ``NAME=PATH`` on the
    command line. ``Field(validation_alias=…)`` is the name of an option that Python calls otherwise, and
    ``Field(title=…)`` begins a group of the help.

    Attributes:
        positional: options that need no flag on the command line, in order; at most one takes several values.
        most_used: options that the short help lists; all if empty.
        letters: short options, such as ``{"output": "o"}``.
        python_only: fields that are not options.
        file_help: help of ``--config``; without one, there is no such option.
        former: what to use in place of options that earlier versions had.

    Raises:
        ConfigError: an unknown option, or a value that the field's type or its limits refuse.

    Examples:
        >>> from hf_clipdyn.options import Options
        >>> class Settings(Options):
        ...     gains: tuple[float, ...] = (1.5,)
        ...
        >>> Settings.read(["--gains", "1.25,2"], "prog") == Settings(gains=(1.25, 2))
        True
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
        arbitrary_types_allowed=True,
        validate_default=True,
        defer_build=True,  # until the first use: a help needs no schema
    )
    positional: ClassVar[tuple[str, ...]] = ()
    most_used: ClassVar[tuple[str, ...]] = ()
    letters: ClassVar[Mapping[str, str]] = {}
    python_only: ClassVar[tuple[str, ...]] = ()
    file_help: ClassVar[str] = ""
    former: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            cause, name = first.get("ctx", {}).get("error"), str(*first["loc"][:1])
            if isinstance(cause, ConfigError):
                raise cause from None
            is_unknown = first["type"] == "extra_forbidden"
            said = self.no_option(name) if is_unknown else f"{problem(first, name).rstrip('.')}."
            raise OptionError(said, name) from None

    @model_validator(mode="before")
    @classmethod
    def _texts(cls, values: Any) -> Any:
        """Numbers as texts, texts of tuples apart, and NAME=PATH as a mapping."""
        if not isinstance(values, dict):  # of options within others, which pydantic then refuses
            return values
        values = {name: as_text(value) for name, value in values.items()}
        for name, field in cls.model_fields.items():
            for key in {name, name_of(name, field)} & values.keys():
                form, value = form_of(field), values[key]
                several = value if isinstance(value, tuple) else (value,)
                if form == "pairs" and isinstance(value, str | tuple):
                    values[key] = pairs(several, key)
                elif form == "values" and value is not None:
                    values[key] = several if key in cls.positional else texts_of(value, key)
        return values

    def but(self, **changes: Any) -> Self:
        """A copy with these values, checked like the original."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | changes)

    @classmethod
    def option_fields(cls) -> dict[str, FieldInfo]:
        """The fields that are options, by the name of the option."""
        fields = cls.model_fields.items()
        return {name_of(name, field): field for name, field in fields if name not in cls.python_only}

    @classmethod
    def no_option(cls, name: str) -> str:
        """The sentence about an option that does not exist, or not any more."""
        if name in cls.former:
            return f"The option {name} is gone since version 0.4: {cls.former[name]}."
        return no_such("option", name, cls.option_fields())

    @classmethod
    def file_named(cls, name: str) -> Path:
        """The file that ``--config`` names."""
        return Path(name).expanduser()

    @classmethod
    def read(cls, words: Sequence[str], prog: str = "clipdyn") -> Self:
        """From the words of a command line; the file of ``--config`` gives what they leave out.

        ``--help`` and ``--help-all`` print the help and exit.

        Args:
            words: after the command's name.
            prog: the command, as a person types it.

        Raises:
            ConfigError: an option or the file is wrong.
        """
        parser = make_parser(cls, prog, everything="--help-all" in words)
        # The first reads values after `--`, the second those between options.
        parse = parser.parse_args if "--" in words else parser.parse_intermixed_args
        values = vars(parse(normalised(cls, words, prog)))
        file = cls.file_named(values.pop("config")) if "config" in values else None
        in_file = {} if file is None else read_yaml(file)
        try:
            for name in in_file.keys() & set(cls.python_only):
                raise OptionError(cls.no_option(name), name)
            return cls(**in_file | values)
        except OptionError as error:
            if error.option in in_file.keys() - values.keys():
                raise ConfigError(f"{file}: {error}") from None
            raise ConfigError(f"{error} See `{prog} --help`.") from None


# --- values as texts ---


def as_text(value: Any) -> Any:
    """A number, a switch or a path as its text; lists become tuples, and other values stay."""
    value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy, which is not loaded for this
    if isinstance(value, list | tuple):
        return tuple(map(as_text, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float | os.PathLike) else value


def texts_of(value: Any, name: str) -> tuple[Any, ...]:
    """The values of an option that takes several; a text has at least one, and commas between them."""
    value = as_text(value)
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.split(",") if part.strip())
        if not value:
            raise OptionError(f"{name} is empty: give at least one value, and commas between several.", name)
    return value if isinstance(value, tuple) else (value,)


def pairs(texts: Sequence[str], name: str) -> dict[str, str]:
    """``["osie=/data/osie"]`` as a mapping; ConfigError if a text is not NAME=PATH or repeats a name."""
    split = [text.partition("=") for text in texts]
    found = {key: os.path.expanduser(path) for key, _, path in split if key and path}  # noqa: PTH111  # a text
    if len(found) < len(split):
        raise OptionError(f"{name} is {shown(','.join(texts))}: give NAME=PATH once for each name.", name)
    return found


def name_of(name: str, field: FieldInfo) -> str:
    """The name of a field's option."""
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union without None; for any other type, this type."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(kind for part in get_args(annotation) for kind in members(part))
    return () if annotation is type(None) else (annotation,)


def form_of(field: FieldInfo) -> str:
    """How a field is written: as one ``value``, as ``values``, as ``pairs`` NAME=PATH, or as a ``switch``."""
    kinds = members(field.annotation)
    if kinds == (bool,):
        return "switch"
    forms: Mapping[Any, str] = {tuple: "values", Mapping: "pairs"}
    return next((forms[kind] for kind in map(get_origin, kinds) if kind in forms), "value")


# --- YAML ---


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Its scalars are texts, as those of a command line; null leaves a key out.

    Raises:
        ConfigError: it cannot be read, is not a mapping, or has an alias or a key twice.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.options import read_yaml
        >>> _ = Path("mine.yaml").write_text("scale: tiny\\nlearning_rate: 5e-4")
        >>> read_yaml("mine.yaml")
        {'scale': 'tiny', 'learning_rate': '5e-4'}
    """
    with naming(path, ConfigError):
        values = parse_yaml(Path(path).read_text(encoding="utf-8"), str(path)) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a mapping of options to values.")
    return {name: value for name, value in values.items() if value is not None}


def parse_yaml(text: str, where: str) -> Any:
    """The content of a YAML text, with scalars as texts; ``where`` begins messages.

    Raises:
        ConfigError: it is not YAML, or has an alias or a key twice.
    """
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        return None if node is None else _content(node, set())
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        # Without the excerpt of the file, which may have a token.
        said = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"{where} is not valid YAML{line}: {said}.") from None


def _content(node: yaml.Node, seen: set[yaml.Node]) -> Any:
    """The texts of a node. No tag is looked at, so nothing is constructed."""
    if node in seen:
        raise yaml.MarkedYAMLError(problem="an alias; write it out", problem_mark=node.start_mark)
    seen.add(node)
    if isinstance(node, yaml.ScalarNode):  # `.inf` and `.nan` as numbers are read
        text = re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", node.value, flags=re.IGNORECASE)
        return None if node.tag.endswith(":null") else text
    if isinstance(node, yaml.SequenceNode):
        return [_content(one, seen) for one in node.value]
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = str(_content(key, seen))
        if name in found:  # the last one would count, in silence
            raise yaml.MarkedYAMLError(problem=f"{name} is there twice", problem_mark=key.start_mark)
        found[name] = _content(value, seen)
    return found


# --- the command line ---


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[0].upper()}{message[1:].rstrip('.')}. See `{self.prog} --help`.")


class _Several(argparse.Action):
    """``--a 1,2 --a 3`` gives three values."""

    def __call__(self, _parser: Any, found: Any, value: Any, _option: Any = None) -> None:
        setattr(found, self.dest, (*getattr(found, self.dest, ()), *texts_of(value, self.dest)))


_ACTIONS: Mapping[str, Any] = {"values": _Several, "pairs": "append"}


def make_parser(command: type[Options], prog: str, *, everything: bool = True) -> argparse.ArgumentParser:
    """argparse's parser of a command; it leaves all values as texts.

    Args:
        command: its class.
        prog: the command, as a person types it.
        everything: whether the help lists all options, or those at the top and the names of the other groups.
    """
    everything = everything or not command.most_used
    parser = _Parser(
        prog,
        usage=" ".join([prog, "[OPTIONS]", *map(str.upper, command.positional)]),
        description=inspect.cleandoc(command.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    titles = ("Arguments", "Most used options", "Options")
    arguments, top, group = (parser.add_argument_group(title) for title in titles)
    groups = []
    for option, field in command.option_fields().items():
        group = parser.add_argument_group(field.title) if field.title else group
        form, is_top = form_of(field), option in command.most_used
        is_listed = everything or is_top or option in command.positional
        shown_help = help_of(field) if is_listed else argparse.SUPPRESS
        about: dict[str, Any] = {"action": _ACTIONS.get(form), "help": shown_help}
        if option in command.positional:
            needed = field.is_required() and not command.file_help
            nargs = ("+" if needed else "*") if form == "values" else None if needed else "?"
            arguments.add_argument(option, nargs=nargs, metavar=option.upper(), **about)
        else:
            groups.append(group.title or "")
            names = [f"--{option}", *(f"-{command.letters[one]}" for one in command.letters if one == option)]
            names += [f"--no_{option}"] if form == "switch" and field.default else []
            (top if is_top else group).add_argument(*names, metavar=metavar_of(field), **about)
    if command.file_help:
        top.add_argument("--config", metavar="FILE", help=command.file_help)
    top.add_argument("-h", "--help", action="help", help="Print this help.")
    if command.most_used:
        top.add_argument("--help_all", action="help", help="Print the help of all options.")
    if not everything:
        listed = f"`{prog} --help-all` lists all options: {'; '.join(dict.fromkeys(groups))}."
        parser.epilog = textwrap.fill(listed, 100)
    return parser


def help_of(field: FieldInfo) -> str:
    """The docstring of a field, its limits and its default, for argparse."""
    beside = [*limits_of(field), *(f"default: {text}" for text in [default_of(field)] if text)]
    return (field.description or "").replace("%", "%%") + (f" [{'; '.join(beside)}]" if beside else "")


def limits_of(field: FieldInfo) -> list[str]:
    """The limits of a number in words."""
    signs = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    bounds = [(word, getattr(limit, sign, None)) for limit in field.metadata for sign, word in signs.items()]
    return [f"{word} {bound:,}" for word, bound in bounds if bound is not None]


def default_of(field: FieldInfo) -> str:
    """The default of a field as text; empty for none, an empty one, and a switch that is off."""
    default = "" if field.is_required() else as_text(field.get_default(call_default_factory=True))
    text = ",".join(default) if isinstance(default, tuple) else str(default or "")
    return "" if text == "false" else text


def metavar_of(field: FieldInfo) -> str:
    """What the help shows for the value of a field."""
    form, kinds = form_of(field), members(field.annotation)
    if form in ("pairs", "switch"):
        return {"pairs": "NAME=PATH", "switch": ""}[form]
    if form == "values":
        kinds = members(next(get_args(kind)[0] for kind in kinds if get_origin(kind) is tuple))
    choices = [str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    names = {Path: "PATH", int: "N", float: "X"}
    name = "|".join(choices) or next((names[kind] for kind in kinds if kind in names), "TEXT")
    return f"{name},…" if form == "values" else name


def normalised(command: type[Options], words: Sequence[str], prog: str) -> list[str]:
    """The words with underscores in names, ``--flag=true`` for ``--flag`` and ``--flag=false`` for ``--no-flag``.

    Raises:
        ConfigError: there is no such option.
    """
    forms = {key: form_of(field) for key, field in command.option_fields().items()}
    made: list[str] = []
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        key, after = name[2:].replace("-", "_"), "".join(words[i + 1 : i + 2])
        if word == "--":
            return [*made, *words[i:]]
        if not name.startswith("--"):
            made.append(word)
        elif key.startswith("no_") and forms.get(key[3:]) == "switch" and not equals:
            made.append(f"--{key[3:]}=false")
        elif forms.get(key) == "switch" and not equals and after.lower() not in ("true", "false"):
            made.append(f"--{key}=true")
        elif key in forms or key in ("config", "help", "help_all"):
            made.append(f"--{key}{equals}{value}")
        else:
            raise ConfigError(f"{command.no_option(key)} See `{prog} --help`.")
    return made


def first_values(cls: type[Options], words: Sequence[str], key: str) -> tuple[str, ...]:
    """The values of one option, before the others are known; those of the file if the words have none."""
    parser = _Parser("clipdyn", add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument(f"--{key}", action=_Several)
    parser.add_argument("--config")
    found = vars(parser.parse_known_args(words)[0])
    in_file = read_yaml(cls.file_named(found["config"])) if "config" in found else {}
    return texts_of((in_file | found).get(key, ()), key)
