"""Tables of `clipdyn datasets` (every data set, and whether it is here) and `clipdyn cache` (entries of the caches)."""

import time
from collections.abc import Sequence

from hf_clipdyn.data.caches import Entry
from hf_clipdyn.data.load import find_locally
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.registry import builder_class, dataset_metadata, dataset_names

__all__ = ["cache_table", "datasets_table", "readable_size", "render_table"]

HEADINGS = ("name", "kind", "rows", "licence", "where to get it", "found here")


def datasets_table() -> list[dict[str, str]]:
    """One row for each data set, with the columns of `HEADINGS`.

    A data set is found in a folder of its name in ``$CLIPDYN_DATA`` (``cue-conflict`` or ``cue_conflict``).
    """
    rows = []
    for name in dataset_names():
        metadata = dataset_metadata(name)
        if builder_class(name).layout:
            folder = find_locally(name)
            found = "no" if folder is None else str(folder)
        else:
            found = "needs no files" if not metadata.where.startswith("the Hub") else "on the Hub"
        kinds = ", ".join(dict.fromkeys((metadata.kind, *metadata.config_kinds.values())))
        cells = (name, kinds, _rows(metadata), metadata.licence, metadata.where, found)
        rows.append(dict(zip(HEADINGS, cells, strict=True)))
    return rows


def _rows(metadata: DatasetMetadata) -> str:
    if not metadata.rows:
        return "any"
    parts = [
        f"{count:,}" if split == "total" else f"{split} {count:,}" for split, count in metadata.rows.items()
    ]
    return ", ".join(parts)


def cache_table(entries: Sequence[Entry]) -> list[dict[str, str]]:
    """One row for each entry of the cache."""
    return [
        {
            "kind": entry.kind,
            "size": readable_size(entry.size),
            "last used": time.strftime("%Y-%m-%d", time.localtime(entry.used)),
            "of": entry.origin,
            "path": str(entry.path),
        }
        for entry in entries
    ]


def readable_size(size: float) -> str:
    """A number of bytes as ``1.5 GB``."""
    units = ("B", "kB", "MB", "GB", "TB")
    power = next((power for power in range(len(units)) if size < 1000 ** (power + 1)), len(units) - 1)
    return f"{size / 1000**power:.{min(power, 1)}f} {units[power]}"


def render_table(rows: Sequence[dict[str, str]]) -> str:
    """A table for a terminal, each column as wide as its widest cell; there must be at least one row."""
    headings = list(rows[0])
    lines = [dict(zip(headings, headings, strict=True)), *rows]
    widths = {name: max(len(row[name]) for row in lines) for name in headings}
    return "\n".join("  ".join(row[name].ljust(widths[name]) for name in headings).rstrip() for row in lines)
