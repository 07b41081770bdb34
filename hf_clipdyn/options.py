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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from hf_clipdyn.errors import ConfigError, closest_name, naming

MOST_USED = "Most used options"


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
            raise self._first_error(error) from None

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
    def option_names(cls) -> Iterable[str]:
        """The names of all options, which an unknown name is compared with."""
        return cls.option_fields()

    @classmethod
    def file_named(cls, name: str) -> Path:
        """The file that ``--config`` names."""
        return Path(name).expanduser()

    @classmethod
    def read(
        cls, words: Sequence[str], prog: str = "clipdyn", kinds: "Mapping[str, type[Options]] | None" = None
    ) -> Self:
        """From the words of a command line; the file of ``--config`` gives what they leave out.

        ``--help`` and ``--help-all`` print the help and exit.

        Args:
            words: after the command's name.
            prog: the command, as a person types it.
            kinds: further options by prefix: those of ``{"noise": …}`` are called ``noise_…``.

        Raises:
            ConfigError: an option or the file is wrong.
        """
        models = {"": cls} | {f"{kind}_": settings for kind, settings in (kinds or {}).items()}
        parser = make_parser(models, prog, everything="--help-all" in words)
        # The first reads values after `--`, the second those between options.
        parse = parser.parse_args if "--" in words else parser.parse_intermixed_args
        values = vars(parse(normalised(models, words, prog)))
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

    @classmethod
    def _first_error(cls, error: ValidationError) -> ConfigError:
        """What is wrong first, in one sentence."""
        first = error.errors(include_url=False)[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ConfigError):
            return cause
        name, kind = str(first["loc"][0]) if first["loc"] else "", first["type"]
        if kind == "extra_forbidden":
            return OptionError(cls.no_option(name), name)
        if kind == "missing":
            return OptionError(f"{name} is missing: give it.", name)
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        if not name:
            return ConfigError(f"{message}.")
        value, message = str(first["input"])[:60], message[0].lower() + message[1:]
        if kind == "literal_error":
            choices = re.findall("'([^']+)'", str(first["ctx"]["expected"]))
            return OptionError(f"{name} is {value!r}: {message}.{meant(value, choices)}", name)
        return OptionError(f"{name} is {value!r}: {message}.", name)

    @classmethod
    def no_option(cls, name: str) -> str:
        """The sentence about an option that does not exist, or not any more."""
        if name in cls.former:
            return f"The option {name} is gone since version 0.4: {cls.former[name]}."
        return no_such("option", name, cls.option_names())


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """``There is no option sed. Did you mean seed?``"""
    return f"There is no {what} {name[:80]!r}.{meant(name, known)}"


def meant(name: str, known: Iterable[str]) -> str:
    """`` Did you mean seed?``, or nothing if no known name is similar."""
    close = closest_name(name, known)
    return f" Did you mean {close}?" if close else ""


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


def pairs(texts: Iterable[str], name: str) -> dict[str, str]:
    """``["osie=/data/osie"]`` as a mapping; ConfigError if a text is not NAME=PATH or repeats a name."""
    found: dict[str, str] = {}
    for text in texts:
        key, _, path = text.partition("=")
        if not (key and path) or key in found:
            raise OptionError(f"{name} is {text[:60]!r}: give NAME=PATH once for each name.", name)
        found[key] = os.path.expanduser(path)  # noqa: PTH111  # a text, as values of flags are
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
    origins = [get_origin(kind) for kind in kinds]
    if kinds == (bool,):
        return "switch"
    return "values" if tuple in origins else "pairs" if Mapping in origins else "value"


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
        return _Texts(text).get_single_data()
    except yaml.MarkedYAMLError as error:  # without its excerpt of the file, which may have a token
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where} is not valid YAML{line}: {error.problem or error.context}.") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{where} is not valid YAML: {str(error).partition(chr(10))[0]}.") from None


