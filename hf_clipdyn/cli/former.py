"""The commands of version 0.2, as those of today; to be removed in 0.4.0."""

import logging
from collections.abc import Callable, Sequence

from hf_clipdyn.command_line import OLD_UNTIL

__all__ = ["FORMER", "translated"]

_log = logging.getLogger(__name__)


def _verdicts(words: list[str]) -> list[str]:
    has_output = any(word.startswith(("-o", "--output")) for word in words)
    return [*words, "--print", "verdicts", *([] if has_output else ["--output", "verdicts.parquet"])]


def _import(words: list[str]) -> list[str]:
    """The repository of ``--from-hub`` and the folder of ``--run`` are the first word now."""
    left, taken = [], dict[str, str]()
    pending = list(words)
    while pending:
        name, equals, text = pending.pop(0).partition("=")
        key = name.replace("_", "-")
        if key not in ("--from-hub", "--run"):
            left.append(name + equals + text)
        elif equals or pending:
            taken[key] = text if equals else pending.pop(0)
    source = [taken[one] for one in ("--from-hub", "--run") if one in taken]
    return [*(["/".join(source)] if source else []), *left]


FORMER: dict[str, tuple[str, Callable[[list[str]], list[str]]]] = {
    "card": ("share cards", lambda words: ["cards", *words]),
    "export-open-clip": ("convert", list),
    "import-open-clip": ("convert", _import),
    "publish": (
        "repair",
        lambda words: [word.removeprefix("--resume=") for word in words if word != "--resume"],
    ),
    "show": ("report --print numbers", lambda words: [*words, "--print", "numbers"]),
    "space": ("share page", lambda words: ["page", *words]),
    "verdicts": ("report --print verdicts", _verdicts),
}
"""Each old command: the new one, and its words from the old ones."""


def translated(argv: Sequence[str]) -> list[str]:
    """The words of a command line of today; warns if the command was renamed."""
    name, words = "".join(argv[:1]).replace("_", "-"), list(argv[1:])
    if name not in FORMER:
        return list(argv)
    new, change = FORMER[name]
    _log.warning("`clipdyn %s` is now `clipdyn %s`; %s", name, new, OLD_UNTIL)
    return [new.partition(" ")[0], *change(words)]
