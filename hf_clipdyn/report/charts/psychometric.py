"""Responses over contrast, epoch by epoch, beside the contrast that people need."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.metrics.psychophysics import iso_response_contrast
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import step_words
from hf_clipdyn.report.page.views import kind_cells, read_trials, spread_cells
from hf_clipdyn.report.panel import Floats, Level, Line, Panel, Scale
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.terms import Axis, bare

_MOST_CURVES = 600  # of one benchmark
_STIMULUS = ("test", "level", "criterion", "is_criterion", "contrast", "human")
_COLUMNS = ("item", "probe", "distance", "value", *_STIMULUS)
_RESPONSE = "response over the criterion's"

_Key = tuple[str, float, float]
"""Condition, level and parameter, as the numbers of the kind name them."""


class Curve(NamedTuple):
    """How the response to one grating grows with its contrast.

    Attributes:
        contrasts: that were shown, ascending.
        responses: at these, relative to the criterion: 1 is an equal response.
        human: contrast at which people's response is equal; NaN if unknown.
        reference: name of a baseline; empty for the model.
    """

    contrasts: Floats
    responses: Floats
    human: float
    reference: str


class Psychometric(Chart):
    """The response curves of the projection: a curve for each run and revision, one panel for each stimulus."""

    title = "Response over contrast"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """None without trials of gratings."""
        known = (cells for kind, cells in kind_cells(study) if kind is Psychophysics)
        return [panel for cells in known for panel in _panels(study, cells)]


def curves(trials: pd.DataFrame) -> dict[tuple[_Key, str], Curve]:
    """The curves of the projection's cosine and of the pixels, by stimulus and reference; means over exemplars."""
    found = {}
    is_model = (trials["probe"] == "projection") & (trials["distance"] == "cosine")
    for reference, at in (("", is_model), ("pixels", trials["distance"] == "rmse")):
        own = trials[at].sort_values("item", kind="stable")
        criteria = own[own["is_criterion"]].groupby(["test", "criterion"])["value"].mean()
        columns = ["test", "level", "criterion", "human"]
        key: Any
        for key, rows in own[~own["is_criterion"]].groupby(columns, sort=False, dropna=False):
            test, level, criterion, human = key
            distance, means = criteria[test, criterion], rows.groupby("contrast")["value"].mean()
            if distance > 0:
                contrasts, responses = means.index.to_numpy(float), means.to_numpy(float) / distance
                of = str(test), float(level), float(criterion)
                found[of, reference] = Curve(contrasts, responses, float(human), reference)
    return found


def _panels(study: Study, cells: pd.DataFrame) -> Iterator[Panel]:
    last = read_trials(study, next(cells.tail(1).itertuples(index=False)), curves, _COLUMNS)
    kept = spread_cells(cells, max(2, _MOST_CURVES // max(1, len(last or ()))))
    ramp = len(study.runs) == 1
    by_key: dict[_Key, list[tuple[Any, int, Curve]]] = defaultdict(list)
    for at, cell in enumerate(kept.itertuples(index=False)):
        for (key, reference), curve in (read_trials(study, cell, curves, _COLUMNS) or {}).items():
            if at == 0 or not reference:
                by_key[key].append((cell, at if ramp else -1, curve))
    for key, shown in by_key.items():
        title, where = _words(key, list(by_key))
        positive = np.concatenate([curve.responses[curve.responses > 0] for *_, curve in shown])
        ends = np.array([positive.min(), positive.max()]) if len(positive) else np.array([0.5, 2.0])
        lines = [line for one in shown for line in _lines(study, *one, bottom=min(float(ends[0]), 1.0))]
        human = shown[0][-1].human
        if not math.isnan(human):
            lines.append(Line.plain(np.full(2, human), ends, label="human observers", role="human"))
        yield Panel(
            title=", ".join(filter(None, [_RESPONSE, title, where])),
            place=Psychophysics.terms.draws,
            x=Scale(title="contrast", log=True),
            y=Scale(title=_RESPONSE, log=True),
            lines=tuple(lines),
            levels=(Level(title="equal response", height=1.0, role="neutral"),),
            ramp=ramp,
            benchmark=f"{Psychophysics.name}/{cells['dataset'].iloc[0]}",
            metric="contrast",
            choices={"condition": title, "where": where or "the only one"},
        )


def _lines(study: Study, cell: Any, step: int, curve: Curve, *, bottom: float) -> Iterator[Line]:
    """A curve; of a model also its threshold, the contrast of equal response, down to the axis."""
    contrasts, responses = curve.contrasts, np.where(curve.responses > 0, curve.responses, np.nan)
    if curve.reference:
        yield Line.plain(contrasts, responses, label=curve.reference, role="baseline")
        return
    group, stop = study.planner.group_of[cell.run], study.planner.stop_of(cell.run, cell.revision)
    label, place = (str(cell.revision), step) if step >= 0 else (group.title, group.place)
    of = {"run": str(cell.run), "group": group.title, "place": place, "frame": stop, "label": label}
    yield Line.plain(contrasts, responses, at=np.full(len(contrasts), stop), **of)
    threshold = float(iso_response_contrast(contrasts, curve.responses, 1.0))
    if not math.isnan(threshold):
        ends = np.array([1.0, bottom])
        yield Line.plain(np.full(2, threshold), ends, at=np.full(2, stop), role="baseline", **of)


def _words(key: _Key, keys: Sequence[_Key]) -> tuple[str, str]:
    """The title of the test, and where in it the curve was measured; a parameter only where it differs."""
    terms, (condition, level, parameter) = Psychophysics.terms, key
    term = terms.conditions.get(condition)
    steps = [((term and term.level) or Axis(title="level"), level)]
    if len({other for name, _, other in keys if name == condition}) > 1:
        steps.append((terms.parameter or Axis(title="parameter"), parameter))
    where = ", ".join(step_words(axis, value) for axis, value in steps if not math.isnan(value))
    return (term.title if term else bare(condition)), where
