"""The claims: their panels for the figure and the page, the table of verdicts, and the specification curves."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pandas as pd

from hf_clipdyn.report.axis import Axis
from hf_clipdyn.report.page.panels import panel_data, short
from hf_clipdyn.report.plan import Level, Line, Panel, Span
from hf_clipdyn.report.provenance import registration_words
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import estimate_words, is_tested, joined, part_title, part_word, study_words
from hf_clipdyn.statistics.contrasts import Estimate
from hf_clipdyn.statistics.judging import Difference, Gate, Part, Verdict, Word
from hf_clipdyn.statistics.specifications import Specification
from hf_clipdyn.statistics.trajectories import Trajectory, rows_of
from hf_clipdyn.statistics.windows import Endpoint, RunValues, Window

_SHOWN_ROLES = ("chance", "null", "baseline", "human")
_POSITIONS = ("samples_seen", "step", "epoch")
_ORDER: tuple[Word, ...] = get_args(Word)
_GATE_WORDS = {True: "passed", False: "failed", None: "not measured"}


def plan_claims(study: Study) -> list[Panel]:
    """A panel for each endpoint of the verdicts that was measured, with its contrasts, in the order of the claims.

    The points of an endpoint of several levels have their mean as ``value``, and no interval.
    """
    by_endpoint: dict[Endpoint, list[tuple[Verdict, list[Part]]]] = defaultdict(list)
    for verdict in study.verdicts:
        for part in verdict.parts:
            contrasts = by_endpoint[part.contrast.endpoint]
            if not contrasts or contrasts[-1][0] is not verdict:
                contrasts.append((verdict, []))
            contrasts[-1][1].append(part)
    panels = []
    for endpoint, contrasts in by_endpoint.items():
        measured = [values for values in endpoint.of(study.trajectories).values() if values.parts]
        if any(len(part.usable) for values in measured for part in values.parts):
            estimated = [
                (verdict, tuple(part for part in parts if math.isfinite(part.estimate.value)))
                for verdict, parts in contrasts
            ]
            panels.append(_panel(study, endpoint, measured, [pair for pair in estimated if pair[1]]))
    return panels


def claims_axis(panels: Sequence[Panel]) -> Axis:
    """Samples seen, logarithmic; what the runs know instead if some lack them."""
    points = [line.trajectory.points for panel in panels for line in panel.lines]
    points = [of_run for of_run in points if len(of_run) > 1]
    for name in _POSITIONS:
        if points and all(of_run[name].notna().all() for of_run in points):
            places = pd.concat([of_run[name] for of_run in points])
            first = float(
                places[places > 0].min()
            )  # not of each run: one without a trained revision has none
            return Axis(name, log=True, first=first)  # type: ignore[arg-type]
    return Axis("order")


def _panel(
    study: Study,
    endpoint: Endpoint,
    measured: Sequence[RunValues],
    contrasts: Sequence[tuple[Verdict, tuple[Part, ...]]],
) -> Panel:
    lines = tuple(Line(values.run, _course(values)) for values in measured)
    windows: dict[str, Window] = {}  # of the contrasts; located ones where the tuning seeds put them
    for verdict, _ in contrasts:
        known = study.windows_of(verdict)
        for part in verdict.parts:
            if part.contrast.endpoint == endpoint:
                windows |= {name: known[name] for name in part.contrast.weights if name in known}
    first = measured[0].parts[0]
    return Panel(
        f"{first.metric_title}\n{', '.join(filter(None, [first.dataset_title, _detail(measured[0].parts)]))}",
        lines,
        levels=tuple(_levels(measured[0].parts, lines)),
        spans=tuple(_spans(windows, [line.trajectory for line in lines])),
        contrasts=tuple(contrasts),
    )


def _detail(parts: Sequence[Trajectory]) -> str:
    """What distinguishes an endpoint from others of its metric: of several levels, that it is their mean."""
    levels = sorted({part.level for part in parts if part.level is not None})
    if len(levels) < 2:
        return parts[0].special_detail
    axis = parts[0].level_axis
    return f"mean of {axis.title if axis else 'level'} {', '.join(f'{level:g}' for level in levels)}"


def _course(values: RunValues) -> Trajectory:
    course = replace(values.parts[0], arm=values.arm)
    if len(values.parts) == 1:
        return course
    means = course.points["revision"].map(values.values)
    known = means.notna()
    return course.with_points(
        course.points.assign(value=means, ci_low=math.nan, ci_high=math.nan, defined=known, usable=known)
    )


def _levels(parts: Sequence[Trajectory], lines: Sequence[Line]) -> Iterable[Level]:
    """The horizontal lines of a panel; the references are those of one run's trajectories, which are ``parts``."""
    first = parts[0]
    if first.term.neutral is not None and first.term.poles:
        yield Level(first.term.neutral_title or "even", first.term.neutral, "neutral")
    untrained = [
        float(point.value)
        for line in lines
        if not line.trajectory.arm
        for point in rows_of(line.trajectory.usable)
        if point.step == 0
    ]
    if untrained:
        yield Level("untrained", float(np.mean(untrained)), "untrained")
    if first.human is not None:
        yield Level("people", first.human, "human")
    heights: dict[tuple[str, str], list[float]] = defaultdict(list)
    for part in parts:
        for other in part.references:
            if other.role in _SHOWN_ROLES and other.reference_terms.drawn and len(other.usable):
                heights[other.reference_terms.title, other.role].append(float(other.usable["value"].iloc[-1]))
    for (title, role), known in heights.items():
        yield Level(title, float(np.mean(known)), role)


