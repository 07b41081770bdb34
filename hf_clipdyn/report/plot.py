"""One chart for a notebook: a metric over the revisions, on a matplotlib Axes."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.figures import draw_panel
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot"]


def plot(
    results: str | Path | Sequence[str | Path] | pd.DataFrame | Study,
    metric: str,
    *,
    benchmark: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a metric over the revisions of one or several runs, with its intervals and references.

    Args:
        results: tables of `clipdyn evaluate`, or a frame of `load_results`, which may be filtered.
        metric: name in the column ``metric``, for example ``shape_bias``.
        benchmark: ``kind/dataset``; needed if several benchmarks have this metric.
        ax: Axes to draw into. Default: matplotlib's current Axes.

    Returns:
        The Axes. If the metric has several panels (variants, conditions), they show the first; filter the frame to draw
        another.

    Raises:
        ConfigError: several benchmarks have the metric and none is named; a file is not a table of results.
        UnknownNameError: nothing was measured with this metric on this benchmark.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from hf_clipdyn import plot
        >>> axes = plot("runs/demo/results.parquet", "shape_bias", benchmark="shape_bias/procedural")
        >>> axes.figure.savefig("shape-bias.png")
    """
    study = read_study(results)
    panels = {
        "/".join(panel.lines[0].trajectory.benchmark): panel
        for chart in reversed(study.charts)
        for panel in reversed(chart.panels)
        if panel.lines[0].trajectory.metric == metric
    }
    if not panels:
        raise UnknownNameError("metric", metric, {one.metric for one in study.drawn})
    if benchmark is None and len(panels) > 1:
        raise ConfigError(
            f"{metric} was measured on several benchmarks, {', '.join(sorted(panels))}: name "
            "one as `benchmark`."
        )
    chosen = benchmark or next(iter(panels))
    if chosen not in panels:
        raise UnknownNameError("benchmark", chosen, panels)
    with figure_style():
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.gca()
        first = panels[chosen].lines[0].trajectory
        draw_panel(ax, panels[chosen], choose_axis(study.drawn))
        ax.set_title(textwrap.fill(f"{first.metric_title}, {first.dataset_title}", 50))
        if len(panels[chosen].lines) > 1:
            ax.legend()
    return ax
