"""A card as text: keys of its YAML head and one marked section change, and every other byte stays.

The client's `ModelCard` writes the whole head again: comments, quotes and the line breaks of a list are lost, and
results of others are regrouped. Here only the lines of a changed key are replaced.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

__all__ = ["CardText", "block_end", "dumped", "indented", "pairs", "same"]

_BOM = "\ufeff"


@dataclass(frozen=True)
class CardText:
    """The parts of a README.md; together they are its text.

    Attributes:
        opening: what precedes the head, with the line of dashes.
        head: the YAML, without the break of its last line.
        closing: that break, and the second line of dashes.
        body: the Markdown.
    """

    opening: str
    head: str
    closing: str
    body: str

    @classmethod
    def parse(cls, text: str) -> "CardText":
        """Cut a text where the Hub cuts it.

        Raises:
            ValueError: the head is not a YAML mapping; the message continues "The card of me/run ".
        """
        mark, text = text[: text.startswith(_BOM)], text.removeprefix(_BOM)
        match = REGEX_YAML_BLOCK.search(text)
        if match is None:
            return cls(mark, "", "", text)
        card = cls(mark + match[1], match[2], match[3], text[match.end() :])
        if not isinstance(card.data, dict):
            raise ValueError("has a YAML head that is not a mapping")
        return card

    def __str__(self) -> str:
        return f"{self.opening}{self.head}{self.closing}{self.body}"

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the head says.

        Raises:
            ValueError: it is not YAML.
        """
        try:
            found = yaml.safe_load(self.head)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            line = getattr(getattr(error, "problem_mark", None), "line", 0) + 2
            raise ValueError(f"has a YAML head that cannot be read (line {line} of README.md)") from error
        return {} if found is None else found

    @property
    def newline(self) -> str:
        """The break of its lines."""
        return "\r\n" if "\r\n" in str(self) else "\n"

    def with_key(self, key: str, value: Any) -> "CardText":
        """The card with another value of a top-level key of the head; None removes the key.

        If the head is written so unusually that its lines cannot be replaced, all of it is written again.
        """
        wanted = {**self.data, key: value}
        if value is None:
            del wanted[key]
        if same(wanted, self.data):
            return self
        block = "" if value is None else dumped({key: value})
        return self.with_head(self._key_replaced(key, block), wanted)

    def with_head(self, head: str | None, wanted: dict[str, Any]) -> "CardText":
        """The card with this head, if it says what is ``wanted``; else ``wanted`` is written in its place."""
        if head is None or not _says(head, wanted):
            head = indented(dumped(wanted), 0, self.newline).rstrip("\r\n")
        if self.closing:
            return replace(self, head=head)
        line = f"---{self.newline}"
        return CardText(self.opening + line, head, self.newline + line + self.newline, self.body)

    def with_section(self, section: str, begin: str, end: str) -> "CardText":
        """The card with the section between two lines replaced where it is, or added at the end.

        Args:
            section: from the line ``begin`` to the line ``end``, both included.
            begin: line that opens it. One without an ``end`` before the next ``begin`` opens none.
            end: line that closes it.
        """
        marked = re.compile(
            rf"^{re.escape(begin)}[ \t]*\r?$(?:(?!^{re.escape(begin)}[ \t]*\r?$).)*?^{re.escape(end)}(?=[ \t]*\r?$)",
            re.DOTALL | re.MULTILINE,
        )
        section = section.strip().replace("\n", self.newline)
        if marked.search(self.body):
            return replace(self, body=marked.sub(lambda _: section, self.body, count=1))
        kept, line = self.body, self.newline
        gap = "" if not kept.strip() or kept.endswith(2 * line) else line if kept.endswith(line) else 2 * line
        return replace(self, body=f"{kept}{gap}{section}{line}")

    def _key_replaced(self, key: str, block: str) -> str | None:
        """The head with the lines of a key replaced by a block of YAML; None if it is not a block itself."""
        root = yaml.compose(self.head, Loader=yaml.SafeLoader)
        if root is not None and (not isinstance(root, yaml.MappingNode) or root.flow_style):
            return None
        lines = indented(block, 0 if root is None else root.start_mark.column, self.newline)
        found = [] if root is None else [pair for pair in pairs(root) if pair[0].value == key]
        if not found:
            return self.head + (self.newline if self.head else "") + lines.rstrip("\r\n")
        name, value = found[-1]
        start, end = name.start_mark.index - name.start_mark.column, block_end(self.head, value)
        text = self.head[:start] + lines + self.head[end:]
        return text if self.head[end:] else text.rstrip("\r\n")


def pairs(node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Keys that are texts or numbers, and their values."""
    for name, value in node.value:
        if isinstance(name, yaml.ScalarNode):
            yield name, value


def block_end(text: str, node: yaml.Node) -> int:
    """Where the lines of a node end; the parser counts the comments after a block as its own."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    end = node.end_mark.index
    if text[end - 1 : end] == "\n":  # after a literal block
        return int(end)
    line = text.find("\n", end)
    return len(text) if line < 0 else line + 1


def dumped(value: Any) -> str:
    """A value as YAML in block style; equal values give equal texts."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))
    return str(text)


class _Dumper(yaml.SafeDumper):
    """Writes breaks that are not newlines as escapes; SafeDumper writes them so that they are read as spaces."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        breaks = set(data) & {"\x85", "\u2028", "\u2029"}
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"' if breaks else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def indented(block: str, columns: int, newline: str) -> str:
    """The lines of a block moved to the right, each with this break."""
    return "".join(f"{' ' * columns}{line}{newline}" for line in block.split("\n")[:-1])


def same(one: Any, other: Any) -> bool:
    """Whether two values are written alike; unlike ``==`` it is quick for values with many aliases, and NaN is NaN."""
    return dumped(one) == dumped(other)


def _says(head: str, wanted: dict[str, Any]) -> bool:
    try:
        return same(yaml.safe_load(head) or {}, wanted)
    except yaml.YAMLError:
        return False
