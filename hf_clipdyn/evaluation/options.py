"""The options of `clipdyn evaluate`: flags and YAML, from `EvaluationConfig` and the settings of each kind.

A field becomes ``--its-name``, and a setting of a kind ``--<kind>-<setting>``. Several values are separated by commas,
or the option is repeated. ``--config`` names a YAML file of the same names with underscores; flags override it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from hf_clipdyn.benchmarks.settings import OWN_SETTINGS, Common, KindSettings
from hf_clipdyn.command_line import CommandLine
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.fields import Flag, Given, flags_of, option
from hf_clipdyn.plugins import KINDS, load_plugin, plugins
from hf_clipdyn.schema import read_yaml

_SUMMARY = """Measure benchmarks on the revisions of runs, or of any image encoders on the Hub or in folders.

Cells that are already in the table are skipped. If the command is killed, only its current cell is lost. With
`accelerate launch` or `torchrun`, use scripts/evaluate.py: it is the same command."""


@dataclass(frozen=True)
class Evaluate:
    """The options of the command itself, beside those of the evaluation."""

    config: Path | None = option(
        None,
        "YAML file of these options, written with underscores. Flags override it.",
        group="Options",
        top=True,
    )
    dry_run: bool = option(False, "Print cells, images and expected time; write nothing.", top=True)
    quiet: bool = option(False, "Print only the result, warnings and errors.")


def flags() -> list[Flag]:
    """Every option of an evaluation: those of the configuration, then those of each kind.

    Raises:
        ConfigError: no option can hold a setting's type.
    """
    return list(command_line().keys.values())


def command_line() -> CommandLine:
    """The options of the command, of the configuration and of each kind.

    Raises:
        ConfigError: two options share a name, or no option can hold a setting's type.
    """
    return _command_line(tuple(_settings_classes().items()))


@cache
def _command_line(settings_classes: tuple[tuple[str, type[KindSettings]], ...]) -> CommandLine:
    common = {one.name for one in fields(Common)}
    options = sorted(flags_of(EvaluationConfig), key=lambda flag: flag.field.name in common)
    for kind, settings in settings_classes:
        options += flags_of(settings, kind=kind, group=f"Settings of {kind}")
    return CommandLine("clipdyn evaluate", _SUMMARY, options, flags_of(Evaluate))


def _settings_classes() -> dict[str, type[KindSettings]]:
    """The settings of each kind; kinds are only loaded if there are plug-ins."""
    if not any(plugins(KINDS)):
        return dict(OWN_SETTINGS)
    from hf_clipdyn.benchmarks.registry import kinds

    return dict(OWN_SETTINGS) | {name: kind.settings_class for name, kind in kinds().items()}


@dataclass(frozen=True)
class Evaluation:
    """What a command line asks for.

    Attributes:
        command: its own options.
        given: the options of the evaluation that were given, by key, from flags or from the file.
    """

    command: Evaluate
    given: Mapping[str, Given]

    @classmethod
    def read(cls, argv: Sequence[str]) -> "Evaluation":
        """Read the words after the command's name. The plug-ins are imported first, since they may add options.

        Raises:
            ConfigError: a plug-in, the file of ``--config`` or an option is wrong.
            UnknownNameError: the file has an unknown key.
        """
        known = command_line()
        first = known.read(argv, known_only=True)
        file = known.flags["config"].value(first.get("config"))
        values = {} if file is None else read_yaml(file, lists=True)
        for path in known.flags["plugin"].value(first.get("plugin") or _of_file(values.get("plugin"))):
            load_plugin(path)
        line = command_line()
        given = line.read_file(values, str(file)) | line.read(argv)
        own = Evaluate(**{flag.field.name: flag.value(given.get(flag.key)) for flag in line.own})
        return cls(own, {key: one for key, one in given.items() if key in line.keys})

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `evaluate_revisions`."""
        return arguments(self.given)


def read_arguments(values: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """The arguments of `evaluate_revisions` that options mean, as a file of ``--config`` gives them.

    Args:
        values: by the option's name with underscores, ``repo_id`` among them; a value may be a list.
        where: they are read, for messages.

    Raises:
        ConfigError: a value that cannot be read or is out of its range, or a wrong plug-in.
        UnknownNameError: there is no such option, or a name is not one of the choices.
    """
    plugins = _of_file(values.get("plugin"))
    for path in () if plugins is None else plugins.texts:
        load_plugin(Path(path))
    return arguments(command_line().read_file(values, where))


def arguments(given: Mapping[str, Given]) -> dict[str, Any]:
    """The arguments of `evaluate_revisions` that options mean; ``settings`` has the kinds that were given some.

    Raises:
        ConfigError: no model is named, or a value cannot be read or is out of its range.
        UnknownNameError: a name is not one of the choices.
    """
    if "repo_id" not in given:
        raise ConfigError("REPO_ID is missing: name what to evaluate. See `clipdyn evaluate --help`.")
    values: dict[str, Any] = {}
    settings: dict[str, dict[str, Any]] = {}
    for flag in flags():
        value = flag.value(given.get(flag.key))
        if not flag.kind:
            values[flag.field.name] = value
        elif flag.key in given:
            settings.setdefault(flag.kind, {})[flag.field.name] = value
    return values | {
        "settings": {kind: _settings_classes()[kind](**options) for kind, options in settings.items()}
    }


def _of_file(value: Any) -> Given | None:
    """The plug-ins that a file names."""
    texts = value if isinstance(value, list) else [value]
    return None if value is None else Given(tuple(map(str, texts)), "plugin")
