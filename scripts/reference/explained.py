"""Which page explains a public name or a module of metrics, and a benchmark or relation. Pages link back by name."""

import re
from functools import cache
from pathlib import Path

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_LINK = re.compile(r"\[([^\]]*)\]\((?:\.\./reference/)?python(?:/\w+)?\.md\)")

_SHARED_PAGES = {"distortion": "quality", "jnd": "similarity", "retrieval": "zero_shot"}
"""Kinds that another one's page explains."""


def kind_path(kind: str) -> str:
    """The page of a kind, below docs/."""
    return f"explanation/benchmarks/{_SHARED_PAGES.get(kind, kind).replace('_', '-')}.md"


RELATIONS = "explanation/dynamics/index.md"
"""The page of the relations, below docs/."""


def anchor(name: str) -> str:
    """Of what a kind or a relation declares, on its page."""
    return f"reference-of-{name}"


@cache
def explained() -> dict[str, str]:
    """Page below docs/ by the name of a function or a class: the pages end with what they explain."""
    found: dict[str, str] = {}
    begun = [_DOCS / "explanation" / "claims.md", _DOCS / "reference" / "revision-names.md"]
    for path in [*sorted((_DOCS / "how-to").glob("*.md")), *begun]:
        for named in _LINK.findall(path.read_text(encoding="utf-8")):
            found |= dict.fromkeys(re.findall(r"`(\w+)`", named), path.relative_to(_DOCS).as_posix())
    return found


_OF_KINDS = {
    "classification": ("observer_agreement",),
    "decodability": ("linear_probe",),
    "geometry": ("contrastive_geometry",),
    "jnd": ("jnd_map",),
    "label_distribution": ("label_distribution",),
    "noise": ("noise_robustness",),
    "odd_one_out": ("odd_one_out",),
    "psychophysics": ("psychophysics",),
    "quality": ("iqa_correlation",),
    "representation": ("embeddings", "rsa"),
    "retrieval": ("recall_at_k",),
    "saliency": ("fixation_maps", "saliency", "seen_maps"),
    "shape_bias": ("cue_preference", "shape_bias", "shape_decisions"),
    "similarity": ("two_afc",),
    "zero_shot": ("zero_shot_accuracy",),
}
_OF_RELATIONS = ("phases", "error_consistency", "learning_order", "cka", "mutual_knn", "weight_path")
METRICS = {module: kind_path(kind) for kind, modules in _OF_KINDS.items() for module in modules}
METRICS |= dict.fromkeys(_OF_RELATIONS, RELATIONS)
METRICS |= dict.fromkeys(("checks", "influence", "scores", "shared_images"), "explanation/intervals.md")
"""Page below docs/ by the name of a module of `hf_clipdyn.metrics`."""


def functions(page: str) -> str:
    """Links from a page two folders below docs/ to the modules of metrics that it explains."""
    return ", ".join(
        f"[`hf_clipdyn.metrics.{module}`](../../reference/python/metrics.md#{module})"
        for module, explained_on in METRICS.items()
        if explained_on == page
    )
