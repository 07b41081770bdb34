"""Pages of the Python API: the site puts the docstrings in the places of the comments (scripts/docs_site.py)."""

import inspect
from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules

import hf_clipdyn
import hf_clipdyn.metrics
from hf_clipdyn import errors

from .explained import METRICS, explained
from .page import Page, bullets, plain, summary_of

_PACKAGES = {
    "hf_clipdyn.data": "Load data sets, and ask for their metadata.",
    "hf_clipdyn.training": "Train, and find the folder of a run.",
    "hf_clipdyn.revisions": "Publish revisions, list them, and resume publishing.",
    "hf_clipdyn.report": "Write the page, the cards and the Space of a study.",
}
_EXTENDED = {
    "hf_clipdyn.benchmarks.kind": ("Kind", "KindSettings", "Benchmark"),
    "hf_clipdyn.results.terms": ("KindTerms", "Term"),
    "hf_clipdyn.data.base": ("DataBuilder",),
    "hf_clipdyn.training.losses": ("Loss",),
    "hf_clipdyn.training.callbacks": ("Callback",),
}
_HELPERS = (
    "checks",
    "embeddings",
    "fixation_maps",
    "influence",
    "phases",
    "scores",
    "seen_maps",
    "shared_images",
)
"""Modules of `hf_clipdyn.metrics` that compute no metric of their own."""


def api_pages() -> list[Page]:
    """The package's own names, those of its sub-packages, and those that plug-ins need."""
    return [_python(), _packages(), _extending(), _errors(), _metrics()]


def _python() -> Page:
    names = [name for name in hf_clipdyn.__all__ if not name.startswith("__")]
    parts = _listed({"hf_clipdyn": names}, up="..")
    summary = "The names that `import hf_clipdyn` offers."
    return Page("reference/python.md", "hf_clipdyn", summary, parts, is_begun=True)


def _packages() -> Page:
    summary = "Names of `hf_clipdyn.data`, `.training`, `.revisions` and `.report`."
    parts = [summary]
    for name, meaning in _PACKAGES.items():
        names = import_module(name).__all__
        shared = ", ".join(f"`{one}`" for one in names if one in hf_clipdyn.__all__)
        note = f"On the page of [hf_clipdyn](../python.md): {shared}." if shared else ""
        others = [one for one in names if one not in hf_clipdyn.__all__]
        parts += [f"## {name}", meaning, note, *_listed({name: others}, with_meaning=False)]
    return Page("reference/python/packages.md", "Sub-packages", summary, parts)


def _extending() -> Page:
    summary = "The classes that a plug-in extends."
    parts = [summary, *_listed(_EXTENDED)]
    return Page("reference/python/extending.md", "Classes to extend", summary, parts)


def _errors() -> Page:
    summary = "The errors that a user can cause."
    classes = (name for name, one in vars(errors).items() if inspect.isclass(one))
    names = sorted(name for name in classes if issubclass(getattr(errors, name), errors.ClipDynError))
    parts = [summary, *_listed({errors.__name__: names})]
    return Page("reference/python/errors.md", errors.__name__, summary, parts)


def _metric_modules() -> list[str]:
    found = iter_modules(hf_clipdyn.metrics.__path__)
    return [one.name for one in found if not one.name.startswith("_")]


def _metrics() -> Page:
    """All modules of the metrics; what they have in common comes last."""
    modules = _metric_modules()
    metrics = [part for name in modules if name not in _HELPERS for part in _metric_module(name)]
    helpers = [part for name in modules if name in _HELPERS for part in _metric_module(name)]
    return Page(
        "reference/python/metrics.md",
        "hf_clipdyn.metrics",
        "The mathematics of every metric, in NumPy and SciPy.",
        [*metrics, "What metrics have in common:", *helpers],
        is_begun=True,
    )


def _metric_module(name: str) -> list[str]:
    """A heading, the question that the module answers, and its docstrings."""
    module, page = import_module(f"hf_clipdyn.metrics.{name}"), METRICS.get(name)
    defined = [
        name for name, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__
    ]
    listed = [name for name in getattr(module, "__all__", defined) if not name.startswith("_")]
    values = {name: getattr(module, name) for name in listed}
    documented = {
        name: one for name, one in values.items() if inspect.isfunction(one) or inspect.isclass(one)
    }
    places = dict.fromkeys(f"{one.__module__}.{name}" for name, one in documented.items())
    return [
        f"## {name}",
        summary_of(module) + (f" [Explanation](../../{page})." if page else ""),
        _docstrings(places),
    ]


def _listed(modules: Mapping[str, Iterable[str]], up: str = "../..", with_meaning: bool = True) -> list[str]:
    """A list of functions and classes, with links to the pages that explain them, and their docstrings."""
    rows: dict[str, str] = {}
    for module, name in ((module, name) for module, names in modules.items() for name in names):
        value, page = getattr(import_module(module), name), explained().get(name)
        meaning = plain(summary_of(value)) if with_meaning else ""
        parts = (f"`{name}`:", meaning, page and f"[page]({up}/{page})")
        # By the place of the definition: other modules may offer the name too.
        rows[f"{value.__module__}.{name}"] = " ".join(filter(None, parts))
    return [bullets(rows.values()), _docstrings(rows)] if rows else []


def _docstrings(places: Iterable[str]) -> str:
    """What the site replaces by the docstrings; GitHub does not show it."""
    return f"<!-- docstrings: {' '.join(places)} -->"
