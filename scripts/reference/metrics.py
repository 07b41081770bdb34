"""The page of the `evaluate` modules."""

import inspect
import re

from hf_clipdyn.bundled import load_metric, metric_names

from .page import Page, entries, line, sections, table

_DOCTEST = "no-run: the tests run this example where it is declared"


def metrics_page() -> Page:
    """Inputs and outputs of each module."""
    text = """
These modules of `evaluate` compute one benchmark's numbers from decisions or distances of your own. Load one with
`hf_clipdyn.load_metric("shape_bias")`. In a checkout, `evaluate.load("metrics/shape_bias")` gives the same. The
functions behind them need only NumPy and SciPy: [hf_clipdyn.metrics](python/metrics.md). An undefined value is NaN, and
a warning says why.
"""
    parts = [part for name in metric_names() for part in _module(name)]
    return Page(
        "reference/metrics.md",
        "Metric modules",
        "Inputs and outputs of the modules of `evaluate`.",
        [text, *parts],
    )


def _module(name: str) -> list[str]:
    module = load_metric(name)
    described = sections(module.inputs_description)
    example = inspect.cleandoc(described["Examples"])
    example = example.replace(f'evaluate.load("metrics/{name}")', f'hf_clipdyn.load_metric("{name}")')
    return [
        f"## {name}",
        line(module.description),
        f"Source: <{module.info.reference_urls[0]}>.",
        table(("input", "type", "meaning"), _typed(described["Args"])),
        table(("output", "type", "meaning"), _typed(described["Returns"])),
        f"```python {_DOCTEST}\n{example}\n```",
    ]


def _typed(section: str) -> list[tuple[str, str, str]]:
    """The entries `name, other (`type`): meaning` of a section as rows."""
    rows = []
    for head, meaning in entries(section).items():
        names = re.findall(r"(\w+)(?: \((.*?)\))?(?:, |$)", head)
        kind = names[-1][1].replace("`", "")
        rows.append((", ".join(f"`{one}`" for one, _ in names), kind, meaning))
    return rows
