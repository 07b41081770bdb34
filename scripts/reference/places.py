"""Where the pages of kinds and relations are."""

SHARED_PAGES = {"distortion": "quality"}
"""Kinds and relations that another one's page explains."""


def kind_path(kind: str) -> str:
    """The page of a kind, below docs/."""
    return f"explanation/benchmarks/{_file(kind)}"


def relation_path(relation: str) -> str:
    """The page of a relation, below docs/."""
    return f"explanation/dynamics/{_file(relation)}"


def _file(name: str) -> str:
    return f"{SHARED_PAGES.get(name, name).replace('_', '-')}.md"


def anchor(name: str) -> str:
    """Of what a kind or a relation declares, on its page."""
    return f"reference-of-{name}"
