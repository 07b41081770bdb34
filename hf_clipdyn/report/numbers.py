"""The numbers of each run and benchmark: first and last value, interval and course, as a table and as a file."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.errors import UnknownNameError
from hf_clipdyn.files import write_atomically
from hf_clipdyn.report.courses import Course, course_key, split_by
from hf_clipdyn.report.panel import NOT_DEFINED, NOT_INTERPRETABLE
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.tables import COURSE_SIGNS, Table, standard_output
from hf_clipdyn.report.words import metric_words

_LONGEST_COURSE = 40
_WITHOUT_DECIMALS = 1000.0
_LEAST_WIDTHS = {"course": 45, "interval": 60, "first": 75, "n": 85}
"""Columns that a narrow terminal does without, and the width from which they are shown."""
_STYLES = {"course": "cyan", "interval": "bright_black", "n": "bright_black"}


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
            metric              course  first   last  interval             n
        local/demo
          Zero-shot classification: embedded world (synthetic) (zero_shot/procedural)
            zero-shot accuracy  ...
    """
    console = standard_output()
    dropped = [name for name, least in _LEAST_WIDTHS.items() if console.width < least]
    chosen: Any = {"benchmark": benchmark, "metric": metric, "everything": everything}
    numbers_table(numbers_frame(study, **chosen)).without(*dropped).print(console, _STYLES)


def print_numbers(
    study: Study,
    benchmarks: Sequence[str] = (),
    form: Literal["csv", "markdown", "latex"] | None = None,
    output: Path | None = None,
    *,
    metric: str | None = None,
) -> None:
    """Print the table of results, or write it into a file.

    Args:
        study: from `read_study`.
        benchmarks: only these, ``kind/dataset``.
        form: ``csv`` has the numbers as they are; ``markdown`` and ``latex`` round them as the terminal does. Default:
            as `print_results`.
        output: the file, for a ``form``.
        metric: all numbers of this metric, instead of the main numbers; ``all``: everything.

    Raises:
        UnknownNameError: there is no number of a benchmark, or of this metric.
        OSError: the file cannot be written.
    """
    chosen: Any = {"everything": True} if metric == "all" else {"metric": metric}
    if form is None:
        for benchmark in benchmarks or (None,):
            print_results(study, benchmark=benchmark, **chosen)
        return
    numbers = pd.concat([numbers_frame(study, benchmark=name, **chosen) for name in benchmarks or (None,)])
    table = numbers_table(numbers).without("course")
    text = f"{table.markdown()}\n" if form == "markdown" else table.latex()
    if form == "csv":
        text = str(numbers.drop(columns="course").to_csv(index=False))
    if output is None:
        print(text, end="")
    else:
        write_atomically(output, text)


def numbers_frame(
    study: Study, *, benchmark: str | None = None, metric: str | None = None, everything: bool = False
) -> pd.DataFrame:
    """A row for each number of each run; arguments and errors as of `print_results`.

    Returns:
        ``run``, ``benchmark`` (``kind/dataset``), its ``title``, ``metric`` (in words), ``course`` (a sign for each
        revision, from the least to the greatest value over all runs; a dot where the number is not interpretable, a
        gap where it is not defined), ``first`` (interpretable value), and of the last revision ``last``, ``ci_low``,
        ``ci_high``, ``interpretable``, ``n`` and ``note``. NaN is for what is not defined; the note says why.
    """
    numbers = _chosen(study, {"benchmark": benchmark, "metric": metric}, everything=everything)
    rows = [row for courses in numbers for row in _rows(study, courses)]
    rows.sort(key=lambda row: study.runs.index(row["run"]))
    return pd.DataFrame(rows)


def _chosen(study: Study, wanted: Mapping[str, str | None], *, everything: bool) -> list[list[Course]]:
    """The numbers of several runs each."""
    values = [course for course in study.planner.courses if course.role == "value"]
    for what, name in wanted.items():
        known = {getattr(course, what) for course in values}
        if name is not None and name not in known:
            raise UnknownNameError(f"{what} in the results", name, known)
        values = [course for course in values if name in (None, getattr(course, what))]
    if wanted["metric"] is None and not everything:
        names = dict.fromkeys(course.benchmark for course in values)
        return [courses for name in names for courses in study.planner.main_numbers(name)]
    split = split_by(values, lambda one: (one.benchmark, course_key(one, "setup"), one.settings))
    return list(split.values())


def _rows(study: Study, courses: Sequence[Course]) -> Iterator[dict[str, Any]]:
    """The same number of several runs; their courses share a scale."""
    planner = study.planner
    columns = [(planner.column(one, "value"), planner.column(one, "usable")) for one in courses]
    known = np.concatenate([value[usable] for value, usable in columns])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    for course, (value, usable) in zip(courses, columns, strict=True):
        defined, (last,) = np.isfinite(value), planner.points(course, last=1)
        yield {
            "run": course.run,
            "benchmark": course.benchmark,
            "title": planner.benchmark_words(course),
            "metric": metric_words(course, study),
            "course": sparkline(np.where(usable, value, np.nan), defined & ~usable, low, high),
            "first": float(value[usable][0]) if usable.any() else math.nan,
            "last": last.value if last.defined else math.nan,
            "ci_low": last.ci_low,
            "ci_high": last.ci_high,
            "interpretable": bool(last.usable),
            "n": int(last.n),
            "note": "" if last.defined else last.cause,
        }


def sparkline(values: NDArray[np.float64], silent: NDArray[np.bool_], low: float, high: float) -> str:
    """A course in one line of text.

    Args:
        values: one for each revision; NaN where there is none to show.
        silent: revisions whose number is defined but not interpretable: they become dots, others without a value gaps.
        low: value of the lowest block.
        high: value of the highest block. Of more than 40 revisions, neighbours share a block, which shows their mean.
    """
    parts = np.array_split(np.arange(len(values)), min(_LONGEST_COURSE, len(values)))
    return "".join(_sign(values[part], silent[part], low, high) for part in parts)


def _sign(values: NDArray[np.float64], silent: NDArray[np.bool_], low: float, high: float) -> str:
    blocks, dot = COURSE_SIGNS[:-1], COURSE_SIGNS[-1]
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return dot if silent.any() else " "
    share = 0.5 if high <= low else (float(known.mean()) - low) / (high - low)
    return blocks[round(min(max(share, 0.0), 1.0) * (len(blocks) - 1))]


def numbers_table(numbers: pd.DataFrame) -> Table:
    """What `numbers_frame` returns in words, grouped by run and benchmark; a cause stands below its metric."""
    named: list[Any] = list(numbers.itertuples(index=False))
    rows = [
        (
            *(row.run, f"{row.title} ({row.benchmark})"),
            f"{row.metric}\n{NOT_DEFINED}: {row.note}" if row.note else row.metric,
            *(row.course, _number(row.first), _number(row.last) or "-", _interval(row)),
            f"{row.n:,}" if row.n else "",
        )
        for row in named
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