def _spans(windows: Mapping[str, Window], courses: Sequence[Trajectory]) -> Iterable[Span]:
    """The place of each window on the axis, once for all runs of the same length."""
    clocks = (name for name in _POSITIONS if all(course.points[name].notna().all() for course in courses))
    axis = next(clocks, None)
    if axis is None:
        return
    lengths: dict[tuple[str, float], Trajectory] = {}
    for course in courses:
        if not course.arm and len(course.points) > 1:
            lengths.setdefault((course.scale, float(course.points[axis].max())), course)
    several = len({length for _, length in lengths}) > 1
    known = {
        (length if several else 0.0): (scale, course) for (scale, length), course in reversed(lengths.items())
    }
    for name, window in windows.items():
        for scale, course in known.values():
            if (place := _place(window, course.points, axis)) is not None:
                yield Span(name, *place, scale if several else "")


def _place(window: Window, points: pd.DataFrame, axis: str) -> tuple[float, float] | None:
    if window.start is not None and window.end is not None:
        length = float(points[axis].max())
        return window.start * length, window.end * length
    if window.epochs:
        inside = points.loc[points["epoch"].isin(window.epochs), axis]
        return (float(inside.min()), float(inside.max())) if len(inside) else None
    return None  # the untrained revision has its own line; an accuracy has another place in every run


def payload(study: Study) -> dict[str, Any] | None:
    """What `charts/claims.js` draws.

    Returns:
        ``panels`` of `plan_claims` with their courses, lines, windows and contrasts; ``curves``, one for each claim
        with an estimate; None if no endpoint of the claims was measured. Built-in types, without NaN.
    """
    panels = plan_claims(study)
    if not panels:
        return None
    evidence = study.evidence
    return {
        "panels": list(map(_panel_data, panels)),
        "curves": [
            _verdict_data(verdict) | {"parts": list(_specified_parts(verdict, study))}
            for verdict in study.verdicts
            if is_tested(verdict)
        ],
        "registration": registration_words(study.results, evidence, study.claims_file) if evidence else "",
    }


def verdict_summary(study: Study) -> str:
    """How many claims the data can test, and what came out; the cause where all share one."""
    counts = Counter[str](verdict.decision for verdict in study.verdicts)
    n_silent = counts.pop("not testable here", 0)
    n = len(study.verdicts)
    if n_silent == n:
        return _undecided_summary(study)
    decisions = {verdict.decision: _ORDER.index(verdict.verdict) for verdict in study.verdicts}
    outcomes = [
        f"{counts[words]} {'hold' if words == 'holds' and counts[words] > 1 else words}"
        for words in sorted(decisions, key=lambda words: decisions[words])
        if counts[words]
    ]
    words = f"These data can test {n - n_silent} of {n} claims: {joined(outcomes)}."
    controls = [
        str(verdict.claim.number) for verdict in study.verdicts if not verdict.evidence and is_tested(verdict)
    ]
    if controls:
        words += f" Claim {joined(controls)} is a positive control, not evidence."
    return f"{words} They cannot decide the other {n_silent}." if n_silent else words


def _undecided_summary(study: Study) -> str:
    """Why no claim is decided, and what a reader sees instead."""
    cause = _shared_cause(study)
    words = (
        f"These data cannot decide any of the {len(study.verdicts)} claims{f': {cause}' if cause else ''}."
    )
    if not any(map(is_tested, study.verdicts)):
        return words
    seeds = ", ".join(map(str, study.claims.studies[study.verdicts[0].study].confirmatory_seeds))
    needed = f" A verdict requires runs of the registered seeds ({seeds})." if seeds else ""
    return f"{words}{needed} The estimates below come from the available runs; they decide nothing."


def _shared_cause(study: Study) -> str:
    """Why none of the claims with an estimate is decided, if that is one cause; else nothing."""
    causes = {verdict.cause for verdict in study.verdicts if is_tested(verdict)}
    alone = len(causes) == 1 and all(verdict.verdict == "not testable here" for verdict in study.verdicts)
    return causes.pop().rstrip(". ") if alone else ""


def verdict_rows(study: Study) -> list[dict[str, Any]]:
    """The table of verdicts in words, for the template: claims with an estimate first."""
    shared = _shared_cause(study)
    rows = [_verdict_row(verdict, study) for verdict in study.verdicts]
    for row in rows:
        if shared and row["cause"].rstrip(". ") == shared:
            row["cause"] = ""  # the summary above the table says it once
    return sorted(rows, key=lambda row: not row["parts"])


