"""The numbers of each run and benchmark: first and last value, interval and course, as a table and as a file."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import numpy as np
import pandas as pd

from hf_clipdyn.errors import check_known
from hf_clipdyn.files import write_atomically
from hf_clipdyn.report.courses import Course, Point, course_key, split_by
from hf_clipdyn.report.panel import NOT_DEFINED, NOT_INTERPRETABLE
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.tables import COURSE_SIGNS, Table, standard_output

_LONGEST_COURSE = 40
_WITHOUT_DECIMALS = 1000.0
_LEAST_WIDTHS = {"course": 45, "interval": 60, "first": 75, "n": 85}
"""Columns that a narrow terminal does without, and the width from which they are shown."""


def print_results(
    study: Study,
    benchmarks: Sequence[str] = (),
    metric: str | None = None,
    *,
    form: Literal["csv", "markdown", "latex"] | None = None,
    output: Path | None = None,
) -> None:
    """Print a table of results, by run and benchmark, as wide as the terminal; or write it into a file.

    A terminal with colours shows them unless NO_COLOR is set; FORCE_COLOR shows them in a pipe, too. A pipe has no
    limit of the width unless COLUMNS is set. If the encoding has no block characters, digits replace them.

    Args:
        study: from `read_study`.
        benchmarks: ``kind/dataset``, to print only these.
        metric: print all numbers of this metric, instead of the main numbers; ``all``: all numbers of all metrics, with
            layers, levels and subsets.
        form: ``csv`` has the numbers as they are; ``markdown`` and ``latex`` round them as the terminal does.
        output: a file in this form; default: print it.

    Raises:
        UnknownNameError: the table has no such benchmark, or no such metric.
        OSError: the file cannot be written.

    Examples:
        >>> from hf_clipdyn.report import print_results, read_study
        >>> study = read_study("runs/demo/results.parquet")
        >>> print_results(study, ["zero_shot/procedural"])  # doctest: +ELLIPSIS +NORMALIZE_WHITESPACE
            metric              course  first   last  interval             n
        local/demo
          Zero-shot classification: embedded world (synthetic) (zero_shot/procedural)
            zero-shot accuracy  ...
    """
    numbers = numbers_frame(study, benchmarks, metric)
    table = numbers_table(numbers)
    if form is None:
        console = standard_output()
        dropped = [name for name, least in _LEAST_WIDTHS.items() if console.width < least]
        table.without(*dropped).print(console)
        return
    table = table.without("course")
    text = f"{table.markdown()}\n" if form == "markdown" else table.latex()
    if form == "csv":
        text = str(numbers.drop(columns="course").to_csv(index=False))
    if output is None:
        print(text, end="")
    else:
        write_atomically(output, text)


def numbers_frame(study: Study, benchmarks: Sequence[str] = (), metric: str | None = None) -> pd.DataFrame:
    """A row for each number of each run; arguments and errors as of `print_results`.

    Returns:
        ``run``, ``benchmark`` (``kind/dataset``), its ``title``, ``metric`` (in words), ``course`` (a sign for each
        revision, from the least to the greatest value over all runs; a dot where the number is not interpretable, a
        gap where it is not defined), ``first`` (interpretable value), and of the last revision ``last``, ``ci_low``,
        ``ci_high``, ``interpretable``, ``n`` and ``note``. NaN is for what is not defined; the note says why.
    """
    planner = study.planner
    values = [course for course in planner.courses if course.role == "value"]
    names = benchmarks or list(dict.fromkeys(course.benchmark for course in values))
    check_known("benchmark in the results", names, {course.benchmark for course in values})
    if metric is None:
        numbers = [courses for name in names for courses in planner.main_numbers(name)]
    else:
        every = [course for course in values if course.benchmark in names]
        check_known("metric in the results", [metric], {"all", *(course.metric for course in every)})
        chosen = (course for course in every if metric in ("all", course.metric))
        alike = split_by(chosen, lambda one: (one.benchmark, course_key(one, "setup"), one.settings))
        numbers = list(alike.values())
    rows = [row for courses in numbers for row in _rows(study, courses)]
    rows.sort(key=lambda row: study.runs.index(row["run"]))
    return pd.DataFrame(rows)


def _rows(study: Study, courses: Sequence[Course]) -> Iterator[dict[str, Any]]:
    """The same number of several runs; their courses share a scale."""
    planner = study.planner
    points = [planner.points(course) for course in courses]
    known = [point.value for own in points for point in own if point.usable] or [math.nan]
    for course, own in zip(courses, points, strict=True):
        last = own[-1]
        yield {
            "run": course.run,
            "benchmark": course.benchmark,
            "title": planner.benchmark_words(course),
            "metric": planner.name(course),
            "course": _sparkline(own, min(known), max(known)),
            "first": next((point.value for point in own if point.usable), math.nan),
            "last": last.value if last.defined else math.nan,
            "ci_low": last.ci_low,
            "ci_high": last.ci_high,
            "interpretable": last.usable,
            "n": last.n,
            "note": "" if last.defined else last.cause,
        }


def _sparkline(points: Sequence[Point], low: float, high: float) -> str:
    """A course in one line of text, between two values; of more than 40 revisions, neighbours share their mean."""
    blocks, dot, line = COURSE_SIGNS[:-1], COURSE_SIGNS[-1], ""
    for part in np.array_split(np.arange(len(points)), min(_LONGEST_COURSE, len(points))):
        known = [points[at].value for at in part if points[at].usable]
        if known:
            share = 0.5 if high <= low else (fmean(known) - low) / (high - low)
            line += blocks[round(min(max(share, 0.0), 1.0) * (len(blocks) - 1))]
        else:
            line += dot if any(points[at].defined for at in part) else " "
    return line


def numbers_table(numbers: pd.DataFrame) -> Table:
    """What `numbers_frame` returns in words, grouped by run and benchmark; a cause stands below its metric."""
    every: Any = numbers.itertuples(index=False)
    rows = [
        (
            *(row.run, f"{row.title} ({row.benchmark})"),
            f"{row.metric}\n{NOT_DEFINED}: {row.note}" if row.note else row.metric,
            *(row.course, _number(row.first), _number(row.last) or "-", _interval(row)),
            f"{row.n:,}" if row.n else "",
        )
        for row in every
    ]
    headings = ("run", "benchmark", "metric", "course", "first", "last", "interval", "n")
    return Table("", headings, tuple(rows), grouped=2)


def _interval(row: Any) -> str:
    if math.isnan(row.last):
        return NOT_DEFINED
    if not row.interpretable:
        return NOT_INTERPRETABLE
    ends = [_number(row.ci_low), _number(row.ci_high)]
    return f"[{', '.join(ends)}]" if all(ends) else ""


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.3f}" if abs(value) < _WITHOUT_DECIMALS else f"{value:.4g}"
