"""The index of the reference."""

from collections.abc import Iterable, Sequence

from hf_clipdyn.benchmarks.registry import relations

from .explained import RELATIONS, anchor, kind_path
from .kinds import measured
from .page import Page, bullets

_BY_HAND = (
    "[The verdicts of both studies](verdicts.md): What both studies found about each claim, side by side.",
    "[Glossary](glossary.md): The words of the field and of this project.",
    "[The claims file](claims-file.md): The keys of a YAML file of claims.",
    "[Environment variables](environment.md): The variables that the commands read.",
)


def index_page(commands: Sequence[Page], others: Sequence[Page], api: Sequence[Page]) -> Page:
    """What is on which page: the written ones by their summaries, and the others."""

    def rows(listed: Iterable[Page]) -> list[str]:
        return [f"[{page.title}]({page.path.removeprefix('reference/')}): {page.summary}" for page in listed]

    of_kinds = [f"{_link(one.name, kind_path(one.name))}: {one.terms.title}" for one in measured()]
    of_relations = [f"{_link(name, RELATIONS)}: {one.terms.title}" for name, one in relations().items()]
    return Page(
        "reference/index.md",
        "Reference",
        "",
        [
            "Look up what a command, an option, a column, a metric or a function means.",
            "## Commands",
            "`clipdyn COMMAND --help` prints the same text, and the limits of whole numbers. Write options with dashes "
            "or with underscores.",
            bullets(rows(commands)),
            "## Kinds",
            "A benchmark is a kind on a data set: `noise/cifar10`. Metrics, columns and options are below the "
            "explanation of each kind.",
            bullets(of_kinds),
            "## Relations",
            "[Relations](../how-to/relate-revisions.md) compare revisions with each other.",
            bullets(of_relations),
            "## Tables, files, data and studies",
            bullets([*rows(others), *_BY_HAND]),
            "## Python",
            bullets(rows(api)),
        ],
    )


def _link(name: str, path: str) -> str:
    return f"[{name}](../{path}#{anchor(name)})"
