"""The options of `clipdyn evaluate`: flags and YAML, from `EvaluationConfig` and the settings of each kind.

A field becomes ``--its-name``, and a setting of a kind ``--<kind>-<setting>``. Several values are separated by commas,
or the option is repeated. ``--config`` names a YAML file of the same names with underscores; flags override it.
"""

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperCommand

from hf_clipdyn.benchmarks.base import Common
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.errors import ConfigError, shown
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.flat_yaml import check_keys, read_flat_yaml
from hf_clipdyn.options import check_value, choices_of, members, types_of
from hf_clipdyn.plugins import load_plugin

__all__ = ["Flag", "arguments", "command", "flags", "given_words", "named_folders", "read_arguments"]

_SCALARS = (Path, bool, int, float, str)  # of a union the first one counts


@dataclass(frozen=True)
class Flag:
    """A field of a configuration as an option of the command line and YAML.

    The field's metadata may have ``flag`` (another name here; None for no option), ``short`` (a letter) and
    ``flag_default`` (another default here).

    Attributes:
        field: of the configuration.
        item: type of its value, or of each of several.
        several: how several values are written: ``values``, ``pairs`` (NAME=PATH) or empty if there is one value.
        kind: name of the kind whose setting it is; empty for an option of all kinds.
        panel: heading in the help.
    """

    field: "Field[Any]"
    item: type
    several: str = ""
    kind: str = ""
    panel: str = "Options"

    @classmethod
    def of(cls, owner: type, field: "Field[Any]", **kind: str) -> "Flag":
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
        return cls(field, item, several, **kind)

    @property
    def key(self) -> str:
        """Its name in YAML."""
        name: str = self.field.metadata.get("flag") or self.field.name
        return f"{self.kind}_{name}" if self.kind else name

    @property
    def spelling(self) -> str:
        """Its name on the command line."""
        return "--" + self.key.replace("_", "-")

    @property
    def default(self) -> Any:
        """The default as typer takes it: several values are one text in a list."""
        value = self.field.metadata.get("flag_default", self.field.default)
        if self.several:
            return [",".join(map(_text, value))] if isinstance(value, tuple) and value else None
        return value

    @property
    def default_text(self) -> str:
        """The default as documentation prints it; empty for none."""
        value = self.default[0] if isinstance(self.default, list) else self.default
        if value is None or value is False or not self.is_option:
            return ""
        return "yes" if value is True else _text(value)

    @property
    def is_option(self) -> bool:
        """Whether it is an option and not a positional argument."""
        return not (self.field.default is MISSING and self.field.default_factory is MISSING)

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
    def parameter(self) -> inspect.Parameter:
        """The function parameter from which typer makes the option."""
        item = str if self.several else self.item
        taken: Any = list[item] if self.several else item  # type: ignore[valid-type]
        if not self.is_option:
            argument = Annotated[taken, typer.Argument(help=self.help)]
            return _parameter(self.key, argument, inspect.Parameter.empty)
        names = [self.spelling]
        if self.item is bool and self.default is not False:
            names = [f"{self.spelling}/--no-{self.spelling[2:]}"]
        if "short" in self.field.metadata:
            names.append(f"-{self.field.metadata['short']}")
        metavar = {"": None, "values": f"<{self.item.__name__.lower()},…>", "pairs": "NAME=PATH"}[
            self.several
        ]
        option = typer.Option(*names, help=self.help, metavar=metavar, rich_help_panel=self.panel)
        return _parameter(self.key, Annotated[taken | None, option], self.default)

    def words(self, given: Any) -> list[str]:
        """Typer's value as words of a command line."""
        if self.item is bool:
            return [] if given == self.default else [f"--{'' if given else 'no-'}{self.spelling[2:]}"]
        values = given if isinstance(given, list | tuple) else [given]
        return [f"{self.spelling}={one}" if self.is_option else str(one) for one in values]

    def value(self, given: Any, name: str) -> Any:
        """The field's value, from typer's value and the option's name in a message.

        Raises:
            ConfigError: a value that cannot be read or is out of its range.
        """
        if given is None or (self.several and not given):
            return {} if self.several == "pairs" else self.field.default
        value = given
        if self.several == "pairs":
            value = named_folders(given, name)
        elif not self.is_option:  # one is itself
            value = given[0] if len(given) == 1 else tuple(given)
        elif self.several:
            value = tuple(self._item(part, name) for part in _parts(given, name))
        check_value(name, value, self.field)
        return value

    def _item(self, text: str, name: str) -> Any:
        try:
            return self.item(text)
        except ValueError:
            raise ConfigError(
                f"{name} contains {shown(text)}, which is not a number: give numbers separated by commas."
            ) from None


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parts(values: Sequence[str], name: str) -> list[str]:
    """``["a,b", "c"]`` as ``["a", "b", "c"]``."""
    found = [part.strip() for value in values for part in value.split(",") if part.strip()]
    if not found:
        raise ConfigError(f"{name} is empty: give at least one value; separate several by commas.")
    return found


