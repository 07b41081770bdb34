"""Figures for papers as files: one for each benchmark, the overview and the charts, as wide as a column or a page.

`plot` draws one panel into Axes of the user's.
"""

import gc
import io
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd

from hf_clipdyn.errors import ClipDynError, ConfigError, UnknownNameError, check_known
from hf_clipdyn.files import from_json, write_atomically
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.courses import CLOCKS, N_HUES
from hf_clipdyn.report.grid import grid
from hf_clipdyn.report.lines import against, over_clock
from hf_clipdyn.report.margin import NO_LAYOUT, place_names
from hf_clipdyn.report.mpl import draw
from hf_clipdyn.report.panel import Panel
from hf_clipdyn.report.planning import Planner
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import TYPEFACES, figure_style, read_style, typefaces

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
WIDTHS = ("auto", "column", "page")
AXES = {"epoch": "epoch", "step": "step", "samples": "samples_seen", "accuracy": "accuracy"}
"""What `plot` and the figures offer as x axis beside metrics, with its column of `Courses.clocks`."""
MOST_MARKED = 6
"""Runs up to which the page's static overview has every run and every number."""
_LONGEST_NAME = 100  # letters of a file's name
_MOST_PANELS = 6  # of a chart
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
    """A width of figures in print, in inches; more panels than ``many`` take one column more."""

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
    benchmarks: Sequence[str] = (),
    metric: str = "",
    x: str = "",
) -> dict[str, bytes]:
    """Write ``NAME.png`` and ``NAME.pdf``: ``summary``, one for each benchmark, and those of `charts`.

    Several seeds of a scale are thin lines and their mean with its interval. Of a study with many control arms, all but
    ``arms`` show the main arm. Figures that an earlier call left in the folder are removed.

    Args:
        study: what to draw.
        path: folder, created if missing.
        style: as of `read_style`.
        formats: of `FORMATS`.
        width: of `WIDTHS`; ``auto`` is a column for one or two panels, else a page.
        benchmarks, metric, x: as of `plan_figures`; with any of them, only such figures are drawn.

    Returns:
        Those that `page_figures` would draw again.

    Raises:
        UnknownNameError: a format, width, benchmark, metric or x axis does not exist.
    """
    for known, what, names in ((FORMATS, "figure format", formats), (WIDTHS, "figure width", [width])):
        check_known(what, names, known)
    settings = {} if style is None else read_style(style)
    planned, images = plan_figures(study, benchmarks, metric, x), dict[str, bytes]()
    folder, chosen = FigureFolder(path), bool(benchmarks or metric or x)
    with figure_style(settings, printed=True):
        for name, figure in _drawn(study, planned, width, with_charts=not chosen):
            folder.save(figure, name, formats)
            if name in _ON_PAGE and figure.get_figwidth() == PAGE.width and not chosen:
                images[name] = saved(figure)
    folder.sweep()
    gc.collect()  # a figure is a cycle; those of a large study hold 40 MB
    return images


def _drawn(
    study: Study, planned: Mapping[str, Sequence[Panel]], width: str, *, with_charts: bool
) -> "Iterator[tuple[str, Figure]]":
    """Each figure with its name."""
    for name, panels in planned.items():
        column = width == "column" or (width == "auto" and len(panels) <= _FEW)
        yield name, draw_panels(study, panels, COLUMN if column else PAGE)
    for name, chart in charts().items() if with_charts else ():
        figure = chart.draw(study, COLUMN.width if width == "column" else PAGE.width)
        if figure is not None:
            yield name, figure


def draw_panels(study: Study, panels: Sequence[Panel], size: Size) -> "Figure":
    """Panels of one width, laid out. Inside `figure_style`."""
    across = size.across(len(panels))
    across = min(across, 2) if any(panel.cells is not None for panel in panels) else across
    return grid(panels, size.width, across, intervals=study.confidence)


def draw_planned(study: Study, panels: Sequence[Panel], width: float, across: int = 0) -> "Figure | None":
    """The main panels of a chart, laid out; None without any. ``across`` as of `Chart`. Inside `figure_style`."""
    shown = [panel for panel in panels if panel.main and panel.defined]
    if across and shown:
        columns = across if width > COLUMN.width else min(across, 2)
        # Claims have levels of confidence of their own.
        return grid(shown, width, columns, intervals=study.confidence if shown[0].benchmark else "")
    shown = shown[:_MOST_PANELS]
    page = width > COLUMN.width and (len(shown) > _FEW or any(panel.cells is not None for panel in shown))
    return draw_panels(study, shown, PAGE if page else COLUMN) if shown else None


