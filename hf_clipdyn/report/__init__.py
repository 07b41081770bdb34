"""From a table of results to trajectories, figures, sentences and one page.

::

    results (Parquet) -> trajectories -> plan (charts) -> figures, tables, sentences -> page, model cards

Only the numbers of the table are shown; the report measures nothing itself.
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["push_cards", "result_tables", "summarize", "write_report"]


def write_report(results: Path | Sequence[Path], output: Path) -> Path:
    """Draw the trajectories of one or several tables of results; see `hf_clipdyn.report.page`."""
    from hf_clipdyn.report.page import write_report

    return write_report(results, output)


def push_cards(results: Path | Sequence[Path], output: Path, *, token: str | None = None) -> list[str]:
    """Put the results into the cards of the runs' repositories; see `hf_clipdyn.report.publish`."""
    from hf_clipdyn.report.publish import push_cards

    return push_cards(results, output, token=token)


def summarize(results: Path | Sequence[Path]) -> list[str]:
    """What was found, in sentences, the shape bias first; see `hf_clipdyn.report.sentences`.

    Raises:
        ConfigError: a table is missing or is none.
        EvaluationError: the tables hold no row.
    """
    from hf_clipdyn.report.gather import read_trajectories
    from hf_clipdyn.report.results import read_results
    from hf_clipdyn.report.sentences import find, limits

    trajectories = read_trajectories(read_results(_listed(results)))
    several_runs = len({one.run for one in trajectories}) > 1
    found = [
        f"{f'{one.run}, ' if several_runs else ''}{one.question}: {one.words}" for one in find(trajectories)
    ]
    return [*found, limits(trajectories)]


def result_tables(results: Path | Sequence[Path]) -> list[str]:
    """A plain-text table for each run: its revisions by the questions of the study."""
    from hf_clipdyn.report.gather import read_trajectories
    from hf_clipdyn.report.overview import overview_panels
    from hf_clipdyn.report.plan import plan_charts
    from hf_clipdyn.report.results import read_results
    from hf_clipdyn.report.tables import terminal_tables

    return terminal_tables(overview_panels(plan_charts(read_trajectories(read_results(_listed(results))))))


def _listed(results: Path | Sequence[Path]) -> Sequence[Path]:
    return [results] if isinstance(results, Path) else results
