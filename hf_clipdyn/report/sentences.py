"""What was found, in sentences that claim no more than the intervals show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hf_clipdyn.report.charts import Line, Panel
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.words import listed
from hf_clipdyn.statistics.trajectories import Trajectory, phases, rows_of, turns

__all__ = [
    "NOT_INTERPRETABLE",
    "Finding",
    "alternative_words",
    "find",
    "limits",
    "number_words",
    "summarize",
]

NOT_INTERPRETABLE = "not interpretable"
_AT_CHANCE = "indistinguishable from chance"
_BOTH_AT_CHANCE = f"both {_AT_CHANCE}"


@dataclass(frozen=True)
class Finding:
    """What was found on one question for one run, as a phrase to follow a colon."""

    question: str
    run: str
    words: str


def find(study: Study) -> list[Finding]:
    """One finding for each question and run; metrics with poles (texture, shape) first.

    A value that is not interpretable is never given as a finding, a change only if the intervals of the first and the
    last revision do not overlap, and no peak is claimed at all: that takes a second half of the items and several
    seeds.
    """
    polar = [one for one in study.drawn if one.term.poles and one.texts == "own"]
    found = [Finding(_question(one, study), one.run, _polar_words(one, study)) for one in polar]
    for panel in (panel for panels in study.overview for panel in panels):
        for line in panel.lines:
            one = line.trajectory
            if one not in polar:
                found.append(Finding(_question(one, study), one.run, _trend_words(one, panel)))
    return found


def summarize(results: Path | Sequence[Path] | Study) -> list[str]:
    """What was found, in sentences.

    Raises:
        ConfigError: a file does not exist or is no table of results.
        EvaluationError: the tables hold no row.
    """
    study = read_study(results)
    several = len(study.runs) > 1
    found = [f"{f'{one.run}, ' if several else ''}{one.question}: {one.words}" for one in find(study)]
    return [*found, limits(study)]


def limits(study: Study) -> str:
    """What the intervals of a report do not contain."""
    if study.confidence:
        intervals = (
            f"The {study.confidence} intervals are over the items of each benchmark, resampled by their clusters. They "
            "include neither the variation between seeds nor that between checkpoints."
        )
    else:
        intervals = "No intervals were computed, so no change is called significant."
    n = len(study.runs)
    if n == 1:
        return f"{intervals} There is one run, so the variation between seeds is unknown."
    return f"{intervals} There are {n} runs; no interval includes the difference between them."


def number_words(point: Any, *, count: bool = True) -> str:
    """Value, interval and, with ``count``, items of a trajectory's point: ``0.842 [0.811, 0.873] (n = 1,000)``."""
    if not point.defined:
        return "not defined"
    words = f"{point.value:.3f}"
    if _has_interval(point):
        words += f" [{point.ci_low:.3f}, {point.ci_high:.3f}]"
    return f"{words} (n = {point.n:,.0f})" if count and point.n else words


def alternative_words(title: str, lines: Sequence[Line]) -> str:
    """What a screen reader says of a figure: the first and the last value of each line."""
    parts = []
    for line in lines:
        points = rows_of(line.trajectory.usable)
        ends = [
            f"{number_words(end, count=False)} at {end.revision}" for end in (*points[:1], *points[1:][-1:])
        ]
        said = f"from {' to '.join(ends)}" if len(ends) > 1 else "".join(ends) or "nothing interpretable"
        parts.append(f"{line.label}: {said}.")
    return f"{title.replace(chr(10), ', ')}. {' '.join(parts)}"


def _change_words(first: Any, last: Any, chance: float | None) -> str:
    """Whether a number changed, as far as two intervals show; between two values at chance no change is named."""
    if not (_has_interval(first) and _has_interval(last)):
        return "without the intervals that would show whether this is a change"
    if chance is not None and _is_within(chance, first) and _is_within(chance, last):
        return _BOTH_AT_CHANCE
    if last.ci_low > first.ci_high:
        return "a rise"
    if last.ci_high < first.ci_low:
        return "a fall"
    return "no significant change"


def _question(one: Trajectory, study: Study) -> str:
    """What was measured on which data: ``Shape bias on the synthetic world``.

    A probe other than the projection is named, and whatever sets the number apart from others of its run.
    """
    place = f"the {one.dataset_title}" if one.dataset_terms.synthetic else one.dataset_title
    parts = [f"{one.metric_title} on {place}", one.special_detail]
    alike = [
        other
        for other in study.trajectories
        if (other.run, *other.benchmark, other.texts, *other.number_key)
        == (one.run, *one.benchmark, one.texts, *one.number_key)
    ]
    parts += [
        getattr(one, name)
        for name in ("split", "preprocess", "settings", "dtype")
        if len({getattr(other, name) for other in alike}) > 1
    ]
    if len({other.data_fingerprint for other in alike}) > 1:
        parts.append(f"data {one.data_fingerprint[:12]}")
    joined = ", ".join(filter(None, parts))
    return f"{joined[0].upper()}{joined[1:]}"


