"""Tables of made-up rows, and claims about them."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from result_rows import VOCABULARY

from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.row import Row
from hf_clipdyn.results.table import Table
from hf_clipdyn.statistics.claims import Claims
from hf_clipdyn.statistics.errors import Errors
from hf_clipdyn.statistics.judge import Judge

PLAN: dict[str, Any] = {
    "windows": {
        "start": {"untrained": True},
        "early": {"shares": (0.1, 0.2)},
        "late": {"shares": (0.9, 1.0)},
    },
    "endpoints": {
        "bias": {"kind": "shape_bias", "dataset": "procedural", "metric": "shape_bias"},
        "top1": {"kind": "zero_shot", "dataset": "procedural", "metric": "top1"},
        "drop": {
            "kind": "noise",
            "dataset": "procedural",
            "metric": "chance_corrected_drop",
            "condition": "gaussian",
            "levels": (0.1, 0.2),
        },
    },
}
RISE = {"title": "rise", "endpoint": "bias", "weights": {"late": 1, "early": -1}, "smallest_effect": 0.1}


def table_of(rows: Sequence[Row]) -> Table:
    """The table that these rows are."""
    frame = pa.Table.from_pylist([vars(row) for row in rows], SCHEMA).to_pandas()
    return Table.from_rows(frame.assign(run=frame["repo_id"], cell=[row.key for row in rows]), VOCABULARY)


def plan(part: Any = None, /, **changes: Any) -> Claims:
    """A file with one claim of this part, and these keys."""
    claim = {"number": 1, "title": "a claim", "parts": [{**RISE, **(part or {})}]}
    claim |= {"gates": list(changes.get("gates", ()))}
    return Claims.model_validate({**PLAN, "claims": [claim], **changes})


class Known(Errors):
    """Influences that are given."""

    def __init__(self, known: dict[Any, Influence]) -> None:
        super().__init__([])
        self._asked = known


def judge(rows: Sequence[Row], claims: Claims, errors: Errors | None = None) -> Judge:
    """The judge of rows."""
    return Judge(table_of(rows), claims, errors)
