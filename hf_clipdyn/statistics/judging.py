"""Verdicts: what the tables say about each claim, by the rule that was registered before the runs.

Contrasts are oriented so that positive favours the claim. With [L, U] the interval at level 1 - α/k for the k testable
claims, and δ the smallest effect of interest:

=========================== =================================
holds                       L >= δ
right direction, size open  0 < L < δ <= U
negligible                  the interval lies inside (-δ, δ)
contradicted                U <= -δ
undecided                   else
=========================== =================================

Gates decide whether a claim is testable, over fixed windows; they never choose which revisions enter. Control arms
decide whether the instrument is to be trusted. Seeds that tuned the world never enter. Correlations of two trajectories
within a run are never tested: trends always correlate.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from operator import add
from typing import Literal

import numpy as np
from scipy import special

from hf_clipdyn.errors import EvaluationError, counted
from hf_clipdyn.statistics.claims import Claim, ClaimTest, GatePlan, PartPlan
from hf_clipdyn.statistics.contrasts import AgainstNull, Contrast, Estimate, RunContrast, combine
from hf_clipdyn.statistics.evidence import Evidence
from hf_clipdyn.statistics.trajectories import Trajectory
from hf_clipdyn.statistics.windows import RunValues, Window, place

__all__ = [
    "NO_VERDICT",
    "Gate",
    "Part",
    "Verdict",
    "Word",
    "gate",
    "judge",
    "minimum_detectable_effect",
    "null_notes",
    "word_of",
]

Word = Literal[
    "holds",
    "right direction, size open",
    "negligible",
    "contradicted",
    "undecided",
    "gate failed",
    "not testable here",
]

NO_VERDICT: tuple[Word, ...] = ("not testable here", "gate failed")
"""The words that judge nothing."""

_NOT_HERE, _GATE_FAILED = NO_VERDICT
_SIZE_OPEN: Word = "right direction, size open"
_AGAINST: tuple[Word, ...] = ("contradicted", "negligible")
_NOT_INFORMATIVE = "not informative"
_SEARCHED = "The peak was searched in these seeds themselves, so its contrasts are too large."
_POWER = 0.8


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


@dataclass(frozen=True, kw_only=True)
class Part:
    """One contrast of a claim, and what the rule says about it.

    Attributes:
        contrast: with δ in ``smallest_effect``; positive favours the claim.
        estimate: of the contrast, with its interval.
        verdict: by the rule above.
        title: in words.
        scale: the only scale of the estimate; empty for all scales together.
    """

    contrast: Contrast
    estimate: Estimate
    verdict: Word
    title: str = ""
    scale: str = ""

    @property
    def minimum_detectable_effect(self) -> float:
        """See the function of that name; NaN without a standard error."""
        estimate = self.estimate
        return minimum_detectable_effect(
            estimate.standard_error, estimate.degrees_of_freedom, estimate.confidence_level
        )

    @property
    def sign(self) -> int | None:
        """1 if the interval lies above 0, -1 if it lies below, 0 if it includes 0; None without an interval."""
        low, high = self.estimate.ci_low, self.estimate.ci_high
        return None if math.isnan(low) else int(low > 0) - int(high < 0)

    @property
    def excludes_delta(self) -> str:
        """On which side the interval excludes effects of δ or more; empty without an interval.

        `favourable`: U < δ. `unfavourable`: L > -δ. `both`, or `neither`.
        """
        low, high, limit = self.estimate.ci_low, self.estimate.ci_high, self.contrast.smallest_effect
        if math.isnan(low):
            return ""
        names = {(True, True): "both", (True, False): "favourable", (False, True): "unfavourable"}
        return names.get((high < limit, low > -limit), "neither")

    @property
    def against_null(self) -> AgainstNull | None:
        """The values of all its runs beside the null of the number; None if there is none."""
        runs = [run for run in self.estimate.runs if run.scale in self.estimate.scales]
        known = [run.against_null for run in runs if run.against_null is not None]
        return reduce(add, known) if known and len(known) == len(runs) else None

    @property
    def informative(self) -> bool:
        """False if most values that the contrast reads are no better than the null of their number."""
        against = self.against_null
        return against is None or 2 * against.n_no_better <= against.n

    @property
    def words(self) -> str:
        """The registered word, with "not informative" where that is so."""
        return self.verdict if self.informative else f"{self.verdict}, {_NOT_INFORMATIVE}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one study says about one claim.

    Attributes:
        claim: number, title and tests.
        study: its name in the claims' file.
        verdict: of all parts together.
        cause: why, if a gate failed, if it is not testable here, or if it is undecided; may be empty.
        parts: its contrasts; also where the verdict does not use them, such as from tuning seeds.
        gates: gates and control arms.
        evidence: False for a positive control, which holds by construction.
        notes: what a reader must know beside the verdict.
        deviations: from the registered plan, of the study and of the claim.
    """

    claim: Claim
    study: str
    verdict: Word
    cause: str = ""
    parts: tuple[Part, ...] = ()
    gates: tuple[Gate, ...] = ()
    evidence: bool = True
    notes: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The registered word, with "not informative" if that is so of all parts."""
        silent = self.verdict in NO_VERDICT or not self.parts or any(part.informative for part in self.parts)
        return self.verdict if silent else f"{self.verdict}, {_NOT_INFORMATIVE}"


def word_of(low: float, high: float, smallest_effect: float) -> Word:
    """The verdict of the rule for one interval; undecided for NaN.

    Args:
        low, high: the ends of the interval, oriented so that positive favours the claim.
        smallest_effect: δ, above 0.

    Examples:
        >>> from hf_clipdyn.statistics.judging import word_of
        >>> word_of(0.01, 0.09, 0.05)
        'right direction, size open'
    """
    if low >= smallest_effect:
        return "holds"
    if high <= -smallest_effect:
        return "contradicted"
    if -smallest_effect < low and high < smallest_effect:
        return "negligible"
    if low > 0 and smallest_effect <= high:
        return "right direction, size open"
    return "undecided"


def minimum_detectable_effect(standard_error: float, degrees_of_freedom: float, confidence: float) -> float:
    """The true effect that reaches L > 0 with a power of about 80 %: (t_{1-α/2} + t_{.8}) SE.

    L > 0 shows the direction; to reach L >= δ ("holds") with that power, the true effect must be δ larger. The sum of
    quantiles is an approximation, and the power is lower where there are few degrees of freedom, by the noncentral t:

    ================== ===== ===== =====
    degrees of freedom 2     4     12
    ================== ===== ===== =====
    intervals of 95 %  77 %  79 %  80 %
    intervals of 99 %  70 %  75 %  79 %
    ================== ===== ===== =====

    Args:
        standard_error: of the contrast.
        degrees_of_freedom: of Student's t.
        confidence: level of the interval, 1 - α.

    Returns:
        In units of the contrast; NaN without a standard error.
    """
    if not (math.isfinite(standard_error) and degrees_of_freedom > 0):
        return math.nan
    quantiles = special.stdtrit(degrees_of_freedom, [(1 + confidence) / 2, _POWER])
    return float(quantiles.sum() * standard_error)


def judge(evidence: Evidence) -> list[Verdict]:
    """The verdict on each claim, in the order of the claims' file."""
    return [_judged(claim, evidence) for claim in evidence.claims.claims]


