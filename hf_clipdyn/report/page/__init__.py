"""The page of a report: one file that a browser opens without a network, and that answers.

    study -> payload (numbers and words as one JSON object) -> index.html (Plotly, style and program inlined)

`write.py` puts the page together. `payload.py` makes the numbers of the table compact, `panels.py` plans what a reader
can choose. A chart of `hf_clipdyn.report.charts` adds a part: its payload appears in the program as
``DATA.parts.NAME``. The program is `js/`: plain scripts that share one function's scope. `core.js` says what they offer
each other.
"""

from typing import TYPE_CHECKING

from hf_clipdyn.lazy import lazy_names

if TYPE_CHECKING:
    from hf_clipdyn.report.page.write import write_report

__all__ = ["write_report"]

__getattr__ = lazy_names(__name__)
