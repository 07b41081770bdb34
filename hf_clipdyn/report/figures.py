"""Figures for papers as files: one for each benchmark, the overview and the claims, as wide as a column or a page.

`plot` draws one panel into Axes of the user's.
"""

import gc
import io
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd

from hf_clipdyn.errors import ClipDynError, ConfigError, UnknownNameError
from hf_clipdyn.files import from_json, write_atomically
from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.draw import draw_panel, draw_panels
from hf_clipdyn.report.labels import NO_LAYOUT
from hf_clipdyn.report.plan import N_HUES, Panel, average_seeds, groups_of_seeds, plan_benchmarks
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import TYPEFACES, figure_style, read_style, typefaces

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
WIDTHS = ("auto", "column", "page")
_LONGEST_NAME = 100  # letters of a file's name
MOST_MARKED = 6
"""Runs up to which the page's static overview has every run and every number."""
_LIST = ".figures.json"
_OPTIONS: dict[str, dict[str, Any]] = {
    # Compressed by 5 % less, in half the time.
    "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}
"""Of `savefig`, by format: no time of writing."""


@dataclass(frozen=True)
class Size:
    """A width of figures in print.

    Attributes:
        width: inches.
        columns: of panels.
        many: more panels than this take one column more.
    """

    width: float
    columns: int
    many: int

    def across(self, n: int) -> int:
        """Columns for this number of panels: four are two by two, not three and one."""
        return 2 if n == 4 and self.columns == 3 else self.columns + (n > self.many)


COLUMN = Size(width=3.35, columns=1, many=6)
PAGE = Size(width=7.0, columns=3, many=15)
"""85 and 178 mm: within the columns and pages of Nature (89 and 183 mm), Elsevier (90 and 190), PNAS (87 and 178) and
IEEE (89 and 182)."""
_ON_PAGE = ("summary", "claims")
_FEW = 2  # panels that fit into a column


def write_figures(
    study: Study,
    path: Path,
    style: str | Path | None = None,
    *,
    formats: Sequence[str] = ("png", "pdf"),
    width: str = "auto",
) -> dict[str, bytes]:
    """Write ``NAME.png`` and ``NAME.pdf``: ``summary``, one for each benchmark, and those of `charts`.

    Panels show the main metrics over training and over levels, bars if each run has one revision. Several seeds of a
    scale are thin lines and their mean. Of a study with control arms they show the main arm, and ``arms`` shows the
    others. Figures that an earlier call left in the folder are removed.

    Args:
        study: what to draw.
        path: folder, created if missing.
        style: as of `read_style`.
        formats: of `FORMATS`.
        width: of `WIDTHS`; ``auto`` is a column for one or two panels, else a page.

    Returns:
        Those that `page_figures` would draw again.
    """
    for known, what, names in ((FORMATS, "figure format", formats), (WIDTHS, "figure width", [width])):
        for name in names:
            if name not in known:
                raise UnknownNameError(what, name, known)
    settings = {} if style is None else read_style(style)
    folder, images = FigureFolder(path), dict[str, bytes]()
    with figure_style(settings, printed=True):
        for name, figure in _drawn(study, width):
            folder.save(figure, name, formats)
            if name in _ON_PAGE and figure.get_figwidth() == PAGE.width:
                images[name] = saved(figure)
    folder.sweep()
    gc.collect()  # a figure is a cycle; those of a large study hold 40 MB
    return images


def _drawn(study: Study, width: str) -> "Iterator[tuple[str, Figure]]":
    """Each figure with its name."""
    for name, panels in plan_figures(study).items():
        column = width == "column" or (width == "auto" and len(panels) <= _FEW)
        yield name, _draw(study, panels, COLUMN if column else PAGE)
    for name, chart in charts().items():
        figure = chart.draw(study, COLUMN.width if width == "column" else PAGE.width)
        if figure is not None:
            yield name, figure


def page_figures(study: Study, drawn: Mapping[str, bytes]) -> dict[str, bytes]:
    """``summary`` and ``claims`` as SVG, as wide as a page, if the study has them; ``drawn`` has some already."""
    images = dict(drawn)
    with figure_style(printed=True):
        if "summary" not in images and study.overview:
            images["summary"] = overview_figure(study)
        if "claims" not in images and (figure := charts()["claims"].draw(study, PAGE.width)) is not None:
            images["claims"] = saved(figure)
    return images


def plan_figures(study: Study) -> dict[str, list[Panel]]:
    """The panels of each figure, by its name."""
    overview = _overview(study)
    figures = {"summary": overview} if overview else {}
    names = Counter[str]()
    for benchmark, planned in plan_benchmarks(study.charts, study.runs).items():
        panels = [panel for panel in planned if not study.over_training or _is_course(panel)]
        if not panels:
            continue
        name = re.sub(r"[^a-z0-9]+", "-", benchmark.lower())[:_LONGEST_NAME].strip("-") or "benchmark"
        names[name] += 1
        figures[name if names[name] == 1 else f"{name}-{names[name]}"] = _averaged(study, panels)
    return figures


def _is_course(panel: Panel) -> bool:
    """Whether it shows more than one number for a whole run."""
    return any(len(line.trajectory.points) > 1 for line in panel.lines)


def _overview(study: Study) -> list[Panel]:
    return _averaged(study, [panel for panels in study.overview for panel in panels])


def _averaged(study: Study, panels: Sequence[Panel]) -> list[Panel]:
    """Panels with means over seeds; of more groups than hues, the main arm alone."""
    groups = groups_of_seeds(study.trajectories)
    if len(groups) > N_HUES:
        groups = groups_of_seeds([number for number in study.trajectories if not number.arm])
    means = [average_seeds(panel, groups) for panel in panels]
    return [panel for panel in means if panel.lines]


def _draw(study: Study, panels: Sequence[Panel], size: Size) -> "Figure":
    axis, across = choose_axis(study.trajectories), size.across(len(panels))
    look: dict[str, Any] = {"width": size.width, "lettered": True, "intervals": study.confidence}
    return draw_panels([panels], axis, across, bars=not study.over_training, **look)


def draw_planned(study: Study, panels: Sequence[Panel], width: float) -> "Figure | None":
    """The panels of a chart, with means over seeds, laid out; None without any. Inside `figure_style`."""
    shown = _averaged(study, panels)
    return _draw(study, shown, PAGE if width > COLUMN.width else COLUMN) if shown else None


def saved(figure: "Figure", suffix: str = "svg") -> bytes:
    """A figure as a file of this format; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context(NO_LAYOUT):
        figure.savefig(buffer, format=suffix, **_OPTIONS[suffix])
    drawn = buffer.getvalue()
    if suffix == "svg":  # the reader's machine may have another of the typefaces
        drawn = drawn.replace(_quoted(typefaces()), _quoted(TYPEFACES))
    return drawn


def _quoted(names: Sequence[str]) -> bytes:
    return ", ".join(f"'{name}'" for name in names).encode()


def overview_figure(study: Study, suffix: str = "svg") -> bytes:
    """The study at a glance as a file: the figure ``summary`` as wide as a page."""
    with figure_style(printed=True):
        return saved(_draw(study, _overview(study), PAGE), suffix)


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


class FigureFolder:
    """Figures in several formats beside each other in a folder, which is created if missing.

    It keeps a list of its files, so that it never deletes a file that somebody else put there.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._written: set[str] = set()

    def save(self, figure: "Figure", name: str, formats: Sequence[str] = ("png", "pdf")) -> None:
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
        names = from_json(list[str], record.read_bytes(), record)
    except (OSError, ClipDynError):
        return set()
    return {name for name in names if Path(name).name == name}
