"""Docstrings as griffe's parser of Google's style expects them; mkdocs.yml names this file."""

import re
from typing import Any

import griffe

# `a, b: what both are`, with the lines that follow it.
_SHARED = re.compile(r"^    (\w+(?:, \w+)+)(:.*(?:\n {5,}.*)*)", re.MULTILINE)


class Sections(griffe.Extension):
    """Gives parameters that share an entry one each."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """An object of the package was read from its source."""
        if obj.docstring is not None:
            obj.docstring.value = _SHARED.sub(_one_by_one, obj.docstring.value)


def _one_by_one(match: re.Match[str]) -> str:
    names, meaning = match.groups()
    return "\n".join(f"    {name}{meaning}" for name in names.split(", "))
