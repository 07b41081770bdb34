"""A card as text: keys of its YAML head and one marked section change, and every other byte stays.

The client's `ModelCard` writes the whole head again: comments, quotes and the line breaks of a list are lost, and
results of others are regrouped. ruamel.yaml keeps comments, but not the indents, the spaces in ``{a: 1,  b: 2}`` and
the breaks of Windows. Here only the lines of a changed key are replaced, and of the model index only our results.

The format of the index is in `modelcard.md` of huggingface/hub-docs; `huggingface_hub.EvalResult` has the same fields.
Each of our metrics has ``measured_by: hf-clipdyn`` in its ``args``, which other tools keep when they regroup results.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.repocard_data import model_index_to_eval_results

TOOL = "hf-clipdyn"
"""Marks our metrics in an index."""

_KEY = "model-index"
_Item = dict[str, Any]
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
        """Cut a text where the Hub cuts it; the ValueError about a bad head continues "The card of me/run "."""
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
        """What the head says; ValueError if it is not YAML."""
        try:
            data = yaml.safe_load(self.head)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            line = getattr(getattr(error, "problem_mark", None), "line", 0) + 2
            raise ValueError(f"has a YAML head that cannot be read (line {line} of README.md)") from error
        return {} if data is None else data

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
        if _same(wanted, self.data):
            return self
        block = "" if value is None else dumped({key: value})
        return self.with_head(self._key_replaced(key, block), wanted)

    def with_head(self, head: str | None, wanted: dict[str, Any]) -> "CardText":
        """The card with this head, if it says what is ``wanted``; else ``wanted`` is written in its place."""
        if head is None or not _says(head, wanted):
            head = _indented(dumped(wanted), 0, self.newline).rstrip("\r\n")
        if self.closing:
            return replace(self, head=head)
        line = f"---{self.newline}"
        return CardText(self.opening + line, head, self.newline + line + self.newline, self.body)

    def with_section(self, section: str, begin: str, end: str) -> "CardText":
        """The card with the section from line ``begin`` to line ``end`` replaced where it is, or added at the end.

        A ``begin`` without an ``end`` before the next ``begin`` opens none.
        """
        opening = rf"^{re.escape(begin)}[ \t]*\r?$"
        marked = re.compile(
            rf"{opening}(?:(?!{opening}).)*?^{re.escape(end)}(?=[ \t]*\r?$)", re.DOTALL | re.MULTILINE
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
        lines = _indented(block, 0 if root is None else root.start_mark.column, self.newline)
        given = [] if root is None else [(name, value) for name, value in _pairs(root) if name.value == key]
        if not given:
            return self.head + (self.newline if self.head else "") + lines.rstrip("\r\n")
        name, value = given[-1]
        start, end = name.start_mark.index - name.start_mark.column, _block_end(self.head, value)
        text = self.head[:start] + lines + self.head[end:]
        return text if self.head[end:] else text.rstrip("\r\n")


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Keys that are texts or numbers, and their values."""
    for name, value in node.value:
        if isinstance(name, yaml.ScalarNode):
            yield name, value


def _block_end(text: str, node: yaml.Node) -> int:
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


def _indented(block: str, columns: int, newline: str) -> str:
    """The lines of a block moved to the right, each with this break."""
    return "".join(f"{' ' * columns}{line}{newline}" for line in block.split("\n")[:-1])


def _same(value: Any, other: Any) -> bool:
    """Whether two values are written alike; unlike ``==`` it is quick for values with many aliases, and NaN is NaN."""
    return dumped(value) == dumped(other)


def _says(head: str, wanted: dict[str, Any]) -> bool:
    try:
        return _same(yaml.safe_load(head) or {}, wanted)
    except yaml.YAMLError:
        return False


