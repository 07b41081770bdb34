"""Docstrings as griffe's parser of Google's style expects them; mkdocs.yml names this file."""

import re
from typing import Any

import griffe

# Other words of the package for sections that the parser knows.
_SECTIONS = {"Example": "Examples", "Attributes (of the class)": "Attributes"}
_HEADING = re.compile(rf"^({'|'.join(map(re.escape, _SECTIONS))}):$", re.MULTILINE)
# `a, b: what both are`, with the lines that follow it.
_SHARED = re.compile(r"^    (\w+(?:, \w+)+)(:.*(?:\n {5,}.*)*)", re.MULTILINE)


class Sections(griffe.Extension):
    """Renames sections of docstrings, and gives parameters that share an entry one each."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """An object of the package was read from its source."""
        if obj.docstring is not None:
            text = _HEADING.sub(lambda match: f"{_SECTIONS[match[1]]}:", obj.docstring.value)
            obj.docstring.value = _SHARED.sub(_one_by_one, text)


def _one_by_one(match: re.Match[str]) -> str:
    names, meaning = match.groups()
    return "\n".join(f"    {name}{meaning}" for name in names.split(", "))
