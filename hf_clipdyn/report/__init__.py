"""From a table of results to figures, sentences and one page.

    results (Parquet) -> study (courses) -> panels -> figures, tables, sentences -> page, model cards, Space

Only the numbers of the table are shown; the report measures nothing itself. The table's vocabulary says what
they mean: no name is interpreted here. Each function takes the paths of tables, or a study that `read_study` read once.
"""

import os
from typing import TYPE_CHECKING

from hf_clipdyn.errors import ConfigError, shown
from hf_clipdyn.lazy import lazy_names

if TYPE_CHECKING:
    from hf_clipdyn.report.cards import push_runs, push_space, write_cards, write_runs
    from hf_clipdyn.report.numbers import print_results
    from hf_clipdyn.report.page import write_report
    from hf_clipdyn.report.study import read_study
    from hf_clipdyn.report.words import headline, summarize

__all__ = [
    "headline",
    "print_results",
    "push_runs",
    "push_space",
    "read_study",
    "summarize",
    "write_cards",
    "write_report",
    "write_runs",
]

if "MPLBACKEND" in os.environ:  # matplotlib reads it at import; nothing here opens a window
    try:
        import matplotlib  # noqa: F401
    except ValueError as error:
        raise ConfigError(
            f"MPLBACKEND is {shown(os.environ['MPLBACKEND'])}, which is not a backend of matplotlib: unset it."
        ) from error

__getattr__ = lazy_names(__name__)