def _verdict_row(verdict: Verdict, study: Study) -> dict[str, Any]:
    known = [part for part in verdict.parts if math.isfinite(part.estimate.value)]
    return _verdict_data(verdict) | {
        "marks": study_words(verdict, study),
        "parts": [_part_row(verdict, part) for part in known],
        "aside": list(_aside(verdict)),
        "seeds": _seed_words(known),
    }


def _verdict_data(verdict: Verdict) -> dict[str, Any]:
    """What the table and the specification curve of a claim both say."""
    return {
        "number": verdict.claim.number,
        "title": verdict.claim.title,
        "verdict": verdict.words,
        "cause": verdict.cause,
        "gates": list(map(_gate, verdict.gates)),
        "notes": list(verdict.notes),
    }


def _part_row(verdict: Verdict, part: Part) -> dict[str, str]:
    estimate, effect = part.estimate, part.minimum_detectable_effect
    return {
        "title": part_title(part),
        "estimate": estimate_words(estimate, runs=False),
        "level": f"{100 * estimate.confidence_level:.4g} %" if math.isfinite(estimate.ci_low) else "",
        "delta": f"{part.contrast.smallest_effect:.3g}",
        "word": part_word(verdict, part),
        "detectable": f"{effect:.3f}" if math.isfinite(effect) else "",
        "cause": estimate.cause,
    }


def _aside(verdict: Verdict) -> Iterable[dict[str, str]]:
    """Differences of readouts and sensitivities, which decide nothing."""
    words: list[tuple[Difference | Part, str]] = [(one, "") for one in verdict.differences]
    words += [(part, part_word(verdict, part)) for part in verdict.sensitivities]
    for one, word in words:
        if math.isfinite(one.estimate.value):
            yield {"title": one.title, "estimate": estimate_words(one.estimate, runs=False), "word": word}


def _gate(gate: Gate) -> dict[str, str]:
    state = _GATE_WORDS[gate.passed]
    return {"title": gate.title, "state": state, "words": gate.words.removeprefix(state).lstrip(": ")}


def _seed_words(parts: Sequence[Part]) -> str:
    """``5 seeds; scales tiny, small``; counts of parts that differ, from least to most."""
    counts = sorted({part.estimate.n_seeds for part in parts if part.estimate.n_seeds})
    scales = list(dict.fromkeys(scale for part in parts for scale in part.estimate.scales if scale))
    if not counts:
        return ""
    words = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    words += " run" if counts == [1] else " runs"
    return f"{words}; scale{'s' if len(scales) > 1 else ''} {', '.join(scales)}" if scales else words


def _panel_data(panel: Panel) -> dict[str, Any]:
    return panel_data(panel) | {
        "contrasts": [
            {
                "number": verdict.claim.number,
                "title": verdict.claim.title,
                "verdict": verdict.words,
                "parts": [_part_data(verdict, part) for part in parts],
            }
            for verdict, parts in panel.contrasts
        ],
    }


def _part_data(verdict: Verdict, part: Part) -> dict[str, Any]:
    return {
        "title": part_title(part),
        **_ends(part.estimate),
        "delta": float(f"{part.contrast.smallest_effect:.3g}"),
        "word": part_word(verdict, part),
        "words": estimate_words(part.estimate),
        "runs": [[run.run, short(run.value)] for run in part.estimate.runs],
    }


def _ends(estimate: Estimate) -> dict[str, float | None]:
    return {"v": short(estimate.value), "lo": short(estimate.ci_low), "hi": short(estimate.ci_high)}


def _specified_parts(verdict: Verdict, study: Study) -> Iterable[dict[str, Any]]:
    """The curve of each registered contrast that has an estimate."""
    for part in verdict.parts:
        choices = study.specifications(verdict, part) if math.isfinite(part.estimate.value) else []
        if choices:
            yield {
                "title": part_title(part),
                "delta": float(f"{part.contrast.smallest_effect:.3g}"),
                "detectable": short(part.minimum_detectable_effect),
                **_specified(choices),
            }


def _specified(specifications: Sequence[Specification]) -> dict[str, Any]:
    """Sorted by value; the choices by name, each specification's as places in them."""
    known = sorted(specifications, key=lambda specification: specification.estimate.value)
    names = list(dict.fromkeys(name for specification in known for name in specification.choices))
    options = {name: _options(name, known) for name in names}
    return {
        "choices": [[name, options[name]] for name in names],
        "rows": [
            {
                **_ends(specification.estimate),
                "seeds": specification.estimate.n_seeds,
                "registered": specification.registered,
                "c": [
                    options[name].index(specification.choices[name]) if name in specification.choices else -1
                    for name in names
                ],
            }
            for specification in known
        ],
    }


def _options(name: str, specifications: Sequence[Specification]) -> list[str]:
    """The values of a choice, the registered one first."""
    having = [specification for specification in specifications if name in specification.choices]
    having.sort(key=lambda specification: not specification.registered)
    return list(dict.fromkeys(specification.choices[name] for specification in having))
