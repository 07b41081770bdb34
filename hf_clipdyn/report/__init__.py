"""From a table of results to trajectories, figures, sentences and one page.

    results (Parquet) -> study (trajectories) -> panels -> figures, tables, sentences -> page, model cards, Space

Only the numbers of the table are shown; the report measures nothing itself. The table's vocabulary says what
they mean: no name is interpreted here. Each function takes the paths of tables, or a study that `read_study` read once.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ConfigError, shown

if TYPE_CHECKING:
    from hf_clipdyn.report.page import write_report
    from hf_clipdyn.report.share import push_cards, push_space, write_cards, write_space
    from hf_clipdyn.report.study import read_study
    from hf_clipdyn.report.terminal import print_results
    from hf_clipdyn.report.words import headline, summarize

__all__ = [
    "headline",
    "print_results",
    "push_cards",
    "push_space",
    "read_study",
    "summarize",
    "write_cards",
    "write_report",
    "write_space",
]

if "MPLBACKEND" in os.environ:  # matplotlib reads it at import; nothing here opens a window
    try:
        import matplotlib  # noqa: F401
    except ValueError as error:
        raise ConfigError(
            f"MPLBACKEND is {shown(os.environ['MPLBACKEND'])}, which is not a backend of matplotlib: unset it."
        ) from error

_HOME = {
    "headline": "words",
    "print_results": "terminal",
    "push_cards": "share",
    "push_space": "share",
    "read_study": "study",
    "summarize": "words",
    "write_cards": "share",
    "write_report": "page",
    "write_space": "share",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
