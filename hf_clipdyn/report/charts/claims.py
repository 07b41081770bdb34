"""The claims: the interval of each contrast in units of its δ, and each endpoint with its windows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np

from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.panel import Level, Panel, Row, Scale
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import estimate_words
from hf_clipdyn.statistics.judge import NO_VERDICT, Judge, JudgedPart, Verdict

_REACH = 6.0  # multiples of δ that the figure shows at most


class ClaimsChart(Chart):
    """The figure has the contrasts; the endpoints are in the figures of their benchmarks."""

    title = "Contrasts of the claims"
    across = 1

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """One with a row for each contrast with an estimate, and one over training for each endpoint."""
        parts = [(verdict, part) for verdict in study.verdicts for part in verdict.parts]
        known = [(verdict, part) for verdict, part in parts if math.isfinite(part.estimate.value)]
        if not known:
            return []
        endpoints = _endpoints(study, study.judge, [part for _, part in known]) if study.judge else ()
        return [_contrasts(known), *endpoints]


def _contrasts(known: Sequence[tuple[Verdict, JudgedPart]]) -> Panel:
    ends = [abs(end) for _, part in known for end in _ends(part) if math.isfinite(end)]
    reach = min(max(1.6, *ends) * 1.08, _REACH)
    return Panel(
        title=ClaimsChart.title,
        place="positive favours the claim; δ is the smallest effect of interest",
        form="rows",
        x=Scale(title="contrast, in units of its δ", limits=(-reach, reach)),
        rows=tuple(_row(*one, reach) for one in known),
        levels=(
            Level(title="−δ", height=-1.0, role="baseline"),
            Level(title="no effect", height=0.0, role="neutral"),
            Level(title="δ", height=1.0, role="baseline"),
        ),
        main=True,
    )


def _ends(part: JudgedPart) -> tuple[float, float, float]:
    """Value and interval in units of δ."""
    estimate, delta = part.estimate, part.part.smallest_effect
    return estimate.value / delta, estimate.ci_low / delta, estimate.ci_high / delta


def _row(verdict: Verdict, part: JudgedPart, reach: float) -> Row:
    """A contrast; what lies beyond the axis is at its end, and is called so."""
    ends = _ends(part)
    value, low, high = np.clip(ends, -reach, reach).tolist()
    word = "" if verdict.word in NO_VERDICT else f": {part.words}"
    beyond = " (beyond the axis)" if abs(ends[0]) > reach else ""
    return Row(
        label=f"{verdict.claim.number} {part.part.title}{word}{beyond}",
        value=value,
        low=low,
        high=high,
        n=part.estimate.n_seeds,
        words=f"{estimate_words(part.estimate)}, δ = {part.part.smallest_effect:.3g}{word}",
    )


def _endpoints(study: Study, judge: Judge, parts: Sequence[JudgedPart]) -> Iterator[Panel]:
    """The endpoints over training, with the windows of their contrasts."""
    planner = study.planner
    for name in dict.fromkeys(part.part.endpoint for part in parts):
        endpoint = judge.claims.endpoints[name]
        level = next(iter(endpoint.levels), None)
        wanted = endpoint.model_dump(exclude={"levels"}) | {"level": level, "role": "value"}
        columns = attrgetter(*wanted)
        fits = [course for course in planner.courses if columns(course) == tuple(wanted.values())]
        panel = planner.panel(fits) if fits else None
        if panel is None or panel.form != "lines":
            continue
        windows = dict.fromkeys(
            window for part in parts if part.part.endpoint == name for window in part.part.weights
        )
        where = [words for window in windows if (words := _window_words(study, judge, name, window))]
        place = f"{panel.place}. Windows ({planner.x.title}): {'; '.join(where)}" if where else panel.place
        yield replace(panel, place=place, benchmark="", choices={})


def _window_words(study: Study, judge: Judge, endpoint: str, window: str) -> str:
    """A window and where its revisions lie: ``late 9 to 10``; empty without any."""
    of_runs = ((run, name) for run in judge.counted.index for name in judge.revisions(endpoint, window, run))
    stops = [stop for run, name in of_runs if (stop := study.planner.stop_of(run, name)) >= 0]
    x, places = study.planner.x, study.planner.stops[stops]
    ends = dict.fromkeys(x.words(end(places)).removeprefix(f"{x.title} ") for end in (min, max) if stops)
    return f"{window} {' to '.join(ends)}" if ends else ""
