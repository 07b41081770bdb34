"""From a table of results to trajectories, figures, sentences and one page.

::

    results (Parquet) -> study (rows, trajectories) -> charts -> figures, tables, sentences -> page, model cards

Only the numbers of the table are shown; the report measures nothing itself. The table's vocabulary says what
they mean: no name is interpreted here. Each function takes the paths of tables, or a study that `read_study` read once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_clipdyn.report.card import push_cards
    from hf_clipdyn.report.page import write_report
    from hf_clipdyn.report.sentences import headline, summarize
    from hf_clipdyn.report.study import read_study
    from hf_clipdyn.report.tables import result_tables

__all__ = ["headline", "push_cards", "read_study", "result_tables", "summarize", "write_report"]

_HOME = {
    "headline": "sentences",
    "push_cards": "card",
    "read_study": "study",
    "result_tables": "tables",
    "summarize": "sentences",
    "write_report": "page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
