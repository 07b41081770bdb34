"""Pages of the Python API: the site puts the docstrings in the places of the comments (scripts/docs_site.py)."""

import ast
import inspect
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import pairwise
from pkgutil import iter_modules
from typing import Any

import hf_clipdyn
import hf_clipdyn.metrics
from hf_clipdyn import errors

from .explained import EXPLAINED, METRICS
from .page import Page, bullets, line, plain, summary_of

_PACKAGES = {
    "hf_clipdyn.data": "Load data sets, and ask for their metadata.",
    "hf_clipdyn.training": "Train, and find the folder of a run.",
    "hf_clipdyn.revisions": "Publish revisions, list them, and resume publishing.",
    "hf_clipdyn.report": "Write the page, the cards and the Space of a study.",
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
    text = """
`import hf_clipdyn` loads no torch: a name is imported when it is first used. The site shows the docstrings below;
on GitHub, read them in the code.
"""
    names = [name for name in hf_clipdyn.__all__ if not name.startswith("__")]
    objects = {name: getattr(hf_clipdyn, name) for name in names}
    rows = [_row(name, summary_of(one), "..") for name, one in objects.items()]
    places = [f"{one.__module__}.{name}" for name, one in objects.items()]
    return Page(
        "reference/python.md",
        "hf_clipdyn",
        "The names that `import hf_clipdyn` offers.",
        [text, bullets(rows), _docstrings(places)],
    )


def _packages() -> Page:
    parts = []
    for name, summary in _PACKAGES.items():
        package = import_module(name)
        others = [(name, one) for one in package.__all__ if one not in hf_clipdyn.__all__]
        shared = ", ".join(f"`{one}`" for one in package.__all__ if one in hf_clipdyn.__all__)
        note = f"On the page of [hf_clipdyn](../python.md): {shared}." if shared else ""
        parts += [f"## {name}", summary, note, *_listed(others, with_meaning=False)]
    summary = "Names of `hf_clipdyn.data`, `.training`, `.revisions` and `.report`."
    return Page("reference/python/packages.md", "Sub-packages", summary, [summary, *parts])


def _extending() -> Page:
    names = [
        ("hf_clipdyn.benchmarks.kind", "Kind"),
        ("hf_clipdyn.benchmarks.kind", "KindSettings"),
        ("hf_clipdyn.benchmarks.kind", "Benchmark"),
        ("hf_clipdyn.results.terms", "KindTerms"),
        ("hf_clipdyn.results.terms", "Term"),
        ("hf_clipdyn.data.base", "DataBuilder"),
        ("hf_clipdyn.training.losses", "Loss"),
        ("hf_clipdyn.training.callbacks", "Callback"),
    ]
    return _api_page("extending", "The classes that a plug-in extends.", names, title="Classes to extend")


def _errors() -> Page:
    members = vars(errors).items()
    classes = sorted(
        name for name, one in members if inspect.isclass(one) and issubclass(one, errors.ClipDynError)
    )
    return _api_page(
        "hf_clipdyn.errors",
        "The errors that a user can cause.",
        [("hf_clipdyn.errors", one) for one in classes],
    )


def _metric_modules() -> list[str]:
    found = iter_modules(hf_clipdyn.metrics.__path__)
    return [one.name for one in found if not one.name.startswith("_")]


def _metrics() -> Page:
    """All modules of the metrics; what they have in common comes last."""
    modules = _metric_modules()
    metrics = [part for name in modules if name not in _HELPERS for part in _metric_module(name)]
    helpers = [part for name in modules if name in _HELPERS for part in _metric_module(name)]
    text = """
One metric is one module. Functions take arrays and return `Scores`, or plain numbers. [Use a
metric](../../how-to/use-a-metric.md) has examples, and the metrics that are modules of `evaluate` too.
"""
    return Page(
        "reference/python/metrics.md",
        "hf_clipdyn.metrics",
        "The mathematics of every metric, in NumPy and SciPy.",
        [text, *metrics, "What metrics have in common:", *helpers],
    )


def _metric_module(name: str) -> list[str]:
    """A heading, the question that the module answers, and its docstrings."""
    module = import_module(f"hf_clipdyn.metrics.{name}")
    defined = [
        name for name, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__
    ]
    listed = [name for name in getattr(module, "__all__", defined) if not name.startswith("_")]
    documented = [name for name in listed if _is_documented(getattr(module, name))]
    places = dict.fromkeys(f"{getattr(module, one).__module__}.{one}" for one in documented)
    return [
        f"## {name}",
        f"{summary_of(module)} [Explanation](../../{METRICS[name]}).",
        _docstrings(places),
    ]


def _api_page(name: str, summary: str, names: Sequence[tuple[str, str]], title: str = "") -> Page:
    path = f"reference/python/{name.rpartition('.')[2]}.md"
    return Page(path, title or name, summary, [summary, *_listed(names)])


def _listed(names: Sequence[tuple[str, str]], with_meaning: bool = True) -> list[str]:
    """A list of the names, and their docstrings."""
    # By the place of the definition: other modules may offer the name too.
    rows: dict[str, str] = {}
    for module, one in names:
        value = getattr(import_module(module), one)
        meaning = summary_of(value) if _is_documented(value) else _constant_summary(module, one)
        meaning = meaning if with_meaning or not _is_documented(value) else ""
        place = f"{getattr(value, '__module__', module)}.{one}"
        rows.setdefault(place, _row(one, meaning, "../.."))
    return [bullets(rows.values()), _docstrings(rows)] if rows else []


def _row(name: str, meaning: str, up: str) -> str:
    return f"`{name}`: " + " ".join(filter(None, (plain(meaning), _explained(name, up))))


def _explained(name: str, up: str) -> str:
    """A link to the page that explains a name; ``up`` leads to docs/."""
    return f"[page]({up}/{EXPLAINED[name]})" if name in EXPLAINED else ""


def _is_documented(value: Any) -> bool:
    return inspect.isfunction(value) or inspect.isclass(value)


def _constant_summary(module: str, name: str) -> str:
    """The text below the assignment of a constant; `inspect` would give the docstring of its type."""
    statements = ast.parse(inspect.getsource(import_module(module))).body
    (text,) = (
        following.value.value
        for one, following in pairwise(statements)
        if isinstance(one, ast.Assign | ast.AnnAssign)
        and name in {target.id for target in ast.walk(one) if isinstance(target, ast.Name)}
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
    )
    return line(str(text))


def _docstrings(places: Iterable[str]) -> str:
    """What the site replaces by the docstrings; GitHub does not show it."""
    return f"<!-- docstrings: {' '.join(places)} -->"
