"""The pages of the `evaluate` modules."""

import inspect
import re
from typing import Any

from hf_clipdyn.bundled import load_metric, metric_names

from .explained import METRICS
from .page import Page, block, entries, line, sections, table

# Modules that are not called as the function behind them.
_FUNCTIONS = {"representation_similarity": "cka"}
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
    return re.split(r"(?<=[.?])(?<! al\.) ", line(module.description))[0]


def _module(name: str, module: Any) -> Page:
    described = sections(module.inputs_description)
    function = _FUNCTIONS.get(name, name)
    inputs = entries(described["Args"])
    types = {key: _type(feature) for key, feature in module.features.items()}
    rows = [
        (", ".join(f"`{one}`" for one in head.split(", ")), types.get(head.partition(", ")[0], ""), meaning)
        for head, meaning in inputs.items()
    ]
    return Page(
        f"reference/metrics/{name}.md",
        name,
        _question(module),
        [
            module.description,
            f"[The explanation](../../{METRICS[function]}) says how to read it. "
            f"[`hf_clipdyn.metrics.{function}`](../python/metrics/{function}.md) has the functions.",
            table(("input", "each row", "meaning"), rows),
            "It returns a dict; the interval of each value is `<name>_ci`.",
            block(described["Returns"]),
            f"```python {_DOCTEST}\n{inspect.cleandoc(described['Examples'])}\n```",
            f"```bibtex\n{module.citation}\n```",
        ],
    )


def _type(feature: Any) -> str:
    """`float`, `list of float`, …"""
    inner = getattr(feature, "feature", None)
    return feature.dtype.removesuffix("64") if inner is None else f"list of {_type(inner)}"