def _judged(claim: Claim, evidence: Evidence) -> Verdict:
    test = claim.test(evidence.study)
    draft = Verdict(
        claim=claim, study=evidence.study, verdict=_NOT_HERE, evidence=test.evidence, notes=test.notes
    )
    if not test.testable:
        return replace(draft, cause=test.cause)
    for part in test.parts:
        if part.contrast.endpoint.benchmark not in evidence.benchmarks:
            return replace(draft, cause=f"{part.contrast.endpoint.benchmark} is not in the tables")
    try:
        windows = evidence.windows(test)
    except EvaluationError as error:
        return replace(draft, cause=str(error))
    scale = _scale_of_arms(test, evidence, windows)
    gates = (
        *(gate(plan, evidence, windows, scale) for plan in test.gates),
        *(_control(plan, evidence, windows) for plan in test.controls),
    )
    parts = (_every_scale if test.rule == "every scale" else _all_parts)(test, evidence, windows, scale)
    notes, deviations = [*test.notes, *filter(None, [evidence.left_out])], tuple[str, ...]()
    if evidence.why_not:
        parts = tuple(replace(part, verdict=_NOT_HERE) for part in parts)
        notes += [_SEARCHED] if evidence.located(test) else []
        word, cause = _NOT_HERE, evidence.why_not
    else:
        word, cause = _whole(test, evidence, gates, parts)
        deviations = (*evidence.plan.deviations, *test.deviations)
    # What intervals leave out is said once.
    cautions = dict.fromkeys(note for part in parts for note in part.estimate.notes)
    return replace(
        draft,
        verdict=word,
        cause=cause,
        parts=parts,
        gates=gates,
        notes=(*notes, *cautions, *null_notes(parts)),
        deviations=deviations,
    )


