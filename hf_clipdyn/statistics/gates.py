"""Gates and control arms: whether a claim can be tested, and whether the instrument is to be trusted.

A gate looks at fixed windows, in every run of its arms. It never chooses which revisions enter.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_clipdyn.errors import counted
from hf_clipdyn.statistics.claims import GatePlan, PartPlan
from hf_clipdyn.statistics.contrasts import Estimate
from hf_clipdyn.statistics.evidence import CONFIDENCE, Evidence
from hf_clipdyn.statistics.trajectories import Trajectory
from hf_clipdyn.statistics.windows import RunValues, Window, place


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A condition for a claim to be testable, or a control arm.

    Attributes:
        title: in words.
        passed: None if it was not measured, or, of a control arm, if its interval decides nothing.
        words: what was found.
        readout: of the claim, if it concerns one of its readouts only.
    """

    title: str
    passed: bool | None
    words: str
    readout: str = ""


def gate(plan: GatePlan, evidence: Evidence, windows: Mapping[str, Window], scale: str | None = None) -> Gate:
    """A gate in all runs of its arms that count; each of them must pass."""
    of_arms = {arm: evidence.runs(arm, scale=scale) for arm in plan.arms}
    for arm, found in of_arms.items():
        if arm and not found:
            words = f"not measured: no run of the arm {arm!r}"
            return Gate(title=plan.title, passed=None, words=words, readout=plan.readout)
    runs = {name: of for found in of_arms.values() for name, of in found.items()}
    causes = {run: _failure(plan, evidence, windows, members) for run, members in runs.items()}
    missing = [run for run, cause in causes.items() if cause is None]
    if missing or not runs:
        where = f" in {missing[0]}" if 0 < len(missing) < len(runs) else ""
        name = f"{plan.endpoint.benchmark} {plan.endpoint.metric}"
        return Gate(title=plan.title, passed=None, words=f"not measured{where}: {name}", readout=plan.readout)
    failures = [f"{run}: {cause}" for run, cause in causes.items() if cause]
    if failures:
        more = f", and in {counted(len(failures) - 1, 'other run')}" if len(failures) > 1 else ""
        words = f"failed in {failures[0]}{more}"
        return Gate(title=plan.title, passed=False, words=words, readout=plan.readout)
    words = f"passed in {counted(len(runs), 'run')}"
    return Gate(title=plan.title, passed=True, words=words, readout=plan.readout)


def _failure(
    plan: GatePlan, evidence: Evidence, windows: Mapping[str, Window], run: Sequence[Trajectory]
) -> str | None:
    """Why a run does not pass; empty if it does, None if the number was not measured."""
    if plan.rule == "common conditions":
        return _too_few(plan, run)
    (values,) = evidence.values(plan.endpoint, [run[0].run])
    if values.cause:
        return None
    for name in plan.windows:
        weights, note = place(windows[name], evidence.places[values.run])
        if not weights:
            return note
        if cause := _closes(plan, values, weights):
            return f"{cause} ({name})"
    return ""


def _too_few(plan: GatePlan, run: Sequence[Trajectory]) -> str | None:
    """Compare the number of conditions, or of levels, at which the number is defined in all revisions of a run."""
    varied = ("condition", "parameter") if plan.endpoint.condition == "" else ("parameter",)
    fitting = [trajectory for trajectory in run if plan.endpoint.names(trajectory, but=varied)]
    if not fitting:
        return None
    revisions = {revision for one in fitting for revision in one.points["revision"]}
    separate = [one for one in fitting if one.condition or one.level is not None]
    n = sum(set(one.usable["revision"]) == revisions for one in separate)
    return "" if n >= plan.at_least else f"{n} of at least {plan.at_least:g} are common to all revisions"


def _closes(plan: GatePlan, values: RunValues, revisions: Mapping[str, float]) -> str:
    """Why a window does not pass: a value is not interpretable, or the mean is too low; empty if it passes."""
    if plan.rule == "interpretable":
        for revision in revisions:
            if revision not in values.readings:
                return f"not measured at {revision}"
            if cause := values.readings[revision].cause:
                return f"{cause} at {revision}"
        return ""
    weights = np.array(list(revisions.values()))
    mean = float(values.values.reindex(list(revisions)).to_numpy() @ weights)
    if math.isnan(mean):
        return "no value"
    if plan.rule == "at least":
        return "" if mean >= plan.at_least else f"{mean:.3g} is below {plan.at_least:g}"
    for title, level in _levels(plan, values):
        if math.isnan(level):
            return f"{title} was not measured"
        if plan.rule == "above chance" and not mean >= plan.at_least * level:
            return f"{mean:.3g} is below {plan.at_least:g} times chance, {plan.at_least * level:.3g}"
        if plan.rule == "above baseline" and not mean > level:
            return f"{mean:.3g} is not above {title}, {level:.3g}"
        if plan.rule == "above null" and not values.beats_null(mean):
            return f"{mean:.3g} is no better than {title}, {level:.3g}"
    return ""


def _levels(plan: GatePlan, values: RunValues) -> Iterator[tuple[str, float]]:
    """The chance level, the null, or the baselines, that the endpoint's values refer to."""
    if plan.rule == "above null":
        yield values.null
        return
    wanted = {"": "chance"} if plan.rule == "above chance" else dict.fromkeys(plan.baselines, "baseline")
    references = [reference for part in values.parts for reference in part.references]
    for name, role in wanted.items():
        fitting = [one for one in references if one.role == role and name in ("", one.reference)]
        if not fitting:
            yield name or role, math.nan
        for one in fitting:
            yield one.reference_terms.title, float(one.points["value"].mean())


def control(plan: PartPlan, evidence: Evidence, windows: Mapping[str, Window], confidence: float) -> Gate:
    """Whether a control arm shows what it must, by the interval of its contrast.

    Args:
        plan: of the control, with its arm and what it expects.
        evidence, windows: of the claim.
        confidence: level of the claim's intervals. The rule may give controls a one-sided interval at 95 % instead,
            since their sign is registered; the two-sided one is then only shown.
    """
    title = plan.contrast.title
    if not evidence.runs(plan.arm):
        return Gate(title=title, passed=None, words=f"not measured: no run of the arm {plan.arm!r}")
    runs = evidence.part(plan, windows)
    shown = evidence.combined(runs, confidence)
    one_sided = evidence.claims.decides.one_sided_controls
    decides = evidence.combined(runs, 2 * CONFIDENCE - 1) if one_sided else shown
    low, high = decides.ci_low, decides.ci_high
    if math.isnan(low):
        return Gate(title=title, passed=None, words=f"not measured: {shown.cause or 'there is no interval'}")
    words = f"{shown.value:.3f} [{shown.ci_low:.3f}, {shown.ci_high:.3f}]"
    if one_sided:
        side = f"above {low:.3f}" if plan.expects == "positive" else f"below {high:.3f}"
        words += f", one-sided {100 * CONFIDENCE:g} %: {side}"
    passed = _as_expected(plan, decides)
    return Gate(title=title, passed=passed, words=f"not decided: {words}" if passed is None else words)


def _as_expected(plan: PartPlan, estimate: Estimate) -> bool | None:
    """Whether the interval lies on the side that the control expects; None if it includes the limit."""
    low, high = estimate.ci_low, estimate.ci_high
    if plan.expects == "positive":
        return True if low > 0 else False if high <= 0 else None
    limit = plan.contrast.smallest_effect if plan.expects == "no effect" else 0.0
    return None if low < limit <= high else high < limit