def named_folders(values: Sequence[str], name: str) -> dict[str, Path]:
    """``["osie=/data/osie"]`` as data set to folder."""
    found: dict[str, Path] = {}
    for value in values:
        key, equals, path = value.partition("=")
        if not (key and equals and path):
            raise ConfigError(f"{name} is {shown(value)}: give NAME=PATH, for example cifar10=/data/cifar10.")
        if key in found:
            raise ConfigError(f"{name} gives two folders for {key!r}: give one.")
        found[key] = Path(path).expanduser()
    return found


def flags() -> list[Flag]:
    """Every option: those of the configuration, then those of each kind.

    Raises:
        ConfigError: two options have one name, or no option can hold a setting's type.
    """
    common = {one.name for one in fields(Common)}
    general = sorted(fields(EvaluationConfig), key=lambda one: one.name in common)
    found = [
        Flag.of(EvaluationConfig, one) for one in general if one.metadata.get("flag", one.name) is not None
    ]
    for kind in sorted(kinds().values(), key=lambda one: (one.terms.rank, one.name)):
        panel = {"kind": kind.name, "panel": f"{kind.name}: {kind.terms.title}"}
        found += [Flag.of(kind.settings_class, one, **panel) for one in fields(kind.settings_class)]
    keys = [one.key for one in found]
    for position, one in enumerate(found):
        if one.key in keys[:position]:
            raise ConfigError(f"Two options are called {one.spelling}: rename the setting of {one.kind}.")
    return found


def command(listed: TyperCommand, args: Sequence[str], parent: typer.Context) -> TyperCommand:
    """The command with all options. The file of ``--plugin`` is imported first, since it may add some.

    Args:
        listed: the command with its own options, among them ``--config``; it calls `arguments`.
        args: the arguments after the command's name.
        parent: context of the group.

    Raises:
        ConfigError: a plug-in or the file of ``--config`` is wrong.
        UnknownNameError: the file has an unknown key.
    """
    plugin = next(Flag.of(EvaluationConfig, one) for one in fields(EvaluationConfig) if one.name == "plugins")
    scan = _built(listed, [plugin.parameter], add_help_option=False)
    first = scan.make_context(
        listed.name,
        list(args),
        parent=parent,
        resilient_parsing=True,
        ignore_unknown_options=True,
        allow_extra_args=True,
    ).params
    file = first["config"]
    values = {} if file is None else read_flat_yaml(file, lists=True)
    for path in plugin.value(first["plugin"] or _several(values.get("plugin")), plugin.spelling):
        load_plugin(path)
    return _with_defaults(listed, values, str(file))


