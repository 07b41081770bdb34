"""The page of the data sets."""

import inspect
import re

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.data import schemas
from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder
from hf_clipdyn.data.registry import builder_class, dataset_names

from .explained import kind_path
from .kinds import fitting
from .page import Page, bullets, plain, table

_MOST_CONFIGS = 8


def data_sets_page() -> Page:
    """What the data sets are and the columns of their rows, below what a person wrote."""
    builders = {name: builder_class(name) for name in dataset_names()}
    shared = [f"`{name}`" for name, one in builders.items() if one.metadata.may_redistribute]
    rows = [_data_set_row(name, one.metadata) for name, one in builders.items()]
    return Page(
        "reference/data-sets.md",
        "Data sets",
        "Licence, size, source, files and columns of every data set, and what it is for.",
        [
            "## All data sets",
            table(("data set", "benchmarks", "licence"), rows),
            f"{', '.join(shared)} may be passed on, the others may not.",
            *(part for name, one in builders.items() for part in _data_set(name, one)),
            "## Columns of the rows",
            *_columns(),
        ],
        is_begun=True,
    )


def _columns() -> list[str]:
    """The list of `hf_clipdyn.data.schemas`, and what is said below it."""
    _, body, rest = re.split(r"^(?:=+ +=+\n)", inspect.cleandoc(schemas.__doc__ or ""), flags=re.MULTILINE)[
        1:
    ]
    entries = re.findall(r"^``(\w+)`` +(.*?)(?=^``|\Z)", body, re.DOTALL | re.MULTILINE)
    kinds_listed = [plain(f"`{name}`: {meaning}") for name, meaning in entries]
    return ["By kind:", bullets(kinds_listed), rest.replace("``", "`")]


def _data_set_row(name: str, metadata: DatasetMetadata) -> tuple[str, ...]:
    uses = [
        f"[`{kind.name}`](../{kind_path(kind.name)})" for kind in kinds().values() if name in fitting(kind)
    ]
    if metadata.kind == "captions":
        uses.insert(0, "[training](../how-to/train.md)")
    return f"[`{name}`](#{name})", ", ".join(uses), metadata.licence


def _rows(metadata: DatasetMetadata, described: str) -> str:
    """The numbers of rows that the description lacks."""
    parts = [
        f"{count:,}" if split == "total" else f"{split} {count:,}"
        for split, count in metadata.rows.items()
        if f"{count:,}" not in described
    ]
    return f"Rows: {', '.join(parts)}." if parts else ""


def _data_set(name: str, builder: type[DataBuilder]) -> list[str]:
    metadata = builder.metadata
    people = ", ".join(f"`{metric}` {value:g}" for metric, value in metadata.human_reference.items())
    configs = [f"`{one.name}`" for one in builder.BUILDER_CONFIGS]
    if len(configs) > _MOST_CONFIGS:
        configs = [*configs[: _MOST_CONFIGS - 1], f"… {configs[-1]} ({len(configs)} in all)"]
    described = inspect.cleandoc(builder.__doc__ or "").replace("``", "`")
    described = f"**{metadata.description}.** {described}"
    cited = f" Cite: `{_citation_key(metadata.citation)}`." if metadata.citation else ""
    facts = [
        _rows(metadata, described),
        f"Source: {metadata.where}." + cited,
        f"Files: {', '.join(f'`{one}`' for one in builder.layout)}." if builder.layout else "",
        f"Configurations: {', '.join(configs)}." if any(one not in described for one in configs) else "",
        "" if re.search(r"(higher|lower)[ -]is[ -]better", described) else _direction(builder),
        f"Pixels per degree of visual angle: {metadata.pixels_per_degree:g}."
        if metadata.pixels_per_degree
        else "",
        f"Published human values: {people}." if people else "",
        f"Caution: {metadata.caution}" if metadata.caution else "",
    ]
    return [f"### {name}", described, bullets(filter(None, facts))]


def _direction(builder: type[DataBuilder]) -> str:
    """Of human scores."""
    if not issubclass(builder, QualityBuilder):
        return ""
    return f"Scores: {'higher' if builder.higher_is_better else 'lower'} is better."


def _citation_key(citation: str) -> str:
    """Of an entry of BibTeX: `@article{key,`."""
    return citation.partition("{")[2].partition(",")[0]
