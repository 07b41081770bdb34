"""Responses over contrast, epoch by epoch, beside the contrast that people need."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.gallery import CurvesView, ResponseCurve
from hf_clipdyn.report.page.galleries import view_of
from hf_clipdyn.report.page.panels import step_words
from hf_clipdyn.report.page.views import kind_cells, read_view, spread_cells
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.terms import Axis, KindTerms, bare

_LOGS_IN = 1000  # logarithms of responses are whole numbers of this fraction
_MOST_NUMBERS = 60_000  # of the curves of one benchmark

_Key = tuple[str, float | None, float | None]


class Psychometric(Chart):
    """The response curves of the projection."""

    @classmethod
    def payload(cls, study: Study) -> dict[str, Any] | None:
        """The response curves of the projection by benchmark, run and revision, for JSON.

        Returns:
            None if no benchmark has trials with such curves. Else by benchmark (``kind/dataset``):

            - ``metric``: whose values are the contrasts of equal response.
            - ``conditions``: each with ``condition``, ``title`` and ``where`` in words, ``level``, ``parameter``,
              ``contrasts`` and ``human``.
            - ``runs``: for each run ``revisions`` (names) and ``curves``: by revision and condition null, or the log10
              of the response over the criterion's at each contrast, in thousandths; null for a response of 0.
            - ``baselines``: such curves of what reads no model, by name; those of the first cell.
            - ``sparse``: whether some revisions are left out.
        """
        parts = {}
        for kind, cells in kind_cells(study):
            view = view_of(kind.name, CurvesView)
            part = None if view is None else _curves_part(study, kind, view, cells)
            if part is not None:
                parts[f"{kind.name}/{cells['dataset'].iloc[0]}"] = part
        return parts or None


def _curves_part(
    study: Study, kind: type[Kind[Any]], view: CurvesView, cells: pd.DataFrame
) -> dict[str, Any] | None:
    conditions: dict[_Key, ResponseCurve] = {}
    by_run: dict[str, list[tuple[str, Sequence[ResponseCurve]]]] = {}
    probe = read_view(study, view, next(cells.tail(1).itertuples(index=False))) or ()
    numbers = sum(len(curve.contrasts) for curve in probe if not curve.reference) or 1
    kept = spread_cells(spread_cells(cells), _MOST_NUMBERS // numbers)
    for run, of_run in kept.groupby("run", sort=False):
        for cell in of_run.itertuples(index=False):
            curves = read_view(study, view, cell) or ()
            for curve in curves:
                conditions.setdefault(_key(curve), curve)
            if curves:
                by_run.setdefault(str(run), []).append((str(cell.revision), curves))
    if not conditions:
        return None
    order = list(conditions)
    first = next(iter(by_run.values()))[0][1]
    names = dict.fromkeys(curve.reference for curve in first if curve.reference)
    return {
        "metric": view.metric,
        "conditions": [
            {
                "condition": curve.condition,
                **_condition_words(kind.terms, curve, order),
                "level": curve.level if curve.level is None or math.isfinite(curve.level) else None,
                "parameter": curve.parameter,
                "contrasts": list(curve.contrasts),
                "human": curve.human,
            }
            for curve in conditions.values()
        ],
        "runs": {
            run: {
                "revisions": [revision for revision, _ in of_run],
                "curves": [_logs(curves, order, "") for _, curves in of_run],
            }
            for run, of_run in by_run.items()
        },
        "baselines": {name: _logs(first, order, name) for name in names},
        "sparse": len(kept) < len(cells),
    }


def _condition_words(terms: KindTerms, curve: ResponseCurve, conditions: Sequence[_Key]) -> dict[str, str]:
    """The title of the test, and where in it the curve was measured; a parameter only where it differs."""
    term = terms.conditions.get(curve.condition)
    steps = [((term and term.level) or terms.level or Axis(title="level"), curve.level)]
    if len({parameter for name, _, parameter in conditions if name == curve.condition}) > 1:
        steps.append((terms.parameter or Axis(title="parameter"), curve.parameter))
    where = ", ".join(step_words(axis, value) for axis, value in steps if value is not None)
    return {"title": term.title if term else bare(curve.condition), "where": where or "the only one"}


def _key(curve: ResponseCurve) -> _Key:
    return curve.condition, curve.level, curve.parameter


def _logs(
    curves: Sequence[ResponseCurve], order: Sequence[_Key], reference: str
) -> list[list[int | None] | None]:
    own = {_key(curve): curve.responses for curve in curves if curve.reference == reference}
    return [
        [round(_LOGS_IN * math.log10(response)) if response > 0 else None for response in own[key]]
        if key in own
        else None
        for key in order
    ]