def plan_figures(
    study: Study, benchmarks: Sequence[str] = (), metric: str = "", x: str = ""
) -> dict[str, list[Panel]]:
    """The panels of each figure, by its name.

    Args:
        study: what to draw.
        benchmarks: kinds, or kinds and data sets with a slash; default: all, with ``summary``.
        metric: its panels; default: the main ones of each benchmark.
        x: of `AXES`, or a metric of the same benchmark; default: the usual axis.
    """
    planner = study.planner
    figures: dict[str, list[Panel]] = {}
    if planner.glance and not (benchmarks or metric or x):
        figures["summary"] = _main_arm(planner, planner.glance)
    names = Counter[str]()
    for benchmark in _named(planner, benchmarks):
        panels = _chosen(planner, benchmark, metric)
        panels = [one for panel in panels if (one := _on_axis(planner, panel, x)) is not None]
        if shown := _main_arm(planner, panels):
            name = re.sub(r"[^a-z0-9]+", "-", benchmark.lower())[:_LONGEST_NAME].strip("-") or "benchmark"
            names[name] += 1
            figures[name if names[name] == 1 else f"{name}-{names[name]}"] = shown
    if metric and not figures:
        known = {panel.metric for panels in planner.benchmarks.values() for panel in panels}
        raise UnknownNameError("metric", metric, known)
    return figures


def _named(planner: Planner, wanted: Sequence[str]) -> list[str]:
    known = list(planner.benchmarks)
    for name in wanted:
        if name not in known and name not in {each.split("/", 1)[0] for each in known}:
            raise UnknownNameError("benchmark", name, known)
    return [each for each in known if not wanted or each in wanted or each.split("/", 1)[0] in wanted]


def _chosen(planner: Planner, benchmark: str, metric: str) -> list[Panel]:
    """The main panels, or those of a metric: over training, and over its levels."""
    panels = planner.benchmarks[benchmark]
    if not metric:
        return [
            panel for panel in panels if panel.main and not (planner.over_training and panel.form == "rows")
        ]
    own = [panel for panel in panels if panel.metric == metric]
    over = {panel.choices["over"]: panel for panel in reversed(own) if panel.defined}
    return [panel for panel in own if over.get(panel.choices["over"]) is panel] or own[:1]


def _on_axis(planner: Planner, panel: Panel, x: str) -> Panel | None:
    """A panel over another clock or another metric; None for one that has neither."""
    if not x:
        return panel
    if panel.choices["over"] not in ("training", "models"):
        return None
    if x in AXES and panel.form == "lines":
        return over_clock(panel, planner.clocks, AXES[x], CLOCKS.get(AXES[x], "zero-shot accuracy"))
    everywhere = [other for panels in planner.benchmarks.values() for other in panels if other.main]
    known = {
        other.metric: other
        for other in reversed([*planner.benchmarks[panel.benchmark], *everywhere])
        if (other.form, other.choices["over"]) == (panel.form, panel.choices["over"])
    }
    if x not in known:
        raise UnknownNameError("x axis", x, [*AXES, *known])
    return None if x == panel.metric else against(panel, known[x])


def _main_arm(planner: Planner, panels: Sequence[Panel]) -> list[Panel]:
    """Of more groups than hues, the main arm alone."""
    arms = {group.title for group in planner.groups if group.arm}
    if len(planner.groups) <= N_HUES or not arms:
        return list(panels)
    kept = [
        replace(panel, lines=tuple(one for one in panel.lines if one.group not in arms)) for panel in panels
    ]
    return [panel for panel in kept if panel.values or panel.form != "lines"]


def page_figures(study: Study, drawn: Mapping[str, bytes]) -> dict[str, bytes]:
    """``summary`` and ``claims`` as SVG, as wide as a page, if the study has them; ``drawn`` has some already."""
    images = dict(drawn)
    with figure_style(printed=True):
        if "summary" not in images and study.planner.glance:
            images["summary"] = overview_figure(study)
        if "claims" not in images and (figure := charts()["claims"].draw(study, PAGE.width)) is not None:
            images["claims"] = saved(figure)
    return images


def overview_figure(study: Study, suffix: str = "svg") -> bytes:
    """The study at a glance as a file: the figure ``summary`` as wide as a page."""
    with figure_style(printed=True):
        return saved(draw_panels(study, _main_arm(study.planner, study.planner.glance), PAGE), suffix)


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


def plot(
    results: str | Path | Sequence[str | Path] | pd.DataFrame | Study,
    metric: str,
    *,
    x: str | None = None,
    benchmark: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a metric over the revisions of one or several runs, or against another metric, with its references.

    Args:
        results: tables of `clipdyn evaluate`, or a frame of `load_results`, which may be filtered.
        metric: name in the column ``metric``, for example ``shape_bias``.
        x: of `AXES` (epoch, step, samples, accuracy), or another metric. Default: the usual axis.
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
    planner = read_study(results).planner
    measured = {
        name: panels
        for name, panels in planner.benchmarks.items()
        if any(one.metric == metric for one in panels)
    }
    if not measured:
        known = {panel.metric for panels in planner.benchmarks.values() for panel in panels}
        raise UnknownNameError("metric", metric, known)
    if benchmark is None and len(measured) > 1:
        named = ", ".join(sorted(measured))
        raise ConfigError(f"{metric} was measured on several benchmarks, {named}: name one as `benchmark`.")
    chosen = benchmark or next(iter(measured))
    check_known("benchmark", [chosen], measured)
    first = next(panel for panel in measured[chosen] if panel.metric == metric)
    panel = _on_axis(planner, first, x or "") or first
    with figure_style():
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.gca()
        names = draw(panel, ax)
        ax.set_title(textwrap.fill(", ".join(filter(None, [panel.title, panel.place])), 50))
        place_names(ax, names)
        if len(panel.values) > 1:
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
