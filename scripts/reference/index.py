"""The index of the reference."""

from collections.abc import Iterable, Sequence

from .page import Page, table

_BY_HAND = (
    ("[Glossary](glossary.md)", "The words of the field and of this project."),
    ("[The claims file](claims-file.md)", "The keys of a YAML file of claims."),
    ("[Names of revisions](revision-names.md)", "How revisions are named, and in which order they are."),
    ("[Notes on data sets](data-sets-notes.md)", "Folders, cautions, and what is read of each data set."),
    ("[Environment variables](environment.md)", "The variables that the commands read."),
)


def index_page(
    commands: Sequence[Page], measured: Sequence[Page], tables: Sequence[Page], api: Sequence[Page]
) -> Page:
    """What is on which page: the written ones by their summaries, and the others."""

    def rows(listed: Iterable[Page]) -> list[tuple[str, str]]:
        return [(f"[{page.title}]({page.path})", page.summary) for page in listed]

    head = ("page", "what it says")
    return Page(
        "index.md",
        "Reference",
        "",
        [
            "Look up what a command, an option, a column, a metric or a function means.",
            "## Commands",
            "`clipdyn COMMAND --help` prints the same text. Write options with dashes or with underscores.",
            table(("command", "what it does"), rows(commands)),
            "## Kinds",
            "A kind is a way to measure. A benchmark is a kind on a data set: `noise/cifar10`.",
            table(("kind", "what it measures"), rows(measured)),
            "## Tables, files and data",
            table(head, [*rows(tables), *_BY_HAND]),
            "## Python",
            table(head, rows(api)),
        ],
    )