def read_arguments(values: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """The arguments of `evaluate_revisions` that options mean, as a file of ``--config`` gives them.

    Args:
        values: by the option's name with underscores, ``repo_id`` among them; a value may be a list.
        where: they are read, for messages.

    Raises:
        ConfigError: a value that cannot be read or is out of its range, or a wrong plug-in.
        UnknownNameError: there is no such option, or a name is none of the choices.
    """
    for path in _several(values.get("plugin")) or ():
        load_plugin(Path(path))

    def read(config: Annotated[str, typer.Option()]) -> None:
        del config  # the name of a file in messages: see `arguments`

    built = _with_defaults(TyperCommand("evaluate", callback=read), values, where)
    context: Any = built.make_context("evaluate", [f"--config={where}"])
    return arguments(context)


def _with_defaults(listed: TyperCommand, values: Mapping[Any, Any], where: str) -> TyperCommand:
    """The command with all options, whose defaults are the values of a file."""
    known = {one.key: one for one in flags()}
    check_keys(values, known, where)
    defaults = {}
    for key, value in values.items():
        if isinstance(value, dict):
            raise ConfigError(f"{key} in {where} is {shown(value)}: give one value, or a list.")
        if isinstance(value, list) and (not value or not known[key].several):
            needed = "at least one" if known[key].several else "one"
            raise ConfigError(f"{key} in {where} has {len(value)} values: give {needed}.")
        if value is not None:
            defaults[key] = _several(value) if known[key].several else str(value)
    parameters = [one.parameter for one in known.values()]
    return _built(listed, parameters, context_settings={"default_map": defaults})


def _several(value: Any) -> list[str] | None:
    """A value of YAML, as typer takes an option that may be repeated."""
    return None if value is None else [str(one) for one in (value if isinstance(value, list) else [value])]


def _built(listed: TyperCommand, parameters: Sequence[inspect.Parameter], **settings: Any) -> TyperCommand:
    callback = listed.callback
    assert callback is not None
    own = [
        one for one in inspect.signature(callback).parameters.values() if one.annotation is not typer.Context
    ]

    def call(**given: Any) -> Any:
        return callback(**{one.name: given[one.name] for one in own})

    call.__signature__ = inspect.Signature([*own, *parameters])  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in (*own, *parameters)}
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(listed.name, cls=_Command, help=listed.help, **settings)(call)
    built = typer.main.get_command(app)
    assert isinstance(built, TyperCommand)
    return built


def arguments(context: typer.Context) -> dict[str, Any]:
    """The arguments of `evaluate_revisions` that a command line means; ``settings`` has the kinds that were given some.

    Raises:
        ConfigError: a value that cannot be read or is out of its range.
        UnknownNameError: a name that is none of the choices.
    """
    found: dict[str, Any] = {}
    settings: dict[str, dict[str, Any]] = {}
    for one in flags():
        name = f"{one.key} in {context.params['config']}" if _is_from_file(context, one.key) else one.spelling
        value = one.value(context.params[one.key], name)
        if not one.kind:
            found[one.field.name] = value
        elif _is_given(context, one.key):
            settings.setdefault(one.kind, {})[one.field.name] = value
    return found | {
        "settings": {kind: kinds()[kind].settings_class(**given) for kind, given in settings.items()}
    }


def given_words(context: typer.Context, without: Collection[str] = ()) -> list[str]:
    """What was given, by flags or in the file of ``--config``, as words of a command line: arguments, then options.

    Args:
        context: of the command.
        without: fields of `EvaluationConfig` that are left out.
    """
    words: list[str] = []
    for one in flags():
        if (
            _is_given(context, one.key)
            and context.params[one.key] is not None
            and one.field.name not in without
        ):
            words += one.words(context.params[one.key])
    return words


def _is_given(context: Any, key: str) -> bool:
    source = context.get_parameter_source(key)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")


def _is_from_file(context: Any, key: str) -> bool:
    source = context.get_parameter_source(key)
    return source is not None and source.name == "DEFAULT_MAP"


class _Command(TyperCommand):
    """Help in groups; an error about a value in a file names the file."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for one in sorted(self.get_params(ctx), key=lambda one: one.param_type_name != "argument"):
            record = one.get_help_record(ctx)
            if record is not None:
                title = "Arguments" if one.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(one, "rich_help_panel", None) or title, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            key = getattr(getattr(error, "param", None), "name", None)
            if key is None or not _is_from_file(ctx, key):
                raise
            cause = getattr(error, "message", str(error)).rstrip(".")
            raise ConfigError(f"{key} in {ctx.params['config']} is wrong: {cause}.") from error
