"""Pages of the Python API: the site puts the docstrings in the places of the comments (scripts/docs_site.py)."""

import ast
import inspect
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pkgutil import iter_modules
from typing import Any

import hf_clipdyn
import hf_clipdyn.metrics
from hf_clipdyn import errors

from .explained import EXPLAINED, METRICS
from .page import Page, line, summary_of, table

_HEAD = ("name", "what it does", "explained in")

_PACKAGES = {
    "hf_clipdyn.data": "Load data sets, and ask for their metadata.",
    "hf_clipdyn.training": "Train, estimate the cost of a run, and find its folder.",
    "hf_clipdyn.revisions": "Publish revisions, list them, and resume publishing.",
    "hf_clipdyn.evaluation": "Measure revisions, or a live model.",
    "hf_clipdyn.report": "Write the page, the cards and the Space of a study.",
}


def api_pages() -> list[Page]:
    """The package's own names, those of its sub-packages, and those that plug-ins need."""
    return [_python(), *_packages(), _extending(), _errors(), _metrics()]


def metric_pages() -> list[Page]:
    """A page for each module of `hf_clipdyn.metrics`."""
    return [_metric_module(name) for name in _metric_modules()]


def _python() -> Page:
    text = """
`import hf_clipdyn` loads no torch: a name is imported when it is first used. The site shows the docstrings below;
on GitHub, read them in the code.
"""
    names = [name for name in hf_clipdyn.__all__ if not name.startswith("__")]
    objects = {name: getattr(hf_clipdyn, name) for name in names}
    rows = [(f"`{name}`", summary_of(one), _explained(name, "..")) for name, one in objects.items()]
    places = [f"{one.__module__}.{name}" for name, one in objects.items()]
    return Page(
        "reference/python.md",
        "hf_clipdyn",
        "The names that `import hf_clipdyn` offers.",
        [text, table(_HEAD, rows), *map(_docstring, places)],
    )


def _packages() -> list[Page]:
    return [_package(name, summary) for name, summary in _PACKAGES.items()]


def _package(name: str, summary: str) -> Page:
    package = import_module(name)
    others = [one for one in package.__all__ if one not in hf_clipdyn.__all__]
    shared = [one for one in package.__all__ if one in hf_clipdyn.__all__]
    note = (
        f"On the page of [hf_clipdyn](../python.md): {', '.join(f'`{one}`' for one in shared)}."
        if shared
        else ""
    )
    return _api_page(name, summary, [(name, one) for one in others], note)


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
    """The modules, with links to their pages."""
    rows = []
    for name in _metric_modules():
        module = import_module(f"hf_clipdyn.metrics.{name}")
        page = METRICS[name]
        rows.append((f"[`{name}`](metrics/{name}.md)", summary_of(module), f"[page](../../{page})"))
    summary = "The mathematics of every metric, in NumPy and SciPy."
    text = "One metric is one module. Functions take arrays and return `Scores`, or plain numbers."
    listed = table(("module", "question", "explained in"), rows)
    return Page("reference/python/metrics.md", "hf_clipdyn.metrics", summary, [summary, text, listed])


def _metric_module(name: str) -> Page:
    module = import_module(f"hf_clipdyn.metrics.{name}")
    defined = [
        name for name, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__
    ]
    listed = [name for name in getattr(module, "__all__", defined) if not name.startswith("_")]
    names = [(module.__name__, one) for one in listed if _is_documented(getattr(module, one))]
    note = f"[The explanation](../../../{METRICS[name]}) says what it means."
    return _api_page(f"metrics/{name}", summary_of(module), names, note, title=f"metrics.{name}")


def _api_page(
    name: str, summary: str, names: Sequence[tuple[str, str]], note: str = "", title: str = ""
) -> Page:
    # By the place of the definition: other modules may offer the name too.
    rows: dict[str, tuple[str, ...]] = {}
    for module, one in names:
        value = getattr(import_module(module), one)
        meaning = summary_of(value) if _is_documented(value) else _constant_summary(module, one)
        place = f"{getattr(value, '__module__', module)}.{one}"
        rows.setdefault(place, (f"`{one}`", meaning, _explained(one, "../..")))
    listed = table(_HEAD, rows.values()) if rows else ""
    parts = [summary, note, listed, *map(_docstring, rows)]
    return Page(f"reference/python/{name.rpartition('.')[2]}.md", title or name, summary, parts)


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


def _docstring(place: str) -> str:
    """What the site replaces by the docstring; GitHub does not show it."""
    return f"<!-- docstring: {place} -->"
