"""Charts for a notebook: a metric over the revisions, and matrices of dissimilarities.

The matrices are those of Kriegeskorte et al. 2008: people beside the revisions of a run.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.errors import ConfigError, EvaluationError, UnknownNameError
from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.draw import draw_panel
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import PAPER, figure_style
from hf_clipdyn.results.cells import CellStore, newest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot", "plot_dissimilarities"]

_KIND = "representation"
_SIDE = 2.6  # inches of a matrix
_COLUMNS = 4

Floats = NDArray[np.float64]


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
        "/".join(panel.first.benchmark): panel
        for chart in reversed(study.charts)
        for panel in reversed(chart)
        if panel.first.metric == metric
    }
    if not panels:
        raise UnknownNameError("metric", metric, {number.metric for number in study.drawn})
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
        first = panels[chosen].first
        draw_panel(ax, panels[chosen], choose_axis(study.drawn))
        ax.set_title(textwrap.fill(f"{first.metric_title}, {first.dataset_title}", 50))
        if len(panels[chosen].lines) > 1:
            ax.legend()
    return ax


def plot_dissimilarities(
    results: str | Path,
    revisions: Sequence[str] | None = None,
    *,
    dataset: str = "objects92",
    distance: str = "cosine",
    layer: int | None = None,
) -> "Figure":
    """Draw dissimilarity matrices of people and of revisions; each shows percentiles of its own values.

    Args:
        results: table of `clipdyn evaluate`, with the trials of ``representation`` beside it.
        revisions: names. Default: all that were measured.
        dataset: after the slash of the benchmark's name.
        distance: ``cosine``, ``correlation`` or ``euclidean``.
        layer: a hidden state. Default: the projection.

    Returns:
        A figure with a panel for people and one for each revision. White lines separate the categories. The matrix of
        people is the mean of their ranks.

    Raises:
        UnknownNameError: a revision or a distance was not measured.
        EvaluationError: there are no trials of this benchmark.

    Examples:
        >>> from hf_clipdyn import plot_dissimilarities
        >>> figure = plot_dissimilarities("runs/objects/results.parquet")
        >>> [axes.get_title(loc="left") for axes in figure.axes if axes.images]
        ['people', 'epoch-000', 'epoch-001']
    """
    trials = _trials(results, dataset)
    names = list(trials) if revisions is None else list(revisions)
    for name in names:
        if name not in trials:
            raise UnknownNameError("revision in the results", name, trials)
    people = next(iter(trials.values()))
    people = people[people["probe"] == "person"]
    ranks = people.groupby("name")["value"].rank().groupby([people["item"], people["partner"]]).mean()
    shown: dict[str, pd.Series[float]] = {"people": ranks}
    shown |= {name: _of_model(trials[name], distance, layer) for name in names}
    with figure_style():
        return _draw(shown, _categories(people))


def _trials(results: str | Path, dataset: str) -> Mapping[str, pd.DataFrame]:
    """The trials of each revision, in the order of the table."""
    store = CellStore(results)
    cells = [cell for cell in newest(store.cells()) if (cell.kind, cell.dataset) == (_KIND, dataset)]
    kept = {cell.revision: trials for cell in cells if (trials := store.trials(cell.key)) is not None}
    if not kept:
        raise EvaluationError(
            f"There are no trials of {_KIND}/{dataset} beside {results}: evaluate it with --benchmarks "
            f"{_KIND}/{dataset}."
        )
    return kept


def _of_model(trials: pd.DataFrame, distance: str, layer: int | None) -> "pd.Series[float]":
    of_model = trials[trials["probe"].isin(["projection", "hidden"])]
    if distance not in set(of_model["distance"]):
        raise UnknownNameError("distance in the trials", distance, sorted(set(of_model["distance"])))
    rows = of_model[of_model["distance"] == distance]
    if layer is None:
        rows = rows[rows["probe"] == "projection"]
    else:
        rows = rows[(rows["probe"] == "hidden") & (rows["layer"] == layer)]
    if rows.empty:
        layers = sorted({str(number) for number in of_model["layer"].dropna()}, key=int)
        raise UnknownNameError("layer in the trials", str(layer), layers)
    values: pd.Series[float] = rows.set_index(["item", "partner"])["value"]
    return values


def _categories(people: pd.DataFrame) -> dict[int, str]:
    """The category of each image, by its row, in the order of the rows."""
    pairs = people.drop_duplicates(["item", "partner"])
    names = dict(zip(pairs["item"], pairs["category"], strict=True))
    names |= dict(zip(pairs["partner"], pairs["partner_category"], strict=True))
    return dict(sorted(names.items()))


def _draw(shown: Mapping[str, "pd.Series[float]"], categories: Mapping[int, str]) -> "Figure":
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(_SIDE * columns + 1.5, (_SIDE + 0.4) * rows + 0.5))
    cells = figure.subplots(rows, columns, squeeze=False)
    drawn: Any = None
    for cell in cells.flat[len(shown) :]:
        cell.set_visible(False)
    for at, (cell, (name, values)) in enumerate(zip(cells.flat, shown.items(), strict=False)):
        drawn = _draw_matrix(cell, _percentiles(values, list(categories)))
        _mark_categories(cell, list(categories.values()), labelled=at % columns == 0)
        cell.set_title(name)
    figure.colorbar(drawn, ax=cells, shrink=0.6, label="dissimilarity, percentile")
    return figure


def _percentiles(values: "pd.Series[float]", images: Sequence[int]) -> Floats:
    """The square matrix, its values as percentiles; the diagonal is empty."""
    place = {image: at for at, image in enumerate(images)}
    first, second = (values.index.get_level_values(level).map(place) for level in (0, 1))
    matrix = np.full((len(images), len(images)), np.nan)
    matrix[first, second] = matrix[second, first] = 100 * (values.rank().to_numpy() - 0.5) / len(values)
    return matrix


def _draw_matrix(cell: "Axes", matrix: Floats) -> Any:
    cell.grid(visible=False)
    cell.spines[:].set_visible(False)
    return cell.imshow(matrix, cmap="viridis", vmin=0, vmax=100, interpolation="nearest")


def _mark_categories(cell: "Axes", names: Sequence[str], *, labelled: bool) -> None:
    starts = [at for at, name in enumerate(names) if at == 0 or name != names[at - 1]]
    ends = [*starts[1:], len(names)]
    for start in starts[1:]:
        cell.axhline(start - 0.5, color=PAPER, linewidth=0.6)
        cell.axvline(start - 0.5, color=PAPER, linewidth=0.6)
    cell.set_xticks([])
    centres = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    cell.set_yticks(centres, [names[start] if labelled else "" for start in starts])