def _polar_words(one: Trajectory, study: Study) -> str:
    """Phase, turns and end of a metric between two poles."""
    term = one.term
    assert term.poles is not None
    assert term.neutral is not None
    usable, last = rows_of(one.usable), rows_of(one.points)[-1]
    beside = _beside_words(one, last.revision, study)
    if not usable and not one.points["defined"].any():
        return f"not defined at {_any_of(one)} ({last.note})."
    if not usable:
        return (
            f"{NOT_INTERPRETABLE} at {_any_of(one)}. The decisions that it rests on are {_AT_CHANCE}, or its "
            f"precondition fails: the values say nothing about {' or '.join(term.poles)}.{beside}"
        )
    if len(one.points) == 1:
        sentences = [f"{number_words(last)} at {_named(last)}.{beside}"]
    elif any(map(_has_interval, usable)):
        sentences = [
            f"{_phase_words(one, term.neutral, term.poles)}; {_turn_words(one, term.neutral, term.poles)}."
        ]
    else:
        sentences = [f"There are no intervals to show a {term.poles[0]} phase or a turn."]
    if len(one.points) > 1 and last.usable:
        sentences.append(f"It ends at {number_words(last)}, {last.revision}.{beside}")
    elif not last.usable:
        sentences.append(f"At the last revision, {last.revision}, it is {NOT_INTERPRETABLE}.{beside}")
    silent = [point.revision for point in rows_of(one.points) if point.defined and not point.usable]
    if silent and last.usable:
        sentences.append(f"{NOT_INTERPRETABLE.capitalize()}: {listed(silent)}.")
    if one.human is not None and last.usable:
        sentences.append(f"Human observers: {one.human:g}.")
    return " ".join(sentences)


def _any_of(one: Trajectory) -> str:
    n = len(one.points)
    return "its only revision" if n == 1 else f"any of {n} revisions"


def _phase_words(one: Trajectory, neutral: float, poles: Sequence[str]) -> str:
    """A phase takes two revisions in a row: near chance, single ones come and go with the class prior."""
    below = phases(one, neutral)
    if not below:
        return f"no {poles[0]} phase (no interpretable revision has its interval below {neutral:g})"
    found = [stretch for stretch in below if len(stretch) > 1]
    if not found:
        places = ", ".join(f"{number_words(point)} at {point.revision}" for (point,) in below)
        return (
            f"an interval below {neutral:g} only at single revisions ({places}), which is no {poles[0]} phase"
        )
    lowest = min((point for stretch in found for point in stretch), key=lambda point: float(point.value))
    stretches = [f"{one[0].revision} to {one[-1].revision}, {len(one)} revisions" for one in found]
    several = f"{len(found)} {poles[0]} phases" if len(found) > 1 else f"a {poles[0]} phase"
    # The smallest of several noisy numbers is biased downwards, hence called what it is.
    return (
        f"{several} ({'; '.join(stretches)} with intervals below {neutral:g}), lowest observed value "
        f"{number_words(lowest)} at {lowest.revision}"
    )


def _turn_words(one: Trajectory, neutral: float, poles: Sequence[str]) -> str:
    found = turns(one, neutral)
    if not found:
        return "no significant turn"
    words = []
    for turn in found:
        between = turn.after.order - turn.before.order - 1
        gap = f" ({between} undecided in between)" if between else ""
        words.append(
            f"to {poles[turn.upwards]} between {turn.before.revision} and {turn.after.revision}{gap}"
        )
    return f"it turns {', then '.join(words)}"


def _beside_words(one: Trajectory, revision: str, study: Study) -> str:
    """The metric that the number rests on, at the same revision, with its references."""
    wanted = replace(one, metric=one.term.rests_on)
    other = next((other for other in study.trajectories if other == wanted), None)
    if other is None:
        return ""
    point = _at(other, revision)
    if point is None or not point.defined:
        return ""
    beside = [
        f"{scale.reference_terms.title} {at.value:.3f}"
        for scale in other.references
        if (at := _at(scale, revision)) is not None and at.defined
    ]
    title = other.term.title
    scales = f"; {', '.join(beside)}" if beside else ""
    return f" {title[0].upper()}{title[1:]} there: {number_words(point)}{scales}."


def _at(one: Trajectory, revision: str) -> Any:
    return next(iter(rows_of(one.points[one.points["revision"] == revision])), None)


def _trend_words(one: Trajectory, panel: Panel) -> str:
    points = rows_of(one.usable)
    if not points:
        state = NOT_INTERPRETABLE if one.points["defined"].any() else "not defined"
        return f"{state} at {_any_of(one)} ({rows_of(one.points)[-1].note})."
    first, last = points[0], points[-1]
    chances = (
        line.trajectory.usable["value"] for line in panel.references if line.trajectory.role == "chance"
    )
    chance = next((float(values.iloc[0]) for values in chances if len(values)), None)
    scale = "" if chance is None else f"; chance is {chance:.3g}"
    change = "" if first is last else _change_words(first, last, chance)
    if chance is not None and last.ci_high < chance:
        scale += ", and the whole interval of the last value is below it"
    elif chance is not None and _is_within(chance, last) and change != _BOTH_AT_CHANCE:
        scale += f", and the last value is {_AT_CHANCE}"
    if first is last:
        return f"{number_words(last)} at {_named(last)}{scale}."
    return (
        f"from {number_words(first, count=False)} at {_named(first)} to {number_words(last)} at {_named(last)}, "
        f"{change}{scale}."
    )


def _has_interval(point: Any) -> bool:
    return math.isfinite(point.ci_low) and math.isfinite(point.ci_high)


def _is_within(level: float, point: Any) -> bool:
    return bool(point.ci_low <= level <= point.ci_high)


def _named(point: Any) -> str:
    return f"{point.revision} (untrained)" if point.step == 0 else str(point.revision)
