"""Where the pages of kinds and relations are."""

SHARED_PAGES = {"distortion": "quality", "jnd": "similarity", "retrieval": "zero_shot"}
"""Kinds that another one's page explains."""


def kind_path(kind: str) -> str:
    """The page of a kind, below docs/."""
    return f"explanation/benchmarks/{_file(kind)}"


def relation_path(_: str) -> str:
    """The page of a relation, below docs/: all are on one."""
    return "explanation/dynamics/index.md"


def _file(name: str) -> str:
    return f"{SHARED_PAGES.get(name, name).replace('_', '-')}.md"


def anchor(name: str) -> str:
    """Of what a kind or a relation declares, on its page."""
    return f"reference-of-{name}"
