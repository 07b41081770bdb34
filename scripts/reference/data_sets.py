"""Pages of the data sets."""

import inspect
import re

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.data import schemas
from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.registry import builder_class, dataset_names

from .kinds import fitting, kind_path
from .page import Page, bullets, table

_MOST_CONFIGS = 20


def data_set_pages() -> list[Page]:
    """What the data sets are, and the columns of their rows."""
    return [_data_sets(), _data_set_kinds()]


def _data_sets() -> Page:
    text = """
`hf_clipdyn.load_dataset("tid2013", data_dir=PATH)` reads the official archive. `clipdyn datasets` lists what is on your
machine. The project redistributes no data: get each data set under its licence. The table quotes the licence as the
source states it. [Notes on data sets](data-sets-notes.md) describes folders and cautions.
"""
    names = dataset_names()
    rows = [_data_set_row(name, builder_class(name).metadata) for name in names]
    head = ("data set", "benchmarks", "rows", "licence", "may be passed on")
    return Page(
        "reference/data-sets.md",
        "Data sets",
        "Licence, size and source of every data set, and what it is for.",
        [
            text,
            table(head, rows),
            *(part for name in names for part in _data_set(name, builder_class(name))),
        ],
    )


def _data_set_kinds() -> Page:
    text = """
A loader gives rows of one kind, whatever the archive looks like. A kind of benchmark takes one or more of these kinds.
"""
    _, body, rest = re.split(r"^(?:=+ +=+\n)", inspect.cleandoc(schemas.__doc__ or ""), flags=re.MULTILINE)[
        1:
    ]
    entries = re.findall(r"^``(\w+)`` +(.*?)(?=^``|\Z)", body, re.DOTALL | re.MULTILINE)
    rows = [(f"`{name}`", meaning) for name, meaning in entries]
    return Page(
        "reference/data-set-kinds.md",
        "Columns of the data sets",
        "The columns that the loaders give, for each kind of data set.",
        [text, table(("kind", "columns"), rows), rest.replace("``", "`")],
    )


def _data_set_row(name: str, metadata: DatasetMetadata) -> tuple[str, ...]:
    uses = [
        f"[`{kind.name}`](../{kind_path(kind.name)})" for kind in kinds().values() if name in fitting(kind)
    ]
    if metadata.kind == "captions":
        uses.insert(0, "[training](../how-to/train.md)")
    passes = "yes" if metadata.may_redistribute else "no"
    return f"[`{name}`](#{name})", ", ".join(uses), _rows(metadata), metadata.licence, passes


def _rows(metadata: DatasetMetadata) -> str:
    parts = [
        f"{count:,}" if split == "total" else f"{split} {count:,}" for split, count in metadata.rows.items()
    ]
    return ", ".join(parts) or "any"


def _data_set(name: str, builder: type[DataBuilder]) -> list[str]:
    metadata = builder.metadata
    people = ", ".join(f"`{metric}` {value:g}" for metric, value in metadata.human_reference.items())
    configs = [f"`{one.name}`" for one in builder.BUILDER_CONFIGS]
    if len(configs) > _MOST_CONFIGS:
        configs = [*configs[: _MOST_CONFIGS - 1], f"… {configs[-1]} ({len(configs)} in all)"]
    facts = [
        f"Get it from: {metadata.where}.",
        f"Its folder contains: {', '.join(f'`{one}`' for one in builder.layout)}." if builder.layout else "",
        f"Configurations: {', '.join(configs)}." if configs else "",
        f"Pixels per degree of visual angle: {metadata.pixels_per_degree:g}."
        if metadata.pixels_per_degree
        else "",
        f"Published human values: {people}." if people else "",
        f"Caution: {metadata.caution}" if metadata.caution else "",
    ]
    described = inspect.cleandoc(builder.__doc__ or "").replace("``", "`")
    return [
        f"## {name}",
        f"**{metadata.description}.** {described}",
        bullets(filter(None, facts)),
        _citation(metadata),
    ]


def _citation(metadata: DatasetMetadata) -> str:
    return f"```text\n{metadata.citation.strip()}\n```" if metadata.citation else ""
