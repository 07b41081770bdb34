"""The index of the reference."""

from collections.abc import Iterable, Sequence

from hf_clipdyn.benchmarks.registry import relations

from .kinds import measured
from .page import Page, summary_of, table
from .places import anchor, kind_path, relation_path

_BY_HAND = (
    ("[Glossary](glossary.md)", "The words of the field and of this project."),
    ("[The claims file](claims-file.md)", "The keys of a YAML file of claims."),
    ("[Names of revisions](revision-names.md)", "How revisions are named, and in which order they are."),
    ("[Environment variables](environment.md)", "The variables that the commands read."),
)


def index_page(commands: Sequence[Page], others: Sequence[Page], api: Sequence[Page]) -> Page:
    """What is on which page: the written ones by their summaries, and the others."""

    def rows(listed: Iterable[Page]) -> list[tuple[str, str]]:
        return [(f"[{page.title}]({page.path.removeprefix('reference/')})", page.summary) for page in listed]

    of_kinds = [
        (_link(f"{one.name}: {one.terms.title}", kind_path(one.name), one.name), summary_of(one))
        for one in measured()
    ]
    of_relations = [
        (_link(name, relation_path(name), name), summary_of(one)) for name, one in relations().items()
    ]
    head = ("page", "what it says")
    return Page(
        "reference/index.md",
        "Reference",
        "",
        [
            "Look up what a command, an option, a column, a metric or a function means.",
            "## Commands",
            "`clipdyn COMMAND --help` prints the same text. Write options with dashes or with underscores.",
            table(("command", "what it does"), rows(commands)),
            "## Kinds",
            "A kind is a way to measure. A benchmark is a kind on a data set: `noise/cifar10`. Its metrics, columns "
            "and options are below its explanation.",
            table(("kind", "what it measures"), of_kinds),
            "## Relations",
            "A relation compares revisions with each other: `clipdyn evaluate --relations` computes it from saved "
            "trials ([how](../how-to/relate-revisions.md)).",
            table(("relation", "what it says"), of_relations),
            "## Tables, files, data and studies",
            table(head, [*rows(others), *_BY_HAND]),
            "## Python",
            table(head, rows(api)),
        ],
    )


def _link(title: str, path: str, name: str) -> str:
    return f"[{title}](../{path}#{anchor(name)})"
