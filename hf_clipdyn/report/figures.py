"""Figures for papers: one for each benchmark, the overview and the charts, as wide as a column or a page, as files.

`plot` draws one panel into Axes of the user's.
"""

import gc
import io
import json
import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from hf_clipdyn.errors import ClipDynError, ConfigError, UnknownNameError, check_known
from hf_clipdyn.files import from_json, write_atomically
from hf_clipdyn.report import mpl as drawing
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.courses import CLOCKS, N_HUES
from hf_clipdyn.report.lines import against, over_clock
from hf_clipdyn.report.panel import NOT_DEFINED, NOT_INTERPRETABLE, Panel
from hf_clipdyn.report.planning import Planner
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import GREY, TYPEFACES, figure_style, read_style, typefaces

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
WIDTHS = ("auto", "column", "page")
COLUMN, PAGE = 3.35, 7.0
"""Inches, 85 and 178 mm: within the columns and pages of Nature (89 and 183 mm), Elsevier (90 and 190), PNAS (87 and
178) and IEEE (89 and 182)."""
AXES = {"epoch": "epoch", "step": "step", "samples": "samples_seen", "accuracy": "accuracy"}
"""What `plot` and the figures offer as x axis beside metrics, with its column of `Courses.clocks`."""
MOST_MARKED = 6
"""Runs up to which the page's static overview has every run and every number."""
_LONGEST_NAME = 100  # letters of a file's name
_MOST_PANELS = 6  # of a chart
_FEW = 2  # panels that fit into a column
_HIGHEST = 8.0  # inches: with its caption, a figure fits on a page
_HEIGHT, _SINGLE_HEIGHT, _MAP_HEIGHT = 2.3, 2.75, 3.7  # inches with a font of 10 points
_ROW_HEIGHT, _TITLE_LINE = 0.18, 0.17
_ON_PAGE = ("summary", "claims")
_LIST = ".figures.json"
_NO_LAYOUT: dict[Any, Any] = {"figure.constrained_layout.use": False}
"""Without this setting, matplotlib gives a figure that it saves an engine again."""
_OPTIONS: dict[str, dict[str, Any]] = {
    # Compressed by 5 % less, in half the time.
    "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}
"""Of `savefig`, by format: no time of writing."""


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
        ConfigError: no panel has ``x`` as its axis.
    """
    for known, what, names in ((FORMATS, "figure format", formats), (WIDTHS, "figure width", [width])):
        check_known(what, names, known)
    settings = {} if style is None else read_style(style)
    planned, whole = plan_figures(study, benchmarks, metric, x), not (benchmarks or metric or x)
    images, written = dict[str, bytes](), set[str]()
    path.mkdir(parents=True, exist_ok=True)
    with figure_style(settings, printed=True):
        for name, figure in _drawn(study, planned, width, with_charts=whole):
            # Not with_suffix: a metric's name may hold a dot.
            files = {f"{name}.{suffix}": saved(figure, suffix) for suffix in formats}
            for file, content in files.items():
                write_atomically(path / file, content)
            written |= set(files)
            if name in _ON_PAGE and figure.get_figwidth() == PAGE and whole:
                images[name] = files.get(f"{name}.svg") or saved(figure)
    _remove_earlier(path, written)
    gc.collect()  # a figure is a cycle; those of a large study hold 40 MB
    return images


def _drawn(
    study: Study, planned: Mapping[str, Sequence[Panel]], width: str, *, with_charts: bool
) -> "Iterator[tuple[str, Figure]]":
    """Each figure with its name."""
    for name, panels in planned.items():
        column = width == "column" or (width == "auto" and len(panels) <= _FEW)
        yield name, grid(panels, COLUMN if column else PAGE, intervals=study.confidence)
    for name, chart in charts().items() if with_charts else ():
        figure = chart.draw(study, COLUMN if width == "column" else PAGE)
        if figure is not None:
            yield name, figure


def _remove_earlier(path: Path, written: set[str]) -> None:
    """Remove the figures that an earlier report listed here and this one did not write; files of others stay."""
    record = path / _LIST
    try:
        listed = set(from_json(list[str], record.read_bytes(), record))
    except (OSError, ClipDynError):  # missing or damaged
        listed = set()
    for name in listed - written:
        if Path(name).name == name:
            (path / name).unlink(missing_ok=True)
    write_atomically(record, json.dumps(sorted(written), indent=1))


def draw_planned(study: Study, panels: Sequence[Panel], width: float, across: int = 0) -> "Figure | None":
    """The main panels of a chart, laid out; None without any. ``across`` as of `Chart`. Inside `figure_style`."""
    shown = [panel for panel in panels if panel.main and panel.defined]
    if not shown:
        return None
    if across:
        columns = across if width > COLUMN else min(across, 2)
        # Claims have levels of confidence of their own.
        return grid(shown, width, columns, intervals=study.confidence if shown[0].benchmark else "")
    shown = shown[:_MOST_PANELS]
    column = len(shown) <= _FEW and all(panel.cells is None for panel in shown)
    return grid(shown, COLUMN if column else width, intervals=study.confidence)


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
    for benchmark, chosen in _measured(planner, benchmarks, metric).items():
        panels = [one for panel in chosen if (one := _on_axis(planner, panel, x)) is not None]
        if shown := _main_arm(planner, panels):
            name = re.sub(r"[^a-z0-9]+", "-", benchmark.lower())[:_LONGEST_NAME].strip("-") or "benchmark"
            names[name] += 1
            figures[name if names[name] == 1 else f"{name}-{names[name]}"] = shown
    if x and not figures:
        raise ConfigError(f"No figure can have {x} as its x axis: choose another axis or metric.")
    return figures


def _measured(planner: Planner, benchmarks: Sequence[str], metric: str) -> dict[str, list[Panel]]:
    """The panels that are asked for, by benchmark; an error if one does not exist, or none has the metric."""
    known = planner.benchmarks
    check_known("benchmark", benchmarks, {*known, *(name.split("/")[0] for name in known)})
    asked = {
        name: panels
        for name, panels in known.items()
        if not benchmarks or not {name, name.split("/")[0]}.isdisjoint(benchmarks)
    }
    if metric:
        check_known("metric", [metric], {one.metric for panels in asked.values() for one in panels})
    return {name: chosen for name, panels in asked.items() if (chosen := _chosen(planner, panels, metric))}


def _chosen(planner: Planner, panels: Sequence[Panel], metric: str) -> list[Panel]:
    """The main panels of a benchmark, or the panels of a metric over training and over its levels."""
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
        if "claims" not in images and (figure := charts()["claims"].draw(study, PAGE)) is not None:
            images["claims"] = saved(figure)
    return images


def overview_figure(study: Study, suffix: str = "svg") -> bytes:
    """The study at a glance as a file: the figure ``summary`` as wide as a page."""
    with figure_style(printed=True):
        return saved(
            grid(_main_arm(study.planner, study.planner.glance), PAGE, intervals=study.confidence), suffix
        )


def saved(figure: "Figure", suffix: str = "svg") -> bytes:
    """A figure as a file of this format; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context(_NO_LAYOUT):
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
    measured = _measured(planner, [benchmark] if benchmark else [], metric)
    if len(measured) > 1:
        named = ", ".join(sorted(measured))
        raise ConfigError(f"{metric} was measured on several benchmarks, {named}: name one as `benchmark`.")
    ((first, *_),) = measured.values()
    panel = _on_axis(planner, first, x or "") or first
    with figure_style():
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.gca()
        names = drawing.draw(panel, ax)
        ax.set_title(textwrap.fill(", ".join(filter(None, [panel.title, panel.place])), 50))
        drawing.place_names(ax, names, drawing.write_names(ax, names))
        if len(panel.values) > 1:
            ax.legend()
    return ax


# ------------------------------------------------------------ panels as one figure


def grid(panels: Sequence[Panel], width: float, columns: int = 0, *, intervals: str = "") -> "Figure":
    """Panels as a figure with letters, titles, names in the margins and a legend below, laid out.

    It is drawn and saved inside `figure_style`.

    Args:
        panels: at least one.
        width: inches.
        columns: at most; 0 for as many as fit.
        intervals: the confidence level in words, for the legend.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    columns = min(columns or _across(panels, width), len(panels))
    titles = [_title(panel, width / columns) for panel in panels]
    rows = [slice(start, start + columns) for start in range(0, len(panels), columns)]
    heights = [_height(panels[row], titles[row], columns, width / columns) for row in rows]
    figure = Figure(figsize=(width, min(sum(heights), _HIGHEST)))
    cells = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for cell in cells.flat[len(panels) :]:
        cell.set_visible(False)
    named: dict[Axes, list[drawing.Name]] = {}
    letters = [*ascii_lowercase, *[""] * len(panels)] if len(panels) > 1 else [""]
    for cell, panel, title, letter in zip(cells.flat, panels, titles, letters, strict=False):
        named[cell] = drawing.draw(panel, cell)
        cell.set_title(title, y=1.0)
        size = drawing.font_points("axes.titlesize")
        above = (-4, mpl.rcParams["axes.titlepad"] + title.count("\n") * 1.2 * size)
        given = {"ha": "right", "va": "baseline", "fontsize": size, "fontweight": "bold", "xytext": above}
        if letter:
            drawing.annotate(cell, letter, (0, 1), "axes fraction", **given)
    _name_once(cells, named)
    narrow = width / columns < 3.4 * drawing.font_points("font.size") / 10
    texts = {
        cell: drawing.write_names(cell, names, 12 if narrow else drawing.MARGIN)
        for cell, names in named.items()
    }
    _add_legend(figure, panels, intervals)
    _lay_out(figure)
    for cell, names in named.items():
        drawing.place_names(cell, names, texts[cell])
    return figure


def _across(panels: Sequence[Panel], width: float) -> int:
    """Columns for these panels: four are two by two, not three and one; maps are wide."""
    n = len(panels)
    on_page = 2 if n == 4 else 3 + (n > 15)
    columns = on_page if width > COLUMN else 1 + (n > 6)
    return min(columns, 2) if any(panel.cells is not None for panel in panels) else columns


def _title(panel: Panel, width: float) -> str:
    """Title and place of a panel, in lines that fit above it."""
    frames = {line.frame for line in panel.values} - {-1}
    place = ", ".join([panel.place, *(["last revision"] if frames and not panel.ramp else [])])
    share = 1 - drawing.LABEL_SHARE / 2 if panel.form == "rows" else 1
    return drawing.wrapped(
        "\n".join(filter(None, [panel.title, place])), drawing.letters_across("axes.titlesize", width * share)
    )


def _height(row: Sequence[Panel], titles: Sequence[str], columns: int, width: float) -> float:
    """Height of a row of panels in inches; rows of intervals need more if their labels have several lines."""
    lines = max(title.count("\n") + 1 for title in titles)
    curves = _SINGLE_HEIGHT if columns == 1 else _HEIGHT
    of_form = {"lines": curves + _TITLE_LINE * max(0, lines - 2), "map": _MAP_HEIGHT}
    labels = [sum(lines for _, lines in drawing.row_labels(panel, width).values()) for panel in row]
    heights = [
        of_form.get(panel.form, 0.75 + _TITLE_LINE * lines + _ROW_HEIGHT * n)
        for panel, n in zip(row, labels, strict=True)
    ]
    return max(heights) * drawing.font_points("font.size") / 10


def _name_once(cells: Any, named: "dict[Axes, list[drawing.Name]]") -> None:
    """Keep the names of runs in the last cell of a row of cells that has them; all its cells share a look."""
    for row in cells:
        known = set[tuple[str, str]]()
        for cell in reversed([cell for cell in row if cell in named]):
            named[cell] = [name for name in named[cell] if (name.text, name.colour) not in known]
            known |= {(name.text, name.colour) for name in named[cell] if name.of_run}


def _add_legend(figure: "Figure", panels: Sequence[Panel], intervals: str) -> None:
    """Below the panels: what their marks mean, and names that have no place beside their lines."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    drawn = [[line for line in drawing.shown_lines(panel) if line.role == "value"] for panel in panels]
    named = {
        line.label
        for panel, own in zip(panels, drawn, strict=True)
        if len(own) == 1 or drawing.has_end_names(panel, own)
        for line in own
    }
    handles: dict[str, Any] = {}
    for cell in figure.axes:
        for handle, label in zip(*cell.get_legend_handles_labels(), strict=True):
            if label not in named:
                handles.setdefault(str(label), handle)
    lines, rows = [line for own in drawn for line in own], [row for panel in panels for row in panel.rows]
    if seeds := sorted({len(line.seeds) for line in lines if line.seeds}):
        n = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        handles[f"mean of {n} seeds"] = Line2D([], [], color=GREY, marker="o")
        handles["each seed"] = Line2D([], [], color=GREY, linewidth=drawing.THIN, alpha=0.6)
    if intervals and any(np.isfinite(line.low).any() for line in lines):
        handles[f"{intervals} interval"] = Patch(color=GREY, alpha=0.3, linewidth=0)
    elif intervals and any(math.isfinite(row.low) for row in rows):
        handles[f"{intervals} interval"] = Line2D([], [], color=GREY, linewidth=1.4)
    handles |= {label: handles.pop(label) for label in (NOT_INTERPRETABLE, NOT_DEFINED) if label in handles}
    if not handles:
        return
    width, height = figure.get_size_inches()
    across = drawing.letters_across("legend.fontsize", width)
    labels = [textwrap.fill(label, max(8, across - 6)) for label in handles]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    columns = min(len(handles), max(1, across // (longest + 6)), 6)
    n_lines = -(-len(handles) // columns) + sum(label.count("\n") for label in labels)
    figure.set_size_inches(
        width, min(height + n_lines * 1.6 * drawing.font_points("legend.fontsize") / 72, _HIGHEST)
    )
    figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=columns)


def _lay_out(figure: "Figure") -> None:
    """Give all parts their places, once: each format that is saved later would do so again, with the same result."""
    engine = figure.get_layout_engine()
    assert engine is not None, "figures are drawn inside `figure_style`"
    engine.execute(figure)
    with mpl.rc_context(_NO_LAYOUT):
        # Unlike "none", which leaves an engine, for which every format is drawn twice.
        figure.set_layout_engine(None)
