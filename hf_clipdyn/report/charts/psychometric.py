"""Responses over contrast, epoch by epoch, beside the contrast that people need."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import step_words
from hf_clipdyn.report.gallery import CurvesView, ResponseCurve
from hf_clipdyn.report.page.galleries import view_of
from hf_clipdyn.report.page.views import kind_cells, read_view, spread_cells
from hf_clipdyn.report.panel import Level, Line, Panel, Role, Scale
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.terms import Axis, KindTerms, bare

_MOST_CURVES = 600  # of one benchmark

_Key = tuple[str, float | None, float | None]


class Psychometric(Chart):
    """The response curves of the projection: a curve for each run and revision, one panel for each stimulus."""

    title = "Response over contrast"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """None without trials with such curves."""
        return [
            panel
            for kind, cells in kind_cells(study)
            if (view := view_of(kind.name, CurvesView)) is not None
            for panel in _panels(study, kind, view, cells)
        ]


def _panels(study: Study, kind: type[Kind[Any]], view: CurvesView, cells: pd.DataFrame) -> Iterator[Panel]:
    probe = read_view(study, view, next(cells.tail(1).itertuples(index=False))) or ()
    kept = spread_cells(cells, max(2, _MOST_CURVES // max(1, len(probe))))
    lines: dict[_Key, list[Line]] = {}
    first: dict[_Key, ResponseCurve] = {}
    ramp = len(study.runs) == 1
    for at, cell in enumerate(kept.itertuples(index=False)):
        for curve in read_view(study, view, cell) or ():
            key = (curve.condition, curve.level, curve.parameter)
            if at == 0 or not curve.reference:
                first.setdefault(key, curve)
                lines.setdefault(key, []).append(_line(study, cell, curve, at if ramp else -1))
    for key, curve in first.items():
        title, where = _condition_words(kind.terms, curve, list(first))
        people = [] if curve.human is None else [_people(curve.human, lines[key])]
        yield Panel(
            title=", ".join(filter(None, ["response over the criterion's", title, where])),
            place=kind.terms.draws or kind.terms.title,
            x=Scale(title="contrast", log=True),
            y=Scale(title="response over the criterion's", log=True),
            lines=(*lines[key], *people),
            levels=(Level(title="equal response", height=1.0, role="neutral"),),
            ramp=ramp,
            benchmark=f"{kind.name}/{cells['dataset'].iloc[0]}",
            metric=view.metric,
            choices={"condition": title, "where": where or "the only one"},
        )


def _line(study: Study, cell: Any, curve: ResponseCurve, step: int) -> Line:
    run, planner = str(cell.run), study.planner
    stop = planner.stop_of(run, str(cell.revision))
    group = planner.group_of[run]
    n = len(curve.contrasts)
    responses = np.array(curve.responses, np.float64)
    role: Role = "baseline" if curve.reference else "value"
    unknown, ends = np.full(n, np.nan), np.zeros(n, np.int64)
    return Line(
        label=curve.reference or (str(cell.revision) if step >= 0 else group.title),
        run="" if curve.reference else run,
        group=group.title,
        x=np.array(curve.contrasts, np.float64),
        y=np.where(responses > 0, responses, np.nan),
        low=unknown,
        high=unknown,
        usable=responses > 0,
        at=ends + stop,
        n=ends,
        n_clusters=ends,
        place=step if step >= 0 else group.place,
        role=role,
        frame=-1 if curve.reference else stop,
    )


def _people(contrast: float, lines: Sequence[Line]) -> Line:
    """The contrast that people need, as a vertical line."""
    known = np.concatenate([line.y[line.usable] for line in lines])
    ends = np.array([known.min(), known.max()]) if len(known) else np.array([0.5, 2.0])
    two: dict[str, Any] = {name: np.array([0, 0]) for name in ("at", "n", "n_clusters")}
    two |= {name: np.full(2, np.nan) for name in ("low", "high")}
    usable = np.array([True, True])
    return replace(
        lines[0],
        label="people",
        run="",
        x=np.full(2, contrast),
        y=ends,
        usable=usable,
        role="human",
        frame=-1,
        **two,
    )


def _condition_words(terms: KindTerms, curve: ResponseCurve, keys: Sequence[_Key]) -> tuple[str, str]:
    """The title of the test, and where in it the curve was measured; a parameter only where it differs."""
    term = terms.conditions.get(curve.condition)
    steps = [((term and term.level) or terms.level or Axis(title="level"), curve.level)]
    if len({parameter for name, _, parameter in keys if name == curve.condition}) > 1:
        steps.append((terms.parameter or Axis(title="parameter"), curve.parameter))
    where = ", ".join(
        step_words(axis, value) for axis, value in steps if value is not None and not math.isnan(value)
    )
    return (term.title if term else bare(curve.condition)), where