def with_results(card: CardText, model_name: str, items: Sequence[_Item]) -> CardText:
    """A card whose model index has these items in the place of our earlier ones; all others stay as they are written.

    Without a result of ours, they are added to the entry ``model_name``, which is made if need be. No items: ours are
    removed. The ValueError about an index of another form continues "The card of me/run ".
    """
    entries = _entries(card.data.get(_KEY))
    keys = {_identity(item, metric) for item in items for metric in item["metrics"]}
    # For each result what it makes way for, None if it stays; the last place is for results that are added.
    pieces = [[*(_left(item, keys) for item in entry["results"]), None] for entry in entries]
    touched = [at for at, parts in enumerate(pieces) if any(part is not None for part in parts)]
    named = [at for at, entry in enumerate(entries) if entry["name"] == model_name]
    home = next(iter([*touched, *named]), None)  # a person may have renamed the entry with our results
    known = list(entries)
    if home is None and items:
        home = len(known)
        known.append({"name": model_name, "results": []})
        pieces.append([None])
    if home is not None:
        place = next((at for at, part in enumerate(pieces[home]) if part is not None), -1)
        pieces[home][place] = [*items, *(pieces[home][place] or [])]
    new = [
        {**entry, "results": results}
        for at, (entry, parts) in enumerate(zip(known, pieces, strict=True))
        if (results := _assembled(entry["results"], parts)) or at not in touched
    ]
    if _same(new, entries):
        return card
    if new:
        try:
            model_index_to_eval_results(new)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"has a model-index that the Hub's client cannot read ({error})") from error
    if home is not None and len(touched) <= 1 and len(new) == len(entries):
        head = _spliced(card, home, pieces[home])
        if head is not None:
            return card.with_head(head, {**card.data, _KEY: new})
    return card.with_key(_KEY, new or None)


_Pieces = list[list[_Item] | None]


def _assembled(results: Sequence[_Item], pieces: _Pieces) -> list[_Item]:
    kept = [[item] if piece is None else piece for item, piece in zip(results, pieces[:-1], strict=True)]
    return [item for part in (*kept, pieces[-1] or []) for item in part]


def _entries(index: Any) -> list[_Item]:
    """The entries of an index, each with its name and its list of results, each of these with its list of metrics."""
    entries = [] if index is None else index
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("results"), list)
        and all(_is_result(item) for item in entry["results"])
        for entry in entries
    ):
        raise ValueError("has a model-index that is not a list of models with results")
    return entries


def _is_result(item: Any) -> bool:
    metrics = item.get("metrics") if isinstance(item, dict) else None
    return isinstance(metrics, list) and all(isinstance(metric, dict) for metric in metrics)


def _identity(item: _Item, metric: _Item) -> tuple[str, ...]:
    """Task, data set and metric, by which a result of ours without its mark is known."""
    parts = [(item.get(name) or {}) for name in ("task", "dataset")]
    types = [str(part.get("type")) if isinstance(part, dict) else "" for part in parts]
    return *types, str(metric.get("type")), str(metric.get("name"))


def _left(item: _Item, keys: set[tuple[str, ...]]) -> list[_Item] | None:
    """A result without our metrics, in a list; None if it has none of ours, an empty list if it has no other."""

    def is_ours(metric: _Item) -> bool:
        arguments = metric.get("args")
        marked = isinstance(arguments, dict) and arguments.get("measured_by") == TOOL
        return marked or _identity(item, metric) in keys

    others = [metric for metric in item["metrics"] if not is_ours(metric)]
    if len(others) == len(item["metrics"]):
        return None
    return [{**item, "metrics": others}] if others else []


def _spliced(card: CardText, entry: int, pieces: _Pieces) -> str | None:
    """The head with the lines of single results replaced; None if these are not written as a block of lines."""
    head = card.head
    index = _value(yaml.compose(head, Loader=yaml.SafeLoader), _KEY)
    results = _value(index.value[entry], "results") if isinstance(index, yaml.SequenceNode) else None
    if not isinstance(results, yaml.SequenceNode) or results.flow_style or not results.value:
        return None
    column, text, position = results.start_mark.column, "", 0

    def block(items: Sequence[_Item]) -> str:
        return _indented(dumped(list(items)), column, card.newline) if items else ""

    for node, piece in zip(results.value, pieces[:-1], strict=True):
        if piece is None:
            continue
        start, end = head.rfind("\n", 0, node.start_mark.index) + 1, _block_end(head, node)
        if not head[start:end].startswith(" " * column + "-"):
            return None
        text += head[position:start] + block(piece)
        position = end
    end = _block_end(head, results)
    text += head[position:end]
    if added := pieces[-1]:
        text += ("" if text.endswith("\n") else card.newline) + block(added)
    return text + head[end:] if head[end:] else text.rstrip("\r\n")


def _value(node: Any, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in _pairs(node) if name.value == key), None)
