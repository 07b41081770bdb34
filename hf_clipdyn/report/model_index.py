"""The results of a run in the model index of its card, beside those of others.

The format is in `modelcard.md` of huggingface/hub-docs; `huggingface_hub.EvalResult` has the same fields. Each of our
metrics has ``measured_by: hf-clipdyn`` in its ``args``, which other tools keep when they regroup results.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

from hf_clipdyn.report.card_text import CardText, block_end, dumped, indented, pairs, same
from hf_clipdyn.report.final_results import FinalResult, final_results, hub_dataset
from hf_clipdyn.report.study import Study

__all__ = ["TASK", "dataset_address", "index_results", "with_results"]

TASK = "image-feature-extraction"
"""The Hub's name of what is measured on images alone."""

_KEY, _TOOL = "model-index", "hf-clipdyn"
_Item = dict[str, Any]


def dataset_address(repo_id: str) -> str:
    """The page of a data set on the Hub."""
    return f"https://huggingface.co/datasets/{quote(repo_id)}"


def index_results(own: Study, results_dataset: str | None = None) -> list[_Item]:
    """The main metrics of the last revision of a run, an item of the index for each benchmark.

    Args:
        own: the study of one run.
        results_dataset: data set on the Hub with the whole table, which each item then names as its source.
    """
    return [_item(results, results_dataset) for results in final_results(own)]


def _item(results: Sequence[FinalResult], results_dataset: str | None) -> _Item:
    one = results[0].one
    title, synthetic = one.dataset_terms.title, one.dataset_terms.synthetic
    source = {"name": "Results of every revision", "url": dataset_address(results_dataset or "")}
    return {
        "task": {"type": one.terms.task or TASK, "name": one.terms.title},
        "dataset": {
            "name": f"{title} (synthetic)" if synthetic else title,
            "type": hub_dataset(one) or one.dataset,
            "split": one.split,
            "args": {"fingerprint": one.data_fingerprint[:12]},
        },
        "metrics": [_metric(result) for result in results],
        **({"source": source} if results_dataset else {}),
    }


def _metric(result: FinalResult) -> _Item:
    interval = [round(end, 4) for end in result.interval or ()]
    return {
        "type": result.one.metric,
        "value": round(result.value, 4),
        "name": f"{result.title}, {result.revision}",
        "args": {
            "measured_by": _TOOL,
            "revision": result.revision,
            "n": result.n,
            **({"interval": interval} if interval else {}),
            **({"confidence_level": result.confidence} if result.confidence else {}),
        },
        "verified": False,
    }


def with_results(card: CardText, model_name: str, items: Sequence[_Item]) -> CardText:
    """A card whose model index has these items in the place of our earlier ones; all others stay as they are written.

    Args:
        card: of the model.
        model_name: name of the entry that is made if there is none of ours, or of that name.
        items: from `index_results`; none removes our results.

    Raises:
        ValueError: the index has another form; the message continues "The card of me/run ".
    """
    entries = _checked(card.data.get(_KEY))
    keys = {_identity(item, metric) for item in items for metric in item["metrics"]}
    left = [[_without_ours(item, keys) for item in entry["results"]] for entry in entries]
    pieces = [_pieces(entry["results"], part) for entry, part in zip(entries, left, strict=True)]
    touched = [number for number, part in enumerate(pieces) if any(one is not None for one in part)]
    named = [number for number, entry in enumerate(entries) if entry["name"] == model_name]
    home = next(iter([*touched, *named]), None)  # a person may have renamed the entry with our results
    added: list[_Item] = []
    if touched:
        place = next(at for at, piece in enumerate(pieces[touched[0]]) if piece is not None)
        pieces[touched[0]][place] = [*items, *(pieces[touched[0]][place] or [])]
    else:
        added = list(items)
    new = []
    for number, (entry, part) in enumerate(zip(entries, pieces, strict=True)):
        results = _assembled(entry["results"], part) + (added if number == home else [])
        if results or number not in touched:
            new.append({**entry, "results": results})
    if home is None and items:
        new.append({"name": model_name, "results": added})
    if same(new, entries):
        return card
    _validated(new)
    if home is not None and len(touched) <= 1 and len(new) == len(entries):
        head = _spliced(card, _Change(home, pieces[home], added))
        if head is not None:
            return card.with_head(head, {**card.data, _KEY: new})
    return card.with_key(_KEY, new or None)


@dataclass(frozen=True)
class _Change:
    """What becomes of the results of one entry: each stays (None) or makes way for others, and some are added."""

    entry: int
    pieces: list[list[_Item] | None]
    added: list[_Item]


def _pieces(results: Sequence[_Item], kept: Sequence[_Item | None]) -> list[list[_Item] | None]:
    """None for each result that stays; for the others, what is left of them."""
    return [
        None if left is item else [left] if left is not None else []
        for left, item in zip(kept, results, strict=True)
    ]


def _assembled(results: Sequence[_Item], pieces: Sequence[list[_Item] | None]) -> list[_Item]:
    kept = ([item] if piece is None else piece for item, piece in zip(results, pieces, strict=True))
    return [item for part in kept for item in part]


def _checked(index: Any) -> list[_Item]:
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


def _without_ours(item: _Item, keys: set[tuple[str, ...]]) -> _Item | None:
    """A result without our metrics: itself if it has none, None if it has no other."""

    def is_ours(metric: _Item) -> bool:
        arguments = metric.get("args")
        marked = isinstance(arguments, dict) and arguments.get("measured_by") == _TOOL
        return marked or _identity(item, metric) in keys

    others = [metric for metric in item["metrics"] if not is_ours(metric)]
    if len(others) == len(item["metrics"]):
        return item
    return {**item, "metrics": others} if others else None


def _validated(index: list[_Item]) -> None:
    """The client's own parser must read what is written.

    Raises:
        ValueError: it cannot.
    """
    if not index:
        return
    try:
        model_index_to_eval_results(index)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"has a model-index that the Hub's client cannot read ({error})") from error


def _spliced(card: CardText, change: _Change) -> str | None:
    """The head with the lines of single results replaced; None if these are not written as a block of lines."""
    head = card.head
    index = _value(yaml.compose(head, Loader=yaml.SafeLoader), _KEY)
    results = _value(index.value[change.entry], "results") if isinstance(index, yaml.SequenceNode) else None
    if not isinstance(results, yaml.SequenceNode) or results.flow_style or not results.value:
        return None
    column, text, position = results.start_mark.column, "", 0
    for node, piece in zip(results.value, change.pieces, strict=True):
        if piece is None:
            continue
        start, end = head.rfind("\n", 0, node.start_mark.index) + 1, block_end(head, node)
        if not head[start:end].startswith(" " * column + "-"):
            return None
        text += head[position:start] + _listed(piece, column, card.newline)
        position = end
    end = block_end(head, results)
    text += head[position:end]
    if change.added:
        text += ("" if text.endswith("\n") else card.newline) + _listed(change.added, column, card.newline)
    return text + head[end:] if head[end:] else text.rstrip("\r\n")


def _listed(items: list[_Item], column: int, newline: str) -> str:
    return indented(dumped(items), column, newline) if items else ""


def _value(node: Any, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in pairs(node) if name.value == key), None)
