"""Pages of the commands."""

import json
from pathlib import Path

import yaml
from pydantic.fields import FieldInfo

from hf_clipdyn.cli import command_class, command_names
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.options import Options, default_of, form_of, limits_of, metavar_of, name_of

from .page import Page, bullets, line, plain

_NOTES = {
    "evaluate": "Options of a kind, such as `--noise_levels`, are on the page of [that kind](../index.md#kinds). "
    "Separate several values by commas, or repeat the option. The file of `--config` has the same keys, and the "
    "arguments of `evaluate_revisions` have the same names. In Python, a kind takes its settings by `on`: "
    '`Noise.on("cifar10", stage="input")`.',
    "train": "A switch needs no value: `--push_to_hub`. To turn off a switch of a recipe, give it `false`: "
    "`--push_to_hub false`.",
}
_EXAMPLES = Path(__file__).parent / "examples.yaml"


def command_pages() -> list[Page]:
    """A page for each command."""
    examples = yaml.safe_load(_EXAMPLES.read_text(encoding="utf-8"))
    names = command_names()
    if examples.keys() != set(names):
        wrong = ", ".join(sorted(examples.keys() ^ set(names)))
        raise ValueError(f"{_EXAMPLES.name} needs one example for each command and no other: {wrong}")
    printed = json.loads(_EXAMPLES.with_name("outputs.json").read_text(encoding="utf-8"))
    return [_command(name, printed.get(name, []), **examples[name]) for name in sorted(names)]


def _command(name: str, printed: list[str], **example: str) -> Page:
    command: type[Options] = command_class(name)
    fields = command.option_fields()
    listed = {key: fields[key] for key in command.positional}
    measured = EvaluationConfig.option_fields() if name == "evaluate" else {}
    listed |= {key: one for key, one in fields.items() if key not in measured}
    arguments = [key.upper() + "..." * (form_of(fields[key]) == "values") for key in command.positional]
    needed = [
        f"--{key} {metavar_of(one)}"
        for key, one in fields.items()
        if one.is_required() and key not in command.positional
    ]
    summary, _, details = (command.__doc__ or "").strip().partition("\n\n")
    form = ["clipdyn", name, *arguments, *needed, *(["[OPTIONS]"] if listed else [])]
    return Page(
        f"reference/commands/{name}.md",
        f"clipdyn {name}",
        line(summary),
        [
            line(summary),
            *(line(one) for one in details.split("\n\n")),
            f"```text\n{' '.join(form)}\n```",
            _NOTES.get(name, ""),
            "## Example",
            *_example("".join(f"{one}\n" for one in printed), **example),
            "## Options",
            *(_by_group(command, listed) if listed else ["The command has no options."]),
            *(["### What is measured", option_list(EvaluationConfig)] if name == "evaluate" else []),
        ],
    )


def _example(output: str, command: str, prints: str = "", ran: str = "", not_run: str = "") -> list[str]:
    note = f" no-run: {not_run}" if not_run else ""
    mark = f"<!-- prints: {prints}{f' of: {ran}' if ran else ''} -->"
    return [
        f"```bash{note}\n{command}\n```",
        f"It prints:\n\n{mark}\n\n```text\n{output}```" if prints else "",
    ]


def _by_group(command: type[Options], listed: dict[str, FieldInfo]) -> list[str]:
    """The options of each group, in the order of the help; first those in no group."""
    groups: dict[str, list[str]] = {"": []}
    title = ""
    for key, one in listed.items():
        title = one.title or title
        groups.setdefault(title, []).append(_row(command, key, one))
    if command.file_help:
        groups[""].append(plain(f"`--config FILE`: {command.file_help}"))
    return [part for name, rows in groups.items() for part in (name and f"### {name}", bullets(rows))]


def option_list(options: type[Options], prefix: str = "") -> str:
    """A list of options; empty if there are none."""
    own = options.option_fields()
    if options is EvaluationConfig:  # without the settings of kinds
        own = {
            key: own[key]
            for key in map(name_of, options.model_fields, options.model_fields.values())
            if key in own and key not in options.positional
        }
    return bullets(_row(options, key, one, prefix) for key, one in own.items())


def _row(options: type[Options], key: str, field: FieldInfo, prefix: str = "") -> str:
    metavar, default = metavar_of(field), default_of(field)
    if key in options.positional:
        usage = _code(key.upper() + "..." * (form_of(field) == "values"))
    else:
        usage = _code(f"--{prefix}{key} {metavar}".strip())
        also = [f"-{letter}" for name, letter in options.letters.items() if name == key]
        also += [f"--no_{prefix}{key}"] if form_of(field) == "switch" and field.default else []
        usage = ", ".join([usage, *map(_code, also)])
    limits = "; ".join(limits_of(field)) if metavar != "N" else ""  # `--help` has those of whole numbers
    meaning = f"{usage}: {field.description or ''}" + (f" {limits.capitalize()}." if limits else "")
    return plain(meaning + (f" Default: {default}." if default else ""))


def _code(text: str) -> str:
    return f"`{text}`"
