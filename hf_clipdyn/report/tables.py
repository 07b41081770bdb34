"""Tables of texts: drawn in a terminal, as Markdown and LaTeX here, and in HTML by the page's template."""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import Any

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from hf_clipdyn.benchmarks.registry import scored_earlier
from hf_clipdyn.cards import markdown
from hf_clipdyn.errors import printable
from hf_clipdyn.report.courses import Course, Point, split_by
from hf_clipdyn.report.panel import NOT_DEFINED, NOT_INTERPRETABLE
from hf_clipdyn.report.provenance import origin_rows
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import interval_words, json_words
from hf_clipdyn.results.terms import bare

COURSE_SIGNS = "▁▂▃▄▅▆▇█·"
_DIGITS = str.maketrans(COURSE_SIGNS, "12345678.")
_UNLIMITED = 10_000  # columns
_GAP = 2
_NUMBER = re.compile(r"[-+\d.,]*")


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: its title; a terminal shows it above the table.
        headings: one for each column.
        rows: cells, which may have several lines.
        grouped: number of first columns that many rows share: a terminal shows them as headings above these rows.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    grouped: int = 0

    def without(self, *names: str) -> "Table":
        """The table without these columns."""
        kept = [at for at, name in enumerate(self.headings) if name not in names]
        headings, *rows = (tuple(row[at] for at in kept) for row in (self.headings, *self.rows))
        return replace(self, headings=headings, rows=tuple(rows))

    def markdown(self) -> str:
        """In GitHub's Markdown; no text of a cell is markup."""
        rows = [self.headings, ("---",) * len(self.headings), *self.rows]
        cells = [[markdown(cell.replace("\n", ", ")) for cell in row] for row in rows]
        return "\n".join(f"| {' | '.join(row)} |" for row in cells)

    def latex(self) -> str:
        """As a `tabular` for the package booktabs; no text of a cell is a command."""
        frame = pd.DataFrame([*self.rows], columns=[*self.headings])
        return str(frame.to_latex(index=False, escape=True))

    def print(self, console: Console, styles: Mapping[str, str] = MappingProxyType({})) -> None:
        """Draw it no wider than the console: its widest column gets what the others leave, and breaks its lines.

        Args:
            console: where to.
            styles: of columns, by their heading.
        """
        rows = [[_clean(cell, console.encoding) for cell in row] for row in (self.headings, *self.rows)]
        indent, columns = _GAP * self.grouped, list(zip(*rows, strict=True))[self.grouped :]
        widths = [max(map(cell_len, "\n".join(column).split("\n"))) for column in columns]
        widest, used = widths.index(max(widths)), indent + sum(width + _GAP for width in widths)
        widths[widest] = max(1, widths[widest] + min(0, console.width - used))

        def draw(cells: Iterable[Sequence[str]], style: str = "") -> None:
            grid = Grid.grid(padding=(0, _GAP, 0, 0))
            for width, (name, *values) in zip(widths, columns, strict=True):
                side: Any = "right" if all(map(_NUMBER.fullmatch, values)) else "left"
                grid.add_column(width=width, justify=side, style=style or styles.get(name, ""))
            for row in cells:
                grid.add_row(*map(Text, row[self.grouped :]))
            console.print(Padding(grid, (0, 0, 0, indent), expand=False))

        with console.capture() as captured:
            if self.caption:
                console.print(_clean(self.caption, console.encoding), markup=False)
            draw(rows[:1], "bold")
            before: tuple[str, ...] = ()
            for titles, members in groupby(rows[1:], lambda row: tuple(row[: self.grouped])):
                for at, title in enumerate(titles):
                    if titles[: at + 1] != before[: at + 1]:
                        text = Text(" " * _GAP * at + title, "" if at else "bold")
                        console.print(text, no_wrap=True, overflow="crop")
                draw(members)
                before = titles
        print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n", file=console.file)


def _clean(text: str, encoding: str) -> str:
    """A cell without signs that move the cursor, or that the encoding lacks."""
    text = "\n".join(" ".join(printable(line).split()) for line in text.split("\n"))
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_DIGITS).encode(encoding, "replace").decode(encoding)
    return text


def standard_output() -> Console:
    """Where tables are printed; a pipe has no limit to its width unless COLUMNS is set."""
    bounded = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    width = shutil.get_terminal_size().columns if bounded else _UNLIMITED
    colours: Any = None if os.environ.get("NO_COLOR") else "auto"  # rich would still write bold
    # With a width alone, a dumb terminal has 80 columns.
    return Console(file=sys.stdout, width=width, height=25, color_system=colours, highlight=False)


# --- tables of a study ---------------------------------------------------------------------------------------


def overview_tables(study: Study) -> list[Table]:
    """A table for each run: its revisions by the questions of the overview."""
    chosen = (course for courses in study.planner.overview_numbers() for course in courses)
    tables = []
    for run, courses in sorted(split_by(chosen, lambda course: course.run).items()):
        points = [{point.revision: point for point in study.planner.points(course)} for course in courses]
        revisions = sorted({point.order: name for own in points for name, point in own.items()}.items())
        cells = [[_short_cell(own.get(name)) for own in points] for _, name in revisions]
        rows = tuple((name, *row) for (_, name), row in zip(revisions, cells, strict=True))
        tables.append(Table(run, ("revision", *(question_title(course, study) for course in courses)), rows))
    return tables


def question_title(course: Course, study: Study) -> str:
    """What a number of the overview is, in two lines: metric; data set and what is special."""
    planner = study.planner
    details = filter(None, [planner.place_words(course), planner.special(course)])
    return f"{planner.title(course)}\n{', '.join(details)}"


def _short_cell(point: Point | None) -> str:
    if point is None:
        return ""
    if not point.usable:
        return NOT_INTERPRETABLE if point.defined else NOT_DEFINED
    return f"{point.value:.2f}{interval_words(point, '.2f')}"


def provenance_table(study: Study) -> Table:
    """How each benchmark was measured: data, settings, preprocessing, precision, versions."""
    columns = ["run", "kind", "dataset", "split", "data_fingerprint", "preprocess", "settings", "dtype"]
    values, rows = study.results.rows[study.results.rows["role"] == "value"], []
    n_of_cell = values.groupby("cell", observed=True)["n"]
    cells = study.cells.join(n_of_cell.agg(least="min", most="max"), on="cell")
    for key, members in cells.groupby([*columns, "versions"], sort=False):
        run, kind, dataset, split, data, preprocess, settings, dtype, versions = map(str, key)
        counts = members[["least", "most"]].agg({"least": "min", "most": "max"}).dropna()
        n = " to ".join(dict.fromkeys(f"{count:,.0f}" for count in counts))
        words = preprocess, bare(json_words(settings)), dtype, json_words(versions)
        revisions = f"{members['revision'].nunique():,}"
        rows.append((run, f"{kind}/{dataset}", split, revisions, n, data[:12], *words))
    headings = ("run", "benchmark", "split", "revisions", "n", "data fingerprint", "preprocess", "settings")
    return Table("How it was measured", (*headings, "dtype", "versions"), tuple(rows))


def origin_table(study: Study) -> Table:
    """Which package measured the numbers and when, which were scored by an earlier one, and which claims judge them."""
    whole = study.whole or study
    rows = origin_rows(study.results.origins, whole.judge, whole.claims_file)
    cells = study.cells[["cell", "kind", "score_version"]].itertuples(index=False, name=None)
    if note := scored_earlier(cells, study.trials):
        rows.append(("intervals", note))
    return Table("Where the numbers come from", ("fact", "value"), tuple(rows))
