"""Response curves from the kept trials: distance by contrast, epoch by epoch, beside the contrast that people need."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.response_curves import ResponseCurve
from hf_clipdyn.report.galleries import kind_cells, read_curves, spread_cells
from hf_clipdyn.report.study import Study

__all__ = ["payload"]

_IN = 1000  # logarithms of responses are whole numbers of this fraction
_MOST_NUMBERS = 60_000  # of one benchmark

_Key = tuple[str, float | None, float | None]


def payload(study: Study) -> dict[str, Any] | None:
    """The response curves of the projection by benchmark, run and revision, for JSON.

    Returns:
        None if no benchmark has trials with such curves. Else by benchmark (``kind/dataset``):

        - ``metric``: whose values are the contrasts of equal response.
        - ``conditions``: each with ``condition``, ``level``, ``parameter``, ``contrasts`` and ``human``.
        - ``runs``: for each run ``revisions`` (names) and ``curves``: by revision and condition null, or the log10 of
          the response over the criterion's at each contrast, in thousandths; null for a response of 0.
        - ``baselines``: such curves of what reads no model, by name; those of the first cell.
        - ``sparse``: whether some revisions are left out.
    """
    found = {}
    for kind, cells in kind_cells(study):
        part = _part(study, kind, cells) if kind.response_columns else None
        if part is not None:
            found[f"{kind.name}/{cells['dataset'].iloc[0]}"] = part
    return found or None


def _part(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> dict[str, Any] | None:
    conditions: dict[_Key, ResponseCurve] = {}
    held: dict[str, list[tuple[str, list[ResponseCurve]]]] = {}
    probe = read_curves(study, kind, next(cells.tail(1).itertuples(index=False)))
    numbers = sum(len(one.contrasts) for one in probe if not one.reference) or 1
    kept = spread_cells(spread_cells(cells), _MOST_NUMBERS // numbers)
    for run, of_run in kept.groupby("run", sort=False):
        for cell in of_run.itertuples(index=False):
            curves = list(read_curves(study, kind, cell))
            for one in curves:
                conditions.setdefault(_key(one), one)
            if curves:
                held.setdefault(str(run), []).append((str(cell.revision), curves))
    if not conditions:
        return None
    order = list(conditions)
    first = next(iter(held.values()))[0][1]
    names = dict.fromkeys(one.reference for one in first if one.reference)
    return {
        "metric": kind.response_metric,
        "conditions": [
            {
                "condition": one.condition,
                "level": one.level if one.level is None or math.isfinite(one.level) else None,
                "parameter": one.parameter,
                "contrasts": list(one.contrasts),
                "human": one.human,
            }
            for one in conditions.values()
        ],
        "runs": {
            run: {
                "revisions": [revision for revision, _ in of_run],
                "curves": [_logs(curves, order, "") for _, curves in of_run],
            }
            for run, of_run in held.items()
        },
        "baselines": {name: _logs(first, order, name) for name in names},
        "sparse": len(kept) < len(cells),
    }


def _key(one: ResponseCurve) -> _Key:
    return one.condition, one.level, one.parameter


def _logs(
    curves: Sequence[ResponseCurve], order: Sequence[_Key], reference: str
) -> list[list[int | None] | None]:
    own = {_key(one): one.responses for one in curves if one.reference == reference}
    return [
        [round(_IN * math.log10(one)) if one > 0 else None for one in own[key]] if key in own else None
        for key in order
    ]
