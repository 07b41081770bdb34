"""Gates and control arms: may a claim be tested with these runs, and is the instrument to be trusted?"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_clipdyn.errors import counted
from hf_clipdyn.statistics.alignment import Window, place
from hf_clipdyn.statistics.claims import ControlPlan, GatePlan
from hf_clipdyn.statistics.contrasts import combine
from hf_clipdyn.statistics.endpoints import Endpoint, RunValues
from hf_clipdyn.statistics.evidence import Evidence
from hf_clipdyn.statistics.trajectories import Trajectory

__all__ = ["Gate", "control", "gate"]

_SAME = ("kind", "dataset", "texts", "metric", "variant", "probe", "layer", "subset", "role", "reference")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A condition for a claim to be testable, or a control arm.

    Attributes:
        title: in words.
        passed: None if it was not measured, or, of a control arm, if its interval decides nothing.
        words: what was found.
    """

    title: str
    passed: bool | None
    words: str


def gate(plan: GatePlan, evidence: Evidence, windows: Mapping[str, Window], scale: str | None = None) -> Gate:
    """A gate in all runs of the main arm that count; each of them must pass."""
    runs = {run: held for run, held in evidence.runs().items() if scale in (None, held[0].scale)}
    found = {run: plan.endpoint.of(held)[run] for run, held in runs.items()}
    missing = [run for run, held in runs.items() if not _is_measured(plan, found[run], held)]
    if missing or not runs:
        where = f" in {missing[0]}" if 0 < len(missing) < len(runs) else ""
        name = f"{plan.endpoint.benchmark} {plan.endpoint.metric}"
        return Gate(title=plan.title, passed=None, words=f"not measured{where}: {name}")
    failures = {run: _failure(plan, evidence, windows, found[run], held) for run, held in runs.items()}
    failed = [f"{run}: {words}" for run, words in failures.items() if words]
    if failed:
        more = f", and in {counted(len(failed) - 1, 'other run')}" if len(failed) > 1 else ""
        return Gate(title=plan.title, passed=False, words=f"failed in {failed[0]}{more}")
    return Gate(title=plan.title, passed=True, words=f"passed in {counted(len(runs), 'run')}")


def _is_measured(plan: GatePlan, values: RunValues, run: Sequence[Trajectory]) -> bool:
    if plan.rule == "common conditions":
        return any(_fits(plan.endpoint, one) for one in run)
    return not values.cause


def _failure(
    plan: GatePlan,
    evidence: Evidence,
    windows: Mapping[str, Window],
    values: RunValues,
    run: Sequence[Trajectory],
) -> str:
    """Why a run does not pass; empty if it does."""
    if plan.rule == "common conditions":
        n = _common_conditions(plan.endpoint, run)
        return "" if n >= plan.at_least else f"{n} of at least {plan.at_least:g} are common to all revisions"
    for name in plan.windows:
        placed = place(windows[name], evidence.places[values.run])
        if placed.cause:
            return placed.cause
        words = (
            _uninterpretable(values, placed.weights)
            if plan.rule == "interpretable"
            else _too_low(plan, values, placed.weights)
        )
        if words:
            return f"{words} ({name})"
    return ""


def _uninterpretable(values: RunValues, revisions: Mapping[str, float]) -> str:
    table = values.table()
    for revision in revisions:
        if revision not in table.index:
            return f"not measured at {revision}"
        if cause := table.loc[revision, "cause"]:
            return f"{cause!s} at {revision}"
    return ""


def _too_low(plan: GatePlan, values: RunValues, revisions: Mapping[str, float]) -> str:
    """Compare the mean of a window with chance, with the null, or with each of the baselines."""
    mean = _mean(values, revisions)
    if math.isnan(mean):
        return "no value"
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


def _mean(values: RunValues, revisions: Mapping[str, float]) -> float:
    held = values.table()["value"].reindex(list(revisions)).to_numpy()
    return float(held @ np.array(list(revisions.values())))


def _levels(plan: GatePlan, values: RunValues) -> Iterator[tuple[str, float]]:
    """The chance level, the null, or the baselines, that the endpoint's values refer to."""
    if plan.rule == "above null":
        yield values.null
        return
    wanted = {"": "chance"} if plan.rule == "above chance" else dict.fromkeys(plan.baselines, "baseline")
    references = [one for part in values.parts for one in part.references]
    for name, role in wanted.items():
        fitting = [one for one in references if one.role == role and name in ("", one.reference)]
        if not fitting:
            yield name or role, math.nan
        for one in fitting:
            yield one.reference_terms.title, float(one.points["value"].mean())


def _common_conditions(endpoint: Endpoint, run: Sequence[Trajectory]) -> int:
    """The number of conditions, or of levels, at which the number is defined in all revisions of a run."""
    revisions = {revision for one in run if _fits(endpoint, one) for revision in one.points["revision"]}
    return sum(
        set(one.usable["revision"]) == revisions
        for one in run
        if _fits(endpoint, one) and not (one.condition == "" and one.level is None)
    )


def _fits(endpoint: Endpoint, one: Trajectory) -> bool:
    same = all(getattr(one, name) == getattr(endpoint, name) for name in _SAME)
    return same and endpoint.condition in ("", one.condition)


def control(plan: ControlPlan, evidence: Evidence, windows: Mapping[str, Window]) -> Gate:
    """Whether a control arm shows what it must, by the interval of its contrast."""
    title, contrast = plan.contrast.title, plan.contrast
    if not evidence.runs(plan.arm):
        return Gate(title=title, passed=None, words=f"not measured: no run of the arm {plan.arm!r}")
    found = combine(evidence.contrasts(contrast, windows, plan.arm), evidence.confidence)
    if math.isnan(found.ci_low):
        return Gate(title=title, passed=None, words=f"not measured: {found.cause or 'there is no interval'}")
    words = f"{found.value:.3f} [{found.ci_low:.3f}, {found.ci_high:.3f}]"
    limit = contrast.smallest_effect if plan.expects == "no effect" else 0.0
    shown = found.ci_high < limit
    refuted = found.ci_low >= limit
    if not (shown or refuted):
        return Gate(title=title, passed=None, words=f"not decided: {words}")
    return Gate(title=title, passed=shown, words=words)