def null_notes(parts: Sequence[Part]) -> list[str]:
    """For each number, which contrasts read values that are mostly no better than its null."""
    silent: dict[str, list[str]] = {}
    for part in parts:
        if not part.informative and (against := part.against_null):
            endpoint = part.contrast.endpoint
            words = f"{endpoint.benchmark} {endpoint.metric} is no better than its null ({against.null})"
            silent.setdefault(words, []).append(
                f"{against.n_no_better} of {against.n} values of: {part.title}"
            )
    return [
        f"{_NOT_INFORMATIVE.capitalize()}: {words} in {'; '.join(shares)}."
        for words, shares in silent.items()
    ]


def _scale_of_arms(test: ClaimTest, evidence: Evidence, windows: Mapping[str, Window]) -> str | None:
    """Of a claim about two arms, the smallest scale of both that passes the gates; None for all scales."""
    arms = {arm for part in test.parts if part.minus_arm is not None for arm in part.arms}
    if not arms:
        return None
    scales = [set(evidence.scales(arm)) for arm in arms]
    common = [scale for scale in evidence.scales() if all(scale in of_arm for of_arm in scales)]
    for scale in common:
        if all(gate(plan, evidence, windows, scale).passed for plan in test.gates):
            return scale
    return common[0] if common else None


def _part(
    contrast: Contrast, estimate: Estimate, evidence: Evidence, *, title: str = "", scale: str = ""
) -> Part:
    word = word_of(estimate.ci_low, estimate.ci_high, contrast.smallest_effect)
    if math.isnan(estimate.value):
        word = _NOT_HERE
    elif evidence.plan.confirmatory_seeds and _has_one_seed(estimate):
        word = "undecided"
    return Part(
        contrast=contrast, estimate=estimate, verdict=word, title=title or contrast.title, scale=scale
    )


def _has_one_seed(estimate: Estimate) -> bool:
    """Whether the interval is one over items alone."""
    return estimate.n_seeds == len(estimate.scales)


def _all_parts(
    test: ClaimTest, evidence: Evidence, windows: Mapping[str, Window], scale: str | None
) -> tuple[Part, ...]:
    parts = []
    for plan in test.parts:
        estimate = _combined(evidence.part(plan, windows, scale), evidence, plan)
        if test.observers:
            estimate = evidence.with_people(estimate, plan.contrast.endpoint)
        parts.append(_part(plan.contrast, estimate, evidence, scale=scale or ""))
    return tuple(parts)


def _combined(runs: Sequence[RunContrast], evidence: Evidence, plan: PartPlan) -> Estimate:
    """The estimate over runs; without any, the cause."""
    if runs:
        return combine(runs, evidence.confidence)
    cause = f"no scale and seed has runs of both arms ({', '.join(arm or 'main' for arm in plan.arms)})"
    missing = next((arm for arm in plan.arms if not evidence.runs(arm)), None)
    if missing is not None:
        cause = f"no run of the arm {missing!r} counts" if missing else "no run of the main arm counts"
    return Estimate(value=math.nan, confidence_level=evidence.confidence, cause=cause)


def _every_scale(
    test: ClaimTest, evidence: Evidence, windows: Mapping[str, Window], _: str | None
) -> tuple[Part, ...]:
    """The contrast over all scales, at each scale, and between any two scales.

    The variance between seeds is pooled within scales. A difference of two scales has δ = half of the pooled effect; it
    is negligible if its interval lies inside.
    """
    (plan,) = test.parts
    contrast, runs = plan.contrast, evidence.part(plan, windows)
    pooled = _combined(runs, evidence, plan)
    parts = [_part(contrast, pooled, evidence, title=f"{contrast.title}, all scales")]
    scales = evidence.scales(plan.arm)
    if math.isnan(pooled.value) or len(scales) < 2:
        return tuple(parts)

    def weighted(weights: Mapping[str, float]) -> Estimate:
        """A weighted sum of scales; its seeds and scales are those that have a weight."""
        estimate = combine(runs, evidence.confidence, scales=weights)
        return replace(
            estimate,
            n_seeds=sum(run.scale in weights for run in runs),
            scales=tuple(name for name in estimate.scales if name in weights),
        )

    for name in scales:
        title = f"{contrast.title}, {name}"
        parts.append(_part(contrast, weighted({name: 1.0}), evidence, title=title, scale=name))
    half = replace(contrast, constant=0.0, smallest_effect=max(abs(pooled.value) / 2, 1e-9))
    for smaller, larger in combinations(scales, 2):
        title = f"{larger} - {smaller}, within half of the effect"
        parts.append(_part(half, weighted({larger: 1.0, smaller: -1.0}), evidence, title=title))
    return tuple(parts)


