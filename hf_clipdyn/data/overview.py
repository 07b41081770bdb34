"""`clipdyn datasets`: every data set in one table, and whether it is here."""

from collections.abc import Sequence

from hf_clipdyn.data.facts import DatasetFacts
from hf_clipdyn.data.load import find_locally
from hf_clipdyn.data.registry import builder_class, dataset_facts, dataset_names

__all__ = ["datasets_table", "render_table"]

HEADINGS = ("name", "kind", "rows", "licence", "where to get it", "found here")


def datasets_table() -> list[dict[str, str]]:
    """One row a data set, with the columns of `HEADINGS`.

    A data set is found in the folder that ``$CLIPDYN_DATA`` names, under its own name (``cue-conflict`` and
    ``cue_conflict`` are the same).
    """
    rows = []
    for name in dataset_names():
        facts = dataset_facts(name)
        if builder_class(name).layout:
            folder = find_locally(name)
            found = "no" if folder is None else str(folder)
        else:
            found = "needs no files" if not facts.where.startswith("the Hub") else "on the Hub"
        cells = (name, _kinds(facts), _rows(facts), facts.licence, facts.where, found)
        rows.append(dict(zip(HEADINGS, cells, strict=True)))
    return rows


def _kinds(facts: DatasetFacts) -> str:
    return ", ".join(dict.fromkeys((facts.kind, *facts.config_kinds.values())))


def _rows(facts: DatasetFacts) -> str:
    if not facts.rows:
        return "any"
    parts = [
        f"{count:,}" if split == "total" else f"{split} {count:,}" for split, count in facts.rows.items()
    ]
    return ", ".join(parts)


def render_table(rows: Sequence[dict[str, str]]) -> str:
    """The table for a terminal: a line a data set, columns as wide as their widest cell."""
    lines = [dict(zip(HEADINGS, HEADINGS, strict=True)), *rows]
    widths = {name: max(len(row[name]) for row in lines) for name in HEADINGS}
    return "\n".join("  ".join(row[name].ljust(widths[name]) for name in HEADINGS).rstrip() for row in lines)
