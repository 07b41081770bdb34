"""Pages of the commands, and of the options of `clipdyn evaluate`."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
import typer.models
import typer.utils

from hf_clipdyn.cli import app
from hf_clipdyn.config import train_command
from hf_clipdyn.evaluation.options import Evaluate, command_line, flags
from hf_clipdyn.fields import Flag, flags_of, members

from .page import Page, line, table

_NOTES = {
    "evaluate": "The other options say what is measured, and on which models: "
    "[Options of evaluate](../evaluate-options.md).",
    "train": "A switch needs no value: `--push_to_hub`. To turn off a switch of a recipe, give it `false`: "
    "`--push_to_hub false`.",
}
_OWN_OPTIONS = {
    "evaluate": lambda: (command_line().summary, flags_of(Evaluate)),
    "train": lambda: (train_command().summary, train_command().flags.values()),
}
"""What they do, and the options of the commands that read them from the fields of configurations."""
_PLACEHOLDERS = {Path: "PATH", str: "TEXT", int: "INTEGER", float: "FLOAT", bool: ""}


@dataclass(frozen=True)
class Parameter:
    """An argument or an option of a command.

    Attributes:
        declared: its name, type, default and help text, as typer reads them.
    """

    declared: typer.models.ParamMeta

    @property
    def info(self) -> Any:
        """What `typer.Option` or `typer.Argument` was given."""
        return self.declared.default

    @property
    def is_option(self) -> bool:
        return isinstance(self.info, typer.models.OptionInfo)

    @property
    def is_needed(self) -> bool:
        return self.info.default is ...

    @property
    def placeholder(self) -> str:
        """What stands for the value; empty for a switch."""
        types = [
            get_args(one)[0] if get_origin(one) is list else one for one in members(self.declared.annotation)
        ]
        if not self.is_option:
            several = "..." if get_origin(self.declared.annotation) is list else ""
            return self.info.metavar or self.declared.name.upper() + several
        return self.info.metavar or _PLACEHOLDERS[types[0]]

    @property
    def spellings(self) -> list[str]:
        """The spellings of an option; of a switch that is on, also the one that turns it off."""
        dashed = self.declared.name.replace("_", "-")
        if self.declared.annotation is bool and self.info.default is True:
            return [f"--{dashed}", f"--no-{dashed}"]
        return list(self.info.param_decls or (f"--{dashed}",))

    @property
    def row(self) -> tuple[str, str, str]:
        """Its row in the table of options."""
        first, *others = self.spellings if self.is_option else [""]
        names = (f"{first} {self.placeholder}".strip(), *others)
        default = "" if self.is_needed else _default(self.info.default)
        return ", ".join(f"`{one}`" for one in names), _help(self.info), default


def _help(info: Any) -> str:
    least = "" if info.min is None else f" At least {info.min}."
    return (info.help or "") + least


def command_pages() -> list[Page]:
    """A page for each command."""
    found = {_command_name(info): info for info in app.registered_commands if not info.hidden}
    return [_command(name, info.callback) for name, info in sorted(found.items())]


def _command_name(info: Any) -> str:
    return info.name or info.callback.__name__.replace("_", "-")


def _command(name: str, callback: Any) -> Page:
    declared = typer.utils.get_params_from_function(callback).values()
    parameters = [Parameter(one) for one in declared if one.annotation is not typer.Context]
    shown = sorted((one for one in parameters if not one.info.hidden), key=lambda one: one.is_option)
    rows = [one.row for one in shown]
    text = inspect.cleandoc(callback.__doc__)
    if name in _OWN_OPTIONS:
        text, own = _OWN_OPTIONS[name]()
        rows += [_flag_row(one) for one in own]
    summary, _, details = text.partition("\n\n")
    return Page(
        f"commands/{name}.md",
        f"clipdyn {name}",
        line(summary),
        [
            line(summary),
            *(line(one) for one in details.split("\n\n")),
            f"```text\n{_usage(name, shown)}\n```",
            table(("option", "meaning", "default"), rows) if rows else "The command has no options.",
            _NOTES.get(name, ""),
        ],
    )


def _usage(name: str, parameters: Sequence[Parameter]) -> str:
    arguments = [one.placeholder for one in parameters if not one.is_option]
    if name == "evaluate":
        arguments = [one.key.upper() + "..." for one in flags() if not one.is_option]
    needed = [
        f"{one.spellings[0]} {one.placeholder}" for one in parameters if one.is_option and one.is_needed
    ]
    has_options = name in _OWN_OPTIONS or any(one.is_option for one in parameters)
    return " ".join(["clipdyn", name, *arguments, *needed, *(["[OPTIONS]"] if has_options else [])])


def _default(value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    return f"{value:g}" if isinstance(value, float) else str(value)


def evaluate_options() -> Page:
    """The options of `clipdyn evaluate` that belong to no kind."""
    text = """
`clipdyn evaluate` takes these options, and those that [the command itself](commands/evaluate.md) lists. The options of
a kind, such as `--noise-levels`, are on the page of [that kind](index.md#kinds).

Separate several values by commas, or repeat the option. A YAML file that `--config` names has the same keys, with
underscores: `batch_size`. The arguments of `evaluate_revisions` have the same names, except `data_dirs` (a mapping) and
`plugins`. The settings of a kind are arguments of its `on`: `Noise.on("cifar10", stage="input")`.
"""
    general = [one for one in flags() if not one.kind]
    return Page(
        "evaluate-options.md",
        "Options of evaluate",
        "What `clipdyn evaluate` measures, on which models and how.",
        [text, flag_table(general)],
    )


def flag_table(listed: Sequence[Flag]) -> str:
    """A table of options of `clipdyn evaluate`."""
    return table(("option", "meaning", "default"), [_flag_row(one) for one in listed])


def _flag_row(flag: Flag) -> tuple[str, str, str]:
    names = [
        flag.spelling if flag.is_option else flag.key,
        *filter(None, [flag.field.metadata.get("metavar")]),
    ]
    return f"`{' '.join(names)}`", flag.help, flag.default_text