class _Texts(yaml.SafeLoader):
    """Reads scalars as texts, and refuses aliases and repeated keys, of which the last would count in silence."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML declares it
        first: [rule for rule in rules if rule[0].endswith(":null")]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        text = str(super().construct_scalar(node))
        return re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text, flags=re.IGNORECASE)  # as numbers are read

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(problem="an alias; write the value", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                twice = f"{key.value} is there twice"
                raise yaml.composer.ComposerError(problem=twice, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return dict(super().construct_mapping(node, deep))


# --- the command line ---


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[0].upper()}{message[1:].rstrip('.')}. See `{self.prog} --help`.")


class _Several(argparse.Action):
    """``--a 1,2 --a 3`` gives three values."""

    def __call__(self, _parser: Any, found: Any, value: Any, _option: Any = None) -> None:
        setattr(found, self.dest, (*getattr(found, self.dest, ()), *texts_of(value, self.dest)))


def make_parser(
    models: Mapping[str, type[Options]], prog: str, *, everything: bool = True
) -> argparse.ArgumentParser:
    """argparse's parser of a command; it leaves all values as texts.

    Args:
        models: the command's class for the prefix ``""``, and further options by their prefix.
        prog: the command, as a person types it.
        everything: whether the help lists all options, or those at the top and the names of the other groups.
    """
    main = models[""]
    everything = everything or not main.most_used
    parser = _Parser(
        prog,
        usage=" ".join([prog, "[OPTIONS]", *(name.upper() for name in main.positional)]),
        description=textwrap.dedent(inspect.cleandoc(main.__doc__ or "")),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    arguments, top = parser.add_argument_group("Arguments"), parser.add_argument_group(MOST_USED)
    titles = []
    for prefix, model in models.items():
        group = parser.add_argument_group(f"Settings of {prefix[:-1]}" if prefix else "Options")
        for key, field in model.option_fields().items():
            group = parser.add_argument_group(field.title) if field.title else group
            option, form = prefix + key, form_of(field)
            is_top = option in main.most_used
            is_listed = everything or is_top or option in main.positional
            about: dict[str, Any] = {
                "action": {"values": _Several, "pairs": "append"}.get(form, "store"),
                "help": help_of(field) if is_listed else argparse.SUPPRESS,
            }
            if option in main.positional:
                needed = field.is_required() and not main.file_help
                nargs = ("+" if needed else "*") if form == "values" else None if needed else "?"
                arguments.add_argument(key, nargs=nargs, metavar=key.upper(), **about)
            else:
                titles.append(str(group.title))
                also = [f"-{main.letters[option]}"] if option in main.letters else []
                also += [f"--no_{option}"] if form == "switch" and field.default else []
                place = top if is_top else group
                place.add_argument(f"--{option}", *also, metavar=metavar_of(field), **about)
    if main.file_help:
        top.add_argument("--config", metavar="FILE", help=main.file_help)
    top.add_argument("-h", "--help", action="help", help="Print this help.")
    if main.most_used:
        top.add_argument("--help_all", action="help", help="Print the help of all options.")
    if not everything:
        groups = "; ".join(dict.fromkeys(titles))
        parser.epilog = textwrap.fill(f"`{prog} --help-all` lists all options: {groups}.", 100)
    return parser


def help_of(field: FieldInfo) -> str:
    """The docstring of a field, its limits and its default, for argparse."""
    beside = [*limits_of(field), *(f"default: {text}" for text in [default_of(field)] if text)]
    return (text_of(field) + (f" [{'; '.join(beside)}]" if beside else "")).replace("%", "%%")


def text_of(field: FieldInfo) -> str:
    """The docstring of a field as one paragraph."""
    return " ".join((field.description or "").split())


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
    name = "|".join(choices) or next((name for kind, name in _METAVARS.items() if kind in kinds), "TEXT")
    return f"{name},…" if form == "values" else name


_METAVARS = {Path: "PATH", int: "N", float: "X"}


def normalised(models: Mapping[str, type[Options]], words: Sequence[str], prog: str) -> list[str]:
    """The words with underscores in names, ``--flag=true`` for ``--flag`` and ``--flag=false`` for ``--no-flag``.

    Raises:
        ConfigError: there is no such option.
    """
    fields = {
        f"{prefix}{key}": field for prefix in models for key, field in models[prefix].option_fields().items()
    }
    switches = {key for key, field in fields.items() if form_of(field) == "switch"}
    made: list[str] = []
    for i, word in enumerate(words):
        after = "".join(words[i + 1 : i + 2])
        name, equals, value = word.partition("=")
        key = name[2:].replace("-", "_")
        if word == "--":
            return [*made, *words[i:]]
        if not name.startswith("--"):
            made.append(word)
        elif key.startswith("no_") and key[3:] in switches and not equals:
            made.append(f"--{key[3:]}=false")
        elif key in switches and not equals and after.lower() not in ("true", "false"):
            made.append(f"--{key}=true")
        elif key in fields or key in ("config", "help", "help_all"):
            made.append(f"--{key}{equals}{value}")
        else:
            raise ConfigError(f"{models[''].no_option(key)} See `{prog} --help`.")
    return made


def first_values(cls: type[Options], words: Sequence[str], key: str) -> tuple[str, ...]:
    """The values of one option, before the others are known; those of the file if the words have none."""
    parser = _Parser("clipdyn", add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument(f"--{key}", action=_Several)
    parser.add_argument("--config")
    found = vars(parser.parse_known_args(words)[0])
    in_file = read_yaml(cls.file_named(found["config"])) if "config" in found else {}
    return texts_of((in_file | found).get(key, ()), key)
