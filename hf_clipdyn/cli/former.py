"""The commands and options of version 0.2, as those of today; to be removed in 0.4.0."""

import logging
import re
from collections.abc import Sequence

from hf_clipdyn.errors import ConfigError

__all__ = ["COMMANDS", "OPTIONS", "translated"]

COMMANDS = {
    "card": "share",
    "export-open-clip": "convert",
    "import-open-clip": "convert",
    "publish": "repair",
    "show": "report --print numbers",
    "verdicts": "report --print verdicts",
}
"""Each old command, and the one of today."""
OPTIONS = {
    "convert": {"--licence": "--license", "--model": "--from-open-clip", "--revision": "--revisions"},
    "evaluate": {"--token": "--hub-token"},
    "parity": {"--revision": "--revisions"},
    "prepare": {"--config": "--dataset-config-name", "--num-proc": "--num-processes"},
    "report": {"--all": "--metric=all", "--benchmark": "--benchmarks"},
    "share": {"--licence": "--license"},
    "study": {"--arms": "--config=study-arms", "--quick": "--config=study-quick"},
}
"""Old options of each command of today, and what replaces them; `--private` is `--hub-private-repo` in all."""
_PRIVATE = {"--private": "--hub-private-repo"}
_log = logging.getLogger(__name__)


def translated(argv: Sequence[str]) -> list[str]:
    """The words of a command line of today; warns of each word that was renamed."""
    name, words = "".join(argv[:1]), list(argv[1:])
    old = name.replace("_", "-")
    if old in COMMANDS:
        _warn(f"`clipdyn {old}`", f"`clipdyn {COMMANDS[old]}`")
        name, *first = COMMANDS[old].split()
        words = [*first, *_of_command(old, words)]
    return [name, *_renamed(name, words)] if argv else []


def _of_command(name: str, words: list[str]) -> list[str]:
    """The words of an old command whose options or arguments had another order."""
    if name == "publish":
        return [word.removeprefix("--resume=") for word in words if word != "--resume"]
    if name == "verdicts" and not any(word.startswith(("-o", "--output")) for word in words):
        return [*words, "--output", "verdicts.parquet"]
    source = []
    for option in ("--from-hub", "--from_hub", "--run") if name == "import-open-clip" else ():
        words = [
            part
            for word in words
            for part in (word.split("=", 1) if word.startswith(f"{option}=") else [word])
        ]
        if option in words[:-1]:
            place = words.index(option)
            source.append(words[place + 1])
            words = words[:place] + words[place + 2 :]
    return ["/".join(source), *words] if source else words


def _renamed(command: str, words: list[str]) -> list[str]:
    options = OPTIONS.get(command, {}) | _PRIVATE if command != "train" else {}
    # The name of the repository was the value of --push-to-hub.
    takes_name = command in ("evaluate", "prepare") and not any(
        re.match("--hub[-_]model[-_]id", word) for word in words
    )
    new_words: list[str] = []
    for word in words:
        name, equals, text = word.partition("=")
        name = name.replace("_", "-")
        after_push = bool(new_words) and new_words[-1].replace("_", "-") == "--push-to-hub"
        if name in options:
            _warn(name, options[name])
            option, fixed, _ = options[name].partition("=")
            if fixed and any(given.partition("=")[0] == option for given in [*words, *new_words]):
                raise ConfigError(
                    f"{name} stands for {options[name]}, and {option} is given too: leave out one."
                )
            new_words.append(options[name] + equals + text)
        elif takes_name and name == "--push-to-hub" and "/" in text:
            _warn("--push-to-hub NAME", "--push-to-hub --hub-model-id NAME")
            new_words += ["--push-to-hub", "--hub-model-id", text]
        elif takes_name and after_push and re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", word):
            _warn("--push-to-hub NAME", "--push-to-hub --hub-model-id NAME")
            new_words += ["--hub-model-id", word]
        else:
            new_words.append(word)
    return new_words


def _warn(old: str, new: str) -> None:
    _log.warning("%s is now %s; the old name works until version 0.4.0.", old, new)
