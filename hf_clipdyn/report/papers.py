"""Figures for papers: one for each benchmark, the overview and the claims, as wide as a column and as a page."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.charts import Panel
from hf_clipdyn.report.claims_figure import draw_claims
from hf_clipdyn.report.figures import draw_panels
from hf_clipdyn.report.panels import average_seeds, groups_of_seeds, plan_benchmarks
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.style import figure_style
from hf_clipdyn.report.style_files import read_style
from hf_clipdyn.report.svg import FigureFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLUMN", "FORMATS", "PAGE", "Size", "plan_figures", "write_figures"]

FORMATS = ("png", "svg", "pdf")
_HIGHEST = 9.0  # inches: with its legend and its caption, a figure fits on a page
_LONGEST_NAME = 100  # letters of a file's name

_OTHERS: dict[str, "Callable[[Study, float], Figure | None]"] = {"claims": draw_claims}
"""Figures that other modules draw, by name, laid out, for a width in inches; None if a study does not have them."""


@dataclass(frozen=True)
class Size:
    """A width of figures in print.

    Attributes:
        name: end of the files' names.
        width: inches.
        columns: of panels.
        many: more panels than this take one column more.
    """

    name: str
    width: float
    columns: int
    many: int


COLUMN = Size("column", width=3.35, columns=1, many=6)
PAGE = Size("page", width=7.0, columns=3, many=15)
"""85 and 178 mm: within the columns and pages of Nature (89 and 183 mm), Elsevier (90 and 190), PNAS (87 and 178) and
IEEE (89 and 182)."""


def write_figures(study: Study, path: Path, style: str | Path | None = None) -> None:
    """Write ``NAME-column`` and ``NAME-page`` as PNG, SVG and PDF: ``summary``, ``claims``, and one for each benchmark.

    Panels show the main metrics over training and over levels, bars if each run has one revision. Several seeds of a
    scale are thin lines and their mean.

    Args:
        study: of all runs.
        path: folder, created if missing. Figures that an earlier call left there are removed.
        style: name of a matplotlib style, or a file of one; see `read_style`.

    Raises:
        ConfigError: the style is unknown or broken.
        OSError: the folder cannot be written.
    """
    settings = {} if style is None else read_style(style)
    folder = FigureFolder(path)
    for size in (COLUMN, PAGE):
        with figure_style(settings, printed=True):
            for name, figure in _drawn(study, size):
                folder.save(figure, f"{name}-{size.name}", FORMATS)
    folder.sweep()


def _drawn(study: Study, size: Size) -> "Iterator[tuple[str, Figure]]":
    """Each figure with its name."""
    over_training = any(len(one.points) > 1 for one in study.trajectories)
    axis = choose_axis(study.trajectories)
    for name, panels in plan_figures(study).items():
        columns = size.columns + (len(panels) > size.many)
        yield (
            name,
            draw_panels(
                [panels],
                axis,
                columns,
                bars=not over_training,
                width=size.width,
                highest=_HIGHEST,
                lettered=True,
            ),
        )
    for name, draw in _OTHERS.items():
        figure = draw(study, size.width)
        if figure is not None:
            yield name, figure


def plan_figures(study: Study) -> dict[str, list[Panel]]:
    """The panels of each figure, by its name."""
    groups = groups_of_seeds(study.trajectories)
    overview = [panel for panels in study.overview for panel in panels]
    found = {"summary": overview} if overview else {}
    names = Counter[str]()
    for benchmark, panels in plan_benchmarks(study.charts, study.runs).items():
        name = re.sub(r"[^a-z0-9]+", "-", benchmark.lower())[:_LONGEST_NAME].strip("-") or "benchmark"
        names[name] += 1
        found[name if names[name] == 1 else f"{name}-{names[name]}"] = panels
    return {name: [average_seeds(panel, groups) for panel in panels] for name, panels in found.items()}
