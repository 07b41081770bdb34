"""What was found, in sentences that claim no more than the intervals bear out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hf_clipdyn.report.gather import UNJUDGED
from hf_clipdyn.report.overview import overview_panels
from hf_clipdyn.report.plan import Line, Panel, plan_charts
from hf_clipdyn.report.trajectories import Point, Trajectory, sibling, stem, turns
from hf_clipdyn.report.vocabulary import FINAL_TEXT, HUMAN_SHAPE_BIAS, metric_words, place_words

__all__ = ["Finding", "alternative_words", "change_words", "find", "limits", "number_words"]

_INTERVALS = (
    "The 95 % intervals are over the items of each benchmark, under their clustering; they contain "
    "neither the noise of another seed nor that of another checkpoint."
)


@dataclass(frozen=True)
class Finding:
    """What was found on one question for one run, as a phrase to follow a colon."""

    question: str
    run: str
    words: str


def find(trajectories: Sequence[Trajectory]) -> list[Finding]:
    """One finding for each question and run, the shape bias first.

    A ratio near chance is never given as a finding, a change only where the intervals of the first
    and the last revision do not overlap, and no peak is claimed at all: that takes a second half of
    the items and several seeds.
    """
    found = [
        Finding(_question(one, trajectories), one.run, _shape_bias_words(one, trajectories))
        for one in trajectories
        if stem(one.metric) == "shape_bias" and not one.metric.endswith(FINAL_TEXT)
    ]
    for panels in overview_panels(plan_charts(trajectories)):
        for panel in panels:
            found += [
                Finding(
                    _question(line.trajectory, trajectories), line.trajectory.run, _trend_words(line, panel)
                )
                for line in panel.lines
                if stem(line.trajectory.metric) != "shape_bias"
            ]
    return found


def limits(trajectories: Sequence[Trajectory]) -> str:
    """What the intervals of a report do not contain."""
    runs = {one.run for one in trajectories}
    spread = (
        "There is one run: how far another seed would lie from it is not known."
        if len(runs) == 1
        else f"There are {len(runs)} runs; the distance between them is not part of any interval."
    )
    return f"{_INTERVALS} {spread}"


def number_words(point: Point, *, count: bool = True) -> str:
    """``0.842 [0.811, 0.873] (n = 1,000)``: value, interval and items."""
    if not point.defined:
        return "not defined"
    words = f"{point.value:.3f}"
    if _has_interval(point):
        words += f" [{point.low:.3f}, {point.high:.3f}]"
    if count and math.isfinite(point.n):
        words += f" (n = {point.n:,.0f})"
    return words


def alternative_words(title: str, lines: Sequence[Line]) -> str:
    """What a screen reader says of a figure: where each line starts, where it ends."""
    told = []
    for line in lines:
        points = line.trajectory.usable
        if not points:
            told.append(f"{line.label}: nothing interpretable.")
        elif len(points) == 1:
            told.append(f"{line.label}: {number_words(points[0], count=False)} at {points[0].revision}.")
        else:
            first, last = points[0], points[-1]
            told.append(
                f"{line.label}: from {number_words(first, count=False)} at {first.revision} "
                f"to {number_words(last, count=False)} at {last.revision}."
            )
    return f"{title.replace(chr(10), ', ')}. {' '.join(told)}"


def change_words(first: Point, last: Point) -> str:
    """Whether a number changed, as far as two intervals tell."""
    if not (_has_interval(first) and _has_interval(last)):
        return "without the intervals that tell whether this is a change"
    if last.low > first.high:
        return "a rise"
    if last.high < first.low:
        return "a fall"
    return "no change that the intervals bear out"


def _question(one: Trajectory, everything: Sequence[Trajectory]) -> str:
    """What was measured where: ``Shape bias on the synthetic world (procedural)``.

    A probe other than the projection is named, and whatever sets the number apart from others of its run.
    """
    words = [f"{metric_words(one.metric)} on {place_words(one.benchmark)}"]
    if "sigma" in one.group:
        words.append(one.group.replace("=", " "))
    if one.probe not in ("", "projection"):
        words.append(one.probe.replace("_", " ") + ("" if one.layer is None else f", layer {one.layer}"))
    alike = [other for other in everything if _place(other) == _place(one)]
    if len({other.preprocess for other in alike}) > 1:
        words.append(one.preprocess)
    if len({other.dtype for other in alike}) > 1:
        words.append(one.dtype)
    if len({other.data_fingerprint for other in alike}) > 1:
        words.append(f"data {one.data_fingerprint[:12]}")
    joined = ", ".join(words)
    return f"{joined[0].upper()}{joined[1:]}"


def _place(one: Trajectory) -> tuple[object, ...]:
    return one.run, one.benchmark, one.metric, one.probe, one.layer, one.group


def _shape_bias_words(one: Trajectory, everything: Sequence[Trajectory]) -> str:
    told, last = one.usable, one.points[-1]
    cues = _cue_words(one, last, everything)
    if not told and all(point.note == UNJUDGED for point in one.points):
        return f"not interpretable at {_any_of(one)}: {UNJUDGED}."
    if not told:
        return (
            f"not interpretable near chance at {_any_of(one)}. The decisions for either cue were "
            "not told from chance, or one class took half of all decisions; the ratio says nothing about shape or "
            f"texture.{cues}"
        )
    parts = [f"{_texture_phase_words(one)}; {_turn_words(one)}."]
    if not any(_has_interval(point) for point in told):
        parts = ["there are no intervals to tell a texture phase or a turn."]
    if last.usable:
        parts.append(f"It ends at {number_words(last)}, {last.revision}.{cues}")
    else:
        parts.append(f"At the last revision, {last.revision}, it is not interpretable near chance.{cues}")
    silent = [point.revision for point in one.points if not point.usable]
    if silent and last.usable:
        parts.append(f"Not interpretable near chance: {_listed(silent)}.")
    if one.benchmark == "shape_bias/cue_conflict" and last.usable:
        parts.append(f"Human observers: {HUMAN_SHAPE_BIAS}.")
    return " ".join(parts)


def _any_of(one: Trajectory) -> str:
    n = len(one.points)
    return "its one revision" if n == 1 else f"any of {n} revisions"


def _texture_phase_words(one: Trajectory) -> str:
    """A phase takes two revisions in a row: near chance, single ones come and go with the class prior."""
    below = [point for point in one.usable if point.high < 0.5]
    if not below:
        return "no texture phase (no interpretable revision has its interval below one half)"
    in_a_row = [
        point
        for point in below
        if any(abs(point.order - other.order) == 1 for other in below if other is not point)
    ]
    if not in_a_row:
        places = ", ".join(f"{number_words(point)} at {point.revision}" for point in below)
        return f"an interval below one half at single revisions only ({places}), which makes no texture phase"
    lowest = min(in_a_row, key=lambda point: point.value)
    # The smallest of several noisy numbers is biased downwards, hence said as what it is.
    return (
        f"a texture phase ({len(in_a_row)} revisions from {in_a_row[0].revision} to {in_a_row[-1].revision} have "
        f"their interval below one half), the lowest value seen {number_words(lowest)} at {lowest.revision}"
    )


def _turn_words(one: Trajectory) -> str:
    found = turns(one.points)
    if not found:
        return "no turn that the intervals bear out"
    words = []
    for turn in found:
        direction = "shape" if turn.upwards else "texture"
        between = turn.after.order - turn.before.order - 1
        gap = f" ({between} undecided in between)" if between else ""
        words.append(f"to {direction} between {turn.before.revision} and {turn.after.revision}{gap}")
    return f"it turns {', then '.join(words)}"


def _cue_words(one: Trajectory, point: Point, everything: Sequence[Trajectory]) -> str:
    """The cue accuracy beside the bias: what the ratio rests on."""
    beside = {
        name: next((found for found in other.points if found.revision == point.revision), None)
        for name in ("cue_accuracy", "null_cue_accuracy")
        for other in everything
        if (other.run, other.benchmark, other.data_fingerprint, other.preprocess, other.dtype, other.probe)
        == (one.run, one.benchmark, one.data_fingerprint, one.preprocess, one.dtype, one.probe)
        and other.metric == sibling(one.metric, name)
    }
    cue, null = beside.get("cue_accuracy"), beside.get("null_cue_accuracy")
    if cue is None or not cue.defined:
        return ""
    against = f", {null.value:.3f} with the decisions shuffled" if null is not None and null.defined else ""
    decided = f", {cue.value * cue.n:,.0f} decisions of {cue.n:,.0f}" if math.isfinite(cue.n) else ""
    return f" Cue accuracy there: {number_words(cue, count=False)}{decided}{against}."


def _trend_words(line: Line, panel: Panel) -> str:
    one = line.trajectory
    told = one.usable
    if not told:
        cause = one.points[-1].note or "no cause was recorded"
        return f"not defined at {_any_of(one)} ({cause})."
    first, last = told[0], told[-1]
    chance = next(
        (found.value for ref in panel.references if ref.label == "chance" for found in ref.trajectory.usable),
        None,
    )
    scale = "" if chance is None else f"; chance is {chance:.3g}"
    if chance is not None and last.high < chance:
        scale += ", above the whole interval of the last value"
    elif chance is not None and _has_interval(last) and not last.low > chance:
        scale += ", from which the last value is not told apart"
    if first is last:
        return f"{number_words(last)} at {_named(last)}{scale}."
    return (
        f"from {number_words(first, count=False)} at {_named(first)} to {number_words(last)} at {_named(last)}, "
        f"{change_words(first, last)}{scale}."
    )


def _has_interval(point: Point) -> bool:
    return math.isfinite(point.low) and math.isfinite(point.high)


def _named(point: Point) -> str:
    return f"{point.revision} (untrained)" if point.step == 0 else point.revision


def _listed(names: Sequence[str], most: int = 6) -> str:
    return (
        ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"
    )
