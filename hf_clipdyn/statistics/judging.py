"""Verdicts: what the tables say about each claim, by the rule that was registered before the runs.

Contrasts are oriented so that positive favours the claim. Each has an interval at level 1 - α/k, for the k testable
claims of its family, and a smallest effect δ; `hf_clipdyn.statistics.rules` says which word it gets.

Gates and control arms (`hf_clipdyn.statistics.gates`) come first. Seeds that tuned the world never enter. Correlations
of two trajectories within a run are never tested: trends always correlate.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from operator import add

from scipy import special

from hf_clipdyn.errors import EvaluationError, counted
from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.statistics.claims import Claim, ClaimTest, PartPlan, Sensitivity
from hf_clipdyn.statistics.contrasts import AgainstNull, Contrast, Estimate, RunContrast, weighted
from hf_clipdyn.statistics.evidence import Evidence
from hf_clipdyn.statistics.gates import Gate, control, gate
from hf_clipdyn.statistics.power import detectable_effect
from hf_clipdyn.statistics.rules import (
    GATE_FAILED,
    NO_VERDICT,
    NOT_HERE,
    RULES,
    UNDECIDED,
    RuleName,
    Word,
    together,
    weaker,
)
from hf_clipdyn.statistics.windows import Window

__all__ = [
    "NO_VERDICT",
    "Difference",
    "Gate",
    "Part",
    "Readout",
    "Verdict",
    "Word",
    "gate",
    "judge",
    "minimum_detectable_effect",
    "null_notes",
    "word_of",
]

_SIZE_OPEN: Word = "right direction, size open"
_NOT_INFORMATIVE = "not informative"
_SEARCHED = "The peak was searched in these seeds themselves, so its contrasts are too large."
_POWER = 0.8
_FIXED = Influence.unknown("the items are held fixed")
_OTHER: Mapping[Word, str] = {
    **dict.fromkeys(UNDECIDED, "the other undecided"),
    GATE_FAILED: "the gate of the other failed",
    NOT_HERE: "the other not testable",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One contrast of a claim, and what the rule says about it.

    Attributes:
        contrast: with δ in ``smallest_effect``; positive favours the claim.
        estimate: of the contrast, with its interval.
        verdict: by the rule of the file.
        title: in words.
        scale: the only scale of the estimate; empty for all scales together.
        readout: that it belongs to; empty if the claim has one.
    """

    contrast: Contrast
    estimate: Estimate
    verdict: Word
    title: str = ""
    scale: str = ""
    readout: str = ""

    @property
    def minimum_detectable_effect(self) -> float:
        """See the function of that name, or `detectable_effect` for separate errors; NaN without a standard error."""
        estimate = self.estimate
        if estimate.errors:
            return detectable_effect(estimate.errors, estimate.confidence_level)
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
class Readout:
    """What one of two ways of reading says about a claim.

    Attributes:
        name: of the readout.
        verdict: of its parts together.
        cause: why, as that of a verdict.
    """

    name: str
    verdict: Word
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A contrast by the first readout minus that by the second, run by run: it is described, and has no word."""

    title: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one study says about one claim.

    Attributes:
        claim: number, title and tests.
        study: its name in the claims' file.
        verdict: of all parts and readouts together.
        cause: why, if a gate failed, if it is not testable here, or if it is undecided; may be empty.
        parts: its contrasts; also where the verdict does not use them, such as from tuning seeds.
        gates: gates and control arms.
        evidence: False for a positive control, which holds by construction.
        notes: what a reader must know beside the verdict.
        deviations: from the registered plan, of the study and of the claim.
        readouts: two, or none if the claim has one way of reading.
        by: the readout whose word it is, if the other one decides nothing.
        other: what the other one says then.
        differences: of the readouts.
        sensitivities: its contrasts, computed in other ways that were registered; they change no verdict.
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
    readouts: tuple[Readout, ...] = ()
    by: str = ""
    other: Word | None = None
    differences: tuple[Difference, ...] = ()
    sensitivities: tuple[Part, ...] = ()

    @property
    def decision(self) -> str:
        """The registered word, with the readout that it rests on if the other decides nothing."""
        return self.verdict if self.other is None else f"{self.verdict} by {self.by}, {_OTHER[self.other]}"

    @property
    def words(self) -> str:
        """The decision, with "not informative" if that is so of all parts."""
        silent = self.verdict in NO_VERDICT or not self.parts or any(part.informative for part in self.parts)
        return self.decision if silent else f"{self.decision}, {_NOT_INFORMATIVE}"


def word_of(low: float, high: float, smallest_effect: float, rule: RuleName = "five words") -> Word:
    """The verdict of the rule for one interval; undecided for NaN.

    Args:
        low, high: the ends of the interval, oriented so that positive favours the claim.
        smallest_effect: δ, above 0.
        rule: by its name in a file of claims.

    Examples:
        >>> from hf_clipdyn.statistics.judging import word_of
        >>> word_of(0.01, 0.09, 0.05)
        'right direction, size open'
        >>> word_of(0.01, 0.04, 0.05), word_of(0.01, 0.04, 0.05, "ten words")
        ('negligible', 'right direction, smaller than δ')
    """
    return RULES[rule].word(low, high, smallest_effect)


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
        claim=claim, study=evidence.study, verdict=NOT_HERE, evidence=test.evidence, notes=test.notes
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
        *(control(plan, evidence, windows, evidence.confidence(test)) for plan in test.controls),
    )
    make = _every_scale if test.rule == "every scale" else _all_parts
    parts = make(test, test.parts, evidence, windows, scale)
    notes, deviations = [*test.notes, *filter(None, [evidence.left_out])], tuple[str, ...]()
    if evidence.why_not:
        parts = tuple(replace(part, verdict=NOT_HERE) for part in parts)
        notes += [_SEARCHED] if evidence.located(test) else []
        word, cause = NOT_HERE, evidence.why_not
    else:
        draft = _decided(draft, test, evidence, gates, parts)
        word, cause = draft.verdict, draft.cause
        deviations = (*evidence.plan.deviations, *test.deviations)
    # What intervals leave out is said once.
    cautions = dict.fromkeys(note for part in parts for note in part.estimate.notes)
    sensitivities = tuple(_sensitivities(test, evidence, windows, scale))
    if evidence.why_not:
        sensitivities = tuple(replace(part, verdict=NOT_HERE) for part in sensitivities)
    return replace(
        draft,
        verdict=word,
        cause=cause,
        parts=parts,
        gates=gates,
        notes=(*notes, *cautions, *null_notes(parts)),
        deviations=deviations,
        differences=tuple(_differences(test, parts, evidence)),
        sensitivities=sensitivities,
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
    arms = {arm for part in test.parts if len(part.arm_weights) > 1 for arm in part.arm_weights}
    if not arms:
        return None
    scales = [set(evidence.scales(arm)) for arm in arms]
    common = [scale for scale in evidence.scales() if all(scale in of_arm for of_arm in scales)]
    for scale in common:
        if all(gate(plan, evidence, windows, scale).passed for plan in test.gates):
            return scale
    return common[0] if common else None


def _part(
    contrast: Contrast,
    estimate: Estimate,
    evidence: Evidence,
    *,
    title: str = "",
    scale: str = "",
    plan: PartPlan | None = None,
) -> Part:
    ends, effect = (estimate.ci_low, estimate.ci_high), contrast.smallest_effect
    no_opposite = plan is not None and plan.asks == "no opposite effect"
    word = evidence.claims.decides.word(*ends, effect, no_opposite=no_opposite)
    if math.isnan(estimate.value):
        word = NOT_HERE
    elif evidence.plan.confirmatory_seeds and _has_one_seed(estimate):
        word = "undecided"
    return Part(
        contrast=contrast,
        estimate=estimate,
        verdict=word,
        title=title or ", ".join(filter(None, [contrast.title, plan.readout if plan else ""])),
        scale=scale,
        readout=plan.readout if plan else "",
    )


def _has_one_seed(estimate: Estimate) -> bool:
    """Whether the interval is one over items alone."""
    return estimate.n_seeds == len(estimate.scales)


def _all_parts(
    test: ClaimTest,
    plans: Sequence[PartPlan],
    evidence: Evidence,
    windows: Mapping[str, Window],
    scale: str | None,
    *,
    items_fixed: bool = False,
) -> tuple[Part, ...]:
    parts = []
    for plan in plans:
        runs = evidence.part(plan, windows, scale)
        if items_fixed:
            runs = [replace(run, influence=_FIXED) for run in runs]
        estimate = _combined(runs, evidence, plan, test)
        if test.observers:
            estimate = evidence.with_people(estimate, plan.contrast.endpoint)
        parts.append(_part(plan.contrast, estimate, evidence, scale=scale or "", plan=plan))
    return tuple(parts)


def _combined(runs: Sequence[RunContrast], evidence: Evidence, plan: PartPlan, test: ClaimTest) -> Estimate:
    """The estimate over runs; without any, the cause."""
    confidence = evidence.confidence(test)
    if runs:
        return evidence.combined(runs, confidence)
    arms = list(plan.arm_weights)
    cause = f"no scale and seed has runs of {_all_arms(arms)}"
    missing = next((arm for arm in arms if not evidence.runs(arm)), None)
    if missing is not None:
        cause = f"no run of the arm {missing!r} counts" if missing else "no run of the main arm counts"
    return Estimate(value=math.nan, confidence_level=confidence, cause=cause)


def _all_arms(arms: Sequence[str]) -> str:
    return f"{'both' if len(arms) == 2 else 'all'} arms ({', '.join(arm or 'main' for arm in arms)})"


def _differences(test: ClaimTest, parts: Sequence[Part], evidence: Evidence) -> Iterator[Difference]:
    """Of two readouts, each contrast of the first minus the one of the second at the same place."""
    if len(test.readouts) < 2:
        return
    first, second = ([part for part in parts if part.readout == name] for name in test.readouts)
    for one, other in zip(first, second, strict=False):
        runs = weighted([one.estimate.runs, other.estimate.runs], [1.0, -1.0])
        title = f"{one.contrast.title}: {one.readout} - {other.readout}"
        yield Difference(title=title, estimate=evidence.combined(runs, evidence.confidence(test)))


def _sensitivities(
    test: ClaimTest, evidence: Evidence, windows: Mapping[str, Window], scale: str | None
) -> Iterator[Part]:
    for one in test.sensitivities:
        plans = [_changed(plan, one) for plan in test.parts if one.readout in ("", plan.readout)]
        moved = {name: replace(windows[name], shift=by) for name, by in one.shift.items()}
        parts = _all_parts(test, plans, evidence, {**windows, **moved}, scale, items_fixed=one.items_fixed)
        for part in parts:
            yield replace(part, title=f"{one.title}: {part.title}")


def _changed(plan: PartPlan, by: Sensitivity) -> PartPlan:
    weights: dict[str, float] = {}
    for name, weight in plan.contrast.weights.items():
        name = by.windows.get(name, name)
        weights[name] = weights.get(name, 0.0) + weight
    endpoint = by.endpoint or plan.contrast.endpoint
    return replace(plan, contrast=replace(plan.contrast, endpoint=endpoint, weights=weights))


def _every_scale(
    test: ClaimTest,
    plans: Sequence[PartPlan],
    evidence: Evidence,
    windows: Mapping[str, Window],
    _: str | None,
) -> tuple[Part, ...]:
    """The contrast over all scales, at each scale, and between any two scales.

    The variance between seeds is pooled within scales. A difference of two scales has δ = half of the pooled effect; it
    is negligible if its interval lies inside.
    """
    (plan,) = plans
    contrast, runs = plan.contrast, evidence.part(plan, windows)
    pooled = _combined(runs, evidence, plan, test)
    parts = [_part(contrast, pooled, evidence, title=f"{contrast.title}, all scales")]
    scales = evidence.scales(plan.arm)
    if math.isnan(pooled.value) or len(scales) < 2:
        return tuple(parts)

    def weighted(weights: Mapping[str, float]) -> Estimate:
        return evidence.combined(runs, evidence.confidence(test), scales=weights)

    for name in scales:
        title = f"{contrast.title}, {name}"
        parts.append(_part(contrast, weighted({name: 1.0}), evidence, title=title, scale=name))
    half = replace(contrast, constant=0.0, smallest_effect=max(abs(pooled.value) / 2, 1e-9))
    for smaller, larger in combinations(scales, 2):
        title = f"{larger} - {smaller}, within half of the effect"
        parts.append(_part(half, weighted({larger: 1.0, smaller: -1.0}), evidence, title=title))
    return tuple(parts)


def _decided(
    draft: Verdict, test: ClaimTest, evidence: Evidence, gates: Sequence[Gate], parts: Sequence[Part]
) -> Verdict:
    """The verdict with its word and its cause: of the readouts together, if there are two."""
    if len(test.readouts) < 2:
        word, cause = _whole(test, evidence, gates, parts)
        return replace(draft, verdict=word, cause=cause)
    found = []
    for name in test.readouts:
        conditions = [one for one in gates if one.readout in ("", name)]
        own = [part for part in parts if part.readout == name]
        word, cause = _whole(test, evidence, conditions, own)
        found.append(Readout(name=name, verdict=word, cause=cause))
    return replace(_of_readouts(draft, *found), readouts=tuple(found))


def _of_readouts(draft: Verdict, first: Readout, second: Readout) -> Verdict:
    """What two readouts say together, by the words of both."""
    causes = [f"{one.name}: {one.cause}" for one in (first, second) if one.cause]
    draft = replace(draft, cause="; ".join(dict.fromkeys(causes)))
    if first.verdict == second.verdict:
        return replace(draft, verdict=first.verdict)
    # From the one that decides most to the one that decides least.
    ranks = {word: rank for rank, word in enumerate((*UNDECIDED[::-1], *reversed(NO_VERDICT)), 1)}
    decided, silent = sorted((first, second), key=lambda one: ranks.get(one.verdict, 0))
    if silent.verdict not in ranks:
        return replace(draft, verdict=weaker(first.verdict, second.verdict))
    if {first.verdict, second.verdict} <= set(UNDECIDED):
        return replace(draft, verdict="undecided")
    if decided.verdict in NO_VERDICT:
        return replace(draft, verdict=GATE_FAILED)
    return replace(draft, verdict=decided.verdict, by=decided.name, other=silent.verdict)


def _whole(
    test: ClaimTest, evidence: Evidence, gates: Sequence[Gate], parts: Sequence[Part]
) -> tuple[Word, str]:
    """The verdict of a whole claim, and its cause."""
    n_runs = len(evidence.runs())
    if n_runs < test.fewest_runs:
        return "undecided", (
            f"{counted(n_runs, 'independent run')}; results are only descriptive below {test.fewest_runs}"
        )
    for passed, word in ((None, NOT_HERE), (False, GATE_FAILED)):
        for condition in gates:
            if condition.passed is passed:
                return word, f"{condition.title}: {condition.words}"
    if test.rule == "every scale":
        return _same_at_every_scale(parts, evidence)
    if test.rule == "first part first":
        first = [part for part in parts if part.contrast.endpoint == parts[0].contrast.endpoint]
        failed = next((part for part in first if part.verdict != "holds"), None)
        if failed and not any(part.verdict == NOT_HERE for part in first):
            return (
                "undecided",
                f"{failed.title}: {failed.verdict}; the other parts require this one to hold",
            )
    return _together(parts, evidence)


def _together(parts: Sequence[Part], evidence: Evidence) -> tuple[Word, str]:
    """All parts must hold; one that speaks against the claim is enough."""
    rule = evidence.claims.decides
    word, deciding = together([part.verdict for part in parts], rule)
    part = next(part for part in parts if part.verdict == deciding)
    if deciding in rule.against:
        said = f"{part.title}: {deciding}" if word != deciding else part.title
        return word, said if len(parts) > 1 else ""
    return word, _cause_of(part) if deciding in (NOT_HERE, *UNDECIDED) else ""


def _cause_of(part: Part) -> str:
    cause = part.estimate.cause
    if not cause and part.verdict in UNDECIDED and _has_one_seed(part.estimate):
        cause = "one seed: the variance between seeds is unknown"
    return f"{part.title}: {cause}" if cause else ""


def _same_at_every_scale(parts: Sequence[Part], evidence: Evidence) -> tuple[Word, str]:
    """The effect has its direction at every scale, and no two scales differ by more than half of it."""
    pooled, *rest = parts
    if pooled.verdict == NOT_HERE:
        return NOT_HERE, _cause_of(pooled)
    if not rest:
        return NOT_HERE, "the tables have one scale"
    scales = [part for part in rest if part.scale]
    differences = [part for part in rest if not part.scale]
    word, cause = _together(scales, evidence)
    if word in evidence.claims.decides.against:
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
