"""Results in a terminal: for each run and benchmark the main metrics, with their course as a sparkline."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from hf_clipdyn.errors import UnknownNameError, printable
from hf_clipdyn.report.plan import plan_benchmarks
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import NOT_INTERPRETABLE, metric_words
from hf_clipdyn.statistics.trajectories import Trajectory

_BLOCKS, _DIGITS = "▁▂▃▄▅▆▇█", "0123456789"
_DOTS = {_BLOCKS: "·", _DIGITS: "."}
_HEADINGS = ("metric", "course", "first", "last", "interval", "n")
_DROPPED = ("n", "first", "interval", "course")
"""Columns that a narrow terminal does without, the first one first."""
_STYLES = {"course": "cyan", "interval": "bright_black", "n": "bright_black"}
_NOT_DEFINED = "not defined"
_GAP = 2
_INDENT = 2
_NARROWEST_NAME, _SHORTEST, _LONGEST = 20, 8, 40
_WITHOUT_DECIMALS = 1000.0

Floats = NDArray[np.float64]


def sparkline(
    values: Floats, silent: NDArray[np.bool_], low: float, high: float, length: int, signs: str
) -> str:
    """A course in one line of text.

    Args:
        values: one for each revision; NaN where there is none to show.
        silent: revisions whose number is defined but not interpretable: they become dots, others without a value
            gaps.
        low: value of the lowest sign.
        high: value of the highest sign.
        length: characters; of more revisions, neighbours share one, which shows their mean.
        signs: from low to high, eight blocks or ten digits.
    """
    parts = np.array_split(np.arange(len(values)), min(length, len(values)))
    return "".join(_sign(values[part], silent[part], low, high, signs) for part in parts)


def _sign(values: Floats, silent: NDArray[np.bool_], low: float, high: float, signs: str) -> str:
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return _DOTS[signs] if silent.any() else " "
    share = 0.5 if high <= low else (float(known.mean()) - low) / (high - low)
    return signs[round(min(max(share, 0.0), 1.0) * (len(signs) - 1))]


@dataclass(frozen=True)
class _Line:
    """One number of one run in words, its course, and the cause if its last value is not defined."""

    run: str
    benchmark: str
    cells: dict[str, str]
    values: Floats
    silent: NDArray[np.bool_]
    low: float
    high: float
    cause: str


def result_lines(
    study: Study,
    *,
    benchmark: str | None = None,
    metric: str | None = None,
    everything: bool = False,
    width: int | None = None,
    signs: str = _BLOCKS,
) -> list[Text]:
    """A table of results, line by line, by run and benchmark.

    Args:
        study: of all runs.
        benchmark: ``kind/dataset``: only this one.
        metric: all numbers of this metric only, instead of the main ones.
        everything: all numbers: layers, levels, subsets.
        width: columns of the terminal; None for as many as there are letters.
        signs: of sparklines. A sparkline runs from the least to the greatest value of its number, over all runs.

    Raises:
        UnknownNameError: there is no number of this benchmark, or of this metric.
    """
    chosen = _chosen(study, benchmark, metric, everything)
    lines = [_line(number, group) for group in chosen for number in group]
    order = {run: index for index, run in enumerate(study.runs)}
    lines.sort(key=lambda line: order[line.run])
    longest = max(len(line.values) for line in lines)
    widths = _widths(lines, longest, width)
    rows = [_row(dict(zip(_HEADINGS, _HEADINGS, strict=True)), widths, "bold")]
    for run, of_run in groupby(lines, lambda line: line.run):
        rows.append(_heading(_clean(run), width, "bold"))
        for title, group in groupby(of_run, lambda line: line.benchmark):
            rows.append(_heading(title, width, ""))
            of_benchmark = list(group)
            for line in of_benchmark:
                course = sparkline(
                    line.values, line.silent, line.low, line.high, widths.get("course", 1), signs
                )
                rows.append(_row({**line.cells, "course": course}, widths))
            causes = dict.fromkeys(line.cause for line in of_benchmark if line.cause)
            indent = " " * 2 * _INDENT
            for cause in causes:
                text = f"{indent}{_NOT_DEFINED}: {cause}"
                wrapped = textwrap.wrap(text, len(text) if width is None else width, subsequent_indent=indent)
                rows += [Text(line, "bright_black") for line in wrapped]
    return rows


def print_results(
    study: Study, *, benchmark: str | None = None, metric: str | None = None, everything: bool = False
) -> None:
    """Print a table of results, by run and benchmark, as wide as the terminal.

    A terminal with colours shows them unless NO_COLOR is set; FORCE_COLOR shows them in a pipe, too. A pipe has no
    limit of the width unless COLUMNS is set. If the encoding has no block characters, digits replace them.

    Args:
        study: from `read_study`.
        benchmark: ``kind/dataset``, to print only this one.
        metric: print all numbers of this metric, instead of the main numbers.
        everything: print all numbers: layers, levels, subsets.

    Raises:
        UnknownNameError: there is no number of this benchmark, or of this metric.

    Examples:
        >>> from hf_clipdyn.report import print_results, read_study
        >>> study = read_study("runs/demo/results.parquet")
        >>> print_results(study, benchmark="zero_shot/procedural")  # doctest: +ELLIPSIS +NORMALIZE_WHITESPACE
            metric              course  first   last  interval ...
        local/demo
          Zero-shot classification: embedded world (synthetic) (zero_shot/procedural)
            zero-shot accuracy ...
    """
    stream, encoding = sys.stdout, getattr(sys.stdout, "encoding", None) or "ascii"
    bounded = stream.isatty() or os.environ.get("COLUMNS", "").isdigit()
    width = shutil.get_terminal_size().columns if bounded else None
    signs = _BLOCKS if _can_print(_BLOCKS + _DOTS[_BLOCKS], encoding) else _DIGITS
    console = Console(file=stream)
    coloured = console.color_system is not None and not console.no_color
    for line in result_lines(
        study, benchmark=benchmark, metric=metric, everything=everything, width=width, signs=signs
    ):
        line.plain = line.plain.encode(encoding, "replace").decode(encoding)
        if coloured:
            console.print(line, no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)
        else:
            print(line.plain)


def _can_print(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _chosen(
    study: Study, benchmark: str | None, metric: str | None, everything: bool
) -> list[list[Trajectory]]:
    """The trajectories to show; those of one number, which several runs may have, together."""
    values = [number for number in study.trajectories if number.is_value]
    names = list(dict.fromkeys("/".join(number.benchmark) for number in values))
    if benchmark is not None:
        if benchmark not in names:
            raise UnknownNameError("benchmark in the results", benchmark, names)
        values = [number for number in values if "/".join(number.benchmark) == benchmark]
    if metric is not None:
        known = {number.metric for number in values}
        if metric not in known:
            raise UnknownNameError("metric in the results", metric, known)
        values = [number for number in values if number.metric == metric]
    if metric is not None or everything:
        together: dict[tuple[object, ...], list[Trajectory]] = {}
        for number in values:
            key = (number.benchmark, number.settings, number.texts, *number.number_key)
            together.setdefault(key, []).append(number)
        return list(together.values())
    panels = plan_benchmarks(study.charts, study.runs)
    return [
        [line.trajectory for line in panel.lines]
        for name in (names if benchmark is None else [benchmark])
        for panel in panels.get(name, ())
        if not panel.over_levels
    ]


def _line(number: Trajectory, group: Sequence[Trajectory]) -> _Line:
    known = np.concatenate([other.column("value")[other.column("usable")] for other in group])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    value, usable, defined = (number.column(name) for name in ("value", "usable", "defined"))
    last = number.point(-1)
    cells = {
        "metric": _clean(metric_words(number)),
        "first": _number(float(value[usable][0])) if usable.any() else "",
        "last": _number(last.value) if last.defined else "-",
        "interval": _interval(last),
        "n": f"{last.n:,.0f}" if last.n else "",
    }
    values = np.where(usable, value, np.nan)
    title = f"{number.benchmark_title} ({'/'.join(number.benchmark)})"
    cause = "" if last.defined else _clean(last.note)
    return _Line(number.run, _clean(title), cells, values, defined & ~usable, low, high, cause)


def _interval(point: Any) -> str:
    if not point.defined:
        return _NOT_DEFINED
    if not point.usable:
        return NOT_INTERPRETABLE
    ends = (point.ci_low, point.ci_high)
    return f"[{', '.join(map(_number, ends))}]" if np.isfinite(ends).all() else ""


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < _WITHOUT_DECIMALS else f"{value:.4g}"


def _clean(text: str) -> str:
    """A name on one line, without signs that move the cursor."""
    return " ".join(printable(text).split())


def _widths(lines: Sequence[_Line], longest: int, width: int | None) -> dict[str, int]:
    """The columns that fit, with their widths."""
    widths = {
        name: max([cell_len(name), *(cell_len(line.cells.get(name, "")) for line in lines)])
        for name in _HEADINGS
    }
    name = widths["metric"] = widths["metric"] + 2 * _INDENT
    course = widths["course"] = max(len("course"), min(longest, _LONGEST))
    if width is None:
        return widths
    dropped = iter(_DROPPED)
    while True:
        free = width - sum(widths[other] + _GAP for other in widths if other not in ("metric", "course"))
        free -= _GAP if "course" in widths else 0
        needed = min(name, _NARROWEST_NAME) + (min(course, _SHORTEST) if "course" in widths else 0)
        if free >= needed or len(widths) == 2:
            break
        del widths[next(dropped)]
    if "course" in widths:
        widths["course"] = min(course, max(_SHORTEST, free - name))
        free -= widths["course"]
    widths["metric"] = max(1, min(name, free))
    return widths


def _row(cells: dict[str, str], widths: dict[str, int], style: str = "") -> Text:
    cells_ = Text()
    for heading, size in widths.items():
        if heading == "metric":
            cells_.append(_cropped(" " * 2 * _INDENT + cells[heading], size), style)
            continue
        text = cells[heading]
        padded = text.ljust(size) if heading in ("course", "interval") else text.rjust(size)
        cells_.append(" " * _GAP).append(_cropped(padded, size), style or _STYLES.get(heading, ""))
    cells_.rstrip()
    return cells_


def _heading(text: str, width: int | None, style: str) -> Text:
    indent = 0 if style else _INDENT
    whole = " " * indent + text
    return Text(whole if width is None else _cropped(whole, width).rstrip(), style)


def _cropped(text: str, size: int) -> str:
    """A text, padded or cut to this number of columns."""
    return set_cell_size(text, size) if cell_len(text) <= size else f"{set_cell_size(text, size - 1)}~"
