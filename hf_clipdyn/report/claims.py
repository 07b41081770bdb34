"""The claims in a report: the figure of their contrasts, and what came out in words. None without a file of claims."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import get_args

from hf_clipdyn.report.panel import Level, Panel, Row, Scale, Span
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import estimate_words, joined
from hf_clipdyn.statistics.judge import NO_VERDICT, Judge, JudgedPart, Verdict, Word

_REACH = 6.0  # multiples of δ that the figure shows at most


def claims_panel(study: Study) -> Panel | None:
    """A row for each contrast with an estimate, in units of its δ; None without any."""
    known = _estimated(study)
    if not known:
        return None
    ends = [abs(end) for _, part in known for end in _ends(part) if math.isfinite(end)]
    reach = min(max(1.6, *ends) * 1.08, _REACH)
    return Panel(
        title="Contrasts of the claims",
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


def endpoint_panels(study: Study) -> Iterator[Panel]:
    """Each endpoint of a contrast with an estimate over training, with the windows of the contrasts."""
    if study.judge is None:
        return
    planner, judge = study.planner, study.judge
    parts = [part for _, part in _estimated(study)]
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
        spans = [span for window in windows for span in _span(study, judge, name, window)]
        shaded = f"shaded: {', '.join(span.title for span in spans)}" if spans else ""
        place = ", ".join(filter(None, [panel.place, shaded]))
        yield replace(panel, place=place, spans=tuple(spans), benchmark="", choices={})


def _span(study: Study, judge: Judge, endpoint: str, window: str) -> Iterator[Span]:
    """Where the revisions of a window lie on the axis of training; nothing without any."""
    of_runs = ((run, name) for run in judge.counted.index for name in judge.revisions(endpoint, window, run))
    stops = [stop for run, name in of_runs if (stop := study.planner.stop_of(run, name)) >= 0]
    if stops:
        places = study.planner.stops[stops]
        yield Span(window, float(places.min()), float(places.max()))


def _estimated(study: Study) -> list[tuple[Verdict, JudgedPart]]:
    """The contrasts with an estimate."""
    parts = [(verdict, part) for verdict in study.verdicts for part in verdict.parts]
    return [(verdict, part) for verdict, part in parts if math.isfinite(part.estimate.value)]


def _ends(part: JudgedPart) -> tuple[float, float, float]:
    """Value and interval in units of δ."""
    estimate, delta = part.estimate, part.part.smallest_effect
    return estimate.value / delta, estimate.ci_low / delta, estimate.ci_high / delta


def _row(verdict: Verdict, part: JudgedPart, reach: float) -> Row:
    """A contrast; what lies beyond the axis is at its end, and is called so."""
    value, low, high = _ends(part)
    word = "" if verdict.word in NO_VERDICT else f": {part.words}"
    beyond = " (beyond the axis)" if abs(value) > reach else ""
    return Row(
        label=f"{verdict.claim.number} {part.part.title}{word}{beyond}",
        value=min(max(value, -reach), reach),
        low=min(max(low, -reach), reach),
        high=min(max(high, -reach), reach),
        n=part.estimate.n_seeds,
        words=f"{estimate_words(part.estimate)}, δ = {part.part.smallest_effect:.3g}{word}",
    )


def verdict_summary(study: Study) -> str:
    """How many claims the data can test, and what came out; the cause where all share one."""
    verdicts, order = study.verdicts, get_args(Word)
    counts = Counter(verdict.word for verdict in verdicts)
    n_silent = counts.pop("not testable here", 0)
    if n_silent == len(verdicts):
        return _undecided_summary(study)
    outcomes = [
        f"{counts[word]} {'hold' if word == 'holds' and counts[word] > 1 else word}"
        for word in sorted(counts, key=order.index)
    ]
    words = f"These data can test {len(verdicts) - n_silent} of {len(verdicts)} claims: {joined(outcomes)}."
    controls = [one.claim.number for one in verdicts if one.is_tested and not one.claim.evidence]
    if controls:
        words += f" Claim {joined(controls)} is a positive control, not evidence."
    return f"{words} They cannot decide the other {n_silent}." if n_silent else words


def _undecided_summary(study: Study) -> str:
    """Why no claim is decided, and what a reader sees instead."""
    cause = shared_cause(study.verdicts)
    words = (
        f"These data cannot decide any of the {len(study.verdicts)} claims{f': {cause}' if cause else ''}."
    )
    if study.claims is None or not any(verdict.is_tested for verdict in study.verdicts):
        return words
    seeds = ", ".join(map(str, study.claims.confirmatory_seeds))
    needed = f" A verdict requires runs of the registered seeds ({seeds})." if seeds else ""
    return f"{words}{needed} The estimates below come from the available runs; they decide nothing."


def shared_cause(verdicts: Sequence[Verdict]) -> str:
    """Why none of the claims with an estimate is decided, if that is one cause; else nothing."""
    causes = {verdict.cause for verdict in verdicts if verdict.is_tested}
    alone = len(causes) == 1 and all(verdict.word == "not testable here" for verdict in verdicts)
    return causes.pop().rstrip(". ") if alone else ""


def seed_words(parts: Sequence[JudgedPart]) -> str:
    """``5 runs; scales tiny, small``; counts of parts that differ, from least to most."""
    known = [part.estimate for part in parts]
    counts = sorted({estimate.n_seeds for estimate in known})
    scales = list(dict.fromkeys(scale for estimate in known for scale in estimate.scales if scale))
    runs = f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} run{'s' * (counts != [1])}"
    return f"{runs}; scale{'s' * (len(scales) > 1)} {', '.join(scales)}" if scales else runs
