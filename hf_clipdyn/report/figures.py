"""Figures for papers as files: one for each benchmark, the overview and the claims, as wide as a column or a page."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.files import write_atomically
from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.claims_figure import draw_claims
from hf_clipdyn.report.draw import NO_LAYOUT, draw_panels
from hf_clipdyn.report.plan import Panel, average_seeds, groups_of_seeds, plan_benchmarks
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.style import figure_style, read_style
from hf_clipdyn.schema import read_any_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLUMN",
    "FORMATS",
    "MOST_MARKED",
    "PAGE",
    "FigureFolder",
    "Size",
    "overview_figure",
    "plan_figures",
    "saved",
    "write_figures",
]

FORMATS = ("png", "svg", "pdf")
_HIGHEST = 9.0  # inches: with its legend and its caption, a figure fits on a page
_LONGEST_NAME = 100  # letters of a file's name
MOST_MARKED = 6
"""Runs up to which the static overview has every run and every number."""
_LIST = ".figures.json"
_OPTIONS: dict[str, dict[str, Any]] = {
    # Compressed by 5 % less, in half the time.
    "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}
"""Of `savefig`, by format: no time of writing."""

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

    Figures that an earlier call left in the folder are removed. ``style`` is as of `read_style`.
    """
    settings = {} if style is None else read_style(style)
    folder, plans = FigureFolder(path), plan_figures(study)
    for size in (COLUMN, PAGE):
        with figure_style(settings, printed=True):
            for name, figure in _drawn(study, plans, size):
                folder.save(figure, f"{name}-{size.name}", FORMATS)
    folder.sweep()


def _drawn(study: Study, plans: Mapping[str, Sequence[Panel]], size: Size) -> "Iterator[tuple[str, Figure]]":
    """Each figure with its name."""
    axis, bars = choose_axis(study.trajectories), not study.over_training
    look: dict[str, Any] = {"bars": bars, "width": size.width, "highest": _HIGHEST, "lettered": True}
    for name, panels in plans.items():
        yield name, draw_panels([panels], axis, size.columns + (len(panels) > size.many), **look)
    for name, draw in _OTHERS.items():
        figure = draw(study, size.width)
        if figure is not None:
            yield name, figure


def plan_figures(study: Study) -> dict[str, list[Panel]]:
    """The panels of each figure, by its name."""
    groups = groups_of_seeds(study.trajectories)
    overview = [panel for panels in study.overview for panel in panels]
    figures = {"summary": overview} if overview else {}
    names = Counter[str]()
    for benchmark, panels in plan_benchmarks(study.charts, study.runs).items():
        name = re.sub(r"[^a-z0-9]+", "-", benchmark.lower())[:_LONGEST_NAME].strip("-") or "benchmark"
        names[name] += 1
        figures[name if names[name] == 1 else f"{name}-{names[name]}"] = panels
    return {name: [average_seeds(panel, groups) for panel in panels] for name, panels in figures.items()}


def saved(figure: "Figure", suffix: str = "svg") -> bytes:
    """A figure as a file of this format; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context(NO_LAYOUT):
        figure.savefig(buffer, format=suffix, **_OPTIONS[suffix])
    return buffer.getvalue()


def overview_figure(study: Study, suffix: str = "svg") -> bytes:
    """The study at a glance as a file; of many runs the means over seeds without marks, which would take a megabyte."""
    panels = study.overview
    many = len(study.runs) > MOST_MARKED
    if many:
        groups = groups_of_seeds(study.trajectories)
        panels = [[_without_members(average_seeds(panel, groups)) for panel in world] for world in panels]
    with figure_style():
        figure = draw_panels(panels, choose_axis(study.trajectories), columns=3, bars=not study.over_training)
        for line in (
            line for cell in figure.axes for line in cell.lines if many and line.get_linestyle() != "None"
        ):
            line.set_marker("")
        return saved(figure, suffix)


def _without_members(panel: Panel) -> Panel:
    return replace(panel, lines=tuple(replace(line, members=()) for line in panel.lines))


class FigureFolder:
    """Figures in several formats beside each other in a folder, which is created if missing.

    It keeps a list of its files, so that it never deletes a file that somebody else put there.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._written: set[str] = set()

    def save(self, figure: "Figure", name: str, formats: Sequence[str] = ("png", "svg")) -> None:
        """Write ``name.png`` and others; the same figure gives the same bytes."""
        for suffix in formats:
            # Not with_suffix: a metric's name may hold a dot.
            write_atomically(self._path / f"{name}.{suffix}", saved(figure, suffix))
            self._written.add(f"{name}.{suffix}")

    def sweep(self) -> None:
        """Remove the figures that an earlier report wrote here and this one did not."""
        record = self._path / _LIST
        for name in _listed(record) - self._written:
            (self._path / name).unlink(missing_ok=True)
        write_atomically(record, json.dumps(sorted(self._written), indent=1))


def _listed(record: Path) -> set[str]:
    """Names in the list of an earlier report; none if the list is missing or damaged."""
    try:
        names = read_any_json(record, error=ConfigError)
    except ConfigError:
        return set()
    if not isinstance(names, list):
        return set()
    return {name for name in names if isinstance(name, str) and Path(name).name == name}