def _whole(
    test: ClaimTest, evidence: Evidence, gates: Sequence[Gate], parts: Sequence[Part]
) -> tuple[Word, str]:
    """The verdict of a whole claim, and its cause."""
    n_runs = len(evidence.runs())
    if n_runs < test.fewest_runs:
        return "undecided", (
            f"{counted(n_runs, 'independent run')}; results are only descriptive below {test.fewest_runs}"
        )
    for passed, word in ((None, _NOT_HERE), (False, _GATE_FAILED)):
        for condition in gates:
            if condition.passed is passed:
                return word, f"{condition.title}: {condition.words}"
    if test.rule == "every scale":
        return _same_at_every_scale(parts)
    if test.rule == "first part first":
        first = [part for part in parts if part.contrast.endpoint == parts[0].contrast.endpoint]
        failed = next((part for part in first if part.verdict != "holds"), None)
        if failed and not any(part.verdict == _NOT_HERE for part in first):
            return (
                "undecided",
                f"{failed.title}: {failed.verdict}; the other parts require this one to hold",
            )
    return _together(parts)


def _together(parts: Sequence[Part]) -> tuple[Word, str]:
    """All parts must hold; one that is negligible or contradicted is enough against the claim."""
    by_word: dict[Word, Part] = {}  # the first part with each word
    for part in parts:
        by_word.setdefault(part.verdict, part)
    for word in _AGAINST:
        if word in by_word:
            return word, by_word[word].title if len(parts) > 1 else ""
    for word in (_NOT_HERE, "undecided"):
        if word in by_word:
            return word, _cause_of(by_word[word])
    return ("holds" if set(by_word) == {"holds"} else _SIZE_OPEN), ""


def _cause_of(part: Part) -> str:
    cause = part.estimate.cause
    if not cause and part.verdict == "undecided" and _has_one_seed(part.estimate):
        cause = "one seed: the variance between seeds is unknown"
    return f"{part.title}: {cause}" if cause else ""


def _same_at_every_scale(parts: Sequence[Part]) -> tuple[Word, str]:
    """The effect has its direction at every scale, and no two scales differ by more than half of it."""
    pooled, *rest = parts
    if pooled.verdict == _NOT_HERE:
        return _NOT_HERE, _cause_of(pooled)
    if not rest:
        return _NOT_HERE, "the tables have one scale"
    scales = [part for part in rest if part.scale]
    differences = [part for part in rest if not part.scale]
    word, cause = _together(scales)
    if word in _AGAINST:
        return word, cause
    if not all(part.estimate.ci_low > 0 for part in scales):
        return "undecided", cause
    for part in differences:
        limit = part.contrast.smallest_effect
        if part.estimate.ci_low >= limit or part.estimate.ci_high <= -limit:
            return "contradicted", f"{part.title}: the scales differ by more"
    if all(part.verdict == "negligible" for part in differences):
        return "holds", ""
    return _SIZE_OPEN, "the effect has its direction at every scale; how much the scales differ is open"


def gate(plan: GatePlan, evidence: Evidence, windows: Mapping[str, Window], scale: str | None = None) -> Gate:
    """A gate in all runs of the main arm that count; each of them must pass."""
    runs = evidence.runs(scale=scale)
    causes = {run: _failure(plan, evidence, windows, members) for run, members in runs.items()}
    missing = [run for run, cause in causes.items() if cause is None]
    if missing or not runs:
        where = f" in {missing[0]}" if 0 < len(missing) < len(runs) else ""
        name = f"{plan.endpoint.benchmark} {plan.endpoint.metric}"
        return Gate(title=plan.title, passed=None, words=f"not measured{where}: {name}")
    failures = [f"{run}: {cause}" for run, cause in causes.items() if cause]
    if failures:
        more = f", and in {counted(len(failures) - 1, 'other run')}" if len(failures) > 1 else ""
        return Gate(title=plan.title, passed=False, words=f"failed in {failures[0]}{more}")
    return Gate(title=plan.title, passed=True, words=f"passed in {counted(len(runs), 'run')}")


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


def _control(plan: PartPlan, evidence: Evidence, windows: Mapping[str, Window]) -> Gate:
    """Whether a control arm shows what it must, by the interval of its contrast."""
    title = plan.contrast.title
    if not evidence.runs(plan.arm):
        return Gate(title=title, passed=None, words=f"not measured: no run of the arm {plan.arm!r}")
    estimate = combine(evidence.part(plan, windows), evidence.confidence)
    low, high = estimate.ci_low, estimate.ci_high
    if math.isnan(low):
        return Gate(
            title=title, passed=None, words=f"not measured: {estimate.cause or 'there is no interval'}"
        )
    words = f"{estimate.value:.3f} [{low:.3f}, {high:.3f}]"
    limit = plan.contrast.smallest_effect if plan.expects == "no effect" else 0.0
    if low < limit <= high:
        return Gate(title=title, passed=None, words=f"not decided: {words}")
    return Gate(title=title, passed=high < limit, words=words)
