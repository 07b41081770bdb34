"""From a table of results to trajectories, figures, sentences and one page.

::

    results (Parquet) -> study (rows, words, trajectories) -> charts -> figures, tables, sentences -> page, model cards

Only the numbers of the table are shown; the report measures nothing itself. The table's vocabulary says what
they mean: no name is interpreted here. Each function takes the paths of tables, or a study that `read_study` read once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_clipdyn.report.study import Study

__all__ = ["push_cards", "read_study", "result_tables", "summarize", "write_report"]


def read_study(results: "Path | Sequence[Path] | Study") -> "Study":
    """Read tables of results once, for several of the functions below; see `hf_clipdyn.report.study`."""
    from hf_clipdyn.report.study import read_study

    return read_study(results)


def write_report(results: "Path | Sequence[Path] | Study", output: Path) -> Path:
    """Draw the trajectories of one or several tables of results; see `hf_clipdyn.report.page`."""
    from hf_clipdyn.report.page import write_report

    return write_report(results, output)


def push_cards(
    results: "Path | Sequence[Path] | Study", output: Path, *, token: str | None = None
) -> list[str]:
    """Put the results into the cards of the runs' repositories; see `hf_clipdyn.report.publish`."""
    from hf_clipdyn.report.publish import push_cards

    return push_cards(results, output, token=token)


def summarize(results: "Path | Sequence[Path] | Study") -> list[str]:
    """What was found, in sentences; see `hf_clipdyn.report.sentences`.

    Raises:
        ConfigError: a file does not exist or is no table of results.
        EvaluationError: the tables hold no row.
    """
    from hf_clipdyn.report.sentences import find, limits

    study = read_study(results)
    several = len(study.runs) > 1
    found = [f"{f'{one.run}, ' if several else ''}{one.question}: {one.words}" for one in find(study)]
    return [*found, limits(study)]


def result_tables(results: "Path | Sequence[Path] | Study") -> list[str]:
    """A plain-text table for each run: its revisions by the questions of the overview."""
    from hf_clipdyn.report.tables import terminal_tables

    return terminal_tables(read_study(results))
