"""The figure of the claims as plain data: for each endpoint its courses over training and the contrasts beside them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hf_clipdyn.report.axis import Axis
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.terms import Term
from hf_clipdyn.statistics.judging import Part, Verdict
from hf_clipdyn.statistics.trajectories import Trajectory, rows_of
from hf_clipdyn.statistics.windows import Endpoint, RunValues, Window

__all__ = ["ClaimPanel", "Course", "Level", "Span", "claims_axis", "is_tested", "plan_claims", "study_words"]

_SHOWN_ROLES = ("chance", "null", "baseline", "human")
_POSITIONS = ("samples_seen", "step", "epoch")


@dataclass(frozen=True)
class Course:
    """An endpoint over the revisions of one run.

    Attributes:
        points: in the order of training, with the columns of a trajectory's points; an endpoint of several levels has
            their mean as ``value``, and no interval.
    """

    run: str
    scale: str
    seed: int | None
    arm: str
    points: pd.DataFrame


@dataclass(frozen=True)
class Level:
    """A horizontal line that gives a panel its scale: chance, pixels, people, the untrained model."""

    title: str
    height: float
    role: str


@dataclass(frozen=True)
class Span:
    """Where a registered window lies on the axis, for runs of one length.

    Attributes:
        scale: of the runs; empty if all runs of the panel are of one length.
    """

    window: str
    start: float
    end: float
    scale: str


@dataclass(frozen=True)
class ClaimPanel:
    """One endpoint: its courses, and each claim's contrasts of it."""

    title: str
    term: Term
    endpoint: Endpoint
    courses: tuple[Course, ...]
    levels: tuple[Level, ...]
    spans: tuple[Span, ...]
    contrasts: tuple[tuple[Verdict, tuple[Part, ...]], ...]


def is_tested(verdict: Verdict) -> bool:
    """Whether the data give an estimate for a claim."""
    return any(math.isfinite(part.estimate.value) for part in verdict.parts)


def study_words(verdict: Verdict, study: Study) -> list[str]:
    """What a reader must know of the data of a verdict: synthetic, a positive control, a proxy."""
    benchmarks = {(part.contrast.endpoint.kind, part.contrast.endpoint.dataset) for part in verdict.parts}
    measured = {one.benchmark: one for one in study.trajectories if one.benchmark in benchmarks}
    words = []
    if any(one.dataset_terms.synthetic or one.terms.draws for one in measured.values()):
        words.append("synthetic images")
    if any(one.terms.proxy for one in measured.values()):
        words.append("by proxy")
    if not verdict.evidence:
        words.append("positive control")
    return words


def plan_claims(study: Study) -> list[ClaimPanel]:
    """A panel for each endpoint of the verdicts that was measured, in the order of the claims."""
    by_endpoint: dict[Endpoint, list[tuple[Verdict, list[Part]]]] = defaultdict(list)
    for verdict in study.verdicts:
        for part in verdict.parts:
            held = by_endpoint[part.contrast.endpoint]
            if not held or held[-1][0] is not verdict:
                held.append((verdict, []))
            held[-1][1].append(part)
    panels = []
    for endpoint, contrasts in by_endpoint.items():
        members = [one for one in endpoint.of(study.trajectories).values() if one.parts]
        if not any(len(part.usable) for one in members for part in one.parts):
            continue
        estimated = [
            (verdict, tuple(part for part in parts if math.isfinite(part.estimate.value)))
            for verdict, parts in contrasts
        ]
        panels.append(_panel(study, endpoint, members, [one for one in estimated if one[1]]))
    return panels


def claims_axis(panels: Sequence[ClaimPanel]) -> Axis:
    """Samples seen, logarithmic; what the runs know instead if some lack them."""
    points = [course.points for panel in panels for course in panel.courses if len(course.points) > 1]
    for name in _POSITIONS:
        if points and all(one[name].notna().all() for one in points):
            return Axis(name, log=True)  # type: ignore[arg-type]
    return Axis("order")


def _panel(
    study: Study,
    endpoint: Endpoint,
    members: Sequence[RunValues],
    contrasts: Sequence[tuple[Verdict, tuple[Part, ...]]],
) -> ClaimPanel:
    courses = tuple(map(_course, members))
    windows = _windows(study, [verdict for verdict, _ in contrasts], endpoint)
    first = members[0].parts[0]
    return ClaimPanel(
        f"{first.metric_title}\n{first.dataset_title}",
        first.term,
        endpoint,
        courses,
        tuple(_levels(members[0].parts, courses)),
        tuple(_spans(windows, courses)),
        tuple(contrasts),
    )


def _course(values: RunValues) -> Course:
    points = values.parts[0].points
    if len(values.parts) > 1:
        means = points["revision"].map(values.values)
        known = means.notna()
        points = points.assign(value=means, ci_low=math.nan, ci_high=math.nan, defined=known, usable=known)
    return Course(values.run, values.scale, values.seed, values.arm, points)


def _levels(parts: Sequence[Trajectory], courses: Sequence[Course]) -> Iterable[Level]:
    """The lines of a panel; the references are those of one run's trajectories, which are ``parts``."""
    main = [course for course in courses if not course.arm]
    first = parts[0]
    if first.term.neutral is not None and first.term.poles:
        yield Level(first.term.neutral_title or "even", first.term.neutral, "neutral")
    untrained = [
        float(point.value)
        for course in main
        for point in rows_of(course.points)
        if point.usable and point.step == 0
    ]
    if untrained:
        yield Level("untrained", float(np.mean(untrained)), "untrained")
    human = first.human
    if human is not None:
        yield Level("humans", human, "human")
    held: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in parts:
        for other in one.references:
            if other.role in _SHOWN_ROLES and other.reference_terms.drawn and len(other.usable):
                held[other.reference_terms.title, other.role].append(float(other.usable["value"].iloc[-1]))
    for (title, role), heights in held.items():
        yield Level(title, float(np.mean(heights)), role)


def _windows(study: Study, verdicts: Sequence[Verdict], endpoint: Endpoint) -> dict[str, Window]:
    """The windows of the contrasts of an endpoint, located ones where the tuning seeds put them."""
    found: dict[str, Window] = {}
    for verdict in verdicts:
        for part in verdict.parts:
            if part.contrast.endpoint == endpoint:
                known = study.windows_of(verdict)
                found |= {name: known[name] for name in part.contrast.weights if name in known}
    return found


def _spans(windows: Mapping[str, Window], courses: Sequence[Course]) -> Iterable[Span]:
    """The place of each window on the axis, once for all runs of the same length."""
    axis = next((name for name in _POSITIONS if all(one.points[name].notna().all() for one in courses)), None)
    if axis is None:
        return
    lengths: dict[tuple[str, float], Course] = {}
    for course in courses:
        if not course.arm and len(course.points) > 1:
            lengths.setdefault((course.scale, float(course.points[axis].max())), course)
    several = len({length for _, length in lengths}) > 1
    known = {
        (length if several else 0.0): (scale, course) for (scale, length), course in reversed(lengths.items())
    }
    for name, window in windows.items():
        for scale, course in known.values():
            place = _place(window, course.points, axis)
            if place is not None:
                yield Span(name, *place, scale if several else "")


def _place(window: Window, points: pd.DataFrame, axis: str) -> tuple[float, float] | None:
    if window.start is not None and window.end is not None:
        length = float(points[axis].max())
        return window.start * length, window.end * length
    if window.epochs:
        inside = points.loc[points["epoch"].isin(window.epochs), axis]
        return (float(inside.min()), float(inside.max())) if len(inside) else None
    return None  # the untrained revision has its own line; an accuracy has another place in every run
