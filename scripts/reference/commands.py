"""Pages of the commands, and of the options of `clipdyn evaluate`."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import yaml

from hf_clipdyn.cli import COMMANDS
from hf_clipdyn.evaluation.options import flags
from hf_clipdyn.fields import Flag

from .page import Page, line, table

_NOTES = {
    "evaluate": "The other options say what is measured, and on which models: "
    "[Options of evaluate](../evaluate-options.md).",
    "train": "A switch needs no value: `--push_to_hub`. To turn off a switch of a recipe, give it `false`: "
    "`--push_to_hub false`.",
}
_EXAMPLES = Path(__file__).parent / "examples.yaml"


def command_pages() -> list[Page]:
    """A page for each command."""
    examples = yaml.safe_load(_EXAMPLES.read_text(encoding="utf-8"))
    if examples.keys() != COMMANDS.keys():
        wrong = ", ".join(sorted(examples.keys() ^ COMMANDS.keys()))
        raise ValueError(f"{_EXAMPLES.name} needs one example for each command and no other: {wrong}")
    return [_command(name, **examples[name]) for name in sorted(COMMANDS)]


def _command(name: str, **example: str) -> Page:
    command = COMMANDS[name].line()
    listed = command.own if name == "evaluate" else command.flags.values()
    arguments = [flag.usage for flag in command.flags.values() if not flag.is_option]
    needed = [flag.usage.partition(",")[0] for flag in listed if flag.is_option and flag.is_required]
    summary, _, details = command.summary.partition("\n\n")
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
            *_example(**example),
            "## Options",
            *(_by_group(list(listed)) if listed else ["The command has no options."]),
        ],
    )


def _example(command: str, output: str = "", not_run: str = "") -> list[str]:
    note = f" no-run: {not_run}" if not_run else ""
    printed = f"It prints:\n\n```text\n{output.rstrip()}\n```" if output else ""
    return [f"```bash{note}\n{command}\n```", printed]


def _by_group(listed: Sequence[Flag]) -> list[str]:
    """A table of the options of each group, in the order of the help; first of those in no group."""
    parts = []
    ordered = sorted(listed, key=lambda one: one.group != "Options")
    for name, group in groupby(ordered, lambda one: one.group):
        parts += [f"### {name}" if name != "Options" else "", flag_table(list(group))]
    return parts


def evaluate_options() -> Page:
    """The options of `clipdyn evaluate` that belong to no kind."""
    text = """
`clipdyn evaluate` takes these options, and those that [the command itself](commands/evaluate.md) lists. The options of
a kind, such as `--noise-levels`, are on the page of [that kind](index.md#kinds).

Separate several values by commas, or repeat the option. A YAML file that `--config` names has the same keys, with
underscores: `batch_size`. The arguments of `evaluate_revisions` have the same names, except `data_dirs` (a mapping),
`plugins`, `private` and `token`. The settings of a kind are arguments of its `on`:
`Noise.on("cifar10", stage="input")`.
"""
    general = [one for one in flags() if not one.kind]
    return Page(
        "reference/evaluate-options.md",
        "Options of evaluate",
        "What `clipdyn evaluate` measures, on which models and how.",
        [text, flag_table(general)],
    )


def flag_table(listed: Sequence[Flag]) -> str:
    """A table of options."""
    return table(("option", "meaning", "default"), [_flag_row(one) for one in listed])


def _flag_row(flag: Flag) -> tuple[str, str, str]:
    return ", ".join(f"`{name}`" for name in flag.usage.split(", ")), flag.help, flag.default_text
