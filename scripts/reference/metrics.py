"""The pages of the `evaluate` modules."""

import inspect
import re
from typing import Any

from hf_clipdyn.bundled import load_metric, metric_names

from .explained import METRICS
from .page import Page, entries, line, sections, table

# Modules that are not called as the module of `hf_clipdyn.metrics` behind them.
_FUNCTIONS = {"representation_similarity": "representation"}
_DOCTEST = "no-run: the tests run this example where it is declared"


def metric_module_pages() -> list[Page]:
    """The list of the modules, then a page for each."""
    text = """
These modules of `evaluate` compute one benchmark's numbers from decisions or distances of your own. Load one with
`hf_clipdyn.load_metric("shape_bias")`. In a checkout, `evaluate.load("metrics/shape_bias")` gives the same. The
functions behind them need only NumPy and SciPy: [hf_clipdyn.metrics](python/metrics.md). An undefined value is NaN, and
a warning says why.
"""
    modules = {name: load_metric(name) for name in metric_names()}
    rows = [(f"[`{name}`](metrics/{name}.md)", _question(one)) for name, one in modules.items()]
    summary = "Inputs and outputs of the modules of `evaluate`."
    listed = Page(
        "reference/metrics.md", "Metric modules", summary, [text, table(("module", "what it computes"), rows)]
    )
    return [listed, *(_module(name, one) for name, one in modules.items())]


def _question(module: Any) -> str:
    """The first sentence of a module's description."""
    return re.split(r"(?<=[.?]) ", line(module.description))[0]


def _module(name: str, module: Any) -> Page:
    described = sections(module.inputs_description)
    example = inspect.cleandoc(described["Examples"])
    example = example.replace(f'evaluate.load("metrics/{name}")', f'hf_clipdyn.load_metric("{name}")')
    function = _FUNCTIONS.get(name, name)
    return Page(
        f"reference/metrics/{name}.md",
        name,
        _question(module),
        [
            line(module.description),
            f"[The explanation](../../{METRICS[function]}) says how to read it. "
            f"[`hf_clipdyn.metrics.{function}`](../python/metrics/{function}.md) has the functions. "
            f"Source: <{module.info.reference_urls[0]}>.",
            table(("input", "type", "meaning"), _typed(described["Args"])),
            table(("output", "type", "meaning"), _typed(described["Returns"])),
            f"```python {_DOCTEST}\n{example}\n```",
        ],
    )


def _typed(section: str) -> list[tuple[str, str, str]]:
    """The entries `name, other (`type`): meaning` of a section as rows."""
    rows = []
    for head, meaning in entries(section).items():
        names = re.findall(r"(\w+)(?: \((.*?)\))?(?:, |$)", head)
        kind = names[-1][1].replace("`", "")
        rows.append((", ".join(f"`{one}`" for one, _ in names), kind, meaning))
    return rows
